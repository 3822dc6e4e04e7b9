//! Who can do what somebody may not: people, groups and tokens by name.

/// How many of each kind are named.
const NAMED: usize = 5;

/// Whoever can do something, each with the name of the role.
pub(crate) struct WhoCan<'a> {
    /// People who sign in with a password; `None`: they cannot be read.
    pub users: Option<Vec<(&'a str, String)>>,
    /// Groups of the provider.
    pub groups: Vec<&'a str>,
    /// What people call the provider.
    pub provider: &'a str,
    /// Tokens; `None`: they cannot be read.
    pub tokens: Option<Vec<(&'a str, String)>>,
}

/// Names them, as one sentence with what could not be read.
pub(crate) fn who_can(who: &WhoCan<'_>) -> String {
    let role = |(name, role): &(&str, String)| format!("{name} ({role})");
    let users = who.users.iter().flatten().map(role).collect();
    let groups = who.groups.iter().map(|group| format!("members of the group {group} at {}", who.provider)).collect();
    let tokens = who.tokens.iter().flatten().map(|token| format!("the token {}", role(token))).collect();
    let mut all = some(users, "users");
    all.extend(some(groups, "groups"));
    all.extend(some(tokens, "tokens"));
    let all = match all.split_last() {
        None => "whoever has the local token on the controller's host".to_owned(),
        Some((one, [])) => one.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    };
    let unread = [("users", who.users.is_none()), ("tokens", who.tokens.is_none())];
    let unread = unread.into_iter().filter(|(_, unread)| *unread);
    unread.fold(format!("Who can: {all}."), |text, (what, _)| {
        format!("{text} The file of {what} cannot be read, so they are not named; the controller's log says why.")
    })
}

/// A handful of them, and how many more there are.
fn some(mut all: Vec<String>, what: &str) -> Vec<String> {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    all.extend((more > 0).then(|| format!("{more} more {what}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able<'a>(names: &[&'a str]) -> Vec<(&'a str, String)> {
        names.iter().map(|name| (*name, "approver".to_owned())).collect()
    }

    #[test]
    fn people_groups_and_tokens_are_named_a_handful_of_each() {
        let nobody = WhoCan { users: Some(Vec::new()), groups: Vec::new(), provider: "", tokens: Some(Vec::new()) };
        assert_eq!(who_can(&nobody), "Who can: whoever has the local token on the controller's host.");
        let all = WhoCan {
            users: Some(able(&["bob"])),
            groups: vec!["releasers"],
            provider: "Example SSO",
            tokens: Some(able(&["jenkins"])),
        };
        assert_eq!(
            who_can(&all),
            "Who can: bob (approver), members of the group releasers at Example SSO or the token jenkins (approver)."
        );
        let many = WhoCan { users: Some(able(&["ann", "bob", "cy", "dee", "eve", "fay", "guy"])), ..nobody };
        assert!(who_can(&many).ends_with("dee (approver), eve (approver) or 2 more users."), "{}", who_can(&many));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said() {
        let torn = WhoCan { users: None, groups: vec!["ops"], provider: "Example SSO", tokens: Some(Vec::new()) };
        assert_eq!(
            who_can(&torn),
            "Who can: members of the group ops at Example SSO. The file of users cannot be read, so they are not named; the \
             controller's log says why."
        );
    }
}
