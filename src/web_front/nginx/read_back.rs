//! What nginx itself says that it serves: asked at the listener that the include defines, so the answer comes from a
//! worker and not from a file that somebody wrote. Must not change anything.

use std::{collections::HashMap, str};

use super::{
    host::Host,
    settings::Settings,
    slots::{Colour, DRAWS, Place, Slots, served_by},
    words,
};
use crate::{
    machine::{Generation, Share},
    stacks::StepError,
    web_front::{Route, SeenFront, Split, Target},
};

/// A cutover between the two looks of one answer makes it contradict itself; so often it is asked again.
const TRIES: usize = 5;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// The slots as the worker that answered has read them.
    pub slots: Slots,
    /// The slot that is in force.
    pub slot: Option<Colour>,
    /// The order that made it so; none when there has never been one.
    pub ordered: Option<Route>,
    /// The include has been changed by other hands since this worker read it.
    pub tampered: bool,
    /// The keys of the preview that the include names.
    pub door: Option<String>,
    /// No worker that has read another edition takes connections any more.
    pub alone: bool,
    /// Where users' requests really go, as far as that can be told: under a split, the rest of them.
    pub target: Option<Target>,
    /// The stack in the other slot, by what stands in the include.
    pub other: Option<Target>,
    /// Where a share of them goes. Asked bucket by bucket, so this is what nginx does.
    pub split: Option<Split>,
    /// It was built with what draws buckets.
    pub draws: bool,
    /// The name and identity of the host that answered; none of an older include.
    pub host: Option<String>,
    /// Answers say that connections end.
    pub farewell: bool,
    /// How many connections this nginx has, with ours; none where it does not count them.
    pub connections: Option<u64>,
}

/// Asks. `Err(None)`: nobody listens at the read-back's addresses.
pub(super) async fn ask(host: &Host, settings: &Settings) -> Result<Served, Option<StepError>> {
    let (even, odd) = tokio::join!(ask_at(host, settings, 0), ask_at(host, settings, 1));
    match (even, odd) {
        // While workers are being replaced both answer.
        (Ok(one), Ok(other)) => Ok(if one.slots.edition > other.slots.edition { one } else { other }),
        (Ok(one), Err(other)) | (Err(other), Ok(one)) => Ok(Served { alone: other.is_none(), ..one }),
        (Err(one), Err(other)) => Err(one.or(other)),
    }
}

/// Asks those who have read an even or an odd edition.
async fn ask_at(host: &Host, settings: &Settings, edition: u64) -> Result<Served, Option<StepError>> {
    let (name, address) = (&settings.name, settings.read_back(edition));
    let one =
        |what: &str, last: &str| format!("GET /.pointsman/{name}/{what} HTTP/1.1\r\nhost: pointsman\r\n{last}\r\n");
    let request = one("route", "") + &one("include", "connection: close\r\n");
    for _ in 0..TRIES {
        let bytes = host.ask(address, &request).await?;
        let served = understood(&bytes, settings).map_err(|why| {
            let who = format!("what answers at {address} is not the include {}", settings.include);
            Some(StepError::Unavailable(format!("{who}: {why}")))
        })?;
        let Some(served) = served else { continue };
        let Some(ordered) = served.ordered.as_ref().and_then(|route| route.split.as_ref()) else { return Ok(served) };
        let bytes = host.ask(address, &buckets(name, ordered.share)).await?;
        if let Some(split) = shown(&bytes, &served, ordered, settings) {
            return Ok(Served { split, ..served });
        }
    }
    Err(Some(StepError::Unavailable("nginx contradicts itself about what it serves".to_owned())))
}

/// Asks for the slots at both ends of a share, and for the first one behind it.
fn buckets(name: &str, share: Share) -> String {
    let ask = |(bucket, last): (u8, &str)| {
        format!("GET /.pointsman/{name}/bucket?bucket={bucket} HTTP/1.1\r\nhost: pointsman\r\n{last}\r\n")
    };
    let share = share.percent();
    [(0, ""), (share - 1, ""), (share, "connection: close\r\n")].map(ask).concat()
}

/// The split that the answers show; `Some(None)`: there is none, whatever was ordered. `None`: they contradict the rest.
fn shown(bytes: &[u8], served: &Served, ordered: &Split, settings: &Settings) -> Option<Option<Split>> {
    let (first, rest) = answer(bytes)?;
    let (last, rest) = answer(rest)?;
    let (behind, _) = answer(rest)?;
    let [first, last, behind] = [first, last, behind].map(|answer| colour(&answer, settings));
    let (share, one) = (ordered.share, first == last && behind == served.slot);
    match served.other.clone().zip(served.slot) {
        Some((target, slot)) if one && first == Some(slot.other()) => Some(Some(Split { target, share })),
        _ if one && first == served.slot => Some(None),
        _ => None,
    }
}

/// The slot that an answer names.
fn colour(answer: &Answer, settings: &Settings) -> Option<Colour> {
    let slot = answer.headers.get("x-pointsman-slot")?;
    Colour::BOTH.into_iter().find(|colour| *slot == format!("pointsman_{}_{colour}", settings.name))
}

