//! Links that expire: tokens that need nothing in a document.
//!
//! `couchgate1.KEY_ID.EXPIRES.SIGNATURE`: the signature is HMAC-SHA256, base64url without padding,
//! keyed by the secret of `KEY_ID`, over six lines: `couchgate1`, `KEY_ID`, `EXPIRES` (seconds since
//! 1970, in digits), the database, the document's id, and the attachment's name, without a line
//! end after the last. Names are as they are, not encoded.
//!
//! ```
//! use couchgate::auth::download_token::{AttachmentPath, SigningKey};
//!
//! let key: SigningKey = "app:a secret of at least 32 characters".parse().unwrap();
//! let photo = AttachmentPath::new("photos", "p1", "front.jpg").unwrap();
//! assert_eq!(
//!     key.sign(&photo, 1_900_000_000),
//!     "couchgate1.app.1900000000.6ZDsgKbx7l0jw-WS9HOjUepi0-K74Vg25DLzWBXxsZc"
//! );
//! ```

use std::{collections::BTreeSet, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::AttachmentPath;
use crate::secret::{HashAlgorithm, Mac, Secret};

/// What a signed link's token begins with, and the first line of what is signed.
const SCHEME: &str = "couchgate1";

/// A shorter secret could be guessed by trying, which whoever has a link can do anywhere; in
/// bytes.
const MIN_SECRET: usize = 32;

/// A key that signs links.
#[derive(Clone, Debug)]
pub struct SigningKey {
    id: String,
    secret: Secret,
}

/// Why something is no signing key; what it was is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    /// There is no colon.
    #[error("expected ID:SECRET")]
    NoId,
    /// The id could not stand in a link.
    #[error("a key's id has letters, digits, `-` and `_` only")]
    Id,
    /// Too short.
    #[error(
        "a key's secret has at least {MIN_SECRET} characters (`openssl rand -hex 32` makes one)"
    )]
    Secret,
}

impl FromStr for SigningKey {
    type Err = InvalidSigningKey;

    fn from_str(text: &str) -> Result<Self, InvalidSigningKey> {
        let (id, secret) = text.split_once(':').ok_or(InvalidSigningKey::NoId)?;
        let of_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || !id.bytes().all(of_id) {
            return Err(InvalidSigningKey::Id);
        }
        if secret.len() < MIN_SECRET {
            return Err(InvalidSigningKey::Secret);
        }
        Ok(Self { id: id.to_owned(), secret: Secret::from(secret) })
    }
}

impl SigningKey {
    /// Its name in links.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token that opens an attachment until `expires`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, path: &AttachmentPath, expires: u64) -> String {
        let expires = expires.to_string();
        let mac = self.mac(path, &expires);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.as_bytes());
        format!("{SCHEME}.{}.{expires}.{signature}", self.id)
    }

    /// No line but the last can hold a line end, so one text cannot be signed for two attachments.
    fn mac(&self, path: &AttachmentPath, expires: &str) -> Mac {
        let (db, doc, attachment) = (path.db(), path.doc(), path.attachment());
        let lines = [SCHEME, &self.id, expires, db, doc, attachment].join("\n");
        HashAlgorithm::Sha256.hmac(&[self.secret.as_bytes()], lines.as_bytes())
    }
}

/// The keys in force.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys(Vec<SigningKey>);

impl SigningKeys {
    /// `None` where two keys have one id.
    #[must_use]
    pub fn new(keys: Vec<SigningKey>) -> Option<Self> {
        let ids: BTreeSet<&str> = keys.iter().map(SigningKey::id).collect();
        (ids.len() == keys.len()).then_some(Self(keys))
    }

    /// The keys, in order.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter()
    }

    /// Whether a link's token opens an attachment at `now`, in seconds since 1970.
    #[must_use]
    pub fn opens(&self, token: &[u8], path: &AttachmentPath, now: u64) -> bool {
        self.signed_until(token, path).is_some_and(|expires| now < expires)
    }

    fn signed_until(&self, token: &[u8], path: &AttachmentPath) -> Option<u64> {
        let mut parts =
            str::from_utf8(token).ok()?.strip_prefix(SCHEME)?.strip_prefix('.')?.split('.');
        let (id, expires, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !expires.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = self.0.iter().find(|key| key.id == id)?;
        let verified = key.mac(path, expires).verifies(&signature);
        expires.parse().ok().filter(|_| verified)
    }
}

