//! People name releases by their versions, and read what they are told in whatever width their terminal has.

use std::process::Command;

use crate::support::house::House;

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";

#[track_caller]
fn run(house: &House, line: &str, code: i32) -> String {
    let done = house.run(&line.split(' ').collect::<Vec<_>>());
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(code), "{line}\n{said}\n{}", house.log());
    said
}

fn live(house: &House, version: &str) {
    house.push(version, "");
    house.settle();
    house.assert_live(version);
}

#[test]
fn a_version_says_where_a_rollback_is_to_go_and_what_is_meant_elsewhere_and_unknown_ones_are_refused_with_a_list() {
    let house = House::with_v1_live(TERMS);
    live(&house, "v2");
    let said = run(&house, "rollback shop/live v9", 1);
    assert!(
        said.contains("goes back to v1 (release 1), not to v9") && said.contains("nothing was rolled back"),
        "{said}"
    );
    let said = run(&house, "rollback shop/live v2", 1);
    assert!(said.contains("v2 is what is live in shop/live; a rollback of it goes back to v1 (release 1)"), "{said}");
    house.assert_live("v2");
    let said = run(&house, "history shop/live v2", 0);
    assert!(said.contains("v2 (release 2)") && !said.contains("v1 (release 1)"), "{said}");
    assert_eq!(run(&house, "history shop/live 2", 0), said, "by its number");
    let said = run(&house, "history shop/live v9", 1);
    assert!(said.contains("there are: v2 (release 2), v1 (release 1)"), "{said}");
    let said = run(&house, "abort shop/live v2", 1);
    assert!(said.contains("nothing is under way in shop/live: `pointsman status shop/live`"), "{said}");
    run(&house, "rollback shop/live v1 --watch", 0);
    house.assert_live("v1");

    house.push("v3", "");
    house.until("it waits", || house.environment()?["queue"][0]["number"].as_u64());
    let said = run(&house, "abort shop/live v4", 1);
    assert!(said.contains("no deployment of v4 is under way in shop/live; there are: v3 (deployment 3)"), "{said}");
    run(&house, "abort shop/live v3", 0);
    house.assert_live("v1");
}

#[test]
fn at_80_and_at_60_columns_every_line_fits_and_every_word_is_whole() {
    let house = House::with_v1_live(TERMS);
    let long = "2026.11.26-a-version-with-a-long-name";
    live(&house, long);
    let reason = "the database of all orders is being moved to another host and nobody may deploy until that is done";
    let held = house.run(&["hold", "shop/live", "--reason", reason]);
    assert!(held.status.success(), "{held:?}");
    for columns in ["80", "60"] {
        for line in ["status", "status shop/live", "why shop/live", "history shop/live", "history shop/live --records"]
        {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
            command.args(line.split(' ')).current_dir(house.path("")).env("COLUMNS", columns);
            let said = String::from_utf8(command.output().expect("the program runs").stdout).expect("text");
            let most: usize = columns.parse().expect("a number");
            for told in said.lines() {
                // What has no space cannot be broken; a record's head is one piece.
                let one_piece =
                    told.split_whitespace().count() <= 2 || line.ends_with("--records") && told.starts_with('2');
                assert!(told.chars().count() <= most || one_piece, "{columns} {line}: {told}\n{said}");
            }
            assert!(!said.contains('…'), "{columns} {line}: {said}");
            let words: Vec<&str> = said.split_whitespace().collect();
            if !line.starts_with("history shop/live") || line.ends_with("--records") {
                for word in reason.split(' ') {
                    assert!(
                        words.iter().any(|w| w.trim_matches(['(', ')', ';']) == word),
                        "{columns} {line}: {word}: {said}"
                    );
                }
            }
        }
    }
}
