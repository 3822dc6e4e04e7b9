//! The graph of commits, walked from the newest backwards. Must be bounded: a repository has as many commits as its
//! makers liked.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{ErrorClass, ErrorCode, ObjectType, Odb, Oid};

use super::protocol::Tip;

/// What a walk needs of a commit.
struct Peek {
    parents: Vec<Oid>,
    /// Seconds since the Unix epoch, as the committer's clock had it.
    time: i64,
}

/// Reads a commit's head without making texts of it, which is most of the cost of a walk.
fn peek(odb: &Odb<'_>, id: Oid) -> Result<Peek, git2::Error> {
    let object = odb.read(id)?;
    let nonsense = || git2::Error::new(ErrorCode::Invalid, ErrorClass::Object, format!("{id} is no commit"));
    if object.kind() != ObjectType::Commit {
        return Err(nonsense());
    }
    let mut parents = Vec::with_capacity(1);
    for line in object.data().split(|b| *b == b'\n') {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            let parent = std::str::from_utf8(parent).map_err(|_| nonsense())?;
            parents.push(Oid::from_str(parent)?);
        } else if let Some(committer) = line.strip_prefix(b"committer ") {
            // Ends in "1700000000 +0100".
            let seconds = committer.rsplit(|b| *b == b' ').nth(1).and_then(|word| std::str::from_utf8(word).ok());
            // A commit without a time that can be read is older than all others: only the order rests on it.
            let time = seconds.and_then(|word| word.parse().ok()).unwrap_or(0);
            return Ok(Peek { parents, time });
        } else if line.is_empty() {
            break;
        }
    }
    Err(nonsense())
}

/// Some of our commits, by which a remote can tell what is missing: the tips, and ever sparser what is behind them, so
/// that a branch that was moved back by force has something in common too.
pub(super) fn recent(odb: &Odb<'_>, tips: &[Tip]) -> Result<Vec<Oid>, git2::Error> {
    const TIPS: usize = 256;
    const WALK: usize = 4096;
    let mut chosen: Vec<Oid> = Vec::new();
    let mut seen: HashSet<Oid> = HashSet::new();
    let mut heap = BinaryHeap::new();
    // Branches first: tags are mostly behind them.
    let (branches, others): (Vec<&Tip>, Vec<&Tip>) = tips.iter().partition(|tip| tip.name.starts_with("refs/heads/"));
    for tip in branches.into_iter().chain(others).take(TIPS) {
        if seen.insert(tip.id) {
            chosen.push(tip.id);
            if odb.read_header(tip.id)?.1 == ObjectType::Commit {
                let Peek { time, parents } = peek(odb, tip.id)?;
                heap.push((time, tip.id, parents));
            }
        }
    }
    for nth in 1..=WALK {
        let Some((_, id, parents)) = heap.pop() else { break };
        if (nth < 64 || nth.is_power_of_two() || nth.is_multiple_of(64)) && !chosen.contains(&id) {
            chosen.push(id);
        }
        for parent in parents {
            if seen.insert(parent) {
                let Peek { time, parents } = peek(odb, parent)?;
                heap.push((time, parent, parents));
            }
        }
    }
    Ok(chosen)
}

const NEW: u8 = 1;
const OLD: u8 = 2;
const BOTH: u8 = NEW | OLD;

struct Node {
    peek: Peek,
    /// From which ends it is reached.
    marks: u8,
    waiting: bool,
    visited: bool,
}

/// What lies between two commits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Between {
    /// Reached from the new one only, newest first.
    pub added: Vec<Oid>,
    /// Reached from the old one only, newest first.
    pub gone: Vec<Oid>,
    /// The walk was given up: there is more of either.
    pub cut_short: bool,
}

struct Walk<'a> {
    odb: &'a Odb<'a>,
    nodes: HashMap<Oid, Node>,
    heap: BinaryHeap<(i64, Oid)>,
    /// How many wait that are not reached from both ends: when there are none, the rest is common history.
    open: usize,
}

impl Walk<'_> {
    fn mark(&mut self, id: Oid, marks: u8) -> Result<(), git2::Error> {
        if let Some(node) = self.nodes.get_mut(&id) {
            let (before, after) = (node.marks, node.marks | marks);
            if before == after {
                return Ok(());
            }
            node.marks = after;
            if node.waiting {
                // Two different marks make both.
                self.open -= 1;
            } else {
                // A clock was wrong: it was visited before all that leads to it. Its parents have to hear of it.
                node.waiting = true;
                self.heap.push((node.peek.time, id));
            }
            return Ok(());
        }
        let peek = peek(self.odb, id)?;
        self.heap.push((peek.time, id));
        self.nodes.insert(id, Node { peek, marks, waiting: true, visited: false });
        self.open += usize::from(marks != BOTH);
        Ok(())
    }

    fn step(&mut self, order: &mut Vec<Oid>) -> Result<(), git2::Error> {
        let Some((_, id)) = self.heap.pop() else { return Ok(()) };
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        node.waiting = false;
        self.open -= usize::from(node.marks != BOTH);
        if !std::mem::replace(&mut node.visited, true) {
            order.push(id);
        }
        let (parents, marks) = (node.peek.parents.clone(), node.marks);
        parents.into_iter().try_for_each(|parent| self.mark(parent, marks))
    }
}

/// Walks from both ends, newest first, until only common history is left or `most` commits were visited.
pub(super) fn between(odb: &Odb<'_>, old: Oid, new: Oid, most: usize) -> Result<Between, git2::Error> {
    let mut walk = Walk { odb, nodes: HashMap::new(), heap: BinaryHeap::new(), open: 0 };
    let mut order = Vec::new();
    walk.mark(new, NEW)?;
    walk.mark(old, OLD)?;
    while walk.open > 0 && order.len() < most {
        walk.step(&mut order)?;
    }
    let only = |marks: u8| {
        let is = |id: &&Oid| walk.nodes.get(id).is_some_and(|node| node.marks == marks);
        order.iter().filter(is).copied().collect()
    };
    Ok(Between { added: only(NEW), gone: only(OLD), cut_short: walk.open > 0 })
}
