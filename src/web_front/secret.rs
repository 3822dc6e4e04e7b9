//! Secrets that are made for a front, in its folder. One is shared with its controller: who sends it in `x-pointsman-probe` is
//! told which stack answers. Must not be logged.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use http::HeaderValue;

use crate::random;

/// File of the secret of those who probe.
const PROBE: &str = "probe-secret";
/// Length in hexadecimal digits.
const LENGTH: usize = 64;

/// Returns the secret of those who probe, as the value of a header.
pub(super) fn of_probes(folder: &Path) -> io::Result<HeaderValue> {
    let mut secret = of(folder, PROBE).and_then(|secret| HeaderValue::try_from(secret).map_err(io::Error::other))?;
    secret.set_sensitive(true);
    Ok(secret)
}

/// Reads the secret, and makes it where there is none yet. Whoever comes first makes it for both.
pub(super) fn of(folder: &Path, file: &str) -> io::Result<String> {
    let path = folder.join(file);
    let secret = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(folder, file)?;
            fs::read_to_string(&path)?
        }
        read => read?,
    };
    let secret = secret.trim_end();
    let fits = secret.len() == LENGTH && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = || {
        let why = format!("{} does not hold {LENGTH} hexadecimal digits; delete it", path.display());
        io::Error::new(io::ErrorKind::InvalidData, why)
    };
    fits.then(|| secret.to_owned()).ok_or_else(wrong)
}

/// A file that is there is whole: it gets its name when it is written.
fn make(folder: &Path, name: &str) -> io::Result<()> {
    let draft = folder.join(format!("{name}.{}", random::hex_of(8)?));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(random::hex_of(LENGTH / 2)?.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, folder.join(name));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn whoever_asks_gets_the_same_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<String> = std::thread::scope(|scope| {
            let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| of(folder.path(), PROBE).unwrap())).collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).collect()
        });
        assert!(all.iter().all(|secret| *secret == all[0] && secret.len() == LENGTH));
        let mode = fs::metadata(folder.path().join(PROBE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        fs::write(folder.path().join(PROBE), "short").unwrap();
        assert!(of(folder.path(), PROBE).unwrap_err().to_string().contains("delete it"));
    }
}
