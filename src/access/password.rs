//! Passwords, and what is kept of them. Must not show one, or say how it differs from the right one.

use std::{fmt, io, str::FromStr, sync::OnceLock};

use argon2::{
    Argon2, PasswordVerifier,
    password_hash::{PasswordHasher, phc},
};

use crate::random;

/// The shortest and the longest password, in bytes.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 12..=1024;
/// The largest amount of memory that a hash may ask for, in KiB: what is in the file is worked with at each sign-in.
const MEMORY: u32 = 256 << 10;

/// What is kept of a password: argon2id in the PHC format, with a salt of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(phc::PasswordHash);

impl PasswordHash {
    /// Makes that of a password.
    ///
    /// # Errors
    /// That there is no randomness to be had, or no memory.
    pub fn of(password: &[u8]) -> io::Result<Self> {
        let salt = random::bytes::<16>()?;
        // The default is argon2id with 19 MiB, two passes, one lane.
        let made: Result<phc::PasswordHash, _> = Argon2::default().hash_password_with_salt(password, &salt);
        made.map(Self).map_err(io::Error::other)
    }

    /// Returns whether it is that of this password. Takes a while, by design.
    pub fn is_of(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.0).is_ok()
    }

    /// Returns whether some password has it: nobody has chosen one yet otherwise.
    pub fn is_chosen(&self) -> bool {
        self != Self::nobody()
    }

    /// Returns one that no password has, so that a name which nobody has costs the same time as another.
    pub fn nobody() -> &'static Self {
        static NOBODY: OnceLock<PasswordHash> = OnceLock::new();
        NOBODY.get_or_init(|| {
            let zeros = "A".repeat(43);
            let text = format!("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA${zeros}");
            text.parse().expect("a hash that is written in the source")
        })
    }
}

impl FromStr for PasswordHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = phc::PasswordHash::new(text).map_err(|_| "it must be an argon2id hash in the PHC format")?;
        let whole = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
        let memory = hash.params.get_decimal("m");
        if whole && memory.is_some_and(|kib| kib <= MEMORY) {
            Ok(Self(hash))
        } else {
            Err("it must be an argon2id hash in the PHC format, with at most 256 MiB")
        }
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Refuses a password that is too short to be one.
///
/// # Errors
/// What is wrong with it.
pub fn check(password: &str) -> Result<(), String> {
    let (least, most) = (LENGTHS.start(), LENGTHS.end());
    match password.len() {
        length if length < *least => Err(format!("the password has {length} bytes; it needs {least} or more")),
        length if length > *most => Err(format!("the password has {length} bytes; at most {most} are taken")),
        _ if password.chars().any(char::is_control) => Err("the password has control characters".to_owned()),
        _ => Ok(()),
    }
}
