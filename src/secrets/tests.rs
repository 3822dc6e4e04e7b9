//! Fingerprints, values and their errors.

use super::*;
use crate::pipelines::{Registry, load};

const CANARY: &str = "canary-7c1e-value";
const PIPELINE: &str = r#"
[secrets]
db = { file = "db" }
mail = { file = "mail" }
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = "stack.toml", secrets = ["db", "mail"] }
front = { driver = "builtin", listen = "127.0.0.1:18099" }
"#;

fn shop() -> (tempfile::TempDir, Pipelines) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("shop.toml", PIPELINE);
    write("stack.toml", "command = [\"/bin/false\"]\n");
    write("db", &format!("{CANARY}\n"));
    write("mail", "whsec_AQID\n");
    let loaded = load(&Registry::all(folder.path()), &folder.path().join("shop.toml"));
    assert_eq!(loaded.mistakes, []);
    (folder, loaded.pipelines)
}

fn names() -> (Name, BTreeMap<Arc<str>, Arc<str>>) {
    ("shop".parse().unwrap(), ["db", "mail"].map(|name| (name.into(), name.into())).into())
}

fn live() -> EnvironmentId {
    "shop/live".parse().unwrap()
}

fn release(secrets: BTreeMap<Arc<str>, Arc<str>>) -> Release {
    let text = serde_json::json!({ "number": 3, "version": "v", "artifact": "a", "definition": "" });
    Release { secrets, ..serde_json::from_value(text).unwrap() }
}

#[test]
fn a_fingerprint_is_of_this_installation_and_survives_a_restart() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, pipelines) = shop();
    let (shop, names) = names();
    let first = Secrets::open(folder.path(), &pipelines).unwrap().fingerprints(&shop, &names);
    let again = Secrets::open(folder.path(), &pipelines).unwrap().fingerprints(&shop, &names);
    assert_eq!(first, again);
    assert!(first.values().all(|digits| digits.len() == DIGITS));
    let mode = fs::metadata(folder.path().join("fingerprint-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(first, Secrets::open(other.path(), &pipelines).unwrap().fingerprints(&shop, &names));
}

#[test]
fn every_secret_that_can_not_be_had_is_named_at_once() {
    let (folder, pipelines) = shop();
    fs::write(folder.path().join("db"), "\n").unwrap();
    fs::remove_file(folder.path().join("mail")).unwrap();
    let wrong = Secrets::open(folder.path(), &pipelines).map(drop).unwrap_err();
    let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("the secret db of shop cannot be read: ") && told[0].ends_with("is empty"), "{told:?}");
    assert!(told[1].starts_with("the secret mail of shop cannot be read: "), "{told:?}");
}

#[test]
fn a_secret_that_is_lost_later_keeps_its_fingerprint_and_says_so_when_it_is_needed() {
    let (folder, pipelines) = shop();
    let (shop, names) = names();
    let secrets = Secrets::open(folder.path(), &pipelines).unwrap();
    let before = secrets.fingerprints(&shop, &names);
    let release = release(before.clone());
    fs::write(folder.path().join("db"), "another").unwrap();
    let values = secrets.values(&live(), &release).unwrap();
    assert_eq!(values["db"].expose_secret(), "another", "a change is no obstacle");
    assert_eq!(values["mail"].expose_secret(), "whsec_AQID", "a stack is given it as it is");
    fs::remove_file(folder.path().join("mail")).unwrap();
    assert_eq!(secrets.fingerprints(&shop, &names)["mail"], before["mail"]);
    let why = secrets.values(&live(), &release).map(drop).unwrap_err().to_string();
    assert!(why.starts_with("the secret mail of shop cannot be read: "), "{why}");
}

#[test]
fn a_secret_is_read_again_for_its_fingerprint_only_when_its_file_has_changed() {
    let (folder, pipelines) = shop();
    let (shop, names) = names();
    let secrets = Secrets::open(folder.path(), &pipelines).unwrap();
    let file = folder.path().join("db");
    let before = secrets.fingerprints(&shop, &names);
    // A change that leaves the stamp as it was, which a coarse clock makes possible, is seen as long as that may be.
    let other = fs::read_to_string(&file).unwrap().to_uppercase();
    fs::write(&file, &other).unwrap();
    let changed = secrets.fingerprints(&shop, &names);
    assert_ne!(changed["db"], before["db"]);
    secrets.settle();
    let read = secrets.reads();
    for _ in 0..100 {
        assert_eq!(secrets.fingerprints(&shop, &names), changed);
    }
    assert_eq!(secrets.reads(), read, "a hundred pages read nothing");
    fs::write(&file, "a new value").unwrap();
    let new = secrets.fingerprints(&shop, &names);
    assert_ne!(new["db"], changed["db"], "it has changed");
    fs::rename(folder.path().join("mail"), &file).unwrap();
    assert_ne!(secrets.fingerprints(&shop, &names)["db"], new["db"], "another file took its place");
}

#[test]
fn a_stack_gets_the_secret_of_its_environment_by_the_name_that_its_definition_has_for_it() {
    let (folder, _) = shop();
    let text = PIPELINE.replace("[\"db\", \"mail\"]", "{ settings = \"db\", post = \"mail\" }");
    fs::write(folder.path().join("shop.toml"), text).unwrap();
    let loaded = load(&Registry::all(folder.path()), &folder.path().join("shop.toml"));
    let secrets = Secrets::open(folder.path(), &loaded.pipelines).unwrap();
    let called = [("settings".into(), "db".into()), ("post".into(), "mail".into())].into();
    let release = release(secrets.fingerprints(&"shop".parse().unwrap(), &called));
    let values = secrets.values(&live(), &release).unwrap();
    assert_eq!((values["settings"].expose_secret(), values["post"].expose_secret()), (CANARY, "whsec_AQID"));
}

#[test]
fn a_value_is_shown_by_nothing() {
    let (folder, pipelines) = shop();
    let (shop, names) = names();
    let secrets = Secrets::open(folder.path(), &pipelines).unwrap();
    let release = release(secrets.fingerprints(&shop, &names));
    let values = secrets.values(&live(), &release).unwrap();
    fs::write(folder.path().join("db"), format!("{CANARY}\0")).unwrap();
    let error = secrets.values(&live(), &release).map(drop).unwrap_err();
    let shown = format!("{secrets:?} {values:?} {pipelines:?} {release:?} {error:?} {error}");
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(!serde_json::to_string(&release).unwrap().contains(CANARY));
}
