//! A build becomes a release, and goes from one environment to the next.

use super::super::{release::*, *};
use crate::{intake::build::Build, machine::Release, secrets::Secrets};

const PIPELINE: &str = r#"
[source]
git = "https://git.example/shop.git"
[webhook]
secrets = [{ env = "KEY" }]
parameters = ["colour"]
[secrets]
db = { file = "db" }
[[environments]]
name = "qa"
deploy = "on-build"
stack = { driver = "process", definition = "a.txt", parameters = { colour = "red", size = "small" } }
front = { driver = "builtin", listen = "127.0.0.1:18080" }
[[environments]]
name = "prod"
deploy = "on-promotion"
stack = { driver = "process", definition = "a.txt", parameters = { size = "large" }, secrets = ["db"] }
front = { driver = "builtin", listen = "127.0.0.1:18081" }
[[environments]]
name = "dr"
deploy = "on-promotion"
stack = { driver = "process", definition = { git = "deploy/dr.toml" } }
front = { driver = "builtin", listen = "127.0.0.1:18082" }
"#;

struct Shop {
    pipeline: Arc<Pipeline>,
    secrets: Secrets,
    _folder: tempfile::TempDir,
}

fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.txt", "command = [\"{parameters.colour}\"]\nparameters = { size = \"any\" }\n");
    write("db", "canary-db-value");
    write("shop.toml", PIPELINE);
    let loaded = load(&Registry::all(folder.path()), &folder.path().join("shop.toml"));
    assert_eq!(loaded.mistakes, []);
    let secrets = Secrets::open(folder.path(), &loaded.pipelines).unwrap();
    Shop { pipeline: loaded.pipelines.iter().next().unwrap().clone(), secrets, _folder: folder }
}

fn build(commit: Option<&str>, parameters: &[(&str, &str)]) -> Build {
    let parameters = parameters.iter().map(|(k, v)| (Arc::from(*k), Arc::from(*v))).collect();
    let text = serde_json::json!({ "version": "v1", "artifact": "shop-v1" }).to_string();
    let build = crate::intake::json::parse(text.as_bytes()).unwrap();
    Build { commit: commit.map(Into::into), parameters, ..build }
}

impl Shop {
    fn made(&self, build: &Build) -> Result<Release, Refused> {
        of_build(&self.pipeline, &self.pipeline.environments[0], build, &self.secrets)
    }

    fn promoted(&self, to: usize, live: &Release) -> Result<Release, Refused> {
        let all = &self.pipeline.environments;
        promoted(&self.pipeline, &all[to - 1], &all[to], live, &self.secrets)
    }
}

fn parameters(release: &Release) -> Vec<String> {
    release.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_build_overrides_what_the_environment_says() {
    let release = shop().made(&build(None, &[("colour", "blue")])).unwrap();
    assert_eq!(parameters(&release), ["colour=blue", "size=small"]);
    assert_eq!(release.given.len(), 1);
    assert_eq!(release.definition.len(), 64);
    assert!(release.secrets.is_empty() && !release.awaits_definition());
}

#[test]
fn a_parameter_that_may_not_be_set_is_refused_with_those_that_may() {
    let why = shop().made(&build(None, &[("size", "huge"), ("colur", "x")])).unwrap_err().to_string();
    assert_eq!(
        why,
        "a build may not set the parameter `colur`; it may set: colour; \
         a build may not set the parameter `size`; it may set: colour"
    );
    let mut free = shop();
    Arc::make_mut(&mut free.pipeline).webhook.parameters = None;
    let why = free.made(&build(None, &[("colur", "x")])).unwrap_err().to_string();
    assert_eq!(why, "the stack definition knows no parameter `colur`; did you mean `colour`?");
}

#[test]
fn what_is_promoted_keeps_its_build_and_its_definition_and_gets_the_rest_from_where_it_comes_to() {
    let shop = shop();
    let live = Release {
        number: 7,
        definition: "d1".repeat(32).into(),
        ..shop.made(&build(None, &[("colour", "blue")])).unwrap()
    };
    let release = shop.promoted(1, &live).unwrap();
    assert_eq!((release.number, &*release.version), (7, "v1"));
    assert_eq!(parameters(&release), ["colour=blue", "size=large"]);
    assert_eq!(release.definition, live.definition, "the very text that it was tried with");
    assert_eq!(release.secrets["db"].len(), 12);
    assert!(!format!("{release:?}").contains("canary"));
}

#[test]
fn another_definition_is_the_targets_own_and_in_git_it_is_read_at_the_releases_commit() {
    let shop = shop();
    let why = shop.promoted(2, &shop.made(&build(None, &[])).unwrap()).unwrap_err();
    assert!(why.to_string().contains("must name its `commit`"), "{why}");
    let whole = "c6d86dc654b12425e706bcf951adfe5a8627a517";
    for bad in ["c0ffee", "c6d86dc654b12425e706bcf951adfe5a8627a51", &format!("{whole}0"), &whole.replace('c', "x")] {
        let why = shop.made(&build(Some(bad), &[])).unwrap_err();
        assert!(
            why.to_string().contains("deploy/dr.toml is read from git") && why.to_string().contains("40 hex"),
            "{why}"
        );
        // As it was recorded before this was asked for.
        let old = Release { commit: Some(bad.into()), ..shop.made(&build(None, &[])).unwrap() };
        assert!(matches!(shop.promoted(2, &old), Err(Refused::ShortCommit(_))), "{bad}");
        assert!(shop.promoted(1, &old).is_ok(), "a definition beside the file needs no commit");
    }
    let release = shop.promoted(2, &shop.made(&build(Some(whole), &[])).unwrap()).unwrap();
    assert!(release.awaits_definition());
    assert_eq!(release.source.as_deref(), Some("deploy/dr.toml"));
    assert!(release.secrets.is_empty());
}

#[test]
fn what_was_read_from_git_must_know_what_the_build_says_and_be_handed_what_it_wants() {
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
    let needs = crate::stacks::Needs { parameters: names(&["colour"]), secrets: names(&["db"]) };
    let release = shop().made(&build(None, &[("colour", "blue")])).unwrap();
    let why = unmet(&needs, &release, true);
    assert!(why.len() == 1 && why[0].starts_with("the definition needs the secret `db`"), "{why:?}");
    let release = Release { secrets: [("db".into(), "".into())].into(), ..release };
    assert_eq!(
        unmet(&needs, &release, true),
        Vec::<String>::new(),
        "that `size` is the environment's own does no harm"
    );
    let release = Release { given: [("colur".into(), "x".into())].into(), ..release };
    let why = "the stack definition knows no parameter `colur`; did you mean `colour`?";
    assert_eq!(unmet(&needs, &release, true), [why]);
    assert_eq!(unmet(&needs, &release, false), Vec::<String>::new(), "another environment need not know it");
}
