//! The shipped pipeline from a webhook to users, against a real Keystone and Heat, behind two real nginx that end TLS and
//! are reached over ssh. Only addresses, and how long everything takes, are not what is shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use reqwest::{Certificate, blocking::Client, redirect};
use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, cloud},
    house::House,
    nginx::Nginx,
    wire::{Answer, Hammer, Wire},
};

/// One of the two environments, as its users have it.
struct Site {
    name: &'static str,
    host: &'static str,
    nginx: Nginx,
}

impl Site {
    fn of(name: &'static str, host: &'static str) -> Option<Self> {
        let nginx = Nginx::of(if name == "qa" { "reporting-qa" } else { "reporting-prod" }, host)?;
        Some(Self { name, host, nginx })
    }

    fn get(&self, url: &str) -> reqwest::Result<reqwest::blocking::Response> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = Certificate::from_pem(&fs::read(self.nginx.certificate()).unwrap()).unwrap();
        let client = Client::builder().redirect(redirect::Policy::none()).tls_certs_only([certificate]);
        let client = client.resolve(self.host, self.nginx.tls()).timeout(Duration::from_secs(10)).https_only(true);
        client.build().unwrap().get(url).send()
    }

    /// The version that a browser gets, which trusts this front's certificate and no other.
    fn version(&self) -> Option<String> {
        let answer = self.get(&format!("https://{}:{}/", self.host, self.nginx.tls().port())).expect("TLS");
        let version = answer.headers().get("x-version").map(|v| v.to_str().unwrap().to_owned());
        if version.is_some() {
            let policies: Vec<_> = answer.headers().get_all("referrer-policy").iter().collect();
            assert_eq!(policies, ["same-origin"], "what the application says itself goes out, and once");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "what it does not say, the site says");
        }
        version
    }

    fn assert_sends_on_to_https(&self) {
        let mut wire = Wire::open(self.nginx.http()).unwrap();
        let moved = wire.ask("GET", "/a?b=c", "", "").unwrap();
        let to = format!("https://{}:{}/a?b=c", self.nginx.http().ip(), self.nginx.tls().port());
        assert_eq!((moved.status, &moved.headers["location"]), (301, &to));
    }

    /// The front of this environment as it is shipped, at this nginx.
    fn front(&self, shipped: &str) -> String {
        let mut front = String::from("[environments.front]\ndriver = \"nginx\"\n");
        front += &self.nginx.settings().lines().filter(|l| !l.starts_with("public")).collect::<Vec<_>>().join("\n");
        front += &format!("\n{}", self.nginx.ssh("user_key", "known_hosts"));
        let public = shipped.lines().find(|line| line.starts_with("public = ")).expect("it is asked as users ask");
        let url = public.split('"').nth(1).expect("a url").replace(self.host, &format!("{}:8443", self.host));
        let (address, ca) = (self.nginx.tls(), self.nginx.certificate());
        front + &format!("public = {{ url = {url:?}, address = \"{address}\", ca = {ca:?} }}\n")
    }
}

