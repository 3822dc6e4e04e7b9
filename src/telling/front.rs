//! What is said about a front that serves although something is wrong with it: what users see of it, what is done and what
//! to do, and the command that helps.

use std::path::Path;

use crate::{
    machine::Millis,
    text::{format_duration, format_time},
    web_front::FrontTrouble,
};

const DAY: u64 = 86_400_000;

/// The sentences about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrontSaid {
    /// Step that the trouble is about.
    pub step: &'static str,
    /// What users see of it; none: nothing.
    pub users: Option<String>,
    /// What it is, what Pointsman does and what to do.
    pub doing: String,
    /// The command that helps; none where the file to change is named in `doing`.
    pub command: Option<String>,
}

impl FrontSaid {
    /// Returns both as one text.
    pub(crate) fn why(&self) -> String {
        self.users.as_ref().map_or_else(|| self.doing.clone(), |users| format!("{users} {}", self.doing))
    }
}

/// Returns what is said at this time.
pub(crate) fn front(trouble: &FrontTrouble, now: Millis) -> FrontSaid {
    let again = "The front reads a newer one at that place within 5 s, and loses no connection.";
    let serves = |file: &Path| format!("The front serves it from {} all the same. {again}", file.display());
    match trouble {
        FrontTrouble::CertificateUnread { file, why } => {
            let doing = format!("{}: its dates cannot be read ({why}), so nothing warns of its end.", file.display());
            of_certificate(file, None, doing)
        }
        FrontTrouble::CertificateEnds { file, at } => {
            let (left, at) = (days(at.since(now)), format_time(*at));
            of_certificate(file, None, format!("{} ends in {left}, at {at}. {again}", file.display()))
        }
        FrontTrouble::CertificateEnded { file, at } => {
            let (ago, at) = (days(now.since(*at)), format_time(*at));
            let users = format!("Browsers refuse the front's certificate: it ended {ago} ago, at {at}.");
            of_certificate(file, Some(users), serves(file))
        }
        FrontTrouble::CertificateBegins { file, at } => {
            let users =
                format!("Browsers refuse the front's certificate: it is not valid before {}.", format_time(*at));
            of_certificate(file, Some(users), serves(file))
        }
        FrontTrouble::CertificateNames { file, host } => {
            let users =
                format!("Browsers that go to {host} refuse the front's certificate: it does not cover that host.");
            of_certificate(file, Some(users), serves(file))
        }
        FrontTrouble::ReloadFailed { why, since, folder } => {
            let (since, why) = (format_time(*since), why.trim_end_matches('.'));
            let doing = format!(
                "They could not be read again since {since}: {why}. The front serves those from before, and reads them as \
                 soon as their files change."
            );
            FrontSaid { step: "the front's certificate and pages", users: None, doing, command: tail(folder, "log") }
        }
        FrontTrouble::Ended { times, at, why, away_ms, folder } => {
            let (count, at) =
                (if *times == 1 { "once".to_owned() } else { format!("{times} times") }, format_time(*at));
            let back = match away_ms {
                Some(away) => format!("It was started again and served {away} ms later"),
                None => "It is started again".to_owned(),
            };
            let doing = format!("It ended unasked {count} within a day, the last time at {at} ({why}). {back}.");
            FrontSaid { step: PROCESS, users: None, doing, command: tail(folder, "log") }
        }
        FrontTrouble::NotStarting { times, why, folder } => {
            let users = Some("Users who connect wait: the front does not run.".to_owned());
            let doing =
                format!("It ended {times} times before it served ({why}). It is started again, after 5 s at most.");
            FrontSaid { step: PROCESS, users, doing, command: tail(folder, "last-words") }
        }
        FrontTrouble::OtherHost { host, before } => {
            let doing = format!(
                "It is found on {host}, and the last cutover was seen on {before}. What {before} serves is not changed any \
                 more. Find out which of them users reach: DNS, `ssh.host` and the ssh configuration decide which one \
                 Pointsman asks. The next deployment or rollback that is seen on {host} ends this."
            );
            FrontSaid { step: "the front's host", users: None, doing, command: None }
        }
        FrontTrouble::Limited { .. }
        | FrontTrouble::ClientsRefused { .. }
        | FrontTrouble::DescriptorsRefused { .. } => of_limits(trouble),
        FrontTrouble::Unknown => unknown(),
    }
}

/// Name of the front's process.
const PROCESS: &str = "the front's process";

fn of_certificate(file: &Path, users: Option<String>, doing: String) -> FrontSaid {
    let command = format!("openssl x509 -noout -subject -dates -ext subjectAltName -in {}", quoted(file));
    FrontSaid { step: "the front's certificate", users, doing, command: Some(command) }
}

