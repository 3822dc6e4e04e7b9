//! What git says when a fetch does not work, told apart by what helps: asking again, or a person. Must keep git's own words,
//! short and harmless.

use std::path::Path;

use super::Error;
use crate::text::excerpt;

/// Words of git, of ssh and of the servers there are, each with what they mean. Taken from git 2.39 to 2.47 and OpenSSH 9.
const UNREACHABLE: &[&str] = &[
    "could not resolve host",
    "failed to connect",
    "couldn't connect",
    "connection refused",
    "connection timed out",
    "network is unreachable",
    "no route to host",
    "name or service not known",
    "temporary failure in name resolution",
    "connection closed by",
    "kex_exchange_identification",
    "port 22:",
];
const REFUSED: &[&str] = &[
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied",
    "access denied",
    "host key verification failed",
    "dubious ownership",
    "returned error: 401",
    "returned error: 403",
    "too many authentication failures",
    "invalid credentials",
];
const NO_REPOSITORY: &[&str] = &[
    "repository not found",
    "does not appear to be a git repository",
    "returned error: 404",
    "does not exist",
    "no such file or directory",
    "' not found",
    "project you were looking for could not be found",
    "not a git repository",
];
const NOT_GIVEN: &[&str] = &[
    "not our ref",
    "unadvertised object",
    "couldn't find remote ref",
    "no such remote ref",
    "expected shallow/unshallow",
];
const DAMAGED: &[&str] = &[
    "bad object",
    "is corrupt",
    "corrupt",
    "unable to find",
    "unable to read",
    "missing blob",
    "missing tree",
    "missing commit",
    "unexpected line in",
    "does not match index",
    "unresolved delta",
    "mismatched algorithms",
    "did not receive expected object",
    "bad signature",
    "unknown repository extension",
    "failed to traverse parents",
    "did not send all necessary objects",
];

/// The server did not give an object that was asked for by its id.
pub(super) fn is_not_given(error: &Error) -> bool {
    matches!(error, Error::Broken { why, .. } if has(&why.to_ascii_lowercase(), NOT_GIVEN))
}

/// The error that these words of git mean. `place`: the mirror, whose own troubles are told from those of the remote.
pub(super) fn understood(said: &str, remote: &str, place: &Path) -> Error {
    let why = cause(said);
    let (all, folder) = (said.to_ascii_lowercase(), place.display().to_string());
    let remote = remote.to_owned();
    if all.contains("no space left on device") || all.contains("read-only file system") {
        return Error::Disk { folder, why };
    }
    if all.contains(&format!("not a git repository: '{}", folder.to_ascii_lowercase())) {
        return Error::Damaged { folder, why };
    }
    if has(&all, NOT_GIVEN) {
        return Error::Broken { place: remote, why };
    }
    if all.contains("returned error: 30") {
        return Error::Moved { place: remote, why };
    }
    if all.contains("host key verification failed") {
        let why = format!("{why}: add the host's key to known_hosts of the user that runs the controller");
        return Error::Refused { place: remote, why };
    }
    if has(&all, REFUSED) {
        return Error::Refused { place: remote, why };
    }
    if has(&all, NO_REPOSITORY) {
        return Error::NoRepository(remote);
    }
    if has(&all, UNREACHABLE) {
        return Error::Unreachable { place: remote, why };
    }
    if all.contains("not valid: is this a git repository?") || all.contains("dumb http transport") {
        return Error::Broken { place: remote, why: format!("it answers as a web page does ({why})") };
    }
    // The words of the remote's own git are about its objects, not about ours.
    let theirs = |line: &&str| line.starts_with("remote:") || line.contains("remote side");
    let ours: String = all.lines().filter(|line| !theirs(line)).collect::<Vec<_>>().join("\n");
    if has(&ours, DAMAGED) && !ours.contains("early eof") && !ours.contains("unexpected disconnect") {
        return Error::Damaged { folder, why };
    }
    Error::Broken { place: remote, why }
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// The line that tells why: git ends with advice, and ssh speaks before it.
fn cause(said: &str) -> String {
    let advice = ["please make sure", "and the repository exists", "could not read from remote repository"];
    let tells = |line: &&str| !line.is_empty() && !has(&line.to_ascii_lowercase(), &advice);
    let mut lines = said.split(['\n', '\r']).map(str::trim).filter(tells);
    let fatal = said.lines().map(str::trim).find(|line| line.starts_with("fatal:") && tells(line));
    let line = fatal.or_else(|| lines.next_back()).unwrap_or("git ended without a word");
    let plain = ["fatal: ", "error: ", "remote: "].iter().fold(line, |line, prefix| line.trim_start_matches(prefix));
    // Which repository is said beside it.
    excerpt(
        plain.strip_prefix("unable to access ").and_then(|rest| rest.split_once("': ")).map_or(plain, |(_, why)| why),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &str) -> Error {
        understood(said, "ssh://git.example/shop", Path::new("/srv/state/git/abc"))
    }

    #[test]
    fn what_a_person_has_to_mend_is_told_from_what_passes() {
        let passing = [
            "fatal: unable to access 'https://git.example/shop/': Could not resolve host: git.example",
            "ssh: connect to host git.example port 22: Connection refused\r\nfatal: Could not read from remote repository.",
            "error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfatal: early EOF",
            "fatal: unable to access 'https://git.example/shop/': The requested URL returned error: 503",
            "fatal: the remote end hung up unexpectedly",
        ];
        let lasting = [
            "fatal: Authentication failed for 'https://git.example/shop/'",
            "fatal: could not read Username for 'https://git.example': terminal prompts disabled",
            "git@git.example: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
            "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n\nPlease make sure you have",
            "fatal: '/srv/none.git' does not appear to be a git repository",
            "fatal: unable to access 'http://x/': The requested URL returned error: 301",
            "fatal: detected dubious ownership in repository at '/srv/shop.git'",
        ];
        for said in passing {
            assert!(of(said).may_pass(), "{said}: {:?}", of(said));
        }
        for said in lasting {
            assert!(!of(said).may_pass(), "{said}: {:?}", of(said));
        }
    }

    #[test]
    fn the_cause_is_what_ssh_said_and_not_the_advice_after_it() {
        let said = "git@git.example: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n\n\
                    Please make sure you have the correct access rights\nand the repository exists.\n";
        assert!(of(said).to_string().contains("Permission denied (publickey)"), "{}", of(said));
    }
}
