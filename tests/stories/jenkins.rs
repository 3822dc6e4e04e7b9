//! The Jenkinsfile of the top level, interpreted, against the real controller: what becomes of a build.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{house::House, peers::need};

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";

/// The application of a build is one script, which `make package` leaves in dist/.
const MAKEFILE: &str = "build:\n\tBUILD\n\ntest:\n\tmkdir -p reports\n\techo '<testsuite/>' > reports/all.xml\n\n\
                        package:\n\tmkdir -p dist\n\tcp run dist/\n";
const WELL: &str = "exec \"$1\" sample --listen \"$2\" --version \"$3\"\n";
const SICK: &str = "exec \"$1\" sample --listen \"$2\" --version \"$3\" --broken\n";

/// A workspace, and what Jenkins would say of the build in it. Gives the scenario's file.
fn scenario(house: &House, number: u32, build: &str, run: &str, jenkinsfile: &Path) -> String {
    let workspace = format!("workspace-{number}");
    house.write(&format!("{workspace}/Makefile"), &MAKEFILE.replace("BUILD", build));
    house.write(&format!("{workspace}/run"), run);
    let token = fs::read_to_string(house.path("state/token")).expect("a token");
    let programs = Path::new(env!("CARGO_BIN_EXE_pointsman")).parent().expect("a folder").display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let file = format!("scenario-{number}.json");
    let text = json!({
        "name": number.to_string(), "jenkinsfile": jenkinsfile, "workspace": house.path(&workspace),
        "credentials": { "pointsman-token": token.trim() },
        "env": { "BUILD_NUMBER": number.to_string(), "BUILD_TAG": format!("jenkins-shop-{number}"),
                 "BUILD_URL": format!("http://jenkins.example/job/shop/{number}/"), "PATH": path,
                 "POINTSMAN_SERVER": format!("http://{}:7070", house.address),
                 "BUILDS_FOLDER": house.path("builds") },
    });
    house.write(&file, &text.to_string());
    house.path(&file).display().to_string()
}

/// All scenarios in one start of the interpreter, by name.
fn interpret(scenarios: &[String]) -> BTreeMap<String, Value> {
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/jenkins/interpreter.groovy");
    let done = Command::new("groovy").arg(interpreter).args(scenarios).output().expect("groovy runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let results = said.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("RESULT ")?).ok());
    let results: BTreeMap<_, _> = results.map(|r| (r["name"].as_str().expect("a name").to_owned(), r)).collect();
    assert_eq!(results.len(), scenarios.len(), "{done:?}");
    results
}

#[test]
fn a_build_goes_live_and_a_broken_one_does_not() {
    if need("groovy").is_none() || need("make").is_none() {
        return;
    }
    let house = House::with(TERMS);
    let command = "exec sh {artifact}/run {pointsman} {address}:{port} {version}";
    house.write("stacks/process/app.toml", &house.definition(command));
    house.write(
        "Jenkinsfile",
        "pipeline {\n  agent any\n  stages { stage('One') { steps { deployEverything() } } }\n}\n",
    );
    house.start();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("Jenkinsfile");
    let results = interpret(&[
        scenario(&house, 1, "true", WELL, &shipped),
        scenario(&house, 2, "false", WELL, &shipped),
        scenario(&house, 3, "true", SICK, &shipped),
        scenario(&house, 4, "true", WELL, &house.path("Jenkinsfile")),
    ]);
    let log = |name: &str| results[name]["log"].as_str().expect("a log").to_owned();

    assert_eq!(results["1"]["result"], "SUCCESS", "{}", log("1"));
    assert!(log("1").contains("1.0.1 is live in shop/live"), "{}", log("1"));
    assert_eq!(results["2"]["stages"]["Build"], "FAILURE", "{}", log("2"));
    assert_eq!(results["2"]["stages"]["Deploy"], "NOT_BUILT");
    assert_eq!(results["3"]["stages"]["Deploy"], "FAILURE", "{}", log("3"));
    assert!(log("3").contains("exit code 1"), "{}", log("3"));
    assert!(log("4").contains("No such DSL method 'deployEverything'"), "a step that Jenkins does not have");
    assert_eq!(results["4"]["result"], "FAILURE");
    let token = fs::read_to_string(house.path("state/token")).expect("a token");
    assert!(results.values().all(|r| !r.to_string().contains(token.trim())), "the token is in a log");
    house.assert_live("1.0.1");
}
