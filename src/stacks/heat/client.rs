//! One cloud's Heat: calls with a time limit, a session that is made anew when its token is no longer good, and the text
//! of every error as Heat itself says it. Must not know what a stack is for.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Method, StatusCode, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::{
    credentials::{Credentials, User},
    keystone::{Session, sign_in},
    settings::Settings,
};
use crate::{
    clock::Stopwatch,
    machine::Millis,
    outgoing::root_cause,
    stacks::StepError,
    text::{excerpt, one_line},
};

/// How long connecting may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long a new token may take.
const TOKEN: Duration = Duration::from_secs(15);
/// How long what only looks may take.
pub(super) const LOOK: Duration = Duration::from_secs(20);
/// How long what makes or removes may take. Heat checks a template before it answers.
pub(super) const ACT: Duration = Duration::from_secs(60);

/// However long a service wants to be left in peace.
const PEACE: Duration = Duration::from_secs(120);

/// A service by its type in the catalog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service(&'static str);

pub(super) const HEAT: Service = Service("orchestration");
pub(super) const COMPUTE: Service = Service("compute");

/// One cloud.
pub(super) struct Client {
    settings: Settings,
    session: Mutex<Option<Arc<SignedIn>>>,
    /// Services that have asked to be left in peace, and for how long.
    peace: std::sync::Mutex<HashMap<&'static str, (Stopwatch, Duration)>>,
}

/// A session, and as whom it was begun.
struct SignedIn {
    session: Session,
    credentials: Credentials,
}

/// An answer that is no error.
pub(super) struct Answer {
    pub(super) body: Value,
    /// Time by the other side's clock.
    pub(super) at: Option<Millis>,
}

/// The reason why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It was answered, and said no.
    Said { status: u16, message: String },
    /// The request may have been received, or not.
    Unheard(String),
    /// It was not even asked: Keystone does not know us, or not any more.
    Unknown(String),
    /// The address of the service is not known, and why.
    NoService(String),
}

/// Request to a service.
pub(super) struct Question<'a> {
    pub(super) service: Service,
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    pub(super) limit: Duration,
}

impl Client {
    /// A client that has not asked anything yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, session: Mutex::default(), peace: std::sync::Mutex::default() }
    }

    /// What the cloud is called, for people.
    pub(super) fn cloud(&self) -> String {
        self.settings.shown()
    }

    /// What people should know of its settings.
    pub(super) fn settings_notes(&self) -> Vec<String> {
        self.settings.notes()
    }

    /// Whether we are an application credential, as far as that is known.
    pub(super) fn is_application_credential(&self) -> bool {
        self.settings.credentials().is_ok_and(|c| matches!(c.user, User::ApplicationCredential { .. }))
    }

    /// Looks at something of Heat.
    pub(super) async fn look(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let question = Question { service: HEAT, method: Method::GET, path, query, body: None, limit: LOOK };
        self.ask(&question).await
    }

    /// Returns the Heat and the project that are asked, as the catalog says.
    pub(super) async fn place(&self) -> Option<String> {
        let session = self.session().await.ok()?;
        Some(session.url(HEAT, &["stacks"], &[]).ok()?.to_string())
    }

    /// Asks; with a new session if the one there is is no longer good.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Failure> {
        self.is_welcome(question.service)?;
        let session = self.session().await?;
        match self.once(&session, question).await {
            Err(Failure::Said { status: 401, .. }) => {}
            answer => return answer,
        }
        self.forget(&session).await;
        let session = self.session().await?;
        match self.once(&session, question).await {
            Err(Failure::Said { status: 401, message }) => Err(Failure::Unknown(message)),
            answer => answer,
        }
    }

    async fn once(&self, signed_in: &SignedIn, question: &Question<'_>) -> Result<Answer, Failure> {
        let Session { http, token, .. } = &signed_in.session;
        let request = http
            .request(question.method.clone(), signed_in.url(question.service, question.path, question.query)?)
            .header("x-auth-token", token.expose_secret())
            .header("accept", "application/json")
            .timeout(question.limit);
        let request = match question.body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = timeout(question.limit, request.send()).await;
        let late = || Failure::Unheard(format!("no answer within {} s", question.limit.as_secs()));
        let answer = answer.map_err(|_| late())?.map_err(|error| Failure::Unheard(cause(&error)))?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let at = header("date").and_then(time);
        if matches!(status.as_u16(), 429 | 503)
            && let Some(pause) = header("retry-after").and_then(|said| pause(said, at))
        {
            self.peace().insert(question.service.0, (Stopwatch::start(), pause));
        }
        let text = timeout(question.limit, answer.text()).await;
        let text = text.map_err(|_| late())?.map_err(|error| Failure::Unheard(cause(&error)))?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        if status.is_success() || status.is_redirection() {
            let body = body.or_else(|| text.trim().is_empty().then_some(Value::Null));
            return body.map(|body| Answer { body, at }).ok_or_else(|| Failure::Said {
                status: 502,
                message: format!("the answer is not valid JSON: {}", excerpt(&text)),
            });
        }
        Err(Failure::Said { status: status.as_u16(), message: message(status, body.as_ref()) })
    }

    fn peace(&self) -> MutexGuard<'_, HashMap<&'static str, (Stopwatch, Duration)>> {
        self.peace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses before the time when a service has said when to come again.
    fn is_welcome(&self, service: Service) -> Result<(), Failure> {
        let left = self.peace().get(service.0).and_then(|(since, pause)| pause.checked_sub(since.elapsed()));
        left.filter(|left| !left.is_zero())
            .map_or(Ok(()), |left| Err(Failure::Unheard(format!("rate limited; retrying in {} s", left.as_secs() + 1))))
    }

    /// The session, made if need be; one at a time.
    async fn session(&self) -> Result<Arc<SignedIn>, Failure> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let credentials = self.settings.credentials().map_err(Failure::Unknown)?;
        let new = timeout(TOKEN, sign_in(&credentials)).await;
        let late = |_| Failure::Unheard(format!("Keystone did not answer within {} s", TOKEN.as_secs()));
        let new = Arc::new(SignedIn { session: new.map_err(late)??, credentials });
        *session = Some(new.clone());
        Ok(new)
    }

    /// Forgets this session, unless a new one was made already.
    async fn forget(&self, old: &Arc<SignedIn>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|current| Arc::ptr_eq(current, old)) {
            *session = None;
        }
    }
}

