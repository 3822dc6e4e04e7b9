//! The state folder is for its owner alone: who can read the local token is an admin. Must not change what is in the files.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What is as secret as the folder itself.
const SECRET: [&str; 9] = [
    "token",
    "fingerprint-key",
    "evidence-key",
    "tokens.toml",
    "tokens.lock",
    "users.toml",
    "users.lock",
    super::sessions::FILE,
    super::used::FILE,
];
/// The rights of everybody but the owner.
const OTHERS: u32 = 0o077;

/// What was open to others and is closed now.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    /// The folder or file.
    pub path: PathBuf,
    /// Its mode before.
    pub was: u32,
}

/// Takes the rights of others away from the state folder and from the secrets in it.
///
/// # Errors
/// What is open to others and cannot be closed.
pub fn close(state: &Path) -> io::Result<Vec<Closed>> {
    let mut closed = Vec::new();
    let secrets = SECRET.iter().map(|name| state.join(name));
    for path in std::iter::once(state.to_owned()).chain(secrets) {
        let was = match fs::symlink_metadata(&path) {
            // Where a link leads is not ours to change; the folder that holds it is closed.
            Ok(seen) if seen.is_symlink() && path != state => continue,
            Ok(_) => fs::metadata(&path)?.permissions().mode() & 0o7777,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if was & OTHERS != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(was & !OTHERS)).map_err(|error| {
                let path = path.display();
                io::Error::new(
                    error.kind(),
                    format!(
                        "{path} is open to others (mode {was:04o}) and cannot be closed: {error}; whoever can read the \
                         local token is an admin: chmod go= {path}"
                    ),
                )
            })?;
            closed.push(Closed { path, was });
        }
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_read_is_closed_once_and_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, token) = (folder.path().join("state"), folder.path().join("state/token"));
        fs::create_dir(&state).expect("made");
        fs::write(&token, "x").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).expect("ours");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("ours");
        let closed = close(&state).expect("ours");
        let named: Vec<_> = closed.iter().map(|c| (c.path.as_path(), c.was)).collect();
        assert_eq!(named, [(state.as_path(), 0o755), (token.as_path(), 0o644)]);
        assert_eq!((mode(&state), mode(&token)), (0o700, 0o600));
        assert_eq!(close(&state).expect("ours"), []);
    }
}
