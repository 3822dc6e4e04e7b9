//! What the moves of the model are called for people: the way to a broken promise, step by step.

use super::{deployment_of, named};
use crate::machine::{
    Event, GateName,
    model::{Action, Id, Moved, Person, Request, Turn, Way, Wish},
};

/// Says what happens in one step of a way, and what the controller does then.
pub(crate) fn moved(moved: &Moved) -> String {
    let what = action(moved.action);
    match &moved.turn {
        Turn::None => what,
        Turn::Records(event) => format!("{what}; it records: {}", recorded(event)),
        Turn::Takes(requests) if requests.is_empty() => what,
        Turn::Takes(requests) => {
            let all: Vec<String> = requests.iter().map(|one| request(*one)).collect();
            format!("{what}: {}", all.join("; "))
        }
    }
}

fn recorded(event: &Event) -> String {
    let (kind, words) = named(event);
    let of = deployment_of(event).map(|number| format!(" of deployment {number}")).unwrap_or_default();
    if words.is_empty() { format!("{kind}{of}") } else { format!("{kind}{of} ({words})") }
}

fn stack(id: Id) -> String {
    if id == 0 { "nobody".to_owned() } else { format!("stack {id}") }
}

fn way(way: Way) -> String {
    match way {
        Way { base, beside: 0, .. } => stack(base),
        Way { base, beside, share } => format!("{} and {share} % of them to {}", stack(base), stack(beside)),
    }
}

fn action(action: Action) -> String {
    match action {
        Action::Hook(..) => "a build is announced".to_owned(),
        Action::Issue(what) => format!("somebody sends a command: {}", wish(what)),
        Action::Obey(_, what) => format!("the command arrives: {}", wish(what)),
        Action::Look(_) => "the controller looks".to_owned(),
        Action::StaleLook(_, true) => "the controller looks, and sees the front as it was before".to_owned(),
        Action::StaleLook(_, false) => {
            "the controller looks, and sees the front as it was before and not yet the newest stack".to_owned()
        }
        Action::BlindLook(_, true) => "the controller looks, and the front does not answer".to_owned(),
        Action::BlindLook(_, false) => "the controller looks, and the provider does not answer".to_owned(),
        Action::Act(_, clock) => format!("it acts on what it saw, {}", when(clock)),
        Action::ActAway(_, watched) => {
            format!("it acts on what it saw after a long time in which nobody looked, {}", when(watched))
        }
        Action::ActAgain(_, clock) => format!("it acts on what it saw, {}, and does again what was done", when(clock)),
        Action::Send(_) => "it sends what it has in hand".to_owned(),
        Action::Sync(_) => "what it has recorded reaches the disk".to_owned(),
        Action::Crash(_) => "the controller is killed and started again".to_owned(),
        Action::TakeLease(_) => "another controller takes over".to_owned(),
        Action::Deliver(one) => format!("carried out: {}", request(one)),
        Action::Repeat(one) => format!("carried out, and to arrive once more: {}", request(one)),
        Action::Lose(one) => format!("lost: {}", request(one)),
        Action::Progress(slot) => format!("stack {slot} comes to where it was on its way to"),
        Action::CreateFails(slot) => format!("stack {slot} cannot be made"),
        Action::RetireFails(slot) => format!("stack {slot} cannot be torn down"),
        Action::Flap(slot) => format!("the checks of stack {slot} change their mind"),
        Action::Vanish(slot) => format!("stack {slot} is gone"),
        Action::Break(slot) => format!("stack {slot} dies"),
        Action::Revived(slot) => format!("stack {slot} is brought up again by whoever looks after it"),
        Action::StopFails(slot) => format!("stack {slot} does not stop"),
        Action::Replace(slot) => format!("an instance of stack {slot} is replaced"),
        Action::RunEnds(id, hook) => format!("hook {} of deployment {id} ends well", hook + 1),
        Action::RunFails(id, hook) => format!("hook {} of deployment {id} fails", hook + 1),
        Action::Drained(id) => format!("the last open request on stack {id} is answered"),
        Action::Repoint(to, _) => format!("somebody else points the front at {}", way(to)),
        Action::Amnesia => "the front forgets its route".to_owned(),
        Action::NotThere(id) => format!("the repository has no definition for deployment {id}"),
        Action::Rewrite => "another repository takes the place of the one that there was".to_owned(),
    }
}

