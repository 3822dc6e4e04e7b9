//! Sessions without HTTP: they survive a restart, and end by time, by number, and by every change of who has them.

use std::{fs, path::Path};

use secrecy::{ExposeSecret, SecretString};

use super::{
    kept,
    password::PasswordHash,
    sessions::{Ends, Error, FILE, Holder, Sessions, csrf},
    users::User,
    *,
};
use crate::machine::Millis;

const ENDS: Ends = Ends { idle: Millis(1000), after: Millis(5000) };

fn holder(name: &str) -> Holder {
    Holder::User { name: name.into(), stamp: Digest::of(b"stamp") }
}

fn found(sessions: &Sessions, secret: &SecretString, now: u64) -> bool {
    sessions.find(secret.expose_secret().as_bytes(), "here", Millis(now)).is_some()
}

#[test]
fn a_session_survives_a_restart_and_ends_when_it_is_idle_or_old() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Sessions::open(folder.path(), ENDS).begin(holder("ann"), "here", Millis(100)).unwrap();
    let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(!text.contains(begun.expose_secret()), "its secret is not on the disk");
    let sessions = Sessions::open(folder.path(), ENDS);
    assert!(found(&sessions, &begun, 1099), "the last millisecond");
    assert!(!found(&sessions, &begun, 1100), "idle");
    let idle_never = Ends { idle: Millis(1_000_000), ..ENDS };
    let sessions = Sessions::open(folder.path(), idle_never);
    assert!(found(&sessions, &begun, 5099) && !found(&sessions, &begun, 5100), "as old as it may be");
    let other: SecretString = "0".repeat(64).into();
    assert!(!found(&sessions, &other, 200) && !found(&sessions, &"".to_owned().into(), 200));
}

#[test]
fn use_is_known_to_the_minute_and_written_down_when_it_is_news() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = Sessions::open(folder.path(), Ends::default());
    let secret = sessions.begin(holder("ann"), "here", Millis(0)).unwrap();
    let stored = || Sessions::open(folder.path(), Ends::default()).list(Millis(0))[0].clone();
    let used = |second: u64, from| {
        sessions.find(secret.expose_secret().as_bytes(), from, Millis(second * 1000)).unwrap();
        sessions.write().unwrap();
        stored()
    };
    assert_eq!(used(59, "here").used, Millis(0));
    assert_eq!(used(60, "here").used, Millis(60_000));
    let elsewhere = used(61, "elsewhere");
    assert_eq!((elsewhere.used, &*elsewhere.from), (Millis(61_000), "elsewhere"));
    fs::remove_file(folder.path().join(FILE)).unwrap();
    sessions.write().unwrap();
    assert!(!folder.path().join(FILE).exists(), "no news, no writing");
}

#[test]
fn there_are_never_more_than_so_many_and_the_ones_least_used_go() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = Sessions::open(folder.path(), Ends::default());
    let bob = sessions.begin(holder("bob"), "here", Millis(0)).unwrap();
    let all: Vec<_> = (1..=40).map(|n| sessions.begin(holder("ann"), "here", Millis(n)).unwrap()).collect();
    assert!(found(&sessions, &bob, 50), "another person's sessions are in nobody's way");
    let alive = all.iter().filter(|secret| found(&sessions, secret, 50)).count();
    assert!(alive == 32 && !found(&sessions, &all[7], 50) && found(&sessions, &all[8], 50));
    assert_eq!(sessions.end(|session| &*session.holder.by() == "ann").unwrap(), 32);
    assert!(found(&sessions, &bob, 52) && !found(&sessions, &all[39], 52));
    assert_eq!(Sessions::open(folder.path(), Ends::default()).list(Millis(53)).len(), 1);
}

