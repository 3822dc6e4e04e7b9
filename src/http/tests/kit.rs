//! A router over two environments, and a client for it.

use axum::body::Body;
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::Value;
use sha2::Sha256;
use tower::ServiceExt;

use super::super::*;
use crate::{
    access::{self, Digest, Role, Scope, file, kept, limits::Rates, sessions::Ends},
    journal::Options,
    machine::{CheckAnswer, Event, Millis, Number},
    pipelines::{Pipeline, Registry, artifacts::Artifacts, load},
};

pub const KEY: &[u8] = b"the key of the shop";
pub const TOKEN: &str = "the token of people";

const PIPELINE: &str = r#"
[webhook]
secrets = [{ env = "NOT_READ_HERE" }]
parameters = ["greeting"]
[[environments]]
name = "qa"
deploy = "on-build"
stack = { driver = "process", definition = "none.toml" }
front = { driver = "builtin", listen = "127.0.0.1:18080" }
[environments.approval]
before_provisioning = { timeout = "1h", otherwise = "abort" }
[[environments.checks]]
tcp = {}
[[environments]]
name = "prod"
deploy = "on-promotion"
stack = { driver = "process", definition = "none.toml" }
front = { driver = "builtin", listen = "127.0.0.1:18081" }
[[environments.checks]]
tcp = {}
"#;

pub struct Shop {
    pub app: Arc<App>,
    pub router: Router,
    folder: tempfile::TempDir,
}

/// The same pipelines, whose artifacts are nothing of this host: what they are is not what these tests are about.
fn anywhere(pipelines: &Pipelines) -> Pipelines {
    let one = |pipeline: &Arc<Pipeline>| Pipeline { artifacts: Artifacts::default(), ..(**pipeline).clone() };
    pipelines.iter().map(one).collect()
}

pub struct Told {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Shop {
    pub fn new() -> Self {
        Self::at(Clock::real())
    }

    pub fn at(clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shop.toml"), PIPELINE).unwrap();
        std::fs::write(
            folder.path().join("none.toml"),
            "command = [\"/bin/false\"]\nparameters = { greeting = \"\" }\n",
        )
        .unwrap();
        let loaded = load(&Registry::all(&folder.path().join("state")), &folder.path().join("shop.toml"));
        assert_eq!(loaded.mistakes, []);
        let local = SecretSlice::from(TOKEN.as_bytes().to_vec());
        let secrets = Secrets::open(folder.path(), &loaded.pipelines).unwrap();
        let keyed = access::Keyed::with(secrets.derived(access::PURPOSE));
        let app = Arc::new(App {
            secrets,
            journal: Journal::in_memory(Options::default()).unwrap(),
            pipelines: Arc::new(anywhere(&loaded.pipelines)),
            keys: [("shop".parse().unwrap(), Keys::of([KEY.to_vec()]))].into(),
            frozen: Frozen::below(folder.path()),
            board: Board::default(),
            instances: Instances::default(),
            hook_logs: HookLogs::default(),
            clock,
            access: Arc::new(Access::new(local, keyed, folder.path(), Ends::default())),
            limits: limits("1000/s"),
            answers: Answers::default(),
            door: Door::new(Some("https://deploy.example".parse().unwrap())),
            pasts: crate::http::Pasts::default(),
            glances: crate::http::Glances::default(),
            chronicle: crate::http::Chronicle::default(),
            signer: crate::evidence::Key::of(folder.path()).unwrap(),
            mirrors: HashMap::new(),
        });
        Self { router: router(app.clone()), app, folder }
    }

    /// The answer as it goes out.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Told {
        let response = self.answer(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let told = Told { status: parts.status.as_u16(), headers: parts.headers, body };
        if told.status >= 400 {
            let kind = told.headers.get("content-type").unwrap();
            assert_eq!(kind, "application/problem+json", "{}", String::from_utf8_lossy(&bytes));
            assert_eq!(told.body["status"], told.status);
            assert!(told.detail().len() > 10, "{:?}", told.body);
        }
        told
    }

