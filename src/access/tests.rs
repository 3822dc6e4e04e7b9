//! The file of tokens, and the counting, without HTTP.

use std::{fs, sync::Arc, thread};

use super::{
    caller::Credential,
    file::Token,
    kept::{self, Error, Row},
    limits::{Limit, Limits, Origin, Rate, Rates, Wait},
    password::PasswordHash,
    sessions::Ends,
    users::User,
    *,
};
use crate::machine::{EnvironmentId, Millis};

fn token(name: &str) -> Token {
    let digest = Digest::of(name.as_bytes());
    Token {
        name: name.into(),
        role: Role::Deployer,
        digest,
        created: Millis(1000),
        by: None,
        expires: None,
        only: None,
    }
}

fn gate(state: &std::path::Path) -> Access {
    Access::new(b"local".to_vec().into(), Keyed::with(b"key".to_vec().into()), state, Ends::default())
}

fn mistakes(text: &str) -> Vec<String> {
    Token::parse("tokens.toml", text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_written_is_read_again_and_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    assert_eq!(kept::read::<Token>(&state).unwrap(), []);
    let all = [
        Token { expires: Some(Millis(90_000)), by: Some("local:ann".into()), ..token("a.b-c_d@e") },
        Token {
            role: Role::Admin,
            only: Some(Arc::new(["shop".parse().unwrap(), "a/b".parse().unwrap()])),
            ..token("7")
        },
    ];
    for token in &all {
        kept::add(&state, token.clone()).unwrap();
    }
    assert_eq!(kept::read::<Token>(&state).unwrap(), all);
    let mode = fs::metadata(state.join(Token::FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(kept::add(&state, token("7")), Err(Error::Taken { .. })));
    assert!(matches!(kept::remove::<Token>(&state, "8"), Err(Error::Missing { .. })));
    assert_eq!(kept::read::<Token>(&state).unwrap(), all);
}

#[test]
fn editors_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // What an editor that was killed left behind is in nobody's way.
    fs::write(folder.path().join("tokens.toml.new"), "torn").unwrap();
    thread::scope(|scope| {
        for n in 0..8 {
            let state = folder.path();
            scope.spawn(move || {
                kept::add(state, token(&format!("kept-{n}"))).unwrap();
                kept::add(state, token(&format!("gone-{n}"))).unwrap();
                kept::remove::<Token>(state, &format!("gone-{n}")).unwrap();
            });
        }
    });
    let mut names: Vec<_> = kept::read::<Token>(folder.path()).unwrap().iter().map(|t| t.name.to_string()).collect();
    names.sort();
    assert_eq!(names, (0..8).map(|n| format!("kept-{n}")).collect::<Vec<_>>());
}

#[test]
fn a_link_in_the_place_of_the_lock_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (state, other) = (folder.path().join("state"), folder.path().join("other"));
    fs::create_dir(&state).unwrap();
    fs::write(&other, "of somebody else").unwrap();
    std::os::unix::fs::symlink(&other, state.join("tokens.lock")).unwrap();
    let error = kept::add(&state, token("alice")).unwrap_err().to_string();
    assert!(error.contains("locking") && error.contains("tokens.lock"), "{error}");
    // A draft is made anew, whatever stands there.
    fs::remove_file(state.join("tokens.lock")).unwrap();
    std::os::unix::fs::symlink(&other, state.join("tokens.toml.new")).unwrap();
    kept::add(&state, token("alice")).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_folder() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = tempfile::tempdir().unwrap();
    // Only root can give a folder away; as anybody else there is nothing to see.
    let other =
        if chown(folder.path(), Some(4711), Some(4712)).is_ok() { 4711 } else { rustix::process::geteuid().as_raw() };
    kept::add(folder.path(), token("alice")).unwrap();
    for name in ["tokens.toml", "tokens.lock"] {
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().uid(), other, "{name}");
    }
}

#[test]
fn a_damaged_file_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Token::FILE);
    fs::write(&path, "[[tokens]]\nname = \"alice\"\n").unwrap();
    let error = kept::add(folder.path(), token("bob")).unwrap_err().to_string();
    assert!(error.contains("tokens.toml:1:1: `role` is missing"), "{error}");
    assert_eq!(fs::read_to_string(path).unwrap(), "[[tokens]]\nname = \"alice\"\n");
}

