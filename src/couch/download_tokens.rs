//! Documents whose attachments a token opens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::value::RawValue;

use super::{
    client::{Couch, CouchError, encode},
    json::fields,
    recent::Recent,
};
use crate::{
    error::Error,
    secret::{HashAlgorithm, Mac, Secret},
};

/// Documents are remembered in about this much memory, in bytes.
const CAPACITY: u64 = 16 * 1024 * 1024;

/// What remembering a document costs beside its name, in bytes, roughly.
const WEIGHT: usize = 512;

/// The tokens of documents.
#[derive(Debug)]
pub struct DownloadTokens {
    couch: Arc<Couch>,
    key_name: Vec<String>,
    documents: Recent<Option<Arc<TokenDocument>>>,
    /// Tokens are compared, and remembered, as digests keyed by this.
    digest_key: Secret,
}

/// A revision of a document, and the digest of its token.
#[derive(Debug)]
pub struct TokenDocument {
    rev: String,
    token: Option<Digest>,
    /// Compared with where there is no token: that takes as long.
    nothing: Digest,
}

/// A token's digest: all are of one length, so that comparing them says nothing about the tokens.
#[derive(Debug)]
pub struct Digest(Mac);

impl TokenDocument {
    /// The revision whose token was read.
    #[must_use]
    pub fn rev(&self) -> &str {
        &self.rev
    }

    /// Whether the document has this token.
    #[must_use]
    pub fn is_opened_by(&self, presented: &Digest) -> bool {
        let Digest(token) = self.token.as_ref().unwrap_or(&self.nothing);
        let equal = token.verifies(presented.0.as_bytes());
        equal && self.token.is_some()
    }
}

impl DownloadTokens {
    /// Remembers nothing yet. `key_name`: the field that holds the token, and before it the objects
    /// in which it is.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn new(
        couch: Arc<Couch>,
        key_name: Vec<String>,
        cache_ttl: Duration,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            couch,
            key_name,
            documents: Recent::new(cache_ttl, CAPACITY, |document: &Option<Arc<TokenDocument>>| {
                WEIGHT + document.as_ref().map_or(0, |document| document.rev.len())
            }),
            digest_key: Secret::random()?,
        })
    }

    /// A token's digest.
    #[must_use]
    pub fn digest(&self, token: &[u8]) -> Digest {
        Digest(HashAlgorithm::Sha256.hmac(&[self.digest_key.as_bytes()], token))
    }

    /// A document as it is now, or was a moment ago; `None` where there is none.
    ///
    /// # Errors
    ///
    /// 503 where it cannot be read.
    pub async fn find(&self, db: &str, doc: &str) -> Result<Option<Arc<TokenDocument>>, Error> {
        let path = format!("/{}/{}", encode(db), encode(doc));
        let found = self.documents.get(&path, || self.read(&path)).await;
        found.map_err(|error| {
            tracing::error!(%error, db, "a document's download token cannot be read");
            Error::CredentialsUnavailable
        })
    }

    async fn read(&self, path: &str) -> Result<(Instant, Option<Arc<TokenDocument>>), CouchError> {
        let began = Instant::now();
        let (read_at, reply) = match self.couch.get_in_turn(path).await {
            Ok(read) => read,
            // Remembered, for it is much to read for nothing.
            Err(CouchError::TooLarge) => {
                tracing::warn!(path, "the document is too large for a download token");
                return Ok((began, Some(self.document(String::new(), None))));
            }
            Err(error) => return Err(error),
        };
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((read_at, None)),
            status => return Err(CouchError::Status(status)),
        }
        let (rev, token) = rev_and_token(&reply.body, &self.key_name)?;
        Ok((read_at, Some(self.document(rev, token))))
    }

    fn document(&self, rev: String, token: Option<String>) -> Arc<TokenDocument> {
        let token = token.map(|token| self.digest(token.as_bytes()));
        Arc::new(TokenDocument { rev, token, nothing: self.digest(b"") })
    }
}

/// A document's revision, and the text in the field that holds its token, if it is one.
fn rev_and_token(
    document: &[u8],
    key_name: &[String],
) -> Result<(String, Option<String>), serde_json::Error> {
    let Some((first, rest)) = key_name.split_first() else { return Ok((String::new(), None)) };
    let [rev, token] = fields(document, ["_rev", first])?;
    let token = token.and_then(|token| text_in(token, rest)).filter(|token| !token.is_empty());
    Ok((serde_json::from_str(rev.map_or("", RawValue::get))?, token))
}

/// The text in a field; none where it is something else, or there is no such field.
fn text_in(value: &RawValue, path: &[String]) -> Option<String> {
    let mut value = value;
    for name in path {
        let [inner] = fields(value.get().as_bytes(), [name]).ok()?;
        value = inner?;
    }
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_reach_into_objects() {
        let document = r#"{"t": "top", "a": {"b": {"t": "deep"}, "n": 5, "l": ["t"]}, "_rev": "1-x",
            "a.b.t": "dotted", "e": "", "z": null, "d": {"t": "once", "t": "twice"}}"#;
        for (path, expected) in [
            ("t", Some("top")),
            ("a.b.t", Some("deep")),
            ("a.b", None),
            ("a.n", None),
            ("a.n.t", None),
            ("a.l.0", None),
            ("t.length", None),
            ("z", None),
            ("e", None),
            ("missing.t", None),
            ("d.t", None),
            ("_rev.x", None),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let (rev, token) = rev_and_token(document.as_bytes(), &path).unwrap();
            assert_eq!((&*rev, token.as_deref()), ("1-x", expected), "{path:?}");
        }
    }
}
