//! How much may go on at the same time, for each key and in all. What is taken is given back when whoever holds it is gone, however
//! that ended. Must not know what it is that goes on.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts of what goes on at once, by key.
pub struct AtOnce<K: Eq + Hash> {
    of_one: usize,
    of_all: usize,
    going: Arc<Mutex<Going<K>>>,
}

struct Going<K> {
    all: usize,
    by_key: HashMap<K, usize>,
}

/// One that goes on, until this is dropped.
pub struct Held<K: Eq + Hash> {
    key: K,
    going: Arc<Mutex<Going<K>>>,
}

impl<K: Eq + Hash + Clone> AtOnce<K> {
    /// Allows so many of one key, and so many of all together.
    pub fn new(of_one: usize, of_all: usize) -> Self {
        Self { of_one, of_all, going: Arc::new(Mutex::new(Going { all: 0, by_key: HashMap::new() })) }
    }

    /// Begins one more. `None`: there are as many as there may be.
    pub fn take(&self, key: K) -> Option<Held<K>> {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = going.by_key.get(&key).copied().unwrap_or(0);
        if of_this >= self.of_one || going.all >= self.of_all {
            return None;
        }
        going.all += 1;
        going.by_key.insert(key.clone(), of_this + 1);
        Some(Held { key, going: self.going.clone() })
    }

    /// Returns how many go on.
    pub fn count(&self) -> usize {
        self.going.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        going.all = going.all.saturating_sub(1);
        if let Some(count) = going.by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                going.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_more_than_its_share_and_all_is_given_back() {
        let at_once = AtOnce::new(2, 3);
        let ann = [at_once.take("ann"), at_once.take("ann")];
        assert!(ann.iter().all(Option::is_some) && at_once.take("ann").is_none());
        let bob = at_once.take("bob");
        assert!(bob.is_some() && at_once.take("eve").is_none(), "as many as there may be in all");
        drop(ann);
        assert_eq!(at_once.count(), 1);
        let again = at_once.take("ann");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = at_once.take("ann");
            panic!("a defect");
        }));
        assert!(panicked.is_err() && at_once.count() == 2);
        drop((again, bob));
        assert!(at_once.count() == 0 && at_once.going.lock().unwrap().by_key.is_empty());
    }
}
