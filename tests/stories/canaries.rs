//! Secrets are planted in every place where one can stand, a whole life is played, and not one of them may be found in
//! anything that was written, said or answered.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use pointsman::clock::Clock;

use crate::support::{house::House, nest::Nest, wire::Wire};

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";

/// A life, and what is heard of it.
struct Life {
    house: House,
    nest: Nest,
    /// The environment of the controller.
    variables: Vec<(&'static str, String)>,
    /// Values that stacks are meant to have.
    of_stacks: Vec<String>,
    stream: Arc<Mutex<Vec<u8>>>,
}

#[test]
fn fifty_secrets_are_found_nowhere() {
    let mut life = Life::prepare();
    life.start();
    life.follow_events();
    life.play();
    life.look_at_processes();
    life.wrong_webhooks();
    life.wrong_tokens();
    life.wrong_files();
    life.house.kill();
    life.start();
    life.commands(&[]);
    life.look_at_processes();
    life.house.settle();
    assert!(life.house.stop().success());
    life.commands(&[]);
    assert!(life.nest.planted() >= 50, "{} were planted", life.nest.planted());
    life.search();
}

impl Life {
    /// An installation with a secret wherever one is meant to be.
    fn prepare() -> Self {
        let (house, mut nest) = (House::with(TERMS), Nest::default());
        let mut variables = Vec::new();
        for name in ["HOOK_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "GIT_TOKEN", "JENKINS_API_TOKEN"] {
            variables.push((name, nest.plant(&format!("the controller's variable {name}"))));
        }
        variables.push(("POINTSMAN_TOKEN", nest.plant("a token in the controller's environment")));
        secret_file(&house, "state/token", &nest.plant("the local token"));
        secret_file(&house, "secrets/second", &nest.plant("the second webhook key"));
        secret_file(&house, "secrets/third", &format!("{}\n\n", nest.plant("a webhook key with line ends")));
        let standard = STANDARD.encode(nest.plant("a webhook key in base64"));
        secret_file(&house, "secrets/standard", &format!("whsec_{standard}"));

        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        house.write("secrets/cert.pem", &pair.cert.pem());
        secret_file(&house, "secrets/tls.key", &pair.signing_key.serialize_pem());
        let der = pair.signing_key.serialize_der();
        nest.plant_odd("the private key of the front", &der[36..60]);

        let of_stacks = ["a secret of the definition", "a secret of the pipeline, in a file", "one in a variable"]
            .map(|p| nest.plant(p));
        secret_file(&house, "secrets/mail", &of_stacks[0]);
        secret_file(&house, "secrets/db", &of_stacks[1]);
        variables.push(("ZONE_KEY", of_stacks[2].clone()));
        let mail = house.path("secrets/mail").display().to_string();
        let given = format!(
            "secrets = {{ MAIL = {{ file = {mail:?} }}, DB = {{ secret = \"db\" }}, ZONE = {{ secret = \"zone\" }} }}\n"
        );
        let definition = fs::read_to_string(house.path("stacks/process/app.toml")).expect("it is there");
        house.write("stacks/process/app.toml", &(definition + &given));

        let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
        let keys = "secrets = [{ file = \"../secrets/key\" }, { file = \"../secrets/second\" }, { env = \"HOOK_KEY\" }, \
                    { file = \"../secrets/third\" }, { file = \"../secrets/standard\" }]";
        let pipeline = pipeline.replace("secrets = [{ file = \"../secrets/key\" }]", keys);
        let named = "[secrets]\ndb = { file = \"../secrets/db\" }\nzone = { env = \"ZONE_KEY\" }\n[[environments]]";
        let pipeline = pipeline.replacen("[[environments]]", named, 1);
        let pipeline = pipeline.replace("app.toml\" }", "app.toml\", secrets = [\"db\", \"zone\"] }");
        let address = house.address;
        let source = format!(
            "[source]\ngit = \"http://{address}:1/shop.git\"\nuser = \"ci\"\npassword = {{ env = \"GIT_TOKEN\" }}\n"
        );
        let pipeline = source + &pipeline;
        let tls = SAFE.replace("ADDRESS", &house.address.to_string());
        house.write("pipelines/shop.toml", &(pipeline + LOUD + &tls));
        Self { house, nest, variables, of_stacks: of_stacks.to_vec(), stream: Arc::default() }
    }

    fn start(&mut self) {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.house.spawn_with(&variables);
        self.house.until("the controller answers", || self.house.try_ask("GET", "/v1/environments", "").ok());
    }

