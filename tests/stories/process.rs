//! Stacks of processes: what comes up, what goes wrong, and that nothing is left of it.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pointsman::{
    checks::{Asked, Check, NoPass, Subject, probe},
    machine::{Number, Release, StackName},
    stacks::{Condition, SeenStack, StackDriver, StackSpec, StepError, process::Process},
};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;

use crate::support::{
    address,
    permit::permit,
    processes::{self, Process as Running},
};

/// An installation of its own, of which nothing may be left at the end.
pub(super) struct Host {
    pub(super) folder: tempfile::TempDir,
    pub(super) driver: Process,
    address: Ipv4Addr,
    /// Secrets that a pipeline would hand over.
    pub(super) secrets: BTreeMap<Arc<str>, SecretString>,
}

impl Host {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let driver = Self::open(folder.path());
        Self { folder, driver, address: address::own(), secrets: BTreeMap::new() }
    }

    pub(super) fn open(folder: &Path) -> Process {
        Process::new(folder, PathBuf::from(env!("CARGO_BIN_EXE_pointsman")))
    }

    /// Finds it as another controller would.
    pub(super) fn restart_controller(&mut self) {
        self.driver = Self::open(self.folder.path());
    }

    pub(super) async fn ensure(&self, number: u32, definition: &str) -> Result<(), StepError> {
        self.driver.ensure(&self.spec(number, definition)).await
    }

    pub(super) fn spec(&self, number: u32, definition: &str) -> StackSpec {
        let release = Release { number, ..Release::draft(&format!("v{number}")) };
        let definition = if definition.contains("ports =") {
            definition.to_owned()
        } else {
            format!("address = \"{}\"\n{definition}", self.address)
        };
        let (name, secrets) = (name(number), self.secrets.clone());
        StackSpec { name, release: release.into(), definition: definition.into(), secrets, stranger: false }
    }

    pub(super) async fn retire(&self, number: u32) {
        self.driver.retire(&name(number), &permit(number)).await.expect("it is taken up");
    }

    pub(super) async fn look(&self, number: u32) -> Option<SeenStack> {
        let all = self.driver.observe().await.expect("it can be seen");
        all.into_iter().find(|stack| stack.name == name(number))
    }

    /// Looks until it is so; tells what it saw last when that takes too long.
    pub(super) async fn until(
        &self,
        number: u32,
        mut what: impl FnMut(Option<&SeenStack>) -> bool,
    ) -> Option<SeenStack> {
        let mut seen = None;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..750 {
            seen = self.look(number).await;
            if what(seen.as_ref()) {
                return seen;
            }
            pace.tick().await;
        }
        panic!("it never came to that; seen last: {seen:?}");
    }

    pub(super) async fn until_condition(&self, number: u32, condition: Condition) -> SeenStack {
        self.until(number, |seen| seen.is_some_and(|s| s.condition == condition)).await.expect("it is there")
    }

    pub(super) async fn retired(&self, number: u32) {
        self.retire(number).await;
        self.until(number, |seen| seen.is_none()).await;
        self.assert_nothing_runs();
    }

    /// All processes of this installation, supervisors too.
    pub(super) fn processes(&self) -> Vec<Running> {
        processes::of(self.folder.path(), &self.folder.path().join("installation"))
    }

    #[track_caller]
    fn assert_nothing_runs(&self) {
        let left = self.processes();
        assert!(left.is_empty(), "something is left: {left:?}");
    }

    pub(super) fn file(&self, number: u32, file: &str) -> PathBuf {
        self.folder.path().join("stacks/shop/prod").join(number.to_string()).join(file)
    }

    pub(super) fn supervisor(&self, number: u32) -> i32 {
        let text = fs::read(self.file(number, "state.json")).expect("a state");
        let state: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        i32::try_from(state["pid"].as_i64().expect("a number")).expect("a process")
    }
}

impl Host {
    /// Whether its supervisor will never give it up.
    pub(super) fn is_kept(&self, number: u32) -> bool {
        let text = fs::read_to_string(self.file(number, "state.json"));
        text.is_ok_and(|text| text.contains("\"kept\":true"))
    }

    /// The process of an instance, while it has one.
    pub(super) fn instance(&self, number: u32, instance: usize) -> Option<i32> {
        let text = fs::read(self.file(number, "state.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        state["instances"][instance]["pid"][0].as_i64().map(|pid| i32::try_from(pid).expect("a process"))
    }
}

impl Drop for Host {
    /// Leaves nothing behind, also when a story fails.
    fn drop(&mut self) {
        processes::end(|| self.processes());
    }
}

pub(super) fn kill(pid: i32, signal: Signal) {
    // Gone already is as good.
    let _ = kill_process(Pid::from_raw(pid).expect("a process"), signal);
}

pub(super) fn name(number: u32) -> StackName {
    StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) }
}

