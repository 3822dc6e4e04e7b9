//! One good sample per sender, as it really sends, and every way in which it can be bent: each gives a clear error or is
//! harmlessly ignored.

mod counted;

use std::{fs, path::Path};

use http::HeaderMap;
use serde_json::Value;

use super::{build::wrong, *};
use crate::{machine::Millis, pipelines::Webhook};

/// An hour after the releases of the samples.
const NOW: Millis = Millis(1_795_259_681_000);

/// A sample: its file, the headers it comes with, and every path that is read of it.
struct Sample {
    file: &'static str,
    header: Option<(&'static str, &'static str)>,
    by: &'static str,
}

const SAMPLES: [Sample; 11] = [
    Sample { file: "json", header: None, by: "webhook:json" },
    Sample { file: "jenkins-notification", header: None, by: "webhook:jenkins" },
    Sample { file: "github-workflow-run", header: Some(("x-github-event", "workflow_run")), by: "webhook:github" },
    Sample { file: "github-release", header: Some(("x-github-event", "release")), by: "webhook:github" },
    Sample { file: "gitlab-pipeline", header: Some(("x-gitlab-event", "Pipeline Hook")), by: "webhook:gitlab" },
    Sample { file: "gitlab-release", header: Some(("x-gitlab-event", "Release Hook")), by: "webhook:gitlab" },
    Sample { file: "gitea-workflow-run", header: Some(("x-gitea-event", "workflow_run")), by: "webhook:gitea" },
    Sample { file: "gitea-release", header: Some(("x-gitea-event", "release")), by: "webhook:gitea" },
    Sample {
        file: "forgejo-action-run",
        header: Some(("x-forgejo-event", "action_run_success")),
        by: "webhook:forgejo",
    },
    Sample { file: "forgejo-release", header: Some(("x-forgejo-event", "release")), by: "webhook:forgejo" },
    Sample {
        file: "bitbucket-build-status",
        header: Some(("x-event-key", "repo:commit_status_updated")),
        by: "webhook:bitbucket",
    },
];

impl Sample {
    fn text(&self) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/senders");
        fs::read_to_string(folder.join(self.file).with_extension("json")).unwrap()
    }

    fn tree(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    fn read(&self, body: &[u8], webhook: &Webhook) -> Result<Announcement, Error> {
        Delivery::of(&self.headers()).read(body, webhook, NOW)
    }

    /// The event's headers. Forgejo sends those of Gitea and GitHub too, and Gitea those of GitHub.
    fn headers(&self) -> HeaderMap {
        let Some((name, event)) = self.header else { return HeaderMap::new() };
        let also: &[_] = match name {
            "x-forgejo-event" => &[name, "x-gitea-event", "x-github-event"],
            "x-gitea-event" => &[name, "x-github-event"],
            _ => &[name],
        };
        also.iter().map(|name| (http::HeaderName::from_static(name), http::HeaderValue::from_static(event))).collect()
    }

    fn build(&self, webhook: &Webhook) -> Announced {
        match self.read(self.text().as_bytes(), webhook).unwrap() {
            Announcement::Build(announced) => announced,
            Announcement::Ignored(why) => panic!("{}: {why}", self.file),
        }
    }
}

fn sample(file: &str) -> &'static Sample {
    SAMPLES.iter().find(|s| s.file == file).unwrap()
}

fn webhook() -> Webhook {
    Webhook {
        artifact: Some("builds/{short_commit}-{version}".into()),
        parameters: Some(vec!["greeting".into()]),
        ..Webhook::default()
    }
}

/// Every path in a tree, by the keys and places that lead there.
fn paths(tree: &Value, at: &str, all: &mut Vec<String>) {
    let entries: Vec<(String, &Value)> = match tree {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(list) => list.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in entries {
        let path = format!("{at}/{key}");
        paths(value, &path, all);
        all.push(path);
    }
}

fn without(mut tree: Value, path: &str) -> Value {
    let (parent, key) = path.rsplit_once('/').unwrap();
    match tree.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(&key.replace("~1", "/"))),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        _ => {}
    }
    tree
}

/// What a bent body led to may be anything but harm.
#[track_caller]
fn assert_harmless(sample: &Sample, body: &[u8], how: &str) {
    for webhook in [webhook(), Webhook::default()] {
        let told = match sample.read(body, &webhook) {
            Ok(Announcement::Build(announced)) => {
                assert_eq!(announced.build.check(), Ok(()), "{}: {how}", sample.file);
                let build = &announced.build;
                let texts = [&build.version, &build.artifact].into_iter().chain(&build.commit).chain(&build.link);
                for text in texts {
                    assert!(wrong(text, build::LONGEST_TEXT).is_none() && !text.contains(['<', '"']), "{how}: {text}");
                }
                assert!(build.link.as_ref().is_none_or(|link| link.starts_with("http")), "{how}");
                let own = sample.file == "json";
                assert!(own || !build.artifact.split('/').any(|part| part == ".."), "{how}: {}", build.artifact);
                assert!(build.number.is_none_or(|n| n <= tree::GREATEST_NUMBER), "{how}");
                continue;
            }
            Ok(Announcement::Ignored(why)) => why,
            Err(error) => error.to_string(),
        };
        assert!(told.len() > 3 && told.len() < 2000 && !told.chars().any(char::is_control), "{how}: {told}");
    }
}

