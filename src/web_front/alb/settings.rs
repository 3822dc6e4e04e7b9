//! The settings of a front that is an Application Load Balancer: the `front` table of an environment. Must not open anything.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderName;
use reqwest::Url;
use toml::{Table, Value};

use crate::{
    aws,
    toml_file::filled::{Reader, absolute, address, boolean, duration, made, other, path, text},
    web_front::maintenance::Maintenance,
};

/// The longest body of a fixed response, in bytes (FixedResponseActionConfig).
pub(super) const LONGEST_PAGE: usize = 1024;

/// Everything that can be said about such a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) account: aws::Settings,
    /// Where users' requests are forwarded: all of them move together.
    pub(super) at: Vec<Place>,
    /// The listener whose test rules lead to candidates.
    pub(super) listener: String,
    /// Name of the target group, not ours, that users may be taken away from by the first order.
    pub(super) replaces: Option<String>,
    /// How long after a change a node of the load balancer may still go by the rule of before. AWS publishes no figure.
    pub(super) guard: Duration,
    /// How long a client stays with a version while two have a share; `None`: each request is drawn by itself.
    pub(super) sticky: Option<Duration>,
    /// The page while nobody gets the traffic.
    pub(super) maintenance: Maintenance,
    /// Where users find it; `None`: it is not asked there.
    pub(super) public: Option<Public>,
}

/// A place that says where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The default action of a listener, by the listener's ARN.
    Listener(String),
    /// A rule, by its ARN.
    Rule(String),
}

/// How the front is asked as users ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Public {
    /// The whole address, with scheme and path.
    pub(super) url: Url,
    /// Addresses of the nodes; empty: those that the name of the address leads to.
    pub(super) nodes: Vec<SocketAddr>,
    /// Header in which the application says which stack it is, as `POINTSMAN_STACK` told it; `None`: it does not say.
    pub(super) stack_header: Option<HeaderName>,
    /// PEM: who vouches for the certificate.
    pub(super) ca: Option<PathBuf>,
    /// Any certificate will do.
    pub(super) insecure_tls: bool,
}

impl Settings {
    /// Reads the table. Files are meant from `written_in`.
    ///
    /// # Errors
    /// Every mistake, each beginning with its key.
    pub(super) fn read(table: &Table, written_in: &Path) -> Result<Self, Vec<String>> {
        let (account, mut mistakes) = match aws::Settings::read(table, "front.aws", written_in) {
            Ok(account) => (Some(account), Vec::new()),
            Err(mistakes) => (None, mistakes),
        };
        let mut top = Reader::new(table, "front", &mut mistakes);
        // Read above.
        let _ = top.optional("aws", |_| Ok(()));
        let at = top.required("at", places);
        let listener = top.optional("listener", |value| made(value, "the ARN of a listener", listener));
        let replaces = top.optional("replaces", text);
        let guard = top.optional("guard", duration).unwrap_or(Duration::from_secs(30));
        let sticky = top.optional("sticky", |value| {
            duration(value).and_then(|length| {
                let fits = (1..=604_800).contains(&length.as_secs()) && length.subsec_nanos() == 0;
                fits.then_some(length).ok_or_else(|| " must be whole seconds, from 1s to 7d".to_owned())
            })
        });
        let maintenance = top.table("maintenance", |t| Maintenance::read(t, written_in)).unwrap_or_default();
        let public = top.table("public", |t| public(t, written_in)).flatten();
        top.refuse("hold", "a load balancer cannot hold requests: users get the maintenance page. Remove the key");
        top.refuse_the_rest();
        let first = at.as_ref().and_then(|at| at.first().and_then(Place::listener));
        if at.is_some() && listener.is_none() && first.is_none() {
            mistakes.push("`front.listener` is missing: the listener of the rules in `front.at`".to_owned());
        }
        match (account, at, listener.or(first)) {
            (Some(account), Some(at), Some(listener)) if mistakes.is_empty() => {
                Ok(Self { account, at, listener, replaces, guard, sticky, maintenance, public })
            }
            _ => Err(mistakes),
        }
    }
}

