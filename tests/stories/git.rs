//! Repositories that are as they should be, gone, slow, silent, cut and hostile.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pointsman::git::{Error, FileError, Limits, Mirror, Mirrors, Password, Remote};

use crate::support::git::{GitServer, Manner, Origin, Sshd};

pub(super) const STACK: &str = "deploy/stack.toml";
pub(super) const LIMIT: usize = 1000;

/// A real git on a busy host answers well within.
pub(super) fn limits() -> Limits {
    let whole = Duration::from_secs(30);
    Limits { connect: Duration::from_secs(1), stall: Duration::from_secs(10), whole, first: whole, bytes: 1 << 20 }
}

/// Returns limits for servers that never answer.
fn short() -> Limits {
    let (stall, whole) = (Duration::from_secs(2), Duration::from_secs(3));
    Limits { stall, whole, first: whole, ..limits() }
}

pub(super) struct Desk {
    pub(super) state: tempfile::TempDir,
    pub(super) mirrors: Mirrors,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(limits(), vec!["ssh".to_owned()])
    }

    fn with(limits: Limits, ssh: Vec<String>) -> Self {
        let state = tempfile::tempdir().unwrap();
        Self { mirrors: Mirrors::with(state.path(), limits, ssh), state }
    }

    pub(super) fn of(&self, url: &str) -> Mirror {
        self.mirrors.of(&Remote::new(url, None, None).unwrap())
    }

    pub(super) fn of_local(&self, origin: &Origin) -> Mirror {
        self.of(origin.path().to_str().unwrap())
    }

    pub(super) fn signed_in(&self, url: &str, password: &'static str) -> Mirror {
        let password = Password::kept_at(password.to_owned(), move || Ok(password.to_owned().into()));
        self.mirrors.of(&Remote::new(url, Some("ci".to_owned()), Some(password)).unwrap())
    }

    /// The one mirror that there is, besides that of the history.
    fn place(&self) -> PathBuf {
        let places = fs::read_dir(self.state.path().join("git")).unwrap().map(|entry| entry.unwrap().path());
        let places: Vec<_> = places.filter(|place| place.extension().is_none()).collect();
        assert_eq!(places.len(), 1, "{places:?}");
        places[0].clone()
    }
}

pub(super) async fn text(mirror: &Mirror, commit: &str) -> String {
    mirror.file_at(commit, STACK, LIMIT).await.unwrap().expect("it was fetched")
}

#[tokio::test]
async fn a_file_at_a_commit_is_read_from_the_mirror_and_never_again_from_the_origin() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let first = origin.git(&["rev-parse", "HEAD"]);
    origin.git(&["tag", "-a", "v1", "-m", "one"]);
    let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    let mirror = desk.of_local(&origin);
    assert_eq!(mirror.file_at(&first, STACK, LIMIT).await.unwrap(), None);
    mirror.fetch(&first).await.unwrap();
    mirror.fetch(&second).await.unwrap();
    fs::rename(origin.path(), origin.root().join("gone")).unwrap();
    mirror.fetch(&second).await.unwrap();
    assert_eq!(text(&mirror, &first).await, "command = [\"one\"]\n");
    assert_eq!(text(&mirror, &second[..9]).await, "command = [\"two\"]\n");
    let by_file_url = desk.of(&format!("file://{}", origin.path().display()));
    by_file_url.fetch(&second[..7]).await.unwrap();
    let gone = mirror.fetch(&"a".repeat(40)).await.unwrap_err();
    assert!(matches!(gone, Error::NoRepository(_)), "{gone}");
}