/// The shipped pipeline and what it names, with these addresses.
fn house(cloud: &Cloud, sites: &[Site; 2]) -> House {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it is shipped");
    let house = House::with("");
    fs::remove_file(house.path("pipelines/shop.toml")).expect("it was there");
    for file in ["reporting.yaml", "reporting/install.sh", "reporting/extra_ssh_keys.pub"] {
        house.write(&format!("stacks/heat/{file}"), &read(&format!("stacks/heat/{file}")));
    }
    house.write("stacks/heat/reporting/extra_ssh_keys.pub", &format!("{KEY}\n"));
    house
        .write("stacks/heat/reporting.toml", &read("stacks/heat/reporting.toml").replace("port = 80 ", "port = 8088 "));
    let mut pipeline = read("pipelines/reporting.toml");
    for site in sites {
        let begin = pipeline.find(&format!("name = \"{}\"", site.name)).expect("the environment");
        let begin = begin + pipeline[begin..].find("[environments.front]").expect("its front");
        let end = begin + pipeline[begin..].find("[[environments.checks]]").expect("its checks");
        let front = site.front(&pipeline[begin..end]);
        pipeline.replace_range(begin..end, &front);
        house.write(&format!("pipelines/secrets/{}/openstack", site.name), "pointsman-password\n");
        let settings = format!("DATABASE = \"the one of {}\"\n", site.name);
        house.write(&format!("pipelines/secrets/{}/local_settings.py", site.name), &settings);
    }
    for (shipped, here) in [
        ("https://keystone.example/v3", format!("http://{}/v3", cloud.keystone()).as_str()),
        ("\"debian-12\"", "\"app\"\nport = \"8088\""),
        // The image's own user is nobody of this host.
        ("login = \"debian\"", "login = \"\"\noperators = \"10.0.0.0/24\""),
        ("every = \"2s\"", "every = \"50ms\""),
        ("bake = \"1m\"", "bake = \"300ms\"\nwatch = \"100ms\"\ndrain = \"1s\""),
        ("bake = \"5m\"", "bake = \"300ms\"\nwatch = \"100ms\"\ndrain = \"1s\""),
    ] {
        assert!(pipeline.contains(shipped), "{shipped}");
        pipeline = pipeline.replace(shipped, here);
    }
    house.write("pipelines/reporting.toml", &pipeline);
    let key = fs::read_to_string(house.path("secrets/key")).expect("a key");
    house.write("pipelines/secrets/reporting.key", &key);
    house
}

fn announce(house: &House, build: u32, version: &str, branch: &str, signed: bool) -> Answer {
    let body = json!({ "version": version, "artifact": "none", "build": build, "branch": branch }).to_string();
    let signature = if signed { house.signature(&body) } else { String::new() };
    let wire = Wire::open((house.address, 7070).into());
    wire.and_then(|mut wire| wire.ask("POST", "/v1/hooks/reporting", &signature, &body)).expect("it answers")
}

