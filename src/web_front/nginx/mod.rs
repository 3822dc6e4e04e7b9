//! nginx as front, on this host or over ssh. Two slots stand in an include file that Pointsman owns; which of them gets
//! the traffic is decided by a file that every worker looks for at every request, so a cutover is one rename and no
//! reload. A reload only makes an idle slot known, while nothing is at stake.
//!
//! Keeps nothing in memory: nginx is asked what it serves, and what was ordered stands in files beside it.

mod cut;
mod host;
mod public;
mod read_back;
pub mod settings;
mod slots;
mod ssh;
use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::{interval, timeout};

use self::{
    host::Host,
    read_back::Served,
    settings::Settings,
    slots::{Slots, key, mark},
    ssh::Ssh,
};
use super::{Claim, Claimed, CutOver, FrontDriver, Route, SeenFront, Target};
use crate::{
    machine::{Fencing, Generation, StackName},
    program::Ran,
    stacks::StepError,
};

/// How often it is begun anew because somebody else was faster.
const TRIES: usize = 4;
/// Between two looks.
const PACE: Duration = Duration::from_millis(10);

/// Opens the driver; nothing is touched.
pub fn open(table: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>> {
    let settings = Settings::read(table, written_in)?;
    let ssh = settings.ssh.clone().map(|ssh| Ssh::new(ssh, folder, settings.timeouts.connect));
    Ok(Arc::new(NginxFront { host: Host::new(&settings, ssh), settings }))
}

/// The driver.
pub struct NginxFront {
    settings: Settings,
    host: Host,
}

/// What lies on nginx's host.
struct Files {
    /// What decides who gets the traffic, as text to compare.
    live: String,
    /// Of the include, to compare.
    digest: String,
    /// The order in force.
    ordered: Option<Route>,
    include: String,
}

impl NginxFront {
    async fn look(&self) -> Result<Files, StepError> {
        let ran = self.host.script("look", &[], false).await?;
        let mut parts = ran.out.splitn(4, '\n').map(str::to_owned);
        let (Some(0), Some(live), Some(digest), Some(route), Some(include)) =
            (ran.status, parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(self.trouble(&ran));
        };
        Ok(Files { live, digest, ordered: serde_json::from_str(&route).ok(), include })
    }

    /// The step failed, in one sentence with what to do.
    fn trouble(&self, ran: &Ran) -> StepError {
        let (host, nginx, why) = (self.settings.host(), self.settings.nginx_text(), ran.why());
        let has = |words: &[&str]| words.iter().any(|word| ran.err.contains(word));
        if has(&["sudo: not found", "sudo: command not found"]) {
            return StepError::Refused(format!("there is no sudo on {host}: install it, or set front.sudo = false"));
        }
        if has(&["sudo: "]) {
            return StepError::Refused(format!(
                "sudo refuses `{nginx}` on {host} ({why}): allow the user `{nginx} -t` and `{nginx} -s reload` with \
                 NOPASSWD in /etc/sudoers.d"
            ));
        }
        match ran.status {
            Some(65) if has(&["ot found", "o such file or directory"]) && !has(&["nginx: "]) => {
                StepError::Refused(format!(
                    "`{nginx}` can not be run on {host} ({why}): install nginx, or name the command as front.nginx"
                ))
            }
            Some(65) => {
                let why = ran.err.lines().map(str::trim).find(|line| line.contains("[emerg]")).unwrap_or(&why);
                StepError::Refused(format!(
                    "nginx on {host} refuses its configuration, so it was not reloaded and the former include is back: \
                     {why}; see `{nginx} -t`"
                ))
            }
            Some(66) if has(&["nginx.pid", "invalid PID", "o such process", "No such file"]) => self.not_running(),
            Some(66) => StepError::Unavailable(format!("nginx on {host} can not be told to reload: {why}")),
            Some(77) => StepError::Refused(format!("on {host}: {why}; see `setup.sh` in web_front/nginx")),
            Some(75) => StepError::Unavailable(format!("on {host} others change the front at the same time: {why}")),
            _ => StepError::Unavailable(format!("on {host}: {why}")),
        }
    }

    fn not_running(&self) -> StepError {
        StepError::Unavailable(format!(
            "nginx does not run on {}: start it there (`systemctl start nginx`); `{} -t` says what keeps it from starting",
            self.settings.host(),
            self.settings.nginx_text()
        ))
    }

    fn silent(&self) -> StepError {
        let (host, at) = (self.settings.host(), self.settings.read_back);
        let forwards = if self.host.is_here() { "" } else { ", or sshd there has `AllowTcpForwarding no`" };
        StepError::Unavailable(format!(
            "nothing answers at nginx's read-back {at} on {host}: nginx does not run there, or its configuration has no \
             `include {};` in http{forwards}",
            self.settings.include
        ))
    }

    async fn served(&self) -> Result<Served, StepError> {
        read_back::ask(&self.host, &self.settings).await.map_err(|why| why.unwrap_or_else(|| self.silent()))
    }

    /// Looks until it is so. An error is the last answer that was none.
    async fn until(&self, so: impl Fn(&Served) -> bool) -> Result<(), Option<StepError>> {
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
        timeout(self.settings.timeouts.reload, looking).await.map_err(|_| last)
    }

    /// Brings an include with the candidate in, unless it is there and nginx has read it.
    async fn bring_in(&self, candidate: Option<&Target>) -> Result<(), StepError> {
        for _ in 0..TRIES {
            let files = self.look().await?;
            let there = Slots::of_include(&files.include);
            let served = self.served().await.ok();
            let known = |slots: &Slots| candidate.is_none_or(|c| slots.find(c).is_some());
            let loaded = served.as_ref().filter(|s| !s.tampered && known(&s.slots)).map(|s| &s.slots);
            if there.is_some() && loaded == there.as_ref() {
                return Ok(());
            }
            let edition = |slots: Option<&Slots>| slots.map_or(0, |slots| slots.edition);
            let next = edition(there.as_ref()).max(edition(served.as_ref().map(|s| &s.slots))) + 1;
            let live = files.ordered.as_ref().and_then(|route| route.target.as_ref());
            let slots = there.unwrap_or_default().staged(live, candidate, next);
            let generation = files.ordered.as_ref().map_or(Generation(0), |route| route.generation);
            let text = slots.render(&self.settings, generation).map_err(StepError::Refused)?;
            let farewell = self.farewell();
            let ran = self.host.script("stage", &[&farewell, &files.digest, &files.live, &text], true).await?;
            match ran.status {
                Some(0) => return self.confirm(next).await,
                Some(75) => {}
                _ => return Err(self.trouble(&ran)),
            }
        }
        Err(StepError::Unavailable(format!("on {} others change the front at the same time", self.settings.host())))
    }

    /// In seconds, as `sleep` takes them.
    fn farewell(&self) -> String {
        format!("{:.3}", self.settings.timeouts.farewell.as_secs_f32())
    }

    /// A reload returns long before it has happened: new workers must serve, and no old one may take connections.
    async fn confirm(&self, edition: u64) -> Result<(), StepError> {
        let confirmed = self.until(|served| served.slots.edition >= edition && served.alone).await;
        // Connections may be kept again. If this fails, whoever comes next does it.
        let _ = self.host.script("farewell", &[], false).await;
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

    async fn cut(&self, route: &Route) -> Result<String, StepError> {
        let text = serde_json::to_string(route).map_err(|e| StepError::Refused(e.to_string()))?;
        let target = route.target.as_ref();
        let (key, mark) = (key(target), target.map(mark).unwrap_or_default());
        if self.host.is_here() {
            return cut::apply(&self.settings, route.generation, key, mark, text).await;
        }
        let generation = route.generation.to_string();
        let arguments = [&generation, &key, &mark, &text].map(String::as_str);
        let ran = self.host.script("cut", &arguments, false).await?;
        match ran.status {
            Some(0) => Ok(ran.out.trim().to_owned()),
            Some(75) if ran.err.is_empty() => Ok("unknown".to_owned()),
            _ => Err(self.trouble(&ran)),
        }
    }
}

#[async_trait::async_trait]
impl FrontDriver for NginxFront {
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        self.bring_in(Some(candidate)).await
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        let target = route.target.as_ref();
        for _ in 0..TRIES {
            let served = self.served().await?;
            let newest = served.generation();
            if newest > route.generation {
                return Ok(CutOver::Stale { applied: newest });
            }
            let known = target.is_none_or(|target| served.slots.find(target).is_some());
            // Usually it was staged while it was checked, and there is no reload here.
            if served.tampered || !known {
                self.bring_in(target).await?;
            }
            let said = self.cut(route).await?;
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
                    return shown.map(|()| CutOver::Applied).map_err(|why| {
                        let not = "the order is written, but nginx does not serve it yet".to_owned();
                        why.unwrap_or(StepError::Unavailable(not))
                    });
                }
                _ => {}
            }
        }
        Err(StepError::Unavailable(format!("on {} others change the front at the same time", self.settings.host())))
    }

    async fn observe(&self) -> Result<Option<SeenFront>, StepError> {
        Ok(self.served().await?.seen())
    }

    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        match &self.settings.public {
            Some(public) => public::ask(public, self.settings.timeouts.connect).await.map(Some),
            None => Ok(None),
        }
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
        let files = self.look().await?;
        if Slots::of_include(&files.include).is_none() {
            self.bring_in(None).await?;
        } else {
            let ran = self.host.script("reload", &[&self.farewell()], true).await?;
            if ran.status != Some(0) {
                return Err(self.trouble(&ran));
            }
        }
        let _ = self.host.script("farewell", &[], false).await;
        self.until(|_| true).await.map_err(|why| why.unwrap_or_else(|| self.silent()))
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
        notes.push("how many requests are open at a stack is not known: draining takes all of its time".to_owned());
        notes
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