    /// Listens to all events from now on.
    fn follow_events(&self) {
        let token = fs::read_to_string(self.house.path("state/token")).expect("it is there");
        let mut stream = TcpStream::connect((self.house.address, 7070)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        write!(stream, "GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n").expect("asked");
        let heard = self.stream.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                heard.lock().expect("nobody panicked").extend_from_slice(&piece[..length]);
            }
        });
    }

    /// Good builds and a bad one, a promotion, and the way back.
    fn play(&mut self) {
        for version in ["v1", "v2"] {
            let number = self.house.push(version, "");
            self.house.settle();
            self.house.assert_outcome(number, "succeeded");
        }
        let bad = self.house.push("v3", "--broken");
        self.house.settle();
        self.house.assert_outcome(bad, "failed");
        self.run(&[], &["promote", "shop/safe", "--yes"]);
        self.house.until("it is promoted", || {
            let answer = self.house.try_ask("GET", "/v1/environments/shop/safe", "").ok()?;
            (answer.body.contains("\"live\":{")).then_some(())
        });
        self.commands(&[]);
        let key = self.nest.plant("an idempotency key");
        self.deploy("v4", &format!("idempotency-key: {key}\r\n"));
        self.run(&[], &["promote", "shop/safe", "--yes", "--watch"]);
        self.deploy("v5", "");
        // The commits between the two are asked of a repository that wants a password, and is not there.
        self.ask("/v1/environments/shop/safe/changes", "", "", true);
        assert!(self.nest.heard("the answer of /v1/environments/shop/safe/changes", "cannot be reached"));
        self.run(&[], &["rollback", "shop/live", "--reason", "orders fail", "--watch"]);
        self.run(&[], &["resume", "shop/live"]);
    }

    /// A build with a commit, deployed by hand.
    fn deploy(&mut self, version: &str, headers: &str) {
        let commit = version.bytes().map(|b| format!("{b:02x}")).collect::<String>().repeat(10);
        let body = format!(
            "{{\"version\":\"{version}\",\"artifact\":\"none\",\"commit\":\"{commit}\",\"parameters\":{{\"extra\":\"\"}}}}"
        );
        self.ask("/v1/environments/shop/live/deploy", headers, &body, true);
        self.house.settle();
    }

    /// Every command that looks.
    fn commands(&mut self, variables: &[(&str, &str)]) {
        for arguments in [
            &["check"][..],
            &["plan", "shop/live"],
            &["plan", "shop/safe"],
            &["status"],
            &["status", "--json"],
            &["status", "shop/live"],
            &["why", "shop/live"],
            &["history", "shop/live"],
            &["history", "shop/live", "--json"],
            &["token", "list"],
            &["journal", "verify"],
            &["journal", "show"],
        ] {
            self.run(variables, arguments);
        }
    }

    /// Runs a command, and keeps what it said.
    fn run(&mut self, variables: &[(&str, &str)], arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(arguments).current_dir(self.house.path("")).envs(variables.iter().copied());
        let output = command.output().expect("the program runs");
        let name = format!("pointsman {}", arguments.join(" "));
        self.nest.hear(&name, &output.stdout);
        self.nest.hear(&name, &output.stderr);
    }

    /// Asks, and keeps the answer.
    fn ask(&mut self, path: &str, headers: &str, body: &str, with_token: bool) {
        let token = fs::read_to_string(self.house.path("state/token")).expect("it is there");
        let token = if with_token { format!("authorization: Bearer {token}\r\n") } else { String::new() };
        let mut wire = Wire::open((self.house.address, 7070).into()).expect("it listens");
        let method = if body.is_empty() { "GET" } else { "POST" };
        let answer = wire.ask(method, path, &format!("{token}{headers}"), body).expect("it answers");
        self.nest.hear(&format!("the answer of {}", path.split('?').next().unwrap_or(path)), answer.body.as_bytes());
        for (name, value) in &answer.headers {
            self.nest.hear("headers of answers", format!("{name}: {value}\n").as_bytes());
        }
    }

    /// What senders get wrong, each time with a secret in it.
    fn wrong_webhooks(&mut self) {
        let good = "{\"version\":\"v9\",\"artifact\":\"a\"}";
        let now = Clock::real().now().0 / 1000;
        for (name, before) in [
            ("x-pointsman-signature", "sha256="),
            ("webhook-signature", "v1,"),
            ("authorization", "Bearer "),
            ("authorization", "Basic "),
            ("authorization", ""),
            ("x-gitlab-token", ""),
            ("x-hub-signature-256", "sha256="),
            ("x-api-key", ""),
            ("cookie", "session="),
            ("webhook-id", ""),
            ("user-agent", ""),
        ] {
            let secret = self.nest.plant(&format!("a webhook's header {name}: {before}"));
            let secret = if before == "Basic " { STANDARD.encode(format!("ci:{secret}")) } else { secret };
            let time = format!("x-pointsman-timestamp: {now}\r\nwebhook-timestamp: {now}\r\n");
            self.ask("/v1/hooks/shop", &format!("{time}{name}: {before}{secret}\r\n"), good, false);
        }
        let query = self.nest.plant("a webhook's query");
        self.ask(&format!("/v1/hooks/shop?token={query}"), "", good, false);
        let path = self.nest.plant("a webhook's path");
        self.ask(&format!("/v1/hooks/{path}"), "", good, false);
        let unsigned = self.nest.plant("the body of an unsigned webhook");
        self.ask("/v1/hooks/shop", "", &good.replace("v9", &unsigned), false);
        let wrongly = self.nest.plant("the body of a wrongly signed webhook");
        let wrong = format!("x-pointsman-timestamp: {now}\r\nx-pointsman-signature: sha256={}\r\n", "00".repeat(32));
        self.ask("/v1/hooks/shop", &wrong, &good.replace("v9", &wrongly), false);
        // Signed, and yet not as it must be: what is told of it must not repeat it.
        for (place, body) in [
            ("a field that is not known", "{\"version\":\"v9\",\"artifact\":\"a\",\"password\":\"SECRET\"}"),
            ("the name of a field that is not known", "{\"version\":\"v9\",\"artifact\":\"a\",\"SECRET\":1}"),
            ("a field of a wrong type", "{\"version\":\"v9\",\"artifact\":\"a\",\"build\":\"SECRET\"}"),
            ("a body that breaks off", "{\"version\":\"v9\",\"artifact\":\"a\",\"link\":\"SECRET"),
            ("a body that is a text", "\"SECRET\""),
            (
                "a link with a password",
                "{\"version\":\"v9\",\"artifact\":\"a\",\"link\":\"https://ci:SECRET@ci.example/9\"}",
            ),
        ] {
            let secret = self.nest.plant(&format!("a signed webhook: {place}"));
            self.signed(&body.replace("SECRET", &secret));
        }
    }

    fn signed(&mut self, body: &str) {
        let headers = self.house.signature(body);
        self.ask("/v1/hooks/shop", &headers, body, false);
    }

    /// What people get wrong when they ask.
    fn wrong_tokens(&mut self) {
        let bearer = self.nest.plant("a wrong token");
        self.ask("/v1/environments", &format!("authorization: Bearer {bearer}\r\n"), "", false);
        let basic = STANDARD.encode(format!("alice:{}", self.nest.plant("a password")));
        self.ask("/v1/environments", &format!("authorization: Basic {basic}\r\n"), "", false);
        let query = self.nest.plant("a token in the query");
        self.ask(&format!("/v1/environments?access_token={query}"), "", "", false);
        let token = self.nest.plant("POINTSMAN_TOKEN of a command");
        self.commands(&[("POINTSMAN_TOKEN", &token)]);
        let broken = format!("{}\n\u{7f}", self.nest.plant("a token that is no header"));
        self.run(&[("POINTSMAN_TOKEN", &broken)], &["status"]);
        let file = self.nest.plant("POINTSMAN_TOKEN_FILE of a command");
        secret_file(&self.house, "secrets/mine", &file);
        self.run(&[("POINTSMAN_TOKEN_FILE", "secrets/mine")], &["status"]);
        let (one, two) =
            (self.nest.plant("the password in the server's address"), self.nest.plant("the same, refused"));
        let address = self.house.address;
        self.run(&[("POINTSMAN_SERVER", &format!("http://alice:{one}@{address}:7070"))], &["status"]);
        self.run(&[("POINTSMAN_SERVER", &format!("http://alice:{two}@{address}:1"))], &["status"]);
    }

    /// Secrets where only the name of their place belongs, and mistakes beside them.
    fn wrong_files(&mut self) {
        for (place, what) in [
            ("a list of keys", "[webhook]\nsecrets = [\"SECRET\"]\n"),
            ("the keys", "[webhook]\nsecrets = \"SECRET\"\n"),
            ("a key that is called otherwise", "[webhook]\nsecret = \"SECRET\"\n"),
            ("a key's value", "[webhook]\nsecrets = [{ value = \"SECRET\" }]\n"),
            ("the name of an unknown field", "[webhook]\nsecrets = [{ SECRET = \"x\" }]\n"),
            ("a text without an end", "[webhook]\nsecrets = [\"SECRET]\n"),
            ("a line that is no TOML", "[webhook]\nsecrets = SECRET\n"),
            ("a key and one more of the name", "[webhook]\nsecret = \"SECRET\"\nsecret = 1\n"),
            ("an address of git", "[source]\ngit = \"https://ci:SECRET@git.example/x.git\"\nuser = 3\n"),
            ("a password of git", "[source]\ngit = \"https://git.example/x.git\"\npassword = \"SECRET\"\n"),
        ] {
            let secret = self.nest.plant(&format!("a pipeline file: {place}"));
            self.house.write("wrong/pipeline.toml", &what.replace("SECRET", &secret));
            self.run(&[], &["check", "wrong/pipeline.toml"]);
        }
        for (place, what) in [
            ("the token", "[server]\ntoken = \"SECRET\"\n"),
            ("the token, nearly", "[server]\ntoken = { value = \"SECRET\" }\n"),
            ("a key that is not known", "[server]\npassword = \"SECRET\"\n"),
            ("a line that is no TOML", "[server]\ntoken = SECRET listen = 1\n"),
        ] {
            let secret = self.nest.plant(&format!("pointsman.toml: {place}"));
            self.house.write("wrong/pointsman.toml", &what.replace("SECRET", &secret));
            self.run(&[], &["serve", "--config", "wrong/pointsman.toml"]);
        }
        let secret = self.nest.plant("a stack definition: a secret's value");
        let definition = format!("command = [\"x\"]\nsecrets = {{ DB = \"{secret}\" }}\n");
        self.house.write("wrong/stacks/app.toml", &definition);
        let pipeline = SAFE.replace("ADDRESS", "127.0.0.1").replace("../stacks/process", "stacks");
        self.house.write("wrong/other.toml", &pipeline.replace("on-promotion", "on-build"));
        self.run(&[], &["check", "wrong/other.toml"]);
    }

    /// The command lines of all processes; and their environments, without what they are meant to have there.
    fn look_at_processes(&mut self) {
        for process in self.house.processes() {
            let read = |what: &str| fs::read(format!("/proc/{}/{what}", process.pid)).unwrap_or_default();
            self.nest.hear("command lines", &read("cmdline"));
            if process.runs("serve") {
                continue;
            }
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let of_stack = process.stack.is_some() && !process.runs("stack-run");
            let meant = self.of_stacks.iter().filter(|_| of_stack);
            let rest = meant.fold(environment, |text, secret| text.replace(secret.as_str(), ""));
            self.nest.hear("environments", rest.as_bytes());
        }
    }

    fn search(mut self) {
        let (state, log) = (self.house.path("state"), self.house.log());
        self.nest.hear("the log", log.as_bytes());
        let events = self.stream.lock().expect("nobody panicked").clone();
        assert!(String::from_utf8_lossy(&events).contains("went_live"), "nothing was streamed");
        self.nest.hear("the event stream", &events);
        self.nest.hear_files(&state, &[&state.join("token")]);
        for entry in fs::read_dir(self.house.path("")).expect("a folder").filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with("core") {
                self.nest.hear_files(&entry.path(), &[]);
                self.nest.hear("a core", &fs::read(entry.path()).unwrap_or_default());
            }
        }
        let history = "pointsman history shop/live --json";
        for said in ["the row 400 of a long output with [secret] in it", "the last word is [secret]"] {
            assert!(self.nest.heard(history, said), "no hook said {said:?}");
        }
        let found = self.nest.found();
        assert!(found.is_empty(), "{}\n\n{}", found.join("\n"), self.nest.legend());
    }
}