#[tokio::test]
async fn whoever_hangs_drips_or_answers_nonsense_is_given_up_within_the_limits() {
    let origin = Origin::new();
    let server = GitServer::below(origin.root());
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let desk = Desk::with(short(), vec![]);
    let mirror = desk.signed_in(&server.url("shop"), "s3cret");
    for manner in [Manner::Hang, Manner::Drip] {
        server.behave(manner);
        let begun = Instant::now();
        // A second one waits for the first and shares what it met.
        let (one, other) = tokio::join!(mirror.fetch(&commit), mirror.fetch(&commit));
        assert!(begun.elapsed() < Duration::from_secs(30), "{manner:?} took {:?}", begun.elapsed());
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert!(matches!(error, Error::TimedOut { .. }) && error.may_pass(), "{manner:?}: {error}");
        }
    }
    server.behave(Manner::Page);
    let page = mirror.fetch(&commit).await.unwrap_err();
    assert!(page.to_string().contains("as a web page does"), "{page}");
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let nobody = desk.of(&format!("http://{unused}/shop")).fetch(&commit).await.unwrap_err();
    assert!(
        matches!(nobody, Error::Unreachable { .. }) && nobody.to_string().contains("Failed to connect"),
        "{nobody}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_takes_no_turn_from_another() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let (hanging, server) = (GitServer::below(origin.root()), GitServer::below(origin.root()));
    hanging.behave(Manner::Hang);
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let many: Vec<_> = (0..20).map(|n| desk.of(&hanging.url(&format!("shop{n}")))).collect();
    let in_vain = futures_util::future::join_all(many.iter().map(|mirror| mirror.fetch(&commit)));
    let other = desk.signed_in(&server.url("shop"), "s3cret");
    let begun = Instant::now();
    tokio::select! {
        biased;
        _ = in_vain => panic!("they waited for nobody"),
        fetched = other.fetch(&commit) => fetched.unwrap(),
    }
    assert!(begun.elapsed() < limits().stall, "it waited for the server that hangs: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_nothing_behind_that_is_in_the_way() {
    let (origin, desk) = (Origin::new(), Desk::with(short(), vec![]));
    let server = GitServer::below(origin.root());
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let mirror = desk.signed_in(&server.url("shop"), "s3cret");
    server.behave(Manner::Hang);
    let impatient = tokio::time::timeout(Duration::from_millis(200), mirror.fetch(&commit)).await;
    assert!(impatient.is_err());
    assert_eq!(mirror.file_at(&commit, STACK, LIMIT).await.unwrap(), None, "reading does not wait for a fetch");
    server.behave(Manner::Honest);
    // The one that hangs is waited for, and ends by its own limit.
    let joined = mirror.fetch(&commit).await.unwrap_err();
    assert!(matches!(joined, Error::TimedOut { .. }), "{joined}");
    mirror.fetch(&commit).await.unwrap();
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let (server, other) = (GitServer::below(origin.root()), GitServer::below(origin.root()));
    server.behave(Manner::Redirect(other.address));
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let error = desk.signed_in(&server.url("shop"), "s3cret").fetch(&commit).await.unwrap_err();
    assert!(error.to_string().contains("redirects to somewhere else") && !error.may_pass(), "{error}");
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_the_pack_leaves_the_mirror_as_it_was() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let mirror = desk.signed_in(&server.url("shop"), "s3cret");
    for at in [0, 30, 150] {
        server.behave(Manner::Cut(at));
        let error = mirror.fetch(&first).await.unwrap_err();
        assert!(matches!(error, Error::Broken { .. }) && error.may_pass(), "cut at {at}: {error}");
    }
    server.behave(Manner::Honest);
    mirror.fetch(&first).await.unwrap();
    let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    server.behave(Manner::Cut(150));
    mirror.fetch(&second).await.unwrap_err();
    assert_eq!(text(&mirror, &first).await, "command = [\"one\"]\n");
    server.behave(Manner::Honest);
    mirror.fetch(&second).await.unwrap();
    let left = fs::read_dir(desk.place().join("objects/pack")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !name.to_str().unwrap().starts_with("pack-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn more_than_was_agreed_is_not_fetched() {
    let origin = Origin::new();
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    })
    .take(300_000)
    .collect();
    let commit = origin.commit("Large", &[("noise", &noise)]);
    let server = GitServer::below(origin.root());
    let desk = Desk::with(Limits { bytes: 100_000, ..limits() }, vec!["ssh".to_owned()]);
    for mirror in [desk.signed_in(&server.url("shop"), "s3cret"), desk.of_local(&origin)] {
        let error = mirror.fetch(&commit).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_force_push_breaks_nothing_and_takes_nothing_away() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    for mirror in [desk.signed_in(&server.url("shop"), "s3cret"), desk.of_local(&origin)] {
        origin.git(&["reset", "-q", "--hard", &second]);
        origin.git(&["branch", "-f", "side/lane"]);
        mirror.fetch(&second).await.unwrap();
        mirror.fetch_history(&second).await.unwrap();
        origin.git(&["branch", "-D", "side/lane"]);
        origin.git(&["branch", "side"]);
        origin.git(&["reset", "-q", "--hard", &first]);
        let other = origin.commit("Other", &[(STACK, "command = [\"other\"]\n")]);
        mirror.fetch(&other).await.unwrap();
        mirror.fetch_history(&other).await.unwrap();
        assert_eq!(text(&mirror, &other).await, "command = [\"other\"]\n");
        assert_eq!(text(&mirror, &second).await, "command = [\"two\"]\n");
        let changes = mirror.commits_between(&second, &other, 10).await.unwrap().unwrap();
        assert!(changes.backwards);
        assert_eq!(changes.commits[0].subject, "Other");
        assert_eq!(changes.gone.iter().map(|c| c.subject.as_str()).collect::<Vec<_>>(), ["Second"]);
        origin.git(&["branch", "-D", "side"]);
    }
}

#[tokio::test]
async fn a_commit_that_no_branch_leads_to_is_asked_for_by_its_id() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let lost = origin.commit("Lost", &[(STACK, "command = [\"lost\"]\n")]);
    origin.git(&["reset", "-q", "--hard", &first]);
    let mirror = desk.signed_in(&server.url("shop"), "s3cret");
    let hidden = mirror.fetch(&lost).await.unwrap_err();
    assert!(matches!(hidden, Error::NoCommit { .. }), "the server does not give it: {hidden}");
    let short = mirror.fetch(&lost[..10]).await.unwrap_err();
    assert!(short.to_string().contains("only a whole id"), "{short}");
    origin.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    mirror.fetch(&lost).await.unwrap();
    assert_eq!(text(&mirror, &lost).await, "command = [\"lost\"]\n");
    let local = desk.of_local(&origin);
    local.fetch(&lost).await.unwrap();
    for mirror in [mirror, local] {
        let none = mirror.fetch(&"0123456789".repeat(4)).await.unwrap_err();
        assert!(matches!(none, Error::NoCommit { .. }) && !none.may_pass(), "{none}");
        let refs = mirror.fetch("refs/heads/main").await.unwrap_err();
        assert!(matches!(refs, Error::NotACommit(_)), "{refs}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_with_what_to_do() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, origin.path().join(at)).unwrap();
    link("/etc/passwd", "outside.toml");
    link("deploy", "linked");
    link("deploy/stack.toml", "beside.toml");
    origin.write("large.toml", "x".repeat(LIMIT + 1));
    origin.write("exact.toml", "x".repeat(LIMIT));
    origin.write("bytes.toml", [b'a', 0xff]);
    origin.write("lfs.toml", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
    let first = origin.git(&["rev-parse", "HEAD"]);
    origin.git(&["add", "."]);
    origin.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},vendor")]);
    origin.git(&["commit", "-q", "-m", "Odd"]);
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let mirror = desk.of_local(&origin);
    mirror.fetch(&commit).await.unwrap();
    let cases = [
        ("outside.toml", "is a link"),
        ("linked/stack.toml", "linked is a link"),
        ("beside.toml", "is a link"),
        ("vendor", "is a submodule"),
        ("vendor/x.toml", "vendor is a submodule"),
        ("deploy", "is a folder"),
        ("large.toml/x", "is a file, and the path goes on"),
        ("large.toml", "at most 1000 are read"),
        ("bytes.toml", "not text in UTF-8"),
        ("lfs.toml", "Git LFS"),
        ("deploy/other.toml", "deploy/other.toml is not there"),
        ("none/other.toml", "none is not there"),
        ("../stack.toml", "not a path in a repository"),
        ("deploy/../../x", "not a path in a repository"),
        ("/etc/passwd", "not a path in a repository"),
        ("deploy//stack.toml", "not a path in a repository"),
        ("deploy\\stack.toml", "not a path in a repository"),
        ("deploy/\u{1b}[2J", "not a path in a repository"),
        ("", "not a path in a repository"),
    ];
    for (path, says) in cases {
        let error = mirror.file_at(&commit, path, LIMIT).await.unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\u{1b}'), "{path:?}: {error}");
    }
    assert_eq!(mirror.file_at(&commit, "exact.toml", LIMIT).await.unwrap().unwrap().len(), LIMIT);
    let tree = origin.git(&["rev-parse", "HEAD^{tree}"]);
    let error = mirror.file_at(&tree, STACK, LIMIT).await.unwrap_err();
    assert!(matches!(error, FileError::Git(Error::NotACommit(_))), "{error}");
}

/// What a kill leaves in the middle of the first fetch, and of a later one.
#[tokio::test]
async fn a_fetch_that_was_killed_is_no_obstacle() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let mirror = desk.of_local(&origin);
    mirror.fetch(&first).await.unwrap();
    let place = desk.place();
    let making = place.with_extension("making");
    fs::rename(&place, &making).unwrap();
    fs::remove_file(making.join("HEAD")).unwrap();
    mirror.fetch(&first).await.unwrap();
    assert!(!making.exists());
    let leftovers = ["pack_git2_6f3a", "pack-0123.pack", "pack-4567.idx"];
    leftovers.iter().for_each(|name| fs::write(place.join("objects/pack").join(name), "half").unwrap());
    fs::write(place.join("packed-refs.new"), "half").unwrap();
    let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    mirror.fetch(&second).await.unwrap();
    assert_eq!(text(&mirror, &second).await, "command = [\"two\"]\n");
    assert!(leftovers.iter().all(|name| !place.join("objects/pack").join(name).exists()));
}

#[tokio::test]
async fn a_damaged_mirror_is_made_again() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("no HEAD", |place| fs::remove_file(place.join("HEAD")).unwrap()),
        ("no packs", |place| fs::remove_dir_all(place.join("objects/pack")).unwrap()),
        ("packs cut short", |place| packs(place, |bytes| bytes.truncate(20))),
        ("zeros in the packs", |place| packs(place, |bytes| bytes[12..].fill(0))),
        ("nonsense for branches", |place| fs::write(place.join("packed-refs"), "nonsense\n").unwrap()),
    ];
    for (what, damage) in damages {
        let (origin, desk) = (Origin::new(), Desk::new());
        let first = origin.git(&["rev-parse", "HEAD"]);
        let mirror = desk.of_local(&origin);
        mirror.fetch(&first).await.unwrap();
        damage(&desk.place());
        // A reader sees it or not; then a fetch puts it right.
        let _ = mirror.file_at(&first, STACK, LIMIT).await;
        let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
        mirror.fetch(&second).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        mirror.fetch(&first).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(text(&mirror, &first).await, "command = [\"one\"]\n", "{what}");
        assert_eq!(text(&mirror, &second).await, "command = [\"two\"]\n", "{what}");
    }
}

