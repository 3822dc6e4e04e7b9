//! Test rules: how a target group is reached at a listener before users are sent there, by a header with a key of its own.
//!
//! A request with that header and another key must never come to what is live, as it would while a rule is not there yet, or not
//! any more. So below all test rules of a listener stands one that answers such requests itself. Must not know stacks.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, HttpHeaderConditionConfig, Rule,
    RuleCondition, Tag as ElbTag, TargetGroupTuple,
};

use super::{Account, Failure, Kind, Tag, Turn};

/// The header that asks for a stack by its key.
pub(crate) const HEADER: &str = "x-pointsman-preview";
/// Status of the answer to a key that leads nowhere: "misdirected request", which applications do not answer.
pub(crate) const NOWHERE: u16 = 421;
/// What every key begins with.
const KEY: &str = "pt-";
/// Matches every key, and never the request of a user, which has no such header: `*` alone could be read to match that.
const ANY: &str = "pt-*";
/// Rules that one answer lists (DescribeRules, `PageSize`).
const PAGE: i32 = 400;

/// A rule that leads to one target group alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestRule {
    /// Its ARN.
    pub(crate) arn: String,
    /// Rules with a lower number come before it.
    pub(crate) priority: u32,
    /// Value of the header.
    pub(crate) key: String,
    /// ARN of the target group.
    pub(crate) group: String,
}

/// What a listener has in the way of test rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TestRules {
    /// All of them.
    pub(crate) rules: Vec<TestRule>,
    /// ARN of the rule that answers for keys that lead nowhere.
    pub(crate) nowhere: Option<String>,
    /// Priorities that are taken, by whatever rules.
    pub(crate) taken: Vec<u32>,
}

impl TestRules {
    /// Reads them from all rules of a listener.
    pub(crate) fn read(rules: &[Rule]) -> Self {
        let priority = |rule: &Rule| rule.priority().and_then(|text| text.parse().ok());
        let mut found = Self { taken: rules.iter().filter_map(priority).collect(), ..Self::default() };
        for rule in rules {
            let (Some(arn), Some(priority), Some(key)) = (rule.rule_arn(), priority(rule), key(rule)) else { continue };
            let (arn, key) = (arn.to_owned(), key.to_owned());
            match rule.actions() {
                [action] if key == ANY && action.fixed_response_config().is_some() => found.nowhere = Some(arn),
                [action] => {
                    found.rules.extend(only_group(action).map(|group| TestRule { arn, priority, key, group }));
                }
                _ => {}
            }
        }
        found
    }

    /// The rule that leads to a target group.
    pub(crate) fn of(&self, group: &str) -> Option<&TestRule> {
        self.rules.iter().find(|rule| rule.group == group)
    }

    /// The first priority of a range that no rule has. The last one of the range is that of the rule for keys that lead nowhere.
    pub(crate) fn free(&self, (first, last): (u32, u32)) -> Option<u32> {
        (first..last).find(|priority| !self.taken.contains(priority))
    }
}

/// The key of a rule whose only condition is our header with one value.
fn key(rule: &Rule) -> Option<&str> {
    let [condition] = rule.conditions() else { return None };
    let header = condition.http_header_config()?;
    let ours = header.http_header_name()?.eq_ignore_ascii_case(HEADER);
    match header.values() {
        [key] if ours => Some(key),
        _ => None,
    }
}

/// The one group that an action leads to. It stands in either of two fields, or in both.
fn only_group(action: &Action) -> Option<String> {
    if action.r#type() != Some(&ActionTypeEnum::Forward) {
        return None;
    }
    match action.forward_config().map(ForwardActionConfig::target_groups) {
        None | Some([]) => action.target_group_arn().map(str::to_owned),
        Some([one]) => one.target_group_arn().map(str::to_owned),
        Some(_) => None,
    }
}