/// Whether a token is a signed link's.
#[must_use]
pub(super) fn is_link(token: &[u8]) -> bool {
    token.strip_prefix(SCHEME.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn keys(text: &[&str]) -> SigningKeys {
        SigningKeys::new(text.iter().map(|key| key.parse().unwrap()).collect()).unwrap()
    }

    fn path(db: &str, doc: &str, attachment: &str) -> AttachmentPath {
        AttachmentPath::new(db, doc, attachment).unwrap()
    }

    #[test]
    fn a_link_holds_for_its_attachment_until_it_expires() {
        let (old, new) = (format!("old:{SECRET}"), format!("new:{SECRET}"));
        let signing = keys(&[&new, &old]);
        let photo = path("photos", "p1", "a/front.jpg");
        let token = signing.iter().nth(1).unwrap().sign(&photo, 1000);
        assert!(signing.opens(token.as_bytes(), &photo, 999));
        assert!(!signing.opens(token.as_bytes(), &photo, 1000));
        assert!(!keys(&[&new]).opens(token.as_bytes(), &photo, 999));
        for other in [
            path("photo", "sp1", "a/front.jpg"),
            path("photos", "p2", "a/front.jpg"),
            path("photos", "p1/a", "front.jpg"),
            path("photos", "p1", "a/front.jp"),
        ] {
            assert!(!signing.opens(token.as_bytes(), &other, 999), "{other:?}");
        }
    }

    #[test]
    fn a_link_changed_anywhere_does_not_hold() {
        let signing = keys(&[&format!("k:{SECRET}"), &format!("kk:{SECRET}")]);
        let photo = path("photos", "p1", "front.jpg");
        let token = signing.iter().next().unwrap().sign(&photo, 1000);
        for at in 0..token.len() {
            for byte in [b'0', b'A', b'.', b'k', token.as_bytes()[at] ^ 1] {
                let mut changed = token.clone().into_bytes();
                changed[at] = byte;
                let same = changed == token.as_bytes();
                assert_eq!(signing.opens(&changed, &photo, 0), same, "{at} {byte}");
            }
        }
        for changed in [
            token.replace("couchgate1.", "couchgate1x."),
            token.replace(".k.", ".kk."),
            token.replace(".1000.", ".01000."),
            token.replace(".1000.", ".+1000."),
            token.replace(".1000.", ".99999999999999999999."),
            format!("{token}."),
            format!("{token}="),
            format!("{token}A"),
            token[..token.len() - 1].to_owned(),
            "couchgate1.".to_owned(),
            "couchgate1...".to_owned(),
        ] {
            assert!(!signing.opens(changed.as_bytes(), &photo, 0), "{changed}");
        }
        // Nor does a time that is not in digits, whoever signed it.
        let key = signing.iter().next().unwrap();
        for (expires, holds) in [("1000", true), ("+1000", false), ("1000 ", false), ("", false)] {
            let signature = BASE64_URL_SAFE_NO_PAD.encode(key.mac(&photo, expires).as_bytes());
            let token = format!("couchgate1.k.{expires}.{signature}");
            assert_eq!(signing.opens(token.as_bytes(), &photo, 0), holds, "{expires:?}");
        }
    }

    #[test]
    fn a_signing_key_has_an_id_and_a_long_secret() {
        for (text, expected) in [
            (format!("k-1_A:{SECRET}"), Ok(())),
            (SECRET.to_owned(), Err(InvalidSigningKey::NoId)),
            (format!(":{SECRET}"), Err(InvalidSigningKey::Id)),
            (format!("a.b:{SECRET}"), Err(InvalidSigningKey::Id)),
            (format!("k:{}", &SECRET[1..]), Err(InvalidSigningKey::Secret)),
        ] {
            assert_eq!(text.parse::<SigningKey>().map(|_| ()), expected, "{text}");
        }
        let twice = ["k", "k"].map(|id| format!("{id}:{SECRET}").parse().unwrap());
        assert!(SigningKeys::new(twice.to_vec()).is_none());
    }
}
