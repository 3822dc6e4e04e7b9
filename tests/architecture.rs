//! Reads the sources and fails when one of the things that must never be has come to be.

mod paths;
mod prose;
mod silence;
mod sources;

use std::{fs, path::Path};

use self::sources::{EVERYWHERE, MACHINE, Source, assert_none, foreign, lines_with, named, sources};

/// What reaches beyond this host's files and memory.
const NETWORK: [&str; 9] = [
    "reqwest",
    "hyper",
    "hyper_util",
    "axum",
    "socket2",
    "tokio::net",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
];

#[test]
fn a_known_violation_is_found_however_it_is_written() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let text = "//! x\nuse std::{\n    fmt,\n    fs,\n};\nuse crate::{\n    journal::{self, Journal},\n    machine::Seq,\n};\n\
                use super::super::runner::Board;\nfn f() { crate::http::router() }\n// crate::cli\n\
                mod tests {\n    use crate::cli;\n}\n";
    let all = [
        source("machine/src/machine/tick.rs", text),
        source("machine/src/machine/tests/tick.rs", "use crate::cli;"),
        source("src/cli/x.rs", "use crate::journal;"),
    ];
    let hits = foreign(&all, MACHINE, &["machine"]);
    let expected =
        ["7: crate::journal", "7: crate::journal::Journal", "10: crate::runner::Board", "11: crate::http::router"];
    assert_eq!(hits, expected.map(|hit| format!("machine/src/machine/tick.rs:{hit}")));
    assert_eq!(named(&all, MACHINE, &["std::fs"]), ["machine/src/machine/tick.rs:4: std::fs"]);
    let all = [source("src/git/mod.rs", "use std::*; use super::http;")];
    assert_eq!(
        named(&all, "src/git", &["std::fs", "crate::http"]),
        ["src/git/mod.rs:1: std::*", "src/git/mod.rs:1: crate::http"]
    );
}

#[test]
fn every_module_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [map, library] =
        ["ARCHITECTURE.md", "src/lib.rs"].map(|file| fs::read_to_string(root.join(file)).expect("it is there"));
    let library = library.replace("#[cfg(test)]\nmod ", "// of the tests: ");
    let modules = paths::modules(&library);
    assert!(modules.len() > 20, "only {} modules", modules.len());
    for module in modules {
        let rows = [format!("`src/{module}`"), format!("`src/{module}.rs`"), format!("`{module}.rs`")];
        let row = map.lines().find(|l| l.starts_with('|') && rows.iter().any(|row| l.contains(row)));
        assert!(row.is_some(), "{module} is not on the map of ARCHITECTURE.md");
    }
    assert!(map.contains(&format!("\n| `{MACHINE}` | ")), "the machine is not on the map of ARCHITECTURE.md");
}

#[test]
fn what_is_asked_for_is_where_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it is there");
    let (_, questions) = page.split_once("## Where is").expect("the questions are there");
    let named: Vec<&str> = questions.split('`').collect();
    let (mut files, mut names) = (0, 0);
    // Text and what is named in code take turns; a file may be followed by what is meant in it.
    for (nth, file) in named.iter().enumerate().skip(1).step_by(2).filter(|(_, name)| name.ends_with(".rs")) {
        if *file == "settings.rs" {
            continue; // Each driver has one.
        }
        let package = if file.starts_with("machine/") { "machine/src" } else { "src" };
        let text = fs::read_to_string(root.join(package).join(file));
        let text = text.unwrap_or_else(|error| panic!("ARCHITECTURE.md names {file}: {error}"));
        files += 1;
        if let [", ", name, ..] = named[nth + 1..] {
            assert!(text.contains(name), "{file} has no {name}");
            names += 1;
        }
    }
    assert!(files > 20 && names > 8, "only {files} files and {names} names");
}

#[test]
fn the_machine_is_pure() {
    let all = sources();
    assert_none("the machine imports other parts", &foreign(&all, MACHINE, &["machine"]));
    let world =
        ["tokio", "std::fs", "std::net", "std::io", "std::thread", "std::process", "std::env", "std::os", "rustix"];
    assert_none("the machine does I/O", &named(&all, MACHINE, &[&world[..], &NETWORK].concat()));
    assert_none("the machine is async or prints", &lines_with(MACHINE, &["async ", "print!(", "println!("]));
    let clocks = ["Instant", "SystemTime", "::now("];
    assert_none("the machine reads a clock", &lines_with(MACHINE, &clocks));
}

