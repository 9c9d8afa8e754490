//! Secrets: what must be compared in constant time and never be printed.
//!
//! ```
//! use couchgate::secret::{HashAlgorithm, Secret};
//!
//! let secret = Secret::from("couchsecret");
//! let mac = HashAlgorithm::Sha256.hmac(&[secret.as_bytes()], b"jan");
//! assert_eq!(mac.to_hex().len(), 64);
//! assert_eq!(format!("{secret:?}"), "Secret(redacted)");
//! ```

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that must not leak: zeroed when dropped, redacted when printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes, so that no copy stays behind.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A random secret of 32 bytes from the operating system.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self::new(bytes))
    }

    /// The secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The server's secret, and while it is being rotated those it replaces: the first signs,
/// any verifies.
#[derive(Clone, Debug)]
pub struct Secrets {
    current: Secret,
    previous: Vec<Secret>,
}

impl Secrets {
    /// A secret in force and the ones still accepted.
    #[must_use]
    pub fn new(current: Secret, previous: Vec<Secret>) -> Self {
        Self { current, previous }
    }

    /// The secret that signs.
    #[must_use]
    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// Every secret that verifies, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// The digests that CouchDB names in `hash_algorithms` and `pbkdf2_prf` (Erlang's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-1.
    Sha,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A name that is none of [`HashAlgorithm`]'s.
#[derive(Debug, thiserror::Error)]
#[error("unknown hash algorithm, expected sha, sha224, sha256, sha384 or sha512")]
pub struct UnknownHashAlgorithm;

impl FromStr for HashAlgorithm {
    type Err = UnknownHashAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sha" => Ok(Self::Sha),
            "sha224" => Ok(Self::Sha224),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(UnknownHashAlgorithm),
        }
    }
}

impl HashAlgorithm {
    /// CouchDB's name of the digest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha => "sha",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the digest in bytes.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// HMAC (RFC 2104) of `message`; the key is the concatenation of `key`, as CouchDB keys a
    /// session cookie by the server's secret followed by the user's salt.
    #[must_use]
    pub fn hmac(self, key: &[&[u8]], message: &[u8]) -> Mac {
        match self {
            Self::Sha => hmac::<Hmac<Sha1>>(key, message),
            Self::Sha224 => hmac::<Hmac<Sha224>>(key, message),
            Self::Sha256 => hmac::<Hmac<Sha256>>(key, message),
            Self::Sha384 => hmac::<Hmac<Sha384>>(key, message),
            Self::Sha512 => hmac::<Hmac<Sha512>>(key, message),
        }
    }
}

fn hmac<H: hmac::Mac + KeyInit>(key: &[&[u8]], message: &[u8]) -> Mac {
    let key = Zeroizing::new(key.concat());
    let mut mac = Mac { bytes: [0; 64], len: 0 };
    // An HMAC key may have any length (RFC 2104 section 2), so the error cannot happen; were it
    // to, the empty MAC equals nothing.
    if let Ok(mut keyed) = <H as KeyInit>::new_from_slice(&key) {
        keyed.update(message);
        let digest = keyed.finalize().into_bytes();
        mac.len = digest.len();
        mac.bytes[..mac.len].copy_from_slice(&digest);
    }
    mac
}

/// A message authentication code. It has no `==`: [`Mac::verifies`] compares in constant time.
pub struct Mac {
    bytes: [u8; 64],
    len: usize,
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(redacted)")
    }
}

impl Mac {
    /// The code's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Lower-case hexadecimal, as CouchDB writes proxy tokens.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(self.as_bytes())
    }

    /// Whether `presented` is this code.
    #[must_use]
    pub fn verifies(&self, presented: &[u8]) -> bool {
        self.len > 0 && equal(self.as_bytes(), presented)
    }
}

/// Equality in time that depends on the lengths alone.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 test case 2 and RFC 4231 test case 2; the key is given in two parts.
    #[test]
    fn hmac_answers_the_rfc_vectors() {
        let message = b"what do ya want for nothing?";
        for (algorithm, expected) in [
            (HashAlgorithm::Sha, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HashAlgorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            assert_eq!(algorithm.hmac(&[b"Je", b"fe"], message).to_hex(), expected);
        }
    }

    #[test]
    fn a_mac_verifies_only_itself() {
        let mac = HashAlgorithm::Sha.hmac(&[b"key"], b"message");
        assert!(mac.verifies(mac.as_bytes()));
        assert!(!mac.verifies(b""));
        assert!(!mac.verifies(&mac.as_bytes()[1..]));
    }

    #[test]
    fn secrets_never_print() {
        let secrets = Secrets::new(Secret::from("canary"), vec![Secret::from("canary2")]);
        assert!(!format!("{secrets:?}").contains("canary"));
    }
}
