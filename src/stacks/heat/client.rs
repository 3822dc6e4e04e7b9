//! One cloud's Heat: calls with a time limit, a session that is made anew when its token is no longer good, and the text
//! of every error as Heat itself says it. Must not know what a stack is for.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use openstack::{
    EndpointFilters, IdOrName, InterfaceType, ValidInterfaces,
    auth::{AuthType, Password},
    session::{ServiceType, Session},
};
use openstack_http::{Client as Http, Method, RequestBuilder, StatusCode, Url, redirect::Policy};
use osauth::identity::ApplicationCredential;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::settings::{Credentials, Project, Settings, User};
use crate::{clock::Stopwatch, machine::Millis, stacks::StepError, text::excerpt};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a new token may take.
const TOKEN: Duration = Duration::from_secs(15);
/// How long what only looks may take.
pub(super) const LOOK: Duration = Duration::from_secs(20);
/// How long what makes or removes may take. Heat checks a template before it answers.
pub(super) const ACT: Duration = Duration::from_secs(60);

/// However long a service wants to be left in peace.
const PEACE: Duration = Duration::from_secs(120);

/// A service by its name in the catalog. Versions are not asked for: what comes back has no project in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service(&'static str);

pub(super) const HEAT: Service = Service("orchestration");
pub(super) const COMPUTE: Service = Service("compute");

impl ServiceType for Service {
    fn catalog_type(&self) -> &'static str {
        self.0
    }
    fn version_discovery_supported(&self) -> bool {
        false
    }
}

/// One cloud.
pub(super) struct Client {
    settings: Settings,
    session: Mutex<Option<Arc<Session>>>,
    /// Services that have asked to be left in peace, and for how long.
    peace: std::sync::Mutex<HashMap<&'static str, (Stopwatch, Duration)>>,
}

/// An answer that is no error.
pub(super) struct Answer {
    pub(super) body: Value,
    /// What the other side's clock shows.
    pub(super) at: Option<Millis>,
}

/// Why there is none.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It was answered, and said no.
    Said { status: u16, message: String },
    /// Nobody knows whether it was heard.
    Unheard(String),
    /// It was not even asked: Keystone does not know us, or not any more.
    Unknown(String),
    /// The catalog does not have the service.
    NoService,
}

/// What is asked.
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

    /// Whether we are an application credential, as far as that is known.
    pub(super) fn is_application_credential(&self) -> bool {
        self.settings.credentials().is_ok_and(|c| matches!(c.user, User::ApplicationCredential { .. }))
    }

    /// Looks at something of Heat.
    pub(super) async fn look(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let question = Question { service: HEAT, method: Method::GET, path, query, body: None, limit: LOOK };
        self.ask(&question).await
    }

    /// Which Heat is asked about which project, as the catalog says.
    pub(super) async fn place(&self) -> Option<String> {
        let session = self.session().await.ok()?;
        let url = timeout(LOOK, session.get_endpoint(HEAT, ["stacks"])).await.ok()?.ok()?;
        Some(url.to_string())
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

    async fn once(&self, session: &Session, question: &Question<'_>) -> Result<Answer, Failure> {
        let request = session
            .request(question.service, question.method.clone(), question.path.iter().copied())
            .query(question.query)
            .header("accept", "application/json")
            .timeout(question.limit);
        let request = match question.body {
            Some(body) => request.json(body),
            None => request,
        };
        // Once more around it: what the session asks Keystone in passing has no limit of its own.
        let answer = timeout(question.limit, request.send_unchecked()).await;
        let late = || Failure::Unheard(format!("no answer within {} s", question.limit.as_secs()));
        let answer = answer.map_err(|_| late())?.map_err(|error| match error.kind() {
            openstack::ErrorKind::EndpointNotFound => Failure::NoService,
            _ => Failure::Unheard(error.to_string()),
        })?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let at = header("date").and_then(time);
        if matches!(status.as_u16(), 429 | 503)
            && let Some(pause) = header("retry-after").and_then(|said| pause(said, at))
        {
            self.peace().insert(question.service.0, (Stopwatch::start(), pause));
        }
        let text = timeout(question.limit, answer.text()).await;
        let text = text.map_err(|_| late())?.map_err(|error| Failure::Unheard(error.to_string()))?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        if status.is_success() || status.is_redirection() {
            let body = body.or_else(|| text.trim().is_empty().then_some(Value::Null));
            return body.map(|body| Answer { body, at }).ok_or_else(|| Failure::Said {
                status: 502,
                message: format!("the answer is no JSON: {}", excerpt(&text)),
            });
        }
        Err(Failure::Said { status: status.as_u16(), message: message(status, body.as_ref()) })
    }

    fn peace(&self) -> MutexGuard<'_, HashMap<&'static str, (Stopwatch, Duration)>> {
        self.peace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not before its time when a service has said when to come again.
    fn is_welcome(&self, service: Service) -> Result<(), Failure> {
        let left = self.peace().get(service.0).and_then(|(since, pause)| pause.checked_sub(since.elapsed()));
        left.filter(|left| !left.is_zero()).map_or(Ok(()), |left| {
            Err(Failure::Unheard(format!("it is busy, and wants to be asked again in {} s", left.as_secs() + 1)))
        })
    }

    /// The session, made if need be; one at a time.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let credentials = self.settings.credentials().map_err(Failure::Unknown)?;
        let new = timeout(TOKEN, open(&credentials)).await;
        let new = Arc::new(
            new.map_err(|_| Failure::Unheard(format!("Keystone did not answer within {} s", TOKEN.as_secs())))??,
        );
        *session = Some(new.clone());
        Ok(new)
    }

    /// Not this session any more, unless somebody has made a new one already.
    async fn forget(&self, old: &Arc<Session>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|current| Arc::ptr_eq(current, old)) {
            *session = None;
        }
    }
}

