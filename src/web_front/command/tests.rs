//! What a command is given, and what is made of what it says.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::machine::{Generation, Number};

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.script("change_proxy.sh", "echo \"$@\" >> asked; printf %s \"$1\" > points_at; [ ! -e broken ]");
        desk.script("look.sh", "cat points_at");
        desk
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn open(&self, settings: &str) -> Arc<dyn FrontDriver> {
        let state = self.folder.path().join("state");
        fs::create_dir_all(&state).unwrap();
        open(&settings.parse().unwrap(), self.folder.path(), &state).unwrap()
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default()
    }
}

const PLAIN: &str = "cut_over = ['./change_proxy.sh', '{ip}', '{stack}:{generation}', '{address} $(id) ; x']";
const SEEN: &str = "cut_over = ['./change_proxy.sh', '{ip}']\nobserve = ['./look.sh']";

fn target(number: u32, address: &str) -> Target {
    let stack = StackName { environment: "shop/prod".parse().unwrap(), number: Number(number) };
    Target { stack, reach: address.parse::<SocketAddr>().unwrap().into() }
}

fn route(generation: u64, target: &Target) -> Route {
    Route::whole(Generation(generation), Some(target.clone()))
}

#[tokio::test]
async fn the_command_is_given_words_and_no_shell_sees_them() {
    let desk = Desk::new();
    let (front, one) = (desk.open(PLAIN), target(3, "10.0.0.5:8080"));
    for _ in 0..2 {
        assert_eq!(front.cut_over(&route(7, &one)).await.unwrap(), CutOver::Applied);
    }
    assert_eq!(desk.asked(), "10.0.0.5 shop-prod-3:7 10.0.0.5:8080 $(id) ; x\n", "and only once");
    assert_eq!(front.observe().await.unwrap().unwrap().route, route(7, &one));
}

#[tokio::test]
async fn a_command_that_fails_has_changed_nothing_as_far_as_is_known_and_is_run_again() {
    let desk = Desk::new();
    let (front, one, two) = (desk.open(PLAIN), target(1, "10.0.0.5:80"), target(2, "10.0.0.6:80"));
    front.cut_over(&route(1, &one)).await.unwrap();
    fs::write(desk.folder.path().join("broken"), "").unwrap();
    let why = front.cut_over(&route(2, &two)).await.unwrap_err();
    assert!(why.to_string().contains("exit status 1"), "{why}");
    assert_eq!(front.observe().await.unwrap().unwrap().route, route(1, &one));
    assert_eq!(front.cut_over(&route(1, &one)).await.unwrap(), CutOver::Stale { applied: Generation(2) });
    fs::remove_file(desk.folder.path().join("broken")).unwrap();
    assert_eq!(front.cut_over(&route(2, &two)).await.unwrap(), CutOver::Applied);
    let seen = front.observe().await.unwrap().unwrap();
    assert_eq!((seen.route, seen.open), (route(2, &two), vec![(one.stack, 1)]));
}

#[tokio::test]
async fn what_the_front_shows_counts_where_it_can_be_read() {
    let desk = Desk::new();
    let (front, one) = (desk.open(SEEN), target(1, "10.0.0.5:80"));
    front.cut_over(&route(1, &one)).await.unwrap();
    assert_eq!(front.observe().await.unwrap().unwrap().route, route(1, &one));
    // By other hands.
    fs::write(desk.folder.path().join("points_at"), "10.0.0.9\n").unwrap();
    let seen = front.observe().await.unwrap().unwrap().route.target.unwrap();
    assert_eq!(seen.reach.to_string(), "10.0.0.9:80", "so it is not that stack any more");
    // A command that says yes and does nothing.
    desk.script("change_proxy.sh", "true");
    let why = front.cut_over(&route(2, &one)).await.unwrap_err();
    assert!(why.to_string().contains("the front shows \"10.0.0.9\""), "{why}");
}