#[test]
fn what_cannot_be_written_down_is_no_session_and_ends_none() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let sessions = Sessions::open(&state, ENDS);
    let secret = sessions.begin(holder("ann"), "here", Millis(0)).unwrap();
    fs::remove_dir_all(&state).unwrap();
    assert!(matches!(sessions.begin(holder("bob"), "here", Millis(1)), Err(Error::Kept(_))));
    assert!(sessions.end(|_| true).is_err() && found(&sessions, &secret, 2));
    assert_eq!(sessions.list(Millis(2)).len(), 1);
}

#[test]
fn a_damaged_file_of_sessions_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Sessions::open(folder.path(), ENDS).begin(holder("ann"), "here", Millis(0)).unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("created", "creation")).unwrap();
    let sessions = Sessions::open(folder.path(), ENDS);
    assert!(!found(&sessions, &secret, 1));
    sessions.begin(holder("ann"), "here", Millis(2)).unwrap();
}

#[test]
fn the_text_in_a_form_belongs_to_one_session() {
    assert!(csrf(b"one") == csrf(b"one") && csrf(b"one") != csrf(b"two") && !csrf(b"one").contains("one"));
}

fn access(state: &Path, local: &str) -> Access {
    Access::new(local.as_bytes().to_vec().into(), Keyed::with(b"key".to_vec().into()), state, Ends::default())
}

#[test]
fn a_session_ends_with_every_change_of_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let grants = |text: &str| [text.parse::<Grant>().unwrap()].into();
    let password = PasswordHash::of(b"correct horse battery").unwrap();
    let user = User { name: "ann".into(), password, grants: grants("deployer"), created: Millis(1) };
    kept::add(state, user.clone()).unwrap();
    let access = access(state, "local");
    let asks = |secret: &SecretString, now| access.signed_in(secret.expose_secret().as_bytes(), "here", Millis(now));
    let changes: [&dyn Fn(); 4] = [
        &|| kept::change(state, "ann", |user: &mut User| user.grants = grants("approver")).unwrap(),
        &|| kept::change(state, "ann", |user: &mut User| user.password = PasswordHash::of(b"x").unwrap()).unwrap(),
        &|| kept::remove::<User>(state, "ann").unwrap(),
        // Who comes again under the name is somebody else.
        &|| kept::add(state, User { created: Millis(2), ..user.clone() }).unwrap(),
    ];
    for (nth, change) in changes.iter().enumerate() {
        let now = kept::read::<User>(state).unwrap().first().cloned().unwrap_or(user.clone());
        let secret = access.sessions().begin(access.holder(&now), "here", Millis(1)).unwrap();
        if nth < 3 {
            let caller = asks(&secret, 2).unwrap();
            assert_eq!((&*caller.by, &caller.grants), ("ann", &now.grants));
            assert!(access.still(&caller, Millis(2)) && !caller.has_local_token() && caller.session().is_some());
        }
        change();
        assert_eq!(asks(&secret, 3).unwrap_err(), Refused::Ended, "change {nth}");
    }
}

#[test]
fn a_stream_of_a_session_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), "local");
    let secret = access.sessions().begin(access.local_holder("ann"), "here", Millis(1)).unwrap();
    let caller = access.signed_in(secret.expose_secret().as_bytes(), "here", Millis(2)).unwrap();
    assert_eq!((&*caller.by, caller.may_everywhere(Role::Admin)), ("local:ann", Ok(())));
    assert!(access.still(&caller, Millis(3)));
    access.sessions().end(|session| Some(session.digest) == caller.session()).unwrap();
    assert!(!access.still(&caller, Millis(5)));
}

#[test]
fn a_session_of_the_local_token_ends_with_that_token() {
    let folder = tempfile::tempdir().unwrap();
    let first = access(folder.path(), "local");
    let secret = first.sessions().begin(first.local_holder("ann"), "here", Millis(1)).unwrap();
    let asks = |access: &Access| access.signed_in(secret.expose_secret().as_bytes(), "here", Millis(2));
    assert!(asks(&access(folder.path(), "local")).is_ok(), "it survives a restart");
    assert_eq!(asks(&access(folder.path(), "another")).unwrap_err(), Refused::Ended);
}
