//! nginx as front, on this host or over ssh. Two slots stand in an include file that Pointsman owns; which of them gets
//! the traffic is decided by a file that every worker looks for at every request, so a cutover is one rename and no
//! reload. A reload only makes an idle slot known, while nothing is at stake.
//!
//! Keeps nothing in memory: nginx is asked what it serves, and what was ordered stands in files beside it.

mod cut;
mod door;
mod host;
mod public;
mod read_back;
pub mod settings;
mod sites;
mod slots;
mod ssh;
mod words;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{interval, timeout};

use self::{
    door::Door,
    host::Host,
    read_back::Served,
    settings::Settings,
    slots::{Place, Slots},
    ssh::Ssh,
};
use super::{
    Claim, Claimed, CutOver, Driver, FrontDriver, Route, SeenFront, ShownPreview, Target,
    maintenance::{TEXT, TITLE, html},
    secret,
};
use crate::{
    machine::{Fencing, Generation, StackName},
    outgoing::Way,
    reach::ReachKind,
    stacks::StepError,
};

/// How often it is begun anew because somebody else was faster.
const TRIES: usize = 4;
/// Pause between two looks.
const PACE: Duration = Duration::from_millis(10);

/// What others must know of the driver. Its tables `preview` and `maintenance` are explained with the built-in front's, which are the
/// same.
pub const DRIVER: Driver = Driver {
    name: "nginx",
    open,
    example: "include = \"/etc/nginx/pointsman/NAME.conf\"",
    takes: &[ReachKind::Addresses],
    tables: &[("nginx front", ""), ("ssh", "ssh"), ("public", "public")],
    splits: true,
    pages: true,
};

