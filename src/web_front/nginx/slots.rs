//! The two slots and the include file that defines them. Everything about a slot follows from the stack in it and where
//! that serves. Must not touch any host.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

use super::settings::Settings;
use crate::{
    machine::{Generation, Number, StackName},
    web_front::{Endpoint, Target},
};

/// What the include is made from; `web_front/nginx/setup.sh` makes the first one from it.
pub(super) const TEMPLATE: &str = include_str!("../../../web_front/nginx/slots.conf");

/// nginx reads a word of its configuration in pieces of 4096 bytes, and takes none that is longer.
const LONGEST: usize = 4000;

/// Which slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    pub fn other(self) -> Self {
        if self == Self::Blue { Self::Green } else { Self::Blue }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Blue { "blue" } else { "green" })
    }
}

/// What stands in the slots. Written as `EDITION BLUE GREEN`, a slot as `shop/prod#3@10.0.0.5:8080*1,10.0.0.6:8080*1` or
/// `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// Counts the includes, so that it can be told which one a worker has read.
    pub edition: u64,
    pub blue: Option<Target>,
    pub green: Option<Target>,
}

impl Slots {
    pub fn get(&self, colour: Colour) -> Option<&Target> {
        if colour == Colour::Blue { self.blue.as_ref() } else { self.green.as_ref() }
    }

    /// Which slot has this stack at these addresses.
    pub fn find(&self, target: &Target) -> Option<Colour> {
        Colour::BOTH.into_iter().find(|c| self.get(*c) == Some(target))
    }

    /// The next include: what is live stays where it is, the candidate takes the other slot.
    pub fn staged(&self, live: Option<&Target>, candidate: Option<&Target>, edition: u64) -> Self {
        // Where it was, unless somebody has thrown it out.
        let lives = live.and_then(|live| self.find(live)).unwrap_or(Colour::Blue);
        let candidate = candidate.filter(|candidate| Some(*candidate) != live);
        let idle = candidate.cloned().or_else(|| self.get(lives.other()).cloned()).filter(|idle| Some(idle) != live);
        let live = live.cloned();
        match lives {
            Colour::Blue => Self { edition, blue: live, green: idle },
            Colour::Green => Self { edition, blue: idle, green: live },
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(' ');
        let edition = parts.next()?.parse().ok()?;
        let (blue, green) = (slot(parts.next()?)?, slot(parts.next()?)?);
        parts.next().is_none().then_some(Self { edition, blue, green })
    }

    /// Of the include as a file: none when it is no longer one of ours.
    pub fn of_include(text: &str) -> Option<Self> {
        Self::parse(text.lines().find_map(|line| line.strip_prefix("# slots "))?)
    }

    /// The include. An error says in one sentence why there can be none.
    pub fn render(&self, settings: &Settings, in_force: Generation) -> Result<String, String> {
        let slots = self.to_string();
        if slots.len() > LONGEST {
            return Err(format!("the endpoints of two stacks are too many for nginx: {} bytes", slots.len()));
        }
        let mut about = format!("generation {in_force} was in force when it was written");
        let mut answers = String::new();
        for colour in Colour::BOTH {
            let Some(target) = self.get(colour) else { continue };
            let _ = write!(about, ", {colour} is {} (deployment {})", target.stack, target.stack.number);
            for endpoint in &target.endpoints {
                let address = escaped(endpoint);
                let slot = format!("pointsman_{}_{colour}", settings.name);
                let _ = writeln!(answers, "    \"~^1 {slot} (.*, )?{address}$\" \"{}\";", label(&target.stack));
            }
        }
        // Of an empty slot: no order ever makes a file of this name.
        let key_of = |target: Option<&Target>| target.map_or_else(|| "empty".to_owned(), |_| key(target));
        let upstream = |colour| servers(self.get(colour));
        Ok(TEMPLATE
            .replace("@ABOUT@", &about)
            .replace("@NAME@", &settings.name)
            .replace("@SLOTS@", &slots)
            .replace("@FOLDER@", &settings.folder)
            .replace("@INCLUDE@", &settings.include)
            .replace("@READ_BACK@", &settings.read_back(self.edition).to_string())
            .replace("@NEXT@", &settings.read_back(self.edition + 1).to_string())
            .replace("@BLUE_KEY@", &key_of(self.blue.as_ref()))
            .replace("@GREEN_KEY@", &key_of(self.green.as_ref()))
            .replace("@ANSWERS@", &answers)
            .replace("@BLUE@", &upstream(Colour::Blue)?)
            .replace("@GREEN@", &upstream(Colour::Green)?))
    }
}

/// For a regular expression.
fn escaped(endpoint: &Endpoint) -> String {
    endpoint.address.to_string().replace('.', "\\.").replace('[', "\\[").replace(']', "\\]")
}

/// The same stack elsewhere has another key, and none is ever used again for anything else.
pub(super) fn key(target: Option<&Target>) -> String {
    let Some(target) = target else { return "nobody".to_owned() };
    let mut sum = hex::encode(Sha256::digest(shown(target)));
    sum.truncate(12);
    format!("{}-{sum}", target.stack.number)
}

fn servers(target: Option<&Target>) -> Result<String, String> {
    let Some(target) = target else { return Ok("    server 127.0.0.1:1 down;\n".to_owned()) };
    if target.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        return Err(format!("no endpoint of {} has a weight, so none would answer", target.stack));
    }
    let line = |endpoint: &Endpoint| match endpoint.weight {
        0 => format!("    server {} down;\n", endpoint.address),
        weight => format!("    server {} weight={weight};\n", endpoint.address),
    };
    Ok(target.endpoints.iter().map(line).collect())
}

