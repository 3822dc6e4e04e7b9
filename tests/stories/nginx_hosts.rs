//! nginx's host as it is: whatever shell, login script, ssh configuration and disk somebody has there. Each is worked with,
//! or named in a sentence of its own with the next step.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use pointsman::{stacks::StepError, web_front::CutOver};

use crate::support::{
    git::Sshd,
    herd::{route, stack},
    nginx::Nginx,
    peers,
    wire::Wire,
};

fn answers(nginx: &Nginx) -> Option<String> {
    let answer = Wire::open(nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
    answer.headers.get("x-version").cloned()
}

/// A whole deployment on this host.
async fn deploys(nginx: &Nginx, more: &str) {
    let driver = nginx.driver_with(more);
    driver.ensure_running().await.unwrap();
    for number in 1..3 {
        driver.stage(&stack(number)).await.unwrap();
        let next = stack(number);
        assert_eq!(driver.cut_over(&route(number.into(), &next)).await.unwrap(), CutOver::Applied);
        assert_eq!(answers(nginx), Some(number.to_string()));
    }
}

/// What a deployment says on this host, where it cannot work.
async fn says(nginx: &Nginx, more: &str, words: &[&str]) {
    let before = fs::read(nginx.include()).unwrap();
    let why = nginx.driver_with(more).stage(&stack(1)).await.unwrap_err();
    assert!(words.iter().all(|word| why.to_string().contains(word)), "{why} does not say {words:?}");
    assert!(why.to_string().lines().count() == 1 && !why.to_string().contains("others change"), "{why}");
    assert_eq!(fs::read(nginx.include()).unwrap(), before);
}

fn on(sshd: &str) -> Option<(Nginx, String)> {
    let nginx = Nginx::behind(Sshd::with(sshd)?)?;
    let ssh = nginx.ssh("user_key", "known_hosts");
    Some((nginx, ssh))
}

#[tokio::test]
async fn any_login_shell_and_any_login_script_will_do() {
    let Some(tcsh) = peers::need("tcsh") else { return };
    let shells = [
        format!("ForceCommand {} -f -c \"$SSH_ORIGINAL_COMMAND\"", tcsh.display()),
        "ForceCommand echo Welcome to web1; echo 'stty: not a tty' >&2; sh -c \"$SSH_ORIGINAL_COMMAND\"".to_owned(),
        "ForceCommand bash -r -c \"$SSH_ORIGINAL_COMMAND\"".to_owned(),
        "ForceCommand printf 'no newline'; echo; echo ' @pointsman@'; eval \"$SSH_ORIGINAL_COMMAND\"".to_owned(),
    ];
    for shell in shells {
        let Some((nginx, ssh)) = on(&shell) else { return };
        deploys(&nginx, &ssh).await;
    }
}

#[tokio::test]
async fn a_host_with_the_tools_of_busybox_alone_will_do() {
    let Some(busybox) = peers::need("busybox") else { return };
    let bin = tempfile::tempdir().unwrap();
    let applets = std::process::Command::new(&busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        std::os::unix::fs::symlink(&busybox, bin.path().join(applet)).unwrap();
    }
    // Debian's has none; Alpine's does not know how to wait for a while.
    let flock = bin.path().join("flock");
    let _ = fs::remove_file(&flock);
    let real = peers::need("flock").unwrap();
    let text = format!("#!/bin/sh\ncase \"$*\" in *-w*) exit 1 ;; esac\nexec {} \"$@\"\n", real.display());
    fs::write(&flock, text).unwrap();
    fs::set_permissions(&flock, fs::Permissions::from_mode(0o755)).unwrap();
    let path = bin.path().display().to_string();
    let Some((nginx, ssh)) = on(&format!("SetEnv PATH={path}")) else { return };
    deploys(&nginx, &ssh).await;
    fs::remove_file(bin.path().join("flock")).unwrap();
    says(&nginx, &ssh, &["there is no flock", "install it", "apk add flock"]).await;
}

#[tokio::test]
async fn an_account_that_runs_no_commands_is_told() {
    let cases: [(&str, &[&str]); 4] = [
        ("ForceCommand echo This account is currently not available.; exit 1", &["nologin", "chsh -s /bin/sh"]),
        ("ForceCommand echo only backups here", &["did not run the script", "only backups here", "authorized_keys"]),
        ("ForceCommand true", &["did not run the script", "ForceCommand"]),
        ("ForceCommand echo 'WARNING: Your password has expired.'; exit 1", &["chage"]),
    ];
    for (sshd, words) in cases {
        let Some((nginx, ssh)) = on(sshd) else { return };
        says(&nginx, &ssh, words).await;
    }
}

#[tokio::test]
async fn a_sudo_that_wants_a_terminal_is_told() {
    let bin = tempfile::tempdir().unwrap();
    let sudo = bin.path().join("sudo");
    fs::write(&sudo, "#!/bin/sh\necho 'sudo: sorry, you must have a tty to run sudo' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let Some((nginx, ssh)) = on(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display())) else { return };
    says(&nginx, &format!("sudo = true\n{ssh}"), &["wants a terminal", "!requiretty"]).await;
}

#[tokio::test]
async fn a_key_that_others_may_read_or_that_is_none_is_told() {
    let Some((nginx, ssh)) = on("") else { return };
    let key = nginx.sshd.as_ref().unwrap().file("user_key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    says(&nginx, &ssh, &["others may read", &format!("chmod 600 {key}")]).await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    deploys(&nginx, &ssh).await;
    says(&nginx, &ssh.replace("user_key", "no_such_key"), &["there is no", "no_such_key", "front.ssh.key"]).await;
}

#[tokio::test]
async fn nothing_in_the_operators_ssh_configuration_stands_in_the_way() {
    let Some((nginx, _)) = on("") else { return };
    let sshd = nginx.sshd.as_ref().unwrap();
    let (host, port) = (sshd.address.ip(), sshd.address.port());
    let text = format!(
        "Host web1\n  HostName {host}\n  Port {port}\n  HostKeyAlias [{host}]:{port}\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\nHost *\n  RemoteCommand tmux attach\n  RequestTTY force\n  StdinNull yes\n  \
         ForkAfterAuthentication yes\n  SessionType none\n  LogLevel QUIET\n  AddKeysToAgent confirm\n  \
         IdentityAgent none\n  ForwardAgent yes\n  PermitLocalCommand yes\n  LocalCommand echo hello\n  \
         LocalForward 127.0.0.1:1 127.0.0.1:2\n  ExitOnForwardFailure yes\n  ControlPath none\n  Tunnel yes\n  \
         VisualHostKey yes\n",
        sshd.file("user_key"),
        sshd.file("known_hosts"),
    );
    fs::write(sshd.file("config"), text).unwrap();
    deploys(&nginx, &format!("ssh = {{ host = \"web1\", config = {:?} }}", sshd.file("config"))).await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_nothing_is_changed() {
    if !rustix::process::getuid().is_root() {
        println!("skipped: only root can make a full disk");
        return;
    }
    let Some((nginx, ssh)) = on("") else { return };
    deploys(&nginx, &ssh).await;
    for place in ["pointsman", "state/shop-prod"] {
        let Some(_disk) = FullDisk::at(&nginx.path(place)) else { return };
        for more in [ssh.as_str(), ""] {
            let driver = nginx.driver_with(more);
            let next = stack(3);
            let staged = driver.stage(&next).await;
            let why = match staged {
                Err(why) => why,
                Ok(()) => driver.cut_over(&route(3, &next)).await.unwrap_err(),
            };
            assert!(matches!(why, StepError::Unavailable(_)), "{place}: {why}");
            assert!(why.to_string().contains("make room"), "{place}: {why}");
            assert_eq!(answers(&nginx).as_deref(), Some("2"));
            assert!(nginx.command(&["-t"]).status.success(), "whoever restarts nginx finds it whole");
        }
    }
}

/// A folder on a file system of its own that takes nothing more, with what it had.
struct FullDisk(std::path::PathBuf);

impl FullDisk {
    fn at(place: &Path) -> Option<Self> {
        let copy = tempfile::tempdir().unwrap();
        let run = |program: &str, words: &[&str]| {
            std::process::Command::new(program).args(words).output().is_ok_and(|done| done.status.success())
        };
        let (from, kept) = (place.display().to_string(), copy.path().display().to_string());
        assert!(run("cp", &["-a", &format!("{from}/."), &kept]));
        if !run("mount", &["-t", "tmpfs", "-o", "size=128k,mode=755", "tmpfs", &from]) {
            println!("skipped: nothing can be mounted here");
            return None;
        }
        let disk = Self(place.to_owned());
        assert!(run("cp", &["-a", &format!("{kept}/."), &from]));
        // Ends with the error that is wanted.
        let _ = std::io::copy(&mut std::io::repeat(7), &mut fs::File::create(place.join("filler")).unwrap());
        Some(disk)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn settings_that_lead_elsewhere_are_followed_at_once() {
    let (Some((old, to_old)), Some((new, to_new))) = (on(""), on("")) else { return };
    // Two hosts that answer to the same front settings but for the way there: each has its own nginx.
    let own = tempfile::tempdir().unwrap();
    let at = |nginx: &Nginx, ssh: &str| nginx.driver_of(&format!("{}{ssh}", nginx.settings()), &own);
    let (one, two) = (stack(1), stack(2));
    let driver = at(&old, &to_old);
    assert_eq!(driver.cut_over(&route(1, &one)).await.unwrap(), CutOver::Applied);
    let first = driver.place().unwrap();
    // Only the port of sshd is another, and the connection to the first is still kept: the files are found there only.
    let moved = new.driver_of(&format!("{}{to_new}", new.settings()), &own);
    assert_eq!(moved.cut_over(&route(1, &two)).await.unwrap(), CutOver::Applied);
    assert_eq!((answers(&old).as_deref(), answers(&new).as_deref()), (Some("1"), Some("2")));
    assert_ne!(moved.place().unwrap(), first, "another host is told from the first");
    // The old sshd is gone, the connection that was kept to it is not; a wrong port does not find it.
    let port = to_old.split("port = ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let wrong = at(&old, &to_old.replace(&format!("port = {port}"), "port = 1"));
    let why = wrong.observe().await.unwrap_err().to_string();
    assert!(why.contains("cannot be reached by ssh"), "{why}");
    let wrong = at(&old, &to_old.replace("ssh = {", "ssh = { user = \"nobody-of-that-name\","));
    let why = wrong.observe().await.unwrap_err().to_string();
    assert!(why.contains("refuses the sign-in"), "{why}");
    let other = at(&old, &to_old.replace("user_key", "other_key"));
    let why = other.observe().await.unwrap_err().to_string();
    assert!(why.contains("refuses the sign-in"), "{why}");
}

#[tokio::test]
async fn a_self_signed_front_is_told_with_the_key_that_trusts_it() {
    let Some(nginx) = Nginx::start() else { return };
    let public = |more: &str| {
        format!(
            "public = {{ url = \"https://shop.test:{}/\", address = \"{}\"{more} }}",
            nginx.tls().port(),
            nginx.tls()
        )
    };
    let driver = nginx.driver_without("public", &public(""));
    assert_eq!(driver.cut_over(&route(1, &stack(1))).await.unwrap(), CutOver::Applied);
    let why = driver.ask_public().await.unwrap_err().to_string();
    assert!(why.contains("not trusted here") && why.contains("front.public.ca"), "{why}");
    let ca = format!(", ca = {:?}", nginx.certificate());
    let driver = nginx.driver_without("public", &public(&ca));
    assert_eq!(driver.ask_public().await.unwrap().unwrap().number.0, 1);
}
