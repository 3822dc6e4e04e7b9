//! Hooks, against the whole program: when they run, what becomes of the traffic when one fails, and what people are told.

use std::{fs, process::Output};

use serde_json::Value;

use crate::support::house::House;

const TERMS: &str = "bake = \"200ms\"";
const QUICK: &str = "bake = \"200ms\"\nretain = \"none\"";
const POINTS: [&str; 6] =
    ["before-provisioning", "after-checks", "before-cutover", "after-cutover", "on-rollback", "on-retire"];
/// Says that it runs, stays as long as it is held, and fails if it shall.
const SCRIPT: &str = "echo \"$POINTSMAN_HOOK of $POINTSMAN_VERSION, live is $POINTSMAN_LIVE_VERSION\" >> ../ran; \
                      while test -e ../hold-$POINTSMAN_HOOK; do sleep 0.02; done; \
                      test ! -e ../fail-$POINTSMAN_HOOK || { echo no such table >&2; exit 3; }";

fn hook(name: &str, at: &str, script: &str, more: &str) -> String {
    format!(
        "\n[[environments.hooks]]\nname = \"{name}\"\nat = \"{at}\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
    )
}

/// A house with these hooks in the pipeline file. Nothing runs yet.
fn house(terms: &str, hooks: &str) -> House {
    let house = House::with(terms);
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &(pipeline + hooks));
    house
}

