//! The bodies of what people ask for. Every field that is not known is refused: a slip must not be taken for consent.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::{
    Problem,
    responses::{GateName, Otherwise},
};
use crate::{
    intake::build::LONGEST_NAME,
    machine::{self, Gate, Millis, Number, Plan},
    units::parse_duration,
};

/// The longest reason, in characters.
const LONGEST: usize = 500;

/// How long a pause lasts where nobody says so.
const PAUSE: Millis = Millis(3_600_000);

/// A reason, for the history.
#[derive(Deserialize, ToSchema, Default)]
#[schema(value_type = String, max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", example = "orders fail")]
pub(super) struct Reason(String);

/// A build, as it is announced. The JSON of other senders is taken as well.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// What people call it. Needed, unless it comes by webhook and the pipeline has a template for it.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$",
        example = "1.4.0"
    )]
    version: Option<String>,
    /// Where it is; the stack driver knows what it means. Needed like `version`.
    #[schema(
        min_length = 1,
        max_length = 2000,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$",
        example = "/srv/builds/shop-1.4.0"
    )]
    artifact: Option<String>,
    /// The commit it was built from.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$"
    )]
    commit: Option<String>,
    /// The sender's own count of its builds: an older one that comes later is refused.
    #[schema(maximum = 999_999_999_999_999_u64, example = 17)]
    build: Option<u64>,
    /// The branch it was built from.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$"
    )]
    branch: Option<String>,
    /// The tag it was built from.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$"
    )]
    tag: Option<String>,
    /// Who built it, by the name that the build server has for it.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$"
    )]
    job: Option<String>,
    /// Values for the stack definition; 64 at most, of 2000 characters at most.
    parameters: Option<std::collections::BTreeMap<String, String>>,
    /// The build's own page.
    #[schema(
        max_length = 2000,
        pattern = "^https?://[A-Za-z0-9.-]+(:[0-9]{1,4})?(/[A-Za-z0-9._~/-]*)?$",
        example = "https://ci.example/17"
    )]
    link: Option<String>,
}

/// A promotion.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Promote {
    /// The release that is meant, as it was shown: another one is refused.
    #[schema(maximum = 4_294_967_295_u32)]
    pub release: Option<u32>,
    /// Its version, or its number in words.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.2")]
    pub version: Option<String>,
    /// It repairs an incident: the figures count it, nothing else changes.
    pub repairs: Option<bool>,
    pub reason: Option<Reason>,
}

/// How a build is deployed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// It repairs an incident: the figures count it, nothing else changes.
    #[serde(default)]
    #[param(value_type = Option<bool>, example = false)]
    pub repairs: bool,
    /// A reason, for the history.
    #[param(value_type = Option<String>, max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub reason: Option<Reason>,
    /// The number of a release that was here before, to deploy it again as it is; then the body is an empty object.
    #[param(maximum = 4_294_967_295_u32)]
    pub release: Option<u32>,
}

/// The terms of an environment, for a deployment that repairs an incident or does not.
pub(super) fn terms(plan: &Arc<Plan>, repairs: bool) -> Arc<Plan> {
    if repairs { Arc::new(Plan { repairs, ..(**plan).clone() }) } else { plan.clone() }
}

/// Taking a stack over.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Adopt {
    /// The name that it has at its provider, or its id.
    #[schema(required, value_type = String, min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "reporting_qa_41")]
    pub stack: Option<String>,
    /// What people call what runs in it; the stack's name when nothing is said.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.0")]
    pub version: Option<String>,
    /// Which of its outputs says where it serves, where that is not the one of the definition.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "instance_ip")]
    pub output: Option<String>,
    pub reason: Option<Reason>,
}

/// A rollback of what is live.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// The deployment that is live and shall not be.
    #[schema(required, maximum = 4_294_967_295_u32, value_type = u32, example = 7)]
    pub number: Option<u32>,
    /// The release that is to be back, by its version or its number in words: another one is refused.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.1")]
    pub to: Option<String>,
    pub reason: Option<Reason>,
}

/// Starting what is live again.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartLive {
    /// The deployment that is live.
    #[schema(required, maximum = 4_294_967_295_u32, value_type = u32, example = 7)]
    pub number: Option<u32>,
    /// The only instance that is meant, by its number; all of them, one after the other, when none is named.
    #[schema(maximum = 4_294_967_295_u32, example = 0)]
    pub instance: Option<u32>,
    pub reason: Option<Reason>,
}

/// Ending a stack that the journal does not know.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RetireStack {
    /// The number of the stack.
    #[schema(required, maximum = 4_294_967_295_u32, value_type = u32, example = 7)]
    pub number: Option<u32>,
    pub reason: Option<Reason>,
}

/// Making a stack live that the journal does not know.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct AdoptStack {
    /// The number of the stack.
    #[schema(required, maximum = 4_294_967_295_u32, value_type = u32, example = 7)]
    pub number: Option<u32>,
    /// The version that it runs; needed where its provider does not keep what it was made from.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.0")]
    pub version: Option<String>,
    pub reason: Option<Reason>,
}

/// Something with a reason and nothing else.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    pub reason: Option<Reason>,
}

/// The maintenance page, on or off.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Maintenance {
    /// Users get the page from now on; else they get what is live again.
    #[schema(required)]
    pub on: Option<bool>,
    /// Requests are held for a while before they get the page, where the front can and its settings say how long.
    #[serde(default)]
    pub hold: bool,
    /// Needed where it is turned on.
    pub reason: Option<Reason>,
}

