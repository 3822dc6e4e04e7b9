//! A house: a whole installation of the real program in a folder of its own, at an address of its own, that can be
//! killed and looked through. Stories read: start, push, kill, settle, assert.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use pointsman::{clock::Clock, machine::Millis};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    address,
    processes::{self, Process},
    wire::{Answer, Hammer, Wire},
};

/// However slow the machine, this long is a failure.
const PATIENCE: Millis = Millis(30_000);
const KEY: &str = "a key for the stories";
const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

pub struct House {
    folder: tempfile::TempDir,
    /// Stories run side by side, and must not take each other's ports.
    pub address: Ipv4Addr,
    controller: Mutex<Option<Child>>,
    clock: Clock,
    deliveries: AtomicU64,
}

impl House {
    /// An installation with one pipeline and one environment, `shop/live`, under these terms. Nothing runs yet.
    pub fn with(terms: &str) -> Self {
        let address = address::own();
        let folder = tempfile::tempdir().expect("a folder");
        let house =
            Self { folder, address, controller: Mutex::new(None), clock: Clock::real(), deliveries: AtomicU64::new(1) };
        house.write("secrets/key", KEY);
        house.write("pointsman.toml", &format!("[server]\nlisten = \"{address}:7070\"\n"));
        house.write("stacks/process/app.toml", &house.definition(SAMPLE));
        house.write("pipelines/shop.toml", &PIPELINE.replace("ADDRESS", &address.to_string()).replace("TERMS", terms));
        house
    }

    /// The same, with the controller at work and v1 live.
    pub fn with_v1_live(terms: &str) -> Self {
        let house = Self::with(terms);
        house.start();
        let number = house.push("v1", "");
        house.settle();
        house.assert_outcome(number, "succeeded");
        house
    }

    /// A stack definition that runs this shell command.
    pub fn definition(&self, command: &str) -> String {
        let address = self.address;
        format!(
            "command = [\"sh\", \"-c\", '''{command}''']\naddress = \"{address}\"\nports = \"20000-20099\"\n\
             parameters = {{ extra = \"\" }}\nstop = {{ grace = \"2s\" }}\n\
             restart = {{ most = 2, within = \"10s\", backoff = \"20ms\" }}\n"
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the house")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    pub fn front(&self) -> SocketAddr {
        (self.address, 8080).into()
    }

    // The controller.

    /// Runs a command of the program in this house, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).current_dir(self.folder.path()).output().expect("the program runs")
    }

    /// Starts the controller and waits until it answers.
    pub fn start(&self) {
        self.spawn();
        self.until("the controller answers", || self.try_ask("GET", "/v1/environments", "").ok());
    }

    /// Starts the controller.
    pub fn spawn(&self) {
        self.spawn_with(&[]);
    }

    /// Starts the controller with these flags, and waits until it answers.
    pub fn start_with(&self, flags: &[&str]) {
        self.spawn_as(flags, &[]);
        self.until("the controller answers", || self.try_ask("GET", "/v1/environments", "").ok());
    }

    /// Starts the controller with more in its environment.
    pub fn spawn_with(&self, variables: &[(&str, &str)]) {
        self.spawn_as(&[], variables);
    }