fn of_limits(trouble: &FrontTrouble) -> FrontSaid {
    let unit = Some("sudo systemctl edit pointsman".to_owned());
    match trouble {
        FrontTrouble::Limited { why } => {
            let doing = format!("The front serves with less than its settings say: {why}.");
            FrontSaid { step: "the front's limits", users: None, doing, command: unit }
        }
        FrontTrouble::ClientsRefused { limit, most, times, since, last } => {
            let users = Some(format!("Some users get 503: {} since {}.", requests(*times), format_time(*since)));
            let doing = format!(
                "`{limit}` = {most} is reached, the last time at {}. Raise it in the pipeline file, or see who holds the \
                 connections.",
                format_time(*last)
            );
            FrontSaid { step: "the front's limits", users, doing, command: None }
        }
        FrontTrouble::DescriptorsRefused { times, since, last } => {
            let users = Some("Users who connect wait, and some may get 503.".to_owned());
            let doing = format!(
                "The system refused the front {times} file descriptors since {}, the last one at {}. It accepts again as \
                 soon as some are free. Raise LimitNOFILE in the unit.",
                format_time(*since),
                format_time(*last)
            );
            FrontSaid { step: "the front's open files", users, doing, command: unit }
        }
        _ => unknown(),
    }
}

fn unknown() -> FrontSaid {
    let doing = "It is of another version and reports trouble that this one has no words for: see its log.";
    FrontSaid { step: "the front", users: None, doing: doing.to_owned(), command: None }
}

fn requests(times: u64) -> String {
    if times == 1 { "one request".to_owned() } else { format!("{times} requests") }
}

/// Whole days, or less in full.
fn days(length: Millis) -> String {
    match length.0 / DAY {
        0 => format_duration(Millis(length.0 / 60_000 * 60_000)),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn tail(folder: &Path, file: &str) -> Option<String> {
    Some(format!("tail -n 20 {}", quoted(&folder.join(file))))
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_time;

    fn time(text: &str) -> Millis {
        parse_time(text).unwrap()
    }

    #[test]
    fn a_certificate_is_told_by_its_days_and_only_where_users_see_it_as_theirs() {
        let at = time("2026-12-05T12:00:00.000Z");
        let (file, now) = ("/etc/shop/my cert.pem".into(), time("2026-11-26T11:00:00.000Z"));
        let said = front(&FrontTrouble::CertificateEnds { file, at }, now);
        assert_eq!(said.users, None, "no user sees that");
        assert_eq!(
            said.doing,
            "/etc/shop/my cert.pem ends in 9 days, at 2026-12-05T12:00:00.000Z. The front reads a newer one at that place \
             within 5 s, and loses no connection."
        );
        let command = "openssl x509 -noout -subject -dates -ext subjectAltName -in '/etc/shop/my cert.pem'";
        assert_eq!(said.command.as_deref(), Some(command));
        let ended = FrontTrouble::CertificateEnded { file: "/c.pem".into(), at };
        let said = front(&ended, time("2026-12-05T14:00:30.000Z"));
        let users = "Browsers refuse the front's certificate: it ended 2 h ago, at 2026-12-05T12:00:00.000Z.";
        assert_eq!(said.users.as_deref(), Some(users));
        assert!(said.why().starts_with(users) && said.why().contains("serves it from /c.pem"), "{}", said.why());
    }

    #[test]
    fn everything_has_words_that_end_and_no_two_mean_the_same() {
        let (file, folder, at) = (|| "/c".into(), || "/f".into(), Millis(0));
        let all = [
            FrontTrouble::Limited { why: "x".into() },
            FrontTrouble::Ended { times: 2, at, why: "signal: 9 (SIGKILL)".into(), away_ms: Some(4), folder: folder() },
            FrontTrouble::ClientsRefused { limit: "limits.connections".into(), most: 2, times: 1, since: at, last: at },
            FrontTrouble::DescriptorsRefused { times: 3, since: at, last: at },
            FrontTrouble::ReloadFailed { why: "torn".into(), since: at, folder: folder() },
            FrontTrouble::CertificateUnread { file: file(), why: "x".into() },
            FrontTrouble::CertificateEnds { file: file(), at },
            FrontTrouble::CertificateNames { file: file(), host: "a.test".into() },
            FrontTrouble::CertificateBegins { file: file(), at },
            FrontTrouble::CertificateEnded { file: file(), at },
            FrontTrouble::NotStarting { times: 3, why: "exit status: 1".into(), folder: folder() },
            FrontTrouble::OtherHost { host: "web2 (identity b)".into(), before: "web1 (identity a)".into() },
            FrontTrouble::Unknown,
        ];
        let mut said: Vec<String> = all.iter().map(|trouble| front(trouble, at).why()).collect();
        assert!(said.iter().all(|said| said.ends_with('.')), "{said:?}");
        said.dedup();
        assert_eq!(said.len(), all.len());
    }
}
