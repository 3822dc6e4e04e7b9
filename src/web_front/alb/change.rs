//! Carries an order out: what each place does is read now, held against what the last look saw, and changed. Places move together or
//! not at all. Must not decide whether an order is to be given.

use aws_sdk_elasticloadbalancingv2::types::Action;

use super::{
    Alb,
    actions::{self, End, Wanted, with_end},
    said,
    settings::Place,
};
use crate::{
    aws::{Failure, Kind, Turn},
    stacks::StepError,
    web_front::record::Record,
};

impl Alb {
    /// Refuses to take users away from somebody else's target group by the first order, unless the settings say so: there would be
    /// no way back to it.
    pub(super) async fn may_begin(&self) -> Result<(), StepError> {
        for place in &self.settings.at {
            let Ok(End::Groups(groups)) = End::of(&self.read(place, Turn::First).await?) else { continue };
            let known = |arn: &str| self.settings.replaces.as_deref() == Some(actions::short(arn));
            if let Some((arn, _)) = groups.iter().find(|(arn, _)| !known(arn)) {
                let name = actions::short(arn);
                return Err(StepError::Refused(format!(
                    "{} forwards users to the target group {name}, which Pointsman has not made, and could not bring them back \
                     to. Write `replaces = \"{name}\"` into `front` if a first deployment that fails may leave them with the \
                     maintenance page",
                    place.words()
                )));
            }
        }
        Ok(())
    }

    /// Notes an order that was carried out, though whoever gave it did not come to note that.
    pub(super) async fn take_up(&self, record: &mut Record) -> Result<(), StepError> {
        let Some(accepted) = record.accepted.clone().filter(|accepted| record.in_force.as_ref() != Some(accepted))
        else {
            return Ok(());
        };
        let wanted = self.wanted(&accepted)?.end;
        for place in &self.settings.at {
            if End::of(&self.read(place, Turn::First).await?).as_ref() != Ok(&wanted) {
                return Ok(());
            }
        }
        record.in_force = Some(accepted);
        Ok(())
    }

    async fn change(&self, place: &Place, actions: Vec<Action>) -> Result<(), Failure> {
        match place {
            Place::Listener(arn) => {
                let call = ("ModifyListener", Kind::ElbChange, Turn::First);
                let ask = self
                    .account
                    .elb(call, |elb| elb.modify_listener().listener_arn(arn).set_default_actions(Some(actions)).send());
                ask.await.map(drop)
            }
            Place::Rule(arn) => {
                let call = ("ModifyRule", Kind::ElbChange, Turn::First);
                let ask =
                    self.account.elb(call, |elb| elb.modify_rule().rule_arn(arn).set_actions(Some(actions)).send());
                ask.await.map(drop)
            }
        }
    }

    /// Changes every place, one after the other. Where one cannot be changed, those before it get back what they had: they move
    /// together, or not at all.
    pub(super) async fn apply(&self, wanted: &Wanted) -> Result<(), StepError> {
        let mut before = Vec::new();
        for place in &self.settings.at {
            before.push(self.read(place, Turn::First).await?);
        }
        self.is_as_seen(&before, wanted)?;
        let mut changed = Vec::new();
        for (place, actions) in self.settings.at.iter().zip(&before) {
            let doing = format!("changing {}", place.words());
            let new = with_end(actions, wanted).map_err(|why| StepError::Refused(format!("{doing}: {why}")));
            let done = match new {
                Ok(_) if End::of(actions).as_ref() == Ok(&wanted.end) => Ok(()),
                Ok(new) => self.change(place, new).await.map_err(|failure| failure.step(&doing)),
                Err(why) => Err(why),
            };
            if let Err(why) = done {
                self.bring_back(&changed, &before).await;
                return Err(why);
            }
            changed.push(place);
        }
        Ok(())
    }

    async fn bring_back(&self, changed: &[&Place], before: &[Vec<Action>]) {
        for (place, actions) in changed.iter().zip(before) {
            let back = End::of(actions).and_then(|end| {
                with_end(actions, &Wanted { end, sticky: self.settings.sticky, media_type: "text/html" })
            });
            let back = match back {
                Ok(back) => self.change(place, back).await.map_err(|failure| failure.message().to_owned()),
                Err(why) => Err(why),
            };
            if let Err(why) = back {
                tracing::warn!(place = place.words(), why, "it could not be brought back; the next order changes it");
            }
        }
    }

    /// Refuses to change what somebody else has changed since the last look: that look is what the order was decided on.
    fn is_as_seen(&self, now: &[Vec<Action>], wanted: &Wanted) -> Result<(), StepError> {
        let seen = self.seen();
        for ((place, now), before) in self.settings.at.iter().zip(now).zip(&seen.ends) {
            let now = End::of(now);
            if now != *before && now.as_ref() != Ok(&wanted.end) {
                let (now, before) = (said(&now), said(before));
                return Err(StepError::Unavailable(format!(
                    "somebody else has changed {} since the last look: it {before} then, and {now} now; nothing was changed, \
                     and it is looked at again",
                    place.words()
                )));
            }
        }
        Ok(())
    }
}
