//! Why something was not granted, with the command that helps.

use crate::machine::{EnvironmentId, Refusal};

/// Says why a wish about that environment was refused, and the next command.
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
        Refusal::NothingToGoBackTo => ("what there was", format!("history {id}")),
        Refusal::Vetoed(release, _) => ("to lift it", format!("veto {id} --release {release} --lift")),
        Refusal::NotTheirs { .. } | Refusal::OwnWish(_) => ("who may", format!("why {id}")),
        Refusal::Already(_) => ("how it is", format!("status {id}")),
    };
    format!("{refusal} ({what}: `pointsman {command}`)")
}
