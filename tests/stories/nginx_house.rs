//! A whole installation with an nginx front: deployments, kills, and other hands.

use std::fs;

use crate::support::{
    house::House,
    nginx::Nginx,
    wire::{Hammer, Wire},
};

/// An installation whose front is this nginx, with v1 live.
fn house(nginx: &Nginx) -> House {
    let house = House::with("");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).unwrap();
    let ssh = nginx.sshd.as_ref().map(|_| nginx.ssh("user_key", "known_hosts")).unwrap_or_default();
    let front = format!("{}{ssh}", nginx.settings()).trim().replace('\n', ", ");
    let line = pipeline.lines().find(|line| line.starts_with("front = ")).unwrap();
    let pipeline = pipeline.replace(line, &format!("front = {{ driver = \"nginx\", {front} }}\nbake = \"200ms\""));
    house.write("pipelines/shop.toml", &pipeline);
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    house.start();
    house.push("v1", "");
    house.settle();
    assert_eq!(live(nginx).as_deref(), Some("v1"), "{}", house.log());
    house
}

fn live(nginx: &Nginx) -> Option<String> {
    let answer = Wire::open(nginx.plain()).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok()?;
    answer.headers.get("x-version").cloned()
}

/// A reload closes connections that are idle, and a client that uses one just then asks again; nothing else may be.
fn assert_served(hammer: Hammer) {
    let seen = hammer.end();
    let wrong: Vec<_> = seen.failures.iter().filter(|f| f.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(seen.versions.values().sum::<u64>() > 100, "{seen:?}");
}

#[test]
fn deployments_and_a_rollback_go_through_nginx_and_users_see_no_error() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let house = house(&nginx);
        let hammer = Hammer::on(nginx.plain());
        for version in ["v2", "v3"] {
            let number = house.push(version, "");
            house.settle();
            house.assert_outcome(number, "succeeded");
            assert_eq!(live(&nginx).as_deref(), Some(version));
        }
        let heard = |r: &serde_json::Value| r["event"]["kind"] == "rollback_requested";
        house.wish("/v1/environments/shop/live/rollback", r#"{ "number": 3, "reason": "story" }"#, heard);
        house.settle();
        assert_eq!(live(&nginx).as_deref(), Some("v2"), "{}", house.log());
        assert_served(hammer);
        house.stop();
    }
}

#[test]
fn a_controller_that_is_killed_between_flag_and_record_finds_what_it_did() {
    let Some(nginx) = Nginx::start() else { return };
    let house = house(&nginx);
    let hammer = Hammer::on(nginx.plain());
    let flag = || fs::read_link(nginx.path("state/shop-prod/live")).unwrap();
    for version in ["v2", "v3", "v4"] {
        let before = flag();
        house.push(version, "");
        house.until("the flag moves", || (flag() != before).then_some(()));
        house.kill();
        let kinds: Vec<_> = house.records().iter().map(|r| r["event"]["kind"].to_string()).collect();
        println!("killed after {:?}", kinds.last());
        assert_eq!(live(&nginx).as_deref(), Some(version), "nginx needs no controller");
        house.start();
        house.settle();
        assert_eq!(live(&nginx).as_deref(), Some(version), "{}", house.log());
    }
    assert_served(hammer);
    house.stop();
    house.assert_verified();
}

#[test]
fn a_flag_that_other_hands_take_away_comes_back() {
    let Some(nginx) = Nginx::start() else { return };
    let house = house(&nginx);
    fs::remove_file(nginx.path("state/shop-prod/live")).unwrap();
    assert_eq!(live(&nginx), None);
    house.until("it is put right", || live(&nginx).filter(|version| version == "v1"));
    house.stop();
}

#[test]
fn a_plan_says_what_is_done_at_nginx_and_what_a_command_can_not_do() {
    let house = House::with("");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).unwrap();
    let line = pipeline.lines().find(|line| line.starts_with("front = ")).unwrap();
    let plan = |front: &str| {
        house.write("pipelines/shop.toml", &pipeline.replace(line, &format!("front = {{ {front} }}")));
        let plan = house.run(&["plan", "shop/live", "--offline"]);
        let (said, wrong) = (String::from_utf8(plan.stdout).unwrap(), String::from_utf8(plan.stderr).unwrap());
        if plan.status.success() { said } else { wrong }
    };
    let nginx = "driver = 'nginx', include = '/etc/nginx/pointsman/shop.conf', read_back = '127.0.0.1:8099'";
    let said = plan(&format!("{nginx}, sudo = true, ssh = {{ host = 'web1' }}"));
    for words in ["nginx on web1", "`sudo -n nginx -t`", "no reload", "127.0.0.1:8099", "front.public is not set"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let said = plan("driver = 'command', cut_over = ['./change_proxy.sh', '{ip}']");
    for words in ["change_proxy.sh {ip}", "nothing is staged", "atomic", "nothing is read back", "front.off"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let place = line.find("front").unwrap();
    let at = pipeline.lines().position(|l| l == line).unwrap() + 1;
    let said = plan(&format!("{nginx}, ssh = {{ host = 'web1', prot = 22 }}, flag = 'x'"));
    assert!(said.contains(&format!("shop.toml:{at}:")), "{said}");
    for words in
        ["unknown key `front.ssh.prot`; did you mean `port`?", "unknown key `front.flag`; accepted here: include"]
    {
        assert!(said.contains(words), "{place} {words}\n{said}");
    }
}
