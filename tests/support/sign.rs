//! What only someone who knows the secret can make, made without couchgate's own code.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The token of CouchDB's proxy authentication: hex HMAC-SHA-256 of the user's name.
pub fn token(secret: &str, name: &str) -> String {
    let mac = hmac("sha256", secret.as_bytes(), name.as_bytes());
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The value of an `AuthSession` cookie made `age` seconds ago, negative for the future.
pub fn session_cookie(secret: &str, salt: &str, name: &str, age: i64, algorithm: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let made = i64::try_from(now.as_secs()).unwrap() - age;
    let mut value = format!("{name}:{made:X}").into_bytes();
    let mac = hmac(algorithm, format!("{secret}{salt}").as_bytes(), &value);
    value.push(b':');
    value.extend(mac);
    URL_SAFE_NO_PAD.encode(value)
}

/// The six digits of a second factor at a time in seconds (RFC 6238 with SHA-1 and 30 seconds).
pub fn totp(key: &str, time: u64) -> String {
    let mac = hmac("sha", key.as_bytes(), &(time / 30).to_be_bytes());
    let offset = usize::from(mac[19] & 0xf);
    let code = u32::from_be_bytes(mac[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", code % 1_000_000)
}

fn hmac(algorithm: &str, key: &[u8], message: &[u8]) -> Vec<u8> {
    macro_rules! mac {
        ($digest:ty) => {{
            let mut mac = Hmac::<$digest>::new_from_slice(key).unwrap();
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match algorithm {
        "sha" => mac!(Sha1),
        "sha256" => mac!(Sha256),
        "sha512" => mac!(Sha512),
        other => panic!("no HMAC with {other}"),
    }
}