impl SignedIn {
    /// Returns the address of something of a service.
    fn url(&self, service: Service, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        let mut url = self.session.endpoint(service.0, &self.credentials)?;
        url.path_segments_mut().expect("an endpoint can be a base").pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

impl Failure {
    /// Makes a step's error of it. `doing`: what was tried, for people.
    pub(super) fn step(self, doing: &str) -> StepError {
        match self {
            Self::Said { status: 408 | 429 | 500.., message } => {
                StepError::Unavailable(format!("{doing}: Heat is temporarily unavailable: {message}"))
            }
            Self::Said { message, .. } => StepError::Refused(format!("{doing}: Heat refuses: {message}")),
            Self::Unheard(why) => StepError::Unavailable(format!("{doing}: {why}")),
            Self::Unknown(why) => StepError::Unavailable(format!("{doing}: Keystone refused the sign-in: {why}")),
            Self::NoService(why) => StepError::Refused(format!("{doing}: {why}")),
        }
    }
}

/// What Heat says, or else what the status means.
pub(super) fn message(status: StatusCode, body: Option<&Value>) -> String {
    let said = |value: &Value| value["error"]["message"].as_str().or(value["message"].as_str()).map(str::to_owned);
    let said = body.and_then(said).filter(|text| !text.is_empty());
    // What Heat's own gate refuses has no message, and Nova puts its under the name of the error.
    let said = said.or_else(|| body?["explanation"].as_str().map(str::to_owned));
    let said = said.or_else(|| {
        let inner = body?.as_object()?.values().next()?;
        inner["message"].as_str().map(str::to_owned)
    });
    let short = status.canonical_reason().unwrap_or("no reason given");
    said.map_or_else(|| format!("status {} ({short})", status.as_u16()), |text| one_line(&text))
}

fn time(date: &str) -> Option<Millis> {
    let at = httpdate::parse_http_date(date).ok()?;
    at.duration_since(std::time::UNIX_EPOCH).ok().map(Millis::from)
}

/// How long to stay away by `Retry-After`: seconds, or a time by the other side's clock.
fn pause(said: &str, now: Option<Millis>) -> Option<Duration> {
    let seconds = said.trim().parse().ok().map(Duration::from_secs);
    let until = || Some(Duration::from_millis(time(said.trim())?.since(now?).0));
    seconds.or_else(until).map(|pause| pause.min(PEACE))
}

/// The innermost cause in one line, or that time was over.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { one_line(&root_cause(error)) }
}