#[tokio::test]
async fn who_hangs_is_ended_and_holds_up_nobody_for_ever() {
    let desk = Desk::new();
    desk.script("change_proxy.sh", "sleep 60");
    let front = desk.open("cut_over = ['./change_proxy.sh', '{ip}']\ntimeout = '300ms'");
    let why = front.cut_over(&route(1, &target(1, "10.0.0.5:80"))).await.unwrap_err();
    assert!(why.to_string().contains("no end within 0.3 s"), "{why}");
    desk.script("change_proxy.sh", "true");
    assert_eq!(front.cut_over(&route(1, &target(1, "10.0.0.5:80"))).await.unwrap(), CutOver::Applied);
    let why = front.cut_over(&Route::whole(Generation(2), None)).await.unwrap_err();
    assert!(why.to_string().contains("front.off"), "{why}");
}

#[test]
fn mistakes_name_their_key_and_the_word_that_was_meant() {
    let wrong = |text: &str| {
        let table = text.parse().unwrap();
        Settings::read(&table, Path::new("/p")).unwrap_err().join("\n")
    };
    assert!(wrong("").contains("`front.cut_over` is missing"));
    let said = wrong("cut_over = ['./x', '{adress}']\nobserve = ['{ip}']\noff = 'x'\ntimeout = 3\nlisten = 'x'");
    for part in [
        "`front.cut_over`: {adress} is unknown; known are {address}, {addresses}, {ip}, {port}, {stack}, {generation}; did \
         you mean {address}?",
        "`front.observe`: {ip} is unknown; nothing is filled in here",
        "`front.off` is a text; it must be a list of texts",
        "`front.timeout`",
        "unknown key `front.listen`; accepted here: cut_over, observe, off, timeout",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[tokio::test]
async fn what_can_never_pass_is_told_from_what_may() {
    let ends = |status: i32| format!("echo why >&2; exit {status}");
    let says = |words: &str, status: i32| format!("echo '{words}' >&2; exit {status}");
    for (script, never) in [
        (ends(1), false),
        (ends(64), true),
        (ends(69), false),
        (ends(75), false),
        (ends(77), true),
        (ends(78), true),
        (ends(126), true),
        ("no-such-program-anywhere".to_owned(), true),
        ("kill -9 $$".to_owned(), false),
        (says("Host key verification failed.", 255), true),
        (says("deploy@web1: Permission denied (publickey).", 255), true),
        (says("sudo: a password is required", 1), true),
        (says("ssh: connect to host web1 port 22: Connection timed out", 255), false),
        (says("kex_exchange_identification: Connection closed by remote host", 255), false),
    ] {
        let desk = Desk::new();
        desk.script("change_proxy.sh", &script);
        let front = desk.open("cut_over = ['./change_proxy.sh', '{ip}']");
        let why = front.cut_over(&route(1, &target(1, "10.0.0.5:80"))).await.unwrap_err();
        assert_eq!(matches!(why, StepError::Refused(_)), never, "{script}: {why}");
        assert_eq!(why.to_string().contains("put that right and deploy again"), never, "{why}");
    }
}

#[tokio::test]
async fn a_command_that_can_not_be_started_is_refused_and_has_moved_nobody() {
    for broken in ["missing", "not executable", "a folder"] {
        let desk = Desk::new();
        let (front, one, two) = (desk.open(PLAIN), target(1, "10.0.0.5:80"), target(2, "10.0.0.6:80"));
        front.cut_over(&route(1, &one)).await.unwrap();
        let script = desk.folder.path().join("change_proxy.sh");
        match broken {
            "not executable" => fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap(),
            _ => fs::remove_file(&script).unwrap(),
        }
        if broken == "a folder" {
            fs::create_dir(&script).unwrap();
        }
        let why = front.cut_over(&route(2, &two)).await.unwrap_err();
        assert!(matches!(&why, StepError::Refused(why) if why.contains("cannot be started")), "{broken}: {why}");
        let back = route(3, &one);
        assert_eq!(front.cut_over(&back).await.unwrap(), CutOver::Applied, "{broken}: users never left");
        assert_eq!(front.observe().await.unwrap().unwrap().route, back);
        assert_eq!(desk.asked().lines().count(), 1);
    }
}
