//! What the provider says of itself: asked when it is needed first, kept for an hour, and asked again when it signs with a key that
//! is not known. Must not ask more often than that.

use std::sync::Arc;

use super::{Failure, Moment, Provider, asking::discovery_error, claims::Metadata};
use crate::machine::Millis;

pub(super) const DOING: &str = "asking the provider how it is reached";
/// How long a description is used without asking again, and how long where the provider cannot be asked.
const FRESH: Millis = Millis(3_600_000);
const LONGEST: Millis = Millis(86_400_000);
/// How long it is left alone after it could not be asked, and after its keys were.
const PAUSE: Millis = Millis(5_000);
const KEYS_PAUSE: Millis = Millis(30_000);

#[derive(Default)]
pub(super) struct Known {
    metadata: Option<(Arc<Metadata>, Millis)>,
    failed: Option<(Failure, Millis)>,
}

impl Provider {
    /// Returns what the provider says of itself. Whoever comes while it is asked waits for the same answer.
    pub(super) async fn metadata(&self, moment: Moment) -> Result<Arc<Metadata>, Failure> {
        let mut known = self.known.lock().await;
        let age = |at: Millis| moment.now.since(at);
        if let Some((metadata, at)) = &known.metadata
            && age(*at) < FRESH
        {
            return Ok(metadata.clone());
        }
        let usable = known.metadata.clone().filter(|(_, at)| age(*at) < LONGEST);
        if let Some((failure, at)) = &known.failed
            && age(*at) < PAUSE
        {
            return usable.map(|(metadata, _)| metadata).ok_or_else(|| failure.clone());
        }
        match (self.discovered(&mut known, moment).await, usable) {
            (Ok(metadata), _) => Ok(metadata),
            (Err(_), Some((metadata, _))) => Ok(metadata),
            (Err(failure), None) => Err(failure),
        }
    }

    /// Returns what the provider says of itself now, where it was not asked just before; what was known otherwise.
    pub(super) async fn with_newer_keys(&self, old: Arc<Metadata>, moment: Moment) -> Arc<Metadata> {
        let mut known = self.known.lock().await;
        match &known.metadata {
            // Somebody else has asked meanwhile.
            Some((newer, _)) if !Arc::ptr_eq(newer, &old) => return newer.clone(),
            Some((_, at)) if moment.now.since(*at) < KEYS_PAUSE => return old,
            _ => {}
        }
        if known.failed.as_ref().is_some_and(|(_, at)| moment.now.since(*at) < KEYS_PAUSE) {
            return old;
        }
        self.discovered(&mut known, moment).await.unwrap_or(old)
    }

    async fn discovered(&self, known: &mut Known, moment: Moment) -> Result<Arc<Metadata>, Failure> {
        match Metadata::discover_async(self.settings.issuer.clone(), &self.asking).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Known { metadata: Some((metadata.clone(), moment.now)), failed: None };
                Ok(metadata)
            }
            Err(error) => {
                let failure = Failure::Away { doing: DOING, why: discovery_error(error) };
                tracing::warn!(issuer = self.settings.issuer.as_str(), why = %failure, "the OpenID Connect provider cannot be used");
                known.failed = Some((failure.clone(), moment.now));
                Err(failure)
            }
        }
    }
}