/// Both packages call it by the same paths, so that one look at these says who uses it.
#[test]
fn the_machine_has_one_name() {
    let hits = lines_with(EVERYWHERE, &["pointsman_machine"]).into_iter().filter(|hit| !hit.starts_with("src/lib.rs:"));
    assert_none("the machine's package is named beside `crate::machine`", &hits.collect::<Vec<_>>());
}

#[test]
fn the_journal_knows_the_machine_only() {
    assert_none("the journal knows more", &foreign(&sources(), "src/journal", &["journal", "machine"]));
}

#[test]
fn the_chronicle_knows_what_was_recorded_and_nobody_who_acts() {
    let known = ["chronicle", "journal", "machine", "telling", "text"];
    assert_none("the chronicle looks up", &foreign(&sources(), "src/chronicle", &known));
    assert_none("the chronicle takes the network", &named(&sources(), "src/chronicle", &NETWORK));
}

#[test]
fn evidence_knows_what_was_recorded_and_nobody_who_acts() {
    let known =
        ["evidence", "journal", "machine", "telling", "text", "random", "pipelines::frozen", "secrets::make_key"];
    assert_none("evidence looks up", &foreign(&sources(), "src/evidence", &known));
    assert_none("evidence takes the network", &named(&sources(), "src/evidence", &NETWORK));
}

#[test]
fn what_an_installation_is_is_decided_without_a_driver() {
    let all = sources();
    let known = ["installation", "journal", "clock", "random"];
    assert_none("the identity looks up", &foreign(&all, "src/installation", &known));
    let outside = ["std::fs", "std::process", "tokio", "rustix"];
    assert_none("the decision does I/O", &named(&all, "src/installation/decide.rs", &outside));
}

#[test]
fn drivers_know_neither_the_journal_nor_the_runner_nor_one_another() {
    let all = sources();
    let tools = [
        "machine",
        "aws",
        "clock",
        "descriptors",
        "holder",
        "log_file",
        "outgoing",
        "random",
        "signals",
        "text",
        "tls",
        "units",
        "toml_file",
        "program",
        "reach",
        "yaml",
    ];
    assert_none("a stack driver looks up", &foreign(&all, "src/stacks", &[&tools[..], &["stacks"]].concat()));
    // Both kinds fail in the same ways.
    // The key of a preview is kept where other secrets are.
    let keys = ["web_front", "stacks::StepError", "secrets::source", "pipelines::SecretSource"];
    let front = [&tools[..], &keys].concat();
    assert_none("a front driver looks up", &foreign(&all, "src/web_front", &front));
    for (place, registry) in [("src/stacks", "stacks"), ("src/web_front", "web_front")] {
        let drivers = registered(place);
        assert!(!drivers.is_empty(), "{place} registers none");
        for driver in &drivers {
            let others = drivers.iter().filter(|d| *d != driver).map(|d| format!("crate::{registry}::{d}"));
            let others: Vec<String> = others.collect();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            for own in [format!("{place}/{driver}/"), format!("{place}/{driver}.rs")] {
                assert_none("a driver knows another", &named(&all, &own, &others));
            }
        }
    }
}

/// What outside of the registries may name a driver: files for it are written there.
const WRITES_FILES_FOR_A_DRIVER: [&str; 3] = ["src/cli/demo", "src/cli/import", "src/cli/init"];

#[test]
fn no_driver_is_named_outside_of_its_registry() {
    let all = sources();
    // What is a word of its own anywhere else, or a part of other words, a driver's name or not.
    let common = ["command", "process", "ecs"];
    let may = |hit: &String| !WRITES_FILES_FOR_A_DRIVER.iter().any(|place| hit.starts_with(place));
    for registry in ["stacks", "web_front"] {
        let place = format!("src/{registry}");
        let outside = |hit: &String| !hit.starts_with(&place) && may(hit);
        for driver in registered(&place) {
            let path = format!("crate::{registry}::{driver}");
            let hits = named(&all, EVERYWHERE, &[&path]).into_iter().filter(outside).collect::<Vec<_>>();
            assert_none("a driver is known outside of its registry", &hits);
            let written = [format!("driver = \\\"{driver}\\\""), format!("{registry}/{driver}"), driver.clone()];
            let written = if common.contains(&driver.as_str()) { &written[..2] } else { &written[..] };
            let written: Vec<&str> = written.iter().map(String::as_str).collect();
            let at_home = |hit: &String| hit.starts_with("src/stacks") || hit.starts_with("src/web_front");
            let hits = lines_with(EVERYWHERE, &written).into_iter().filter(|hit| !at_home(hit) && may(hit));
            assert_none("a driver's name is written outside of its registry", &hits.collect::<Vec<_>>());
        }
    }
}