    pub async fn hook(&self, body: &str) -> Told {
        self.send(signed(body, self.app.clock.now(), KEY)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Told {
        self.send(person("POST", path).body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.send(person("GET", path).body(Body::empty()).unwrap()).await
    }

    /// The folder that has the tokens.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A token with this role, good for a day. Gives its text.
    pub fn token(&self, name: &str, role: Role, only: &[&str]) -> String {
        let text = access::make().unwrap().expose_secret().to_owned();
        let only: Vec<Scope> = only.iter().map(|scope| scope.parse().unwrap()).collect();
        let (created, day) = (self.app.clock.host(), Millis(86_400_000));
        let digest = Digest::of(text.as_bytes());
        let only = (!only.is_empty()).then(|| only.into());
        let expires = Some(created.plus(day));
        let token = file::Token { name: name.into(), role, digest, created, by: None, expires, only };
        kept::add(self.folder(), token).unwrap();
        text
    }

    pub async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Told {
        self.send(bearer(token, method, path).body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The status alone, also of an answer that does not end.
    pub async fn status(&self, request: Request<Body>) -> u16 {
        self.router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// Anew, with nothing counted.
    pub fn limit_webhooks(&mut self, rate: &str) {
        self.router = Router::new();
        Arc::get_mut(&mut self.app).unwrap().limits = limits(rate);
        self.router = router(self.app.clone());
    }

    /// Acts as a restart of the controller with another pipeline file.
    pub fn rewrite(&mut self, edits: &[(&str, &str)]) {
        let file = self.folder.path().join("shop.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&file, text).unwrap();
        let loaded = load(&Registry::all(&self.folder.path().join("state")), &file);
        assert_eq!(loaded.mistakes, []);
        self.router = Router::new();
        let app = Arc::get_mut(&mut self.app).unwrap();
        app.secrets = Secrets::open(self.folder.path(), &loaded.pipelines).unwrap();
        app.pipelines = Arc::new(loaded.pipelines);
        self.router = router(self.app.clone());
    }

    /// Acts as a controller whose state file is in this folder.
    pub fn keep_in(&mut self, folder: &std::path::Path) {
        let options = Options { snapshot_every: 10, snapshot_in_place: true, ballast_bytes: 0, ..Options::default() };
        self.router = Router::new();
        Arc::get_mut(&mut self.app).unwrap().journal = Journal::open(folder, options).unwrap().0;
        self.router = router(self.app.clone());
    }

    /// Acts as a controller that listens at this address.
    pub fn listen_at(&mut self, address: &str) {
        self.router = Router::new();
        Arc::get_mut(&mut self.app).unwrap().door = Door::new(None).at(address.parse().unwrap());
        self.router = router(self.app.clone());
    }

    /// Acts as a restart of the controller: what was only in memory is gone.
    pub fn forget_answers(&mut self) {
        self.router = Router::new();
        Arc::get_mut(&mut self.app).unwrap().answers = Answers::default();
        self.router = router(self.app.clone());
    }

    /// Acts as a restart of the controller with this provider in its settings.
    pub fn provide(&mut self, oidc: crate::settings::Oidc) {
        self.router = Router::new();
        let (folder, app) = (self.folder.path(), Arc::get_mut(&mut self.app).unwrap());
        let local = SecretSlice::from(TOKEN.as_bytes().to_vec());
        let keyed = access::Keyed::with(app.secrets.derived(access::PURPOSE));
        let access = Access::new(local, keyed, folder, Ends::default()).with_openid(Some(oidc.mapping.clone()));
        app.access = Arc::new(access);
        let provider = crate::oidc::Provider::new(oidc, app.secrets.derived("tests"));
        app.door = Door::new(Some("https://deploy.example".parse().unwrap())).with_oidc(Some(provider));
        self.router = router(self.app.clone());
    }

    pub fn state(&self, environment: &str) -> Arc<crate::machine::Environment> {
        self.app.journal.state(&environment.parse().unwrap())
    }

    /// Records these steps as the controller does for a deployment.
    pub async fn steps(&self, environment: &str, events: impl IntoIterator<Item = Event>) {
        let id = environment.parse().unwrap();
        for event in events {
            let entry = crate::machine::Entry { at: self.app.clock.now(), by: "pointsman".into(), event };
            self.app.journal.append(&id, self.app.journal.state(&id).seq(), entry).await.unwrap();
        }
    }

    /// Takes the deployment that is queued to where it is live and found good.
    pub async fn go_live(&self, environment: &str, number: u32) {
        self.bake(environment, number).await;
        self.steps(environment, [Event::Succeeded { number: Number(number) }]).await;
    }

    /// Brings a deployment to where it is live and watched.
    pub async fn bake(&self, environment: &str, number: u32) {
        let number = Number(number);
        self.steps(environment, [Event::Started { number }]).await;
        if environment == "shop/qa" {
            self.steps(environment, [Event::Approved { number, reason: None }]).await;
        }
        let generation = self.state(environment).generation().next();
        self.steps(
            environment,
            [
                Event::Provisioned { number },
                Event::Checked {
                    number,
                    answers: vec![CheckAnswer {
                        asked: "GET /healthz".into(),
                        said: "200".into(),
                        endpoints: 2,
                        slowest: Millis(12),
                    }],
                },
                Event::CutOverOrdered { number, generation, share: None },
                Event::WentLive { number, host: None },
            ],
        )
        .await;
    }
}

impl Told {
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    /// Asserts a refusal that says this.
    #[track_caller]
    pub fn refused(&self, status: StatusCode, why: &str) {
        assert_eq!(self.status, status.as_u16(), "{}", self.body);
        assert!(self.detail().contains(why), "{:?} does not say {why:?}", self.detail());
    }
}

/// Returns limits in minutes, so that the time that passes on a busy host changes nothing.
fn limits(webhooks: &str) -> Limits {
    let rates =
        Rates { webhooks: webhooks.parse().unwrap(), failures: "1/m burst 20".parse().unwrap(), ..Rates::default() };
    Limits::new(rates, vec!["10.0.0.1".parse().unwrap()])
}

pub fn person(method: &str, path: &str) -> http::request::Builder {
    bearer(TOKEN, method, path).header("x-pointsman-user", "ann")
}

pub fn bearer(token: &str, method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"))
}

pub fn signature(body: &str, at: &str, key: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub fn signed(body: &str, at: Millis, key: &[u8]) -> Request<Body> {
    let at = (at.0 / 1000).to_string();
    let request = Request::post("/v1/hooks/shop").header("x-pointsman-timestamp", &at);
    let request = request.header("x-pointsman-signature", signature(body, &at, key));
    request.body(Body::from(body.to_owned())).unwrap()
}
