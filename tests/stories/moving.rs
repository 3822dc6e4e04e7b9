//! Moving over from the script: its own parameter file, its template and its `change_proxy.sh`, from `import` to the first
//! deployment, on a real Heat and through a real ssh and nginx. And profiles that would like to be executed.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, cloud},
    git::Sshd,
    house::House,
    nginx::Nginx,
    wire::Wire,
};

const PROFILE: &str = r#"#!/bin/bash
# Parameters of qa.
export OS_AUTH_URL=http://KEYSTONE/v3
export OS_PROJECT_NAME="demo"
export OS_USERNAME="demo"
export OS_PASSWORD='demo-password'
export OS_REGION_NAME="RegionOne"
if [ -z "$OS_REGION_NAME" ]; then unset OS_REGION_NAME; fi

STACK_PREFIX="reporting_qa_"
STACK_KEY=operators
STACK_IMAGE_ID=app
STACK_FLAVOR_ID="2"
STACK_SECURITY_GROUP_ID=6d2f
SCRIPT_HOME=HOUSE/scripts
LOCAL_SETTINGS_PY_SRC="$SCRIPT_HOME/qa/local_settings.py"
EXTRA_SSH_KEYS="${SCRIPT_HOME}/qa/extra_ssh_keys.pub"
WEB_FRONT_USER=ubuntu
WEB_FRONT_IP=127.0.0.1
WAIT_CHECK_SECONDS=30
"#;

/// A template as old as the script.
const TEMPLATE: &str = r#"heat_template_version: 2014-10-16
parameters:
  key_name: {type: string}
  image_id: {type: string}
  instance_type: {type: string}
  availability_zone: {type: string, default: nova}
  web_front_sec_id: {type: string}
resources:
  secret_key: {type: "OS::Heat::RandomString"}
  handle: {type: "OS::Heat::WaitConditionHandle"}
  installed:
    type: OS::Heat::WaitCondition
    depends_on: server
    properties: {handle: {get_resource: handle}, count: 1, timeout: 600}
  only_the_front:
    type: OS::Neutron::SecurityGroup
    properties:
      rules: [{protocol: tcp, port_range_min: 80, port_range_max: 80, remote_mode: remote_group_id, remote_group_id: {get_param: web_front_sec_id}}]
  server:
    type: OS::Nova::Server
    properties:
      image: {get_param: image_id}
      flavor: {get_param: instance_type}
      key_name: {get_param: key_name}
      availability_zone: {get_param: availability_zone}
      security_groups: [{get_resource: only_the_front}]
      networks: [{network: private}]
      user_data_format: RAW
      user_data:
        str_replace:
          template: |
            #!/bin/bash
            cat > local_settings.py <<'EOF'
            $LOCAL_SETTINGS
            SECRET_KEY = '$SECRET_KEY'
            EOF
            curl -fsS --retry 50 --retry-connrefused --retry-delay 1 http://$ADDRESS:$PORT/ && wc_notify --data-binary '{"status": "SUCCESS"}'
          params:
            $LOCAL_SETTINGS: {get_file: local_settings.py}
            $KEYS: {get_file: extra_ssh_keys.pub}
            $SECRET_KEY: {get_attr: [secret_key, value]}
            wc_notify: {get_attr: [handle, curl_cli]}
outputs:
  instance_ip: {value: {get_attr: [server, first_address]}}
  website_url: {value: {str_replace: {template: "http://host/", params: {host: {get_attr: [server, first_address]}}}}}
"#;

