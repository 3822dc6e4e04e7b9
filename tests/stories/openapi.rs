//! The running controller answers as its document says, whatever it is asked.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{house::House, peers};

/// The same requests each time; others are tried with `POINTSMAN_SEED`.
const SEED: &str = "20260101";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth,\
                      negative_data_rejection";

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let Some(schemathesis) = peers::need("schemathesis") else { return };
    let house = House::with("bake = \"200ms\"");
    // Who asks so often without a token is otherwise told to come again later.
    let limits = "limits = { failures = \"10000/s\", webhooks = \"10000/s\" }";
    house.write("pointsman.toml", &format!("[server]\nlisten = \"{}:7070\"\n{limits}\n", house.address));
    house.start();
    house.push("v1", "");
    house.settle();
    let seed = std::env::var("POINTSMAN_SEED").unwrap_or(SEED.to_owned());
    println!("POINTSMAN_SEED={seed}");
    let document = house.try_ask("GET", "/v1/openapi.json", "").expect("it answers").body;
    let document = at_home(serde_json::from_str(&document).expect("JSON"));
    house.write("openapi.json", &document.to_string());
    house.write("hooks.json", &with_a_key(document).to_string());
    // Builds first: what people may do includes vetoes of all that comes.
    for (key, document) in [("secrets/key", "hooks.json"), ("state/token", "openapi.json")] {
        let key = fs::read_to_string(house.path(key)).expect("a key");
        let mut asked = Command::new(&schemathesis);
        asked
            .arg("--config-file")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/schemathesis/schemathesis.toml"))
            .args(["run", document, "--url", &format!("http://{}:7070", house.address)])
            .args(["--header", &format!("Authorization: Bearer {}", key.trim())])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", &seed])
            .args(["--checks", CHECKS, "--request-timeout", "10", "--no-shrink", "--no-color", "--warnings", "off"])
            // More of them trip over each other in the interpreter.
            .args(["--suppress-health-check", "all", "--workers", "1"]);
        let asked = asked.current_dir(house.path("")).output().expect("schemathesis runs");
        let told = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{told}\n{}", String::from_utf8_lossy(&asked.stderr));
    }
    assert!(!house.log().contains("met a defect"), "{}", house.log());
    let builds =
        house.records().iter().filter(|r| r["by"] == "webhook:json" && r["event"]["kind"] == "accepted").count();
    // Of an artifact that is a path, most are not there and are refused before anything is recorded.
    assert!(builds > 3, "only {builds} builds were announced well");
    house.assert_verified();
}

/// The document for the one environment that there is: what fits it is granted, and not only looked for in vain.
fn at_home(mut document: Value) -> Value {
    let paths = document["paths"].as_object_mut().expect("paths");
    let operations = paths.iter_mut().flat_map(|(path, all)| {
        let all = all.as_object_mut().expect("a path").values_mut();
        all.map(move |operation| (path.as_str(), operation))
    });
    let parameters = operations.filter_map(|(path, o)| Some((path, o.get_mut("parameters")?.as_array_mut()?)));
    for (path, parameter) in parameters.flat_map(|(path, all)| all.iter_mut().map(move |one| (path, one))) {
        let only = match (parameter["in"].as_str(), parameter["name"].as_str()) {
            (Some("path"), Some("pipeline")) => "shop",
            (Some("path"), Some("environment")) => "live",
            // Elsewhere it is a filter, which may find nothing.
            (Some("query"), Some("environment")) if ["/v1/history", "/v1/events"].contains(&path) => "shop/live",
            _ => continue,
        };
        parameter["schema"] = json!({ "type": "string", "enum": [only] });
        parameter["example"] = only.into();
    }
    document
}

/// The document for a build server that shows its key, and says nothing to prove itself otherwise.
fn with_a_key(mut document: Value) -> Value {
    let paths = document["paths"].as_object_mut().expect("paths");
    paths.retain(|path, _| path.starts_with("/v1/hooks/"));
    for operation in paths.values_mut() {
        operation["post"]["parameters"].as_array_mut().expect("a list").retain(|parameter| parameter["in"] == "path");
    }
    let known = json!({ "type": ["object", "null"], "properties": { "extra": { "type": "string" } }, "additionalProperties": false });
    let fields = &mut document["components"]["schemas"]["Build"]["properties"];
    fields["parameters"] = known;
    // An older one than the last is refused.
    fields.as_object_mut().expect("fields").remove("build");
    document
}
