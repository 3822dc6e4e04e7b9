//! The maintenance page: what users get while a front is pointed at nobody. Its settings, the pipeline's own file, and the page
//! without one. Must not know how a front answers.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use crate::toml_file::filled::{Reader, absolute, duration, made};

/// The largest file of a page, in bytes. A front keeps it in memory.
const LARGEST: u64 = 1 << 20;
/// Said in `Retry-After` unless another time is set.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Title and text of the page without a file of the pipeline's.
pub(super) const TITLE: &str = "Down for maintenance";
pub(super) const TEXT: &str = "The service is being worked on. Please try again in a moment.";

/// Settings of the page: the table `maintenance` of a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// The pipeline's own page, by its absolute path; `None`: ours.
    pub page: Option<PathBuf>,
    /// Time after which users are told to come again, in `Retry-After`.
    pub retry_after: Duration,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { page: None, retry_after: RETRY_AFTER }
    }
}

impl Maintenance {
    /// Reads the table. The file is meant from `written_in`.
    pub(super) fn read(t: &mut Reader<'_>, written_in: &Path) -> Self {
        Self {
            page: t.optional("page", |value| file(value, written_in)),
            retry_after: t.optional("retry_after", duration).unwrap_or(RETRY_AFTER),
        }
    }

    /// Reads the pipeline's own page.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub(super) fn own(&self) -> Result<Option<OwnPage>, String> {
        let read = self.page.as_deref().map(OwnPage::read).transpose();
        read.map_err(|why| format!("`front.maintenance.page`: {why}"))
    }

    /// What `Retry-After` says, in seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.retry_after.as_secs().max(1)
    }

    /// How the page is written.
    pub(super) fn media_type(&self) -> MediaType {
        self.page.as_deref().and_then(MediaType::of).unwrap_or(MediaType::Html)
    }

    /// Says in one line for a plan what users get.
    pub(super) fn note(&self) -> String {
        let page = self.page.as_ref().map_or_else(|| "the built-in one".to_owned(), |page| page.display().to_string());
        format!("maintenance page: {page}, 503 with Retry-After: {}", self.seconds())
    }
}

/// How a page is written, by the ending of its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Html,
    Text,
    Json,
}

impl MediaType {
    fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "html" => Some(Self::Html),
            "txt" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Returns the value of `Content-Type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// A page of the pipeline's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnPage {
    /// How it is written. A file whose name says nothing is HTML.
    pub(super) media_type: MediaType,
    /// What users get.
    pub(super) text: String,
}

impl OwnPage {
    /// Reads a file, within limits.
    ///
    /// # Errors
    /// What is wrong with it, with its name.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let place = path.display();
        let cannot =
            |error: io::Error| io::Error::new(error.kind(), format!("the page {place} cannot be read: {error}"));
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("the page {place} {why}"));
        if !fs::metadata(path).map_err(cannot)?.is_file() {
            return Err(wrong("is not a file".to_owned()));
        }
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(cannot)?;
        if bytes.len() as u64 > LARGEST {
            return Err(wrong(format!("is larger than {LARGEST} bytes: each user gets all of it, so make it smaller")));
        }
        if bytes.is_empty() {
            return Err(wrong("is empty".to_owned()));
        }
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| wrong("is not text in UTF-8".to_owned()))?;
        Ok(Self { media_type: MediaType::of(path).unwrap_or(MediaType::Html), text })
    }
}

/// Returns a page of ours. It loads nothing from elsewhere, because elsewhere may be what is down.
pub(super) fn html(status: u16, title: &str, text: &str) -> String {
    let page = include_str!("../../web_front/builtin/page.html").replace("{title}", title).replace("{text}", text);
    page.replace("{status}", &status.to_string())
}

/// Returns the same for programs (RFC 9457).
pub(super) fn problem(status: u16, title: &str, text: &str) -> String {
    format!("{{\"type\":\"about:blank\",\"status\":{status},\"title\":\"{title}\",\"detail\":\"{text}\"}}\n")
}

fn file(value: &Value, written_in: &Path) -> Result<PathBuf, String> {
    let wanted = "a file whose name ends in .html, .txt or .json";
    made(value, wanted, |name| {
        let path = Path::new(name);
        MediaType::of(path).map(|_| absolute(written_in, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Maintenance, String> {
        let (table, mut mistakes) = (text.parse().unwrap(), Vec::new());
        let mut reader = Reader::new(&table, "front.maintenance", &mut mistakes);
        let read = Maintenance::read(&mut reader, Path::new("/p"));
        reader.refuse_the_rest();
        if mistakes.is_empty() { Ok(read) } else { Err(mistakes.join("\n")) }
    }

    #[test]
    fn a_page_is_meant_from_the_pipeline_file_and_its_ending_says_how_it_is_written() {
        assert_eq!(read("").unwrap(), Maintenance { page: None, retry_after: Duration::from_secs(30) });
        let own = read("page = 'pages/down.TXT'\nretry_after = '1500ms'").unwrap();
        assert_eq!((own.page.as_deref(), own.seconds()), (Some(Path::new("/p/pages/down.TXT")), 1));
        assert_eq!(own.media_type().name(), "text/plain; charset=utf-8");
        assert_eq!(own.note(), "maintenance page: /p/pages/down.TXT, 503 with Retry-After: 1");
        let said = read("page = 'down.php'\nretry_after = '0s'\npgae = 1").unwrap_err();
        for part in [
            "`front.maintenance.page` is \"down.php\"; it must be a file whose name ends in .html, .txt or .json",
            "`front.maintenance.retry_after` must be longer than zero",
            "unknown key `front.maintenance.pgae`; did you mean `page`?",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_a_page_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let own = |name: &str| Maintenance { page: Some(at(name)), ..Maintenance::default() }.own();
        fs::write(at("down.json"), "{}").unwrap();
        let page = own("down.json").unwrap().unwrap();
        assert_eq!((page.media_type, page.text.as_str()), (MediaType::Json, "{}"));
        fs::write(at("most.html"), "x".repeat(1 << 20)).unwrap();
        assert!(own("most.html").is_ok());
        fs::write(at("large.html"), "x".repeat((1 << 20) + 1)).unwrap();
        fs::write(at("picture.html"), [0x89, b'P', 0xff]).unwrap();
        fs::write(at("nul.txt"), "a\0b").unwrap();
        fs::write(at("empty.html"), "").unwrap();
        fs::create_dir(at("folder.html")).unwrap();
        for (name, why) in [
            ("none.html", "cannot be read: No such file or directory"),
            ("large.html", "is larger than 1048576 bytes"),
            ("picture.html", "is not text in UTF-8"),
            ("nul.txt", "is not text in UTF-8"),
            ("empty.html", "is empty"),
            ("folder.html", "is not a file"),
        ] {
            let said = own(name).unwrap_err();
            let begins = format!("`front.maintenance.page`: the page {} ", at(name).display());
            assert!(said.starts_with(&begins) && said.contains(why), "{said}");
        }
    }
}
