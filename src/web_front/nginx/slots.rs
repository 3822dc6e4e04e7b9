//! The two slots and the include file that defines them. Everything about a slot follows from the stack in it and where
//! that serves. Must not touch any host.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
};

use sha2::{Digest, Sha256};

use super::{door::previews, settings::Settings};
use crate::{
    machine::{Generation, Number, StackName},
    reach::Reach,
    web_front::{Sticky, Target, maintenance::MediaType},
};

/// What the include is made from; `web_front/nginx/setup.sh` makes the first one from it.
pub(super) const TEMPLATE: &str = include_str!("../../../web_front/nginx/slots.conf");

/// nginx reads a word of its configuration in pieces of 4096 bytes, and takes none that is longer.
const LONGEST: usize = 4000;

/// Prefix of the word that names the part of nginx which a line of the include needs.
const NEEDS: &str = " #?";

/// Prefix of the same word in a line that stands there instead where that part is missing.
const INSTEAD: &str = " #!";

/// The part of nginx that draws buckets.
pub(super) const DRAWS: &str = "split_clients";

/// The word of lines that are for an include with the keys of a preview, in the place of a part of nginx.
const PREVIEW: &str = "preview";

/// What the include says of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The identity of the folder; empty when it was not known.
    pub identity: String,
    /// The parts of nginx that this one was built without.
    pub without: Vec<String>,
    /// The keys of the preview; `None`: there is none.
    pub door: Option<String>,
}

impl Place {
    /// Reads the slots of an include.
    pub(super) fn of_include(text: &str) -> Self {
        let line = |begins: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(begins));
            line.map(str::trim).filter(|line| *line != "-")
        };
        Self {
            identity: line("# identity ").map(str::to_owned).unwrap_or_default(),
            without: line("# without ").into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect(),
            door: line("# preview ").map(str::to_owned),
        }
    }

    /// The part that nginx lacks, when it refuses this include because of it.
    pub(super) fn lacks(&self, said: &str, include: &str, text: &str) -> Option<String> {
        let line = said.lines().find(|line| line.contains("[emerg]"))?;
        let part = if line.contains("unknown \"connections_active\" variable") {
            "stub_status"
        } else {
            let (_, number) = line.split_once("unknown directive").and(line.rsplit_once(&format!("{include}:")))?;
            text.lines().nth(number.trim().parse::<usize>().ok()?.checked_sub(1)?)?.rsplit_once(NEEDS)?.1
        };
        (!self.without.iter().any(|one| one == part)).then(|| part.to_owned())
    }
}

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub(super) const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    pub(super) fn other(self) -> Self {
        if self == Self::Blue { Self::Green } else { Self::Blue }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Blue { "blue" } else { "green" })
    }
}

/// What stands in one slot.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    target: Target,
    /// Its addresses in the order in which they were written first: the key is made of that, and what is served by a key keeps it.
    listed: Vec<SocketAddr>,
}

impl From<Target> for Slot {
    fn from(target: Target) -> Self {
        Self { listed: target.reach.addresses().to_vec(), target }
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for Slot {}

/// What stands in the slots. Written as `EDITION BLUE GREEN`, a slot as `shop/prod#3@10.0.0.5:8080*1,10.0.0.6:8080*1` or
/// `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// Counts the includes, so that it can be told which one a worker has read.
    pub edition: u64,
    pub blue: Option<Slot>,
    pub green: Option<Slot>,
}

impl Slots {
    pub(super) fn get(&self, colour: Colour) -> Option<&Target> {
        self.slot(colour).map(|slot| &slot.target)
    }

    fn slot(&self, colour: Colour) -> Option<&Slot> {
        if colour == Colour::Blue { self.blue.as_ref() } else { self.green.as_ref() }
    }

    /// The target as it stands in its slot, or as it would.
    pub(super) fn known(&self, target: &Target) -> Slot {
        let there = self.find(target).and_then(|colour| self.slot(colour)).cloned();
        there.unwrap_or_else(|| target.clone().into())
    }

    /// Returns the slot that has this stack at these addresses.
    pub(super) fn find(&self, target: &Target) -> Option<Colour> {
        Colour::BOTH.into_iter().find(|c| self.get(*c) == Some(target))
    }

