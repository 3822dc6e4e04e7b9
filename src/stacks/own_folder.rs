//! What a driver keeps in its own folder: files that are there wholly or not at all, and which installation it is. Must not know
//! what is in them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::random::hex_of;

/// Wholly or not at all, whatever happens to the host.
pub(super) fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Not `with_extension`: of a number after a dot that would take away the number.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

/// A random name of this installation, made once.
pub(super) fn installation(folder: &Path) -> io::Result<String> {
    fs::create_dir_all(folder.join("locks"))?;
    let path = folder.join("installation");
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&draft)?;
    writeln!(file, "{}", hex_of(16)?)?;
    file.sync_all()?;
    // Whoever is first wins, and all use theirs.
    match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::remove_file(&draft)?;
    File::open(folder)?.sync_all()?;
    Ok(fs::read_to_string(&path)?.trim().to_owned())
}
