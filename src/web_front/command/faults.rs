//! What keeps a front's command from ending well: what passes by itself, and what never does, as far as a program can say.
//! Must not run anything.

use std::io::ErrorKind;

use crate::{
    program::{NoEnd, Ran},
    stacks::StepError,
};

/// The exit statuses by which a program says that trying again is pointless: those of sysexits.h for a wrong call, a
/// missing permission and a wrong configuration, and those of a shell for what cannot be executed and what is not there.
const NEVER: [i32; 5] = [64, 77, 78, 126, 127];

/// What programs say of faults that a person has to put right: ssh and sudo, which have one exit status for all.
const SAID: [&str; 6] = [
    "Host key verification failed",
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Permission denied (",
    "Too many authentication failures",
    "is not in the sudoers file",
    "a password is required",
];

const NOT_AGAIN: &str = "it is not run again for this order: put that right and deploy again";

/// A command that came to no end.
pub(super) fn no_end(program: &str, why: &NoEnd) -> StepError {
    let said = format!("the front's command {program}: {why}");
    match why {
        NoEnd::NotStarted(error) if never_starts(error.kind()) => StepError::Refused(format!("{said}; {NOT_AGAIN}")),
        NoEnd::NotStarted(_) | NoEnd::Late(_) | NoEnd::Lost(_) => StepError::Unavailable(said),
    }
}

fn never_starts(kind: ErrorKind) -> bool {
    use ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    // The last is a file that is no program, which has no kind of its own.
    matches!(kind, NotFound | PermissionDenied | NotADirectory | IsADirectory | InvalidInput)
}

/// A command that did not end well.
pub(super) fn bad_end(program: &str, ran: &Ran) -> StepError {
    let Some(status) = ran.status else {
        return StepError::Unavailable(format!("the front's command {program}: it was killed"));
    };
    let never = NEVER.contains(&status) || SAID.iter().any(|words| ran.err.contains(words));
    let said = format!("the front's command {program}: it ended with exit status {status}: {}", ran.why());
    if never { StepError::Refused(format!("{said}; {NOT_AGAIN}")) } else { StepError::Unavailable(said) }
}