/// Opens the driver; nothing is touched.
pub fn open(table: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>> {
    let settings = Settings::read(table, written_in)?;
    let page = page_now(&settings).map_err(|why| vec![why])?;
    let ssh = settings.ssh.clone().map(|ssh| Ssh::new(ssh, folder, settings.timeouts.connect));
    let folder = folder.to_owned();
    let (host, page) = (Host::new(&settings, ssh), Mutex::new(page));
    Ok(Arc::new(NginxFront { host, settings, folder, page, found_on: Mutex::default() }))
}

/// The page that users get while nobody has them: the pipeline's own one, or ours.
fn page_now(settings: &Settings) -> Result<String, String> {
    let ours = || html(503, TITLE, TEXT);
    settings.maintenance.own().map(|own| own.map_or_else(ours, |own| own.text))
}

/// The driver.
pub struct NginxFront {
    settings: Settings,
    /// Its own place on Pointsman's host, with the keys of the preview.
    folder: PathBuf,
    host: Host,
    /// The maintenance page, as it was read last.
    page: Mutex<String>,
    /// The host that answered last, by its name and the identity of the folder there.
    found_on: Mutex<Option<String>>,
}

/// What became of one try to bring an include in.
enum Brought {
    /// It is there, and every worker that takes connections has read it.
    In,
    /// nginx was built without something that is left out the next time.
    Lacking,
    /// Another change came first.
    Late,
}

/// Files on nginx's host.
struct Files {
    /// What decides who gets the traffic, as text to compare.
    live: String,
    /// The digest of the include.
    digest: String,
    /// The order in force.
    ordered: Option<Route>,
    /// The identity of the folder; empty where there is none.
    identity: String,
    include: String,
}

impl NginxFront {
    /// Looks. `raise`: and lets the answers of every site of this nginx say that connections end.
    async fn look(&self, raise: bool) -> Result<Files, StepError> {
        let ran = self.host.script("look", &[if raise { "raise" } else { "-" }], false).await?;
        let mut parts = ran.out.splitn(5, '\n').map(str::to_owned);
        let (Some(0), Some(live), Some(digest), Some(route), Some(identity), Some(include)) =
            (ran.status, parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(words::trouble(&self.settings, &ran));
        };
        let ordered = serde_json::from_str(&route).ok();
        Ok(Files { live, digest, ordered, identity: identity.replace('-', ""), include })
    }

    async fn served(&self) -> Result<Served, StepError> {
        read_back::ask(&self.host, &self.settings)
            .await
            .map_err(|why| why.unwrap_or_else(|| words::silent(&self.settings)))
    }

    fn is_on(&self, served: &Served) {
        self.found_on.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&served.host);
    }

    /// Looks until it is so. An error is the last answer that was none.
    async fn until(&self, so: impl Fn(&Served) -> bool) -> Result<(), Option<StepError>> {
        self.looked(self.settings.timeouts.reload, so).await
    }

    async fn looked(&self, limit: Duration, so: impl Fn(&Served) -> bool) -> Result<(), Option<StepError>> {
        let mut last = None;
        let looking = async {
            let mut pace = interval(PACE);
            loop {
                pace.tick().await;
                match self.served().await {
                    Ok(served) if so(&served) => return,
                    Ok(_) => last = None,
                    Err(why) => last = Some(why),
                }
            }
        };
        timeout(limit, looking).await.map_err(|_| last)
    }

    /// The keys of the preview. Without them nobody is let in, and users are served.
    fn door(&self) -> Option<Door> {
        Door::of(&self.settings, &self.folder).unwrap_or_else(|error| {
            tracing::warn!(include = self.settings.include, %error, "the key of the preview cannot be read; nobody is let in");
            None
        })
    }

    /// The maintenance page as it is now, and as it was before where it cannot be read: users are to have one.
    fn page(&self) -> String {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        match page_now(&self.settings) {
            Ok(now) => *page = now,
            Err(error) => {
                tracing::warn!(include = self.settings.include, %error, "the maintenance page from before is used");
            }
        }
        page.clone()
    }

    /// Brings an include with the candidate in, unless it is there and nginx has read it. `beside`: what is to stand in the other
    /// slot where nothing is live.
    async fn bring_in(&self, candidate: Option<&Target>, beside: Option<&Target>) -> Result<(), StepError> {
        let door = self.door();
        let digest = door.as_ref().map(|door| &door.digest);
        let mut without = BTreeSet::new();
        let mut tries = 0;
        while tries < TRIES {
            let served = self.served().await.ok();
            let known = |slots: &Slots| candidate.into_iter().chain(beside).all(|target| slots.find(target).is_some());
            let up_to_date = |s: &&Served| !s.tampered && known(&s.slots) && s.door.as_ref() == digest;
            let loaded = served.as_ref().filter(up_to_date).map(|s| &s.slots);
            let raised = loaded.is_none();
            let done = self.bring((candidate, beside), door.as_ref(), (served.as_ref(), loaded), &mut without).await;
            if raised || done.is_err() {
                // Connections may be kept again. If this fails, the next look at a quiet front does it.
                let _ = self.host.script("farewell", &["lower"], false).await;
            }
            match done? {
                Brought::In => return Ok(()),
                Brought::Lacking => {}
                Brought::Late => tries += 1,
            }
        }
        Err(words::others(&self.settings, ""))
    }

    async fn bring(
        &self,
        (candidate, beside): (Option<&Target>, Option<&Target>),
        door: Option<&Door>,
        (served, loaded): (Option<&Served>, Option<&Slots>),
        without: &mut BTreeSet<String>,
    ) -> Result<Brought, StepError> {
        let files = self.look(loaded.is_none()).await?;
        let there = Slots::of_include(&files.include);
        if there.is_some() && loaded == there.as_ref() {
            return Ok(Brought::In);
        }
        let edition = |slots: Option<&Slots>| slots.map_or(0, |slots| slots.edition);
        let next = edition(there.as_ref()).max(edition(served.map(|s| &s.slots))) + 1;
        let live = files.ordered.as_ref().and_then(|route| route.target.as_ref());
        let split = files.ordered.as_ref().and_then(|route| Some(&route.split.as_ref()?.target));
        if let (Some(split), Some(candidate)) = (split, candidate)
            && ![Some(split), live].contains(&Some(candidate))
        {
            return Err(words::both_taken(&candidate.stack, &split.stack));
        }
        let (live, candidate) = (live.or(beside), split.or(candidate));
        let slots = there.unwrap_or_default().staged(live, candidate, next);
        let generation = files.ordered.as_ref().map_or(Generation(0), |route| route.generation);
        without.extend(Place::of_include(&files.include).without);
        let named = door.map(|door| door.digest.clone());
        let place = Place { identity: files.identity, without: without.iter().cloned().collect(), door: named };
        let text = slots.render(&self.settings, &place, generation).map_err(StepError::Refused)?;
        self.let_go().await;
        let (door, keys) = door.map_or(("-", ""), |door| (&door.digest, door.text.expose_secret()));
        let words = [&files.digest, &files.live, door, keys, &self.page(), &text];
        let ran = self.host.script("stage", &words, true).await?;
        match ran.status {
            Some(0) => self.confirm(next).await.map(|()| Brought::In),
            Some(75) => Ok(Brought::Late),
            Some(65) => match place.lacks(&ran.err, &self.settings.include, &text) {
                Some(part) => {
                    without.insert(part);
                    Ok(Brought::Lacking)
                }
                None => Err(words::trouble(&self.settings, &ran)),
            },
            _ => Err(words::trouble(&self.settings, &ran)),
        }
    }

    /// Gives those who keep a connection the time to be told that it ends; returns at once when nobody keeps one.
    async fn let_go(&self) {
        // One of them is ours. Where nginx does not count, they have all of the time.
        let alone = |served: &Served| served.connections.is_some_and(|count| count <= 1);
        // Who is still there had its time.
        let _ = self.looked(self.settings.timeouts.farewell, alone).await;
    }

    /// A reload returns long before it has happened: new workers must serve, and no old one may take connections.
    async fn confirm(&self, edition: u64) -> Result<(), StepError> {
        let confirmed = self.until(|served| served.slots.edition >= edition && served.alone).await;
        confirmed.map_err(|why| {
            why.unwrap_or_else(|| {
                let (limit, at) = (self.settings.timeouts.reload.as_secs_f32(), self.settings.read_back(edition + 1));
                StepError::Unavailable(format!(
                    "nginx was reloaded, but within {limit} s new workers did not take over from the old ones, unless \
                     somebody else listens at {at}"
                ))
            })
        })
    }

    /// `slots`: those that know the targets, where they were read before they were brought in.
    async fn cut(&self, route: &Route, slots: &Slots) -> Result<String, StepError> {
        let page = route.target.is_none().then(|| self.page());
        let order = cut::Order::of(route, slots, page)?;
        if self.host.is_here() {
            return cut::apply(&self.settings, order).await;
        }
        let arguments = order.arguments();
        let ran = self.host.script("cut", &arguments.each_ref().map(String::as_str), false).await?;
        match ran.status {
            Some(0) => Ok(ran.out.trim().to_owned()),
            Some(75) if ran.err.is_empty() => Ok("unknown".to_owned()),
            _ => Err(words::trouble(&self.settings, &ran)),
        }
    }
}

