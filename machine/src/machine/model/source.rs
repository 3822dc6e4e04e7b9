//! The source repository, the mirror of it, and what a look shows of both.

use std::sync::{Arc, OnceLock};

use super::{
    canon::{id, text},
    config::Config,
    world::{Id, Ids, Told, World},
};
use crate::machine::DefinitionView;

/// Where releases have their definitions from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "some are for worlds of the tests only"))]
pub(super) enum Repository {
    /// They come with the build.
    None,
    /// It answers, sooner or later.
    Answers,
    /// It never does.
    Silent,
}

impl Repository {
    pub(super) fn is_there(self) -> bool {
        self != Self::None
    }
}

/// What is on the controllers' disk, by deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Source {
    fetched: Ids,
    refused: Ids,
    /// The same place reads differently now.
    rewritten: bool,
}

impl Source {
    pub(super) fn fetch(&mut self, id: Id) {
        self.fetched.add(id);
    }

    pub(super) fn refuse(&mut self, id: Id) {
        self.refused.add(id);
    }

    /// Another repository takes its place; nothing was fetched from it yet.
    pub(super) fn rewrite(&mut self) {
        *self = Self { rewritten: !self.rewritten, ..Self::default() };
    }

    /// What a look shows to the deployment that awaits its definition.
    pub(super) fn seen(self, awaits: Id) -> DefinitionView {
        match awaits {
            0 => DefinitionView::Unread(None),
            id if self.fetched.has(id) => DefinitionView::Kept(digest(1 + u8::from(self.rewritten))),
            id if self.refused.has(id) => DefinitionView::Refused(text()),
            _ => DefinitionView::Unread(None),
        }
    }
}

/// One of the two definitions there are.
pub(super) fn digest(which: u8) -> Arc<str> {
    static DIGESTS: OnceLock<[Arc<str>; 2]> = OnceLock::new();
    DIGESTS.get_or_init(|| ["a".into(), "b".into()])[usize::from(which) - 1].clone()
}

fn which(definition: &str) -> u8 {
    match definition {
        "a" => 1,
        "b" => 2,
        _ => 0,
    }
}

pub(super) fn record(told: &mut Told, id: Id, definition: &str) {
    told.defined[usize::from(id)] = which(definition);
}

/// What was recorded is what every stack is made from.
pub(super) fn stays(_: &Config, w: &World) -> bool {
    let env = &w.core.env;
    let stacks = env.live().into_iter().chain(env.standby().map(|s| &s.stack)).map(|s| (s.number, &s.release));
    let all = stacks.chain(env.active().map(|d| (d.number, &d.release)));
    let mut recorded = all.map(|(number, release)| (w.told.defined[usize::from(id(number))], release));
    recorded.all(|(recorded, release)| recorded == 0 || recorded == which(&release.definition))
}
