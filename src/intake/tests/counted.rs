//! What counts as a build: decided by event, kind and trigger before anything else of a delivery is looked at.

use serde_json::json;

use super::*;

fn read(header: (&'static str, &str), body: &[u8], webhook: &Webhook) -> Result<Announcement, Error> {
    let headers = [(http::HeaderName::from_static(header.0), header.1.parse().unwrap())].into_iter().collect();
    Delivery::of(&headers).read(body, webhook, NOW)
}

#[track_caller]
fn assert_ignored(said: Result<Announcement, Error>, why: &str) {
    match said {
        Ok(Announcement::Ignored(told)) => assert!(told.contains(why), "{why}: {told}"),
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn an_event_that_is_no_build_is_ignored_by_its_header_whatever_its_body_is() {
    for (header, event) in [
        ("x-gitlab-event", "Job Hook"),
        ("x-gitlab-event", "Push Hook"),
        ("x-gitlab-event", "Tag Push Hook"),
        ("x-gitlab-event", "Deployment Hook"),
        ("x-gitlab-event", "Feature Flag Hook"),
        ("x-gitlab-event", "System Hook"),
        ("x-gitlab-event", "Resource Access Token Hook"),
        ("x-gitlab-event", "Emoji Hook"),
        ("x-github-event", "push"),
        ("x-github-event", "merge_group"),
        ("x-github-event", "workflow_job"),
        ("x-github-event", "check_suite"),
        ("x-gitea-event", "push"),
        ("x-gitea-event", "create"),
        ("x-gitea-event", "workflow_job"),
        ("x-forgejo-event", "action_run_failure"),
        ("x-forgejo-event", "action_run_recover"),
        ("x-forgejo-event", "push"),
        ("x-event-key", "repo:push"),
        ("x-event-key", "pullrequest:fulfilled"),
        ("x-event-key", "repo:refs_changed"),
        ("x-event-key", "pr:merged"),
        ("x-event-key", "a new event\u{7f}".trim_end_matches('\u{7f}')),
    ] {
        for body in [&b""[..], b"{}", b"[1]", b"\xff", b"{\"object_kind\":7}", b"{\"a\":1,\"a\":2}", b"payload=%7B%7D"]
        {
            assert_ignored(read((header, event), body, &webhook()), event);
        }
    }
    let push = include_bytes!("../../../tests/senders/bitbucket-data-center-push.json");
    assert_ignored(read(("x-event-key", "repo:refs_changed"), push, &webhook()), "repo:refs_changed of Bitbucket");
    assert_ignored(read(("x-event-key", "diagnostics:ping"), b"{\"test\":true}", &webhook()), "pong");
}

#[test]
fn what_decides_may_be_missing_or_of_any_kind_and_that_is_no_mistake() {
    let deciding: [(&str, &[&str]); 9] = [
        ("jenkins-notification", &["/build/phase", "/build/status"]),
        ("github-workflow-run", &["/action", "/workflow_run/conclusion", "/workflow_run/event", "/repository"]),
        ("github-release", &["/action"]),
        (
            "gitlab-pipeline",
            &["/object_kind", "/object_attributes", "/object_attributes/status", "/object_attributes/source"],
        ),
        ("gitlab-release", &["/object_kind", "/action"]),
        ("gitea-workflow-run", &["/action", "/workflow_run", "/workflow_run/conclusion", "/workflow_run/event"]),
        ("gitea-release", &["/action"]),
        ("forgejo-action-run", &["/action", "/run", "/run/status", "/run/event", "/run/trigger_event"]),
        ("bitbucket-build-status", &["/commit_status", "/commit_status/state"]),
    ];
    for (file, pointers) in deciding {
        for pointer in pointers {
            for value in [Value::Null, json!(7), json!("other"), json!([1]), json!({ "a": 1 })] {
                let told = said(file, pointer, value.clone(), &webhook());
                assert!(told.starts_with("ignored: "), "{file} {pointer} {value}: {told}");
            }
            let tree = without(sample(file).tree(), pointer);
            assert_ignored(sample(file).read(tree.to_string().as_bytes(), &webhook()), "");
        }
    }
}

#[test]
fn what_does_not_count_may_be_wrong_in_everything_else() {
    let only = Webhook { branches: vec!["main".into()], jobs: vec!["Build".into(), "shop-build".into()], ..webhook() };
    for (file, pointer, value) in [
        ("json", "/branch", json!("other")),
        ("json", "/job", json!("lint")),
        ("jenkins-notification", "/build/scm/branch", json!("origin/other")),
        ("github-workflow-run", "/workflow_run/head_branch", json!("other")),
        ("github-workflow-run", "/workflow_run/name", json!("Docs")),
        ("gitlab-pipeline", "/object_attributes/ref", json!("other")),
        ("gitea-workflow-run", "/workflow_run/head_branch", json!("other")),
    ] {
        let mut tree = sample(file).tree();
        *tree.pointer_mut(pointer).unwrap() = value;
        for broken in
            ["/build/number", "/build/full_url", "/workflow_run/id", "/object_attributes/id", "/version", "/link"]
        {
            tree.pointer_mut(broken).into_iter().for_each(|value| *value = json!(["<", 1]));
        }
        assert_ignored(sample(file).read(tree.to_string().as_bytes(), &only), "only builds of");
    }
    // What would count and cannot be read is told to the sender.
    assert!(
        said("gitlab-pipeline", "/object_attributes/id", json!("x"), &webhook())
            .starts_with("422: `object_attributes.id`")
    );
    assert!(said("json", "/branch", json!(7), &only).starts_with("422: `branch` is a number"));
}

/// A sample, where it says what started it, what counts by default, and some of what does not.
type Triggered = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const TRIGGERED: [Triggered; 4] = [
    (
        "gitlab-pipeline",
        "/object_attributes/source",
        &["push", "web", "api", "trigger"],
        &[
            "schedule",
            "chat",
            "webide",
            "external",
            "pipeline",
            "parent_pipeline",
            "merge_request_event",
            "external_pull_request_event",
            "security_orchestration_policy",
            "pipeline_execution_policy_schedule",
            "ondemand_dast_scan",
            "container_registry_push",
            "duo_workflow",
            "what_comes_next",
        ],
    ),
    (
        "github-workflow-run",
        "/workflow_run/event",
        &["push", "workflow_dispatch", "repository_dispatch", "release"],
        &[
            "merge_group",
            "pull_request",
            "pull_request_target",
            "schedule",
            "workflow_run",
            "dynamic",
            "what_comes_next",
        ],
    ),
    (
        "gitea-workflow-run",
        "/workflow_run/event",
        &["push", "workflow_dispatch", "release"],
        &["pull_request", "pull_request_sync", "schedule", "what_comes_next"],
    ),
    (
        "forgejo-action-run",
        "/run/trigger_event",
        &["push", "workflow_dispatch", "release"],
        &["pull_request", "pull_request_target", "schedule", "what_comes_next"],
    ),
];

#[test]
fn only_runs_with_a_listed_trigger_count() {
    for (file, pointer, takes, ignores) in TRIGGERED {
        for trigger in takes {
            let told = said(file, pointer, *trigger, &webhook());
            assert!(told.contains("builds/"), "{file} {trigger}: {told}");
        }
        for trigger in ignores {
            let told = said(file, pointer, *trigger, &webhook());
            assert!(
                told.starts_with("ignored: ") && told.contains(&format!("started by `{trigger}`")),
                "{file}: {told}"
            );
        }
        let nightly = Webhook { triggers: Some(vec!["schedule".into()]), ..webhook() };
        let told = said(file, pointer, "push", &nightly);
        assert!(told.contains("started by `push`; what is started by schedule counts"), "{file}: {told}");
        let mut tree = sample(file).tree();
        for pointer in [pointer, "/run/event"] {
            tree.pointer_mut(pointer).into_iter().for_each(|value| *value = "schedule".into());
        }
        let told = sample(file).read(tree.to_string().as_bytes(), &nightly);
        assert!(matches!(told, Ok(Announcement::Build(_))), "{file}: {told:?}");
    }
    let queue = "gh-readonly-queue/main/pr-7-c6d86dc654b12425e706bcf951adfe5a8627a517";
    assert!(said("github-workflow-run", "/workflow_run/head_branch", queue, &webhook()).contains("a merge queue"));
    for job in ["job/team/job/shop/job/PR-12/", "job/shop/job/MR-3/"] {
        assert!(said("jenkins-notification", "/url", job, &webhook()).contains("builds a pull request"));
    }
}

#[test]
fn a_run_says_whether_it_is_of_a_branch_or_a_tag() {
    let (branch, tag) = (
        Webhook { artifact: Some("of/{branch}".into()), ..webhook() },
        Webhook { artifact: Some("of/{tag}".into()), ..webhook() },
    );
    assert_eq!(said("forgejo-action-run", "/run/prettyref", "main", &branch), "562 of/main");
    let payload = r#"{"ref":"refs/tags/v1.4.0"}"#;
    assert_eq!(said("forgejo-action-run", "/run/event_payload", payload, &tag), "562 of/v1.4.0");
    assert_eq!(said("forgejo-action-run", "/run/event_payload", "no json", &branch), "562 of/main");
    let mut tree = without(sample("gitea-workflow-run").tree(), "/workflow_run/head_branch");
    *tree.pointer_mut("/workflow_run/path").unwrap() = "build.yml@refs/tags/v1.4.0".into();
    let Ok(Announcement::Build(build)) = sample("gitea-workflow-run").read(tree.to_string().as_bytes(), &tag) else {
        panic!("a build");
    };
    assert_eq!(&*build.build.artifact, "of/v1.4.0");
    assert_eq!(said("bitbucket-build-status", "/commit_status/refname", "refs/heads/main", &branch), "792 of/main");
}

#[test]
fn a_job_is_meant_by_its_name_however_it_is_encoded() {
    let taken = |wanted: &str, name: &str, url: &str| {
        let only = Webhook { jobs: vec![wanted.into()], ..webhook() };
        let mut tree = sample("jenkins-notification").tree();
        (tree["name"], tree["url"]) = (name.into(), url.into());
        matches!(sample("jenkins-notification").read(tree.to_string().as_bytes(), &only), Ok(Announcement::Build(_)))
    };
    let folder = ("shop build", "job/My%20Folder/job/shop%20build/");
    assert!(taken("My Folder/shop build", folder.0, folder.1) && taken("shop build", folder.0, folder.1));
    let branch = ("feature%2Fx", "job/shop/job/feature%252Fx/");
    for wanted in ["shop/feature/x", "shop/feature%2Fx", "feature/x", "feature%2Fx"] {
        assert!(taken(wanted, branch.0, branch.1), "{wanted}");
    }
    assert!(taken("shop/feature/x", "feature%2Fx", "job/shop/job/feature%2Fx/"));
    // Decoded once for the address and once for the branch, and not once more.
    assert!(
        taken("50%25", "50%2525", "job/shop/job/50%252525/") && !taken("50%", "50%2525", "job/shop/job/50%252525/")
    );
    let script = Webhook { jobs: vec!["My Folder/feature/x".into()], artifact: Some("of/{job}".into()), ..webhook() };
    let body = r#"{"version":"v1","job":"My Folder/feature%2Fx"}"#;
    let Ok(Announcement::Build(build)) = read(("x-other", "x"), body.as_bytes(), &script) else { panic!("a build") };
    assert_eq!(&*build.build.artifact, "of/My-Folder-feature-x");
}

#[test]
fn a_build_status_names_its_build_by_its_page() {
    let other = "https://ci.example/job/shop/18/";
    let versions = Webhook { version: Some("{short_commit}".into()), ..webhook() };
    let told = said("bitbucket-build-status", "/commit_status/url", other, &versions);
    assert_eq!(told, "c6d86dc builds/c6d86dc-c6d86dc");
    // Without a number, an old one is known by its time alone.
    let mut tree = sample("bitbucket-build-status").tree();
    tree["commit_status"]["url"] = other.into();
    tree["commit_status"]["updated_on"] = "2026-11-01T10:14:41.433108+00:00".into();
    let old = sample("bitbucket-build-status").read(tree.to_string().as_bytes(), &versions).unwrap_err();
    assert!(old.to_string().contains("`commit_status.updated_on` is 20 d"), "{old}");
    // As Bitbucket's documentation has it, the commit is known by its link.
    let tree = without(sample("bitbucket-build-status").tree(), "/commit_status/commit");
    let Ok(Announcement::Build(build)) = sample("bitbucket-build-status").read(tree.to_string().as_bytes(), &webhook())
    else {
        panic!("a build");
    };
    assert_eq!(build.build.commit.as_deref(), Some("c6d86dc654b12425e706bcf951adfe5a8627a517"));
    let own = Webhook { jobs: vec!["Pipelines".into()], ..webhook() };
    assert!(said("bitbucket-build-status", "/actor", Value::Null, &own).starts_with("792 "));
    assert!(said("bitbucket-build-status", "/commit_status/url", other, &own).contains("its job is `-897687013`"));
}

#[test]
fn a_wanted_parameter_may_have_line_breaks_and_others_are_not_looked_at() {
    let value = |text: &str| {
        let mut tree = sample("jenkins-notification").tree();
        tree["build"]["parameters"] = json!({ "greeting": text, "PASSWORD": "a\u{1b}[2J", "FILE": ["x"] });
        sample("jenkins-notification").read(tree.to_string().as_bytes(), &webhook())
    };
    for text in ["one\ntwo\r\nthree\n", "\n", ""] {
        let Ok(Announcement::Build(build)) = value(text) else { panic!("{text:?}") };
        let all: Vec<_> = build.build.parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(all, [("greeting", text)]);
    }
    for (text, shown) in [("a\rb", "\\u{d}"), ("a\tb", "\\u{9}"), ("a\u{1b}b", "\\u{1b}"), ("a\0", "\\u{0}")] {
        let told = value(text).unwrap_err().to_string();
        assert!(told.contains(&format!("has the control character {shown}")), "{told}");
    }
    let variables = json!([{ "key": "greeting", "value": "one\ntwo" }, { "key": "OTHER", "value": 7 }, 7, {}]);
    assert!(said("gitlab-pipeline", "/object_attributes/variables", variables, &webhook()).starts_with("90412 "));
}

#[test]
fn a_pipeline_of_a_thousand_jobs_is_read() {
    let mut tree = sample("gitlab-pipeline").tree();
    let job = tree["builds"][0].clone();
    tree["builds"] = vec![job; 1000].into();
    tree["commit"]["message"] = "x".repeat(300_000).into();
    let body = tree.to_string();
    assert!(body.len() > 400_000);
    assert!(matches!(sample("gitlab-pipeline").read(body.as_bytes(), &webhook()), Ok(Announcement::Build(_))));
}

#[test]
fn no_sender_lists_a_trigger_twice_and_all_can_be_named_in_a_file() {
    let known = triggers();
    for name in ["push", "schedule", "security_orchestration_policy", "merge_group", "webide"] {
        assert!(known.contains(&name), "{name}");
    }
    assert!(known.is_sorted_by(|a, b| a < b));
}