/// A file that only its owner reads.
fn secret_file(house: &House, name: &str, text: &str) {
    house.write(name, text);
    fs::set_permissions(house.path(name), fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Hooks that say all they know, and all they can read.
const LOUD: &str = r#"
[[environments.hooks]]
name = "loud"
at = "after-checks"
command = ["sh", "-c", """
env; env >&2; cat ../secrets/key ../secrets/second ../secrets/third ../secrets/standard; printf %s "$DB" | base64
for n in $(seq 400); do echo "the row $n of a long output with $ZONE in it"; done"""]
secrets = ["db", "zone"]
[[environments.hooks]]
name = "bad"
at = "on-retire"
command = ["sh", "-c", "echo the last word is $DB; exit 1"]
secrets = ["db"]
"#;

/// An environment whose front speaks TLS.
const SAFE: &str = r#"
[[environments]]
name = "safe"
deploy = "on-promotion"
stack = { driver = "process", definition = "../stacks/process/app.toml", secrets = ["db", "zone"] }
front = { driver = "builtin", listen = "ADDRESS:8443", tls = { certificate = "../secrets/cert.pem", key = "../secrets/tls.key" } }
bake = "200ms"
watch = "100ms"
[[environments.checks]]
http = { path = "/healthz", status = 200 }
every = "50ms"
passes = 2
"#;