#[test]
fn checks_reach_only_the_addresses_that_are_handed_in() {
    let all = sources();
    let known = ["checks", "machine", "clock", "text", "units", "program", "outgoing"];
    assert_none("a check knows where else to ask", &foreign(&all, "src/checks", &known));
    let names = ["lookup_host", "ToSocketAddrs", "to_socket_addrs"];
    assert_none("a check looks names up", &lines_with("src/checks", &names));
}

#[test]
fn hooks_know_what_they_run_and_nothing_else() {
    let all = sources();
    let known = ["hooks", "machine", "clock", "program", "reach", "text", "checks::StatusSet", "outgoing"];
    assert_none("a hook looks up", &foreign(&all, "src/hooks", &known));
    let words = ["HookOrdered", "HookFinished", "hooks_ordered", ".effects("];
    assert_none("a hook decides when it is due", &lines_with("src/hooks", &words));
    let starters =
        lines_with(EVERYWHERE, &["\"hook-run\""]).into_iter().filter(|hit| !hit.starts_with("src/hooks/runs.rs"));
    assert_none("someone else starts hooks", &starters.collect::<Vec<_>>());
}

#[test]
fn the_files_that_people_write_are_read_without_the_network() {
    let all = sources();
    for place in ["src/pipelines", "src/settings.rs"] {
        assert_none("reading files takes the network", &named(&all, place, &NETWORK));
        let above = ["crate::git", "crate::http", "crate::journal", "crate::runner", "crate::cli"];
        let up = named(&all, place, &above);
        // How an address of a repository is read says git, and asks nobody.
        let up: Vec<String> = up.into_iter().filter(|hit| !hit.contains("crate::git::address::")).collect();
        assert_none("reading files looks up", &up);
    }
}

#[test]
fn who_tells_of_trouble_calls_no_driver() {
    let all = sources();
    let known = [
        "notify",
        "machine",
        "journal",
        "clock",
        "text",
        "telling",
        "program",
        "pipelines::Program",
        "runner::Board",
        "runner::TELLING",
        // What a program says of its failure is shown, without secrets.
        "secrets::Secrets",
        "hooks::Redactor",
    ];
    assert_none("notify looks up", &foreign(&all, "src/notify", &known));
}

#[test]
fn sentences_know_the_machine_and_the_facts_of_a_front_only() {
    let all = sources();
    assert_none(
        "a sentence looks up",
        &foreign(&all, "src/telling", &["telling", "machine", "text", "web_front::FrontTrouble"]),
    );
}

#[test]
fn a_rehearsal_reaches_nothing() {
    let all = sources();
    // What a look is made of, and what a step is called: pure parts of the runner.
    let looks = ["Looking", "Verdict", "Verdicts", "known_as", "public_question", "refresh", "stack_view", "step_name"];
    let looks = looks.map(|part| format!("runner::{part}"));
    let known = ["rehearsal", "machine", "checks", "reach", "stacks::SeenStack", "telling", "text"];
    let known: Vec<&str> = known.into_iter().chain(looks.iter().map(String::as_str)).collect();
    assert_none("a rehearsal looks up", &foreign(&all, "src/rehearsal", &known));
    let world = [&NETWORK[..], &["tokio", "std::fs", "std::process", "checks::probe"]].concat();
    assert_none("a rehearsal reaches something", &named(&all, "src/rehearsal", &world));
}

#[test]
fn texts_know_not_what_they_are_used_for() {
    let all = sources();
    for place in [
        "src/text.rs",
        "src/units.rs",
        "src/reach.rs",
        "src/toml_file",
        "src/clock.rs",
        "src/random.rs",
        "src/program.rs",
        "src/outgoing.rs",
    ] {
        let tools = ["machine::Millis", "text", "units", "toml_file"];
        assert_none("a tool looks up", &foreign(&all, place, &tools));
    }
}

#[test]
fn git_knows_no_pipeline_no_journal_and_no_driver_and_no_driver_or_core_knows_git() {
    let all = sources();
    assert_none("git looks up", &foreign(&all, "src/git", &["git", "clock", "text", "program", "machine::Millis"]));
    for place in [MACHINE, "src/journal", "src/stacks", "src/web_front", "src/checks", "src/intake"] {
        assert_none("git is used from below", &named(&all, place, &["crate::git"]));
    }
}

