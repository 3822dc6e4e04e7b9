//! A real Keystone and Heat of this test run, started when the first story needs them; and a proxy before them that loses
//! requests, answers and patience.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use serde_json::{Value, json};

use super::{peers, wire::Wire};

const PYTHON: &str = "/usr/bin/python3";
const WANTED: &str = "import keystone, heat, waitress, pymysql";

/// The cloud of this test run.
pub struct Cloud {
    host: String,
    /// Where a user would find it.
    pub clouds: PathBuf,
    /// What the project may use, read by the peer at every question.
    pub limits: PathBuf,
    /// The folders of what its servers run.
    servers: PathBuf,
    /// Stories that stop Heat take all of it; the others share it.
    pub in_use: tokio::sync::RwLock<()>,
    control: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
    session: OnceLock<Session>,
}

struct Session {
    token: String,
    project: String,
    user: String,
}

/// The cloud; none when its stories are left out.
pub fn cloud() -> Option<&'static Cloud> {
    static CLOUD: OnceLock<Option<Cloud>> = OnceLock::new();
    CLOUD.get_or_init(|| is_installed().then(Cloud::start)).as_ref()
}

fn is_installed() -> bool {
    let imports = Command::new(PYTHON).args(["-c", WANTED]).stderr(Stdio::null()).status();
    let libraries = imports.is_ok_and(|status| status.success());
    if !libraries {
        peers::left_out("Keystone and Heat for Python are not installed");
    }
    libraries && peers::need("mariadbd").is_some() && peers::need("mariadb").is_some()
}

impl Cloud {
    /// It ends with our end of its standard input, however we end.
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openstack");
        let mut command = Command::new(PYTHON);
        command.arg(root.join("tests/peers/openstack/cloud.py")).arg(folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says something");
        let ready: Value = serde_json::from_str(&line).expect("the cloud did not come up");
        println!("a cloud at {} after {} s", ready["host"], ready["seconds"]);
        let text = |key: &str| ready[key].as_str().expect("a text").to_owned();
        Self {
            host: text("host"),
            clouds: text("clouds").into(),
            limits: text("limits").into(),
            servers: PathBuf::from(text("folder")).join("servers"),
            in_use: tokio::sync::RwLock::default(),
            control: Mutex::new((child, input, output)),
            session: OnceLock::new(),
        }
    }

    pub fn keystone(&self) -> SocketAddr {
        format!("{}:5000", self.host).parse().expect("an address")
    }

    pub fn heat(&self) -> SocketAddr {
        format!("{}:8004", self.host).parse().expect("an address")
    }

    /// Kills Heat as a crash does, or starts it again and waits for it.
    pub fn tell(&self, command: &str) {
        let mut control = self.control.lock().unwrap();
        writeln!(control.1, "{command}").expect("it listens");
        let mut answer = String::new();
        control.2.read_line(&mut answer).expect("it answers");
        assert_eq!(answer, "done\n");
    }