    fn spawn_as(&self, flags: &[&str], variables: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = Command::new(PROGRAM);
        command
            .arg("serve")
            .args(flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // By its whole name, so that it is found among all processes.
        command.arg("--config").arg(self.path("pointsman.toml")).envs(variables.iter().copied());
        *self.controller.lock().unwrap() = Some(command.spawn().expect("the program starts"));
    }

    /// Kills the controller, as a crash does.
    pub fn kill(&self) {
        if let Some(mut child) = self.controller.lock().unwrap().take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    /// Kills the controller as soon as so many records more are in the state file, whatever of the story is played by
    /// then, starts it again, and lets all settle. Returns the kind of the last of these records; none when the story
    /// was over before.
    pub fn killed_after<T>(&self, records: usize, story: impl FnOnce() -> T) -> (T, Option<String>) {
        let last = self.lines() + records;
        let over = AtomicBool::new(false);
        let (told, killed) = thread::scope(|scope| {
            let killer = scope.spawn(|| {
                while self.lines() < last {
                    if over.load(Ordering::SeqCst) {
                        return false;
                    }
                    thread::sleep(Duration::from_micros(200));
                }
                self.kill();
                self.start();
                true
            });
            let told = story();
            self.settle();
            over.store(true, Ordering::SeqCst);
            (told, killer.join().expect("the killer did its work"))
        });
        self.settle();
        let kind = |r: &Value| r["event"]["kind"].as_str().unwrap_or_default().to_owned();
        let after = self.records().get(last - 1).map(kind).filter(|_| killed);
        println!("killed after record {records}: {}", after.as_deref().unwrap_or("it was over before"));
        (told, after)
    }

    /// Stops the controller, as an operator does.
    pub fn stop(&self) -> ExitStatus {
        let child = self.controller.lock().unwrap().take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it is ours");
        let child = Mutex::new(child);
        self.until("the controller has stopped", || child.lock().unwrap().try_wait().expect("it is ours"))
    }

    /// What it said, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    // What people and build servers do. All of it is asked again until there is an answer, as they would.

    /// A signed webhook. Gives the number of its deployment.
    pub fn push(&self, version: &str, extra: &str) -> u64 {
        let delivery = self.deliveries.fetch_add(1, Ordering::Relaxed);
        self.accepted(|| self.announce(delivery, version, extra))
    }

    /// The same with the commit that it was built from, and with these parameters.
    pub fn push_commit(&self, version: &str, commit: &str, parameters: &Value) -> u64 {
        let delivery = self.deliveries.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::json!({ "version": version, "artifact": "none", "build": delivery, "commit": commit,
                                       "parameters": parameters });
        self.accepted(|| self.hook(&body.to_string()))
    }

    fn accepted(&self, announce: impl Fn() -> std::io::Result<Answer>) -> u64 {
        let answer = self.until("the webhook is answered", || announce().ok());
        assert_eq!(answer.status, 202, "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        body["number"].as_u64().expect("a number")
    }

    /// A signed webhook, once.
    pub fn announce(&self, delivery: u64, version: &str, extra: &str) -> std::io::Result<Answer> {
        let body = serde_json::json!({ "version": version, "artifact": "none", "build": delivery,
                                       "parameters": { "extra": extra } });
        self.hook(&body.to_string())
    }

    /// A signed webhook with this body, once.
    pub fn send_hook(&self, body: &str) -> std::io::Result<Answer> {
        self.hook(body)
    }

    fn hook(&self, body: &str) -> std::io::Result<Answer> {
        Wire::open((self.address, 7070).into())?.ask("POST", "/v1/hooks/shop", &self.signature(body), body)
    }

    /// The headers that prove that this comes from who has the key of the house.
    pub fn signature(&self, body: &str) -> String {
        let time = self.clock.now().0 / 1000;
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).expect("a key");
        mac.update(format!("{time}.{body}").as_bytes());
        let sum = hex::encode(mac.finalize().into_bytes());
        format!("x-pointsman-timestamp: {time}\r\nx-pointsman-signature: sha256={sum}\r\n")
    }

    /// A request to the API, once.
    pub fn try_ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let token = fs::read_to_string(self.path("state/token"))?;
        let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", token.trim());
        Wire::open((self.address, 7070).into())?.ask(method, path, &headers, body)
    }

    /// How the environment is.
    pub fn environment(&self) -> Option<Value> {
        self.environment_called("live")
    }

    /// How another environment of the pipeline is.
    pub fn environment_called(&self, name: &str) -> Option<Value> {
        let answer = self.try_ask("GET", &format!("/v1/environments/shop/{name}"), "").ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    /// Asks until it is answered, or until the history shows that it was heard although the answer was lost.
    pub fn wish(&self, path: &str, body: &str, heard: impl Fn(&Value) -> bool) {
        self.until(path, || {
            let answer = self.try_ask("POST", path, body).ok()?;
            let there = self.records().iter().any(&heard);
            assert!(answer.status < 300 || there, "{} {}", answer.status, answer.body);
            Some(())
        });
    }

    pub fn hammer(&self) -> Hammer {
        Hammer::on(self.front())
    }

    // Looking.

    /// Looks until there is something; panics with the log when that takes too long.
    pub fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look)
    }

