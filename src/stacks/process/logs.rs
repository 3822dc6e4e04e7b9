//! Reads what the instances of a stack wrote: the two files of each stream as one, the older one first. Must not change
//! anything, nor hold up whoever writes.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use secrecy::SecretString;

use super::{
    super::{Begin, LogLine, LogPage, Logs, LogsFrom, Spot, Stream},
    definition::{Definition, SecretVariable},
    folder::StackFolder,
};
use crate::machine::{Number, StackName};

/// The most that is read at once of all streams together, in bytes ...
const MOST: u64 = 1 << 20;
/// ... and the least that is read of each.
const LEAST: u64 = 64 << 10;

/// The folder of a stack that was torn down, as long as it is kept.
pub(super) fn retired(driver: &Path, name: &StackName) -> PathBuf {
    let environment = &name.environment;
    let place = driver.join("retired").join(environment.pipeline.as_str()).join(environment.environment.as_str());
    place.join(name.number.to_string())
}

/// The folder that the stack has now, wherever it is.
pub(super) fn folder_of(driver: &Path, name: &StackName) -> Option<StackFolder> {
    let all = [StackFolder::of(driver, name), StackFolder(retired(driver, name))];
    all.into_iter().find(|folder| folder.0.join("logs").is_dir())
}

/// Reads a part of it.
///
/// # Errors
/// When a file is there and cannot be read.
pub(super) fn read(driver: &Path, name: &StackName, from: &LogsFrom) -> io::Result<Logs> {
    let Some(folder) = folder_of(driver, name) else { return kept(driver, name).map(Logs::NotKept) };
    let mut page = LogPage { instances: instances(&folder)?, ..LogPage::default() };
    let wanted: Vec<u32> =
        page.instances.iter().copied().filter(|i| from.instance.is_none_or(|only| only == *i)).collect();
    let room = (MOST / (2 * wanted.len() as u64).max(1)).max(LEAST);
    for instance in wanted {
        for stream in Stream::BOTH {
            Parts::open(&folder, instance, stream)?.read(from, (instance, stream), room, &mut page)?;
        }
    }
    if let Some(state) = folder.state() {
        page.starts = state.instances.iter().map(|entry| entry.restarts as u64).collect();
    }
    page.hidden = hidden(&folder);
    Ok(Logs::Page(page))
}

/// The stacks of the same environment of which output is kept.
fn kept(driver: &Path, name: &StackName) -> io::Result<Vec<Number>> {
    let beside = |folder: &Path| -> io::Result<Vec<u32>> {
        let Some(above) = folder.parent() else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    };
    let mut all = beside(&StackFolder::of(driver, name).0)?;
    all.extend(beside(&retired(driver, name))?);
    all.sort_unstable();
    all.dedup();
    Ok(all.into_iter().map(Number).collect())
}

