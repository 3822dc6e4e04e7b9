//! The preview of a front: how people and tools reach the candidate before users do, who may, and the key that lets them in.
//! Must not know how a front sends anybody anywhere.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use toml::Value;

use super::secret;
use crate::{
    pipelines::SecretSource,
    secrets::source,
    toml_file::filled::{Reader, absolute, made, other, text},
};

/// Path of the link that lets a browser in.
pub(super) const PATH: &str = "/.pointsman/preview";
/// Name of the cookie that the link sets.
pub(super) const COOKIE: &str = "pointsman_preview";
/// Name of the header, unless another one is set.
const HEADER: &str = "x-pointsman-preview";
/// Said instead of a key where an address range alone lets in.
const OPEN: &str = "candidate";
/// File of the key that was made here, and of the copy of one that was given, in the front's folder.
const MADE: &str = "preview-key";
const GIVEN: &str = "preview-secret";
/// The shortest key that may be given, in characters.
const SHORTEST: usize = 16;

/// Settings of a preview: the table `preview` of a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Header that asks for the candidate with the key.
    pub(super) header: HeaderName,
    /// Host name at which who may sees the candidate.
    pub(super) host: Option<String>,
    /// Where the key is kept; `None`: one is made, unless `from` alone lets in.
    pub(super) secret: Option<SecretSource>,
    /// Address ranges from which alone one is let in; empty: from anywhere.
    pub(super) from: Vec<Range>,
}

impl Default for Preview {
    fn default() -> Self {
        Self { header: HeaderName::from_static(HEADER), host: None, secret: None, from: Vec::new() }
    }
}

/// What people must know to reach the candidate.
#[derive(Debug, Clone)]
pub struct ShownPreview {
    /// Address that they open, without the key.
    pub address: String,
    /// Header that tools send, with the key as its value.
    pub header: String,
    /// Host name that leads to it for whoever is let in.
    pub host: Option<String>,
    /// Address ranges from which alone it can be reached.
    pub from: Vec<String>,
    /// The key. Only for those who may act.
    pub key: Result<SecretString, String>,
    /// Whether the key is a secret: it is not where an address range alone lets in.
    pub secret: bool,
}

impl Preview {
    /// Reads the table. Files are meant from `written_in`.
    pub(super) fn read(t: &mut Reader<'_>, written_in: &Path) -> Self {
        Self {
            header: t.optional("header", header).unwrap_or(HeaderName::from_static(HEADER)),
            host: t.optional("host", host),
            secret: t.optional("secret", |value| place(value, written_in)),
            from: t.optional("from", ranges).unwrap_or_default(),
        }
    }

    /// Whether an address range alone lets in, without a secret.
    pub(super) fn is_open(&self) -> bool {
        self.secret.is_none() && !self.from.is_empty()
    }

    /// Whether one may come from this address; `None`: nobody knows from where.
    pub(super) fn admits(&self, address: Option<IpAddr>) -> bool {
        self.from.is_empty() || address.is_some_and(|address| self.from.iter().any(|range| range.contains(address)))
    }

