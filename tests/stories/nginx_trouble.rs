//! An nginx front when things go wrong: each ends with the front as it was, and with one sentence that says what to do.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration, time::Instant};

use pointsman::{
    machine::Generation,
    stacks::StepError,
    web_front::{CutOver, FrontDriver, Route, Target},
};

use crate::support::{
    git::Sshd,
    herd::{route, stack},
    nginx::Nginx,
    wire::Wire,
};

async fn live(nginx: &Nginx) -> (std::sync::Arc<dyn FrontDriver>, Target) {
    let (driver, one) = (nginx.driver(), stack(1));
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.cut_over(&route(1, &one)).await.unwrap(), CutOver::Applied);
    (driver, one)
}

fn answers(nginx: &Nginx) -> Option<String> {
    let answer = Wire::open(nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
    answer.headers.get("x-version").cloned()
}

#[track_caller]
fn assert_says(result: Result<(), StepError>, words: &[&str]) {
    let why = result.unwrap_err().to_string();
    assert!(words.iter().all(|word| why.contains(word)), "{why:?} does not say {words:?}");
    assert_eq!(why.lines().count(), 1, "{why}");
}

#[tokio::test]
async fn a_bad_configuration_takes_nothing_down_and_the_former_include_comes_back() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let (driver, _) = live(&nginx).await;
        let before = fs::read(nginx.include()).unwrap();
        // Somebody else's mistake, or ours: the test tells only that it is one.
        fs::write(nginx.path("conf.d/zz.conf"), "server { lisen 80; }\n").unwrap();
        let refused = driver.stage(&stack(2)).await;
        assert!(matches!(refused, Err(StepError::Refused(_))));
        assert_says(refused, &["refuses its configuration", "lisen", "zz.conf:1", "the former include is back"]);
        assert_eq!(fs::read(nginx.include()).unwrap(), before);
        assert_eq!(answers(&nginx).as_deref(), Some("1"));
        assert!(driver.cut_over(&route(2, &stack(2))).await.is_err());
        assert_eq!(answers(&nginx).as_deref(), Some("1"));
        fs::remove_file(nginx.path("conf.d/zz.conf")).unwrap();
        driver.stage(&stack(2)).await.unwrap();
        let left: Vec<_> = fs::read_dir(nginx.path("pointsman")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["shop-prod.conf"]);
    }
}

#[tokio::test]
async fn an_include_that_was_never_tried_is_put_back_by_whoever_comes_next() {
    let Some(nginx) = Nginx::start() else { return };
    let (driver, one) = live(&nginx).await;
    let (include, former) = (nginx.include(), nginx.path("pointsman/shop-prod.conf.former"));
    // The host lost its power between the writing and the test.
    fs::rename(&include, &former).unwrap();
    fs::write(&include, "nonsense;\n").unwrap();
    driver.stage(&stack(2)).await.unwrap();
    assert!(!former.exists());
    assert_eq!(driver.observe().await.unwrap().unwrap().route, route(1, &one));
    assert!(nginx.command(&["-t"]).status.success());
}

