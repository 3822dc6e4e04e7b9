//! What may be wrong with a front although it serves: facts, which `telling` puts into words. Must not decide anything.

use std::{mem::discriminant, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::Millis;

/// Something about a front that a person should know. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FrontTrouble {
    /// The system gives less than the settings ask for.
    Limited {
        /// What is missing, and what is served instead.
        why: String,
    },
    /// The front ended unasked within the last day, and was started again.
    Ended {
        /// How often.
        times: usize,
        /// When it did last.
        at: Millis,
        /// The reason, in the system's words.
        why: String,
        /// How long nobody served then, in milliseconds; none: it has not served since.
        away_ms: Option<u64>,
        /// The front's folder.
        folder: PathBuf,
    },
    /// Requests were answered 503 because a limit of the settings was reached.
    ClientsRefused {
        /// The key of the limit.
        limit: String,
        /// Its value.
        most: usize,
        /// How many requests.
        times: u64,
        /// When the first of them was.
        since: Millis,
        /// When the last of them was.
        last: Millis,
    },
    /// The system refused file descriptors.
    DescriptorsRefused {
        /// How often.
        times: u64,
        /// When it did first.
        since: Millis,
        /// When it did last.
        last: Millis,
    },
    /// Certificate or pages could not be read again. Those from before are served.
    ReloadFailed {
        /// The reason.
        why: String,
        /// When it was tried first.
        since: Millis,
        /// The front's folder.
        folder: PathBuf,
    },
    /// The dates and names of the certificate could not be read, so nobody is warned of its end.
    CertificateUnread {
        /// Its file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
    /// The certificate ends soon.
    CertificateEnds {
        /// Its file.
        file: PathBuf,
        /// When it ends.
        at: Millis,
    },
    /// The certificate does not cover a host that users go to.
    CertificateNames {
        /// Its file.
        file: PathBuf,
        /// The host.
        host: String,
    },
    /// The certificate is not valid yet.
    CertificateBegins {
        /// Its file.
        file: PathBuf,
        /// When it begins to be.
        at: Millis,
    },
    /// The certificate has ended.
    CertificateEnded {
        /// Its file.
        file: PathBuf,
        /// When it did.
        at: Millis,
    },
    /// The front does not run, and ends as often as it is started.
    NotStarting {
        /// How often it ended before it served.
        times: u64,
        /// The last reason, in the system's words.
        why: String,
        /// The front's folder.
        folder: PathBuf,
    },
    /// The front is found on another host than the last cutover.
    OtherHost {
        /// The host, by name and identity.
        host: String,
        /// The one on which the last cutover was seen.
        before: String,
    },
    /// A front of another version says what this one does not know.
    #[serde(other)]
    Unknown,
}

impl FrontTrouble {
    /// Returns since when it is so, where that is known.
    pub fn since(&self) -> Option<Millis> {
        match self {
            Self::Ended { at, .. } | Self::CertificateEnded { at, .. } => Some(*at),
            Self::ClientsRefused { since, .. }
            | Self::DescriptorsRefused { since, .. }
            | Self::ReloadFailed { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// Returns whether this is what was known before, perhaps with other numbers: no news.
    pub fn is_still(&self, before: &Self) -> bool {
        let same = match (self, before) {
            (Self::Ended { at: a, .. }, Self::Ended { at: b, .. }) => a == b,
            (Self::ClientsRefused { limit: a, .. }, Self::ClientsRefused { limit: b, .. })
            | (Self::CertificateNames { host: a, .. }, Self::CertificateNames { host: b, .. })
            | (Self::ReloadFailed { why: a, .. }, Self::ReloadFailed { why: b, .. })
            | (Self::OtherHost { host: a, .. }, Self::OtherHost { host: b, .. })
            | (Self::Limited { why: a }, Self::Limited { why: b }) => a == b,
            _ => true,
        };
        same && discriminant(self) == discriminant(before)
    }
}
