//! The fetching side of git's protocol, version 0: what a remote has, and a pack of what is missing here. One round: the
//! wants, a few hundred of our commits, `done`. Must not know how the bytes travel, and believes nothing of them.

use bytes::{Bytes, BytesMut};
use git2::Oid;

use super::{Error, patience::Patience};
use crate::text::excerpt;

/// The most branches and tags of a remote.
const MOST_REFS: usize = 500_000;

/// A branch or tag of a remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tip {
    pub name: String,
    pub id: Oid,
}

/// One conversation with a remote.
pub(super) trait Upstream {
    /// Its branches and tags. Asked once, before [`Self::pack`].
    fn tips(&mut self) -> Result<Vec<Tip>, Error>;
    /// A pack with what `wants` lead to and `haves` do not. Asked once at most.
    fn pack(&mut self, wants: &[Oid], haves: &[Oid], sink: &mut Sink<'_>) -> Result<(), Error>;
}

/// Where a pack goes to.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// Bytes as they come; none at their end.
pub(super) trait Chunks {
    fn next(&mut self) -> Result<Option<Bytes>, Error>;
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Flush,
    Line(BytesMut),
}

/// Cuts bytes into the packets of the protocol.
pub(super) struct Packets<'a, C> {
    chunks: C,
    patience: &'a Patience,
    held: BytesMut,
}

impl<'a, C: Chunks> Packets<'a, C> {
    pub fn of(chunks: C, patience: &'a Patience) -> Self {
        Self { chunks, patience, held: BytesMut::new() }
    }

    pub fn next(&mut self) -> Result<Packet, Error> {
        let head = self.take(4)?;
        let length = std::str::from_utf8(&head).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        match length {
            Some(0) => Ok(Packet::Flush),
            Some(length @ 4..) => self.take(length - 4).map(Packet::Line),
            _ => Err(self.patience.broken("it does not speak git's protocol")),
        }
    }

    /// The next line, without its end; none at a flush.
    fn line(&mut self) -> Result<Option<BytesMut>, Error> {
        let Packet::Line(mut line) = self.next()? else { return Ok(None) };
        if line.last() == Some(&b'\n') {
            line.truncate(line.len() - 1);
        }
        line.strip_prefix(b"ERR ").map_or(Ok(()), |said| Err(complaint(self.patience, said)))?;
        Ok(Some(line))
    }

    fn take(&mut self, length: usize) -> Result<BytesMut, Error> {
        while self.held.len() < length {
            let more = self.chunks.next()?.ok_or_else(|| self.patience.broken("it ended too early"))?;
            self.patience.count(more.len())?;
            self.held.extend_from_slice(&more);
        }
        Ok(self.held.split_to(length))
    }
}

/// What a remote says when it does not do what was asked.
fn complaint(patience: &Patience, said: &[u8]) -> Error {
    let said = String::from_utf8_lossy(said);
    let lower = said.to_lowercase();
    if ["not found", "does not exist", "not appear to be a git repository"].iter().any(|words| lower.contains(words)) {
        return Error::NoRepository(patience.place.clone());
    }
    if ["denied", "not authorized", "unauthorized"].iter().any(|words| lower.contains(words)) {
        return patience.refused(excerpt(said.trim()));
    }
    patience.says(&said)
}

/// What a remote says first.
pub(super) struct Greeting {
    pub tips: Vec<Tip>,
    capabilities: Vec<String>,
}

/// Reads the branches and tags of a remote.
pub(super) fn greeting<C: Chunks>(packets: &mut Packets<'_, C>) -> Result<Greeting, Error> {
    let mut greeting = Greeting { tips: Vec::new(), capabilities: Vec::new() };
    let patience = packets.patience;
    let mut first = true;
    while let Some(line) = packets.line()? {
        if line.starts_with(b"version ") || line.starts_with(b"shallow ") {
            continue;
        }
        let mut halves = line.splitn(2, |b| *b == 0);
        let tip = halves.next().unwrap_or_default();
        if std::mem::take(&mut first) {
            let words = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
            greeting.capabilities = words.split(' ').map(str::to_owned).collect();
        }
        greeting.tips.extend(read_tip(tip, patience)?);
        if greeting.tips.len() > MOST_REFS {
            return Err(patience.broken(format!("it has more than {MOST_REFS} branches and tags")));
        }
    }
    if greeting.capabilities.iter().any(|c| c.starts_with("object-format=") && c != "object-format=sha1") {
        return Err(patience.broken("its ids are SHA-256, which is not supported"));
    }
    Ok(greeting)
}

/// None for what is neither a branch nor a tag, or is named so that it could not be kept.
fn read_tip(line: &[u8], patience: &Patience) -> Result<Option<Tip>, Error> {
    let nonsense = || patience.broken("it does not list its branches as git does");
    let line = std::str::from_utf8(line).ok();
    let Some(line) = line else { return Ok(None) };
    let (id, name) = line.split_once(' ').filter(|(id, _)| id.len() == 40).ok_or_else(nonsense)?;
    let id = Oid::from_str(id).map_err(|_| nonsense())?;
    let kept = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    let kept = kept && git2::Reference::is_valid_name(name) && !id.is_zero();
    Ok(kept.then(|| Tip { name: name.to_owned(), id }))
}