/// The instances that have files.
fn instances(folder: &StackFolder) -> io::Result<Vec<u32>> {
    let mut found: Vec<u32> = fs::read_dir(folder.0.join("logs"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".out")?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The secrets that the stack reads from files of this host.
pub(super) fn hidden(folder: &StackFolder) -> Vec<SecretString> {
    // A stack whose spec or definition cannot be read any more has none that we could find.
    let definition = folder.spec().ok().and_then(|spec| Definition::parse(&spec.definition).ok());
    let variables = definition.into_iter().flat_map(|definition| definition.secrets.into_values());
    let files = variables.filter_map(|variable| match variable {
        SecretVariable::File(file) => Some(file),
        SecretVariable::Handed(_) => None,
    });
    files.filter_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim_end().into()).collect()
}

/// The files of one stream, the oldest first.
struct Parts(Vec<Part>);

struct Part {
    id: u64,
    file: File,
    size: u64,
    /// There may have been one before it, so that it may begin amid a line.
    continues: bool,
}

impl Parts {
    fn open(folder: &StackFolder, instance: u32, stream: Stream) -> io::Result<Self> {
        let name = folder.0.join(format!("logs/{instance}.{}", stream.as_str()));
        let mut before = name.clone().into_os_string();
        before.push(".1");
        // In this order: what is put aside in between is found twice and not never.
        let (now, before) = (Part::open(&name, false)?, Part::open(Path::new(&before), true)?);
        let twice = before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| before.id == now.id);
        Ok(Self(before.filter(|_| !twice).into_iter().chain(now).collect()))
    }

    /// All bytes.
    fn length(&self) -> u64 {
        self.0.iter().map(|part| part.size).sum()
    }

    /// The place in a file that is so many bytes from the beginning.
    fn spot(&self, mut at: u64) -> Spot {
        let mut spot = Spot::default();
        for (nth, part) in self.0.iter().enumerate() {
            spot = Spot { file: part.id, offset: at.min(part.size) };
            // The end of one is the beginning of the next.
            if at < part.size || nth + 1 == self.0.len() {
                break;
            }
            at -= part.size;
        }
        spot
    }

    /// How far from the beginning a place is; none when its file is gone.
    fn place(&self, spot: Spot) -> Option<u64> {
        let mut before = 0;
        for part in &self.0 {
            if part.id == spot.file && spot.offset <= part.size {
                return Some(before + spot.offset);
            }
            before += part.size;
        }
        None
    }

    /// The bytes from there on, as many as there is room for.
    fn bytes(&mut self, mut at: u64, room: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in &mut self.0 {
            if at < part.size {
                part.file.seek(SeekFrom::Start(at))?;
                let left = room.saturating_sub(bytes.len() as u64).min(part.size - at);
                (&mut part.file).take(left).read_to_end(&mut bytes)?;
            }
            at = at.saturating_sub(part.size);
        }
        Ok(bytes)
    }

    /// Whether a line begins there.
    fn is_start(&mut self, at: u64) -> io::Result<bool> {
        if at == 0 {
            return Ok(self.0.first().is_none_or(|first| !first.continues));
        }
        Ok(self.bytes(at - 1, 1)? == b"\n")
    }

    /// Where the last so many lines begin, of those that fit.
    fn last(&mut self, lines: usize, room: u64) -> io::Result<u64> {
        let begin = self.length().saturating_sub(room);
        let bytes = self.bytes(begin, room)?;
        let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let ends = whole.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place + 1);
        let start = if lines == 0 { Some(bytes.len()) } else { ends.into_iter().nth(lines - 1) };
        Ok(begin + start.unwrap_or(0) as u64)
    }

    fn read(
        mut self,
        from: &LogsFrom,
        (instance, stream): (u32, Stream),
        room: u64,
        page: &mut LogPage,
    ) -> io::Result<()> {
        let at = match &from.begin {
            Begin::Last(lines) => self.last(*lines, room)?,
            Begin::After(position) => match position.of(instance, stream) {
                // It was not there then.
                None => 0,
                Some(spot) => self.place(spot).unwrap_or_else(|| {
                    page.missed = true;
                    0
                }),
            },
        };
        let mut bytes = &*self.bytes(at, room)?;
        let (begin, mut at, full) = (at, at, bytes.len() as u64 == room);
        if !self.is_start(at)? {
            // The rest of a line whose beginning was cut off, maybe amid a secret.
            let rest = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            (at, bytes) = (at + rest as u64, &bytes[rest..]);
        }
        let mut push = |bytes: &[u8], next: Spot| {
            let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned();
            page.lines.push(LogLine { instance, stream, text, next });
        };
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            at += end as u64 + 1;
            push(&bytes[..end], self.spot(at));
            bytes = &bytes[end + 1..];
        }
        let endless = full && at == begin;
        if !bytes.is_empty() && (from.unfinished || endless) {
            at += bytes.len() as u64;
            push(bytes, self.spot(at));
        }
        page.more |= full && at < self.length();
        page.next.advance(instance, stream, self.spot(at));
        Ok(())
    }
}