impl Failure {
    /// As a step's error. `doing`: what was tried, for people.
    pub(super) fn step(self, doing: &str) -> StepError {
        match self {
            Self::Said { status: 408 | 429 | 500.., message } => {
                StepError::Unavailable(format!("{doing}: Heat can not now: {message}"))
            }
            Self::Said { message, .. } => StepError::Refused(format!("{doing}: Heat refuses: {message}")),
            Self::Unheard(why) => StepError::Unavailable(format!("{doing}: {why}")),
            Self::Unknown(why) => StepError::Unavailable(format!("{doing}: Keystone does not let us in: {why}")),
            Self::NoService => {
                StepError::Refused(format!("{doing}: the cloud's catalog has no such service in this region"))
            }
        }
    }
}

/// What Heat says, or else what the status means.
fn message(status: StatusCode, body: Option<&Value>) -> String {
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

/// People and the journal get one line.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(600).collect()
}

/// The token that a session was begun with, for as long as it is taken: the crate's own would be asked for anew on every
/// call in its last ten minutes, and be kept when it was revoked.
#[derive(Debug)]
struct Held {
    token: secrecy::SecretString,
    inner: Box<dyn AuthType>,
}

#[async_trait::async_trait]
impl AuthType for Held {
    async fn authenticate(&self, _: &Http, request: RequestBuilder) -> Result<RequestBuilder, openstack::Error> {
        Ok(request.header("x-auth-token", self.token.expose_secret()))
    }
    async fn get_endpoint(
        &self,
        http: &Http,
        service: &str,
        filters: &EndpointFilters,
    ) -> Result<Url, openstack::Error> {
        self.inner.get_endpoint(http, service, filters).await
    }
    async fn refresh(&self, _: &Http) -> Result<(), openstack::Error> {
        Ok(())
    }
}

async fn open(credentials: &Credentials) -> Result<Session, Failure> {
    let unknown = |why: &dyn std::fmt::Display| Failure::Unknown(why.to_string());
    // A redirect would turn a DELETE into a GET that succeeds.
    let mut http = Http::builder().connect_timeout(CONNECT).timeout(ACT).redirect(Policy::none());
    if let Some(path) = &credentials.cacert {
        let pem =
            fs::read(path).map_err(|cause| Failure::Unknown(format!("{} can not be read: {cause}", path.display())))?;
        let found = openstack_http::Certificate::from_pem_bundle(&pem).map_err(|error| unknown(&error))?;
        http = found.into_iter().fold(http, openstack_http::ClientBuilder::add_root_certificate);
    }
    let http = http.build().map_err(|error| unknown(&error))?;
    let inner = authentication(credentials).map_err(|error| unknown(&error))?;
    let probe = match inner.authenticate(&http, http.get(&credentials.auth_url)).await {
        Ok(probe) => probe.build(),
        Err(error) => return Err(no_token(&http, &credentials.auth_url, &error).await),
    };
    let probe = probe.map_err(|error| unknown(&error))?;
    let token = probe.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| Failure::Unheard("Keystone gave no token".to_owned()))?.into();
    let session = Session::new_with_client(http, Held { token, inner })
        .await
        .map_err(|error| Failure::Unheard(error.to_string()))?;
    let mut filters = EndpointFilters::default();
    filters.region = credentials.region.clone();
    if let Some(interface) = &credentials.interface {
        let interface: InterfaceType =
            interface.trim_end_matches("URL").parse().map_err(|error: openstack::Error| unknown(&error))?;
        filters.interfaces = ValidInterfaces::one(interface);
    }
    Ok(session.with_endpoint_filters(filters))
}

/// Why there is no token. The crate keeps the cause to itself: it is asked once more for nothing but that.
async fn no_token(http: &Http, auth_url: &str, error: &openstack::Error) -> Failure {
    if matches!(error.kind(), openstack::ErrorKind::AuthenticationFailed | openstack::ErrorKind::AccessDenied) {
        return Failure::Unknown(error.to_string());
    }
    let Err(again) = http.get(auth_url).timeout(CONNECT).send().await else {
        return Failure::Unheard(format!("Keystone: {error}"));
    };
    let mut cause: &dyn std::error::Error = &again;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = if again.is_timeout() { "no answer in time".to_owned() } else { one_line(&cause.to_string()) };
    let at = again.url().and_then(|url| Some(format!(" at {}:{}", url.host_str()?, url.port_or_known_default()?)));
    let at = at.unwrap_or_default();
    let more = match auth_url.starts_with("https:") {
        true => ", and does the system or `cacert` vouch for its certificate",
        false => "",
    };
    Failure::Unheard(format!("Keystone{at} can not be reached: {cause}: is it up, is `auth_url` right{more}?"))
}

fn authentication(credentials: &Credentials) -> Result<Box<dyn AuthType>, openstack::Error> {
    let Credentials { auth_url, user, secret, .. } = credentials;
    let secret = secret.expose_secret();
    Ok(match user {
        User::ApplicationCredential { id } => Box::new(ApplicationCredential::new(auth_url, id, secret)?),
        User::Password { name, domain, project } => {
            let (project, domain_of_project) = match project {
                Project::Id(id) => (IdOrName::from_id(id), None),
                Project::Name { name, domain } => (IdOrName::from_name(name), Some(IdOrName::from_name(domain))),
            };
            let password = Password::new(auth_url, name, secret, domain)?;
            Box::new(password.with_project_scope(project, domain_of_project))
        }
    })
}
