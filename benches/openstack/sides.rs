//! The three ways to one deployment. Each leaves its newest stack live, and the next round replaces it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Took,
    cloud::Cloud,
    faults::Proxy,
    house::House,
    nginx::Nginx,
    wire::{Answer, Wire},
};

const TEMPLATE: &str = include_str!("deploy.yaml");
/// Where the application listens, in this cloud.
const PORT: u16 = 8088;
/// A second, in the units of /proc.
const TICKS: f64 = 100.0;
/// However slow the machine, this long is a failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks every few milliseconds.
pub fn until<T>(what: &str, pause: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(pause));
    }
}

fn ask(at: SocketAddr, path: &str) -> Option<Answer> {
    Wire::open(at).ok()?.ask("GET", path, "", "").ok()
}

fn version(front: SocketAddr) -> Option<String> {
    ask(front, "/")?.headers.get("x-version").cloned()
}

fn counted(proxy: &Proxy) -> (usize, usize) {
    let asked = proxy.asked();
    if std::env::var_os("SHOW_CALLS").is_some() {
        println!("{}", asked.join("\n"));
    }
    (asked.len(), asked.iter().filter(|a| a.starts_with("GET /stacks?") || *a == "GET /stacks").count())
}

/// What Heat itself takes, asked every 50 ms by a client that knows what it wants and moves no traffic.
pub struct Floor {
    proxy: Proxy,
    old: Option<String>,
    made: u32,
}

/// Somebody who has signed in.
struct Rest {
    heat: SocketAddr,
    project: String,
    token: String,
}

impl Rest {
    fn sign_in(keystone: SocketAddr) -> Self {
        let domain = json!({ "id": "default" });
        let user = json!({ "name": "demo", "domain": domain, "password": "demo-password" });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let scope = json!({ "project": { "name": "demo", "domain": domain } });
        let body = json!({ "auth": { "identity": identity, "scope": scope } }).to_string();
        let mut wire = Wire::patient(keystone).unwrap();
        let answer = wire.ask("POST", "/v3/auth/tokens", "content-type: application/json\r\n", &body).unwrap();
        let token: Value = serde_json::from_str(&answer.body).unwrap();
        let catalog = token["token"]["catalog"].as_array().expect("a catalog");
        let heat = catalog.iter().find(|entry| entry["type"] == "orchestration").expect("Heat");
        let url = heat["endpoints"][0]["url"].as_str().expect("a url");
        let heat = url.split('/').nth(2).and_then(|host| host.parse().ok()).expect("an address");
        let project = token["token"]["project"]["id"].as_str().expect("an id").to_owned();
        Self { heat, project, token: answer.headers["x-subject-token"].clone() }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = format!("x-auth-token: {}\r\ncontent-type: application/json\r\n", self.token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/v1/{}{path}", self.project);
        let answer = Wire::patient(self.heat).and_then(|mut wire| wire.ask(method, &path, &headers, &body)).unwrap();
        serde_json::from_str(&answer.body).unwrap_or_default()
    }
}

impl Floor {
    pub fn new(cloud: &Cloud) -> Self {
        Self { proxy: Proxy::before(cloud), old: None, made: 0 }
    }

