//! What releases and deployments are called: people know versions, so these come first; numbers stand beside them.

use crate::machine::{Environment, Number, Release};

/// Returns `1.4.2 (release 7, deployment 9)`, or `1.4.2 (deployment 9)` where both numbers are the same.
pub(crate) fn named(release: &Release, number: Number) -> String {
    if release.number == number.0 {
        return format!("{} (deployment {number})", release.version);
    }
    format!("{} (release {}, deployment {number})", release.version, release.number)
}

/// Returns `7 (1.4.2)`, with a space that does not break: what a button or a table has room for.
pub(crate) fn short(release: &Release) -> String {
    format!("{}\u{a0}({})", release.number, shown(&release.version))
}

/// Returns `1.4.2 (release 7)`, or `release 7` when the version is not remembered.
pub(crate) fn release(state: &Environment, number: u32) -> String {
    match version(state, number) {
        Some(version) => format!("{version} (release {number})"),
        None => format!("release {number}"),
    }
}

/// Returns what somebody called something, fit to be repeated.
pub(crate) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Returns the version of a release, as far as the environment remembers it.
pub(crate) fn version(state: &Environment, number: u32) -> Option<&str> {
    releases(state).find(|release| release.number == number).map(|release| &*release.version)
}

/// Returns the releases that the environment remembers, some of them more than once.
pub(crate) fn releases(state: &Environment) -> impl Iterator<Item = &Release> {
    let under_way = state.active().into_iter().chain(state.queue()).map(|d| &*d.release);
    let stacks = state.live().into_iter().chain(state.standby().map(|s| &s.stack)).map(|s| &*s.release);
    let retiring = state.retiring().iter().filter_map(|r| r.release.as_deref());
    let ended = state.ended().iter().map(|ended| &*ended.release);
    under_way.chain(stacks).chain(retiring).chain(ended).chain(state.proven().map(|release| &**release))
}
