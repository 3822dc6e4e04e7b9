//! What the actions of a listener or rule do with a request, and how they are changed to do something else: only the last one, which
//! sends it on or answers it. What stands before, such as a sign-in, stays as it is. Must not talk to AWS.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, TargetGroupStickinessConfig,
    TargetGroupTuple,
};

use crate::{reach::Reach, stacks::StepError, web_front::Route};

/// What happens to a request in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It goes to one of these target groups, by ARN and weight, sorted; those without a weight are left out.
    Groups(Vec<(String, i32)>),
    /// It gets a fixed answer.
    Answer {
        /// Its status.
        status: String,
        /// Its text.
        body: String,
    },
}

/// What an order wants to happen.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What happens to a request in the end.
    pub(super) end: End,
    /// How long a client stays with a group, where there are several.
    pub(super) sticky: Option<Duration>,
    /// How the answer is written.
    pub(super) media_type: &'static str,
}

impl End {
    /// Reads the last action. What the same thing is called in two ways is read as one.
    ///
    /// # Errors
    /// AWS's word for what is neither, and not ours to change.
    pub(super) fn of(actions: &[Action]) -> Result<Self, String> {
        let last = last(actions).ok_or("no action")?;
        match last.r#type() {
            Some(ActionTypeEnum::Forward) => Ok(Self::Groups(groups(last))),
            Some(ActionTypeEnum::FixedResponse) => {
                let answer = last.fixed_response_config();
                let status = answer.and_then(|answer| answer.status_code()).unwrap_or("?").to_owned();
                let body = answer.and_then(|answer| answer.message_body()).unwrap_or("").to_owned();
                Ok(Self::Answer { status, body })
            }
            Some(other) => Err(other.as_str().to_owned()),
            None => Err("an action without a type".to_owned()),
        }
    }

    /// What an order wants. `page`: what users get where it is for nobody.
    ///
    /// # Errors
    /// When it leads to something that is no target group.
    pub(super) fn wanted(route: &Route, page: &str) -> Result<Self, StepError> {
        let Some(target) = &route.target else {
            return Ok(Self::Answer { status: "503".to_owned(), body: page.to_owned() });
        };
        let group = |reach: &Reach| match reach {
            Reach::Named { id, .. } => Ok(id.to_string()),
            Reach::Addresses(_) => Err(StepError::Refused(format!(
                "stack {} is reached at addresses, and a load balancer takes target groups",
                target.stack
            ))),
        };
        let base = group(&target.reach)?;
        let Some(split) = &route.split else { return Ok(Self::Groups(vec![(base, 1)])) };
        let share = i32::from(split.share.percent());
        let mut both = vec![(base, 100 - share), (group(&split.target.reach)?, share)];
        both.sort_unstable();
        Ok(Self::Groups(both))
    }

    /// Says what happens, for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Groups(groups) if groups.is_empty() => "forwards to no target group".to_owned(),
            Self::Groups(groups) => {
                let one = |(arn, weight): &(String, i32)| match groups.len() {
                    1 => short(arn).to_owned(),
                    _ => format!("{} with weight {weight}", short(arn)),
                };
                format!("forwards to {}", groups.iter().map(one).collect::<Vec<_>>().join(" and "))
            }
            Self::Answer { status, .. } => format!("answers {status} itself"),
        }
    }
}

/// The name of a target group, of its ARN.
pub(super) fn short(arn: &str) -> &str {
    arn.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or(arn)
}

/// The action that comes last: by `Order`, or as they stand.
fn last(actions: &[Action]) -> Option<&Action> {
    actions.iter().max_by_key(|action| action.order().unwrap_or(i32::MAX))
}

/// The groups of a forward action. One group stands in either of two fields, or in both. What has no weight gets nobody, and weights
/// of one group alone mean nothing.
fn groups(action: &Action) -> Vec<(String, i32)> {
    let listed = action.forward_config().map_or(&[][..], ForwardActionConfig::target_groups);
    let weighted = |group: &TargetGroupTuple| {
        Some((group.target_group_arn()?.to_owned(), group.weight().unwrap_or(1))).filter(|(_, weight)| *weight > 0)
    };
    let mut groups: Vec<_> = listed.iter().filter_map(weighted).collect();
    if listed.is_empty() {
        groups.extend(action.target_group_arn().map(|arn| (arn.to_owned(), 1)));
    }
    if let [(_, weight)] = &mut groups[..] {
        *weight = 1;
    }
    groups.sort_unstable();
    groups
}

/// The actions with another end, and all that stands before it as it is.
///
/// AWS never tells the secret of a sign-in, so it is asked to use the one that it has. An action whose kind is newer than this program
/// cannot be written back as it is.
///
/// # Errors
/// Why they are not changed, in one sentence.
pub(super) fn with_end(actions: &[Action], wanted: &Wanted) -> Result<Vec<Action>, String> {
    let end = last(actions);
    End::of(actions)
        .map_err(|what| format!("it ends with {what}, which is left alone: point it at a target group first"))?;
    let mut changed = Vec::new();
    for action in actions.iter().filter(|action| end != Some(action)) {
        changed.push(kept(action)?);
    }
    changed.push(ended(wanted, end.and_then(|end| end.order())));
    Ok(changed)
}

fn kept(action: &Action) -> Result<Action, String> {
    let mut action = action.clone();
    match action.r#type() {
        Some(ActionTypeEnum::AuthenticateOidc) => {
            let config = action.authenticate_oidc_config.take();
            let mut config = config.ok_or("its sign-in has no settings that AWS tells; it is left alone")?;
            config.client_secret = None;
            config.use_existing_client_secret = Some(true);
            action.authenticate_oidc_config = Some(config);
            Ok(action)
        }
        Some(ActionTypeEnum::AuthenticateCognito | ActionTypeEnum::JwtValidation) => Ok(action),
        Some(other) => Err(format!(
            "it has an action {} that this version cannot write back as it is, so nothing was changed",
            other.as_str()
        )),
        None => Err("it has an action without a type, so nothing was changed".to_owned()),
    }
}

fn ended(wanted: &Wanted, order: Option<i32>) -> Action {
    let new = Action::builder().set_order(order);
    match &wanted.end {
        End::Groups(groups) => {
            let tuple = |(arn, weight): &(String, i32)| {
                TargetGroupTuple::builder().target_group_arn(arn).weight(*weight).build()
            };
            let sticky = wanted.sticky.filter(|_| groups.len() > 1);
            let seconds = sticky.and_then(|length| i32::try_from(length.as_secs()).ok());
            let sticky =
                TargetGroupStickinessConfig::builder().enabled(sticky.is_some()).set_duration_seconds(seconds).build();
            let forward = ForwardActionConfig::builder()
                .set_target_groups(Some(groups.iter().map(tuple).collect()))
                .target_group_stickiness_config(sticky)
                .build();
            new.r#type(ActionTypeEnum::Forward).forward_config(forward).build()
        }
        End::Answer { status, body } => {
            let answer = FixedResponseActionConfig::builder()
                .status_code(status)
                .content_type(wanted.media_type)
                .message_body(body)
                .build();
            new.r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build()
        }
    }
}

#[cfg(test)]
mod tests;
