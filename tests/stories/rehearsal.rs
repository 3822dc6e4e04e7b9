//! Deployments that are rehearsed by the real program: told stories with their whole output, and what is not one.

use serde_json::Value;

use crate::support::house::House;

const TERMS: &str = "bake = \"5m\"\nretain = \"30m\"\nrecover = { to = \"standby\", after = \"30s\" }\n\
                     approval = { before_cutover = { timeout = \"8h\", otherwise = \"abort\", by = [\"ann\"] } }";

/// Runs `simulate` without any controller. Returns the exit code and what was printed.
#[track_caller]
fn rehearsed(house: &House, flags: &str) -> (i32, String) {
    let out = house.run(&format!("simulate shop/live {flags}").split_whitespace().collect::<Vec<_>>());
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code().expect("it was not killed"), said)
}

#[test]
fn a_check_that_fails_amid_the_watch_is_told_to_its_end() {
    let (code, said) = rehearsed(&House::with(TERMS), "--slow-start 1m --check-fails-at 3m");
    assert_eq!(said, FAILING);
    assert_eq!(code, 3);
}

const FAILING: &str = "\
shop/live: rehearsed on virtual time from T on, when the deployment is asked for; nothing was deployed
shop/live/2
  +   0.000 s  accepted
  +   0.000 s  started
               Deployment 2 (v2) waits for its stack to be up, until T+10 min at the latest.
  +  60.000 s  provisioned
  +   0.550 s  checked               GET /healthz: 200 in 20 ms
               Deployment 2 (v2) waits until T+8 h 1 min for ann to approve it before the traffic moves to it, then it is aborted: `pointsman approve shop/live` or `pointsman abort shop/live`.
  +  60.000 s  approved
  +   0.000 s  cut over ordered
  +   0.500 s  went live
               Deployment 2 (v2) is live and watched until T+7 min 1 s; `pointsman rollback shop/live` puts back what was before.
               T+3 min: the checks of stack 2 begin to fail
  +  59.050 s  live down             its check fails, as the story tells
  +   0.000 s  undo ordered          its check fails, as the story tells
  +   0.500 s  undone
shop/live/2  rolled back after 180.600 s: its check fails, as the story tells
afterwards
  +   5.000 s  retired
at T+3 min 5 s: Users see v1 (deployment 1); it is up and passes its checks.
";

#[test]
fn a_silent_front_and_people_who_sleep_are_told_to_their_end() {
    let house = House::with(TERMS);
    let (code, said) = rehearsed(&house, "--nobody-answers --front-silent-at 10s --front-silent-for 2m");
    assert_eq!(said, ASLEEP);
    assert_eq!(code, 4);
    let again = rehearsed(&house, "--nobody-answers --front-silent-at 10s --front-silent-for 2m");
    assert_eq!(again, (code, said), "a story has one outcome");
    assert!(!house.path("state").exists(), "nothing is written");
}

const ASLEEP: &str = "\
shop/live: rehearsed on virtual time from T on, when the deployment is asked for; nothing was deployed
shop/live/2
  +   0.000 s  accepted
  +   0.000 s  started
               Deployment 2 (v2) waits for its stack to be up, until T+10 min at the latest.
               T+10 s: the front stops answering
  +  10.000 s  provisioned
               Deployment 2 (v2) must pass its checks until T+5 min 10 s.
               T+2 min 10 s: the front answers again
  + 120.500 s  checked               GET /healthz: 200 in 20 ms
               Deployment 2 (v2) waits until T+8 h 2 min for ann to approve it before the traffic moves to it, then it is aborted: `pointsman approve shop/live` or `pointsman abort shop/live`.
  +28800.000 s  ended                 nobody approved it in time
shop/live/2  aborted after 28930.500 s: nobody approved it in time
afterwards
  +   5.000 s  retired
at T+8 h 2 min: Users see v1 (deployment 1); it is up and passes its checks.
";