#[test]
fn only_a_fetch_of_git_uses_the_network() {
    let all = sources();
    let ways = ["src/git/program.rs"];
    let outside = |hits: Vec<String>, but: &[&str]| -> Vec<String> {
        hits.into_iter().filter(|hit| !but.iter().any(|file| hit.starts_with(file))).collect()
    };
    let programs = ["std::process", "tokio::process", "reqwest", "tokio::net", "std::net"];
    // An address is only taken apart with it.
    let network = named(&all, "src/git", &programs).into_iter().filter(|hit| !hit.ends_with("reqwest::Url")).collect();
    assert_none("git uses the network elsewhere", &outside(network, &ways));
    let users = named(&all, "src/git", &["crate::git::program::Errand"]);
    assert_none("not only a fetch reaches a server", &outside(users, &["src/git/fetch.rs"]));
}

/// The modules that a registry names.
fn registered(place: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join("mod.rs")).unwrap();
    let names = text.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned));
    names.collect()
}

#[test]
fn intake_and_http_never_call_drivers() {
    let all = sources();
    let drivers = ["crate::stacks", "crate::web_front"];
    assert_none("webhooks know who acts", &named(&all, "src/intake", &[&drivers[..], &["crate::runner"]].concat()));
    assert_none("the API knows drivers", &named(&all, "src/http", &drivers));
    for place in ["src/intake", "src/http"] {
        let words = ["StackDriver", "FrontDriver", ".ensure(", ".retire(", ".cut_over(", ".stage("];
        assert_none("a surface calls a driver", &lines_with(place, &words));
    }
}

#[test]
fn who_may_do_what_is_decided_without_knowing_how_they_ask() {
    let all = sources();
    let known = ["access", "machine", "random", "text", "toml_file"];
    assert_none("access looks up", &foreign(&all, "src/access", &known));
    let ways = [&NETWORK[..], &["http", "tokio", "tower", "futures_util"]].concat();
    assert_none("access knows how requests come", &named(&all, "src/access", &ways));
    assert_none("access waits", &lines_with("src/access", &["async "]));
}

/// The crate `rsa` leaks the time of what is done with a private key (RUSTSEC-2023-0071, which `deny.toml` lets pass for this
/// reason): there is none, and nobody but `openidconnect` uses the crate.
#[test]
fn there_is_no_private_rsa_key() {
    let all = sources();
    let makers = ["RsaPrivateKey", "CoreRsaPrivateSigningKey", "PrivateSigningKey", "rsa::"];
    let named = all.iter().filter(|source| source.path != "src/oidc/tests.rs");
    let hits = named.flat_map(|source| {
        let lines = source.text.lines().enumerate();
        let found = lines.filter(|(_, line)| makers.iter().any(|maker| line.contains(maker)));
        found.map(|(number, line)| format!("{}:{}: {line}", source.path, number + 1))
    });
    assert_none("somebody has a private key to sign with", &hits.collect::<Vec<_>>());
    let tests = all.iter().find(|source| source.path == "src/oidc/tests.rs").expect("the tests of tokens");
    assert!(!tests.text.contains("Rsa") && !tests.text.contains("rsa::"), "the tests sign with Ed25519");

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it is there");
    assert!(!manifest.lines().any(|line| line.starts_with("rsa ") || line.contains("package = \"rsa\"")));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("it is there");
    let users: Vec<&str> = lock
        .split("[[package]]")
        .filter(|package| package.lines().any(|line| line.trim().starts_with("\"rsa")))
        .filter_map(|package| package.split('"').nth(1))
        .collect();
    assert_eq!(users, ["openidconnect"], "others use the crate rsa");
    let deny = fs::read_to_string(root.join("deny.toml")).expect("it is there");
    assert!(deny.contains("RUSTSEC-2023-0071"), "this test is the reason of an exception that is gone: remove both");
}

#[test]
fn the_text_of_a_token_is_made_in_one_place() {
    let makers =
        lines_with(EVERYWHERE, &["\"pm_\""]).into_iter().filter(|hit| !hit.starts_with("src/access/tokens.rs"));
    assert_none("someone else makes tokens", &makers.collect::<Vec<_>>());
}

#[test]
fn only_the_runner_calls_drivers() {
    let calls = [".ensure(", ".retire(", ".cut_over(", ".ensure_running("];
    let outside = lines_with(EVERYWHERE, &calls).into_iter().filter(|hit| {
        let own = ["src/runner", MACHINE, "src/stacks", "src/web_front"];
        !own.iter().any(|place| hit.starts_with(place))
    });
    assert_none("a driver is called from outside the runner", &outside.collect::<Vec<_>>());
}

