//! A profile becomes files that `check` takes.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::pipelines::{Registry, load};

const PROFILE: &str = "export OS_AUTH_URL=https://keystone.example/v3\nexport OS_USERNAME=\"ci\"\nexport OS_PASSWORD='hunter2 $x'\n\
export OS_PROJECT_NAME=reporting\nexport OS_INTERFACE=publicURL\nSTACK_PREFIX=Reporting_QA-\nSTACK_KEY=ops\nSTACK_IMAGE_ID=9a1\n\
STACK_FLAVOR_ID=2\nSTACK_SECURITY_GROUP_ID=77\nSCRIPT_HOME=home\nLOCAL_SETTINGS_PY_SRC=$SCRIPT_HOME/qa/local_settings.py\n\
EXTRA_SSH_KEYS=\"${SCRIPT_HOME}/qa/keys.pub\"\nWEB_FRONT_USER=ubuntu\nWEB_FRONT_IP=10.0.0.9\nWAIT_CHECK_SECONDS=30\nMAIL=ops\n";

const TEMPLATE: &str = "heat_template_version: 2014-10-16
parameters:
  key_name: {type: string}
  image_id: {type: string}
  instance_type: {type: string}
  availability_zone: {type: string}
  web_front_sec_id: {type: string}
resources:
  server:
    type: OS::Nova::Server
    properties:
      image: {get_param: image_id}
      flavor: {get_param: instance_type}
      metadata: {settings: {get_file: local_settings.py}, keys: {get_file: extra_ssh_keys.pub}}
outputs:
  instance_ip: {value: {get_attr: [server, first_address]}}
";

/// What takes nothing by `get_file`, and a secret or two as hidden parameters.
const HIDDEN: &str = "heat_template_version: 2018-08-31
parameters:
  image_id: {type: string}
  flavor: {type: string}
  key_name: {type: string}
  security_group: {type: string}
  local_settings: {type: string, hidden: true}
  database_password: {type: string, hidden: 'True'}
resources:
  server: {type: OS::Nova::Server, properties: {image: {get_param: image_id}, flavor: {get_param: flavor}}}
outputs:
  address: {value: {get_attr: [server, first_address]}}
";

struct Home(tempfile::TempDir);