fn packs(place: &Path, damage: fn(&mut Vec<u8>)) {
    for entry in fs::read_dir(place.join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pack") {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn what_changes_is_listed_without_trusting_a_word_of_it() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let first = origin.git(&["rev-parse", "HEAD"]);
    origin.commit("<b>bold</b> \u{1b}[31mred\u{202e}\n\nbody", &[]);
    origin.git(&["checkout", "-q", "-b", "side", &first]);
    origin.commit("Beside", &[]);
    origin.git(&["checkout", "-q", "main"]);
    origin.git(&["merge", "-q", "--no-ff", "-m", "Merge", "side"]);
    let last = origin.commit(&"x".repeat(10_000), &[]);
    let mirror = desk.of_local(&origin);
    assert_eq!(mirror.commits_between(&first, &last, 10).await.unwrap(), None);
    mirror.fetch_history(&last).await.unwrap();
    let changes = mirror.commits_between(&first[..8], &last, 10).await.unwrap().unwrap();
    let mut subjects: Vec<_> = changes.commits.iter().map(|c| c.subject.as_str()).collect();
    let long = format!("{}…", "x".repeat(199));
    assert_eq!(subjects[..2], [long.as_str(), "Merge"]);
    subjects.sort_unstable();
    assert_eq!(subjects, ["<b>bold</b> [31mred", "Beside", "Merge", &long]);
    assert!(changes.commits.iter().all(|c| c.author == "Ann" && c.time.0 > 1_500_000_000_000 && c.id.len() == 40));
    assert!(!changes.backwards && !changes.at_least && changes.more == 0 && changes.gone.is_empty());
    let few = mirror.commits_between(&first, &last, 1).await.unwrap().unwrap();
    assert_eq!((few.commits.len(), few.more), (1, 3));
    let back = mirror.commits_between(&last, &first, 10).await.unwrap().unwrap();
    assert!(back.backwards && back.commits.is_empty() && back.gone.len() == 4);
    let same = mirror.commits_between(&last, &last, 10).await.unwrap().unwrap();
    assert!(!same.backwards && same.commits.is_empty() && same.gone.is_empty());
}

#[tokio::test]
async fn ssh_goes_through_the_operators_own_program() {
    let Some(sshd) = Sshd::start() else { return };
    let origin = Origin::new();
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let desk = Desk::with(limits(), sshd.client("user_key", "known_hosts"));
    let mirror = desk.of(&sshd.url(&origin));
    mirror.fetch(&commit).await.unwrap();
    assert_eq!(text(&mirror, &commit).await, "command = [\"one\"]\n");
    let next = origin.commit("Next", &[(STACK, "command = [\"next\"]\n")]);
    mirror.fetch(&next).await.unwrap();
    let none = mirror.fetch(&"0123456789".repeat(4)).await.unwrap_err();
    assert!(matches!(none, Error::NoCommit { .. }), "{none}");
    let gone = desk.of(&format!("ssh://{}/no/such/it's.git", sshd.address)).fetch(&commit).await.unwrap_err();
    assert!(matches!(gone, Error::NoRepository(_)), "{gone}");
    let stranger = Desk::with(limits(), sshd.client("other_key", "known_hosts"));
    let refused = stranger.of(&sshd.url(&origin)).fetch(&commit).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let unknown = Desk::with(limits(), sshd.client("user_key", "no_hosts"));
    let refused = unknown.of(&sshd.url(&origin)).fetch(&commit).await.unwrap_err();
    assert!(refused.to_string().contains("known_hosts"), "{refused}");
}

#[tokio::test]
async fn an_ssh_that_hangs_is_given_up_and_leaves_no_process() {
    let Some(ssh) = crate::support::peers::need("ssh") else { return };
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let desk = Desk::with(limits(), vec![ssh.display().to_string(), "-F".to_owned(), "/dev/null".to_owned()]);
    let mirror = desk.of(&format!("ssh://{}/shop", silent.local_addr().unwrap()));
    let begun = Instant::now();
    let error = mirror.fetch("0123456789").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. } | Error::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < limits().stall, "{:?}", begun.elapsed());
    let port = silent.local_addr().unwrap().port().to_string();
    let runs = |pid: &Path| {
        let line = fs::read_to_string(pid.join("cmdline")).unwrap_or_default();
        line.contains("git-upload-pack") && line.split('\0').any(|word| word == port)
    };
    let left = fs::read_dir("/proc").unwrap().filter(|entry| runs(&entry.as_ref().unwrap().path())).count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_times_of_commits_are_told_from_the_mirror_as_far_as_it_has_them() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let second = origin.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    let time = |commit: &str| {
        let seconds: u64 = origin.git(&["show", "--no-patch", "--format=%ct", commit]).parse().unwrap();
        pointsman::machine::Millis(seconds * 1000)
    };
    origin.git(&["tag", "-a", "v1", "-m", "one"]);
    let tag = origin.git(&["rev-parse", "v1"]);
    let tree = origin.git(&["rev-parse", "HEAD^{tree}"]);
    let mirror = desk.of_local(&origin);
    assert_eq!(mirror.times_of(&[&first]).await.unwrap(), [], "without a mirror nothing is known");
    mirror.fetch(&second).await.unwrap();
    assert_eq!(mirror.times_of(&[]).await.unwrap(), []);
    let missing = "a".repeat(40);
    assert_eq!(mirror.times_of(&[&missing]).await.unwrap(), [], "and not that of the newest in its place");
    let shouted = second.to_uppercase();
    let odd = [&*missing, &*tag, &*tree, "main", "--all", "^HEAD", "", &second[..9], &shouted];
    assert_eq!(mirror.times_of(&odd).await.unwrap(), [(second.clone(), time(&second))], "in small letters, once");
    mirror.fetch_history(&second).await.unwrap();
    let known: std::collections::BTreeMap<_, _> =
        mirror.times_of(&[&first, &second]).await.unwrap().into_iter().collect();
    assert_eq!(known, [(first.clone(), time(&first)), (second.clone(), time(&second))].into());
    let told = (second.clone(), time(&second));
    fs::rename(origin.path(), origin.root().join("gone")).unwrap();
    assert_eq!(mirror.times_of(&[&second]).await.unwrap()[0], told, "without the origin");
    fs::remove_dir_all(desk.place().join("objects")).unwrap();
    mirror.times_of(&[&second]).await.expect_err("a damaged mirror does not say that it knows nothing");
}