/// A house with a hook at each point, named after it, and v1 live.
fn hooked(terms: &str) -> House {
    let house = house(terms, &POINTS.map(|at| hook(at, at, SCRIPT, "")).concat());
    house.start();
    let number = house.push("v1", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house
}

fn ran(house: &House) -> Vec<String> {
    let text = fs::read_to_string(house.path("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_ran(house: &House, line: &str) {
    house.until(line, || ran(house).iter().any(|l| l == line).then_some(()));
}

/// What the state file says that the hooks came to: name, reason, and the end of what they said.
fn finished(house: &House) -> Vec<(String, Value, Value)> {
    let records = house.records().into_iter().map(|r| r["event"].clone()).filter(|e| e["kind"] == "hook_finished");
    records.map(|e| (e["hook"].as_str().expect("a name").to_owned(), e["reason"].clone(), e["said"].clone())).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn rollback(house: &House, number: u64) -> Value {
    let body = format!("{{\"number\": {number}, \"reason\": \"orders fail\"}}");
    let answer = house.try_ask("POST", "/v1/environments/shop/live/rollback", &body).expect("it answers");
    assert!(answer.status < 300, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn they_run_at_their_points_in_order_and_know_what_is_live() {
    let house = hooked(QUICK);
    house.push("v2", "");
    house.settle();
    house.assert_live("v2");
    assert_eq!(
        ran(&house),
        [
            "before-provisioning of v1, live is ",
            "after-checks of v1, live is ",
            "before-cutover of v1, live is ",
            "after-cutover of v1, live is v1",
            "before-provisioning of v2, live is v1",
            "after-checks of v2, live is v1",
            "before-cutover of v2, live is v1",
            "after-cutover of v2, live is v2",
            "on-retire of v1, live is v2",
        ]
    );
    rollback(&house, 2);
    house.settle();
    house.assert_live("v1");
    assert_eq!(ran(&house).last().map(String::as_str), Some("on-retire of v2, live is v1"));
    assert!(ran(&house).contains(&"on-rollback of v2, live is v1".to_owned()), "{:?}", ran(&house));
    house.assert_nothing_left();
}

#[test]
fn one_that_fails_before_the_cutover_ends_the_deployment_and_moves_no_traffic() {
    let house = hooked(TERMS);
    for (place, point) in POINTS[..3].iter().enumerate() {
        house.write(&format!("fail-{point}"), "");
        let number = house.push(&format!("bad-{place}"), "");
        house.settle();
        let reason = house.assert_outcome(number, "failed");
        assert_eq!(reason, format!("hook {point} failed: it ended with exit status 3: no such table"));
        house.assert_live("v1");
        fs::remove_file(house.path(&format!("fail-{point}"))).expect("it was there");
    }
    let all = ran(&house);
    for (line, there) in [
        ("on-retire of bad-1, live is v1", true),
        ("on-retire of bad-2, live is v1", true),
        ("before-cutover of bad-1, live is v1", false),
        ("on-rollback of bad-2, live is v1", false),
    ] {
        assert_eq!(all.iter().any(|l| l == line), there, "{line}: {all:#?}");
    }
    house.assert_nothing_left();
}

#[test]
fn one_that_fails_after_the_cutover_is_a_failed_bake_and_what_fails_at_the_end_blocks_nothing() {
    let house = hooked(TERMS);
    for point in ["after-cutover", "on-rollback", "on-retire"] {
        house.write(&format!("fail-{point}"), "");
    }
    let number = house.push("v2", "");
    house.settle();
    let reason = house.assert_outcome(number, "rolled_back");
    assert_eq!(reason, "hook after-cutover failed: it ended with exit status 3: no such table");
    house.assert_live("v1");
    house.assert_nothing_left();
    let failed: Vec<String> = finished(&house).into_iter().filter(|(_, why, _)| !why.is_null()).map(|f| f.0).collect();
    assert_eq!(failed, ["after-cutover", "on-rollback", "on-retire"]);
}

#[test]
fn one_that_takes_too_long_is_ended() {
    let script = "echo working; sleep 60";
    let house = house(TERMS, &hook("migrate", "after-checks", script, "timeout = \"300ms\""));
    house.start();
    let number = house.push("v1", "");
    house.settle();
    let reason = house.assert_outcome(number, "failed");
    assert_eq!(reason, "hook migrate failed: it was ended because its timeout of 300 ms was over: working");
    assert_eq!(finished(&house)[0].2, "working");
}

#[test]
fn an_abort_ends_the_hook_that_runs_and_the_next_deployment_has_its_own() {
    let house = hooked(TERMS);
    house.write("hold-after-checks", "");
    let number = house.push("v2", "");
    until_ran(&house, "after-checks of v2, live is v1");
    let now = house.until("it is shown", || {
        let now = house.environment()?;
        (now["hooks"][0]["name"] == "after-checks").then_some(now)
    });
    assert_eq!(now["waits_for"], "hook");
    let next = now["next"].as_str().expect("a sentence");
    assert!(next.contains("waits for its hook after-checks (after-checks), which runs since "), "{next}");
    let states: Vec<&Value> = (0..4).map(|n| &now["candidate"]["hooks"][n]["state"]).collect();
    assert_eq!(states, ["passed", "running", "waiting", "waiting"]);
    assert!(
        text(&house.run(&["status", "shop/live"])).contains("after-checks (after-checks) of deployment 2 runs since ")
    );
    let aborted = house.run(&["abort", "shop/live", "--number", &number.to_string(), "--reason", "not today"]);
    assert!(aborted.status.success(), "{}", text(&aborted));
    house.settle();
    house.assert_outcome(number, "aborted");
    let runs = || house.processes().iter().filter(|p| p.runs("hook-run")).count();
    house.until("the hook is ended", || (runs() == 0).then_some(()));
    fs::remove_file(house.path("hold-after-checks")).expect("it was there");
    house.push("v3", "");
    house.settle();
    house.assert_live("v3");
    house.assert_verified();
}

#[test]
fn a_controller_that_is_killed_meanwhile_finds_what_came_of_it() {
    let house = hooked(TERMS);
    for point in ["before-provisioning", "after-checks", "before-cutover", "after-cutover"] {
        house.write(&format!("hold-{point}"), "");
        let version = format!("for-{point}");
        house.push(&version, "");
        let live = if point == "after-cutover" { version.clone() } else { house.live_version().expect("somebody") };
        let line = format!("{point} of {version}, live is {live}");
        until_ran(&house, &line);
        house.kill();
        fs::remove_file(house.path(&format!("hold-{point}"))).expect("it was there");
        house.start();
        house.settle();
        house.assert_live(&version);
        assert_eq!(ran(&house).iter().filter(|l| **l == line).count(), 1, "{:?}", ran(&house));
    }
    assert!(finished(&house).iter().all(|(_, why, _)| why.is_null()));
    house.assert_verified();
}

#[test]
fn secrets_are_taken_out_of_what_it_says_wherever_that_stands() {
    const CANARY: &str = "canary-of-the-hook-0815";
    let script = "echo \"db: $DB\"; cat ../secrets/key; echo; sed 's/^/mail=/' ../secrets/mail; exit 1";
    let house = house(TERMS, &hook("tell", "after-checks", script, "secrets = [\"db\"]"));
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let secrets =
        "[secrets]\ndb = { file = \"../secrets/db\" }\nmail = { file = \"../secrets/mail\" }\n[[environments]]";
    let pipeline = pipeline.replacen("[[environments]]", secrets, 1);
    house.write("pipelines/shop.toml", &pipeline.replace("app.toml\" }", "app.toml\", secrets = [\"mail\"] }"));
    house.write("secrets/db", CANARY);
    house.write("secrets/mail", "another-canary-4711");
    house.start();
    let number = house.push("v1", "");
    house.settle();
    let reason = house.assert_outcome(number, "failed");
    assert_eq!(reason, "hook tell failed: it ended with exit status 1: mail=[secret]");
    assert_eq!(finished(&house)[0].2, "db: [secret]\n[secret]\nmail=[secret]");
    let history = text(&house.run(&["history", "shop/live", "--records"]));
    assert!(history.contains("| db: [secret]"), "{history}");
    for entry in fs::read_dir(house.path("state/hooks/shop/live/1-tell")).expect("its folder") {
        let text = fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(!house.log().contains("canary"));
}

#[test]
fn what_is_one_way_is_told_before_a_promotion_after_it_and_with_the_rollback() {
    let migrate = hook("migrate", "after-checks", SCRIPT, "one_way = true");
    let house = house(TERMS, "");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let (head, environment) = pipeline.split_once("[[environments]]").expect("one");
    let next = environment.replace("name = \"live\"", "name = \"prod\"").replace("on-build", "on-promotion");
    let next = next.replace(":8080", ":8081");
    house.write(
        "pipelines/shop.toml",
        &format!("{head}[[environments]]{environment}{migrate}[[environments]]{next}{migrate}"),
    );
    let limit = "hook migrate is one way: going back returns the stack, not what the hook changed";
    assert!(text(&house.run(&["check"])).contains(limit));
    let plan = text(&house.run(&["plan", "shop/prod"]));
    assert!(plan.contains("hook      migrate, within 5 min: sh -c ") && plan.contains(limit), "{plan}");
    house.start();
    let promote = |version: &str| {
        house.push(version, "");
        house.settle();
        let promoted = house.run(&["promote", "shop/prod", "--yes", "--watch"]);
        assert!(promoted.status.success(), "{}", text(&promoted));
        text(&promoted)
    };
    promote("v1");
    let told = promote("v2");
    let limit = "hook migrate of v2 (release 2) is one way: going back returns the stack, not what the hook changed";
    assert!(
        told.contains(&format!("no way back\n    {limit}")) && told.contains("migrate (after-checks) is good"),
        "{told}"
    );
    for command in ["status", "why"] {
        assert!(text(&house.run(&[command, "shop/prod"])).contains(limit), "{command}");
    }
    // Before anything is asked for: also where it comes to nothing.
    let refused = house.run(&["rollback", "shop/prod", "--number", "77", "--reason", "orders fail"]);
    assert!(!refused.status.success() && text(&refused).contains(&format!("mind that {limit}")), "{}", text(&refused));
    let back = house.run(&["rollback", "shop/prod", "--reason", "orders fail", "--watch"]);
    let told = text(&back);
    assert!(back.status.success() && told.matches(&format!("mind that {limit}")).count() == 1, "{told}");
}

#[test]
fn people_are_asked_between_the_checks_and_the_cutover_and_hear_of_what_stays() {
    let gate = "bake = \"200ms\"\napproval = { before_cutover = { timeout = \"1h\", otherwise = \"abort\" } }";
    let hooks =
        hook("migrate", "after-checks", SCRIPT, "one_way = true") + &hook("warm-up", "before-cutover", SCRIPT, "");
    let house = house(gate, &hooks);
    house.start();
    let number = house.push("v1", "");
    house.until_state(number, "awaiting_approval");
    assert_eq!(ran(&house), ["migrate of v1, live is "]);
    house.write("fail-warm-up", "");
    let approved = house.run(&["approve", "shop/live", "--number", "1", "--watch"]);
    assert_eq!(approved.status.code(), Some(1), "{}", text(&approved));
    house.settle();
    assert_eq!(ran(&house), ["migrate of v1, live is ", "warm-up of v1, live is "]);
    let reason = house.assert_outcome(number, "failed");
    let why = "hook warm-up failed: it ended with exit status 3: no such table";
    assert_eq!(reason, format!("{why}; hook migrate is one way: what it has changed stays changed"));
    let told = text(&approved);
    assert!(
        told.contains("warm-up (before-cutover): it ended with exit status 3: no such table")
            && told.contains("| no such table"),
        "{told}"
    );
}

#[test]
fn a_hook_that_the_file_has_no_more_bars_no_way_back_but_every_other_way() {
    let house = hooked(QUICK);
    house.push("v2", "");
    house.settle();
    house.assert_live("v2");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let without = |at: &str| pipeline.replace(&hook(at, at, SCRIPT, ""), "");
    house.stop();
    house.write("pipelines/shop.toml", &without("after-checks"));
    house.start();
    rollback(&house, 2);
    house.settle();
    house.assert_live("v1");
    let told = finished(&house).into_iter().rfind(|(name, _, _)| name == "after-checks").expect("it is recorded");
    assert_eq!((told.1, told.2), (Value::Null, "the pipeline file has no such hook any more; it was not run".into()));
    // A deployment that was accepted under the old terms.
    house.write("hold-before-provisioning", "");
    assert!(house.run(&["resume", "shop/live"]).status.success());
    let number = house.push("v3", "");
    until_ran(&house, "before-provisioning of v3, live is v1");
    house.stop();
    house.write(
        "pipelines/shop.toml",
        &without("before-cutover").replace(&hook("after-checks", "after-checks", SCRIPT, ""), ""),
    );
    fs::remove_file(house.path("hold-before-provisioning")).expect("it was there");
    house.start();
    house.settle();
    let reason = house.assert_outcome(number, "failed");
    assert_eq!(
        reason,
        "hook before-cutover failed: the pipeline file has no such hook any more, so nobody knows what it runs"
    );
    house.assert_live("v1");
}

#[test]
fn a_program_that_is_not_there_is_told_before_it_is_to_run() {
    let house = house(TERMS, &hook("migrate", "after-checks", SCRIPT, ""));
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let checked = |program: &str| {
        house.write(
            "pipelines/shop.toml",
            &pipeline.replace("command = [\"sh\", \"-c\"", &format!("command = [\"{program}\"")),
        );
        let checked = house.run(&["check"]);
        (checked.status.success(), text(&checked))
    };
    let (good, told) = checked("/nowhere/migrate");
    assert!(
        good && told
            .contains("mind that hook migrate fails on this host: the program /nowhere/migrate cannot be run: "),
        "{told}"
    );
    let (good, told) = checked("./migrate");
    assert!(!good && told.contains("/./migrate cannot be run: No such file"), "{told}");
    fs::copy("/bin/true", house.path("pipelines/migrate")).expect("copied");
    assert!(checked("./migrate").0);
}
