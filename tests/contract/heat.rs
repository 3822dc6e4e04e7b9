//! The Heat driver's fixture: an installation of its own in the project that all stories share.

use std::{fs, path::PathBuf, sync::Arc};

use pointsman::stacks::{StackDriver, heat::Heat};
use tokio::sync::Mutex;

use super::stacks::{Fixture, Turn};
use crate::support::{cloud::Cloud, soon::soon};

const DEFINITION: &str = r#"
template = "app.yaml"
endpoints = { output = "address", port = 8088 }
timeout = "2m"
[files]
"app.yaml" = '''
heat_template_version: 2021-04-16
resources:
  web: {type: 'OS::Nova::Server', properties: {image: app, flavor: m1.small}}
outputs:
  address: {value: {get_attr: [web, first_address]}}
'''
"#;

/// The stories of the contract all have stacks of the same names, and a project has each name once.
static ONE: Mutex<()> = Mutex::const_new(());

pub struct Stacks {
    pub cloud: &'static Cloud,
    pub folder: tempfile::TempDir,
}

#[async_trait::async_trait(?Send)]
impl Fixture for Stacks {
    fn open(&self) -> Arc<dyn StackDriver> {
        let settings = format!("cloud = {{ name = \"test\", file = {:?} }}", self.cloud.clouds);
        let settings = toml::from_str(&settings).expect("TOML");
        Arc::new(Heat::open(&settings, self.folder.path(), self.folder.path()).expect("it opens"))
    }

    fn definition(&self) -> String {
        DEFINITION.to_owned()
    }

    fn left(&self) -> Vec<String> {
        match fs::read_to_string(self.folder.path().join("installation")) {
            Ok(installation) => self.cloud.named(&format!("pointsman:installation:{}", installation.trim())),
            Err(_) => Vec::new(),
        }
    }

    fn serving(&self) -> Vec<String> {
        self.cloud.processes("shop-prod-")
    }

    fn homes(&self) -> Vec<PathBuf> {
        self.cloud.servers("shop-prod-")
    }

    /// It is no process of ours; the stories about its faults kill Heat.
    fn crash(&self) {}

    async fn turn(&self) -> Turn {
        let turn = ONE.lock().await;
        Box::new((turn, self.cloud.in_use.read().await))
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.cloud.delete(&self.left());
        // The next story needs the names.
        soon(|| self.left().is_empty());
    }
}
