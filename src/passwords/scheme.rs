//! CouchDB's password schemes (CouchDB 3.5, `couch_passwords` and `couch_auth_cache`).

use std::fmt;

use pbkdf2::pbkdf2_hmac;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::secret::{self, HashAlgorithm, Secret};

/// How a password becomes the stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Hex SHA-1 of the password followed by the salt.
    Simple,
    /// PBKDF2-HMAC (RFC 8018) with the digest's length as key length.
    Pbkdf2(Pbkdf2),
    /// PBKDF2 over the hex of the simple hash: an upgrade made without knowing the password.
    SimplePbkdf2(Pbkdf2),
}

/// Parameters of PBKDF2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pbkdf2 {
    /// The digest.
    pub prf: HashAlgorithm,
    /// Number of iterations.
    pub iterations: u32,
}

/// A stored password.
#[derive(Clone)]
pub struct PasswordHash {
    /// How it was made.
    pub scheme: Scheme,
    /// The user's salt, which keys his session cookies too.
    pub salt: Vec<u8>,
    /// Lower-case hex, as stored.
    pub expected: Vec<u8>,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Scheme {
    /// PBKDF2 iterations; the simple scheme has about the work of one.
    #[must_use]
    pub fn iterations(self) -> u32 {
        match self {
            Self::Simple => 1,
            Self::Pbkdf2(parameters) | Self::SimplePbkdf2(parameters) => parameters.iterations,
        }
    }

    /// The scheme as bytes, different for any two schemes.
    pub(super) fn to_bytes(self) -> [u8; 6] {
        let (kind, prf) = match self {
            Self::Simple => (1, HashAlgorithm::Sha),
            Self::Pbkdf2(parameters) => (2, parameters.prf),
            Self::SimplePbkdf2(parameters) => (3, parameters.prf),
        };
        let [a, b, c, d] = self.iterations().to_be_bytes();
        [kind, prf as u8, a, b, c, d]
    }

    /// The hex hash of a password. This is the expensive computation.
    #[must_use]
    pub fn hash(self, password: &[u8], salt: &[u8]) -> String {
        match self {
            Self::Simple => simple(password, salt),
            Self::Pbkdf2(parameters) => parameters.derive(password, salt),
            Self::SimplePbkdf2(parameters) => {
                let simple = Zeroizing::new(simple(password, salt));
                parameters.derive(simple.as_bytes(), salt)
            }
        }
    }
}

fn simple(password: &[u8], salt: &[u8]) -> String {
    secret::hex(&Sha1::new().chain_update(password).chain_update(salt).finalize())
}

impl Pbkdf2 {
    fn derive(self, password: &[u8], salt: &[u8]) -> String {
        let mut key = Zeroizing::new(vec![0; self.prf.digest_len()]);
        let derive = match self.prf {
            HashAlgorithm::Sha => pbkdf2_hmac::<Sha1>,
            HashAlgorithm::Sha224 => pbkdf2_hmac::<Sha224>,
            HashAlgorithm::Sha256 => pbkdf2_hmac::<Sha256>,
            HashAlgorithm::Sha384 => pbkdf2_hmac::<Sha384>,
            HashAlgorithm::Sha512 => pbkdf2_hmac::<Sha512>,
        };
        derive(password, salt, self.iterations, &mut key);
        secret::hex(&key)
    }
}

impl PasswordHash {
    /// Whether `password` is the one stored: hashed by the scheme, compared in constant time.
    #[must_use]
    pub fn verifies(&self, password: &[u8]) -> bool {
        let computed = Zeroizing::new(self.scheme.hash(password, &self.salt));
        secret::equal(computed.as_bytes(), &self.expected)
    }

    /// Reads a value of CouchDB's `[admins]` section: `-hashed-SHA1HEX,SALT`,
    /// `-pbkdf2-HEX,SALT,ITERATIONS` (SHA-1) or `-pbkdf2:PRF-HEX,SALT,ITERATIONS`; `None` for
    /// anything else, which CouchDB takes for a plain password.
    #[must_use]
    pub fn from_admin_value(value: &str) -> Option<Self> {
        if let Some(rest) = value.strip_prefix("-hashed-") {
            let (expected, salt) = rest.split_once(',')?;
            return Some(Self::new(Scheme::Simple, salt, expected));
        }
        let rest = value.strip_prefix("-pbkdf2")?;
        let (prf, rest) = match rest.strip_prefix(':') {
            Some(rest) => rest.split_once('-').and_then(|(prf, r)| Some((prf.parse().ok()?, r)))?,
            None => (HashAlgorithm::Sha, rest.strip_prefix('-')?),
        };
        let mut fields = rest.split(',');
        let (expected, salt, iterations) = (fields.next()?, fields.next()?, fields.next()?);
        let iterations = iterations.trim().parse().ok().filter(|&count| count > 0)?;
        fields
            .next()
            .is_none()
            .then(|| Self::new(Scheme::Pbkdf2(Pbkdf2 { prf, iterations }), salt, expected))
    }