    /// The same where a story waits on purpose, for as long as this.
    pub fn until_within<T>(&self, patience: Millis, what: &str, look: impl Fn() -> Option<T>) -> T {
        let begin = self.clock.now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if self.clock.now().since(begin) > patience {
                let records: Vec<String> = self.records().iter().map(|r| r["event"].to_string()).collect();
                panic!("never came to pass: {what}\n{}\n{}", records.join("\n"), self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nothing is under way and nothing is being torn down.
    pub fn settle(&self) {
        self.until("all is settled", || {
            let now = self.environment()?;
            let none = |list: &str| now[list].as_array().is_some_and(Vec::is_empty);
            (now["candidate"].is_null() && none("queue") && none("retiring")).then_some(())
        });
    }

    pub fn until_state(&self, number: u64, state: &str) {
        self.until(&format!("deployment {number} is {state}"), || {
            let candidate = &self.environment()?["candidate"];
            (candidate["number"] == number && candidate["state"] == state).then_some(())
        });
    }

    /// The whole lines of the state file.
    pub fn lines(&self) -> usize {
        fs::read(self.state_file()).unwrap_or_default().iter().filter(|b| **b == b'\n').count()
    }

    pub fn state_file(&self) -> PathBuf {
        self.path("state/journal/journal-000001.jsonl")
    }

    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state_file()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The version that users get.
    pub fn live_version(&self) -> Option<String> {
        let answer = Wire::open(self.front()).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok()?;
        answer.headers.get("x-version").cloned()
    }

    #[track_caller]
    pub fn assert_live(&self, version: &str) {
        assert_eq!(self.live_version().as_deref(), Some(version));
        let now = self.environment().expect("it answers");
        assert_eq!(now["live"]["release"]["version"], version, "{now:#}");
    }

    /// How a deployment ended, and why, by the API.
    #[track_caller]
    pub fn assert_outcome(&self, number: u64, outcome: &str) -> String {
        let answer = self.try_ask("GET", &format!("/v1/deployments/shop/live/{number}"), "").expect("it answers");
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["state"], outcome, "{body}\n{}", self.log());
        body["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// The processes that are there belong to what is live or promised, and so do the folders; one front, one controller.
    pub fn assert_nothing_left(&self) {
        let now = self.environment().expect("it answers");
        let kept = [&now["live"]["number"], &now["standby"]["number"]];
        let kept: BTreeSet<u64> = kept.into_iter().filter_map(Value::as_u64).collect();
        // A process that was told to end takes its moment.
        self.until(&format!("only stacks {kept:?} have processes"), || {
            (self.stacks_of(&self.processes()) == kept).then_some(())
        });
        let folders = fs::read_dir(self.path("state/stacks/process/stacks/shop/live")).expect("a folder");
        let folders: BTreeSet<u64> = folders.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
        assert_eq!(folders, kept, "{}", self.log());
        let count = |word: &str| self.processes().iter().filter(|p| p.runs(word)).count();
        assert_eq!((count("serve"), count("front"), count("stack-run")), (1, 1, kept.len()));
    }

    #[track_caller]
    pub fn assert_verified(&self) {
        let verified = self.run(&["journal", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
    }

    fn stacks_of(&self, processes: &[Process]) -> BTreeSet<u64> {
        processes.iter().filter_map(|p| p.stack.as_deref()?.split_once('#')?.1.parse().ok()).collect()
    }

    /// Every process of this house.
    pub fn processes(&self) -> Vec<Process> {
        processes::of(self.folder.path(), &self.path("state/stacks/process/installation"))
    }
}

impl Drop for House {
    /// Leaves nothing behind, also when a story fails.
    fn drop(&mut self) {
        self.kill();
        processes::end(|| self.processes());
    }
}

const SAMPLE: &str = "exec {pointsman} sample --listen {address}:{port} --version {version} {parameters.extra}";

const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../secrets/key" }]
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = "../stacks/process/app.toml" }
front = { driver = "builtin", listen = "ADDRESS:8080" }
watch = "100ms"
drain = "2s"
TERMS
[[environments.checks]]
http = { path = "/healthz", status = 200 }
every = "50ms"
passes = 2
"#;
