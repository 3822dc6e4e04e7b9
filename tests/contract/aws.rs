//! The fixtures of the drivers for AWS: installations of their own in an account of the emulated AWS that all stories share.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, sync::OnceLock};

use pointsman::{
    reach::Reach,
    stacks::{StackDriver, ecs},
    web_front::{FrontDriver, Target, alb},
};
use serde_json::json;
use tokio::sync::Mutex;

use super::{fronts, stack, stacks};
use crate::support::aws_account::{Account, DEFINITION};

/// The stories of the contract all have stacks of the same names, and an account has each name once.
static ONE: Mutex<()> = Mutex::const_new(());

/// The account; none when its stories are left out. It ends with the test run.
pub fn account() -> Option<&'static Account> {
    static ACCOUNT: OnceLock<Option<Account>> = OnceLock::new();
    ACCOUNT.get_or_init(|| Account::start(&json!({ "speed": 10, "propagation_ms": [0, 50] }))).as_ref()
}

/// Stacks of ECS.
pub struct Services {
    pub account: &'static Account,
    pub folder: tempfile::TempDir,
}

impl Services {
    fn installation(&self) -> Option<String> {
        fs::read_to_string(self.folder.path().join("installation")).ok().map(|text| text.trim().to_owned())
    }
}

#[async_trait::async_trait(?Send)]
impl stacks::Fixture for Services {
    fn open(&self) -> Arc<dyn StackDriver> {
        let settings = self.account.stack_settings().parse().expect("TOML");
        ecs::open(&settings, self.folder.path(), self.folder.path()).expect("it opens")
    }

    fn definition(&self) -> String {
        DEFINITION.to_owned()
    }

    fn artifact(&self) -> &'static str {
        "web:1"
    }

    fn left(&self) -> Vec<String> {
        self.installation().map_or_else(Vec::new, |installation| self.account.of_installation(&installation))
    }

    fn serving(&self) -> Vec<String> {
        self.account.running("pt-shop-prod-")
    }

    /// Its tasks keep nothing but what lies in volumes, which are not the stack's.
    fn homes(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn keeps_homes(&self) -> bool {
        false
    }

    /// It is no process of ours.
    fn crash(&self) {}

    async fn turn(&self) -> stacks::Turn {
        Box::new(ONE.lock().await)
    }
}

/// A load balancer of its own.
pub struct Balancer {
    account: &'static Account,
    listener: String,
    at: SocketAddr,
    folder: tempfile::TempDir,
}

impl Balancer {
    /// A new one that sends users nowhere; none when its stories are left out.
    pub fn new() -> Option<Self> {
        let account = account()?;
        let there = account.aws.lab("GET", "state", &json!(null))["balancers"].as_object().map_or(0, |all| all.len());
        let listener = account.another_listener(&format!("front-{there}"));
        let [at, _] = account.nodes(&listener);
        Some(Self { account, listener, at, folder: tempfile::tempdir().expect("a folder") })
    }
}

impl fronts::Fixture for Balancer {
    fn open(&self) -> Arc<dyn FrontDriver> {
        let settings = self.account.front_settings(&self.listener).parse().expect("TOML");
        alb::open(&settings, self.folder.path(), self.folder.path()).expect("right settings")
    }

    fn users(&self) -> Option<SocketAddr> {
        Some(self.at)
    }

    fn says_when(&self) -> bool {
        false
    }

    fn target(&self, number: u32, at: SocketAddr) -> Target {
        let name = format!("c{}", at.port());
        let arn = self.account.target_group(&self.listener, &name, &stack(number), at);
        Target { stack: stack(number), reach: Reach::Named { kind: "target group".into(), id: arn.into() } }
    }
}
