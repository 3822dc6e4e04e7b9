//! Files in a folder that is held open: whoever owns the folder cannot have root write, give away or lock a file elsewhere, since
//! no link is followed and nothing is found by its path a second time. Must not know what is in the files.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, fchown, fstat, mkdirat, openat, renameat, unlinkat},
    io::Errno,
    process::geteuid,
};

const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Opens a folder. Links on the way to it are followed: the path is the reader's own.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let folder = File::open(path)?;
    if folder.metadata()?.is_dir() { Ok(folder) } else { Err(Errno::NOTDIR.into()) }
}

/// Opens a folder below another one, for its owner alone; makes it where there is none.
pub(super) fn open_below(folder: &File, name: &str) -> io::Result<File> {
    let made = match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let below = File::from(openat(folder, name, SAFELY | OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?);
    if made {
        owned_like(&below, folder)?;
        folder.sync_all()?;
    }
    Ok(below)
}

/// Opens a file to read it and to add to its end; makes it where there is none. It has its name on the disk then.
pub(super) fn open_to_append(folder: &File, name: &str) -> io::Result<File> {
    let how = OFlags::RDWR | OFlags::APPEND;
    match make(folder, name, how) {
        Ok(file) => folder.sync_all().map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            regular(openat(folder, name, SAFELY | how, Mode::empty())?.into(), name)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file that is locked; makes it where there is none.
pub(super) fn open_lock(folder: &File, name: &str) -> io::Result<File> {
    match make(folder, name, OFlags::WRONLY) {
        // Who may not write it may lock it all the same.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            regular(openat(folder, name, SAFELY | OFlags::RDONLY, Mode::empty())?.into(), name)
        }
        made => made,
    }
}

/// Puts a file in the place of the one before, whole, and on the disk.
pub(super) fn replace(folder: &File, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.new");
    // A draft that was left behind may belong to somebody else.
    match unlinkat(folder, &*draft, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut file = make(folder, &draft, OFlags::WRONLY)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(folder, &draft, name)?;
    folder.sync_all()
}

/// Gives a file another name.
pub(super) fn rename(folder: &File, from: &str, to: &str) -> io::Result<()> {
    Ok(renameat(folder, from, folder, to)?)
}

/// Makes a file that is not there, for its owner alone.
fn make(folder: &File, name: &str, how: OFlags) -> io::Result<File> {
    let file = File::from(openat(folder, name, SAFELY | how | OFlags::CREATE | OFlags::EXCL, OWNER_ONLY)?);
    owned_like(&file, folder)?;
    Ok(file)
}

fn regular(file: File, name: &str) -> io::Result<File> {
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind == FileType::RegularFile { Ok(file) } else { Err(io::Error::other(format!("{name} is not a plain file"))) }
}

/// What root makes in the folder of another belongs to that other: the controller must be able to read it. Only for what was
/// made just now.
fn owned_like(file: &File, folder: &File) -> io::Result<()> {
    let owner = folder.metadata()?;
    if geteuid().is_root() && owner.uid() != 0 {
        fchown(file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    Ok(())
}
