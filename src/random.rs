//! Randomness for keys, secrets and names, from the system: the one place that reads it. Must not be used where a test wants
//! to repeat what happened.

use std::{fs::File, io::Read};

/// Returns random bytes, written as hexadecimal digits.
///
/// # Errors
/// When the system gives none; nothing that needs a secret may go on then.
pub(crate) fn hex_of(bytes: usize) -> std::io::Result<String> {
    let mut random = vec![0; bytes];
    fill(&mut random)?;
    Ok(hex::encode(random))
}

/// Returns random bytes.
///
/// # Errors
/// As [`hex_of`].
pub(crate) fn bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut random = [0; N];
    fill(&mut random)?;
    Ok(random)
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}
