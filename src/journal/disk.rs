//! A state folder on a local disk: the lock, the flushes, the ballast.
//!
//! The lock is on a file of its own that is never renamed: after a rename over a locked file a second controller would get
//! the lock on the new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock, statfs, statvfs};

use super::{
    problem::OpenError,
    storage::{Appender, Reader, Storage},
};

/// Takes the lock of a state folder that is there, without reading it. It is held for as long as the file lives.
///
/// # Errors
/// When somebody else has it, or the folder cannot be used.
pub fn claim(folder: &Path) -> Result<File, OpenError> {
    Disk::lock(folder).map(|(_, lock)| lock)
}

const LOCK: &str = "lock";
const BALLAST: &str = "ballast";
/// The lock of a controller that was killed may outlive it for a moment: a program that it was just starting holds it until it
/// runs. So often, with this pause, it is tried again then.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// The process that wrote its id into this lock.
fn holder_in(lock: &mut File) -> Option<String> {
    let mut holder = String::new();
    lock.rewind().and_then(|()| lock.read_to_string(&mut holder)).ok()?;
    Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty())
}

/// The folder.
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Makes the folder if need be, and takes the lock, which is held for as long as the file lives.
    pub(super) fn lock(folder: &Path) -> Result<(Self, File), OpenError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { doing, path, source }
        };
        fs::create_dir_all(folder).map_err(io("making the state folder", folder))?;
        let kind = statfs(folder).map_err(|e| io("looking at", folder)(e.into()))?.f_type;
        if let Some(kind) = network(kind) {
            return Err(OpenError::NetworkFileSystem { folder: folder.to_owned(), kind });
        }
        let path = folder.join(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut lock = opened.map_err(io("opening the lock", &path))?;
        let mut left = TRIES;
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(io("locking", &path)(error.into()));
            }
            let holder = holder_in(&mut lock);
            let is_gone = holder.as_ref().is_some_and(|pid| !Path::new("/proc").join(pid).exists());
            if !is_gone || left == 0 {
                let holder = holder.unwrap_or_else(|| "unknown".to_owned());
                return Err(OpenError::Locked { folder: folder.to_owned(), holder });
            }
            left -= 1;
            std::thread::sleep(PAUSE);
        }
        // Only for the message to a second controller: a full disk must not keep the first from starting.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok((Self::unlocked(folder), lock))
    }

    /// Opens it for reading only, also beside a controller that is at work.
    pub(super) fn unlocked(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The process that holds the lock of a folder, as it wrote it there; none when nobody does. Changes nothing.
    pub(super) fn holder(folder: &Path) -> Option<String> {
        let mut lock = File::open(folder.join(LOCK)).ok()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Ok(()) | Err(_) => return None,
        }
        Some(holder_in(&mut lock).unwrap_or_else(|| "unknown".to_owned()))
    }

    fn flush_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// The name of a file system behind a network, by the number that the kernel gives it. FUSE and 9p are let pass: the
/// number does not tell a remote one from a local one, and sandboxes show their local disk as 9p.
fn network(kind: impl Into<i64>) -> Option<&'static str> {
    match kind.into() & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x564c => Some("NCP"),
        0x7375_7245 => Some("Coda"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        _ => None,
    }
}

impl Storage for Disk {
    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.folder)?
            .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
    }

    fn reader(&self, name: &str) -> io::Result<Box<dyn Reader>> {
        Ok(Box::new(File::open(self.folder.join(name))?))
    }

    fn appender(&self, name: &str) -> io::Result<Box<dyn Appender>> {
        let file = OpenOptions::new().create(true).append(true).open(self.folder.join(name))?;
        // Also when it was there: the process that made it may have died before this.
        file.sync_all()?;
        self.flush_folder()?;
        Ok(Box::new(Growing(file)))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!("{name}.new"));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
        let replaced = written.and_then(|()| fs::rename(&temporary, self.folder.join(name)));
        if replaced.is_err() {
            let _ = fs::remove_file(&temporary); // What is left over is overwritten by the next attempt anyway.
        }
        replaced.and_then(|()| self.flush_folder())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn free(&self) -> io::Result<Option<u64>> {
        let seen = statvfs(&self.folder)?;
        Ok(Some(seen.f_bavail.saturating_mul(seen.f_frsize)))
    }

    fn load_ballast(&self, bytes: u64) -> io::Result<()> {
        let path = self.folder.join(BALLAST);
        if fs::metadata(&path).is_ok_and(|file| file.len() == bytes) {
            return Ok(());
        }
        // Written, not merely sized: a file with holes takes no room that could be given back.
        let written = File::create(&path).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
            file.sync_all()
        });
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written
    }

    fn drop_ballast(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.flush_folder(),
        }
    }
}

struct Growing(File);

impl Appender for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