#[test]
fn a_script_reads_the_moments_of_a_story() {
    let (code, said) = rehearsed(&House::with(TERMS), "--dies-at 20m --slow-start 2m --json");
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &told["deployment"], &told["state"]), (0, &"shop/live/2".into(), &"succeeded".into()));
    let moments = told["moments"].as_array().expect("moments");
    let recovered = moments.iter().find(|moment| moment["event"]["kind"] == "recovered").expect("a recovery");
    assert_eq!(recovered["after"], 20 * 60_000 + 30_000);
    assert_eq!(recovered["event"]["to"], 1);
    let turn = moments.iter().find(|moment| moment["story"].is_string()).expect("a turn");
    assert_eq!((&turn["story"], &turn["after"]), (&"stack 2 dies".into(), &(20 * 60_000).into()));
    assert!(told["users"].as_str().is_some_and(|users| users.starts_with("Users see v1")), "{}", told["users"]);
}

#[test]
fn all_that_may_go_wrong_is_tried_on_the_terms_of_the_environment() {
    let house = House::with(&format!("{TERMS}\nsteps = [{{ share = 5, bake = \"1m\" }}]"));
    let (code, said) = rehearsed(&house, "--explore --most 3000");
    let lines: Vec<&str> = said.lines().collect();
    let head = "shop/live: all moves of the model on this environment's own terms; nothing was deployed";
    assert_eq!((code, lines[0]), (0, head), "{said}");
    let worlds = &lines[1..lines.len() - 1];
    assert!(worlds.len() >= 10, "{said}");
    for world in worlds {
        let (all, part) = (world.contains("  all "), world.contains("  the first ") && world.ends_with(" steps deep"));
        assert!(all != part && world.contains(" states"), "{world}");
    }
    assert!(worlds.iter().any(|world| world.contains("people abort and roll back")), "{said}");
    let last = lines[lines.len() - 1];
    assert!(last.starts_with("no promise breaks in ") && last.ends_with(" worlds were explored whole"), "{last}");

    let (code, said) = rehearsed(&house, "--explore --most 3000 --json");
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &told["environment"], &told["broken"]), (0, &"shop/live".into(), &Value::Null));
    let states: Vec<u64> =
        told["worlds"].as_array().into_iter().flatten().filter_map(|w| w["states"].as_u64()).collect();
    assert_eq!(states.len(), worlds.len());
    let most = told["worlds"][0].clone();
    assert!(most["whole"] == false && most["states"].as_u64().is_some_and(|states| states >= 3000), "{most}");
    assert!(!house.path("state").exists(), "nothing is written");
}

#[test]
fn an_exploration_ends_when_its_time_is_over() {
    let house = House::with(TERMS);
    let (code, said) = rehearsed(&house, "--explore --within 1s");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("most of this at once") && said.contains("the first "), "{said}");
}

#[test]
fn what_is_no_story_is_refused_with_what_would_be_one() {
    let house = House::with(TERMS);
    for (flags, code, words) in [
        (
            "--slow-start 4",
            2,
            "invalid duration \"4\": write a number and a unit (ms, s, m, h, d), for example \"30m\"",
        ),
        ("--check-fails-for 4m", 2, "--check-fails-at"),
        ("--nobody-answers --answers-after 4m", 2, "cannot be used with"),
        ("--first --live-dies-at 4m", 2, "cannot be used with"),
        ("--explore --dies-at 4m", 2, "cannot be used with"),
        ("--most 5", 2, "--explore"),
    ] {
        let (ended, said) = rehearsed(&house, flags);
        assert_eq!(ended, code, "{flags}: {said}");
        assert!(said.contains(words), "{flags}: {said}");
    }
    let unknown = house.run(&["simulate", "shop/prod"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said.contains("there is no environment shop/prod; there are: shop/live"), "{said}");
    house.write("pipelines/shop.toml", "bake = 5");
    let (ended, said) = rehearsed(&house, "");
    assert!(ended == 1 && said.contains("pipelines/shop.toml:1:"), "{said}");
}