/// What we ask for.
pub(super) fn request(
    greeting: &Greeting,
    wants: &[Oid],
    haves: &[Oid],
    patience: &Patience,
) -> Result<Vec<u8>, Error> {
    let known = ["multi_ack_detailed", "side-band-64k", "thin-pack", "ofs-delta"];
    let able = |name: &str| greeting.capabilities.iter().any(|c| c == name);
    if !able("side-band-64k") {
        return Err(patience.broken("its server is too old to tell progress from content"));
    }
    let known: Vec<&str> = known.into_iter().filter(|name| able(name)).collect();
    let agent = concat!("agent=pointsman/", env!("CARGO_PKG_VERSION"));
    let mut request = Vec::new();
    for (nth, id) in wants.iter().enumerate() {
        let capabilities = if nth == 0 { format!(" {} {agent}", known.join(" ")) } else { String::new() };
        line(&mut request, &format!("want {id}{capabilities}\n"));
    }
    request.extend(b"0000");
    haves.iter().for_each(|id| line(&mut request, &format!("have {id}\n")));
    line(&mut request, "done\n");
    Ok(request)
}

fn line(to: &mut Vec<u8>, text: &str) {
    to.extend(format!("{:04x}{text}", text.len() + 4).into_bytes());
}

/// Reads the answer to a [`request`].
pub(super) fn receive<C: Chunks>(packets: &mut Packets<'_, C>, sink: &mut Sink<'_>) -> Result<(), Error> {
    loop {
        let Packet::Line(line) = packets.next()? else { return Ok(()) };
        match line.split_first() {
            Some((1, content)) => sink(content)?,
            Some((2, _progress)) => {}
            Some((3, said)) => return Err(complaint(packets.patience, said)),
            _ if line.starts_with(b"ACK ") || line.starts_with(b"NAK") => {}
            _ => {
                let said = line.strip_prefix(b"ERR ");
                let error = said.map(|said| complaint(packets.patience, said));
                return Err(error.unwrap_or_else(|| packets.patience.broken("its answer is no pack")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Limits;

    impl Chunks for Vec<Vec<u8>> {
        fn next(&mut self) -> Result<Option<Bytes>, Error> {
            Ok((!self.is_empty()).then(|| self.remove(0).into()))
        }
    }

    fn patience() -> Patience {
        Patience::new("git.example".into(), Limits { bytes: 10_000, ..Limits::default() }, false).unwrap()
    }

    fn told(text: &str) -> Result<Greeting, Error> {
        let patience = patience();
        greeting(&mut Packets::of(text.bytes().map(|b| vec![b]).collect::<Vec<_>>(), &patience))
    }

    fn packets(lines: &[&str]) -> String {
        let mut all = Vec::new();
        lines.iter().for_each(|text| line(&mut all, text));
        String::from_utf8(all).unwrap() + "0000"
    }

    #[test]
    fn branches_and_tags_are_read_and_nothing_else() {
        let id = "a".repeat(40);
        let lines = ["HEAD\0side-band-64k", "refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}", "refs/pull/7/head"];
        let lines = lines.map(|name| format!("{id} {name}\n"));
        let told = told(&packets(&lines.each_ref().map(String::as_str))).unwrap();
        let names: Vec<_> = told.tips.iter().map(|tip| tip.name.as_str()).collect();
        assert_eq!(names, ["refs/heads/main", "refs/tags/v1"]);
        let empty = format!("{} capabilities^{{}}\0side-band-64k\n", "0".repeat(40));
        assert!(super::tests::told(&packets(&[&empty])).unwrap().tips.is_empty());
    }

    #[test]
    fn nonsense_is_told_and_never_believed() {
        for text in ["", "00", "zzzz", "0003", "<html>", "ffff", "0008\0\0\0\0", "+004"] {
            assert!(matches!(told(text), Err(Error::Broken { .. })), "{text:?}");
        }
        let escape = format!("{} refs/heads/../../../etc/passwd\0side-band-64k\n", "a".repeat(40));
        assert!(told(&packets(&[&escape])).unwrap().tips.is_empty());
        assert!(matches!(told(&packets(&["ERR Repository not found.\n"])), Err(Error::NoRepository(_))));
        assert!(matches!(told(&packets(&["ERR access denied\n"])), Err(Error::Refused { .. })));
        let sha256 = format!("{} HEAD\0object-format=sha256\n", "a".repeat(40));
        assert!(told(&packets(&[&sha256])).err().unwrap().to_string().contains("SHA-256"));
        assert!(matches!(told(&packets(&[&"x".repeat(20_000)])), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn random_bytes_end_in_an_error_and_not_in_a_panic() {
        let mut seed = 7_u64;
        for _ in 0..2000 {
            let mut bytes = b"0040".to_vec();
            for _ in 0..80 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push((seed >> 33) as u8);
            }
            let patience = patience();
            let mut sunk = 0;
            let answer = receive(&mut Packets::of(vec![bytes], &patience), &mut |pack| {
                sunk += pack.len();
                Ok(())
            });
            assert!(answer.is_err());
        }
    }
}
