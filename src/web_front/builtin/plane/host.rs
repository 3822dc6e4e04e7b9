//! Whether a `Host` is one: a name or an address, and perhaps a port (RFC 9110, 7.2; RFC 3986, 3.2.2).
//! Must not look it up.

use std::net::Ipv6Addr;

/// Returns true for `host`, `host:port`, `[address]` and `[address]:port`.
pub(super) fn is_valid(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else { return false };
            (address.parse::<Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            (is_name(&host.as_bytes()[..end]), &host[end..])
        }
    };
    name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_name(name: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    let is_encoded = |part: &[u8]| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit);
    let whole = name.split(|&byte| byte == b'%').skip(1).all(is_encoded);
    !name.is_empty() && name.iter().all(is_allowed) && whole
}

/// A port may be left empty.
fn is_port(port: &str) -> bool {
    port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        let good = ["a", "app.test.", "a_b-c", "1.2.3.4:80", "a:", "[::1]", "[::1]:8080", "x%20y", "xn--bcher-kva.ch"];
        for host in good {
            assert!(is_valid(host.as_bytes()), "{host} is one");
        }
        let bad = [
            "", ":80", "a b", "a/b", "a@b", "a:x", "a:1:2", "a:99999", "[::1", "[x]", "::1", "a%2", "a\"b", "a\\b",
            "a?b", "a#b", "a<b", "[::1]x", "a\tb",
        ];
        for host in bad {
            assert!(!is_valid(host.as_bytes()), "{host} is none");
        }
        assert!(!is_valid(b"b\xfccher"));
    }
}
