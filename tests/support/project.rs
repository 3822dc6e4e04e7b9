//! A project of the cloud, as one story uses it: a driver of its own, and stacks that no other story has.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pointsman::{
    clock::{Clock, Stopwatch},
    machine::{EnvironmentId, Number, Release, StackName},
    stacks::{Condition, SeenStack, StackDriver, StackSpec, StepError, heat::Heat},
};
use secrecy::SecretString;
use serde_json::Value;

use super::{cloud::Cloud, faults::Proxy, permit::permit};

/// However slow the machine, this long is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server that does what the story says in its metadata.
pub const TEMPLATE: &str = "heat_template_version: 2021-04-16\nparameters:\n  mood: {type: json, default: {}}\n  image: {type: string, default: app}\n  \
                            flavor: {type: string, default: m1.small}\nresources:\n  web:\n    type: OS::Nova::Server\n    properties:\n      \
                            {image: {get_param: image}, flavor: {get_param: flavor}, metadata: {get_param: mood}}\noutputs:\n  \
                            address: {value: {get_attr: [web, first_address]}}\n";

pub struct Project {
    pub cloud: &'static Cloud,
    pub proxy: Proxy,
    pub driver: Heat,
    pub pipeline: EnvironmentId,
    pub parameters: BTreeMap<Arc<str>, Arc<str>>,
    pub secrets: BTreeMap<Arc<str>, SecretString>,
    pub folder: tempfile::TempDir,
    settings: String,
    clock: Clock,
}

impl Project {
    pub fn of(cloud: &'static Cloud) -> Self {
        Self::asking_with(cloud, |keystone| {
            format!(
                "cloud = {{ auth_url = \"{keystone}\", username = \"demo\", project_name = \"demo\", secret = {{ file = \"password\" }} }}"
            )
        })
    }

    /// Makes a project with these settings, made from the address of Keystone.
    pub fn asking_with(cloud: &'static Cloud, settings: impl Fn(&str) -> String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("password"), "demo-password\n").expect("written");
        let proxy = Proxy::before(cloud);
        let settings = settings(&format!("http://{}/v3", proxy.keystone));
        let pipeline = format!("story-{}/qa", NEXT.fetch_add(1, Ordering::Relaxed)).parse().expect("a name");
        let driver = Self::open(&settings, folder.path());
        let settings = settings.to_owned();
        let (parameters, secrets) = (BTreeMap::new(), BTreeMap::new());
        Self { cloud, proxy, driver, settings, pipeline, parameters, secrets, folder, clock: Clock::real() }
    }

    /// The driver, as one more controller would open it.
    pub fn reopened(&self) -> Heat {
        Self::open(&self.settings, self.folder.path())
    }

    fn open(settings: &str, folder: &Path) -> Heat {
        let settings = toml::from_str(settings).expect("TOML");
        Heat::open(&settings, folder, &folder.join("state")).expect("it opens")
    }

    /// The servers of stacks made from now on behave like this.
    pub fn mood(&mut self, mood: &str) {
        self.parameters.insert("mood".into(), mood.into());
    }

    pub fn name(&self, number: u32) -> StackName {
        StackName { environment: self.pipeline.clone(), number: Number(number) }
    }

    pub fn spec(&self, number: u32) -> StackSpec {
        let definition = format!(
            "template = \"app.yaml\"\nendpoints = {{ output = \"address\", port = 8088 }}\ntimeout = \"5m\"\n\
             [files]\n\"app.yaml\" = '''\n{TEMPLATE}'''\n"
        );
        self.spec_of(number, &definition)
    }

    /// The same, in an environment of its own.
    pub fn spec_in(&self, number: u32) -> StackSpec {
        let environment = format!("{}-{number}", self.pipeline.environment).parse().expect("a name");
        let pipeline = self.pipeline.pipeline.clone();
        let name = StackName { environment: EnvironmentId { pipeline, environment }, number: Number(number) };
        StackSpec { name, ..self.spec(number) }
    }

    pub fn spec_of(&self, number: u32, definition: &str) -> StackSpec {
        let parameters = self.parameters.clone();
        let release = Release { number, artifact: "none".into(), parameters, ..Release::draft(&format!("v{number}")) };
        StackSpec {
            name: self.name(number),
            release: release.into(),
            definition: definition.into(),
            secrets: self.secrets.clone(),
            stranger: false,
        }
    }

