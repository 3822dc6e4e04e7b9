//! Stacks of a real Heat that are suspended and resumed: what goes wrong, and that the newest order is pursued all the same.

use std::{collections::BTreeMap, fs, sync::Arc};

use pointsman::{
    clock::Stopwatch,
    machine::{Adopts, Release},
    stacks::{Condition, SeenStack, StackDriver, StackSpec, StepError, heat::Heat},
};
use serde_json::{Value, json};

use crate::support::{
    cloud::cloud,
    faults::Fault,
    permit::{start_permit, stop_permit},
    project::{Project, TEMPLATE},
};

/// Two servers, of which only one serves users. The other one is resumed before it, and suspended after it.
const TWO: &str = "heat_template_version: 2021-04-16\nparameters:\n  mood: {type: json, default: {}}\nresources:\n  web:\n    type: OS::Nova::Server\n    depends_on: worker\n    \
                   properties: {image: app, flavor: m1.small}\n  worker:\n    type: OS::Nova::Server\n    properties: {image: app, flavor: m1.small, \
                   metadata: {get_param: mood}}\noutputs:\n  address: {value: {get_attr: [web, first_address]}}\n";

fn two(project: &Project, number: u32) -> StackSpec {
    let definition = format!(
        "template = \"app.yaml\"\nendpoints = {{ output = \"address\", port = 8088 }}\ntimeout = \"5m\"\n\
         [files]\n\"app.yaml\" = '''\n{TWO}'''\n"
    );
    project.spec_of(number, &definition)
}

/// The processes of this story's servers.
fn serving(project: &Project) -> Vec<String> {
    project.cloud.processes(&format!("{}-{}-", project.pipeline.pipeline, project.pipeline.environment))
}

async fn stop(driver: &Heat, project: &Project, order: u64) -> Result<(), StepError> {
    driver.stop(&project.name(1), &stop_permit(1, order)).await
}

async fn start(driver: &Heat, spec: &StackSpec, order: u64) -> Result<(), StepError> {
    driver.start(spec, &start_permit(1, order)).await
}

/// Orders as the runner does, until nothing of it runs.
async fn stopped(project: &Project, order: u64) -> SeenStack {
    let seen = project
        .until("it is stopped", async || {
            let seen = project.seen(1).await.expect("it is there");
            if seen.condition == Condition::Stopped {
                return Some(seen);
            }
            drop(stop(&project.driver, project, order).await);
            None
        })
        .await;
    assert_eq!((seen.obeyed, serving(project)), (order, vec![]), "{seen:?}");
    seen
}

/// Orders as the runner does, until all of it is there again.
async fn started(project: &Project, spec: &StackSpec, order: u64) -> SeenStack {
    let seen = project
        .until("it is there again", async || {
            let seen = project.seen(1).await.expect("it is there");
            if seen.condition == Condition::Ready && seen.obeyed == order {
                return Some(seen);
            }
            drop(start(&project.driver, spec, order).await);
            None
        })
        .await;
    assert!(!serving(project).is_empty());
    seen
}

/// What others did is noticed now and not only at the next list.
async fn look_now(project: &Project) {
    project.until("there is a new list", async || project.retire(2).await.ok()).await;
}

/// How Heat says that the stack is.
fn status(project: &Project) -> String {
    let stack = project.left().pop().expect("one stack");
    project.resource(&stack, "")["stack"]["stack_status"].as_str().expect("a status").to_owned()
}

async fn until_status(project: &Project, wanted: &str) {
    project.until(wanted, async || (status(project) == wanted).then_some(())).await;
}

/// Somebody asks Heat without the driver, or a request of the driver comes very late.
fn act(project: &Project, action: &str) {
    let path = format!("/stacks/{}/actions", project.left().pop().expect("one stack").replace(' ', "/"));
    let (status, answer) = project.cloud.ask("POST", &path, &json!({ action: Value::Null }));
    assert!(status < 300, "{status} {answer}");
}