#[test]
fn only_tests_grant_a_permit_that_no_machine_granted() {
    let granted = lines_with("src", &["granted_by_a_test"]);
    let used = granted.into_iter().filter(|hit| !hit.contains("pub fn granted_by_a_test"));
    assert_none("a permit is granted without the machine", &used.collect::<Vec<_>>());
}

#[test]
fn one_file_reads_the_clock_and_one_spawns() {
    let readers = lines_with(EVERYWHERE, &["Instant::now(", "SystemTime::now("]);
    let readers = readers.into_iter().filter(|hit| !hit.starts_with("src/clock.rs"));
    assert_none("someone else reads the clock", &readers.collect::<Vec<_>>());
    let random = lines_with(EVERYWHERE, &["/dev/urandom"]).into_iter().filter(|hit| !hit.starts_with("src/random.rs"));
    assert_none("someone else reads randomness", &random.collect::<Vec<_>>());
    let spawners = lines_with("src/runner", &["spawn("]);
    let spawners = spawners.into_iter().filter(|hit| !hit.starts_with("src/runner/spawn.rs"));
    assert_none("someone else spawns", &spawners.collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_long() {
    for source in sources() {
        assert!(source.text.starts_with("//!"), "{} does not say what it is for", source.path);
        let lines = source.text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", source.path);
    }
}

#[test]
fn production_code_never_gives_up() {
    let words = [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "unsafe "];
    assert_none("production code can panic", &lines_with(EVERYWHERE, &words));
}

#[test]
fn the_machine_names_every_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("machine/src/machine/mod.rs");
    let text = fs::read_to_string(root).expect("it is there");
    let lint = "#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]";
    assert!(text.contains(lint), "the core may match its own types with a wildcard");
    // The model, which decides nothing, watches the events that a promise is about.
    let model = format!("{MACHINE}/model/mod.rs:");
    let named = lines_with(MACHINE, &["wildcard_enum_match_arm"]).into_iter().filter(|hit| !hit.starts_with(&model));
    let named: Vec<String> = named.collect();
    assert_eq!(named.len(), 1, "the core takes the lint back:\n{}", named.join("\n"));
}

#[test]
fn the_top_level_is_the_one_that_was_agreed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "Cargo.toml",
        "Jenkinsfile",
        "README.md",
        "ARCHITECTURE.md",
        "LICENSE",
        "pipelines",
        "stacks",
        "web_front",
        "src",
        "tests",
    ] {
        assert!(root.join(name).exists(), "{name} is missing");
    }
}

/// Where a default after reading is right by its nature, and why.
const RIGHT_DEFAULTS: [(&str, &str, &str); 8] = [
    (
        "src/clock.rs",
        "duration_since",
        "a host's clock before 1970 counts as 1970, and the journal's floor is above it",
    ),
    ("src/stacks/heat/observe.rs", "output_error", "only an output that failed has a reason"),
    ("src/cli/block.rs", "value[\"state\"]", "only a candidate has a state"),
    ("src/cli/block.rs", "value[\"until\"]", "only what ends by itself has an end"),
    ("src/cli/changes.rs", "value[\"not\"]", "only some gates exclude somebody"),
    ("src/telling/event.rs", "event[", "kinds of events differ in what they have; their shape was read before"),
    ("src/web_front/builtin/plane/pages.rs", "ACCEPT", "absent or unreadable asks for no page"),
    ("src/web_front/nginx/read_back.rs", "include.body", "what is not UTF-8 is no include of ours"),
];

#[test]
fn what_cannot_be_read_is_never_replaced_by_a_default() {
    let mut hits = Vec::new();
    let mut used = [false; RIGHT_DEFAULTS.len()];
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (line, expression) in silence::silent_defaults(source.before_tests()) {
            let known = |(file, part, _): &(&str, &str, &str)| source.path == *file && expression.contains(part);
            match RIGHT_DEFAULTS.iter().position(known) {
                Some(place) => used[place] = true,
                None => hits.push(format!("{}:{line}: {expression}", source.path)),
            }
        }
    }
    assert_none("what cannot be read becomes a default", &hits);
    let stale = RIGHT_DEFAULTS.iter().zip(used).filter(|(_, used)| !used);
    let stale = stale.map(|((file, part, why), _)| format!("{file}: {part} ({why})"));
    assert_none("no longer there", &stale.collect::<Vec<_>>());
}