/// Which time limits are over.
fn when(clock: usize) -> &'static str {
    match clock {
        0 => "before any time limit is over",
        1 => "when short time limits are over",
        2 => "when the time limit of the checks is over too",
        _ => "when all time limits are over",
    }
}

fn wish(wish: Wish) -> String {
    let gate = |gate| match gate {
        GateName::BeforeProvisioning => "before provisioning",
        GateName::BeforeCutover => "before the cutover",
    };
    match wish {
        Wish::Approve(id, name) => format!("approve deployment {id} {}", gate(name)),
        Wish::Meddle(Person::Asker, id, name) => {
            format!("approve deployment {id} {}, from whoever asked for it", gate(name))
        }
        Wish::Meddle(Person::Stranger, id, name) => {
            format!("approve deployment {id} {}, from somebody who is not named", gate(name))
        }
        Wish::Abort(id) => format!("abort deployment {id}"),
        Wish::Rollback(id) => format!("roll deployment {id} back"),
        Wish::Hold => "hold automatic deployments".to_owned(),
        Wish::Resume => "let automatic deployments go on".to_owned(),
        Wish::Pin(release) => format!("keep to release {release}"),
        Wish::Unpin => "let other releases in".to_owned(),
        Wish::Veto(release) => format!("veto release {release}"),
        Wish::Unveto(release) => format!("lift the veto of release {release}"),
        Wish::Dismiss(id) => format!("end stack {id}"),
        Wish::Adopt(id) => format!("adopt stack {id}"),
        Wish::Restart(id, false) => format!("restart stack {id}"),
        Wish::Restart(id, true) => format!("restart one instance of stack {id}"),
        Wish::Proceed(id) => format!("let deployment {id} go on"),
        Wish::Pause(id) => format!("keep the share of deployment {id}"),
        Wish::Maintain(true) => "begin maintenance".to_owned(),
        Wish::Maintain(false) => "end maintenance".to_owned(),
    }
}

fn request(request: Request) -> String {
    match request {
        Request::Fetch(id) => format!("read the definition of deployment {id}"),
        Request::Ensure(id) => format!("make stack {id}, or start it again"),
        Request::Adopt(id) => format!("take over the stack that is there, as stack {id}"),
        Request::Run(id, hook) => format!("run hook {} of deployment {id}", hook + 1),
        Request::Stage(id) => format!("make stack {id} known to the front"),
        Request::Restart(id, instance, _) => format!("start instance {instance} of stack {id} again"),
        Request::CutOver(to, generation) => format!("send users to {}, by order {generation}", way(to)),
        Request::Refresh(to, generation, _) => format!("reach {} where it is now, by order {generation}", way(to)),
        Request::Retire { id, .. } => format!("tear stack {id} down"),
        Request::Revive(id) => format!("start stack {id} again, which is not ours to make"),
        Request::Stop { id, order, .. } => format!("stop stack {id}, by order {order}"),
        Request::Start(id, order) => format!("start stack {id}, by order {order}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Generation, Number};

    #[test]
    fn a_way_is_told_with_what_the_controller_does() {
        let records = |event| Turn::Records(event);
        let number = Number(2);
        for (action, turn, said) in [
            (Action::Hook(0, 0), Turn::None, "a build is announced"),
            (
                Action::Act(0, 0),
                records(Event::CutOverOrdered { number, generation: Generation(2), share: None }),
                "it acts on what it saw, before any time limit is over; it records: cut over ordered of deployment 2",
            ),
            (
                Action::Send(0),
                Turn::Takes(vec![Request::Ensure(2), Request::CutOver(Way { base: 1, beside: 2, share: 5 }, 3)]),
                "it sends what it has in hand: make stack 2, or start it again; \
                 send users to stack 1 and 5 % of them to stack 2, by order 3",
            ),
            (Action::Lose(Request::CutOver(Way::default(), 4)), Turn::None, "lost: send users to nobody, by order 4"),
            (
                Action::Obey(0, Wish::Abort(2)),
                records(Event::Ended { number, outcome: crate::machine::Outcome::Aborted, reason: "why".into() }),
                "the command arrives: abort deployment 2; it records: ended of deployment 2 (why)",
            ),
        ] {
            assert_eq!(moved(&Moved { action, turn }), said);
        }
    }
}
