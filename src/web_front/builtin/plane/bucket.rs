//! Users are in 100 buckets, and a share is the first so many of them: so a share that grows moves users one way only. Here
//! is how a user's bucket is found. Must not know who has a share.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};

use super::headers::take_cookies;

/// The cookie that keeps a user in a bucket. It holds the number and nothing else.
const COOKIE: &str = "pointsman_bucket";
/// Number of buckets.
const ALL: u64 = 100;
/// Two draws in a row are this far apart. It has no divisor in common with 100, so 100 draws in a row are all buckets, and
/// those of a share come evenly.
const STRIDE: u64 = 61;

/// A number from 0 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket(u8);

impl Bucket {
    /// Whether it is one of the first so many.
    pub(super) fn is_within(self, share: u8) -> bool {
        self.0 < share
    }

    /// Returns the bucket of an address. It is the same in every process; of IPv6 the network counts, because clients change
    /// the rest of it.
    pub(super) fn of_address(address: IpAddr) -> Self {
        let bytes = match address.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        // The finalizer of SplitMix64: neighbours get buckets far apart.
        let mixed = (bytes ^ (bytes >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self::of(mixed ^ (mixed >> 31))
    }

    /// Takes the cookie out of a request, which must not reach the stack, and returns what it says.
    pub(super) fn take(headers: &mut HeaderMap) -> Option<Self> {
        take_cookies(headers, COOKIE).iter().find_map(|text| Self::parse(text))
    }

    /// Tells a client its bucket for 30 days. A cache must not tell others: the answer may be kept, the cookie may not.
    pub(super) fn give(self, headers: &mut HeaderMap, secure: bool) {
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}", self.0);
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, cookie);
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static("no-cache=\"set-cookie\""));
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let number = text.parse::<u8>().ok().filter(|number| number.to_string() == text)?;
        (u64::from(number) < ALL).then_some(Self(number))
    }

    fn of(number: u64) -> Self {
        // Below 100.
        Self((number % ALL) as u8)
    }
}

/// Draws buckets for those who have none.
#[derive(Default)]
pub(super) struct Draw(AtomicU64);

impl Draw {
    pub(super) fn next(&self) -> Bucket {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        Bucket::of((count % ALL) * STRIDE + STRIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_draws_in_a_row_are_all_buckets() {
        let draw = Draw::default();
        for share in [1, 5, 50, 99] {
            draw.next();
            let within = (0..100).filter(|_| draw.next().is_within(share)).count();
            assert_eq!(within, usize::from(share));
        }
    }

    #[test]
    fn addresses_are_spread_evenly_and_a_network_of_ipv6_is_one_user() {
        for share in [5, 50] {
            let bucket = |number: u32| Bucket::of_address(IpAddr::V4((0x0A00_0000 + number).into()));
            let within = (0..100_000).filter(|&number| bucket(number).is_within(share)).count() as f64 / 1000.0;
            assert!((within - f64::from(share)).abs() < 0.5, "{within} % for {share} %");
        }
        let of = |address: &str| Bucket::of_address(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_eq!(of("::ffff:10.0.0.5"), of("10.0.0.5"));
        let networks = (0..100).map(|n| of(&format!("2001:db8:{n:x}::1")).0).collect::<std::collections::HashSet<_>>();
        assert!(networks.len() > 50, "{networks:?}");
    }

    #[test]
    fn the_cookie_is_taken_out_and_all_others_stay() {
        let take = |cookies: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            }
            let bucket = Bucket::take(&mut headers).map(|bucket| bucket.0);
            let left = headers.get_all(header::COOKIE).iter().map(|v| v.to_str().unwrap().to_owned());
            (bucket, left.collect::<Vec<_>>())
        };
        let left = |cookies: &[&str]| cookies.iter().map(|&c| c.to_owned()).collect::<Vec<_>>();
        assert_eq!(take(&["pointsman_bucket=7"]), (Some(7), vec![]));
        assert_eq!(take(&["a=1; pointsman_bucket=99;b=2"]), (Some(99), left(&["a=1; b=2"])));
        assert_eq!(take(&["pointsman_bucket=0", "b=2"]), (Some(0), left(&["b=2"])), "HTTP/2 splits them");
        assert_eq!(take(&["my_pointsman_bucket=7"]), (None, left(&["my_pointsman_bucket=7"])));
        for wrong in ["100", "-1", "+5", "05", "x", ""] {
            assert_eq!(take(&[&format!("pointsman_bucket={wrong}; a=1")]), (None, left(&["a=1"])), "{wrong:?}");
        }
    }
}
