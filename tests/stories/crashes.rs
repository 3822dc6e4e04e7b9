//! Instances and supervisors that end by themselves or are killed, below a whole controller.

use std::{collections::BTreeSet, fs};

use pointsman::clock::Stopwatch;

use crate::support::house::House;

#[test]
fn a_candidate_that_ends_by_itself_while_it_bakes_is_rolled_back_and_its_exit_says_why() {
    let house = House::with_v1_live("bake = \"8s\"\nretain = \"1h\"");
    let number = house.push("v2", "--crash-after 1500ms");
    house.settle();
    let reason = house.assert_outcome(number, "rolled_back");
    assert!(reason.contains("instance 0 ended by itself: exit status 1: pointsman: crashed"), "{reason}");
    house.assert_live("v1");
}

#[test]
fn ends_that_the_pipeline_allows_are_no_failure() {
    let house = House::with("bake = \"2500ms\"\nrestarts_allowed = 9\nretain = \"1h\"");
    // However long this host takes to start it again, its checks are not what is told of here.
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &pipeline.replace("every = \"50ms\"", "every = \"50ms\"\nfails = 200"));
    house.start();
    house.push("v1", "");
    house.settle();
    let number = house.push("v2", "--crash-after 1s");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
}

#[test]
fn restarts_of_what_is_live_are_counted_on_the_page_with_how_the_last_one_ended() {
    let house = House::with("bake = \"0s\"\nrestarts_allowed = 9\nretain = \"1h\"");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &pipeline.replace("every = \"50ms\"", "every = \"50ms\"\nfails = 200"));
    house.start();
    house.push("v1", "--crash-after 1s");
    let count = house.until("it has ended by itself twice", || {
        let restarts = house.environment()?["live"]["stack"]["restarts"].clone();
        let last = restarts["last"].as_str()?;
        assert!(last.contains("instance 0 ended by itself: exit status 1: pointsman: crashed"), "{last}");
        restarts["count"].as_u64().filter(|count| *count >= 2)
    });
    let page = house.try_ask("GET", "/environments/shop/live", "").expect("it answers").body;
    let fact = page.split("<dt>Restarts</dt><dd><bdi>").nth(1).expect("the count").split("</bdi>").next();
    let (shown, last) = fact.and_then(|fact| fact.split_once("; the last: ")).expect("how the last one ended");
    assert!(shown.parse::<u64>().is_ok_and(|shown| shown >= count), "{shown} of {count}");
    assert!(last.contains("exit status 1: pointsman: crashed"), "{last}");
}

#[test]
fn a_killed_supervisor_of_what_is_live_is_replaced_at_once_and_users_notice_nothing() {
    // Nobody is to find it by looking: that comes much later.
    let house = House::with("bake = \"0s\"\nretain = \"1h\"");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    assert!(pipeline.contains("watch = \"100ms\""), "{pipeline}");
    house.write("pipelines/shop.toml", &pipeline.replace("watch = \"100ms\"", "watch = \"1h\""));
    house.start();
    house.push("v1", "");
    house.settle();
    let supervisors = || -> BTreeSet<i32> {
        let all = house.processes();
        all.iter().filter(|process| process.runs("stack-run")).map(|process| process.pid).collect()
    };
    let hammer = house.hammer();
    let mut times = Vec::new();
    for _ in 0..5 {
        let before = supervisors();
        assert_eq!(before.len(), 1, "one stack, one supervisor");
        let since = Stopwatch::start();
        house.processes().iter().filter(|process| process.runs("stack-run")).for_each(|process| process.kill());
        house.until("another supervisor is at work", || {
            let now = supervisors();
            let seen = house.environment()?["live"].to_string();
            (now.len() == 1 && now.is_disjoint(&before) && seen.contains("\"ready\"")).then_some(())
        });
        times.push(since.elapsed());
    }
    let seen = hammer.end();
    println!("replaced within {times:?}; answers: {:?}", seen.versions);
    assert_eq!(seen.failures, Vec::<String>::new());
    house.assert_live("v1");
}

#[test]
fn what_is_live_serves_again_when_what_it_needs_is_back_also_after_the_controller_was_killed() {
    let house = House::with("bake = \"0s\"\nretain = \"1h\"");
    let needs = "test ! -e away || {{ echo no database >&2; exit 3; }}; \
                 exec {pointsman} sample --listen {address}:{port} --version {version}";
    house.write("stacks/process/app.toml", &house.definition(needs));
    house.start();
    house.push("v1", "");
    house.settle();
    // At once, also before it counts as one that is kept for ever: it is live, so it is wanted.
    let away = "state/stacks/process/stacks/shop/live/1/work/away";
    house.write(away, "");
    let instances = || house.processes().into_iter().filter(|process| process.runs("sample"));
    instances().for_each(|process| process.kill());
    let shown = |what: &str| house.environment().filter(|now| now["live"].to_string().contains(what)).map(drop);
    house.until("it is down, and says why", || shown("exit status 3: no database"));
    house.kill();
    house.start();
    house.until("it is tried still", || shown("ended 8 times in a row"));

    fs::remove_file(house.path(away)).expect("it is there");
    house.until("users are served", || house.live_version());
    house.assert_live("v1");
}

#[test]
fn a_killed_instance_of_what_is_live_is_started_again_at_once() {
    let house = House::with_v1_live("bake = \"1500ms\"\nretain = \"1h\"");
    let instance = || house.processes().into_iter().find(|process| process.runs("sample"));
    let before = instance().expect("it runs");
    let since = Stopwatch::start();
    before.kill();
    house.until("another instance runs", || instance().filter(|now| now.pid != before.pid));
    let started = since.elapsed();
    house.until("users are served", || house.live_version());
    println!("a killed instance: another one after {started:?}, users served after {:?}", since.elapsed());
}