    /// The next include: what is live stays where it is, the candidate takes the other slot.
    pub(super) fn staged(&self, live: Option<&Target>, candidate: Option<&Target>, edition: u64) -> Self {
        let Some(live) = live else { return self.beside_nobody(candidate, edition) };
        // Where it was, unless somebody has thrown it out.
        let lives = self.find(live).unwrap_or(Colour::Blue);
        let candidate = candidate.filter(|candidate| *candidate != live).map(|candidate| self.known(candidate));
        let idle = candidate.or_else(|| self.slot(lives.other()).cloned()).filter(|idle| idle.target != *live);
        let live = Some(self.known(live));
        match lives {
            Colour::Blue => Self { edition, blue: live, green: idle },
            Colour::Green => Self { edition, blue: idle, green: live },
        }
    }

    /// The next include while nobody has the users: of the stacks that were there the newer one stays, because users may be sent
    /// back to it without a reload.
    fn beside_nobody(&self, candidate: Option<&Target>, edition: u64) -> Self {
        let slots = Self { edition, ..self.clone() };
        let Some(candidate) = candidate.filter(|candidate| self.find(candidate).is_none()) else { return slots };
        // Where it was before it moved, else the older one.
        let rank = |colour| {
            let there = self.get(colour).map(|target| &target.stack).filter(|stack| **stack != candidate.stack);
            there.map(|stack| stack.number)
        };
        let slot = Some(candidate.clone().into());
        if rank(Colour::Blue) < rank(Colour::Green) {
            Self { blue: slot, ..slots }
        } else {
            Self { green: slot, ..slots }
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(' ');
        let edition = parts.next()?.parse().ok()?;
        let (blue, green) = (slot(parts.next()?)?, slot(parts.next()?)?);
        parts.next().is_none().then_some(Self { edition, blue, green })
    }

    /// Reads the head of the include; `None`: it is not ours any more.
    pub(super) fn of_include(text: &str) -> Option<Self> {
        Self::parse(text.lines().find_map(|line| line.strip_prefix("# slots "))?)
    }

    /// The include. An error says in one sentence why there can be none.
    pub(super) fn render(&self, settings: &Settings, place: &Place, in_force: Generation) -> Result<String, String> {
        let slots = self.to_string();
        if slots.len() > LONGEST {
            return Err(format!("the endpoints of two stacks are too many for nginx: {} bytes", slots.len()));
        }
        let mut about = format!("generation {in_force} was in force when it was written");
        let mut answers = String::new();
        for colour in Colour::BOTH {
            let Some(Slot { target, listed }) = self.slot(colour) else { continue };
            let _ = write!(about, ", {colour} is {} (deployment {})", target.stack, target.stack.number);
            let slot = format!("pointsman_{}_{colour}", settings.name);
            for endpoint in listed {
                let address = escaped(endpoint);
                let _ = writeln!(answers, "    \"~^1 {slot} (.*, )?{address}$\" \"{}\";", label(&target.stack));
            }
            // What nginx says instead of an address when none of them can be asked.
            let _ = writeln!(answers, "    \"~^1 {slot} (.*, )?{slot}$\" \"{}\";", label(&target.stack));
        }
        // Of an empty slot: no order ever makes a file of this name.
        let key_of = |slot: Option<&Slot>| slot.map_or_else(|| "empty".to_owned(), |_| key(slot));
        let upstream = |colour| servers(self.slot(colour));
        let built_without = |part: &str| place.without.iter().any(|without| without == part);
        let lacks = |part: &str| if part == PREVIEW { place.door.is_none() } else { built_without(part) };
        let left_out = |line: &&str| {
            let needs = line.rsplit_once(NEEDS).is_some_and(|(_, part)| lacks(part));
            needs || line.rsplit_once(INSTEAD).is_some_and(|(_, part)| !lacks(part))
        };
        let (drawn_by, cookie, in_split) = sticky(settings);
        let page = settings.maintenance.media_type();
        let json_page = if page == MediaType::Json { "maintenance" } else { "maintenance.json" };
        let template: String =
            TEMPLATE.lines().filter(|line| !left_out(line)).map(|line| format!("{line}\n")).collect();
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        Ok(template
            .replace("@IDENTITY@", &or_none(&place.identity))
            .replace("@WITHOUT@", &or_none(&place.without.join(" ")))
            .replace("@DOOR@", place.door.as_deref().unwrap_or("-"))
            .replace("@PREVIEWS@", &previews(self, settings))
            .replace("@ABOUT@", &about)
            .replace("@DRAWN_BY@", &drawn_by)
            .replace("@COOKIE@", cookie)
            .replace("@IN_SPLIT@", in_split)
            .replace("@PAGE_TYPE@", page.name())
            .replace("@RETRY_AFTER@", &settings.maintenance.seconds().to_string())
            .replace("@JSON_PAGE@", json_page)
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

/// What users are drawn by, the cookie that keeps them, and what says that there is a split for those who have none.
fn sticky(settings: &Settings) -> (String, &'static str, &'static str) {
    let request = "$request_id".to_owned();
    match settings.sticky {
        Sticky::None => (request, "\"\"", "no"),
        Sticky::Cookie => (request, "$cookie_pointsman_bucket", "$pointsman_split"),
        Sticky::Address => (format!("$pointsman_{}_client", settings.name), "\"\"", "no"),
    }
}

/// Escapes an endpoint for a regular expression.
fn escaped(endpoint: &SocketAddr) -> String {
    endpoint.to_string().replace('.', "\\.").replace('[', "\\[").replace(']', "\\]")
}

/// The same stack elsewhere has another key, and none is ever used again for anything else.
pub(super) fn key(slot: Option<&Slot>) -> String {
    let Some(slot) = slot else { return "nobody".to_owned() };
    let mut sum = hex::encode(Sha256::digest(shown(slot)));
    sum.truncate(12);
    format!("{}-{sum}", slot.target.stack.number)
}

fn servers(slot: Option<&Slot>) -> Result<String, String> {
    let Some(Slot { target, listed }) = slot else { return Ok("    server 127.0.0.1:1 down;\n".to_owned()) };
    if listed.is_empty() {
        return Err(format!("{} has no endpoint, so nothing would answer", target.stack));
    }
    Ok(listed.iter().map(|endpoint| format!("    server {endpoint};\n")).collect())
}

/// The endpoints that an include gives to a slot, whatever its comments say.
pub(super) fn served_by(include: &str, settings: &Settings, colour: Colour) -> Reach {
    let opens = format!("upstream pointsman_{}_{colour} {{", settings.name);
    let lines = include.lines().skip_while(|line| line.trim() != opens).skip(1).take_while(|line| line.trim() != "}");
    let endpoint = |line: &str| {
        let mut words = line.trim().trim_end_matches(';').split_whitespace();
        let address = (words.next()? == "server").then(|| words.next()?.parse().ok())??;
        // Earlier versions wrote the weight.
        matches!(words.next(), None | Some("weight=1")).then_some(address)
    };
    lines.filter_map(endpoint).collect()
}

/// A stack's name by its parts, because joined with `-` two names can read the same.
pub(super) fn label(stack: &StackName) -> String {
    format!("{}#{}", stack.environment, stack.number)
}

/// Reads a label back.
pub(super) fn parse_label(label: &str) -> Option<StackName> {
    let (environment, number) = label.split_once('#')?;
    Some(StackName { environment: environment.parse().ok()?, number: Number(number.parse().ok()?) })
}

/// A slot in the first line of an include. What follows an address is what earlier versions wrote: keys are made of it.
fn shown(slot: &Slot) -> String {
    let all: Vec<_> = slot.listed.iter().map(|e| format!("{e}*1")).collect();
    format!("{}@{}", label(&slot.target.stack), all.join(","))
}

fn slot(text: &str) -> Option<Option<Slot>> {
    if text == "-" {
        return Some(None);
    }
    let (stack, endpoints) = text.split_once('@')?;
    let endpoint = |text: &str| text.strip_suffix("*1")?.parse().ok();
    let listed: Vec<SocketAddr> = endpoints.split(',').map(endpoint).collect::<Option<_>>()?;
    let target = Target { stack: parse_label(stack)?, reach: listed.iter().copied().collect() };
    Some(Some(Slot { target, listed }))
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = |slot: Option<&Slot>| slot.map_or_else(|| "-".to_owned(), shown);
        write!(f, "{} {} {}", self.edition, slot(self.blue.as_ref()), slot(self.green.as_ref()))
    }
}

/// What must stand in an include that can serve this target.
pub(super) fn mark(slot: &Slot) -> String {
    format!("default \"{}\";", key(Some(slot)))
}

#[cfg(test)]
mod tests;
