//! Evidence, from a real controller to a file that is checked without it.

use std::fs;

use crate::support::house::House;

fn said(house: &House, arguments: &[&str]) -> (bool, String) {
    let output = house.run(arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn evidence_is_saved_checked_without_a_controller_and_refused_once_it_was_changed() {
    let house = House::with_v1_live("bake = \"200ms\"");
    house.settle();
    let (good, text) = said(&house, &["evidence", "shop/live", "1", "--output", "evidence.jsonl"]);
    assert!(good && text.contains("pointsman journal verify evidence.jsonl"), "{text}");
    let (again, text) = said(&house, &["evidence", "shop/live", "1", "--output", "evidence.jsonl"]);
    assert!(!again && text.contains("name another file"), "{text}");
    let (good, key) = said(&house, &["journal", "key"]);
    assert!(good, "{key}");
    house.stop();

    let verify = |more: &[&str]| said(&house, &[&["journal", "verify", "evidence.jsonl"], more].concat());
    let (good, text) = verify(&["--key", key.trim()]);
    assert!(good && text.contains("shop/live/1: good") && text.contains("It does not prove"), "{text}");
    let (good, text) = verify(&[]);
    assert!(good && text.contains("Compare this key with what `pointsman journal key` prints"), "{text}");
    let (good, text) = verify(&["--key", &"00".repeat(32)]);
    assert!(!good && text.contains("signed with another key"), "{text}");

    let bundle = fs::read_to_string(house.path("evidence.jsonl")).expect("it is there");
    let answer = r#""answers":[{"asked":"GET /healthz","said":"200","endpoints":1,"slowest":"#;
    assert!(bundle.contains(answer), "it says what the checks answered: {bundle}");
    house.write("evidence.jsonl", &bundle.replacen("\"kind\":\"went_live\"", "\"kind\":\"succeeded\"", 1));
    let (good, text) = verify(&["--key", key.trim()]);
    assert!(!good && text.contains("the checksum of record"), "{text}");
    let (good, text) = verify(&["--json"]);
    assert!(!good && text.contains("\"good\":false"), "{text}");
    house.write("evidence.jsonl", &bundle.replace('\n', "\r\n"));
    let (good, text) = verify(&["--key", key.trim()]);
    assert!(!good && text.contains("its lines end with CR and LF"), "{text}");
    let huge = fs::File::create(house.path("evidence.jsonl")).expect("written");
    huge.set_len(1 << 40).expect("a file of holes");
    let (good, text) = verify(&["--key", key.trim()]);
    assert!(!good && text.contains("is longer than 256 MiB"), "{text}");
    let (good, text) = said(&house, &["journal", "verify", "evidnece.jsonl"]);
    assert!(!good && text.contains("evidnece.jsonl: there is no such folder"), "{text}");
    let (good, text) = said(&house, &["journal", "verify"]);
    assert!(good && text.contains("good"), "the state file is verified as before: {text}");
}