    /// The folders of servers whose names begin so, looked for in what the peer keeps.
    pub fn servers(&self, prefix: &str) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.servers).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let named = |folder: &PathBuf| {
            let facts = fs::read(folder.join("facts.json")).ok();
            let facts: Option<Value> = facts.and_then(|text| serde_json::from_slice(&text).ok());
            facts.is_some_and(|facts| facts["name"].as_str().is_some_and(|name| name.starts_with(prefix)))
        };
        all.filter(named).collect()
    }

    /// The processes that such servers run now.
    pub fn processes(&self, prefix: &str) -> Vec<String> {
        let servers = self.servers(prefix);
        let marks: Vec<_> = servers.iter().map(|folder| format!("HOME={}", folder.display())).collect();
        let all = fs::read_dir("/proc").expect("Linux").filter_map(|entry| Some(entry.ok()?.path().join("environ")));
        let runs = |path: &PathBuf| {
            let environment = fs::read(path).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| marks.iter().any(|mark| mark.as_bytes() == variable))
        };
        all.filter(runs).map(|path| path.display().to_string()).collect()
    }

    /// Asks Heat without the driver.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let project = &self.session().project;
        self.send(self.heat(), method, &format!("/v1/{project}{path}"), body)
    }

    /// Asks Keystone something about the stories' user.
    pub fn identity(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let user = &self.session().user;
        self.send(self.keystone(), method, &format!("/v3/users/{user}{path}"), body)
    }

    /// Makes an application credential of the stories' user; gives its id and secret.
    pub fn application_credential(&self, facts: &Value) -> (String, String) {
        let wanted = json!({ "application_credential": facts });
        let mut answers = (0..20).map(|_| self.identity("POST", "/application_credentials", &wanted));
        // While a story grants a role to somebody else, Keystone does not find those of our user for a moment.
        let (status, made) = answers
            .find(|(_, answer)| !answer.to_string().contains("Could not find role assignment"))
            .expect("Keystone finds the roles of its user");
        assert_eq!(status, 201, "{made}");
        let text = |key: &str| made["application_credential"][key].as_str().expect("a text").to_owned();
        (text("id"), text("secret"))
    }

    /// Asks Keystone as its administrator.
    pub fn administer(&self, method: &str, path: &str, body: &Value) -> Value {
        let token = self.log_in("admin", "admin-password").token;
        let (status, answer) = self.send_with(&token, self.keystone(), method, &format!("/v3{path}"), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    fn session(&self) -> &Session {
        self.session.get_or_init(|| self.log_in("demo", "demo-password"))
    }

    fn send(&self, to: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.send_with(&self.session().token, to, method, path, body)
    }

    fn send_with(&self, token: &str, to: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers =
            format!("x-auth-token: {token}\r\ncontent-type: application/json\r\naccept: application/json\r\n");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let ask = || Wire::patient(to).and_then(|mut wire| wire.ask(method, path, &headers, &body));
        // A host that is busy keeps Keystone from answering Heat now and then; then Heat has done nothing.
        let mut answers = (0..20).map(|_| ask().expect("it answers"));
        let answer = answers.find(|answer| !answer.body.contains(BUSY)).expect("Keystone answers Heat");
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    /// Signs in as a user of the project of the same name.
    fn log_in(&self, who: &str, password: &str) -> Session {
        let domain = json!({ "id": "default" });
        let user = json!({ "name": who, "domain": domain, "password": password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body =
            json!({ "auth": { "identity": identity, "scope": { "project": { "name": who, "domain": domain } } } });
        let headers = "content-type: application/json\r\n";
        let answer = Wire::patient(self.keystone())
            .and_then(|mut w| w.ask("POST", "/v3/auth/tokens", headers, &body.to_string()));
        let answer = answer.expect("Keystone answers");
        let token = answer.headers.get("x-subject-token").expect("a token").clone();
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        let id = |of: &str| body["token"][of]["id"].as_str().expect("an id").to_owned();
        Session { token, project: id("project"), user: id("user") }
    }

    /// Every stack of the project, with its status, by name and id.
    pub fn stacks(&self) -> BTreeMap<(String, String), String> {
        let text = |s: &Value, key: &str| s[key].as_str().unwrap_or_default().to_owned();
        let one = |s: &Value| ((text(s, "stack_name"), text(s, "id")), text(s, "stack_status"));
        self.list("/stacks").iter().filter(is_there).map(one).collect()
    }

    /// The stacks with this tag, as `name id`.
    pub fn tagged(&self, tag: &str) -> Vec<String> {
        self.with_tag(tag, is_there)
    }

    /// The same, and those that are deleted but still have their names.
    pub fn named(&self, tag: &str) -> Vec<String> {
        self.with_tag(tag, |_| true)
    }

    fn with_tag(&self, tag: &str, which: impl Fn(&&Value) -> bool) -> Vec<String> {
        let text = |s: &Value, key: &str| s[key].as_str().unwrap_or_default().to_owned();
        let has = |s: &&Value| s["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == tag));
        let list = self.list(&format!("/stacks?tags={tag}"));
        list.iter().filter(has).filter(which).map(|s| format!("{} {}", text(s, "stack_name"), text(s, "id"))).collect()
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let (_, body) = self.ask("GET", path, &Value::Null);
        body["stacks"].as_array().expect("a list").clone()
    }

    /// Makes a stack without the driver, of a request as Heat takes it; gives `name id`.
    pub fn make(&self, body: &Value) -> String {
        let (status, answer) = self.ask("POST", "/stacks", body);
        assert_eq!(status, 201, "{answer}");
        let id = answer["stack"]["id"].as_str().expect("an id");
        format!("{} {id}", body["stack_name"].as_str().expect("a name"))
    }

    /// Deletes stacks by `name id`, as often as it takes.
    pub fn delete(&self, stacks: &[String]) {
        for stack in stacks {
            self.ask("DELETE", &format!("/stacks/{}", stack.replace(' ', "/")), &Value::Null);
        }
    }
}

/// What Heat says when Keystone did not answer it.
const BUSY: &str = "The Keystone service is temporarily unavailable";

fn is_there(stack: &&Value) -> bool {
    stack["stack_status"] != "DELETE_COMPLETE"
}
