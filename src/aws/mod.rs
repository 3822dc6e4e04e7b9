//! What all drivers for AWS share: who is asked and as whom, how often, for how long, and what an error says.
//!
//! Every call has a name, a time limit for each attempt and one for all of them, three attempts, and a place in the token bucket
//! of its kind, which all environments of an account and region share. The SDK's waiters and its adaptive retries are not used.
//! Must not know what a stack or a front is.

mod buckets;
mod failure;
mod http;
mod preview;
mod settings;
mod tags;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig,
    retry::RetryConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::OnceCell;

use self::buckets::{Buckets, Limit};
pub(crate) use self::{
    failure::Failure,
    preview::{HEADER, NOWHERE, TestRule, TestRules, elb_tags},
    settings::{KEYS, Settings},
    tags::{Owner, Tag},
};

/// What a stack behind a load balancer is reached by.
pub(crate) const GROUP: &str = "target group";
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(8);
/// How long a call may take with all its attempts.
pub(crate) const CALL: Duration = Duration::from_secs(20);
/// Attempts of a call, the first one included.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt, at most; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);

/// A kind of call, as AWS counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Registers a task definition.
    EcsRegister,
    /// Changes a service or its tasks.
    EcsChange,
    /// Looks at services and tasks.
    EcsLook,
    /// Changes listeners, rules or target groups.
    ElbChange,
    /// Looks at them.
    ElbLook,
}

impl Kind {
    /// All of them, in their order.
    const ALL: [Self; 5] = [Self::EcsRegister, Self::EcsChange, Self::EcsLook, Self::ElbChange, Self::ElbLook];

    /// How many there may be. Of what AWS allows an account, looks take half at most: others look too.
    ///
    /// Amazon ECS API Reference, "Request throttling": task definitions 20 at once and 1/s, cluster services 50 and 5, reads of
    /// tasks and services 100 and 20. Elastic Load Balancing throttles its Describe calls at 40 and 10; of its changes no figure is
    /// published, and these are ours.
    fn limit(self) -> Limit {
        let of = |burst: u32, rate: u32| Limit { burst: f64::from(burst), rate: f64::from(rate) };
        match self {
            Self::EcsRegister => of(20, 1),
            Self::EcsChange => of(50, 5),
            Self::EcsLook => of(50, 10),
            Self::ElbChange => of(20, 5),
            Self::ElbLook => of(20, 5),
        }
    }
}

/// Whether a call may wait until others have had their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It changes something, or a change waits for it.
    First,
    /// It only looks, and will look again.
    Patient,
}

/// An account in a region, with the credentials of its settings. Connects when it is first asked.
pub(crate) struct Account {
    settings: Settings,
    clients: OnceCell<Clients>,
}

/// The clients of the services, over one HTTP client.
struct Clients {
    ecs: aws_sdk_ecs::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    buckets: Arc<Buckets>,
}

/// Accounts by their settings: environments with the same ones share a client.
static ACCOUNTS: Mutex<Option<HashMap<Settings, Weak<Account>>>> = Mutex::new(None);
/// Account, region and address.
type Place = (String, String, String);
/// Buckets by where they hold: environments that come as different roles share them.
static BUCKETS: Mutex<Option<HashMap<Place, Arc<Buckets>>>> = Mutex::new(None);

impl Account {
    /// The account of these settings. Connects to nothing.
    pub(crate) fn of(settings: Settings) -> Arc<Self> {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = accounts.get_or_insert_default();
        accounts.retain(|_, account| account.strong_count() > 0);
        if let Some(known) = accounts.get(&settings).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Self { settings: settings.clone(), clients: OnceCell::new() });
        accounts.insert(settings, Arc::downgrade(&new));
        new
    }

    /// Where it is and as whom it is asked, for people.
    pub(crate) fn shown(&self) -> String {
        self.settings.shown()
    }

    /// Asks ECS. `name`: AWS's name of the call.
    pub(crate) async fn ecs<T, E, F>(
        &self,
        (name, kind, turn): (&'static str, Kind, Turn),
        ask: impl FnOnce(aws_sdk_ecs::Client) -> F,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let clients = self.clients().await?;
        clients.counted(name, kind, turn, ask(clients.ecs.clone())).await
    }

    /// Asks Elastic Load Balancing. `name`: AWS's name of the call.
    pub(crate) async fn elb<T, E, F>(
        &self,
        (name, kind, turn): (&'static str, Kind, Turn),
        ask: impl FnOnce(aws_sdk_elasticloadbalancingv2::Client) -> F,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let clients = self.clients().await?;
        clients.counted(name, kind, turn, ask(clients.elb.clone())).await
    }

    async fn clients(&self) -> Result<&Clients, Failure> {
        self.clients.get_or_try_init(|| connect(&self.settings)).await
    }
}

impl Clients {
    /// Makes a call when its turn has come, and says in the log how it ended.
    async fn counted<T, E>(
        &self,
        name: &'static str,
        kind: Kind,
        turn: Turn,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.buckets.take(kind, turn == Turn::Patient).await;
        let answer = call.await.map_err(Failure::from);
        match &answer {
            Ok(_) => tracing::debug!(call = name, "AWS answered"),
            Err(failure) => tracing::debug!(call = name, why = failure.message(), "AWS gave no answer that helps"),
        }
        if answer.as_ref().is_err_and(Failure::is_throttle) {
            self.buckets.throttled(kind);
        }
        answer
    }
}

/// Finds region and credentials, and which account they are for.
async fn connect(settings: &Settings) -> Result<Clients, Failure> {
    let http = http::client().map_err(|error| Failure::Unheard(crate::outgoing::root_cause(&error)))?;
    let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF);
    let limits = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(retry)
        .timeout_config(limits);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(file) = &settings.credentials {
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file).build();
        let own = ProviderConfig::default().with_http_client(http.clone());
        let provider = ProfileFileCredentialsProvider::builder().configure(&own).profile_files(files.clone());
        let named = settings.profile.as_ref().map_or("default", String::as_str);
        loader = loader.profile_files(files).credentials_provider(provider.profile_name(named).build());
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let base = loader.load().await;
    let config = match &settings.role {
        None => base,
        Some(role) => as_role(base, role, settings.external_id.as_deref()).await,
    };
    let region = config.region().map(|region| region.as_ref().to_owned()).ok_or_else(|| {
        Failure::Unknown("no region is set: write `aws.region`, or set AWS_REGION or the profile's region".to_owned())
    })?;
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await?;
    let account = identity.account().unwrap_or("unknown").to_owned();
    tracing::info!(%account, %region, arn = identity.arn(), "signed in at AWS");
    let place = (account, region, settings.endpoint.clone().unwrap_or_default());
    let mut all = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    let buckets = all.get_or_insert_default().entry(place).or_default().clone();
    Ok(Clients {
        ecs: aws_sdk_ecs::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        buckets,
    })
}

async fn as_role(base: SdkConfig, role: &str, external_id: Option<&str>) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(role).session_name("pointsman").configure(&base);
    if let Some(id) = external_id {
        provider = provider.external_id(id);
    }
    let provider = provider.build().await;
    base.into_builder().credentials_provider(aws_sdk_sts::config::SharedCredentialsProvider::new(provider)).build()
}
