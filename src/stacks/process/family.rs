//! All processes of a stack, however far they went from it: what the supervisor's instances started, what was left when
//! the one in between ended (it comes to the supervisor, which is its subreaper), and what carries the stack's mark.
//!
//! Must not end what is not proven to be of the stack: a process is told by its number together with when it began.

use std::{collections::BTreeMap, fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use serde::{Deserialize, Serialize};

use super::identity::Mark;
use crate::holder::listeners;
pub(super) use crate::holder::name;

/// A process of a stack. With when it began (clock ticks since the host came up) its number is nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) pid: i32,
    pub(super) start: u64,
    /// The instance that it comes from, where that is known.
    pub(super) instance: Option<usize>,
}

impl Member {
    fn at(pid: i32, instance: Option<usize>) -> Option<Self> {
        Some(Self { pid, start: Stat::of(pid)?.start, instance })
    }

    /// Whether it runs: one that has ended and was not waited for does not.
    pub(super) fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.start == self.start && !stat.has_ended())
    }

    /// Signals it, unless it has ended. The handle is taken first, so that the number cannot become another's in between.
    pub(super) fn signal(&self, signal: Signal) {
        let Some(handle) = Pid::from_raw(self.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return;
        };
        if self.is_alive() {
            // Gone meanwhile, or another user's: the next look tells.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// The fields of `/proc/PID/stat` that are used.
pub(super) struct Stat {
    state: char,
    pub(super) start: u64,
}

impl Stat {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, second, may contain anything, also `)`: count from behind it.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Self { state, start: fields.nth(18)?.parse().ok()? })
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The instances' own processes, and which instance each is.
pub(super) type Leaders = BTreeMap<i32, usize>;

/// What is of the stack now, without the leaders: everything below them and below this process, and of `before` what is
/// still there. Waits for those that have ended and came to this process.
pub(super) fn look(mark: &Mark, leaders: &Leaders, instances: usize, before: &[Member]) -> Vec<Member> {
    let mut found: BTreeMap<i32, Member> = BTreeMap::new();
    let known = |member: &Member| before.iter().find(|b| (b.pid, b.start) == (member.pid, member.start));
    for (leader, instance) in leaders {
        for pid in below(*leader) {
            found.extend(Member::at(pid, Some(*instance)).map(|member| (pid, member)));
        }
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for orphan in children(own).into_iter().filter(|pid| !leaders.contains_key(pid)) {
        let Some(stat) = Stat::of(orphan) else { continue };
        if stat.has_ended() {
            reap(orphan);
            continue;
        }
        let member = Member { pid: orphan, start: stat.start, instance: None };
        let only = (instances == 1).then_some(0);
        let instance = known(&member).and_then(|b| b.instance).or_else(|| mark.instance_of(orphan)).or(only);
        for pid in below(orphan).into_iter().chain([orphan]) {
            found.extend(Member::at(pid, instance).map(|member| (pid, member)));
        }
    }
    for left in before {
        if !found.contains_key(&left.pid) && !leaders.contains_key(&left.pid) && left.is_alive() {
            found.insert(left.pid, *left);
        }
    }
    found.into_values().collect()
}

/// Returns the processes that carry the mark, as members.
pub(super) fn marked(mark: &Mark) -> Vec<Member> {
    mark.processes().into_iter().filter_map(|process| Member::at(process.pid, process.instance)).collect()
}

/// Waits for a child of ours that has ended.
fn reap(child: i32) {
    if let Some(pid) = Pid::from_raw(child) {
        // Somebody else has waited for it, or it is not ours: as good.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// Every process below this one.
fn below(root: i32) -> Vec<i32> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        // A number that was used again meanwhile could make a circle.
        let more: Vec<i32> = children(pid).into_iter().filter(|child| !found.contains(child)).collect();
        found.extend(more);
        next += 1;
    }
    found
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect()
}

/// This start of the host: numbers of processes mean nothing across it.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// How long the host is up, in the unit in which it says when a process began.
pub(super) fn ticks() -> io::Result<u64> {
    /// Whatever the kernel counts in: this is what it shows, on every architecture that we are built for.
    const CENTISECONDS: usize = 2;
    let text = fs::read_to_string("/proc/uptime")?;
    let up = text.split_ascii_whitespace().next().and_then(|up| up.split_once('.'));
    let ticks = up.and_then(|(seconds, part)| format!("{seconds}{part:0<CENTISECONDS$.CENTISECONDS$}").parse().ok());
    ticks.ok_or_else(|| io::Error::other(format!("the host says that it is up for {text:?}")))
}

/// The process that listens at this address, as far as this user may see it.
pub(super) fn listener(endpoint: std::net::SocketAddr) -> Option<Member> {
    Member::at(listeners(endpoint).into_iter().next()?, None)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_by_address_and_port() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut endpoint = listener.local_addr().expect("an address");
            if endpoint.ip().is_unspecified() {
                endpoint.set_ip([127, 0, 0, 1].into());
            }
            let found = super::listener(endpoint).expect("it is seen");
            assert_eq!(found.pid, i32::try_from(std::process::id()).expect("a number"), "{address}");
            drop(listener);
            assert_eq!(super::listener(endpoint), None, "{address}");
        }
    }

    #[test]
    fn what_began_is_older_than_now() {
        let own = i32::try_from(std::process::id()).expect("a number");
        let (began, now) = (Stat::of(own).expect("it runs").start, ticks().expect("it is said"));
        assert!(began <= now + 1 && now - began < 100 * 3600, "{began} {now}");
    }

    #[test]
    fn what_is_below_a_process_is_found_and_told_from_its_successors() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = i32::try_from(child.id()).expect("a number");
        let own = i32::try_from(std::process::id()).expect("a number");
        assert!(below(own).contains(&pid));
        let member = Member::at(pid, None).expect("it runs");
        assert!(member.is_alive());
        let successor = Member { start: member.start + 1, ..member };
        assert!(!successor.is_alive());
        successor.signal(Signal::KILL);
        assert!(member.is_alive(), "the number alone is not who it was");
        member.signal(Signal::KILL);
        child.wait().expect("ours");
        assert!(!member.is_alive());
    }
}
