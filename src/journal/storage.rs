//! What the journal needs of a disk, so that tests can put a worse one in its place. Two real ones: [`super::disk`] and
//! [`super::memory`].
//!
//! Must not know what a record is.

use std::io;

/// A folder of files.
pub(super) trait Storage: Send + Sync {
    /// The names of all files in it.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reading, from its start.
    fn reader(&self, name: &str) -> io::Result<Box<dyn Reader>>;
    /// Opens a file for appending at its end; makes it, for good, if it is not there.
    fn appender(&self, name: &str) -> io::Result<Box<dyn Appender>>;
    /// Puts a whole file in place of what was there, or leaves that untouched. For good when it returns.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// How many bytes can still be written; `None`: no limit is known.
    fn free(&self) -> io::Result<Option<u64>>;
    /// Sets `bytes` aside, to be given back when the disk is full. Nothing happens when that was done before.
    fn load_ballast(&self, bytes: u64) -> io::Result<()>;
    /// Gives it back.
    fn drop_ballast(&self) -> io::Result<()>;
}

/// A file that is read, from any place in it.
pub(super) trait Reader: io::Read + io::Seek + Send {}

impl<T: io::Read + io::Seek + Send> Reader for T {}

/// A file that grows at its end.
pub(super) trait Appender: Send {
    /// Writes at the end. On an error some of it may have been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when all that was written is safe from a loss of power.
    fn flush(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Whether an error says that there is no room, be it of the disk, of a quota or of a file's size.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The file with the records after the snapshot of the same number.
pub(super) fn segment_name(number: u32) -> String {
    format!("journal-{number:06}.jsonl")
}

/// The file with the state before the segment of the same number.
pub(super) fn snapshot_name(number: u32) -> String {
    format!("snapshot-{number:06}.jsonl")
}

/// The numbers of the segments and of the snapshots among `names`, ascending.
pub(super) fn numbers(names: &[String]) -> (Vec<u32>, Vec<u32>) {
    let of = |prefix: &str| {
        let number = |name: &String| name.strip_prefix(prefix)?.strip_suffix(".jsonl")?.parse().ok();
        let mut found: Vec<u32> = names.iter().filter_map(number).collect();
        found.sort_unstable();
        found
    };
    (of("journal-"), of("snapshot-"))
}