const CHANGE_PROXY: &str = r#"#!/bin/bash
[[ $1 =~ ^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "$1 is no IPv4 address" >&2; exit 1; }
echo "proxy_pass http://$1:8088;" > INCLUDE
NGINX -s reload
"#;

/// A house beside the folder of the scripts, and nothing of Pointsman's in it yet.
fn house(profile: &str) -> House {
    let house = House::with("");
    fs::remove_file(house.path("pipelines/shop.toml")).expect("it was there");
    let here = house.path("").display().to_string();
    house.write("scripts/qa/profile.sh", &profile.replace("HOUSE/", &here));
    house.write("scripts/deploy.yaml", TEMPLATE);
    house.write("scripts/qa/local_settings.py", "DATABASE = 'swordfish'");
    house.write("scripts/qa/extra_ssh_keys.pub", "ssh-ed25519 AAAA someone\n");
    house
}

const IMPORT: [&str; 11] = [
    "import",
    "openstack-profile",
    "scripts/qa/profile.sh",
    "--name",
    "reporting",
    "--environment",
    "qa",
    "--port",
    "8088",
    "--check",
    "/health",
];

#[track_caller]
fn assert_done(house: &House, done: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{said}\n{}", house.log());
    said
}

/// The web front as the script's users have it: an nginx with one include, and `change_proxy.sh` in the home of a user.
fn old_front(house: &House) -> Option<(Nginx, Sshd)> {
    let nginx = Nginx::set_up()?;
    let home = house.path("front");
    let sshd = Sshd::with(&format!("ForceCommand cd {} && eval \"$SSH_ORIGINAL_COMMAND\"", home.display()))?;
    let include = nginx.path("root_pass.inc");
    fs::write(&include, "return 503;\n").unwrap();
    let site = fs::read_to_string(nginx.path("conf.d/plain.conf")).unwrap();
    let site = site.replace("proxy_pass http://$pointsman_slot;", &format!("include {};", include.display()));
    fs::write(nginx.path("conf.d/plain.conf"), site).unwrap();
    nginx.run();
    let command = format!("{} {}", nginx.program.display(), nginx.arguments().join(" "));
    let script = CHANGE_PROXY.replace("INCLUDE", &include.display().to_string()).replace("NGINX", &command);
    house.write("front/change_proxy.sh", &script);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(house.path("front/change_proxy.sh"), executable).unwrap();
    Some((nginx, sshd))
}

/// What the script has done before: its newest stack, with the traffic. Gives `name id`.
fn by_the_script(cloud: &Cloud, house: &House) -> String {
    let read = |name: &str| fs::read_to_string(house.path(name)).unwrap();
    let files = json!({ "local_settings.py": read("scripts/qa/local_settings.py"),
                        "extra_ssh_keys.pub": read("scripts/qa/extra_ssh_keys.pub") });
    let parameters =
        json!({ "key_name": "operators", "image_id": "app", "instance_type": "2", "web_front_sec_id": "6d2f" });
    let name = "reporting_qa_41";
    let body = json!({ "stack_name": name, "template": TEMPLATE, "files": files, "parameters": parameters, "timeout_mins": 5 });
    let id = cloud.make(&body);
    let address = house.until("the script's stack is there", || {
        let stack = cloud.ask("GET", &format!("/stacks/{}", id.replace(' ', "/")), &Value::Null).1["stack"].clone();
        let outputs = stack["outputs"].as_array().filter(|_| stack["stack_status"] == "CREATE_COMPLETE")?.clone();
        let ip = outputs.iter().find(|o| o["output_key"] == "instance_ip").expect("an address");
        Some(ip["output_value"].as_str().expect("text").to_owned())
    });
    let repointed = Command::new(house.path("front/change_proxy.sh")).arg(address).status();
    assert!(repointed.expect("it runs").success());
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_of_the_script_becomes_a_first_deployment() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    tokio::task::block_in_place(|| walk(cloud));
}

/// Another environment of what is imported already.
fn assert_second_is_sent_elsewhere(house: &House) {
    let again = house.run(&IMPORT);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    let otherwise = "import into another folder and move its [[environments]]";
    assert!(!again.status.success() && told.contains(otherwise), "{told}");
}

fn walk(cloud: &Cloud) {
    let house = house(&PROFILE.replace("KEYSTONE", &cloud.keystone().to_string()));
    let Some((nginx, sshd)) = old_front(&house) else { return };
    let theirs = by_the_script(cloud, &house);
    let said = assert_done(&house, &house.run(&IMPORT));
    for words in ["written: ", "pipelines/reporting.toml", "WAIT_CHECK_SECONDS", "ssh as ubuntu@127.0.0.1"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("demo-password"), "{said}");
    assert!(said.contains("`pointsman plan`") && said.contains("`pointsman adopt`"), "{said}");
    assert_second_is_sent_elsewhere(&house);
    assert_done(&house, &house.run(&["check"]));
    let planned = assert_done(&house, &house.run(&["plan", "reporting/qa"]));
    for words in ["\"operators\"", "\"6d2f\"", "change_proxy.sh {ip}", "nothing is read back"] {
        assert!(planned.contains(words), "{planned}");
    }

    // This front is at another port than a web front is, and nobody here waits a minute.
    let file = "pipelines/reporting.toml";
    let pipeline = fs::read_to_string(house.path(file)).unwrap();
    let ssh = sshd.client("user_key", "known_hosts").iter().map(|w| format!("{w:?}, ")).collect::<String>();
    let begin = pipeline.find("cut_over = [\"ssh\", ").expect("by ssh");
    let user = if rustix::process::getuid().is_root() { "root" } else { "" };
    let port = format!("\"-p\", \"{}\", ", sshd.address.port());
    let mut edited = format!("{}cut_over = [{ssh}{port}{}", &pipeline[..begin], &pipeline[begin + 19..]);
    edited = match user {
        "" => edited.replace("ubuntu@", ""),
        user => edited.replace("ubuntu@", &format!("{user}@")),
    };
    edited = edited.replace("bake = \"1m\"", "bake = \"200ms\"\nwatch = \"100ms\"\ndrain = \"100ms\"");
    house.write(file, &format!("{edited}every = \"50ms\"\n"));
    assert_done(&house, &house.run(&["check"]));
    house.start();

    // What is live today becomes the way back of the first deployment.
    // The script returns before nginx has new workers: that is what an own front is for.
    let comes = |server: &str| {
        let live = || Wire::open(nginx.plain()).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok();
        house.until(server, || live().filter(|answer| answer.body.contains(server)));
    };
    comes("reporting_qa_41-server");
    assert_done(&house, &house.run(&["adopt", "reporting/qa", "reporting_qa_41", "--version", "41", "--watch"]));
    comes("reporting_qa_41-server");
    let deploy = ["deploy", "reporting/qa", "--version", "v1", "--artifact", "none", "--watch"];
    assert_done(&house, &house.run(&deploy));
    comes("reporting-qa-2-server");
    let servers = cloud.clouds.ancestors().nth(2).expect("its folder").join("servers");
    let told = |server: fs::DirEntry| fs::read_to_string(server.path().join("local_settings.py")).unwrap_or_default();
    let told: String = fs::read_dir(servers).unwrap().filter_map(Result::ok).map(told).collect();
    assert!(told.contains("DATABASE = 'swordfish'") && told.contains("SECRET_KEY = '"), "{told}");
    assert_done(&house, &house.run(&["rollback", "reporting/qa", "--reason", "orders-fail", "--watch"]));
    comes("reporting_qa_41-server");
    house.stop();

    // And whenever they like, a front that users do not notice: it is given what is live.
    let Some(new) = Nginx::start() else { return };
    let pipeline = fs::read_to_string(house.path(file)).unwrap();
    let begin = pipeline.find("[environments.front]").expect("the front");
    let end = begin + pipeline[begin..].find("[[environments.checks]]").expect("the checks");
    let front = format!("[environments.front]\ndriver = \"nginx\"\n{}", new.settings());
    house.write(file, &format!("{}{front}{}", &pipeline[..begin], &pipeline[end..]));
    house.start();
    house.until("the new front leads to what is live", || {
        let answer = Wire::open(new.plain()).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok()?;
        answer.body.contains("reporting_qa_41-server").then_some(())
    });
    comes("reporting_qa_41-server");
    assert_done(&house, &house.run(&["deploy", "reporting/qa", "--version", "v2", "--artifact", "none", "--watch"]));
    let answer = Wire::open(new.plain()).and_then(|mut wire| wire.ask("GET", "/", "", "")).expect("it answers");
    assert!(answer.body.contains("reporting-qa-3-server"), "{answer:?}");
    house.stop();
    let installation = fs::read_to_string(house.path("state/stacks/heat/installation")).unwrap();
    cloud.delete(&cloud.tagged(&format!("pointsman:installation:{}", installation.trim())));
    cloud.delete(&[theirs]);
}

/// The names of all files of the house but for the scripts, with what is in them.
fn files(house: &House, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(house.path(folder)).into_iter().flatten().filter_map(Result::ok) {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(house, &name));
        } else {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            found.push((name, text));
        }
    }
    found
}