#[tokio::test]
async fn a_stop_and_a_start_cost_few_calls_and_little_time() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"suspend_seconds": "3"}"#);
    let spec = project.spec(1);
    project.stand_up(&spec).await;
    let mut order = 0;
    for _ in 0..2 {
        project.asked();
        let began = Stopwatch::start();
        stopped(&project, order + 1).await;
        let (stopped_after, stop_calls) = (began.elapsed(), project.asked());
        let began = Stopwatch::start();
        started(&project, &spec, order + 2).await;
        let (started_after, start_calls) = (began.elapsed(), project.asked());
        println!(
            "suspended after {stopped_after:?} with {} calls, resumed after {started_after:?} with {}",
            stop_calls.len(),
            start_calls.len()
        );
        let acts = |asked: &[String]| asked.iter().filter(|asked| asked.starts_with("POST")).count();
        assert_eq!((acts(&stop_calls), acts(&start_calls)), (1, 1), "{stop_calls:#?} {start_calls:#?}");
        order += 2;
    }
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn a_lost_request_or_answer_is_made_up_for() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let spec = project.spec(1);
    let (first, _) = project.stand_up(&spec).await;
    let mut order = 0;
    for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::Status(503), Fault::Status(409)] {
        project.proxy.next("POST", "/actions", fault);
        let lost = stop(&project.driver, &project, order + 1).await;
        assert!(matches!(lost, Err(StepError::Unavailable(_))), "{fault:?}: {lost:?}");
        // The order holds, whatever became of it.
        assert_eq!(project.seen(1).await.expect("it is there").obeyed, order + 1);
        stopped(&project, order + 1).await;
        project.proxy.next("POST", "/actions", fault);
        let lost = start(&project.driver, &spec, order + 2).await;
        assert!(matches!(lost, Err(StepError::Unavailable(_))), "{fault:?}: {lost:?}");
        let back = started(&project, &spec, order + 2).await;
        assert_eq!((back.reach, back.remark), (first.reach.clone(), None));
        order += 2;
    }
    assert_eq!(project.proxy.waiting(), 0);
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_stop_that_fails_is_shown_and_tried_again_and_a_start_after_it_finds_what_runs() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    let freed = project.folder.path().join("freed");
    project.mood(&json!({ "refuse_suspend": format!("until {}", freed.display()) }).to_string());
    let spec = project.spec(1);
    project.stand_up(&spec).await;
    stop(&project.driver, &project, 1).await.expect("it is taken up");
    until_status(&project, "SUSPEND_FAILED").await;
    let seen = project
        .until("it is seen", async || {
            project.seen(1).await.filter(|seen| seen.remark.as_deref().is_some_and(|said| said.contains("could not")))
        })
        .await;
    assert_eq!((seen.condition, seen.obeyed), (Condition::Ready, 1), "it runs still");
    let said = seen.remark.expect("why");
    assert!(
        said.contains("Heat could not suspend it: web (OS::Nova::Server): ")
            && said.contains("Hypervisor is out of disk."),
        "{said}"
    );
    assert!(!serving(&project).is_empty());

    // Nothing of it was suspended, so that nothing is to be resumed: its users are not sent away for that.
    project.asked();
    project.until("that is clear", async || start(&project.driver, &spec, 2).await.ok()).await;
    assert!(project.asked().iter().all(|asked| !asked.starts_with("POST")), "it is left alone");
    let seen = project.seen(1).await.expect("it is there");
    assert_eq!((seen.condition, seen.obeyed), (Condition::Ready, 2));

    let again = stop(&project.driver, &project, 3).await;
    assert!(again.is_ok(), "{again:?}");
    until_status(&project, "SUSPEND_FAILED").await;
    let soon = stop(&project.driver, &project, 3).await.expect_err("not at once again").to_string();
    assert!(soon.contains("SUSPEND_FAILED") && soon.contains("retrying in "), "{soon}");
    fs::write(freed, "").expect("written");
    stopped(&project, 3).await;
    started(&project, &spec, 4).await;
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn a_stack_that_is_suspended_in_part_comes_back_whole() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"refuse_suspend": "1"}"#);
    let spec = two(&project, 1);
    project.stand_up(&spec).await;
    assert_eq!(serving(&project).len(), 2);
    stop(&project.driver, &project, 1).await.expect("it is taken up");
    until_status(&project, "SUSPEND_FAILED").await;
    // Heat resumes no resource that was not suspended: all are suspended first.
    drop(start(&project.driver, &spec, 2).await);
    look_now(&project).await;
    let seen = project.seen(1).await.expect("it is there");
    assert!(seen.condition != Condition::Ready && seen.obeyed == 2, "half of it does not run: {seen:?}");
    started(&project, &spec, 2).await;
    assert_eq!(serving(&project).len(), 2);
    stopped(&project, 3).await;
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn a_start_that_fails_is_shown_and_tried_again_and_a_stop_after_it_ends_all() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"refuse_resume": "2"}"#);
    let spec = two(&project, 1);
    project.stand_up(&spec).await;
    stopped(&project, 1).await;
    start(&project.driver, &spec, 2).await.expect("it is taken up");
    until_status(&project, "RESUME_FAILED").await;
    let seen = project
        .until("it is seen", async || project.seen(1).await.filter(|seen| seen.condition == Condition::Failed))
        .await;
    let said = seen.remark.expect("why");
    assert!(
        said.contains("Heat could not resume it: worker (OS::Nova::Server): ")
            && said.contains("No valid host was found."),
        "{said}"
    );
    // Heat suspends no resource that failed to be resumed: it is resumed first, and then all of it is suspended.
    stopped(&project, 3).await;
    started(&project, &spec, 4).await;
    assert_eq!(serving(&project).len(), 2);
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn a_late_suspend_is_seen_and_the_newest_order_is_given_again() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let spec = project.spec(1);
    project.stand_up(&spec).await;
    stopped(&project, 1).await;
    started(&project, &spec, 2).await;
    for by_ensure in [false, true] {
        act(&project, "suspend");
        until_status(&project, "SUSPEND_COMPLETE").await;
        look_now(&project).await;
        let seen = project.seen(1).await.expect("it is there");
        let said = seen.remark.expect("it stands out");
        assert_eq!((seen.condition, seen.obeyed), (Condition::Stopped, 2), "{said}");
        assert!(said.contains("it is to be started again (order 2), and Heat says SUSPEND_COMPLETE"), "{said}");
        if by_ensure {
            project.order(&spec).await;
        }
        let back = started(&project, &spec, 2).await;
        assert_eq!(back.remark, None);
    }
    // And a late resume of what is stopped.
    stopped(&project, 3).await;
    act(&project, "resume");
    until_status(&project, "RESUME_COMPLETE").await;
    look_now(&project).await;
    start(&project.driver, &spec, 2).await.expect("a late order does nothing");
    let seen = project.seen(1).await.expect("it is there");
    let said = seen.remark.expect("it stands out");
    assert_eq!(seen.condition, Condition::Ready, "{said}");
    assert!(said.contains("it is to be stopped (order 3), and Heat says RESUME_COMPLETE"), "{said}");
    stopped(&project, 3).await;
    project.tear_down(1).await;
}

