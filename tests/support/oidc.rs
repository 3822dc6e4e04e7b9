//! A real OpenID Connect provider: `oidc-provider` of npm, as a process at an address of its own.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use super::{address, peers};

const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/oidc/node_modules/oidc-provider/lib/index.js");
const PROVIDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/oidc/provider.mjs");
pub const SECRET: &str = "what the provider knows the client by";

/// Where it puts the groups of people.
#[derive(Clone, Copy)]
pub enum Groups {
    InToken,
    AtUserinfo,
}

pub struct Provider {
    pub issuer: String,
    groups: Groups,
    application: String,
    process: Option<Child>,
    /// The codes, verifiers and tokens that it gave and was given.
    given: Arc<Mutex<Vec<String>>>,
}

/// Returns whether node and the provider are here.
pub fn installed() -> bool {
    let node = peers::need("node").is_some();
    if node && !Path::new(LIBRARY).is_file() {
        peers::left_out("oidc-provider is not in target/peers/oidc; tests/run brings it");
        return false;
    }
    node
}

impl Provider {
    /// Starts one for the page at this address.
    pub fn start(page: Ipv4Addr, groups: Groups) -> Self {
        let issuer = format!("http://{}:17000", address::own());
        let application = format!("http://{page}:7070");
        let mut provider = Self { issuer, groups, application, process: None, given: Arc::default() };
        provider.start_again();
        provider
    }

    /// Waits until it serves; what it knew before is forgotten.
    pub fn start_again(&mut self) {
        let groups = match self.groups {
            Groups::InToken => "token",
            Groups::AtUserinfo => "userinfo",
        };
        let mut command = Command::new(peers::need("node").expect("node"));
        command.args([PROVIDER, LIBRARY, &self.issuer, SECRET, &self.application, groups]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("node starts");
        let mut said = BufReader::new(process.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(said.any(|line| line == "ready"), "the provider has ended");
        let given = self.given.clone();
        std::thread::spawn(move || {
            let secrets = said.filter_map(|line| line.strip_prefix("gave ").map(str::to_owned));
            secrets.for_each(|secret| given.lock().expect("nobody panics").push(secret));
        });
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    /// What nobody but the controller and the provider may know.
    pub fn secrets(&self) -> Vec<String> {
        let mut all = self.given.lock().expect("nobody panics").clone();
        all.push(SECRET.to_owned());
        all
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}