#[test]
fn what_would_be_executed_is_refused_with_its_line_and_nothing_is_written() {
    for (line, hostile) in [
        (3, "OS_AUTH_URL=$(touch owned)"),
        (4, "OS_PROJECT_NAME=\"`touch owned`\""),
        (6, "OS_PASSWORD=$(cat /etc/passwd > owned)"),
        (10, "STACK_PREFIX=x; touch owned"),
        (11, "STACK_KEY=a && touch owned"),
        (12, "STACK_IMAGE_ID=${X:-$(touch owned)}"),
        (13, "STACK_FLAVOR_ID=2 touch owned"),
        (15, "source <(touch owned)"),
        (18, "WEB_FRONT_USER='-oProxyCommand=touch owned'"),
        (18, "WEB_FRONT_USER='ubuntu; touch owned'"),
        (19, "WEB_FRONT_IP='127.0.0.1; touch owned'"),
        (20, "WAIT_CHECK_SECONDS='30; touch owned'"),
    ] {
        let lines = PROFILE.lines().enumerate().map(|(at, text)| if at + 1 == line { hostile } else { text });
        let house = house(&lines.collect::<Vec<_>>().join("\n").replace("KEYSTONE", "keystone.example"));
        let done = house.run(&IMPORT);
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_ne!(done.status.code(), Some(0), "{hostile}: {said}");
        assert!(said.contains(&format!("profile.sh:{line}: ")), "{hostile}: {said}");
        assert!(!house.path("owned").exists(), "{hostile} was executed");
        assert_eq!(files(&house, "pipelines"), [], "{hostile}");
    }
}

#[test]
fn what_is_in_single_quotes_is_text_and_stays_text() {
    let hostile = "$(touch owned)`touch owned`\"\\";
    let profile = PROFILE.replace("KEYSTONE", "keystone.example").replace("demo-password", hostile);
    let house = house(&profile.replace("STACK_KEY=operators", &format!("STACK_KEY='{hostile}'")));
    assert_done(&house, &house.run(&IMPORT));
    assert_done(&house, &house.run(&["check"]));
    let written = files(&house, "pipelines");
    let secret = written.iter().find(|(name, _)| name.ends_with("reporting-qa.openstack")).expect("the password");
    assert_eq!(secret.1, format!("{hostile}\n"));
    let plan = assert_done(&house, &house.run(&["plan", "reporting/qa", "--offline", "--json"]));
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    assert!(plan.to_string().contains("$(touch owned)`touch owned`"), "{plan}");
    assert!(!house.path("owned").exists(), "something was executed");
    let pipeline = &written.iter().find(|(name, _)| name.ends_with("reporting.toml")).expect("the pipeline").1;
    for secret in ["swordfish", &format!("secret = '{hostile}")] {
        assert!(!pipeline.contains(secret), "{pipeline}");
    }
}
