//! The instances of the live stack while it is started again: what their driver says of each, and whether those that were
//! started again pass the checks, asked afresh. Must not decide which one is next.

use futures_util::future::join_all;

use super::world::World;
use crate::{
    checks::KnownAs,
    machine::{Environment, InstanceView},
    stacks::{SeenInstance, SeenStack},
};

impl World {
    /// The instances of the stack that is started again; none where there is no restart, or nobody knows.
    pub(super) async fn see_instances(&self, state: &Environment, stacks: Option<&[SeenStack]>) -> Vec<InstanceView> {
        let Some(restart) = state.restart() else { return Vec::new() };
        let stack = stacks.into_iter().flatten().find(|s| s.name.number == restart.number);
        let Some((stack, subject)) = stack.zip(self.subject(restart.number, state)) else { return Vec::new() };
        let subject = &subject;
        let look = |seen: &SeenInstance| {
            let SeenInstance { started_for, ending_for, up, ends, last_exit, address } = seen.clone();
            // What was not started again is not in question.
            let asked = address.filter(|_| up && started_for >= restart.order);
            async move {
                let answer = match asked {
                    // One instance is asked itself: a front would ask any of them.
                    Some(address) => Some(self.probe_at(subject, &[address], KnownAs::Forgotten).await),
                    None => None,
                };
                let passes = matches!(answer, Some(Ok(())));
                let said = answer.and_then(Result::err).or(last_exit).map(Into::into);
                InstanceView { started_for, ending_for, up, passes, ends, said }
            }
        };
        let all = join_all(stack.instances.iter().map(look)).await;
        let (done, of) = restart.progress(&all);
        self.board.update(&self.id, |sight| sight.restarted = Some((restart.order, done, of)));
        all
    }
}