#[test]
fn every_mistake_of_the_file_is_told_with_its_place() {
    let text = "colour = 1\n[[tokens]]\nname = \"Alice\"\nrole = \"root\"\nsha256 = \"00\"\ncreated = \"today\"\n\
                expires = 7\nonly = []\n[[tokens]]\nname = \"rule\"\nrole = \"admin\"\n";
    assert_eq!(
        mistakes(text),
        [
            "tokens.toml:1:1: unknown key `colour`; accepted here: tokens",
            "tokens.toml:3:8: `name`: \"Alice\" is not a name: use 1 to 64 of a-z, 0-9, '-', '.', '_' and '@'",
            "tokens.toml:4:8: `role` is \"root\"; accepted: \"viewer\" or \"deployer\" or \"approver\" or \"admin\"",
            "tokens.toml:5:10: `sha256`: it must be a SHA-256 in 64 hexadecimal digits",
            "tokens.toml:6:11: `created`: it must be a time such as \"2026-11-21T10:14:00.000Z\"",
            "tokens.toml:7:11: `expires` is the number 7; it must be a text in quotes",
            "tokens.toml:8:8: `only` is empty, so it would be good for nothing; leave it out where it is for everything",
            "tokens.toml:9:1: `created` is missing, for example `created = \"2026-11-21T10:14:00.000Z\"`",
            "tokens.toml:9:1: `sha256` is missing, for example `sha256 = \"<64 hexadecimal digits>\"`",
            "tokens.toml:10:8: `name`: \"rule\" is what pointsman calls itself; choose another name",
        ]
    );
    let one = |name: &str, digit: &str| {
        let digest = digit.repeat(64);
        format!(
            "[[tokens]]\nname = \"{name}\"\nrole = \"viewer\"\nsha256 = \"{digest}\"\ncreated = \"2026-11-21T10:14:00.000Z\"\n"
        )
    };
    assert!(mistakes(&(one("a", "1") + &one("a", "2")))[0].contains("two tokens named `a`"));
    assert!(mistakes(&(one("a", "1") + &one("b", "1")))[0].contains("`b` is the same token as one above"));
    assert!(mistakes("tokens = 7")[0].contains("must be a list"));
    assert!(mistakes("[[tokens]\n")[0].contains("not valid TOML"));
}

#[test]
fn a_scope_that_can_not_be_read_is_not_taken_for_everything() {
    let text =
        "[[tokens]]\nname = \"a\"\nrole = \"viewer\"\nsha256 = \"00\"\ncreated = \"\"\nonly = [\"shop\", \"*\"]\n";
    assert!(mistakes(text).iter().any(|m| m.contains(":6:17: `only`: \"*\" is no name")), "{:?}", mistakes(text));
}

#[test]
fn roles_and_scopes_are_read_as_they_are_shown() {
    for (name, role) in Role::ALL {
        assert_eq!((name.parse(), role.to_string()), (Ok(role), name.to_owned()));
    }
    assert!("root".parse::<Role>().is_err());
    for text in ["shop", "shop/qa"] {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
    }
    for bad in ["", "/", "shop/", "/qa", "shop/qa/1", "Shop", "*"] {
        assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
    }
}

fn grants(texts: &[&str]) -> Arc<[Grant]> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_person_has_in_each_environment_the_greatest_role_that_was_given_there() {
    let caller = Caller {
        by: "ann".into(),
        grants: grants(&["deployer=shop", "approver=shop/prod"]),
        credential: Credential::Local,
    };
    let id = |text: &str| text.parse::<EnvironmentId>().unwrap();
    assert_eq!(caller.role_in(&id("shop/qa")), Some(Role::Deployer));
    assert_eq!(caller.role_in(&id("shop/prod")), Some(Role::Approver));
    assert_eq!(caller.role_in(&id("stock/qa")), None);
    assert_eq!((caller.sees(&id("shop/qa")), caller.sees(&id("stock/qa"))), (true, false));
    assert_eq!(caller.may(Role::Approver, &id("shop/prod")), Ok(()));
    let refused = |outcome: Result<(), Refused>| outcome.unwrap_err().to_string();
    assert!(refused(caller.may(Role::Approver, &id("shop/qa"))).contains("`ann` is deployer"));
    assert!(refused(caller.may(Role::Viewer, &id("stock/qa"))).contains("not for stock/qa, only for shop, shop/prod"));
    assert!(refused(caller.may_everywhere(Role::Viewer)).contains("not for everything"));
    let both = Caller { grants: grants(&["admin=shop", "viewer"]), ..caller };
    assert_eq!((both.may_everywhere(Role::Viewer), both.may(Role::Admin, &id("shop/qa"))), (Ok(()), Ok(())));
    assert!(refused(both.may_everywhere(Role::Deployer)).contains("`ann` is viewer"));
    for bad in ["", "root", "admin=", "admin=shop,", "deployer=*", "=shop"] {
        assert!(bad.parse::<Grant>().is_err(), "{bad}");
    }
}