/// The endpoints that an include gives to a slot, whatever its comments say.
pub(super) fn served_by(include: &str, settings: &Settings, colour: Colour) -> Vec<Endpoint> {
    let opens = format!("upstream pointsman_{}_{colour} {{", settings.name);
    let lines = include.lines().skip_while(|line| line.trim() != opens).skip(1).take_while(|line| line.trim() != "}");
    let endpoint = |line: &str| {
        let mut words = line.trim().trim_end_matches(';').split_whitespace();
        let address = (words.next()? == "server").then(|| words.next()?.parse().ok())??;
        let weight = match words.next() {
            Some("down") => 0,
            Some(weight) => weight.strip_prefix("weight=")?.parse().ok()?,
            None => 1,
        };
        Some(Endpoint { address, weight })
    };
    lines.filter_map(endpoint).collect()
}

/// A stack's name by its parts, because joined with `-` two names can read the same.
fn label(stack: &StackName) -> String {
    format!("{}#{}", stack.environment, stack.number)
}

/// Reads a label back.
pub(super) fn parse_label(label: &str) -> Option<StackName> {
    let (environment, number) = label.split_once('#')?;
    Some(StackName { environment: environment.parse().ok()?, number: Number(number.parse().ok()?) })
}

fn shown(target: &Target) -> String {
    let all: Vec<_> = target.endpoints.iter().map(|e| format!("{}*{}", e.address, e.weight)).collect();
    format!("{}@{}", label(&target.stack), all.join(","))
}

fn slot(text: &str) -> Option<Option<Target>> {
    if text == "-" {
        return Some(None);
    }
    let (stack, endpoints) = text.split_once('@')?;
    let endpoint = |text: &str| {
        let (address, weight) = text.rsplit_once('*')?;
        Some(Endpoint { address: address.parse().ok()?, weight: weight.parse().ok()? })
    };
    let endpoints = endpoints.split(',').map(endpoint).collect::<Option<_>>()?;
    Some(Some(Target { stack: parse_label(stack)?, endpoints }))
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = |target: Option<&Target>| target.map_or_else(|| "-".to_owned(), shown);
        write!(f, "{} {} {}", self.edition, slot(self.blue.as_ref()), slot(self.green.as_ref()))
    }
}

/// What must stand in an include that can serve this target.
pub(super) fn mark(target: &Target) -> String {
    format!("default \"{}\";", key(Some(target)))
}
