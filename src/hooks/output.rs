//! What a run says, on its way from its program to people: as text, without secrets, line by line into the folder of the run while
//! it runs, and the end of it for its outcome. Must hand out nothing of which the secrets were not taken out.

use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{lines::Writer, redact::Redactor};

/// How much of an output is kept in the outcome, in bytes.
pub(super) const KEPT: usize = 16 << 10;
/// The longest line that is written, in bytes; of a longer one the beginning.
const LONGEST: usize = 8 << 10;

/// The output of one run.
pub(super) struct Output<'a> {
    redactor: &'a Redactor,
    lines: Writer,
    /// The beginning of a letter.
    bytes: Vec<u8>,
    plain: Plain,
    /// Text that may be the beginning of a secret.
    held: String,
    line: Line,
    /// The end of all, without secrets: [`KEPT`] bytes and a bit more.
    end: String,
}

impl<'a> Output<'a> {
    pub(super) fn new(redactor: &'a Redactor, lines: Writer) -> Self {
        let (bytes, held, end) = (Vec::new(), String::new(), String::new());
        Self { redactor, lines, bytes, plain: Plain::default(), held, line: Line::default(), end }
    }

    /// Reads all there is, so that whoever writes does not wait. Returns at the end; what was read counts also when this is
    /// given up before.
    pub(super) async fn take_in(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            self.push(&buffer[..length]);
        }
    }

    /// More of it has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let bytes = mem::take(&mut self.bytes);
        for chunk in bytes.utf8_chunks() {
            self.held.extend(chunk.valid().chars().filter_map(|letter| self.plain.shown(letter)));
            match str::from_utf8(chunk.invalid()).err().map(|error| error.error_len()) {
                // It may go on.
                Some(None) => self.bytes = chunk.invalid().to_owned(),
                Some(Some(_)) => self.held.push(char::REPLACEMENT_CHARACTER),
                None => {}
            }
        }
        let clean = self.redactor.take(&mut self.held, false);
        self.hand_on(&clean);
    }

    /// A line of our own, which is no part of what is kept.
    pub(super) fn note(&mut self, text: &str) {
        let text = self.clean(text);
        self.lines.write(&format!("{text}\n"));
    }

    /// A text of our own without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// Nothing more comes. Returns the end of it.
    pub(super) fn finish(&mut self) -> String {
        if !mem::take(&mut self.bytes).is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        let clean = self.redactor.take(&mut self.held, true);
        self.hand_on(&clean);
        if !self.line.is_empty() {
            self.lines.write(&self.line.end());
        }
        self.forget_but(KEPT);
        mem::take(&mut self.end).trim_end().to_owned()
    }

    fn hand_on(&mut self, clean: &str) {
        let mut whole = String::new();
        for piece in clean.split_inclusive('\n') {
            let (text, ends) = piece.strip_suffix('\n').map_or((piece, false), |text| (text, true));
            self.line.push(text);
            if ends {
                whole += &self.line.end();
            }
        }
        if !whole.is_empty() {
            self.lines.write(&whole);
        }
        self.end.push_str(clean);
        if self.end.len() > 2 * KEPT {
            self.forget_but(KEPT);
        }
    }

    fn forget_but(&mut self, most: usize) {
        let mut start = self.end.len().saturating_sub(most);
        while !self.end.is_char_boundary(start) {
            start += 1;
        }
        self.end.drain(..start);
    }
}

/// A line that has not ended yet.
#[derive(Default)]
struct Line {
    text: String,
    /// How many letters more it has than are kept.
    more: usize,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.more == 0
    }

    fn push(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.text.len());
        let fits = match self.more {
            0 => text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= room).last(),
            _ => None,
        };
        let (kept, left) = text.split_at(fits.unwrap_or(0));
        self.text.push_str(kept);
        self.more += left.chars().count();
    }

    /// The line with its end; a new one begins.
    fn end(&mut self) -> String {
        let Self { text, more } = mem::take(self);
        if more == 0 { text + "\n" } else { format!("{text}… ({more} characters more)\n") }
    }
}

/// Takes colours and other control characters out, letter by letter.
#[derive(Default)]
enum Plain {
    #[default]
    Text,
    Escape,
    /// Between `ESC [` and its last letter.
    Sequence,
}

impl Plain {
    fn shown(&mut self, letter: char) -> Option<char> {
        let before = mem::take(self);
        match (before, letter) {
            (Self::Sequence, '@'..='~') => return None,
            (Self::Sequence, other) if other != '\n' => *self = Self::Sequence,
            (Self::Escape, '[') => *self = Self::Sequence,
            (Self::Text | Self::Escape, '\u{1b}') => *self = Self::Escape,
            _ => return (!letter.is_control() || matches!(letter, '\n' | '\t')).then_some(letter),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{
        super::lines::{From, read},
        *,
    };

    fn texts(folder: &std::path::Path) -> Vec<String> {
        read(folder, From::Last(usize::MAX)).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    fn of(values: &[&str]) -> Redactor {
        let values: Vec<SecretString> = values.iter().map(|v| SecretString::from(*v)).collect();
        Redactor::of(&values)
    }

    #[test]
    fn whole_lines_stand_in_the_folder_as_they_come_however_they_are_cut_and_without_secrets() {
        let redactor = of(&["canary-w\u{f6}rd", "first line of it\nab\nlast"]);
        let said = "\x1b[31;1mred\x1b[0m canary-w\u{f6}rd\r\nfirst line of it\nab\nlast\nb\u{f6}se canary-w".as_bytes();
        let expected = ["red [secret]", "[secret]", "b\u{f6}se canary-w"];
        for length in 1..said.len() {
            let folder = tempfile::tempdir().unwrap();
            let mut output = Output::new(&redactor, Writer::new(folder.path()));
            for piece in said.chunks(length) {
                output.push(piece);
                let so_far = texts(folder.path());
                assert!(expected.iter().take(2).map(|l| (*l).to_owned()).collect::<Vec<_>>().starts_with(&so_far));
            }
            assert_eq!(texts(folder.path()), expected[..2], "{length}: the last line may go on");
            assert_eq!(output.finish(), expected.join("\n"));
            assert_eq!(texts(folder.path()), expected, "{length}");
        }
    }

    #[test]
    fn the_end_of_a_long_output_is_kept_and_of_a_long_line_the_beginning() {
        let secret = "canary-".repeat(20);
        let redactor = of(&[&secret]);
        for filler in (0..300).step_by(11) {
            let folder = tempfile::tempdir().unwrap();
            let mut output = Output::new(&redactor, Writer::new(folder.path()));
            output.push(format!("{}{secret}\n", "x".repeat(3 * KEPT + filler)).as_bytes());
            output.push(&b"y".repeat(KEPT - 10));
            let kept = output.finish();
            assert!(kept.len() <= KEPT && !kept.contains("canary"), "{filler}");
            assert!(kept.starts_with("[secret]\nyyy") || kept.ends_with("yyy"), "{filler}");
            let lines = texts(folder.path());
            let more = 3 * KEPT + filler + "[secret]".len() - LONGEST;
            assert!(lines[0].ends_with(&format!("xxx… ({more} characters more)")), "{filler}");
        }
        let redactor = Redactor::default();
        let mut output = Output::new(&redactor, Writer::new(std::path::Path::new("/nowhere/at/all")));
        output.push(b"\xff a folder that is gone stops nobody\x07\n\n\xc3");
        assert_eq!(output.finish(), "\u{fffd} a folder that is gone stops nobody\n\n\u{fffd}");
    }
}
