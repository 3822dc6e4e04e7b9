//! Looking again and again for what must come to pass, where nothing rings.

use std::{thread, time::Duration};

/// Looks until it is so, for 10 s at most. Returns whether it came to be.
pub fn soon(mut look: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| {
        let is = look();
        if !is {
            thread::sleep(Duration::from_millis(10));
        }
        is
    })
}
