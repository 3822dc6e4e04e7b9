//! Addresses of this host's own network. Tests run side by side, and must not take each other's ports.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

/// How many there are with the same first bytes: neither 0 nor 255 is the last of one.
const ROW: u32 = 254;

/// An address that nothing else of this run has; runs side by side have others by the number of their process.
pub fn own() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    nth(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn nth(process: u32, number: u32) -> Ipv4Addr {
    // Never 127.0, where everybody else is, and never 127.51 and 127.52, where the cloud is.
    let row = number / ROW + 1;
    assert!(row < 4, "no address is left for this run");
    let [.., high, low] = process.to_be_bytes();
    let [.., row, last] = [row, number % ROW + 1].map(|n| u8::try_from(n).expect("small"));
    Ipv4Addr::new(127, row << 6 | high & 0x3f, low, last)
}

#[test]
fn no_two_are_the_same() {
    let all: std::collections::BTreeSet<_> =
        [300, 301, 0x12ff].into_iter().flat_map(|p| (0..762).map(move |n| nth(p, n))).collect();
    assert_eq!(all.len(), 3 * 762);
}