impl Account {
    /// All rules of a listener, its default rule too.
    pub(crate) async fn rules(&self, listener: &str, turn: Turn) -> Result<Vec<Rule>, Failure> {
        let (mut all, mut marker) = (Vec::new(), None);
        loop {
            let call = ("DescribeRules", Kind::ElbLook, turn);
            let answer = self
                .elb(call, |elb| {
                    elb.describe_rules().listener_arn(listener).page_size(PAGE).set_marker(marker.take()).send()
                })
                .await?;
            all.extend_from_slice(answer.rules());
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                return Ok(all);
            }
        }
    }

    /// Makes the test rule of a target group, with a key made of `secret`. Where its priority was taken meanwhile, AWS says
    /// `PriorityInUse`.
    pub(crate) async fn make_test_rule(
        &self,
        listener: &str,
        rule: (u32, &str, &str),
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let (priority, secret, group) = rule;
        let key = format!("{KEY}{secret}");
        let forward = ForwardActionConfig::builder()
            .target_groups(TargetGroupTuple::builder().target_group_arn(group).weight(1).build())
            .build();
        let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward).build();
        self.make_rule(listener, (priority, &key, action), tags).await
    }

    /// Makes the rule that answers for keys that lead nowhere.
    pub(crate) async fn make_rule_for_nowhere(&self, listener: &str, priority: u32) -> Result<(), Failure> {
        let body = "no stack is known by this key\n";
        let answer = FixedResponseActionConfig::builder()
            .status_code(NOWHERE.to_string())
            .content_type("text/plain")
            .message_body(body)
            .build();
        let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build();
        self.make_rule(listener, (priority, ANY, action), &[]).await
    }

    async fn make_rule(
        &self,
        listener: &str,
        (priority, key, action): (u32, &str, Action),
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let header = HttpHeaderConditionConfig::builder().http_header_name(HEADER).values(key).build();
        let condition = RuleCondition::builder().field("http-header").http_header_config(header).build();
        let number = i32::try_from(priority).map_err(|error| Failure::Unheard(error.to_string()))?;
        let made = self
            .elb(("CreateRule", Kind::ElbChange, Turn::First), |elb| {
                let ask =
                    elb.create_rule().listener_arn(listener).priority(number).conditions(condition).actions(action);
                ask.set_tags((!tags.is_empty()).then(|| elb_tags(tags))).send()
            })
            .await;
        made.map(drop)
    }

    /// Removes a rule; one that is gone is no mistake.
    pub(crate) async fn remove_rule(&self, arn: &str) -> Result<(), Failure> {
        let call = ("DeleteRule", Kind::ElbChange, Turn::First);
        match self.elb(call, |elb| elb.delete_rule().rule_arn(arn).send()).await {
            Err(failure) if failure.code() != Some("RuleNotFound") => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Tags as Elastic Load Balancing takes them.
pub(crate) fn elb_tags(tags: &[Tag]) -> Vec<ElbTag> {
    tags.iter().map(|(key, value)| ElbTag::builder().key(key).value(value).build()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(priority: &str, key: &str, action: Action) -> Rule {
        let header = HttpHeaderConditionConfig::builder().http_header_name("X-Pointsman-Preview").values(key).build();
        let condition = RuleCondition::builder().field("http-header").http_header_config(header).build();
        Rule::builder()
            .rule_arn(format!("arn:{priority}"))
            .priority(priority)
            .conditions(condition)
            .actions(action)
            .build()
    }

    fn forward(groups: &[&str]) -> Action {
        let group = |arn: &&str| TargetGroupTuple::builder().target_group_arn(*arn).weight(1).build();
        let all = ForwardActionConfig::builder().set_target_groups(Some(groups.iter().map(group).collect())).build();
        Action::builder().r#type(ActionTypeEnum::Forward).forward_config(all).build()
    }

    #[test]
    fn the_test_rules_of_a_listener_are_told_from_all_others() {
        let nowhere = Action::builder()
            .r#type(ActionTypeEnum::FixedResponse)
            .fixed_response_config(FixedResponseActionConfig::builder().status_code("421").build())
            .build();
        let bare = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("green").build();
        let theirs = Rule::builder().rule_arn("arn:2").priority("2").actions(forward(&["blue"])).build();
        let found = TestRules::read(&[
            rule("1", "k1", forward(&["blue"])),
            theirs,
            rule("3", "k3", forward(&["blue", "green"])),
            rule("4", "k4", bare),
            rule("9", ANY, nowhere),
            Rule::builder().rule_arn("arn:default").priority("default").actions(forward(&["blue"])).build(),
        ]);
        let known: Vec<_> = found.rules.iter().map(|r| (r.priority, r.key.as_str(), r.group.as_str())).collect();
        assert_eq!(known, [(1, "k1", "blue"), (4, "k4", "green")]);
        assert_eq!((found.nowhere.as_deref(), found.taken.clone()), (Some("arn:9"), vec![1, 2, 3, 4, 9]));
        assert_eq!((found.free((1, 9)), found.free((1, 5)), found.free((3, 4))), (Some(5), None, None));
        assert_eq!(found.of("green").map(|rule| rule.arn.as_str()), Some("arn:4"));
    }
}