fn environment(house: &House, name: &str) -> Value {
    let answer = house.try_ask("GET", &format!("/v1/environments/reporting/{name}"), "").expect("it answers");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Waits for a version to be live and good in an environment.
fn until_good(house: &House, site: &Site, version: &str) {
    house.until(&format!("{version} is good in {}", site.name), || {
        let now = environment(house, site.name);
        (now["live"]["release"]["version"] == version && now["candidate"].is_null()).then_some(())
    });
    assert_eq!(site.version().as_deref(), Some(version), "{}", house.log());
}

#[track_caller]
fn assert_done(house: &House, done: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{said}\n{}", house.log());
}

/// Who may log in besides.
const KEY: &str = "ssh-ed25519 AAAA somebody";

/// What stands in a file of the server of the live stack.
fn of_live(cloud: &Cloud, site: &Site, file: &str) -> String {
    let answer = site.get(&format!("https://{}:{}/", site.host, site.nginx.tls().port())).expect("TLS");
    let text = answer.text().expect("text");
    let name = text.split_whitespace().next_back().expect("it says which server it is");
    for server in fs::read_dir(servers(cloud)).expect("servers").filter_map(Result::ok) {
        let facts = fs::read_to_string(server.path().join("facts.json")).unwrap_or_default();
        if serde_json::from_str::<Value>(&facts).is_ok_and(|facts| facts["name"] == name) {
            return fs::read_to_string(server.path().join(file)).expect("it is installed");
        }
    }
    panic!("there is no server {name}");
}

/// What the application was told at its start.
const SETTINGS: &str = "reporting/local_settings.py";

fn servers(cloud: &Cloud) -> PathBuf {
    cloud.clouds.ancestors().nth(2).expect("its folder").join("servers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_goes_live_in_qa_a_person_promotes_it_and_takes_it_back() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let (Some(qa), Some(prod)) = (Site::of("qa", "qa.reporting.example"), Site::of("prod", "reporting.example")) else {
        return;
    };
    let sites = [qa, prod];
    tokio::task::block_in_place(|| play(cloud, &sites));
}

fn play(cloud: &Cloud, sites: &[Site; 2]) {
    let [qa, prod] = sites;
    let house = house(cloud, sites);
    assert_done(&house, &house.run(&["check"]));
    house.start();
    assert_eq!(announce(&house, 1, "v1", "main", false).status, 401, "nobody has signed it");
    assert_eq!(announce(&house, 1, "v1", "topic", true).status, 200, "another branch is nothing to act on");
    let accepted = announce(&house, 2, "v1", "main", true);
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    until_good(&house, qa, "v1");
    sites.iter().for_each(Site::assert_sends_on_to_https);
    assert_eq!(prod.version(), None, "nobody has promoted anything");

    assert_done(&house, &house.run(&["promote", "reporting/prod", "--yes", "--watch"]));
    until_good(&house, prod, "v1");
    for (site, told) in [(qa, "the one of qa"), (prod, "the one of prod")] {
        let settings = of_live(cloud, site, SETTINGS);
        assert!(settings.contains(told) && settings.contains("SECRET_KEY"), "{settings}");
    }

    // A version is text wherever it comes to, whatever it looks like.
    let next = "v2-$(touch owned)";
    let hammer = Hammer::on(prod.nginx.plain());
    let accepted = announce(&house, 3, next, "main", true);
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    until_good(&house, qa, next);
    assert_done(&house, &house.run(&["promote", "reporting/prod", "--yes", "--watch"]));
    until_good(&house, prod, next);
    assert!(of_live(cloud, prod, SETTINGS).contains("the one of prod"));
    assert_eq!(of_live(cloud, prod, ".ssh/authorized_keys").lines().collect::<Vec<_>>(), [KEY]);

    let rolled = house.run(&["rollback", "reporting/prod", "--reason", "orders-fail", "--watch"]);
    assert_done(&house, &rolled);
    assert_eq!(prod.version().as_deref(), Some("v1"), "{}", house.log());
    assert_eq!(qa.version().as_deref(), Some(next), "qa is another environment");
    let seen = hammer.end();
    let wrong: Vec<_> = seen.failures.iter().filter(|f| f.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(wrong.is_empty() && seen.versions.len() == 2, "{seen:?}");
    let owned =
        fs::read_dir(servers(cloud)).expect("servers").filter_map(Result::ok).any(|s| s.path().join("owned").exists());
    assert!(!owned, "something of a version was executed");
    house.stop();
    assert_done(&house, &house.run(&["journal", "verify"]));
}

/// Every pipeline that is shipped can be looked at before there is anything of it.
#[test]
fn every_shipped_pipeline_can_be_planned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut planned = Vec::new();
    for file in fs::read_dir(root.join("pipelines")).expect("pipelines").filter_map(Result::ok) {
        let name = file.path().file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(file.path()).expect("it can be read");
        let file: toml::Table = text.parse().expect("TOML");
        for environment in file["environments"].as_array().expect("environments") {
            let id = format!("{name}/{}", environment["name"].as_str().expect("a name"));
            let folder = tempfile::tempdir().expect("a folder");
            let settings = format!("pipelines = {:?}\nstate = \"state\"\n", root.join("pipelines"));
            fs::write(folder.path().join("pointsman.toml"), settings).expect("written");
            let program = env!("CARGO_BIN_EXE_pointsman");
            let done = std::process::Command::new(program)
                .args(["plan", &id, "--offline"])
                .current_dir(folder.path())
                .output();
            let done = done.expect("it runs");
            assert!(done.status.success(), "{id}: {done:?}");
            planned.push(id);
        }
    }
    planned.sort();
    assert_eq!(planned, ["demo/live", "reporting/prod", "reporting/qa"]);
}
