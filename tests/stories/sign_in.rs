//! People sign in at the real program: the first user by a link, a session that outlives a kill, its end at the command line, and
//! the way in that always works.

use std::{fs, process::Output};

use pointsman::access::sessions::csrf;
use serde_json::Value;

use crate::support::{
    house::House,
    wire::{Answer, Wire},
};

const PASSWORD: &str = "correct horse battery";

/// A browser on the controller's host, with the cookie that it was given.
struct Browser<'h> {
    house: &'h House,
    cookie: Option<String>,
}

impl Browser<'_> {
    fn ask(&mut self, method: &str, path: &str, form: &str) -> Answer {
        let mut headers = "accept: text/html\r\nsec-fetch-site: same-origin\r\n".to_owned();
        if let Some(cookie) = &self.cookie {
            headers += &format!("cookie: {cookie}\r\n");
        }
        if method == "POST" {
            headers += "content-type: application/x-www-form-urlencoded\r\n";
        }
        let answer = Wire::open((self.house.address, 7070).into()).unwrap().ask(method, path, &headers, form).unwrap();
        if let Some(set) = header(&answer, "set-cookie") {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// The text that its forms carry.
    fn csrf(&self) -> String {
        csrf(self.cookie.as_ref().unwrap().split_once('=').unwrap().1.as_bytes())
    }

    fn is_in(&mut self) -> bool {
        self.ask("GET", "/v1/environments", "").status == 200
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The path of the link that a command printed.
fn link(house: &House, output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let base = format!("http://{}:7070", house.address);
    text.trim().strip_prefix(&base).expect("a link to this controller").to_owned()
}

fn audit(house: &House) -> Vec<(String, String)> {
    let text = fs::read_to_string(house.path("state/audit/acts.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|line| (line["by"].as_str().unwrap().to_owned(), line["act"].as_str().unwrap().to_owned())).collect()
}

/// All sessions of a person end, and they come in again.
fn assert_signed_out_by_a_command(house: &House, ann: &mut Browser<'_>) {
    let out = house.run(&["user", "sign-out", "ann"]);
    assert!(
        out.status.success() && String::from_utf8_lossy(&out.stderr).contains("1 session of `ann` ended"),
        "{out:?}"
    );
    assert!(!ann.is_in());
    let nobody = house.run(&["user", "sign-out", "eve"]);
    assert!(
        !nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("nobody called eve"),
        "{nobody:?}"
    );
    assert_eq!(ann.ask("POST", "/sign-in", &format!("user=ann&password={}", PASSWORD.replace(' ', "+"))).status, 303);
    assert!(ann.is_in());
}

#[test]
fn people_sign_in_and_their_sessions_outlive_the_controller_and_not_their_rights() {
    let house = House::with("");
    house.start();
    assert!(house.log().contains("add the first user within ten minutes: http://"), "{}", house.log());
    let welcome = link(&house, &house.run(&["user", "welcome"]));
    let mut ann = Browser { house: &house, cookie: None };
    assert_eq!(ann.ask("GET", "/sign-in", "").status, 200);
    assert!(ann.ask("GET", &welcome, "").status == 200 && !ann.is_in());
    let (_, code) = welcome.split_once("code=").unwrap();
    let form = format!("code={code}&user=ann&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(ann.ask("POST", "/welcome", &form).status, 303);
    assert!(ann.is_in());
    assert_eq!(ann.ask("POST", "/v1/environments/shop/live/hold", &format!("csrf={}", "0".repeat(64))).status, 403);

    house.kill();
    house.start();
    assert!(ann.is_in(), "a session outlives a kill");
    assert!(
        !house.log().rsplit("serving").next().unwrap().contains("/welcome?code="),
        "no second link once there is a user"
    );

    house.write("password", "another long password\n");
    let add = house.run(&["user", "add", "bob", "--grant", "deployer=shop/live", "--password-file", "password"]);
    assert!(add.status.success(), "{add:?}");
    let mut bob = Browser { house: &house, cookie: None };
    assert_eq!(bob.ask("POST", "/sign-in", "user=bob&password=wrong").status, 401);
    assert_eq!(bob.ask("POST", "/sign-in", "user=bob&password=another+long+password").status, 303);
    assert!(bob.is_in());
    assert!(house.run(&["user", "grant", "bob", "--grant", "viewer"]).status.success());
    assert!(!bob.is_in() && ann.is_in(), "what bob may do has changed");
    let list = String::from_utf8(house.run(&["user", "list"]).stdout).unwrap();
    assert!(list.contains("bob") && list.contains("viewer") && !list.contains("argon2"), "{list}");

    assert_signed_out_by_a_command(&house, &mut ann);
    assert!(house.run(&["user", "remove", "ann"]).status.success());
    assert!(!ann.is_in());
    let enter = link(&house, &house.run(&["page"]));
    let mut local = Browser { house: &house, cookie: None };
    assert!(local.ask("GET", &enter, "").status == 303 && local.is_in());
    assert_eq!(Browser { house: &house, cookie: None }.ask("GET", &enter, "").status, 401, "good once");
    let out = format!("csrf={}", local.csrf());
    assert_eq!(local.ask("POST", "/sign-out", &out).status, 303);
    assert!(!local.is_in());

    let wanted = [
        "user-added",
        "signed-in",
        "user-added",
        "signed-in",
        "grants-set",
        "signed-out-everywhere",
        "signed-in",
        "user-removed",
        "signed-in",
        "signed-out",
    ];
    let acts = house.until("the whole record", || Some(audit(&house)).filter(|acts| acts.len() >= wanted.len()));
    let mut names: Vec<_> = acts.iter().map(|(_, act)| act.as_str()).collect();
    let mut wanted = wanted.to_vec();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    assert!(acts.iter().any(|(by, act)| by.starts_with("local:") && act == "signed-in"), "{acts:?}");
    for secret in [PASSWORD, "another long password", ann.cookie.as_ref().unwrap().split_once('=').unwrap().1] {
        for file in ["state/users.toml", "state/sessions.json", "state/audit/acts.jsonl"] {
            assert!(!fs::read_to_string(house.path(file)).unwrap().contains(secret), "{file} has a secret");
        }
        assert!(!house.log().contains(secret), "the log has a secret");
    }
}