#[test]
fn every_sample_announces_its_build() {
    for (file, version, number, name) in [
        ("json", "1.4.0", Some(18), None),
        ("jenkins-notification", "18", Some(18), Some("team/shop-build/18")),
        ("github-workflow-run", "562", Some(562), Some("run/11947283645/1")),
        ("github-release", "v1.4.0", None, Some("release/186472913")),
        ("gitlab-pipeline", "90412", Some(90412), Some("pipeline/90412")),
        ("gitlab-release", "v1.4.0", None, Some("release/4410")),
        ("gitea-workflow-run", "562", Some(562), Some("run/4711/1")),
        ("gitea-release", "v1.4.0", None, Some("release/88")),
        ("forgejo-action-run", "562", Some(562), Some("run/4711")),
        ("forgejo-release", "v1.4.0", None, Some("release/88")),
        ("bitbucket-build-status", "792", Some(792), None),
    ] {
        let branch_only = Webhook { artifact: Some("builds/{version}".into()), ..webhook() };
        let said = sample(file).build(&branch_only);
        let build = &said.build;
        assert_eq!((&*build.version, build.number), (version, number), "{file}");
        assert!(name.is_none_or(|name| said.name.as_deref() == Some(name)), "{file}: {:?}", said.name);
        let commit = build.commit.as_deref();
        assert!(commit.is_none_or(|c| c == "c6d86dc654b12425e706bcf951adfe5a8627a517"), "{file}: {commit:?}");
        assert_eq!(said.by, sample(file).by);
        assert!(build.link.is_some(), "{file}");
        let artifact = if file == "json" { "builds/shop-1.4.0".to_owned() } else { format!("builds/{version}") };
        assert_eq!(*build.artifact, *artifact);
    }
    let none = Webhook::default();
    let archived = &sample("jenkins-notification").build(&none).build.artifact;
    assert_eq!(&**archived, "https://ci.example/job/team/job/shop-build/18/artifact/shop.tar.gz");
}

#[test]
fn every_field_missing_or_of_another_type_is_told_or_does_no_harm() {
    let deep = serde_json::from_str::<Value>(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let others = [
        Value::Null,
        Value::from(true),
        Value::from(0),
        Value::from(-1),
        Value::from(1.5),
        Value::from(u64::MAX),
        Value::from(1e300),
        Value::from(""),
        Value::from("x"),
        Value::from("<script>alert(1)</script>"),
        Value::from("javascript:alert(1)"),
        Value::from("../../etc/passwd"),
        Value::from("a\u{1b}[2J\u{202e}\0b"),
        Value::from("x".repeat(10_000)),
        Value::from(vec![1]),
        serde_json::json!({}),
        serde_json::json!({ "a": { "b": "c" } }),
        deep,
    ];
    let mut bent = 0;
    for sample in &SAMPLES {
        let (tree, mut all) = (sample.tree(), Vec::new());
        paths(&tree, "", &mut all);
        for path in &all {
            assert_harmless(sample, without(tree.clone(), path).to_string().as_bytes(), &format!("without {path}"));
            for other in &others {
                let mut tree = tree.clone();
                *tree.pointer_mut(path).unwrap() = other.clone();
                assert_harmless(sample, tree.to_string().as_bytes(), &format!("{path}: {other}"));
                bent += 1;
            }
        }
    }
    assert!(bent > 2000, "{bent}");
}

#[test]
fn bytes_that_are_no_such_text_are_refused() {
    for sample in &SAMPLES {
        let text = sample.text();
        let first = text.find('"').unwrap() + 1;
        let mut no_text = text.clone().into_bytes();
        no_text[first] = 0xff;
        let key = &text[first..first + text[first..].find('"').unwrap()];
        let doubled = text.replacen('{', &format!("{{\"{key}\":\"x\","), 1);
        // Nobody reads who did it.
        let unread = matches!(key, "repository");
        let nested = format!("{}{}", format!("{{\"{key}\":").repeat(40_000), "1");
        for (body, why) in [
            (no_text, "invalid body"),
            (format!("\u{feff}{text}").into_bytes(), "byte order mark"),
            (doubled.into_bytes(), "stands twice"),
            (nested.into_bytes(), "recursion limit"),
            (text.as_bytes()[..text.len() / 2].to_vec(), "EOF"),
            (format!("[{text}]").into_bytes(), "not a JSON object"),
            (Vec::new(), "EOF"),
        ] {
            let error = match sample.read(&body, &webhook()) {
                Err(error) => error,
                Ok(_) if unread && why == "stands twice" => continue,
                Ok(said) => panic!("{}: {why}: {said:?}", sample.file),
            };
            let told = error.to_string();
            let deep = why == "recursion limit" && told.contains("EOF");
            assert!((told.contains(why) || deep) && error.status() == 400, "{}: {error}", sample.file);
        }
    }
}

#[test]
fn bytes_changed_at_random_do_no_harm() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        use std::hash::{BuildHasher, Hasher};
        std::collections::hash_map::RandomState::new().build_hasher().finish() | 1
    });
    #[expect(clippy::print_stdout, reason = "a failure has to be had again")]
    {
        println!("SEED={seed}");
    }
    let mut state: u64 = seed;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    let pieces: [&[u8]; 12] =
        [b"\"", b"{", b"}", b"[", b",", b":", b"null", b"-1", b"\\u0000", b"\xff", b"<", b"9999999999999999999"];
    for round in 0..3000 {
        let sample = &SAMPLES[round % SAMPLES.len()];
        let mut body = sample.text().into_bytes();
        for _ in 0..=below(4) {
            let at = below(body.len());
            let end = (at + below(6)).min(body.len());
            body.splice(at..end, pieces[below(pieces.len())].iter().copied());
        }
        assert_harmless(sample, &body, &format!("SEED={seed}, round {round}"));
    }
}

