//! What can never pass fails at once and says so, below a whole controller: no deadline is waited for.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::house::House;

/// A house whose front is repointed by a script of somebody's.
fn with_a_script(script: &str) -> House {
    let house = House::with("bake = \"0s\"\nretain = \"1h\"");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let front = format!("{{ driver = \"builtin\", listen = \"{}:8080\" }}", house.address);
    let command = "{ driver = \"command\", cut_over = [\"./repoint.sh\", \"{address}\"], timeout = \"3s\" }";
    assert!(pipeline.contains(&front), "{pipeline}");
    house.write("pipelines/shop.toml", &pipeline.replace(&front, command));
    write(&house, script);
    house
}

fn write(house: &House, script: &str) {
    let file = house.path("pipelines/repoint.sh");
    house.write("pipelines/repoint.sh", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_first_deployment_whose_script_can_never_work_fails_at_once_and_the_next_one_goes_live() {
    for (script, words) in [
        ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed."),
        ("echo 'no such site' >&2; exit 78", "exit status 78: no such site"),
        ("repoint-the-proxy-of-nobody", "exit status 127"),
    ] {
        let house = with_a_script(script);
        house.start();
        // The deadline of a cutover is a minute, and this waits for half of that at most.
        let number = house.push("v1", "");
        house.settle();
        let reason = house.assert_outcome(number, "failed");
        assert!(reason.contains("the front refused the order") && reason.contains(words), "{reason}");
        write(&house, "echo \"$1\" > points_at");
        let number = house.push("v2", "");
        house.settle();
        house.assert_outcome(number, "succeeded");
    }
}

#[test]
fn a_script_that_is_gone_fails_the_deployment_at_once_and_users_stay_where_they_are() {
    let house = with_a_script("echo \"$1\" > points_at");
    house.start();
    let number = house.push("v1", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    let before = fs::read_to_string(house.path("pipelines/points_at")).expect("it was run");
    fs::remove_file(house.path("pipelines/repoint.sh")).expect("it is there");
    let number = house.push("v2", "");
    house.settle();
    let reason = house.assert_outcome(number, "failed");
    assert!(reason.contains("cannot be started: No such file or directory"), "{reason}");
    let now = house.environment().expect("it answers");
    assert_eq!((&now["live"]["release"]["version"], &now["needs_operator"]), (&"v1".into(), &false.into()), "{now:#}");
    assert_eq!(fs::read_to_string(house.path("pipelines/points_at")).expect("it is there"), before);
}