#[tokio::test]
async fn an_adopted_stack_is_stopped_and_started_like_any_other() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    // One that takes our tags, and one that Heat says would change with them.
    let random = TEMPLATE.replace("outputs:", "  secret: {type: OS::Heat::RandomString}\noutputs:");
    for (nth, template) in [TEMPLATE.to_owned(), random].into_iter().enumerate() {
        let theirs = format!("{}-{}-theirs-{nth}", project.pipeline.pipeline, project.pipeline.environment);
        let body = json!({ "stack_name": theirs, "template": template, "timeout_mins": 5 });
        let made = project.cloud.make(&body);
        let there = async || (project.resource(&made, "")["stack"]["stack_status"] == "CREATE_COMPLETE").then_some(());
        project.until("their stack is there", there).await;
        let adopts = Adopts { stack: theirs.as_str().into(), output: Some("address".into()) };
        let spec = project.spec(1);
        let release = Release { adopts: Some(adopts.into()), parameters: BTreeMap::new(), ..(*spec.release).clone() };
        let spec = StackSpec { release: Arc::new(release), ..spec };
        let (first, _) = project.stand_up(&spec).await;
        stopped(&project, 1).await;
        let why = project.driver.ensure(&spec).await.expect_err("it is kept as it is").to_string();
        assert!(why.contains("was stopped by order 1"), "{why}");
        let back = started(&project, &spec, 2).await;
        assert_eq!((back.reach, back.remark), (first.reach, None));
        project.tear_down(1).await;
        fs::remove_dir_all(project.folder.path().join("state/pinned")).expect("the next story takes the same number");
    }
}

#[tokio::test]
async fn a_heat_that_is_killed_amid_a_stop_or_a_start_goes_on_when_it_is_back() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"suspend_seconds": "2", "resume_seconds": "2"}"#);
    let spec = project.spec(1);
    let (first, _) = project.stand_up(&spec).await;
    stop(&project.driver, &project, 1).await.expect("it is taken up");
    cloud.tell("kill-heat");
    let down = project.driver.observe().await;
    assert!(matches!(down, Err(StepError::Unavailable(_))), "{down:?}");
    cloud.tell("start-heat");
    println!("after the engine came back: {:?}", project.seen(1).await);
    stopped(&project, 1).await;
    start(&project.driver, &spec, 2).await.expect("it is taken up");
    project.until("its server is resumed", async || (!serving(&project).is_empty()).then_some(())).await;
    cloud.tell("kill-heat");
    cloud.tell("start-heat");
    println!("after the engine came back: {:?}", project.seen(1).await);
    let back = started(&project, &spec, 2).await;
    assert_eq!(back.reach, first.reach);
    // Heat knows of it again what it needs to know.
    stopped(&project, 3).await;
    started(&project, &spec, 4).await;
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}