    pub fn deploy(&mut self, version: &str) -> Took {
        self.made += 1;
        let begun = Instant::now();
        let rest = Rest::sign_in(self.proxy.keystone);
        rest.ask("GET", "/stacks?tags=floor", &Value::Null);
        let name = format!("floor-{}", self.made);
        let body = json!({ "stack_name": name, "template": TEMPLATE, "tags": "floor", "timeout_mins": 5,
                           "parameters": { "version": version } });
        let made = rest.ask("POST", "/stacks", &body);
        let id = made["stack"]["id"].as_str().expect("it is made").to_owned();
        until("the floor's stack is there", 50, || {
            let list = rest.ask("GET", &format!("/stacks?id={id}"), &Value::Null);
            (list["stacks"][0]["stack_status"] == "CREATE_COMPLETE").then_some(())
        });
        let output = rest.ask("GET", &format!("/stacks/{name}/{id}/outputs/address"), &Value::Null);
        let address = output["output"]["output_value"].as_str().expect("an address");
        let at = format!("{address}:{PORT}").parse().unwrap();
        until("it is well", 20, || (ask(at, "/health")?.status == 200).then_some(()));
        let traffic = begun.elapsed();
        if let Some(old) = self.old.replace(format!("{name}/{id}")) {
            rest.ask("DELETE", &format!("/stacks/{old}"), &Value::Null);
            let path = format!("/stacks?id={}", old.split('/').nth(1).expect("an id"));
            until("the floor's old stack is gone", 50, || {
                rest.ask("GET", &path, &Value::Null)["stacks"].as_array()?.is_empty().then_some(())
            });
        }
        let (total, (calls, lists)) = (begun.elapsed(), counted(&self.proxy));
        Took { traffic, total, calls, lists, cpu: 0.0 }
    }
}

/// The classical script, its clients, and its nginx.
pub struct Classical {
    proxy: Proxy,
    nginx: Nginx,
    folder: tempfile::TempDir,
    client: PathBuf,
}

impl Classical {
    /// None when the clients are not installed.
    pub fn set_up(cloud: &Cloud) -> Option<Self> {
        let proxy = Proxy::before(cloud);
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/openstackclient/bin/openstack");
        if !client.is_file() {
            println!("OpenStack's clients are not installed: run benches/openstack/install.sh");
            return None;
        }
        let (nginx, folder) = (Nginx::set_up()?, tempfile::tempdir().unwrap());
        let clouds = fs::read_to_string(&cloud.clouds).unwrap();
        let clouds = clouds.replace(&cloud.keystone().to_string(), &proxy.keystone.to_string());
        fs::write(folder.path().join("clouds.yaml"), clouds).unwrap();
        let include = nginx.path("root_pass.inc");
        fs::write(&include, "return 503;\n").unwrap();
        let plain = fs::read_to_string(nginx.path("conf.d/plain.conf")).unwrap();
        let include = format!("include {};", include.display());
        let plain = plain.replace("proxy_pass http://$pointsman_slot;", &include);
        fs::write(nginx.path("conf.d/plain.conf"), plain).unwrap();
        nginx.run();
        Some(Self { proxy, nginx, folder, client })
    }

    pub fn deploy(&mut self, to: &str) -> Took {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/openstack");
        self.proxy.asked();
        let nginx = format!("{} {}", self.nginx.program.display(), self.nginx.arguments().join(" "));
        let mut command = Command::new("bash");
        // The shell's own `time` knows what all of the script's processes took.
        command.args(["-c", "TIMEFORMAT='cpu %U %S'; time \"$0\" \"$1\""]).arg(here.join("deploy_replace.sh")).arg(to);
        command.env("OPENSTACK", &self.client).env("STACK_PREFIX", "classical-").env("PORT", PORT.to_string());
        command.env("TEMPLATE", here.join("deploy.yaml")).env("CHANGE_PROXY", here.join("change_proxy.sh"));
        command.env("INCLUDE", self.nginx.path("root_pass.inc")).env("NGINX_COMMAND", nginx);
        command.env("OS_CLOUD", "test").env("OS_CLIENT_CONFIG_FILE", self.folder.path().join("clouds.yaml"));
        command.stderr(std::process::Stdio::piped());
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        until("the script has moved the traffic", 5, || (version(self.nginx.plain())? == to).then_some(()));
        let traffic = begun.elapsed();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        let times = said.lines().rev().find_map(|line| line.strip_prefix("cpu ")).expect("its times");
        let cpu = times.split(' ').map(|seconds| seconds.parse::<f64>().unwrap()).sum();
        let (total, (calls, lists)) = (begun.elapsed(), counted(&self.proxy));
        Took { traffic, total, calls, lists, cpu }
    }
}

/// Pointsman, the whole program, with an nginx of its own.
pub struct Ours<'c> {
    proxy: Proxy,
    cloud: &'c Cloud,
    nginx: Nginx,
    house: House,
    build: u64,
}