/// The sample with one field set: what is said of it.
fn said(file: &str, pointer: &str, value: impl Into<Value>, webhook: &Webhook) -> String {
    let mut tree = sample(file).tree();
    *tree.pointer_mut(pointer).unwrap() = value.into();
    match sample(file).read(tree.to_string().as_bytes(), webhook) {
        Ok(Announcement::Ignored(why)) => format!("ignored: {why}"),
        Ok(Announcement::Build(announced)) => format!("{} {}", announced.build.version, announced.build.artifact),
        Err(error) => format!("{}: {error}", error.status()),
    }
}

#[test]
fn what_is_no_finished_build_of_ours_is_ignored_with_the_reason() {
    let only = Webhook { branches: vec!["main".into()], jobs: vec!["shop-build".into(), "Build".into()], ..webhook() };
    for (file, pointer, value, why) in [
        ("json", "/branch", "feature/cart", "its branch is `feature/cart`; only builds of main count"),
        ("json", "/job", "lint", "its job is `lint`; only builds of shop-build, Build count"),
        ("jenkins-notification", "/build/phase", "QUEUED", "in the phase QUEUED"),
        ("jenkins-notification", "/build/phase", "STARTED", "in the phase STARTED"),
        ("jenkins-notification", "/build/phase", "COMPLETED", "in the phase COMPLETED"),
        ("jenkins-notification", "/build/status", "FAILURE", "ended with FAILURE"),
        ("jenkins-notification", "/build/status", "UNSTABLE", "ended with UNSTABLE"),
        ("jenkins-notification", "/build/status", "ABORTED", "ended with ABORTED"),
        ("jenkins-notification", "/build/scm/branch", "origin/other", "its branch is `other`"),
        ("github-workflow-run", "/action", "requested", "the workflow run is requested"),
        ("github-workflow-run", "/workflow_run/conclusion", "failure", "its conclusion failure"),
        ("github-workflow-run", "/workflow_run/event", "pull_request", "was started by `pull_request`"),
        ("github-workflow-run", "/workflow_run/head_repository/full_name", "mallory/shop", "ran for a fork"),
        ("github-workflow-run", "/workflow_run/name", "Docs", "its job is `Docs`"),
        ("github-release", "/action", "created", "the release is created"),
        ("github-release", "/release/target_commitish", "old", "its branch is `old`"),
        ("gitlab-pipeline", "/object_attributes/status", "failed", "the pipeline is failed"),
        ("gitlab-pipeline", "/object_attributes/source", "merge_request_event", "was started by `merge_request_event`"),
        ("gitlab-pipeline", "/object_attributes/ref", "other", "its branch is `other`"),
        ("gitlab-pipeline", "/object_kind", "tag_push", "the object_kind tag_push; pipeline and release count"),
        ("gitlab-release", "/action", "update", "the action update"),
    ] {
        let told = said(file, pointer, value, &only);
        assert!(told.starts_with("ignored: ") && told.contains(why), "{file} {pointer}: {told}");
    }
    let ping = [(http::HeaderName::from_static("x-github-event"), "ping".parse().unwrap())].into_iter().collect();
    let pong = Delivery::of(&ping).read(b"{\"zen\":\"x\"}", &only, NOW);
    assert_eq!(pong, Ok(Announcement::Ignored("pong".into())));
    let full = Webhook { jobs: vec!["team/shop-build".into()], ..webhook() };
    assert!(sample("jenkins-notification").build(&full).build.number.is_some());
}

