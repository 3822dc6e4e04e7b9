//! What some clients send raw in a request target and what our parser refuses (`"`, `<`, `>`, backtick, bytes beyond
//! ASCII) is percent-encoded on its way in, which means the same (RFC 3986, 2.1). Must not touch anything but the first
//! line of a request.

/// Where in a head the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Method(u8),
    /// Its first byte.
    Target,
    InTarget,
    Elsewhere,
}

/// Longer is no method that we know; such bytes are left as they are.
const LONGEST_METHOD: u8 = 32;

/// Follows the first lines of the requests of one connection.
pub(super) struct Targets {
    place: Place,
    head: u32,
}

impl Targets {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self { place: Place::Method(0), head: 0 }
    }

    /// Looks at bytes that come in where only a head may come, after `head` complete ones. Returns what to read instead,
    /// if anything has to change.
    pub(super) fn read(&mut self, head: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        if head != self.head {
            *self = Self { place: Place::Method(0), head };
        }
        let mut changed: Option<Vec<u8>> = None;
        for (at, &byte) in bytes.iter().enumerate() {
            if self.place == Place::Elsewhere {
                if let Some(changed) = &mut changed {
                    changed.extend_from_slice(&bytes[at..]);
                }
                break;
            }
            self.place = after(self.place, byte);
            if self.place == Place::InTarget && is_refused(byte) {
                let changed = changed.get_or_insert_with(|| bytes[..at].to_vec());
                changed.extend([b'%', hex(byte >> 4), hex(byte & 15)]);
            } else if let Some(changed) = &mut changed {
                changed.push(byte);
            }
        }
        changed
    }

    /// Bytes came in that are not looked at.
    pub(super) fn skip(&mut self) {
        self.place = Place::Elsewhere;
    }
}

fn after(place: Place, byte: u8) -> Place {
    match (place, byte) {
        // Empty lines before a request are allowed (RFC 9112, 2.2).
        (Place::Method(0), b'\r' | b'\n') => Place::Method(0),
        (Place::Method(1..), b' ') => Place::Target,
        (Place::Method(count), b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_') if count < LONGEST_METHOD => {
            Place::Method(count + 1)
        }
        (Place::Target, b'/' | b'h' | b'H') => Place::InTarget,
        (Place::InTarget, b' ' | b'\r' | b'\n') => Place::Elsewhere,
        (Place::InTarget, _) => Place::InTarget,
        _ => Place::Elsewhere,
    }
}

fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

fn hex(digit: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(digit & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in pieces of this size.
    fn read(text: &[u8], size: usize) -> Vec<u8> {
        let mut targets = Targets::new();
        let pieces = text.chunks(size).map(|piece| targets.read(0, piece).unwrap_or_else(|| piece.to_vec()));
        pieces.collect::<Vec<_>>().concat()
    }

    #[test]
    fn only_the_target_is_encoded_however_it_comes_in() {
        let raw = b"\r\nGET /a\"b<c>?q=`\xe9\" HTTP/1.1\r\nhost: a\r\nx: \"<>`\xe9\r\n\r\n";
        let wanted = b"\r\nGET /a%22b%3Cc%3E?q=%60%E9%22 HTTP/1.1\r\nhost: a\r\nx: \"<>`\xe9\r\n\r\n";
        for size in 1..raw.len() {
            assert_eq!(read(raw, size), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_request_line_is_left_alone() {
        for raw in [&b"GET \"<>\" HTTP/1.1\r\n"[..], b"G<T /< HTTP/1.1\r\n", b"\x16\x03\x01 /<", b" /<"] {
            assert_eq!(read(raw, raw.len()), raw);
        }
    }

    #[test]
    fn the_next_head_is_looked_at_again() {
        let mut targets = Targets::new();
        assert_eq!(targets.read(0, b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(targets.read(0, b"GET /< HTTP/1.1\r\n\r\n"), None, "not at a beginning");
        assert_eq!(targets.read(1, b"GET /< HTTP/1.1\r\n\r\n").unwrap(), b"GET /%3C HTTP/1.1\r\n\r\n");
    }
}
