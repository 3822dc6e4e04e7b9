//! Stopping a stack and starting it again: no tasks are wanted, or as many as before. The service, its target group and its rule
//! stay. Must not wait for a stack.

use super::{Ecs, cluster::Cluster, names};
use crate::{
    aws::{Failure, Kind, Turn},
    machine::StackName,
    stacks::{StepError, orders::RunOrder},
};

impl Ecs {
    /// Obeys an order, unless a newer one is known.
    pub(super) async fn obey(&self, name: &StackName, order: RunOrder) -> Result<(), StepError> {
        self.installation()?;
        // An order to start what never was lets nothing be created.
        let known = order.stopped || self.orders().newest(name)?.order > 0;
        if (known || self.has_service(name).await?) && !self.orders().takes(name, order)? {
            return Ok(());
        }
        self.pursue(name, order).await
    }

    async fn has_service(&self, name: &StackName) -> Result<bool, StepError> {
        let listing = self.cluster()?.look().await?;
        Ok(listing.get(name).is_some_and(|ours| ours.service.is_some()))
    }

    /// Brings the stack closer to what its newest order says.
    pub(super) async fn pursue(&self, name: &StackName, order: RunOrder) -> Result<(), StepError> {
        let cluster = self.cluster()?;
        let listing = cluster.look().await?;
        let service = listing.get(name).and_then(|ours| ours.service.as_ref());
        let Some(service) = service.filter(|service| service.status() == Some("ACTIVE")) else {
            // Where there is none yet, the order keeps it from being made.
            let what = format!("{name} is not there, so nothing of it is started again");
            return if order.stopped { Ok(()) } else { Err(StepError::Unavailable(what)) };
        };
        let wanted = match (order.stopped, service.desired_count()) {
            (true, 0) => return Ok(()),
            (true, _) => 0,
            (false, 0) => self.settings.service.count,
            (false, _) => return Ok(()),
        };
        let doing = if order.stopped { "stopping" } else { "starting" };
        let scaled = cluster.scale(name, wanted).await;
        cluster.changed();
        scaled.map_err(|failure| failure.step(&format!("{doing} {name}")))
    }
}

impl Cluster {
    async fn scale(&self, name: &StackName, count: i32) -> Result<(), Failure> {
        let ask = ("UpdateService", Kind::EcsChange, Turn::First);
        let service = names::service(name);
        let scaled = self
            .account
            .ecs(ask, |ecs| ecs.update_service().cluster(&self.name).service(service).desired_count(count).send());
        scaled.await.map(drop)
    }
}
