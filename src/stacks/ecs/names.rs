//! What the things of a stack are called at AWS: always the same for a stack, so that a second try finds what the first one made.
//! Must not talk to anybody.

use sha2::{Digest, Sha256};

use crate::machine::StackName;

/// What every name begins with.
pub(super) const PREFIX: &str = "pt-";
/// The longest name of a target group (CreateTargetGroup).
const LONGEST_GROUP: usize = 32;
/// The longest name of a service that we give; ECS takes 255.
const LONGEST: usize = 200;

/// Name of the service and of the family of task definitions.
pub(super) fn service(stack: &StackName) -> String {
    fit(stack, LONGEST)
}

/// Name of the target group.
pub(super) fn group(stack: &StackName) -> String {
    fit(stack, LONGEST_GROUP)
}

/// Token by which ECS knows a second request for the same: 36 characters at most.
pub(super) fn token(installation: &str, stack: &StackName) -> String {
    let digest = Sha256::digest(format!("{installation}/{}/{stack}", stack.environment));
    hex::encode(digest).chars().take(32).collect()
}

/// A name is cut where it is too long. `a-b/c` and `a/b-c` read the same without the stroke, so a digest of the environment's name
/// stands in a name that is cut, and in one that could be another environment's.
fn fit(stack: &StackName, longest: usize) -> String {
    let whole = format!("{PREFIX}{stack}");
    let environment = stack.environment.to_string();
    if whole.len() <= longest && !environment.contains('-') {
        return whole;
    }
    let digest = hex::encode(Sha256::digest(&environment));
    let tail = format!("-{}-{}", &digest[..6], stack.number);
    let head: String =
        format!("{PREFIX}{}", environment.replace('/', "-")).chars().take(longest - tail.len()).collect();
    format!("{}{tail}", head.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Number;

    fn name(environment: &str, number: u32) -> StackName {
        StackName { environment: environment.parse().expect("a name"), number: Number(number) }
    }

    #[test]
    fn names_fit_and_no_two_stacks_share_one() {
        assert_eq!(group(&name("shop/prod", 7)), "pt-shop-prod-7");
        let long = "a-very-long-pipeline-name-for-a-shop/production";
        let all = [
            group(&name("a-b/c", 7)),
            group(&name("a/b-c", 7)),
            group(&name(long, 12_345)),
            group(&name(long, 12_346)),
            group(&name("a/b", 7)),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        for name in &all {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(name.len() <= LONGEST_GROUP && plain && name.starts_with(PREFIX) && !name.ends_with('-'), "{name}");
        }
        assert!(all[2].ends_with("-12345"), "{all:?}");
    }

    #[test]
    fn a_token_is_one_installations_for_one_stack() {
        let tokens = [("one", 1), ("one", 2), ("two", 1)].map(|(who, number)| token(who, &name("shop/prod", number)));
        assert!(tokens[0] != tokens[1] && tokens[0] != tokens[2] && tokens[0].len() <= 36);
        assert_eq!(tokens[0], token("one", &name("shop/prod", 1)));
    }
}
