//! Evidence about one deployment, as a file to keep. Must not show what other deployments did.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;

use super::{
    App, Problem,
    place::OfDeployment,
    releases::{past, reading},
    story,
};
use crate::{
    access::{Caller, limits::Wait},
    chronicle::Book,
    evidence,
    machine::{EnvironmentId, Millis, Number},
};

/// When somebody asks again for whom as many bundles are being made as may be.
const AGAIN: Wait = Wait(Millis(5000));
/// How many records of the journal a bundle may span.
const WIDEST: u64 = 100_000;

/// The places of the first and the last record of a deployment.
async fn span(app: &Arc<App>, id: &EnvironmentId, number: Number) -> Result<(u64, u64), Problem> {
    let wanted = id.clone();
    let look = move |_: &App, book: &Book| book.chapter(&wanted, number).map(|chapter| (chapter.first, chapter.last));
    if let Some(span) = past(app, look).await? {
        return Ok(span);
    }
    // Its beginning is gone, or was never recorded: what is left of it is among the newest records, or nowhere.
    match story::about(app, id, number).await?.as_slice() {
        [first, .., last] | [first @ last] => Ok((first.seq, last.seq)),
        [] => Err(story::unknown(id, number, false)),
    }
}

/// Evidence about one deployment
///
/// A file of JSON lines, signed with the key of the installation: the deployment's records word for word, the sums of the
/// records between them, the release, the definition and the approvals. `pointsman journal verify FILE` checks it offline.
#[utoipa::path(
    get, path = "/v1/deployments/{pipeline}/{environment}/{number}/evidence", tag = "looking", params(OfDeployment),
    responses((status = 200, description = "The bundle", body = String, content_type = "application/jsonl")),
)]
pub(super) async fn evidence(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    caller: Caller,
) -> Result<Response, Problem> {
    let (definition, number) = place.find(&app)?;
    let Some(turn) = app.limits.evidence.take(caller.by.clone()) else {
        return Err(Problem::too_many("bundles of evidence are being made for you or for all", AGAIN));
    };
    let (id, number) = (definition.id.clone(), Number(number));
    let (first, last) = span(&app, &id, number).await?;
    if last - first > WIDEST {
        let why = format!("the records of deployment {number} of {id} lie more than {WIDEST} records apart");
        let helps = "no bundle was made; `pointsman journal show` prints all lines, and a copy of the state folder is evidence too";
        return Err(Problem::new(422, format!("{why}; {helps}")));
    }
    let about = evidence::About {
        installation: app.secrets.installation(),
        environment: id.clone(),
        number,
        records: (first, last),
        by: caller.by.clone(),
        now: app.clock.now(),
    };
    let used = app.clone();
    let bundle = reading(move || {
        // It goes on without a caller who hangs up, and so does their turn.
        let _turn = turn;
        evidence::make(&used.journal, &used.signer, &about, |digest| used.frozen.thaw(digest).ok())
    });
    let name = format!("evidence-{}-{}-{number}.jsonl", id.pipeline, id.environment);
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bundle.await?).into_response())
}