/// Returns `None` when it contradicts itself.
fn understood(bytes: &[u8], settings: &Settings) -> Result<Option<Served>, String> {
    let (route, rest) = answer(bytes).ok_or("not the answer of a web server")?;
    let (include, _) = answer(rest).ok_or("it gives no second answer")?;
    let slots = route.headers.get("x-pointsman-slots").ok_or_else(|| match route.status {
        200 | 404 => "it does not tell its slots".to_owned(),
        other => words::guarded(other, settings),
    })?;
    let slots = Slots::parse(slots).ok_or("its slots cannot be read")?;
    let slot = colour(&route, settings);
    let ordered: Option<Route> = match route.status {
        404 => None,
        200 => Some(serde_json::from_slice(&route.body).map_err(|_| "its route cannot be read")?),
        other => return Err(words::guarded(other, settings)),
    };
    let aim = ordered.as_ref().and_then(|route| route.target.as_ref());
    if slot.is_some() && slot.and_then(|c| slots.get(c)) != aim {
        return Ok(None);
    }
    let text = str::from_utf8(&include.body).unwrap_or_default();
    let tampered = include.status == 200 && tampered(text, &slots, settings);
    let target_in = |colour: Colour| {
        let mut target = slots.get(colour)?.clone();
        if tampered {
            target.reach = served_by(text, settings, colour);
        }
        Some(target)
    };
    let (target, other) = (slot.and_then(target_in), slot.and_then(|slot| target_in(slot.other())));
    let draws = !Place::of_include(text).without.iter().any(|part| part == DRAWS);
    let header = |name: &str| route.headers.get(name).filter(|text| !text.is_empty());
    let host = header("x-pointsman-host").zip(header("x-pointsman-identity"));
    let host = host.map(|(name, identity)| format!("{name} (identity {identity})"));
    let farewell = header("x-pointsman-farewell").is_some();
    let connections = header("x-pointsman-connections").and_then(|count| count.parse().ok());
    let (alone, split, door) = (false, None, Place::of_include(text).door);
    Ok(Some(Served {
        slots,
        slot,
        ordered,
        tampered,
        door,
        alone,
        target,
        other,
        split,
        draws,
        host,
        farewell,
        connections,
    }))
}

/// Whether the include was changed by others. One of another edition is being brought in, and does not concern this worker.
fn tampered(text: &str, slots: &Slots, settings: &Settings) -> bool {
    let bare = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let other = Slots::of_include(text).is_some_and(|there| there.edition != slots.edition);
    !other
        && slots.render(settings, &Place::of_include(text), Generation(0)).is_ok_and(|ours| bare(&ours) != bare(text))
}

impl Served {
    /// The generation that counts.
    pub(super) fn generation(&self) -> Generation {
        self.ordered.as_ref().map_or(Generation(0), |route| route.generation)
    }

    /// Whether it serves exactly this.
    pub(super) fn serves(&self, route: &Route) -> bool {
        self.ordered.as_ref() == Some(route) && self.target == route.target && self.split == route.split
    }

    /// Returns it as the trait does.
    pub(super) fn seen(self) -> Option<SeenFront> {
        let idle = Colour::BOTH.into_iter().filter(|colour| Some(*colour) != self.slot && self.split.is_none());
        let idle: Vec<_> = idle.filter_map(|colour| self.slots.get(colour)).collect();
        let staged = idle.iter().max_by_key(|target| target.stack.number).map(|target| (*target).clone());
        let generation = self.generation();
        if self.ordered.is_none() && staged.is_none() {
            return None;
        }
        // nginx does not say how many requests are still open at an upstream: that there are some cannot be ruled out.
        // While nobody has the users it may be either stack that had them last.
        let open = idle.iter().map(|target| (target.stack.clone(), 1)).collect();
        let says = |ordered: &Route| (&ordered.target, &ordered.split) != (&self.target, &self.split);
        let altered = self.ordered.as_ref().is_some_and(says);
        let route = Route { split: self.split, ..Route::whole(generation, self.target) };
        let (stack, staged_at) = (staged.as_ref().map(|target| target.stack.clone()), staged);
        Some(SeenFront { altered, staged: stack, staged_at, open, ..SeenFront::new(route) })
    }
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// The first answer, and what comes after it.
fn answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = bytes.get(end + 4..)?;
    let (body, rest) = match headers.get("content-length") {
        Some(length) => rest.split_at_checked(length.parse().ok()?).map(|(body, rest)| (body.to_vec(), rest))?,
        // nginx does so where a filter may change the length, also of its own page for 404.
        None => chunks(rest)?,
    };
    Some((Answer { status, headers, body }, rest))
}

fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let (chunk, rest) = bytes.get(end + 2..)?.split_at_checked(length)?;
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n")?;
        if length == 0 {
            return Some((body, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        let one = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let both = [one.as_slice(), two].concat();
        let (first, rest) = answer(&both).unwrap();
        assert_eq!((first.status, first.body.as_slice()), (404, b"hello!".as_slice()));
        let (second, rest) = answer(rest).unwrap();
        assert_eq!((second.status, second.body.as_slice(), rest), (200, b"{}".as_slice(), b"".as_slice()));
        for end in 0..one.len() {
            assert!(answer(&one[..end]).is_none(), "{end}");
        }
    }
}