impl<'c> Ours<'c> {
    pub fn set_up(cloud: &'c Cloud) -> Option<Self> {
        let (nginx, proxy) = (Nginx::start()?, Proxy::before(cloud));
        let house = House::with("");
        let front = format!("driver = \"nginx\"\n{}", nginx.settings()).trim().replace('\n', ", ");
        let terms = "bake = \"100ms\"\nretain = \"none\"\ndrain = \"100ms\"";
        house.write("pipelines/shop.toml", &pipeline(cloud, &proxy, &front, terms));
        house.write("stacks/heat/deploy.yaml", TEMPLATE);
        house.write("stacks/heat/deploy.toml", &definition());
        house.start();
        Some(Self { proxy, cloud, nginx, house, build: 0 })
    }

    pub fn deploy(&mut self, to: &str) -> Took {
        self.build += 1;
        let installation = fs::read_to_string(self.house.path("state/stacks/heat/installation")).unwrap_or_default();
        self.proxy.asked();
        let (before, begun) = (self.cpu(), Instant::now());
        self.house.push_commit(to, &"0".repeat(40), &json!({}));
        until("Pointsman has moved the traffic", 5, || (version(self.nginx.plain())? == to).then_some(()));
        let traffic = begun.elapsed();
        self.house.settle();
        let (total, (calls, lists)) = (begun.elapsed(), counted(&self.proxy));
        let left = self.cloud.tagged(&format!("pointsman:installation:{}", installation.trim()));
        assert!(installation.is_empty() || left.len() == 1, "{left:?}");
        Took { traffic, total, calls, lists, cpu: self.cpu() - before }
    }

    /// Seconds of the controller and of all that it has run and waited for.
    fn cpu(&self) -> f64 {
        let serve = self.house.processes().into_iter().find(|p| p.runs("serve")).expect("it runs");
        let stat = fs::read_to_string(format!("/proc/{}/stat", serve.pid)).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        ticks as f64 / TICKS
    }

    /// When what was recorded of the last deployment, from its acceptance.
    pub fn phases(&self) -> String {
        let records = self.house.records();
        let last = records.iter().rposition(|r| r["event"]["kind"] == "accepted").unwrap_or_default();
        let begun = records[last]["at"].as_u64().unwrap_or_default();
        let one = |r: &Value| {
            let kind = r["event"]["kind"].as_str().unwrap_or_default().to_owned();
            format!("{kind} {} ms", r["at"].as_u64().unwrap_or_default().saturating_sub(begun))
        };
        records[last..].iter().map(one).collect::<Vec<_>>().join(", ")
    }

    pub fn end(self) {
        self.house.stop();
    }
}

/// How the benchmark's application is stood up.
pub fn definition() -> String {
    format!(
        "template = \"deploy.yaml\"\nendpoints = {{ output = \"address\", port = {PORT} }}\n\
         [parameters]\nversion = \"{{version}}\"\n"
    )
}

/// One environment on this cloud, with this front.
pub fn pipeline(cloud: &Cloud, proxy: &Proxy, front: &str, terms: &str) -> String {
    let (clouds, keystone) = (cloud.clouds.display(), proxy.keystone);
    format!(
        r#"[webhook]
secrets = [{{ file = "../secrets/key" }}]
[[environments]]
name = "live"
deploy = "on-build"
front = {{ {front} }}
{terms}
[environments.stack]
driver = "heat"
cloud = {{ name = "test", file = "{clouds}", auth_url = "http://{keystone}/v3" }}
definition = "../stacks/heat/deploy.toml"
[[environments.checks]]
http = {{ path = "/health" }}
every = "50ms"
passes = 2
"#
    )
}
