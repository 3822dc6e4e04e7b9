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

/// What Heat itself takes, asked every 50 ms by a client that knows what it wants, has signed in, and moves no traffic.
pub struct Floor<'c> {
    cloud: &'c Cloud,
    old: Option<String>,
    made: u32,
}

impl<'c> Floor<'c> {
    pub fn new(cloud: &'c Cloud) -> Self {
        Self { cloud, old: None, made: 0 }
    }

    pub fn deploy(&mut self, version: &str) -> Took {
        self.made += 1;
        let (begun, mut calls, mut lists) = (Instant::now(), 0, 0);
        let mut ask = |method: &str, path: &str, body: &Value| {
            calls += 1;
            lists += usize::from(path.starts_with("/stacks?"));
            self.cloud.ask(method, path, body).1
        };
        ask("GET", "/stacks?tags=floor", &Value::Null);
        let name = format!("floor-{}", self.made);
        let body = json!({ "stack_name": name, "template": TEMPLATE, "tags": "floor", "timeout_mins": 5,
                           "parameters": { "version": version } });
        let made = ask("POST", "/stacks", &body);
        let id = made["stack"]["id"].as_str().expect("it is made").to_owned();
        until("the floor's stack is there", 50, || {
            let status = ask("GET", &format!("/stacks?id={id}"), &Value::Null)["stacks"][0]["stack_status"].clone();
            (status == "CREATE_COMPLETE").then_some(())
        });
        let output = ask("GET", &format!("/stacks/{name}/{id}/outputs/address"), &Value::Null);
        let address = output["output"]["output_value"].as_str().expect("an address");
        let at = format!("{address}:{PORT}").parse().unwrap();
        until("it is well", 20, || (crate::sides::ask(at, "/health")?.status == 200).then_some(()));
        let traffic = begun.elapsed();
        if let Some(old) = self.old.replace(format!("{name}/{id}")) {
            ask("DELETE", &format!("/stacks/{old}"), &Value::Null);
            let id = old.split('/').nth(1).expect("an id");
            until("the floor's old stack is gone", 50, || {
                ask("GET", &format!("/stacks?id={id}"), &Value::Null)["stacks"].as_array()?.is_empty().then_some(())
            });
        }
        Took { traffic, total: begun.elapsed(), calls, lists, cpu: 0.0 }
    }
}

/// The classical script, its clients, and its nginx.
pub struct Classical<'p> {
    proxy: &'p Proxy,
    nginx: Nginx,
    folder: tempfile::TempDir,
    client: PathBuf,
}

impl<'p> Classical<'p> {
    /// None when the clients are not installed.
    pub fn set_up(cloud: &Cloud, proxy: &'p Proxy) -> Option<Self> {
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
        let (total, (calls, lists)) = (begun.elapsed(), counted(self.proxy));
        Took { traffic, total, calls, lists, cpu }
    }
}

/// Pointsman, the whole program, with an nginx of its own.
pub struct Ours<'p> {
    proxy: &'p Proxy,
    cloud: &'p Cloud,
    nginx: Nginx,
    house: House,
    build: u64,
}

impl<'p> Ours<'p> {
    pub fn set_up(cloud: &'p Cloud, proxy: &'p Proxy) -> Option<Self> {
        let nginx = Nginx::start()?;
        let house = House::with("");
        let front = format!("driver = \"nginx\"\n{}", nginx.settings()).trim().replace('\n', ", ");
        let terms = "bake = \"100ms\"\nretain = \"none\"\ndrain = \"100ms\"";
        house.write("pipelines/shop.toml", &pipeline(cloud, proxy, &front, terms));
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
        let (total, (calls, lists)) = (begun.elapsed(), counted(self.proxy));
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
