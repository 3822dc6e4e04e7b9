//! What some clients send raw in a request target and what our parser refuses (`"`, `<`, `>`, backtick, bytes beyond
//! ASCII) is percent-encoded on its way in, which means the same (RFC 3986, 2.1). To find the targets of requests that
//! come in a row, heads are followed to their end, and bodies of known length too. Must not touch anything else.

/// Where in a request the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Method(u8),
    /// Its first byte.
    Target,
    InTarget,
    /// The rest of the head.
    Fields,
    /// The bytes of the body that are still to come.
    Body(u64),
    /// Unknown until the connection says that a head comes next.
    Lost,
}

/// Longer is no method that we know; such bytes are left as they are.
const LONGEST_METHOD: u8 = 32;
/// How much of a line is looked at: enough for a length.
const LINE: usize = 64;

/// Follows the requests of one connection.
pub(super) struct Targets {
    place: Place,
    /// What came of a field line in an earlier read.
    line: Vec<u8>,
    /// The line has more than that, or it is that of the request.
    in_line: bool,
    /// The length of the body, as the head says.
    length: Option<u64>,
    /// What follows the head is not of known length, or not HTTP.
    unknown: bool,
}

impl Targets {
    /// Returns the state at the beginning of a connection.
    pub(super) fn new() -> Self {
        Self { place: Place::Method(0), line: Vec::new(), in_line: false, length: None, unknown: false }
    }

    /// Looks at bytes that come in. `head`: where the place is not known, they begin a head. Returns what to read instead,
    /// if anything has to change.
    pub(super) fn read(&mut self, head: bool, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.place == Place::Lost && head {
            *self = Self::new();
        }
        let (mut at, mut copied, mut changed) = (0, 0, None::<Vec<u8>>);
        while let Some(&byte) = bytes.get(at) {
            match self.place {
                Place::Lost => break,
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    self.place = match left - here as u64 {
                        0 => Place::Method(0),
                        left => Place::Body(left),
                    };
                }
                Place::Fields => at += self.fields(&bytes[at..]),
                Place::Method(_) | Place::Target | Place::InTarget => {
                    self.place = after(self.place, byte);
                    self.in_line = byte != b'\n';
                    if self.place == Place::InTarget && is_refused(byte) {
                        let changed = changed.get_or_insert_default();
                        changed.extend_from_slice(&bytes[copied..at]);
                        changed.extend([b'%', hex(byte >> 4), hex(byte & 15)]);
                        copied = at + 1;
                    }
                    at += 1;
                    // As a rule all of it is one head, and nothing in it is ever touched.
                    let rest = &bytes[at..];
                    if self.place == Place::Fields && rest.ends_with(b"\r\n\r\n") && !has_refused(rest) {
                        self.place = Place::Lost;
                    }
                }
            }
        }
        if let Some(changed) = &mut changed {
            changed.extend_from_slice(&bytes[copied..]);
        }
        changed
    }

    /// Goes through lines of a head, to its end if it is there. Returns how much that is.
    fn fields(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            let line = &bytes[at..at + length];
            at += length + 1;
            if self.line.is_empty() && !self.in_line {
                if is_end(line) {
                    self.end();
                    return at;
                }
                self.note(&line[..line.len().min(LINE)]);
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.line);
                if !self.in_line && is_end(&line) {
                    self.end();
                    return at;
                }
                self.note(&line);
            }
            self.in_line = false;
        }
        self.keep(&bytes[at..]);
        bytes.len()
    }

    /// Keeps the beginning of a line that goes on with the next read.
    fn keep(&mut self, part: &[u8]) {
        if !self.in_line {
            let room = LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    /// Takes what a field says about what follows the head.
    fn note(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            self.unknown |= length.is_none() || self.length.is_some();
            self.length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade") {
            self.unknown = true;
        }
    }

    /// The head is complete.
    fn end(&mut self) {
        self.place = match (self.unknown, self.length.take()) {
            (true, _) => Place::Lost,
            (false, Some(length @ 1..)) => Place::Body(length),
            (false, _) => Place::Method(0),
        };
        self.unknown = false;
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
        (Place::InTarget, b' ' | b'\r' | b'\n') => Place::Fields,
        (Place::InTarget, _) => Place::InTarget,
        _ => Place::Fields,
    }
}

fn is_end(line: &[u8]) -> bool {
    matches!(line, b"" | b"\r")
}

fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

/// Looks at all of them, which is faster than to stop at the first.
fn has_refused(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |any, byte| any | is_refused(*byte))
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
        let pieces = text.chunks(size).map(|piece| targets.read(true, piece).unwrap_or_else(|| piece.to_vec()));
        pieces.collect::<Vec<_>>().concat()
    }

    #[test]
    fn only_the_target_is_encoded_however_it_comes_in() {
        let raw = b"\r\nGET /a\"b<c>?q=`\xe9\" HTTP/1.1\r\nhost: a\r\nx: \"<>`\xe9\r\n\r\n";
        let wanted = b"\r\nGET /a%22b%3Cc%3E?q=%60%E9%22 HTTP/1.1\r\nhost: a\r\nx: \"<>`\xe9\r\n\r\n";
        for size in 1..=raw.len() {
            assert_eq!(read(raw, size), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn requests_in_a_row_are_followed_and_bodies_left_alone() {
        let raw = b"GET /<1 HTTP/1.1\r\nx: \"1\"\r\n\r\nPOST /<2 HTTP/1.1\r\nContent-Length : 22\r\nx: \"\r\n\r\n\
                    GET /<no HTTP/1.1\r\n\r\n\"GET /<3 HTTP/1.1\nx: \"\n\nGET /<4 HTTP/1.1\r\n\r\n";
        let wanted =
            b"GET /%3C1 HTTP/1.1\r\nx: \"1\"\r\n\r\nPOST /%3C2 HTTP/1.1\r\nContent-Length : 22\r\nx: \"\r\n\r\n\
                       GET /<no HTTP/1.1\r\n\r\n\"GET /%3C3 HTTP/1.1\nx: \"\n\nGET /%3C4 HTTP/1.1\r\n\r\n";
        for size in 1..=raw.len() {
            let got = read(raw, size);
            assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(wanted), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_request_line_is_left_alone() {
        for raw in [&b"GET \"<>\" HTTP/1.1\r\n"[..], b"G<T /< HTTP/1.1\r\n", b"\x16\x03\x01 /<", b" /<"] {
            assert_eq!(read(raw, raw.len()), raw);
        }
    }

    #[test]
    fn after_what_has_no_known_length_a_head_is_looked_at_when_one_is_due() {
        for field in ["transfer-encoding: chunked", "upgrade: x", "content-length: 1\r\ncontent-length: 1"] {
            let mut targets = Targets::new();
            let head = format!("POST / HTTP/1.1\r\n{field}\r\nx: \"\r\n\r\n");
            assert_eq!(targets.read(true, head.as_bytes()), None);
            assert_eq!(targets.read(false, b"GET /< HTTP/1.1\r\n\r\n"), None, "{field}");
            assert_eq!(
                targets.read(true, b"GET /< HTTP/1.1\r\n\r\n").unwrap(),
                b"GET /%3C HTTP/1.1\r\n\r\n",
                "{field}"
            );
        }
    }
}