pub(super) async fn asked(endpoint: SocketAddr, check: &str) -> Result<(), String> {
    let check: Check = toml::from_str(check).expect("a right check");
    let subject = Subject { stack: name(1), version: "v1".into() };
    probe(&check, &subject, Asked::Stack(endpoint)).await.map(drop).map_err(NoPass::said)
}

pub(super) const SAMPLE: &str =
    r#"command = ["{pointsman}", "sample", "--listen", "{address}:{port}", "--version", "{version}"]"#;

pub(super) fn shell(script: &str) -> String {
    format!(
        "command = [\"sh\", \"-c\", '''{script}''']\nrestart = {{ most = 2, backoff = \"10ms\" }}\nstop = {{ grace = \"300ms\" }}"
    )
}

#[tokio::test]
async fn a_stack_comes_up_serves_and_goes_without_a_trace() {
    let host = Host::new();
    host.ensure(1, &format!("{SAMPLE}\ninstances = 2")).await.expect("started");
    let seen = host.until_condition(1, Condition::Ready).await;
    assert_eq!(seen.reach.addresses().len(), 2);
    for endpoint in seen.reach.addresses().to_vec() {
        assert_eq!(asked(endpoint, "http = { path = \"/\", headers = { x-version = \"v1\" } }").await, Ok(()));
    }
    host.retired(1).await;
    assert!(host.folder.path().join("retired/shop/prod/1/logs/0.err").exists(), "its logs are kept");
    host.retire(1).await;
    assert_eq!(host.look(1).await, None);
}

#[tokio::test]
async fn the_working_definitions_are_right() {
    let host = Host::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/stacks/process")).expect("there are some") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(host.driver.check_definition(&text), Ok(()), "{}", path.display());
    }
}