    /// What there is, asked until there is an answer: a host that is busy keeps Keystone from answering Heat now and then.
    pub async fn see(&self) -> Vec<SeenStack> {
        self.see_by(&self.driver).await
    }

    /// The same, by another driver of the project.
    pub async fn see_by(&self, driver: &Heat) -> Vec<SeenStack> {
        self.until("there is an answer", async || driver.observe().await.ok()).await
    }

    /// Orders one, until the order is taken.
    pub async fn order(&self, spec: &StackSpec) {
        self.order_by(&self.driver, spec).await;
    }

    /// The same, by another driver of the project.
    pub async fn order_by(&self, driver: &Heat, spec: &StackSpec) {
        self.until("it is ordered", async || driver.ensure(spec).await.ok()).await;
    }

    /// Why it cannot be seen, asked until the reason has these words in it.
    pub async fn refuses(&self, words: &str) -> String {
        let why = async || self.driver.observe().await.err().map(|error| error.to_string());
        self.until(words, async || why().await.filter(|why| why.contains(words))).await
    }

    /// How one is, asked until there is an answer.
    pub async fn seen(&self, number: u32) -> Option<SeenStack> {
        self.see().await.into_iter().find(|s| s.name == self.name(number))
    }

    /// Has the driver look anew as soon as the last look is some seconds old: whoever asks for a stack wants to know.
    pub async fn look_again(&self, number: u32) {
        drop(self.driver.ensure(&self.spec(number)).await);
    }

    /// Asks as the runner does, until it is there. Gives it, and how long that took.
    pub async fn stand_up(&self, spec: &StackSpec) -> (SeenStack, Duration) {
        let began = Stopwatch::start();
        let seen = self.ends(spec).await;
        assert_eq!(seen.condition, Condition::Ready, "{seen:?}");
        (seen, began.elapsed())
    }

    /// Asks as the runner does, until it is there or never will be.
    pub async fn ends(&self, spec: &StackSpec) -> SeenStack {
        let number = spec.name.number.0;
        self.until("it is there or has failed", async || {
            match self.seen(number).await {
                Some(seen) if matches!(seen.condition, Condition::Ready | Condition::Failed) => return Some(seen),
                Some(_) => {}
                None => drop(self.driver.ensure(spec).await),
            }
            None
        })
        .await
    }

    pub async fn retire(&self, number: u32) -> Result<(), StepError> {
        self.driver.retire(&self.name(number), &permit(number)).await
    }

    /// Asks as the runner does, until it is gone.
    pub async fn tear_down(&self, number: u32) {
        self.until("it is gone", async || {
            match self.seen(number).await {
                None => return Some(()),
                Some(seen) if seen.condition == Condition::Deleting => {}
                Some(_) => drop(self.retire(number).await),
            }
            None
        })
        .await;
    }

    /// Looks again and again, for a bounded time.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let began = self.clock.now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let passed = self.clock.now().since(began).0;
            assert!(u128::from(passed) < PATIENCE.as_millis(), "never: {what}\n{:#?}", self.driver.observe().await);
            self.clock.wait(Duration::from_millis(20)).await;
        }
    }

    /// The tag of this story's installation.
    pub fn tag(&self) -> String {
        let installation = fs::read_to_string(self.folder.path().join("state/installation")).unwrap_or_default();
        format!("pointsman:installation:{}", installation.trim())
    }

    /// The stacks that Heat has with our tag.
    pub fn left(&self) -> Vec<String> {
        self.cloud.tagged(&self.tag())
    }

    /// Makes a stack of somebody else.
    pub fn theirs(&self, name: &str, tags: &str) {
        let body = serde_json::json!({ "stack_name": name, "template": TEMPLATE, "tags": tags, "timeout_mins": 5 });
        // A host that is busy keeps Keystone from answering now and then.
        let mut answers = (0..5).map(|_| self.cloud.ask("POST", "/stacks", &body));
        let (status, answer) = answers.find(|(status, _)| *status != 503).expect("Keystone answers");
        assert_eq!(status, 201, "{answer}");
    }

    /// What was asked of Heat, without tokens and the like: `METHOD path`.
    pub fn asked(&self) -> Vec<String> {
        self.proxy.asked()
    }

    pub fn resource(&self, stack: &str, path: &str) -> Value {
        self.cloud.ask("GET", &format!("/stacks/{}{path}", stack.replace(' ', "/")), &Value::Null).1
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.cloud.delete(&self.left());
    }
}