fn user(name: &str, password: &str, given: &[&str]) -> User {
    let password = PasswordHash::of(password.as_bytes()).unwrap();
    User { name: name.into(), password, grants: grants(given), created: Millis(1000) }
}

#[test]
fn who_has_a_role_somewhere_is_named_with_the_greatest_and_a_torn_file_is_no_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let access = gate(folder.path());
    for (name, given) in [("dora", "deployer=shop/qa"), ("bob", "approver"), ("otto", "admin=other")] {
        kept::add(folder.path(), user(name, "correct horse battery", &["viewer=stock", given])).unwrap();
    }
    kept::add(folder.path(), token("jenkins")).unwrap();
    kept::add(folder.path(), Token { expires: Some(Millis(5)), ..token("old") }).unwrap();
    let qa = "shop/qa".parse().unwrap();
    let able = access.able(&qa, Millis(5000));
    assert_eq!(able.users.unwrap(), [("bob".into(), Role::Approver), ("dora".into(), Role::Deployer)]);
    assert_eq!(able.tokens.unwrap(), [("jenkins".into(), Role::Deployer)], "what has expired is not named");
    assert!(able.groups.is_empty());
    fs::write(folder.path().join(User::FILE), "torn [").unwrap();
    let able = access.able(&qa, Millis(7000));
    assert!(able.users.err() == Some(Refused::Unreadable) && able.tokens.is_ok());
}

#[test]
fn a_user_is_known_by_name_and_password_and_by_nothing_less() {
    let folder = tempfile::tempdir().unwrap();
    let access = gate(folder.path());
    assert!(!access.has_users(Millis(1)).unwrap());
    let ann = user("ann", "correct horse battery", &["deployer=shop", "approver=shop/prod,stock"]);
    kept::add(folder.path(), ann.clone()).unwrap();
    kept::add(folder.path(), user("bob", "another long one", &["admin"])).unwrap();
    assert!(access.has_users(Millis(1)).unwrap());
    assert_eq!(kept::read::<User>(folder.path()).unwrap()[0], ann, "what is written is read again");
    assert_eq!(access.user("ann", b"correct horse battery", Millis(2)).unwrap(), ann);
    for (name, password) in [("ann", "another long one"), ("ann", ""), ("eve", "correct horse battery"), ("", "")] {
        assert_eq!(access.user(name, password.as_bytes(), Millis(2)), Err(Refused::WrongPassword), "{name}");
    }

    let before = access.holder(&ann);
    kept::change(folder.path(), "ann", |user: &mut User| user.grants = grants(&["viewer"])).unwrap();
    let changed = access.user("ann", b"correct horse battery", Millis(3)).unwrap();
    assert!(access.holder(&changed) != before && changed.grants == grants(&["viewer"]));
    kept::remove::<User>(folder.path(), "ann").unwrap();
    assert_eq!(access.user("ann", b"correct horse battery", Millis(4)), Err(Refused::WrongPassword));
    let missing = kept::remove::<User>(folder.path(), "ann").unwrap_err().to_string();
    assert_eq!(missing, "there is no user `ann`; `pointsman user list` shows them all");
}

#[test]
fn a_damaged_file_of_users_lets_no_user_in_and_every_mistake_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[users]]\nname = \"Ann\"\npassword = \"secret\"\ngrants = []\n[[users]]\nname = \"bob\"\npassword = \
                \"$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n\
                created = \"2026-11-21T10:14:00.000Z\"\ngrants = [{ role = \"root\" }, { role = \"admin\", only = [\"*\"] }]\n";
    let told: Vec<_> = User::parse("users.toml", text).unwrap_err().iter().map(ToString::to_string).collect();
    for part in [
        ":1:1: `created` is missing",
        ":2:8: `name`: \"Ann\" is not a name",
        ":3:12: `password`: it must be an argon2id hash",
        ":4:10: `grants` is empty",
        "with at most 256 MiB",
        "`role` is \"root\"",
        "`only`: \"*\" is no name",
    ] {
        assert!(told.iter().any(|mistake| mistake.contains(part)), "{part}: {told:#?}");
    }
    fs::write(folder.path().join(User::FILE), text).unwrap();
    let access = gate(folder.path());
    assert_eq!(access.user("bob", b"whatever it is", Millis(2)), Err(Refused::Unreadable));
    assert!(access.caller(b"local", None, Millis(2)).is_ok());
}