#[tokio::test]
async fn every_mistake_of_a_definition_is_named_at_its_place() {
    let host = Host::new();
    let text = "comand = [\"x\"]\nports = \"9-1\"\naddress = \"192.0.2.1\"\n[environment]\nA = \"{prot}\"\nPOINTSMAN_STACK = \"x\"\n[limits]\nmemory = \"lots\"\n";
    let wrong = host.driver.check_definition(text).expect_err("all of it is wrong").join("\n");
    for part in [
        "1:1: unknown key `comand`",
        "2:9: ",
        "3:11: ",
        "5:5: {prot}",
        "6:1: POINTSMAN_STACK",
        "8:10: invalid size \"lots\"",
        "`command` is missing",
    ] {
        assert!(wrong.contains(part), "{part} is not in:\n{wrong}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_fails_at_once_and_says_so() {
    let host = Host::new();
    host.ensure(1, "command = [\"/no/such/program\"]").await.expect("taken up");
    let remark = host.until_condition(1, Condition::Failed).await.remark.expect("a reason");
    assert!(remark.contains("cannot start /no/such/program: No such file"), "{remark}");
    host.retired(1).await;
}

#[tokio::test]
async fn one_that_exits_at_once_is_restarted_so_often_and_no_more() {
    let host = Host::new();
    host.ensure(1, &shell("echo no database >&2; exit 3")).await.expect("taken up");
    let remark = host.until_condition(1, Condition::Failed).await.remark.expect("a reason");
    assert!(remark.contains("more than 2 times within 1m, at last: exit status 3: no database"), "{remark}");
    let lines = fs::read_to_string(host.file(1, "logs/0.err")).expect("a log");
    assert_eq!(lines.lines().count(), 3);
    host.retired(1).await;
}

#[tokio::test]
async fn a_crash_is_mended_and_remarked() {
    let host = Host::new();
    host.ensure(1, &shell("if [ -e once ]; then exec sleep 1000; fi; touch once; kill -SEGV $$"))
        .await
        .expect("started");
    let remark = host.until_condition(1, Condition::Ready).await.remark.expect("it stands out");
    assert!(remark.contains("was restarted once") && remark.contains("signal 11"), "{remark}");
    host.retired(1).await;
}

#[tokio::test]
async fn a_new_controller_finds_it_again_and_so_does_a_late_ensure() {
    let mut host = Host::new();
    host.ensure(1, SAMPLE).await.expect("started");
    let before = host.until_condition(1, Condition::Ready).await;
    let supervisor = host.supervisor(1);
    host.restart_controller();
    host.ensure(1, SAMPLE).await.expect("there already");
    assert_eq!(host.until_condition(1, Condition::Ready).await, before);
    assert_eq!(host.supervisor(1), supervisor);
    host.retired(1).await;
}

#[tokio::test]
async fn a_killed_supervisor_is_noticed_and_the_stack_comes_back_where_it_was() {
    let host = Host::new();
    host.ensure(1, SAMPLE).await.expect("started");
    let before = host.until_condition(1, Condition::Ready).await;
    kill(host.supervisor(1), Signal::KILL);
    let lost = host.until_condition(1, Condition::Creating).await;
    assert!(lost.remark.is_some_and(|said| said.contains("supervisor ended")));
    host.ensure(1, SAMPLE).await.expect("started again");
    assert_eq!(host.until_condition(1, Condition::Ready).await.reach, before.reach);
    kill(host.supervisor(1), Signal::KILL);
    host.retired(1).await;
}

/// Every file below the folder, read.
fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        match entry.path() {
            path if path.is_dir() => all.extend(contents(&path)),
            path => all.extend(fs::read(path).unwrap_or_default()),
        }
    }
    all
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test]
async fn a_secret_reaches_the_processes_and_is_written_nowhere() {
    let mut host = Host::new();
    let canary = "canary-5b1d \"quoted\" \\ value";
    let length = canary.len();
    let definition = shell(&format!("test \"$(printf %s \"$DB\" | wc -c)\" = {length} || exit 9; exec sleep 1000"))
        + "\nsecrets = { DB = { secret = \"db\" } }\n";
    let why = host.ensure(1, &definition).await.expect_err("it is not handed over").to_string();
    assert!(why.contains("needs the secret db") && why.contains("stack.secrets"), "{why}");

    host.secrets.insert("db".into(), canary.into());
    host.ensure(1, &definition).await.expect("it is taken up");
    host.until_condition(1, Condition::Ready).await;
    // Started again by its supervisor, which remembers; a new controller needs to do nothing for it.
    host.restart_controller();
    let text = fs::read(host.file(1, "state.json")).expect("a state");
    let state: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    kill(i32::try_from(state["instances"][0]["pid"][0].as_i64().expect("it runs")).expect("a pid"), Signal::KILL);
    host.until(1, |s| s.is_some_and(|s| s.condition == Condition::Ready && s.remark.is_some())).await;

    let supervisor = host.supervisor(1);
    let mut open = Vec::new();
    for file in ["cmdline", "environ"] {
        open.extend(fs::read(format!("/proc/{supervisor}/{file}")).expect("it runs"));
    }
    open.extend(fs::read(format!("/proc/{supervisor}/fd/1")).unwrap_or_default());
    open.extend(contents(host.folder.path()));
    assert!(!has(&open, "canary-5b1d"), "it can be read where it must not be");

    // A supervisor that is gone takes the secret with it, and the next one is handed it anew.
    kill(supervisor, Signal::KILL);
    host.until(1, |s| s.is_some_and(|s| s.condition == Condition::Creating)).await;
    host.ensure(1, &definition).await.expect("it is taken up");
    host.until_condition(1, Condition::Ready).await;
    host.retired(1).await;
    assert!(!has(&contents(host.folder.path()), "canary-5b1d"));
}

#[tokio::test]
async fn a_daemon_that_slipped_away_is_found_and_ended() {
    let host = Host::new();
    host.ensure(1, &shell("setsid sh -c 'trap \"\" TERM; echo $$ > daemon; while :; do sleep 1; done' & sleep 1000"))
        .await
        .expect("started");
    host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| host.file(1, "work/daemon").exists()).await;
    kill(host.supervisor(1), Signal::KILL);
    host.retired(1).await;
}

#[tokio::test]
async fn one_that_does_not_hear_is_killed_after_its_grace() {
    let host = Host::new();
    host.ensure(1, &shell("trap '' TERM; while :; do sleep 1; done")).await.expect("started");
    host.until_condition(1, Condition::Ready).await;
    host.retired(1).await;
}