impl Place {
    fn of(arn: &str) -> Option<Self> {
        match arn {
            _ if !arn.starts_with("arn:") => None,
            _ if arn.contains(":listener/app/") => Some(Self::Listener(arn.to_owned())),
            _ if arn.contains(":listener-rule/app/") => Some(Self::Rule(arn.to_owned())),
            _ => None,
        }
    }

    /// The listener that it is at, where its ARN says so: `…:listener-rule/app/NAME/BALANCER/LISTENER/RULE`.
    fn listener(&self) -> Option<String> {
        match self {
            Self::Listener(arn) => Some(arn.clone()),
            Self::Rule(arn) => {
                let (listener, _) = arn.rsplit_once('/')?;
                Some(listener.replace(":listener-rule/", ":listener/"))
            }
        }
    }

    /// What it is, for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Listener(arn) => format!("the default action of listener {arn}"),
            Self::Rule(arn) => format!("rule {arn}"),
        }
    }
}

fn places(value: &Value) -> Result<Vec<Place>, String> {
    const WANTED: &str = "the ARN of a listener or of a rule, or a list of them that move together";
    let one = |value: &Value| made(value, WANTED, Place::of);
    match value {
        Value::Array(list) if !list.is_empty() => list.iter().map(one).collect(),
        Value::String(_) => Ok(vec![one(value)?]),
        _ => Err(other(value, WANTED)),
    }
}

fn listener(text: &str) -> Option<String> {
    match Place::of(text)? {
        Place::Listener(arn) => Some(arn),
        Place::Rule(_) => None,
    }
}

fn public(t: &mut Reader<'_>, written_in: &Path) -> Option<Public> {
    let url = t.required("url", |value| {
        made(value, "an address with http:// or https://", |text| {
            let url: Url = text.parse().ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
        })
    });
    let nodes = t.optional("nodes", |value| {
        let list = value.as_array().ok_or_else(|| other(value, "a list of addresses, [\"10.0.0.5:443\"]"))?;
        list.iter().map(address).collect::<Result<Vec<_>, _>>()
    });
    let stack_header =
        t.optional("stack_header", |value| made(value, "the name of a header", |text| text.parse().ok()));
    let ca = t.optional("ca", |value| path(value).map(|path| absolute(written_in, &path)));
    let insecure_tls = t.optional("insecure_tls", boolean).unwrap_or(false);
    Some(Public { url: url?, nodes: nodes.unwrap_or_default(), stack_header, ca, insecure_tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/shop/1/2";

    #[test]
    fn a_rule_says_at_which_listener_it_stands() {
        let rule = LISTENER.replace(":listener/", ":listener-rule/") + "/3";
        let read =
            Settings::read(&format!("at = '{rule}'").parse().expect("TOML"), Path::new("/p")).expect("it is good");
        assert_eq!((read.at, read.listener.as_str(), read.guard.as_secs()), (vec![Place::Rule(rule)], LISTENER, 30));
    }

    #[test]
    fn every_mistake_is_told_at_once_by_its_key() {
        let wrong =
            "at = ['web']\nguard = 'soon'\nsticky = '8d'\nhold = {}\n[public]\nnodes = ['a']\n[aws]\nregion = 'x'";
        let said =
            Settings::read(&wrong.parse().expect("TOML"), Path::new("/p")).expect_err("it is refused").join("\n");
        for part in [
            "`front.at` is \"web\"",
            "`front.guard`",
            "`front.sticky` must be whole seconds, from 1s to 7d",
            "`front.hold`: a load balancer cannot hold requests",
            "`front.public.url` is missing",
            "`front.public.nodes`",
            "`front.aws.region` is \"x\"",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    }
}
