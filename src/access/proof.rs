//! How the controller of this host proves that it is the one that made the local token, before the token is sent to it: by
//! an HMAC over a number of the asker's choice and over the address at which both meet. Must not show the token.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shortest and the longest nonce, in bytes.
pub const NONCE: std::ops::RangeInclusive<usize> = 16..=128;

/// Returns the proof, in hexadecimal digits. `address` is where the connection ends at the controller: whoever passes a
/// question on to the controller from another address gets a proof that is wrong for the asker.
pub fn proof(token: &[u8], nonce: &str, address: SocketAddr) -> String {
    hex::encode(mac(token, nonce, address).finalize().into_bytes())
}

/// Checks a proof, in constant time.
pub fn proves(token: &[u8], nonce: &str, address: SocketAddr, proof: &str) -> bool {
    hex::decode(proof).is_ok_and(|shown| mac(token, nonce, address).verify_slice(&shown).is_ok())
}

fn mac(token: &[u8], nonce: &str, address: SocketAddr) -> Hmac<Sha256> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let mac = Hmac::<Sha256>::new_from_slice(token).expect("HMAC takes keys of any length");
    mac.chain_update(format!("pointsman-identity\n{nonce}\n{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_token_one_nonce_and_one_address() {
        let [here, there]: [SocketAddr; 2] = ["127.0.0.1:7070", "127.0.0.1:7071"].map(|at| at.parse().expect("good"));
        let shown = proof(b"t", "0123456789abcdef", here);
        assert!(proves(b"t", "0123456789abcdef", here, &shown));
        assert!(proves(b"t", "0123456789abcdef", "[::ffff:127.0.0.1]:7070".parse().expect("good"), &shown));
        for (token, nonce, address) in
            [(b"u", "0123456789abcdef", here), (b"t", "0123456789abcdee", here), (b"t", "0123456789abcdef", there)]
        {
            assert!(!proves(token, nonce, address, &shown));
        }
        assert!(!proves(b"t", "0123456789abcdef", here, "") && !proves(b"t", "0123456789abcdef", here, "zz"));
    }
}