#[test]
fn what_a_template_needs_is_named_by_its_path() {
    let needs = |template: &str| Webhook { artifact: Some(template.into()), ..webhook() };
    let missing = "is missing, and `webhook.artifact` of the pipeline needs it for";
    for (file, pointer, template, why) in [
        ("jenkins-notification", "/build/scm/commit", "{commit}", format!("`build.scm.commit` {missing} {{commit}}")),
        (
            "jenkins-notification",
            "/build/scm",
            "{short_commit}",
            format!("`build.scm.commit` {missing} {{short_commit}}"),
        ),
        (
            "github-workflow-run",
            "/workflow_run/head_branch",
            "{branch}",
            format!("`workflow_run.head_branch` {missing}"),
        ),
        ("gitlab-pipeline", "/user", "{tag}", format!("`object_attributes.ref` {missing} {{tag}}")),
        ("gitlab-release", "/user", "{branch}", "`branch` is not in announcements of this kind".to_owned()),
        ("json", "/artifact", "{tag}", format!("`tag` {missing} {{tag}}")),
    ] {
        let mut tree = sample(file).tree();
        if let Some(value) = tree.pointer_mut(pointer) {
            *value = Value::Null;
        }
        let error = sample(file).read(tree.to_string().as_bytes(), &needs(template)).unwrap_err();
        assert!(error.to_string().contains(&why) && error.status() == 422, "{file}: {error}");
    }
    let branch = needs("builds/{branch}/x");
    assert_eq!(said("jenkins-notification", "/build/scm/branch", "../../x", &branch), "18 builds/---..-x/x");
    let none = Webhook::default();
    assert!(said("jenkins-notification", "/build/artifacts", serde_json::json!({}), &none).contains("has 0 entries"));
    assert!(said("github-release", "/release/published_at", "2026-11-01T00:00:00Z", &webhook()).contains("d 11 h ago"));
    let listed = Webhook { parameters: Some(vec![]), ..webhook() };
    assert!(said("json", "/version", "v1", &listed).contains("`parameters.greeting` may not be set"));
}

#[test]
fn the_same_build_has_the_same_key_and_a_rerun_another() {
    let shop: Name = "shop".parse().unwrap();
    let key = |file: &str, pointer: &str, value: Value| {
        let mut tree = sample(file).tree();
        *tree.pointer_mut(pointer).unwrap() = value;
        let body = tree.to_string();
        let Ok(Announcement::Build(said)) = sample(file).read(body.as_bytes(), &webhook()) else { panic!("{file}") };
        said.key(&shop, Some(&body), body.as_bytes())
    };
    let same = |file: &str, pointer: &str, value: Value| {
        let tree = sample(file).tree();
        let own = tree.pointer(pointer).unwrap().clone();
        key(file, pointer, own) == key(file, pointer, value)
    };
    assert!(same("jenkins-notification", "/build/duration", 7.into()));
    assert!(!same("jenkins-notification", "/build/number", 19.into()));
    assert!(same("github-workflow-run", "/sender", Value::Null));
    assert!(!same("github-workflow-run", "/workflow_run/run_attempt", 2.into()));
    assert!(same("gitlab-pipeline", "/object_attributes/finished_at", "2026-11-22 10:14:41 UTC".into()));
    assert!(!same("gitlab-pipeline", "/object_attributes/id", 90413.into()));
    let jobs = Webhook { jobs: vec!["shop-build".into(), "hotfix".into()], ..webhook() };
    assert_eq!(sample("jenkins-notification").build(&jobs).build.number, None, "counts of two jobs do not compare");
}

#[test]
fn the_examples_of_the_documentation_are_the_samples() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md")).unwrap();
    for sample in &SAMPLES {
        // The long ones are linked to.
        let example = format!("<!-- sample: {} -->\n```json\n{}```\n", sample.file, sample.text());
        let linked = format!("(../tests/senders/{}.json)", sample.file);
        assert!(page.contains(&example) || page.contains(&linked), "docs/webhooks.md and {}.json differ", sample.file);
        assert_eq!(
            page.matches(&format!("<!-- sample: {} -->", sample.file)).count(),
            usize::from(page.contains(&example))
        );
    }
    for placeholder in super::template::PLACEHOLDERS {
        assert!(page.contains(&format!("`{{{placeholder}}}`")), "{placeholder}");
    }
}