#[test]
fn a_password_is_long_enough_and_never_shown() {
    for (bad, why) in [("short", "needs 12"), (&"x".repeat(2000), "at most 1024"), ("with a\nnew line", "control")] {
        assert!(password::check(bad).unwrap_err().contains(why));
    }
    assert_eq!(password::check("twelve bytes"), Ok(()));
    let (one, two) = (PasswordHash::of(b"twelve bytes").unwrap(), PasswordHash::of(b"twelve bytes").unwrap());
    assert!(one != two, "each has a salt of its own");
    assert!(one.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    assert!(!format!("{one:?}").contains("argon"));
    assert!(!PasswordHash::nobody().is_of(b""));
}

#[test]
fn tokens_are_long_random_and_of_one_shape() {
    use secrecy::ExposeSecret;
    let (a, b) = (make().unwrap(), make().unwrap());
    assert_ne!(a.expose_secret(), b.expose_secret());
    assert!(a.expose_secret().starts_with("pm_") && a.expose_secret().len() == 67);
    assert!(!format!("{a:?} {:?}", Digest::of(b"x")).contains("pm_"));
}

#[test]
fn a_rate_is_read_and_kept() {
    assert_eq!("1000/s".parse(), Ok(Rate::per_second(1000, 2000)));
    assert_eq!("1/s burst 20".parse(), Ok(Rate::per_second(1, 20)));
    let rates = Rates::default();
    assert_eq!((Ok(rates.webhooks), Ok(rates.failures)), ("1000/s burst 2000".parse(), "1/s burst 20".parse()));
    assert_ne!("30/m".parse::<Rate>(), "30/h".parse::<Rate>());
    for bad in
        ["", "1", "1/", "/s", "0/s", "+1/s", "1/d", "1 /s", "1/s burst", "1/s burst 0", "9999999/s", "1/s  burst 2"]
    {
        assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
    }
    for text in ["1000000/s burst 50", "7/s burst 3", "30/m", "5/h burst 1"] {
        let limit = Limit::new(text.parse().unwrap(), 10);
        let burst = (0..).take_while(|_| limit.take(&"key", Millis(5)).is_ok()).count();
        let Err(Wait(wait)) = limit.look(&"key", Millis(5)) else { panic!("{text}: it is used up") };
        assert!(burst > 0 && limit.take(&"key", Millis(5).plus(wait)).is_ok(), "{text}");
    }
    let hour: Limit<&str> = Limit::new("100/h burst 1".parse().unwrap(), 10);
    let taken = (0..3_600_000).step_by(500).filter(|ms| hour.take(&"key", Millis(*ms)).is_ok()).count();
    assert_eq!(taken, 100);
}

#[test]
fn looking_takes_nothing_and_being_refused_costs_nothing() {
    let limit = Limit::new(Rate::per_second(1, 2), 10);
    for _ in 0..9 {
        assert_eq!(limit.look(&1, Millis(0)), Ok(()));
    }
    assert_eq!(limit.keys(), 0);
    assert_eq!((limit.take(&1, Millis(0)), limit.take(&1, Millis(0))), (Ok(()), Ok(())));
    for _ in 0..9 {
        assert_eq!(limit.take(&1, Millis(1)), Err(Wait(Millis(999))));
    }
    assert_eq!(limit.take(&1, Millis(1000)), Ok(()));
}

#[test]
fn a_million_strangers_are_not_remembered_and_the_worst_one_is() {
    let limit = Limit::new(Rate::per_second(1, 20), 1000);
    for _ in 0..20 {
        limit.take(&u32::MAX, Millis(0)).unwrap();
    }
    for stranger in 0..100_000 {
        limit.take(&stranger, Millis(1)).unwrap();
        assert!(limit.keys() <= 1000);
    }
    assert!(limit.take(&u32::MAX, Millis(1)).is_err());
    limit.take(&7, Millis(1_000_000)).unwrap();
    assert!(limit.keys() <= 1000);
}

#[test]
fn a_host_has_one_origin_however_many_addresses_it_has() {
    let origin = |text: &str| Origin::api(text.parse().unwrap());
    assert_eq!(origin("2001:db8:1:2::3"), origin("2001:db8:1:2:ffff::9"));
    assert_ne!(origin("2001:db8:1:2::3"), origin("2001:db8:1:3::3"));
    assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    let limits = Limits::new(Rates::default(), vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
    let address = |peer: &str, said: &str| limits.address(peer.parse().unwrap(), said).to_string();
    assert_eq!(address("10.0.0.1", "8.8.8.8, 192.0.2.1, 10.0.0.2"), "192.0.2.1");
    assert_eq!(address("::ffff:10.0.0.1", "192.0.2.1"), "192.0.2.1");
    assert_eq!(address("192.0.2.9", "192.0.2.1"), "192.0.2.9");
    assert_eq!(address("10.0.0.1", "unknown"), "10.0.0.1");
    assert_eq!(address("10.0.0.1", ""), "10.0.0.1");
}