#[tokio::test]
async fn nginx_that_is_dead_is_told_and_comes_back_with_its_route() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let (driver, one) = live(&nginx).await;
        nginx.kill();
        assert_says(driver.observe().await.map(drop), &["nothing answers at nginx's read-back", "does not run there"]);
        let include = fs::read(nginx.include()).unwrap();
        assert_says(driver.stage(&stack(2)).await, &["nginx does not run", "systemctl start nginx"]);
        assert_eq!(fs::read(nginx.include()).unwrap(), include);
        assert_says(driver.ensure_running().await, &["nginx does not run", "systemctl start nginx"]);
        assert!(driver.cut_over(&route(2, &stack(2))).await.is_err());
        nginx.run();
        assert_eq!(driver.observe().await.unwrap().unwrap().route, route(1, &one));
        assert_eq!(answers(&nginx).as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn what_other_hands_change_is_seen_and_put_right() {
    let Some(nginx) = Nginx::start() else { return };
    let (driver, one) = live(&nginx).await;
    let two = stack(2);
    driver.stage(&two).await.unwrap();
    driver.cut_over(&route(2, &two)).await.unwrap();
    let seen = async || driver.observe().await.unwrap().map(|seen| seen.route);

    // The flag goes.
    fs::remove_file(nginx.path("state/shop-prod/live")).unwrap();
    assert_eq!(seen().await, Some(Route::whole(Generation(0), None)));
    assert!(Wire::open(nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap().status == 503);
    assert_eq!(driver.cut_over(&route(1, &one)).await.unwrap(), CutOver::Stale { applied: Generation(2) });
    assert_eq!(driver.cut_over(&route(3, &two)).await.unwrap(), CutOver::Applied);

    // The addresses in the include, read by nobody yet.
    let text = fs::read_to_string(nginx.include()).unwrap();
    let (from, to) = (two.reach.addresses()[0].to_string(), one.reach.addresses()[0].to_string());
    let changed = text.replace(&format!("server {from}"), &format!("server {to}"));
    assert_ne!(text, changed);
    fs::write(nginx.include(), changed).unwrap();
    let drifted = seen().await.unwrap();
    assert_eq!(drifted.target.unwrap().reach, one.reach, "so it is not what was ordered");
    assert_eq!(driver.cut_over(&route(4, &two)).await.unwrap(), CutOver::Applied);
    assert_eq!(seen().await, Some(route(4, &two)));

    // The whole include, by an older one, and nginx has read it.
    fs::write(nginx.include(), "# nothing\n").unwrap();
    assert_eq!(driver.cut_over(&route(5, &two)).await.unwrap(), CutOver::Applied);
    assert_eq!((seen().await, answers(&nginx).as_deref()), (Some(route(5, &two)), Some("2")));
}

#[tokio::test]
async fn a_host_key_that_is_another_or_unknown_is_taken_by_nobody() {
    let Some(nginx) = Nginx::behind_ssh() else { return };
    let sshd = nginx.sshd.as_ref().unwrap();
    let known = fs::read_to_string(sshd.file("known_hosts")).unwrap();
    let (place, _) = known.split_once(' ').unwrap();
    let other = fs::read_to_string(sshd.file("other_key.pub")).unwrap();
    fs::write(sshd.file("changed"), format!("{place} {other}")).unwrap();
    fs::write(sshd.file("empty"), "").unwrap();
    for (known_hosts, key, words) in [
        ("changed", "user_key", ["the host key of 127.0.0.1 is not the one in", "changed"]),
        ("empty", "user_key", ["the host key of 127.0.0.1 is not in", "look it up on the host"]),
        ("known_hosts", "other_key", ["refuses the sign-in by ssh", "authorized_keys"]),
    ] {
        let driver = nginx.driver_with(&nginx.ssh(key, known_hosts));
        let refused = driver.stage(&stack(1)).await;
        assert!(matches!(refused, Err(StepError::Refused(_))), "{refused:?}");
        assert_says(refused, &words);
        assert_says(driver.observe().await.map(drop), &words);
    }
}

#[tokio::test]
async fn a_host_that_can_not_be_reached_is_given_up_in_time() {
    let Some(mut nginx) = Nginx::behind_ssh() else { return };
    let ssh = nginx.ssh("user_key", "known_hosts");
    nginx.sshd = None;
    let driver = nginx.driver_with(&ssh);
    let begun = Instant::now();
    let unreachable = driver.stage(&stack(1)).await;
    assert!(matches!(unreachable, Err(StepError::Unavailable(_))));
    assert_says(unreachable, &["127.0.0.1 cannot be reached by ssh", "Connection refused"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    // Somebody who takes connections and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let more = format!("ssh = {{ host = \"127.0.0.1\", port = {port} }}\n");
    let more = more + "timeouts = { connect = \"1s\", command = \"1s\" }";
    let begun = Instant::now();
    assert_says(nginx.driver_without("timeouts", &more).stage(&stack(1)).await, &["ssh"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_sudo_that_refuses_is_told_with_what_it_must_allow() {
    let bin = tempfile::tempdir().unwrap();
    // What sudo does for somebody whom no rule lets in without a password.
    let sudo = bin.path().join("sudo");
    fs::write(&sudo, "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let Some(sshd) = Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display())) else { return };
    let Some(nginx) = Nginx::behind(sshd) else { return };
    let driver = nginx.driver_with(&format!("sudo = true\n{}", nginx.ssh("user_key", "known_hosts")));
    let before = fs::read(nginx.include()).unwrap();
    let refused = driver.stage(&stack(1)).await;
    assert!(matches!(refused, Err(StepError::Refused(_))), "{refused:?}");
    assert_says(refused, &["sudo refuses", "a password is required", "NOPASSWD", "-s reload"]);
    assert_eq!(fs::read(nginx.include()).unwrap(), before);
}

#[tokio::test]
async fn the_operators_ssh_configuration_leads_over_a_jump_host() {
    let Some(nginx) = Nginx::behind_ssh() else { return };
    let sshd = nginx.sshd.as_ref().unwrap();
    let (host, port) = (sshd.address.ip(), sshd.address.port());
    let all = format!(
        "Host *\n  HostName {host}\n  Port {port}\n  HostKeyAlias [{host}]:{port}\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\n  StrictHostKeyChecking yes\nHost web1\n  ProxyCommand ssh -F {} -W {host}:{port} jump\n",
        sshd.file("user_key"),
        sshd.file("known_hosts"),
        sshd.file("ssh_config")
    );
    fs::write(sshd.file("ssh_config"), all).unwrap();
    let driver = nginx.driver_with(&format!("ssh = {{ host = \"web1\", config = {:?} }}", sshd.file("ssh_config")));
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.cut_over(&route(1, &stack(1))).await.unwrap(), CutOver::Applied);
    assert_eq!(answers(&nginx).as_deref(), Some("1"));
}