#[async_trait::async_trait]
impl FrontDriver for NginxFront {
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        if let Some(why) = candidate.flaw(DRIVER.takes) {
            return Err(StepError::Refused(why));
        }
        self.bring_in(Some(candidate), None).await
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        let route = &route.without_hold();
        if let Some(why) = route.flaw(DRIVER.takes) {
            return Err(StepError::Refused(why));
        }
        let split = route.split.as_ref().map(|split| &split.target);
        for _ in 0..TRIES {
            let served = self.served().await?;
            let newest = served.generation();
            if newest > route.generation {
                return Ok(CutOver::Stale { applied: newest });
            }
            if split.is_some() && !served.draws {
                return Err(words::draws_nothing(&self.settings));
            }
            let missing = route.target.iter().chain(split).find(|target| served.slots.find(target).is_none());
            // Usually it was staged while it was checked, and there is no reload here.
            if served.tampered || missing.is_some() {
                self.bring_in(split.or(missing).or(route.target.as_ref()), split.and(route.target.as_ref())).await?;
            }
            let said = self.cut(route, &served.slots).await?;
            match said.split_once(' ') {
                Some(("stale", applied)) => {
                    let applied = Generation(applied.parse().unwrap_or(newest.0));
                    return Ok(CutOver::Stale { applied });
                }
                _ if said == "taken" => {
                    let why = format!("generation {} was given to another order before", route.generation);
                    return Err(StepError::Refused(why));
                }
                _ if said == "applied" => {
                    // Every worker looks at every request, so what one of them sees holds for all.
                    let shown = self.until(|served| served.serves(route)).await;
                    self.is_on(&served);
                    return shown.map(|()| CutOver::Applied).map_err(|why| {
                        let not = "the order is written, but nginx does not serve it yet".to_owned();
                        why.unwrap_or(StepError::Unavailable(not))
                    });
                }
                _ => {}
            }
        }
        Err(words::others(&self.settings, ""))
    }

    async fn observe(&self) -> Result<Option<SeenFront>, StepError> {
        let served = self.served().await?;
        if served.farewell {
            // Left by somebody who was cut short; one that is under way is younger, and stays.
            let _ = self.host.script("farewell", &["forget"], false).await;
        }
        self.is_on(&served);
        Ok(served.seen())
    }

    fn place(&self) -> Option<String> {
        self.found_on.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        match &self.settings.public {
            Some(public) => public::ask(public, self.settings.timeouts.connect).await.map(Some),
            None => Ok(None),
        }
    }

    fn cannot_lead(&self) -> Option<String> {
        match (&self.settings.preview, &self.settings.public) {
            (None, _) => Some(
                "write `preview = {}` into `front`, and the lines of the preview into nginx's site (docs/nginx.md)"
                    .to_owned(),
            ),
            (_, None) => {
                Some("write `public = { url = \"https://...\" }` into `front`: the address that is asked".to_owned())
            }
            (Some(_), Some(_)) => None,
        }
    }

    fn way_to(&self, stack: &StackName, connect: Duration) -> Result<Way, StepError> {
        match &self.settings.public {
            Some(public) => public::way(public, &self.folder, stack, connect),
            None => Err(StepError::Refused("front.public is not set".to_owned())),
        }
    }

    fn shown_preview(&self) -> Option<ShownPreview> {
        let (preview, public) = self.settings.preview.as_ref().zip(self.settings.public.as_ref())?;
        Some(preview.shown(&public.origin(), &self.folder))
    }

    fn hidden(&self) -> Vec<SecretString> {
        let shown = self.shown_preview().filter(|shown| shown.secret).and_then(|shown| shown.key.ok());
        let own = self.settings.preview.as_ref().and_then(|_| secret::of_probes(&self.folder).ok());
        let own = own.and_then(|own| own.to_str().ok().map(SecretString::from));
        shown.into_iter().chain(own).collect()
    }

    fn does_not_count(&self) -> Option<&'static str> {
        Some("nginx keeps no count for each stack that could be asked for; its access log has every request")
    }

    fn fencing(&self) -> Fencing {
        Fencing::CompareAndSet
    }

    /// nginx itself is not ours to start; its include is ours to write.
    async fn ensure_running(&self) -> Result<(), StepError> {
        match read_back::ask(&self.host, &self.settings).await {
            Ok(_) => return Ok(()),
            Err(Some(why)) => return Err(why),
            Err(None) => {}
        }
        let files = self.look(false).await?;
        if Slots::of_include(&files.include).is_none() {
            self.bring_in(None, None).await?;
        } else {
            let ran = self.host.script("reload", &[], true).await?;
            if ran.status != Some(0) {
                return Err(words::trouble(&self.settings, &ran));
            }
        }
        self.until(|_| true).await.map_err(|why| why.unwrap_or_else(|| words::silent(&self.settings)))
    }

    fn notes(&self) -> Vec<String> {
        let settings = &self.settings;
        let mut notes = vec![
            format!("nginx on {}; Pointsman owns {}", settings.host(), settings.include),
            format!("stage: writes the idle slot, `{0} -t`, `{0} -s reload`", settings.nginx_text()),
            format!("cut over: one rename in {}, no reload", settings.folder),
            format!("read back from nginx itself at {}", settings.read_back),
        ];
        notes.push(match &settings.public {
            Some(public) => format!("asked as users ask, at {}", public.url),
            None => "never asked as users ask: front.public is not set".to_owned(),
        });
        notes.push("a share of the users: one rename, no reload; users stay by front.sticky".to_owned());
        notes.push(format!("{}, by one rename, no reload", settings.maintenance.note()));
        if let (Some(preview), Some(public)) = (&settings.preview, &settings.public) {
            notes.push(preview.note(&public.origin()));
        }
        notes.push("how many requests are open at a stack is not known: draining takes all of its time".to_owned());
        notes
    }

    fn cautions(&self) -> Vec<String> {
        if self.host.is_here() { sites::here(&self.settings) } else { Vec::new() }
    }

    async fn preview(&self) -> Result<Vec<String>, StepError> {
        if self.host.is_here() { Ok(self.cautions()) } else { sites::there(&self.host, &self.settings).await }
    }

    fn claims(&self) -> Vec<Claim> {
        let settings = &self.settings;
        let host = settings.ssh.as_ref().map(|ssh| ssh.host.clone());
        let claim = |key, what| Claim { key, host: host.clone(), what };
        vec![
            claim("include", Claimed::File(settings.include.clone())),
            claim("folder", Claimed::File(settings.folder.clone())),
            claim("read_back", Claimed::Address(settings.read_back(0))),
            claim("read_back", Claimed::Address(settings.read_back(1))),
        ]
    }

    fn call_limit(&self) -> Duration {
        let limits = &self.settings.timeouts;
        (limits.connect + limits.command) * 3 + limits.reload + limits.farewell
    }
}
