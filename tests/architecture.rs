//! Reads the sources and fails when one of the things that must never be has come to be.

use std::{
    fs,
    path::{Path, PathBuf},
};

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code, without comments and without an inline test module at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.take_while(|(_, line)| !line.starts_with("mod tests {")).filter(|(_, line)| {
            let line = line.trim_start();
            !line.starts_with("//")
        })
    }

    fn is_test(&self) -> bool {
        let path = Path::new(&self.path);
        let named = |p: &Path| {
            let stem = p.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            stem == "tests" || stem == "model" || stem.ends_with("_tests")
        };
        path.ancestors().any(named)
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text }
    };
    found.into_iter().map(read).collect()
}

/// Every line of production code below `place` that holds one of `words`, as `file:line: text`.
fn lines_with(place: &str, words: &[&str]) -> Vec<String> {
    let all = sources();
    let here = all.iter().filter(|s| s.path.starts_with(place) && !s.is_test());
    let mut hits = Vec::new();
    for source in here {
        for (number, line) in source.code().filter(|(_, line)| words.iter().any(|w| line.contains(w))) {
            hits.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    hits
}

fn assert_none(what: &str, hits: &[String]) {
    assert!(hits.is_empty(), "{what}:\n{}", hits.join("\n"));
}

fn other_modules(but: &[&str]) -> Vec<String> {
    let all = [
        "access",
        "checks",
        "cli",
        "clock",
        "git",
        "http",
        "intake",
        "journal",
        "machine",
        "pipelines",
        "runner",
        "secrets",
        "settings",
        "stacks",
        "web_front",
    ];
    all.iter().filter(|m| !but.contains(m)).map(|m| format!("crate::{m}")).collect()
}

fn imports(place: &str, forbidden: &[String]) -> Vec<String> {
    let forbidden: Vec<&str> = forbidden.iter().map(String::as_str).collect();
    lines_with(place, &forbidden)
}

#[test]
fn the_machine_is_pure() {
    assert_none("the machine imports other parts", &imports("src/machine", &other_modules(&["machine"])));
    let runtime = ["tokio", "async ", "std::fs", "std::net", "std::io", "std::thread", "std::process", "println"];
    assert_none("the machine does I/O or is async", &lines_with("src/machine", &runtime));
    let clocks = ["Instant", "SystemTime", "::now("];
    assert_none("the machine reads a clock", &lines_with("src/machine", &clocks));
}

#[test]
fn drivers_know_neither_the_journal_nor_the_runner_nor_one_another() {
    let above = other_modules(&["machine", "stacks", "web_front", "cli", "clock"]);
    assert_none("a stack driver looks up", &imports("src/stacks", &above));
    assert_none("a front driver looks up", &imports("src/web_front", &above));
    assert_none("a stack driver knows a front", &lines_with("src/stacks", &["crate::web_front", "web_front::"]));
    for (place, registry) in [("src/stacks", "stacks"), ("src/web_front", "web_front")] {
        let drivers = registered(place);
        for driver in &drivers {
            let others: Vec<String> =
                drivers.iter().filter(|d| *d != driver).map(|d| format!("{registry}::{d}")).collect();
            assert_none("a driver knows another", &imports(&format!("{place}/{driver}"), &others));
        }
    }
}

#[test]
fn git_knows_no_pipeline_no_journal_and_no_driver_and_no_driver_or_core_knows_git() {
    let above = other_modules(&["machine", "git", "clock"]);
    assert_none("git looks up", &imports("src/git", &above));
    let words = ["machine::{", "machine::*"];
    assert_none("git takes more of the machine than its time", &lines_with("src/git", &words));
    for place in ["src/machine", "src/journal", "src/stacks", "src/web_front", "src/checks", "src/intake"] {
        assert_none("git is used from below", &imports(place, &["crate::git".to_owned()]));
    }
}

/// The modules that a registry names.
fn registered(place: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join("mod.rs")).unwrap();
    let names = text.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned));
    names.collect()
}

#[test]
fn intake_and_http_never_call_drivers() {
    for place in ["src/intake", "src/http"] {
        let words = ["StackDriver", "FrontDriver", ".ensure(", ".retire(", ".cut_over(", ".stage("];
        assert_none("a surface calls a driver", &lines_with(place, &words));
    }
}

#[test]
fn who_may_do_what_is_decided_without_knowing_how_they_ask() {
    assert_none("access looks up", &imports("src/access", &other_modules(&["access", "machine"])));
    let words = ["axum", "http::", "hyper", "tokio", "async "];
    assert_none("access knows how requests come", &lines_with("src/access", &words));
}

#[test]
fn the_text_of_a_token_is_made_in_one_place() {
    let makers = lines_with("src", &["\"pm_\""]).into_iter().filter(|hit| !hit.starts_with("src/access/tokens.rs"));
    assert_none("someone else makes tokens", &makers.collect::<Vec<_>>());
}

#[test]
fn only_the_runner_calls_drivers() {
    let calls = [".ensure(", ".retire(", ".cut_over(", ".ensure_running("];
    let outside = lines_with("src", &calls).into_iter().filter(|hit| {
        let own = ["src/runner", "src/machine", "src/stacks", "src/web_front"];
        !own.iter().any(|place| hit.starts_with(place))
    });
    assert_none("a driver is called from outside the runner", &outside.collect::<Vec<_>>());
}

#[test]
fn one_file_reads_the_clock_and_one_spawns() {
    let readers = lines_with("src", &["Instant::now(", "SystemTime::now("]);
    let readers = readers.into_iter().filter(|hit| !hit.starts_with("src/clock.rs"));
    assert_none("someone else reads the clock", &readers.collect::<Vec<_>>());
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
    assert_none("production code can panic", &lines_with("src", &words));
}

#[test]
fn the_machine_names_every_case() {
    let hits = lines_with("src/machine", &[" _ => "]);
    assert!(hits.len() <= 12, "too many wildcard arms in the core:\n{}", hits.join("\n"));
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
