//! Why something was not granted, with the command that helps.

use crate::machine::{EnvironmentId, Refusal};

/// Says why a command about that environment was refused, and the next command.
pub(crate) fn refusal(id: &EnvironmentId, refusal: &Refusal) -> String {
    let deploy = || format!("deploy {id} --version VERSION --artifact ARTIFACT");
    let (what, command) = match refusal {
        Refusal::Duplicate(_) | Refusal::OtherContent(_) => ("its story", format!("history {id}")),
        Refusal::NotUnderWay { .. } => ("what became of it", format!("history {id}")),
        Refusal::Stale { .. } | Refusal::WasAdopted(_) => ("by hand", deploy()),
        Refusal::WrongState { hint, .. } if hint.contains("roll it back") => ("now", format!("rollback {id}")),
        Refusal::WrongState { hint, .. } if hint.contains("abort it") => ("now", format!("abort {id}")),
        Refusal::WrongState { .. } => ("what it waits for", format!("why {id}")),
        Refusal::NotLive { .. } | Refusal::NotTheFirst(_) => ("what is live", format!("status {id}")),
        Refusal::NoPage => ("what its front is", format!("status {id}")),
        Refusal::NothingToGoBackTo => ("what there was", format!("history {id}")),
        Refusal::Vetoed(release, _) => ("to lift it", format!("veto {id} --release {release} --lift")),
        Refusal::NotTheirs { .. } | Refusal::SelfApproval(_) => ("who may", format!("why {id}")),
        Refusal::NotAStranger { .. } => ("what there is", format!("stack list {id}")),
        Refusal::Occupied { .. } => ("what it waits for", format!("why {id}")),
        Refusal::Restarting(_) => ("how far it is", format!("status {id}")),
        Refusal::Already(_) => ("how it is", format!("status {id}")),
    };
    format!("{refusal} ({what}: `pointsman {command}`)")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;

    use super::*;
    use crate::{
        cli::Cli,
        machine::{DeploymentState, Number},
    };

    /// One of each kind; a new kind is missed by the compiler, in `refusal`.
    fn all() -> Vec<Refusal> {
        let (number, text): (_, Arc<str>) = (Number(7), "why".into());
        let wrong = |hint| Refusal::WrongState { number, state: DeploymentState::Baking, hint };
        vec![
            Refusal::Duplicate(number),
            Refusal::OtherContent(number),
            Refusal::Stale { build_number: 16, newest: 17 },
            Refusal::NotUnderWay { number, ended: Some(DeploymentState::Failed) },
            Refusal::NotUnderWay { number, ended: None },
            wrong("it is live; roll it back instead"),
            wrong("abort it: that gives all users back to what is live, which can be rolled back then"),
            wrong("it is going back already"),
            Refusal::NotLive { number, live: Some(Number(8)) },
            Refusal::NotLive { number, live: None },
            Refusal::NothingToGoBackTo,
            Refusal::NoPage,
            Refusal::Vetoed(7, text.clone()),
            Refusal::NotTheirs { by: text.clone(), may: "alice".to_owned() },
            Refusal::SelfApproval(text),
            Refusal::NotTheFirst(number),
            Refusal::WasAdopted(7),
            Refusal::NotAStranger { number, what: "is live" },
            Refusal::Occupied { number, other: Number(8), is: "is queued" },
            Refusal::Restarting(number),
            wrong("while it is watched, a restart would count against it; restart once it has ended"),
            Refusal::Already("nothing is held"),
        ]
    }

    #[test]
    fn every_refusal_names_a_command_that_the_program_takes() {
        let id = "shop/prod".parse().unwrap();
        for kind in all() {
            let said = refusal(&id, &kind);
            let command = said.rsplit('`').nth(1).unwrap_or_else(|| panic!("no command: {said}"));
            let taken = Cli::try_parse_from(command.split(' '));
            taken.unwrap_or_else(|error| panic!("{said}: {error}"));
            assert!(command.contains("shop/prod"), "{said}");
        }
    }
}
