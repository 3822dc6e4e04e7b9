//! What ECS and the load balancer say, and what is seen of a stack by that.

use aws_sdk_ecs::types::{Container, ServiceEvent};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealth, TargetHealthReasonEnum};

use super::*;
use crate::machine::Number;

fn name() -> StackName {
    StackName { environment: "shop/prod".parse().expect("a name"), number: Number(7) }
}

/// A stack with so many tasks that run of those that are wanted.
fn ours(status: &str, (running, desired): (i32, i32), rollout: DeploymentRolloutState) -> Ours {
    let deployment = Deployment::builder()
        .status("PRIMARY")
        .rollout_state(rollout)
        .rollout_state_reason("ECS deployment circuit breaker: tasks failed to start.")
        .build();
    let service = Service::builder()
        .service_arn("arn:service")
        .status(status)
        .desired_count(desired)
        .running_count(running)
        .deployments(deployment)
        .events(ServiceEvent::builder().message("(service pt-shop-prod-7) was unable to place a task.").build())
        .build();
    Ours { service: Some(service), group: Some("arn:group".to_owned()), targets: None, complete: false }
}

fn target(state: TargetHealthStateEnum, reason: Option<TargetHealthReasonEnum>) -> TargetHealthDescription {
    let health = TargetHealth::builder().state(state).set_reason(reason).build();
    TargetHealthDescription::builder().target_health(health).build()
}

const RUNS: RunOrder = RunOrder { order: 0, stopped: false };

fn said(ours: &Ours, order: RunOrder, why: Option<&str>) -> (Condition, String) {
    let seen = ours.seen(&name(), order, why);
    (seen.condition, seen.remark.unwrap_or_default())
}

#[test]
fn a_stack_is_ready_when_all_its_tasks_run_and_every_target_is_healthy() {
    use DeploymentRolloutState::{Completed, InProgress};
    let coming = ours("ACTIVE", (1, 2), InProgress);
    let wanted = "1 of 2 tasks run; ECS says: (service pt-shop-prod-7) was unable to place a task.";
    assert_eq!(said(&coming, RUNS, None), (Condition::Creating, wanted.to_owned()));
    assert!(coming.is_under_way() && coming.to_be_asked().is_none());

    // ECS's own word may come before the load balancer's checks have passed.
    let mut all = ours("ACTIVE", (2, 2), Completed);
    assert_eq!(all.to_be_asked().as_deref(), Some("arn:group"));
    let healthy = || target(TargetHealthStateEnum::Healthy, None);
    let initial = target(TargetHealthStateEnum::Initial, Some(TargetHealthReasonEnum::InitialHealthChecking));
    all.targets = Some(vec![healthy(), initial]);
    let wanted =
        "all tasks run, still starting: 1 of 2 targets are healthy, the others are initial (Elb.InitialHealthChecking)";
    assert_eq!(said(&all, RUNS, None), (Condition::Creating, wanted.to_owned()));
    assert!(
        !all.has_all_healthy(&[healthy()]) && !all.has_all_healthy(&[]) && all.has_all_healthy(&[healthy(), healthy()])
    );

    all.complete = true;
    assert_eq!(said(&all, RUNS, None), (Condition::Ready, String::new()));
    assert!(!all.is_under_way() && all.to_be_asked().is_none());
    assert_eq!(all.seen(&name(), RUNS, None).reach.words(), ["target group arn:group"]);
}

#[test]
fn one_that_was_whole_stays_ready_and_says_what_is_missing() {
    let less = Ours { complete: true, ..ours("ACTIVE", (1, 2), DeploymentRolloutState::Completed) };
    let wanted = "1 of 2 tasks run; the last one stopped: OutOfMemoryError";
    assert_eq!(said(&less, RUNS, Some("OutOfMemoryError")), (Condition::Ready, wanted.to_owned()));
}

#[test]
fn after_a_restart_the_word_of_ecs_counts_and_only_then() {
    let (none, known) = (BTreeSet::new(), BTreeSet::from(["arn:service".to_owned()]));
    let done = ours("ACTIVE", (2, 2), DeploymentRolloutState::Completed);
    assert!(done.is_complete(&none, true) && !done.is_complete(&none, false) && done.is_complete(&known, false));
    assert!(!ours("ACTIVE", (2, 2), DeploymentRolloutState::InProgress).is_complete(&none, true));
    // One that was stopped has to come up again, whatever ECS says of its deployment.
    assert!(!ours("ACTIVE", (0, 2), DeploymentRolloutState::Completed).is_complete(&none, true));
    assert!(!ours("ACTIVE", (1, 0), DeploymentRolloutState::Completed).is_complete(&known, false));
}

#[test]
fn what_ecs_gave_up_has_failed_with_the_reason_of_its_tasks() {
    let failed = ours("ACTIVE", (0, 2), DeploymentRolloutState::Failed);
    let wanted = "ECS gave it up: ECS deployment circuit breaker: tasks failed to start.; the last one stopped: exit 3";
    assert_eq!(said(&failed, RUNS, Some("exit 3")), (Condition::Failed, wanted.to_owned()));
}

#[test]
fn a_stopped_stack_is_stopped_once_nothing_of_it_runs() {
    let order = RunOrder { order: 4, stopped: true };
    let stopping = ours("ACTIVE", (1, 0), DeploymentRolloutState::Completed);
    assert_eq!(said(&stopping, order, None), (Condition::Stopping, "1 of its tasks still run".to_owned()));
    let before = ours("ACTIVE", (0, 2), DeploymentRolloutState::Completed);
    assert_eq!(said(&before, order, None).0, Condition::Stopping, "ECS still wants two");
    let stopped = ours("ACTIVE", (0, 0), DeploymentRolloutState::Completed);
    assert_eq!(said(&stopped, order, None), (Condition::Stopped, String::new()));
    assert_eq!(stopped.seen(&name(), order, None).obeyed, 4);
}

#[test]
fn what_goes_is_going_until_its_target_group_is_gone() {
    let draining = ours("DRAINING", (1, 0), DeploymentRolloutState::Completed);
    assert_eq!(said(&draining, RUNS, None).0, Condition::Deleting);
    let left = Ours { group: Some("arn:group".to_owned()), ..Ours::default() };
    assert_eq!(said(&left, RUNS, None).0, Condition::Creating);
    assert!(left.is_under_way());
}

#[test]
fn why_a_task_stopped_is_told_down_to_its_container() {
    let web = Container::builder().name("web").exit_code(3).build();
    let side = Container::builder().name("log").reason("CannotPullContainerError: not found").build();
    let task =
        Task::builder().stopped_reason("Essential container in task exited").containers(web).containers(side).build();
    let wanted =
        "Essential container in task exited; web ended with exit status 3; log: CannotPullContainerError: not found";
    assert_eq!(reason(&task), wanted);
}
