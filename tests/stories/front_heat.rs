//! The template of a web front, stood up by a real Heat as far as a host that is not ours can be: a real nginx with the
//! site, which the driver then repoints, and users come to by TLS.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use pointsman::{
    clock::Clock,
    web_front::{CutOver, nginx},
};
use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, cloud},
    herd::{route, stack},
    peers::need,
};

/// How long a stack may take here.
const PATIENCE: u64 = 60_000;

fn template() -> (String, BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web_front");
    let text = fs::read_to_string(folder.join("heat.yaml")).expect("it is shipped");
    let names = text.split("get_file: ").skip(1).filter_map(|rest| rest.split('}').next());
    let file = |name: &str| (name.to_owned(), fs::read_to_string(folder.join(name)).expect("it is beside it"));
    let files = names.map(file).collect();
    (text, files)
}

/// What the servers of fronts have said.
fn logs(cloud: &Cloud) -> String {
    let servers = cloud.clouds.ancestors().nth(2).expect("its folder").join("servers");
    let names = ["console.log", "user_data.log", "root/var/log/pointsman-front.log", "root/error.log"];
    let of = |server: fs::DirEntry| names.map(|name| fs::read_to_string(server.path().join(name)).unwrap_or_default());
    fs::read_dir(servers).expect("servers").filter_map(Result::ok).flat_map(of).collect()
}

/// Waits for the stack; gives its outputs.
async fn outputs(cloud: &Cloud, path: &str) -> BTreeMap<String, String> {
    let clock = Clock::real();
    let began = clock.now();
    loop {
        let (_, answer) = cloud.ask("GET", path, &Value::Null);
        let stack = &answer["stack"];
        if stack["stack_status"] == "CREATE_COMPLETE" {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let list = stack["outputs"].as_array().expect("outputs");
            return list.iter().map(|o| (text(&o["output_key"]), text(&o["output_value"]))).collect();
        }
        let waits = stack["stack_status"] == "CREATE_IN_PROGRESS" && clock.now().since(began).0 < PATIENCE;
        assert!(waits, "{answer:#}\n{}", logs(cloud));
        clock.wait(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_shipped_front_comes_up_and_is_repointed() {
    let Some(cloud) = cloud() else { return };
    let (Some(program), Some(_), Some(_)) = (need("nginx"), need("setpriv"), need("ssh-keygen")) else { return };
    let _shared = cloud.in_use.read().await;
    let (template, files) = template();
    let parameters = json!({ "name": "reporting-qa", "server_name": "qa.reporting.example", "image": "front",
                             "controller": "10.0.0.5/32", "login_key": "ssh-ed25519 AAAA pointsman's" });
    let mut body = json!({ "template": template, "files": files });
    let (status, answer) = cloud.ask("POST", "/validate", &body);
    assert_eq!(status, 200, "{answer}");
    body["stack_name"] = "web-front".into();
    body["parameters"] = parameters;
    body["timeout_mins"] = 5.into();
    let id = cloud.make(&body);
    let path = format!("/stacks/{}", id.replace(' ', "/"));
    let outputs = outputs(cloud, &path).await;
    let address = &outputs["address"];
    assert_eq!(&outputs["private_address"], address, "without a floating address it has but one");

    let (_, server) = cloud.ask("GET", &format!("{path}/resources/server"), &Value::Null);
    let server = server["resource"]["physical_resource_id"].as_str().expect("a server");
    let root = cloud.clouds.ancestors().nth(2).expect("its folder").join("servers").join(server).join("root");
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it was made");
    let key = read("etc/ssh/ssh_host_ed25519_key.pub");
    assert!(outputs["host_key"].len() > 60 && key.starts_with(&outputs["host_key"]), "{outputs:?} {key}");
    assert_eq!(read("home/deploy/.ssh/authorized_keys"), "ssh-ed25519 AAAA pointsman's\n");
    let may = "deploy ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload\n";
    assert_eq!(read("etc/sudoers.d/pointsman"), may);
    let asked = read("asked");
    for what in ["install -qy --no-install-recommends nginx openssl sudo", "visudo -cf", "systemctl enable nginx"] {
        assert!(asked.contains(what), "{asked}");
    }

    let (configuration, state) = (root.join("etc/nginx/nginx.conf"), tempfile::tempdir().expect("a folder"));
    let settings = format!(
        "include = {:?}\nfolder = {:?}\nread_back = \"{address}:8099\"\nnginx = [{program:?}, \"-p\", {root:?}, \"-c\", \
         {configuration:?}]\ntimeouts = {{ command = \"30s\", reload = \"20s\", farewell = \"100ms\" }}\n\
         public = {{ url = \"https://qa.reporting.example:8443/\", address = \"{address}:8443\", ca = {:?} }}\n",
        root.join("etc/nginx/pointsman/reporting-qa.conf"),
        root.join("var/lib/pointsman/reporting-qa"),
        root.join("etc/nginx/pointsman-tls/reporting-qa.pem")
    );
    let driver = nginx::open(&settings.parse().expect("TOML"), &root, state.path()).expect("it opens");
    driver.ensure_running().await.expect("it runs");
    for number in [1, 2] {
        let target = stack(number);
        driver.stage(&target).await.expect("it is staged");
        assert_eq!(driver.cut_over(&route(number.into(), &target)).await.expect("it is ours"), CutOver::Applied);
        assert_eq!(driver.ask_public().await.expect("TLS").map(|name| name.number.0), Some(number));
    }
    cloud.delete(&[id]);
}

#[tokio::test]
async fn a_front_that_can_not_be_made_says_which_step_failed() {
    let Some(cloud) = cloud() else { return };
    let (Some(_), Some(_), Some(_)) = (need("nginx"), need("setpriv"), need("ssh-keygen")) else { return };
    let _shared = cloud.in_use.read().await;
    let (template, files) = template();
    let parameters = json!({ "name": "reporting-qa", "server_name": "qa.reporting.example", "image": "front",
                             "controller": "10.0.0.5/32", "login_key": "none", "certificate": "no PEM",
                             "certificate_key": "$(touch \"$ROOT/owned\")" });
    let body = json!({ "stack_name": "web-front-broken", "template": template, "files": files, "timeout_mins": 5,
                       "parameters": parameters });
    let id = cloud.make(&body);
    let (clock, path) = (Clock::real(), format!("/stacks/{}", id.replace(' ', "/")));
    let began = clock.now();
    let why = loop {
        let stack = cloud.ask("GET", &path, &Value::Null).1["stack"].clone();
        if stack["stack_status"] == "CREATE_FAILED" {
            break stack["stack_status_reason"].to_string();
        }
        assert!(clock.now().since(began).0 < PATIENCE, "{stack:#}");
        clock.wait(Duration::from_millis(100)).await;
    };
    assert!(why.contains("making the site failed"), "{why}");
    let servers = cloud.clouds.ancestors().nth(2).expect("its folder").join("servers");
    let owned = |server: fs::DirEntry| server.path().join("root/owned").exists();
    assert!(!fs::read_dir(servers).expect("servers").filter_map(Result::ok).any(owned), "a parameter was executed");
    cloud.delete(&[id]);
}