    /// Hashes a plain password of `[admins]`. The salt comes from the server's secret, so that
    /// the admin's session cookies hold on every instance and die with the password.
    #[must_use]
    pub fn from_plain(password: &str, name: &str, secret: &Secret) -> Self {
        let salt = HashAlgorithm::Sha256
            .hmac(
                &[secret.as_bytes(), b"plain admin password of ", name.as_bytes()],
                password.as_bytes(),
            )
            .to_hex();
        Self::pbkdf2(password, &salt, HashAlgorithm::Sha256, 10_000)
    }

    /// Hashes a password.
    #[must_use]
    pub fn pbkdf2(password: &str, salt: &str, prf: HashAlgorithm, iterations: u32) -> Self {
        let scheme = Scheme::Pbkdf2(Pbkdf2 { prf, iterations });
        Self::new(scheme, salt, &scheme.hash(password.as_bytes(), salt.as_bytes()))
    }

    fn new(scheme: Scheme, salt: &str, expected: &str) -> Self {
        Self {
            scheme,
            salt: salt.as_bytes().to_vec(),
            expected: expected.trim().as_bytes().to_vec(),
        }
    }

    /// The value to put into `[admins]`. SHA-1 is written as every CouchDB reads it.
    #[must_use]
    pub fn to_admin_value(&self) -> String {
        let (salt, hash) =
            (String::from_utf8_lossy(&self.salt), String::from_utf8_lossy(&self.expected));
        match self.scheme {
            Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha, iterations }) => {
                format!("-pbkdf2-{hash},{salt},{iterations}")
            }
            Scheme::Pbkdf2(p) | Scheme::SimplePbkdf2(p) => {
                format!("-pbkdf2:{}-{hash},{salt},{}", p.prf.name(), p.iterations)
            }
            Scheme::Simple => format!("-hashed-{hash},{salt}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6070 for SHA-1; the others were computed by OpenSSL with the same inputs.
    #[test]
    fn pbkdf2_answers_the_rfc_vectors() {
        for (prf, iterations, expected) in [
            ("sha", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            ("sha", 4096, "4b007901b765489abead49d926f721d065a429c1"),
            ("sha224", 7, "af2d8b161503788ebf09e0ae2a429e9ca648c84e4c3b95750878dc94"),
            ("sha256", 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
            (
                "sha384",
                7,
                "39547211340a919101873ea45a3c6200c495b211b58ea2e06b5e37b1020b66a8\
                 dcddba1c3ea537ff78508f7bca87de6d",
            ),
            (
                "sha512",
                7,
                "12736d97637121636d9d428fadc4ead5ae845254131257f29bfae670d38ba596\
                 5ec077795b86171a1589d4ad87ad10f48fba8f1b503d0ec40fb762bbd60d4e94",
            ),
        ] {
            let scheme = Scheme::Pbkdf2(Pbkdf2 { prf: prf.parse().unwrap(), iterations });
            assert_eq!(scheme.hash(b"password", b"salt"), expected, "{prf}");
        }
    }

    #[test]
    fn admin_values_are_read_as_couchdb_writes_them() {
        let plain = PasswordHash::from_plain("secretpw", "admin", &Secret::from("s"));
        let read = PasswordHash::from_admin_value(&plain.to_admin_value()).unwrap();
        assert!(read.verifies(b"secretpw"));
        assert!(!read.verifies(b"secretpW"));

        let hashed = format!("-hashed-{},salt", simple(b"apple", b"salt"));
        assert!(PasswordHash::from_admin_value(&hashed).unwrap().verifies(b"apple"));

        let sha1 = Pbkdf2 { prf: HashAlgorithm::Sha, iterations: 10 };
        let old = format!("-pbkdf2-{},salt,10", sha1.derive(b"apple", b"salt"));
        assert!(PasswordHash::from_admin_value(&old).unwrap().verifies(b"apple"));

        for plain in
            ["secret", "-pbkdf2", "-pbkdf2-a,b", "-pbkdf2:md5-a,b,1", "-pbkdf2-a,b,0", "-hashed-a"]
        {
            assert!(PasswordHash::from_admin_value(plain).is_none(), "{plain}");
        }
    }

    #[test]
    fn simple_pbkdf2_hashes_the_simple_hash() {
        let parameters = Pbkdf2 { prf: HashAlgorithm::Sha256, iterations: 3 };
        let hash = PasswordHash {
            scheme: Scheme::SimplePbkdf2(parameters),
            salt: b"salt".to_vec(),
            expected: parameters.derive(simple(b"apple", b"salt").as_bytes(), b"salt").into(),
        };
        assert!(hash.verifies(b"apple"));
        assert!(!hash.verifies(b"pear"));
    }
}
