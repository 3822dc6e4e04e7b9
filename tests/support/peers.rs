//! Programs of this host that some stories play with. A lone `cargo test` does without one that is not there, and says
//! so; `tests/run` installs them all and does without none.

use std::path::PathBuf;

/// Where the program is; none when its stories are left out.
pub fn need(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]).map(PathBuf::from);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        left_out(&format!("{program} is not installed"));
    }
    found
}

/// A story cannot be played here, and says why. Fails where none may be left out.
#[track_caller]
pub fn left_out(why: &str) {
    assert!(std::env::var_os("POINTSMAN_PEERS").is_none(), "required, and yet {why}");
    println!("left out: {why}");
}
