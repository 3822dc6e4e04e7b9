//! What is left of a stack that is on its way out, or that is stopped: its processes, and its ports that somebody listens at. Must not end anybody.

use std::io;

use super::{
    family::{self, Member},
    folder::StackFolder,
    identity::{self, Mark},
    ports,
};

/// How a stack that is on its way out, or that is stopped, is.
#[derive(Default)]
pub(super) struct Left {
    /// Processes of it that still run.
    pub(super) processes: usize,
    /// Ports of it that somebody listens at, and who.
    pub(super) ports: Vec<String>,
}

impl Left {
    pub(super) fn is_nothing(&self) -> bool {
        self.processes == 0 && self.ports.is_empty()
    }

    /// What is left, in words.
    pub(super) fn words(&self) -> Option<String> {
        let mut parts = self.ports.clone();
        if self.processes > 0 {
            parts.insert(0, format!("{} of its processes still run", self.processes));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// What is left of a stack. `marked`: so many processes carry its mark.
pub(super) fn left(folder: &StackFolder, mark: &Mark, marked: usize) -> io::Result<Left> {
    let boot = family::boot()?;
    let family = folder.family(&boot).into_iter().filter(Member::is_alive).count();
    // Of one that was made before the host was started again, nothing can be left; nor can it be told of one whose spec is
    // gone.
    let spec = folder.spec().ok().filter(|spec| spec.boot == boot);
    let began = spec.as_ref().map_or(0, |spec| spec.began);
    let endpoints = spec.into_iter().flat_map(|spec| spec.endpoints);
    let held = endpoints.filter(|endpoint| ports::can_listen(*endpoint).is_err());
    let ports = held.filter_map(|endpoint| {
        let Some(holder) = family::listener(endpoint) else {
            return Some(format!("{endpoint} is in use by a process that this user may not see"));
        };
        // Whoever came before the stack, or is of another one, is none of it.
        let foreign = holder.start < began || identity::is_of_another(holder.pid, mark);
        (!foreign).then(|| format!("{endpoint} is in use by process {} ({})", holder.pid, family::name(holder.pid)))
    });
    Ok(Left { processes: marked.max(family), ports: ports.collect() })
}