#[tokio::test]
async fn a_foreign_process_with_the_number_of_ours_is_left_alone() {
    let host = Host::new();
    host.ensure(1, SAMPLE).await.expect("started");
    host.until_condition(1, Condition::Ready).await;
    kill(host.supervisor(1), Signal::KILL);
    host.until_condition(1, Condition::Creating).await;
    let mut foreign = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
    let state = format!(
        "{{\"pid\":{0},\"instances\":[{{\"phase\":\"running\",\"pid\":[{0},1],\"restarts\":0,\"last_exit\":null}}]}}",
        foreign.id()
    );
    fs::write(host.file(1, "state.json"), state).expect("written");
    host.retired(1).await;
    assert!(matches!(foreign.try_wait(), Ok(None)), "the foreign process was ended");
    foreign.kill().and_then(|()| foreign.wait()).expect("ours to end");
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused_and_said() {
    let host = Host::new();
    let hungry = format!("{}\nlimits = {{ memory = \"64MB\" }}", shell("head -c 500M /dev/zero | tail"));
    host.ensure(1, &hungry).await.expect("started");
    let remark = host.until_condition(1, Condition::Failed).await.remark.expect("a reason");
    assert!(remark.contains("memory exhausted"), "{remark}");
    host.retired(1).await;
}

#[tokio::test]
async fn a_port_in_use_is_not_given_out_and_named_when_it_is_taken_later() {
    let host = Host::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let only = format!("{SAMPLE}\nports = \"{port}-{port}\"\nrestart = {{ most = 1, backoff = \"10ms\" }}");
    let refused = host.ensure(1, &only).await.expect_err("none is free").to_string();
    assert!(refused.contains(&format!("no free port left on 127.0.0.1 in {port}-{port}")), "{refused}");
    drop(taken);
    host.ensure(1, &only).await.expect("free now");
    host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| host.is_kept(1)).await;
    let instance = host.instance(1, 0).expect("it runs");
    kill(host.supervisor(1), Signal::KILL);
    host.until_condition(1, Condition::Creating).await;
    kill(instance, Signal::KILL);
    let mut taken = None;
    host.until(1, |_| {
        taken = taken.take().or_else(|| std::net::TcpListener::bind(("127.0.0.1", port)).ok());
        taken.is_some()
    })
    .await;
    host.ensure(1, &only).await.expect("taken up");
    // It was up once, so it is tried for as long as that takes.
    let said = format!("nothing can listen on 127.0.0.1:{port}: Address already in use");
    let by = format!("by process {} (", std::process::id());
    host.until(1, |seen| {
        let remark = seen.and_then(|seen| seen.remark.as_deref()).unwrap_or_default();
        remark.contains("times in a row") && remark.contains(&said) && remark.contains(&by)
    })
    .await;
    drop(taken);
    host.until_condition(1, Condition::Ready).await;
    host.retired(1).await;
}

#[tokio::test]
async fn foreign_folders_are_not_looked_at() {
    let host = Host::new();
    let foreign = host.folder.path().join("stacks/shop/prod/mine");
    fs::create_dir_all(&foreign).expect("a folder");
    fs::create_dir_all(host.folder.path().join("stacks/Not A Name/prod/1")).expect("a folder");
    assert_eq!(host.driver.observe().await.expect("seen"), []);
    assert!(foreign.exists());
}

#[tokio::test]
async fn what_runs_but_is_not_well_is_for_the_checks_to_say() {
    let host = Host::new();
    let sample = |more: &str| SAMPLE.replace("\"--version\"", &format!("{more}, \"--version\""));
    host.ensure(1, &sample("\"--broken\"")).await.expect("started");
    host.ensure(2, &SAMPLE.replace("{address}:{port}", "127.0.0.9:{port}")).await.expect("started");
    host.ensure(3, &sample("\"--sick-after\", \"1s\"")).await.expect("started");
    let healthz = "http = { path = \"/healthz\" }";
    let [broken, elsewhere, sick] = [1, 2, 3].map(|n| host.until_condition(n, Condition::Ready));
    let (broken, elsewhere, sick) =
        (broken.await.reach.addresses()[0], elsewhere.await.reach.addresses()[0], sick.await.reach.addresses()[0]);
    let seen = asked(broken, healthz).await;
    assert_eq!(seen, Err(format!("GET /healthz on {broken}: expected 200, got 503")));
    assert!(asked(elsewhere, healthz).await.expect_err("nobody listens there").contains("refused"));
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut answers = Vec::new();
    while answers.len() < 500 && answers.last() != Some(&false) {
        answers.push(asked(sick, healthz).await.is_ok());
        pace.tick().await;
    }
    assert!(answers.contains(&true) && answers.contains(&false), "it was well, and then it was not: {answers:?}");
    for number in 1..=3 {
        host.retire(number).await;
    }
    for number in 1..=3 {
        host.until(number, |seen| seen.is_none()).await;
    }
    host.assert_nothing_runs();
}

#[tokio::test]
async fn fifty_stacks_are_seen_at_one_glance() {
    let host = Host::new();
    for number in 1..=50 {
        host.ensure(number, "command = [\"sleep\", \"1000\"]").await.expect("started");
    }
    let mut endpoints = std::collections::BTreeSet::new();
    for number in 1..=50 {
        endpoints.extend(host.until_condition(number, Condition::Ready).await.reach.addresses().to_vec());
    }
    assert_eq!(endpoints.len(), 50, "each has its own port");
    assert_eq!(host.driver.observe().await.expect("seen").len(), 50);
}