impl Part {
    fn open(path: &Path, continues: bool) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let data = file.metadata()?;
        // Numbers of files are used again; with the time of its making it is one file's alone. Where the file system does not
        // know that, a position may be taken for one of another file, and shows lines twice or not at all.
        let made = data.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let made = made.map_or(0, |made| u64::from(made.subsec_nanos()) ^ (made.as_secs() << 30));
        let id = data.ino().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ made;
        Ok(Some(Self { id, file, size: data.len(), continues }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::stacks::Position;

    /// A stack with one instance that writes to its standard output.
    struct Writer {
        folder: tempfile::TempDir,
        name: StackName,
    }

    impl Writer {
        fn new() -> Self {
            let writer = Self {
                folder: tempfile::tempdir().unwrap(),
                name: StackName { environment: "shop/prod".parse().unwrap(), number: Number(3) },
            };
            fs::create_dir_all(writer.file("").parent().unwrap()).unwrap();
            writer
        }

        fn file(&self, ending: &str) -> PathBuf {
            StackFolder::of(self.folder.path(), &self.name).0.join(format!("logs/0.out{ending}"))
        }

        fn write(&self, text: &str) {
            let mut file = File::options().create(true).append(true).open(self.file("")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self) {
            fs::rename(self.file(""), self.file(".1")).unwrap();
        }

        fn page(&self, begin: Begin, unfinished: bool) -> LogPage {
            match read(self.folder.path(), &self.name, &LogsFrom { instance: None, begin, unfinished }).unwrap() {
                Logs::Page(page) => page,
                Logs::NotKept(kept) => panic!("kept is {kept:?}"),
            }
        }

        fn lines(&self, begin: Begin) -> (Vec<String>, Position) {
            let page = self.page(begin, false);
            (page.lines.into_iter().map(|line| line.text).collect(), page.next)
        }
    }

    #[test]
    fn the_last_lines_are_found_across_both_files_and_an_unfinished_one_counts_where_it_is_asked_for() {
        let writer = Writer::new();
        writer.write("one\ntwo\r\nth");
        writer.rotate();
        writer.write("ree\nfour\nfi");
        assert_eq!(writer.lines(Begin::Last(3)).0, ["three", "four"]);
        let all: Vec<String> = writer.page(Begin::Last(3), true).lines.into_iter().map(|line| line.text).collect();
        assert_eq!(all, ["three", "four", "fi"]);
        // The first line of the older file may be the rest of one.
        assert_eq!(writer.lines(Begin::Last(99)).0, ["two", "three", "four"]);
        assert!(writer.lines(Begin::Last(0)).0.is_empty());
    }

    #[test]
    fn who_goes_on_reading_gets_each_line_once_whatever_is_put_aside_meanwhile() {
        let writer = Writer::new();
        let (mut heard, mut at) = (Vec::new(), Position::default());
        for nth in 0..50 {
            writer.write(&format!("line {nth}\nand {nth}"));
            if nth % 3 == 0 {
                writer.rotate();
            }
            writer.write(" goes on\n");
            let (lines, next) = writer.lines(Begin::After(at.to_string().parse().unwrap()));
            heard.extend(lines);
            at = next;
        }
        let all: Vec<String> = (0..50).flat_map(|n| [format!("line {n}"), format!("and {n} goes on")]).collect();
        assert_eq!(heard[..], all[usize::from(heard.len() < all.len())..], "only a first line may be missing");
    }

    #[test]
    fn what_was_put_aside_twice_is_said_to_be_missed_and_no_half_line_is_shown() {
        let writer = Writer::new();
        writer.write("first\n");
        let at = writer.page(Begin::Last(1), false).next;
        writer.rotate();
        writer.write("lost\nsecret-in-two-");
        writer.rotate();
        writer.write("halves\nnew\n");
        writer.rotate();
        writer.write("newer\n");
        let page = writer.page(Begin::After(at), false);
        let lines: Vec<&str> = page.lines.iter().map(|line| &*line.text).collect();
        assert!(page.missed);
        assert_eq!(lines, ["new", "newer"]);
    }

    #[test]
    fn a_line_without_end_does_not_stop_the_reading() {
        let writer = Writer::new();
        writer.write(&"x".repeat(3 << 19));
        writer.write("\nnext\n");
        let first = writer.page(Begin::After(Position::default()), false);
        assert!(first.more && first.lines.len() == 1);
        let mut page = writer.page(Begin::After(first.next), false);
        while page.more {
            assert!(page.lines.is_empty(), "the rest of the line is none");
            page = writer.page(Begin::After(page.next), false);
        }
        let lines: Vec<&str> = page.lines.iter().map(|line| &*line.text).collect();
        assert_eq!(lines, ["next"]);
    }

    #[test]
    fn of_a_stack_that_is_not_there_it_is_said_which_are() {
        let writer = Writer::new();
        fs::create_dir_all(writer.folder.path().join("retired/shop/prod/1/logs")).unwrap();
        let from = LogsFrom { instance: None, begin: Begin::Last(1), unfinished: true };
        let other = StackName { number: Number(9), ..writer.name.clone() };
        let Logs::NotKept(kept) = read(writer.folder.path(), &other, &from).unwrap() else { panic!("it is not kept") };
        assert_eq!(kept, [Number(1), Number(3)]);
        let old = StackName { number: Number(1), ..other };
        assert!(matches!(read(writer.folder.path(), &old, &from).unwrap(), Logs::Page(page) if page.lines.is_empty()));
    }
}