impl Home {
    fn with(profile: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(home.at("home/qa")).unwrap();
        for (name, text) in [
            ("profile.sh", profile),
            ("home/deploy.yaml", TEMPLATE),
            ("home/qa/local_settings.py", "PASSWORD = 'swordfish'\n"),
            ("home/qa/keys.pub", "ssh-ed25519 AAAA someone\n"),
        ] {
            fs::write(home.at(name), text).unwrap();
        }
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Imports; returns the written files and the notes.
    fn import(&self) -> Result<(Vec<PathBuf>, String), String> {
        let args = Args {
            file: self.at("profile.sh"),
            name: None,
            environment: "qa".parse().unwrap(),
            template: None,
            port: 80,
            check: "/".to_owned(),
            json: false,
        };
        let pipelines = self.at("pipelines");
        let made = drafts(&args, &pipelines).and_then(|(drafts, notes)| {
            let (written, known) = make(drafts, &pipelines, &self.at("state"))?;
            assert_eq!(known, []);
            Ok((written, notes.join("\n")))
        });
        made.map_err(|error| format!("{error:#}").replace(&format!("{}/", self.0.path().display()), ""))
    }
}

#[test]
fn a_profile_becomes_a_pipeline_that_check_accepts_and_no_secret_is_in_it() {
    let home = Home::with(PROFILE);
    let (written, notes) = home.import().unwrap();
    let loaded = load(&Registry::all(&home.at("state")), &home.at("pipelines"));
    assert_eq!((loaded.mistakes, loaded.files), (vec![], 1));
    let text = fs::read_to_string(home.at("pipelines/reporting-qa.toml")).unwrap();
    for words in [
        "auth_url = \"https://keystone.example/v3\", username = \"ci\", project_name = \"reporting\", interface = \"public\"",
        "key_name = \"ops\", image_id = \"9a1\", instance_type = \"2\", web_front_sec_id = \"77\"",
        "\"ubuntu@10.0.0.9\", \"./change_proxy.sh\", \"{ip}\"",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    for words in ["MAIL (line 17)", "availability_zone", "WAIT_CHECK_SECONDS", "neither version nor artifact"] {
        assert!(notes.contains(words), "{words}\n{notes}");
    }
    let password = home.at("pipelines/secrets/reporting-qa-qa.openstack");
    assert_eq!(fs::read_to_string(&password).unwrap(), "hunter2 $x\n");
    for path in written {
        let (text, mode) = (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode());
        let secret = mode & 0o077 == 0;
        assert!(secret || !["hunter2", "swordfish"].iter().any(|s| text.contains(s)), "{}", path.display());
    }
    assert!(!notes.contains("hunter2"));
}

#[test]
fn what_is_wrong_is_told_with_its_line_without_its_value_and_nothing_is_written() {
    for (from, to, told) in [
        ("'hunter2 $x'", "$(cat hunter2)", "profile.sh:3: OS_PASSWORD is what a command prints"),
        ("10.0.0.9", "hunter2", "profile.sh:15: WEB_FRONT_IP is not an IP address"),
        ("=ubuntu", "='-oProxyCommand=hunter2'", "profile.sh:14: WEB_FRONT_USER is not the name of a user"),
        ("STACK_IMAGE_ID=9a1", "STACK_IMAGE_ID=", "profile.sh:8: STACK_IMAGE_ID is empty"),
        ("STACK_FLAVOR_ID", "FLAVOR", "profile.sh:1: STACK_FLAVOR_ID is not set"),
        ("WAIT_CHECK_SECONDS=30", "OS_INSECURE=true", "profile.sh:16: OS_INSECURE has no place in a pipeline file"),
        ("WAIT_CHECK_SECONDS=30", "OS_TOKEN=hunter2", "profile.sh:16: OS_TOKEN is set and cannot be done"),
        (
            "WAIT_CHECK_SECONDS=30",
            "OS_AUTH_TYPE=v3oidcpassword",
            "profile.sh:16: `auth_type` v3oidcpassword is not supported",
        ),
        ("WAIT_CHECK_SECONDS=30", "OS_IDENTITY_API_VERSION=2", "profile.sh:16: `identity_api_version` is 2"),
        ("WAIT_CHECK_SECONDS=30", "OS_TENANT_NAME=hunter2", "`project_name` is said twice"),
        ("=30", "=hunter2", "profile.sh:16: WAIT_CHECK_SECONDS is not a number"),
        ("SCRIPT_HOME=home", "SCRIPT_HOME=elsewhere", "the template elsewhere/deploy.yaml cannot be read"),
    ] {
        let home = Home::with(&PROFILE.replace(from, to));
        let why = home.import().unwrap_err();
        assert!(why.contains(told) && !why.contains("hunter2"), "{to}: {why}");
        assert!(!home.at("pipelines").exists());
    }
}

#[test]
fn what_horizon_writes_into_an_openrc_file_is_taken_over() {
    let openrc = "export OS_PROJECT_ID=0123456\nexport OS_USER_DOMAIN_NAME=\"Default\"\nexport OS_PROJECT_DOMAIN_ID=\"default\"\n\
                  export OS_REGION_NAME=RegionOne\nexport OS_ENDPOINT_TYPE=publicURL\nexport OS_IDENTITY_API_VERSION=3\nMAIL=ops";
    let home = Home::with(&PROFILE.replace("MAIL=ops", openrc));
    home.import().unwrap();
    let text = fs::read_to_string(home.at("pipelines/reporting-qa.toml")).unwrap();
    for words in ["project_id = \"0123456\"", "project_domain_id = \"default\"", "region_name = \"RegionOne\""] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn a_hidden_parameter_is_a_secret_and_what_the_template_has_no_place_for_is_named() {
    let home = Home::with(PROFILE);
    fs::write(home.at("home/deploy.yaml"), HIDDEN).unwrap();
    let (_, notes) = home.import().unwrap();
    assert!(notes.contains("EXTRA_SSH_KEYS is left out") && !notes.contains("LOCAL_SETTINGS_PY_SRC"), "{notes}");
    assert!(notes.contains("the template wants database_password, which is hidden"), "{notes}");
    assert!(!notes.contains("stack.parameters"), "{notes}");
    let pipeline = fs::read_to_string(home.at("pipelines/reporting-qa.toml")).unwrap();
    assert!(pipeline.contains("secrets = [\"local_settings\"]"), "{pipeline}");
    let definition = fs::read_to_string(home.at("stacks/heat/reporting-qa-qa/stack.toml")).unwrap();
    assert!(definition.contains("local_settings = { parameter = \"local_settings\" }"), "{definition}");

    let home = Home::with(PROFILE);
    fs::write(home.at("home/deploy.yaml"), HIDDEN.replace("local_settings: {", "other: {default: x, ")).unwrap();
    let (_, notes) = home.import().unwrap();
    assert!(notes.contains("LOCAL_SETTINGS_PY_SRC is left out"), "{notes}");
}

#[test]
fn a_profile_that_asks_for_the_password_says_where_to_put_it() {
    let asks = "echo \"Password: \"\nread -sr INPUT\nexport OS_PASSWORD=$INPUT";
    let (_, notes) = Home::with(&PROFILE.replace("export OS_PASSWORD='hunter2 $x'", asks)).import().unwrap();
    assert!(notes.contains("put it into"), "{notes}");
}
