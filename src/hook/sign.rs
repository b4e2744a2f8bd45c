//! Signatures as Standard Webhooks defines them, so that its libraries verify them.
//!
//! Source: the Standard Webhooks specification 1.0.0, "Signature scheme": HMAC-SHA256 over
//! `id.timestamp.body`, in base64 after `v1,`; a secret `whsec_…` is base64 of the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// The value of the header `webhook-signature`.
pub(super) fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = secret.strip_prefix(PREFIX);
    let key = key.and_then(|text| STANDARD.decode(text).ok());
    let key = key.unwrap_or_else(|| secret.as_bytes().to_vec());
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_comes_out() {
        // From the test suite of its reference libraries.
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_part_counts() {
        let of = |secret, id, at, body: &[u8]| sign(secret, id, at, body);
        let first = of("s", "a", 1, b"x");
        for other in [
            of("t", "a", 1, b"x"),
            of("s", "b", 1, b"x"),
            of("s", "a", 2, b"x"),
            of("s", "a", 1, b"y"),
        ] {
            assert_ne!(other, first);
        }
    }
}