/// Keeping to one release.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    /// The release; this or `version` is needed unless it is a lift.
    #[schema(maximum = 4_294_967_295_u32)]
    pub release: Option<u32>,
    /// Its version, or its number in words.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.2")]
    pub version: Option<String>,
    /// Takes the pin back.
    #[serde(default)]
    pub lift: bool,
    pub reason: Option<Reason>,
}

/// Banning a release.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Ban {
    /// The release; this or `version` is needed.
    #[schema(maximum = 4_294_967_295_u32, example = 5)]
    pub release: Option<u32>,
    /// Its version, or its number in words.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "1.4.2")]
    pub version: Option<String>,
    /// Takes the veto back.
    #[serde(default)]
    pub lift: bool,
    pub reason: Option<Reason>,
}

/// Opening a gate.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    /// The gate that is meant; the one that stands now when none is named.
    pub gate: Option<GateName>,
    /// The deployment once more.
    #[schema(maximum = 4_294_967_295_u32)]
    pub number: Option<u32>,
    pub reason: Option<Reason>,
}

/// Stopping a deployment.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Abort {
    /// The deployment once more.
    #[schema(maximum = 4_294_967_295_u32)]
    pub number: Option<u32>,
    pub reason: Option<Reason>,
}

/// Going on at once.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Proceed {
    /// The deployment once more.
    #[schema(maximum = 4_294_967_295_u32)]
    pub number: Option<u32>,
    pub reason: Option<Reason>,
}

/// Keeping the share of the users that it has.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    /// The deployment once more.
    #[schema(maximum = 4_294_967_295_u32)]
    pub number: Option<u32>,
    /// How long at most; an hour when left out.
    #[schema(pattern = "^[0-9]{1,5}(ms|s|m|h|d)$", example = "2h")]
    pub timeout: Option<String>,
    /// What happens when nobody lets it go on in time: all users go back when left out.
    pub otherwise: Option<Otherwise>,
    pub reason: Option<Reason>,
}

/// A token to be made.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Whose it is; the history says this name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$", example = "jenkins")]
    pub name: String,
    #[schema(pattern = "^(viewer|deployer|approver|admin)$", example = "deployer")]
    pub role: String,
    /// Where it is good: pipelines, or environments of them; everywhere when left out.
    #[schema(example = json!(["shop/qa"]))]
    pub only: Option<Vec<String>>,
    /// How long it is good; until it is revoked when left out.
    #[schema(pattern = "^[0-9]{1,5}(ms|s|m|h|d)$", example = "90d")]
    pub expires: Option<String>,
}

/// A token, or a person.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    #[schema(min_length = 1, max_length = 200, example = "ann")]
    pub name: String,
}

/// A user, and what they may do.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Granted {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$", example = "ann")]
    pub name: String,
    /// Each a role, with `=` and the pipelines or environments where it holds, between commas; everywhere without them.
    #[serde(default)]
    #[schema(required, example = json!(["deployer=shop", "approver=shop/prod,stock"]))]
    pub grants: Vec<String>,
}

/// A session of one's own.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnSession {
    /// Id of the session, as `GET /v1/me` returns it.
    #[schema(min_length = 1, max_length = 64, example = "5f0c9a7be2d41836")]
    pub id: String,
}

/// Reads a body; none is as good as an empty object.
pub(super) fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let no = |why: &dyn std::fmt::Display| Problem::new(400, format!("the body cannot be read: {why}"));
    // A list in the order of the fields would be taken as well.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(no(&"it is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|e| no(&e))
}

/// The reason as it is recorded.
pub(super) fn reason(given: Option<&Reason>) -> Result<Arc<str>, Problem> {
    Ok(said(given)?.unwrap_or_else(|| "no reason given".into()))
}

/// The reason of what needs none, if one was given.
pub(super) fn said(given: Option<&Reason>) -> Result<Option<Arc<str>>, Problem> {
    let Some(Reason(reason)) = given else { return Ok(None) };
    let good = reason.chars().count() <= LONGEST && !reason.chars().any(char::is_control);
    let why = "`reason` must have 500 characters at most, without control characters";
    good.then(|| Some(reason.as_str().into())).ok_or_else(|| Problem::new(400, why).about("reason", why))
}

/// How long a share of the users is kept, and what then.
pub(super) fn pause(asked: &Pause) -> Result<Gate, Problem> {
    let timeout = asked.timeout.as_deref().map_or(Ok(PAUSE), parse_duration);
    let bad = |why: String| Problem::new(400, format!("`timeout`: {why}")).about("timeout", why);
    let timeout = timeout.map_err(|why| bad(why.to_string()))?;
    if timeout.0 == 0 {
        return Err(bad("a pause is longer than nothing".to_owned()));
    }
    let otherwise = match asked.otherwise {
        Some(Otherwise::Approve) => machine::Otherwise::Approve,
        Some(Otherwise::Abort) | None => machine::Otherwise::Abort,
    };
    Ok(Gate { timeout, otherwise, by: Vec::new(), not_the_asker: false })
}

/// What is named, fit to be shown.
pub(super) fn named(field: &str, given: &str) -> Result<Arc<str>, Problem> {
    let length = given.chars().count();
    let good = (1..=LONGEST_NAME).contains(&length) && !given.trim().is_empty() && !given.chars().any(char::is_control);
    let why = format!("`{field}` must have 1 to {LONGEST_NAME} characters, and no control characters");
    if good { Ok(given.into()) } else { Err(Problem::new(400, why)) }
}

/// The deployment of the address, unless the body names another one.
pub(super) fn same(number: u32, given: Option<u32>) -> Result<Number, Problem> {
    match given {
        Some(other) if other != number => {
            Err(Problem::new(400, format!("the address names deployment {number} and the body {other}")))
        }
        _ => Ok(Number(number)),
    }
}