    /// Brings a key that was given into the front's folder, where a process of its own reads it.
    pub(super) fn bring_in(&self, folder: &Path) -> io::Result<()> {
        let Some(source) = &self.secret else { return Ok(()) };
        let key = given(source)?;
        let path = folder.join(GIVEN);
        if fs::read_to_string(&path).is_ok_and(|there| there == key) {
            return Ok(());
        }
        let draft = folder.join(format!("{GIVEN}.new"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Returns the key: as it was brought into the folder, or made there.
    pub(super) fn key(&self, folder: &Path) -> io::Result<SecretString> {
        if self.is_open() {
            return Ok(OPEN.into());
        }
        match &self.secret {
            Some(_) => fit(fs::read_to_string(folder.join(GIVEN))?).map(Into::into),
            None => secret::of(folder, MADE).map(Into::into),
        }
    }

    /// Returns the file that changes with the key.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        folder.join(if self.secret.is_some() { GIVEN } else { MADE })
    }

    /// Returns what people must know; `origin` is the address that users open, without a path.
    pub(super) fn shown(&self, origin: &str, folder: &Path) -> ShownPreview {
        ShownPreview {
            address: format!("{origin}{PATH}"),
            header: self.header.to_string(),
            host: self.host.clone(),
            from: self.from.iter().map(Range::to_string).collect(),
            key: self.key(folder).map_err(|why| format!("the key of the preview cannot be read: {why}")),
            secret: !self.is_open(),
        }
    }

    /// Says in one line for a plan how the candidate is reached. Without the key.
    pub(super) fn note(&self, origin: &str) -> String {
        let by = match (&self.secret, self.is_open()) {
            (Some(source), _) => format!("with the key in {}", source.place()),
            (None, true) => "without a key".to_owned(),
            (None, false) => "with a key that is made for this environment; `pointsman status` shows it".to_owned(),
        };
        let from: Vec<_> = self.from.iter().map(Range::to_string).collect();
        let from = if from.is_empty() { String::new() } else { format!(", from {}", from.join(", ")) };
        let host = self.host.as_ref().map(|host| format!(", or the host {host}")).unwrap_or_default();
        format!("preview of the candidate: {origin}{PATH}, the header {}{host}, {by}{from}", self.header)
    }
}

impl ShownPreview {
    /// Returns the link that lets a browser in, with the key.
    ///
    /// # Errors
    /// Why the key is not known.
    pub fn link(&self) -> Result<String, &str> {
        self.key.as_ref().map(|key| format!("{}?key={}", self.address, key.expose_secret())).map_err(String::as_str)
    }
}

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    bits: u32,
}

impl Range {
    /// Reads it: an address, and how many of its first bits count.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits,
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Reads a key from where it is kept.
fn given(source: &SecretSource) -> io::Result<String> {
    let read = source::read_token(source).map_err(io::Error::other)?;
    let text = String::from_utf8(read.expose_secret().to_vec()).map_err(io::Error::other)?;
    fit(text).map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", source.place())))
}

/// It stands in a header, a cookie, an address and a web server's configuration: only what needs no quotes in any of them.
fn fit(key: String) -> io::Result<String> {
    let fits = key.len() >= SHORTEST && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let why = "a key of a preview has 16 characters at least, of letters, digits and -_. alone";
    if fits { Ok(key) } else { Err(io::Error::new(io::ErrorKind::InvalidData, why)) }
}

/// Names that are the front's and the application's to say.
const TAKEN: [&str; 8] = [
    "host",
    "cookie",
    "connection",
    "content-length",
    "transfer-encoding",
    "authorization",
    "x-pointsman-probe",
    "x-pointsman-stack",
];

fn header(value: &Value) -> Result<HeaderName, String> {
    made(value, "the name of a header that means nothing else", |text| {
        text.parse::<HeaderName>().ok().filter(|name| !TAKEN.contains(&name.as_str()) && !name.as_str().contains('_'))
    })
}

fn host(value: &Value) -> Result<String, String> {
    let fits = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    made(value, "a host name without a port", |host| fits(host).then(|| host.to_ascii_lowercase()))
}

fn ranges(value: &Value) -> Result<Vec<Range>, String> {
    const WANTED: &str = "a list of address ranges, for example [\"10.0.0.0/8\"]";
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(|| other(value, WANTED))?;
    list.iter().map(|one| made(one, "an address range such as 10.0.0.0/8", Range::parse)).collect()
}

/// Where a secret is kept, in a table whose variables were replaced.
fn place(value: &Value, written_in: &Path) -> Result<SecretSource, String> {
    // Not repeated: somebody may have written the secret itself.
    const SHAPE: &str = " is not written here, only where it is kept: { file = \"...\" } or { env = \"...\" }";
    let table = value.as_table().filter(|table| table.len() == 1).ok_or(SHAPE)?;
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => text(file).map(|file| SecretSource::File(absolute(written_in, Path::new(&file)))),
        (None, Some(name)) => text(name).and_then(|name| {
            if name.contains(['=', '\0']) { Err(SHAPE.to_owned()) } else { Ok(SecretSource::Env(name)) }
        }),
        _ => Err(SHAPE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str) -> Result<Preview, String> {
        let (table, mut mistakes) = (text.parse().unwrap(), Vec::new());
        let mut reader = Reader::new(&table, "front.preview", &mut mistakes);
        let preview = Preview::read(&mut reader, Path::new("/p"));
        reader.refuse_the_rest();
        if mistakes.is_empty() { Ok(preview) } else { Err(mistakes.join("\n")) }
    }

    #[test]
    fn an_address_range_lets_in_whoever_is_in_it() {
        let preview = read("from = ['10.1.0.0/16', 'fd00::/8', '192.0.2.7', '0.0.0.0/0']").unwrap();
        let [ten, v6, one, all] = preview.from[..] else { panic!("{preview:?}") };
        let is = |range: Range, address: &str| range.contains(address.parse().unwrap());
        assert!(is(ten, "10.1.2.3") && is(ten, "::ffff:10.1.2.3") && !is(ten, "10.2.0.1") && !is(ten, "fd00::1"));
        assert!(is(v6, "fd12::1") && !is(v6, "fe80::1") && is(one, "192.0.2.7") && !is(one, "192.0.2.6"));
        assert!(is(all, "8.8.8.8") && preview.is_open() && !preview.admits(None));
        assert!(read("").unwrap().admits(None));
    }

    #[test]
    fn mistakes_name_their_key_and_repeat_no_secret() {
        let said =
            read("header = 'cookie'\nhost = 'a:80'\nsecret = 's3cret'\nfrom = ['10.0.0.0/33']\nform = 1").unwrap_err();
        for part in [
            "`front.preview.header` is \"cookie\"",
            "`front.preview.host`",
            "`front.preview.secret` is not written here",
            "`front.preview.from` is \"10.0.0.0/33\"",
            "unknown key `front.preview.form`; did you mean `from`?",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        assert!(!said.contains("s3cret"));
        assert!(read("from = []").unwrap_err().contains("a list of address ranges"));
    }

    #[test]
    fn a_key_is_made_once_or_brought_in_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let shown = |preview: &Preview| preview.key(folder.path()).map(|key| key.expose_secret().to_owned());
        let made = shown(&read("").unwrap()).unwrap();
        assert!(made.len() == 64 && shown(&read("header = 'x-a'").unwrap()).unwrap() == made);
        assert_eq!(shown(&read("from = ['10.0.0.0/8']").unwrap()).unwrap(), "candidate");
        fs::write(folder.path().join("key"), "correct-horse-battery\n").unwrap();
        let given = read(&format!("secret = {{ file = {:?} }}", folder.path().join("key"))).unwrap();
        given.bring_in(folder.path()).unwrap();
        assert_eq!(shown(&given).unwrap(), "correct-horse-battery");
        let mode = fs::metadata(given.file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join("key"), "s3cret").unwrap();
        let said = given.bring_in(folder.path()).unwrap_err().to_string();
        assert!(said.contains("16 characters at least") && !said.contains("s3cret"), "{said}");
    }
}
