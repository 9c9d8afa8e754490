//! Documents whose attachments a token opens.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::value::RawValue;

use super::{
    client::{Couch, CouchError, encode},
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
            documents: Recent::new(cache_ttl, CAPACITY, |_| WEIGHT),
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
        let (read_at, reply) = match self.couch.get_in_turn(path).await {
            Ok(read) => read,
            // Remembered, for it is much to read for nothing.
            Err(CouchError::TooLarge) => {
                tracing::warn!(path, "the document is too large for a download token");
                return Ok((Instant::now(), Some(self.document(String::new(), None))));
            }
            Err(error) => return Err(error),
        };
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((read_at, None)),
            status => return Err(CouchError::Status(status)),
        }
        let fields: Fields<'_> = serde_json::from_slice(&reply.body)?;
        let rev = serde_json::from_str(fields.get("_rev").map_or("", |rev| rev.get()))?;
        let token = field(fields, &self.key_name).filter(|token| !token.is_empty());
        Ok((read_at, Some(self.document(rev, token))))
    }

    fn document(&self, rev: String, token: Option<String>) -> Arc<TokenDocument> {
        let token = token.map(|token| self.digest(token.as_bytes()));
        Arc::new(TokenDocument { rev, token, nothing: self.digest(b"") })
    }
}

/// An object's fields, none of which is looked into.
type Fields<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The text in a field; none where it is something else, or there is no such field.
fn field(mut object: Fields<'_>, path: &[String]) -> Option<String> {
    let (name, parents) = path.split_last()?;
    for parent in parents {
        let text = object.get(parent.as_str())?.get();
        object = serde_json::from_str(text).ok()?;
    }
    serde_json::from_str(object.get(name.as_str())?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_reach_into_objects() {
        let document = r#"{"_rev": "1-x", "t": "top", "a": {"b": {"t": "deep"}, "n": 5, "l": ["t"]},
            "a.b.t": "dotted", "e": "", "z": null}"#;
        for (path, expected) in [
            ("t", Some("top")),
            ("a.b.t", Some("deep")),
            ("a.b", None),
            ("a.n", None),
            ("a.n.t", None),
            ("a.l.0", None),
            ("t.length", None),
            ("z", None),
            ("e", Some("")),
            ("missing.t", None),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let found = field(serde_json::from_str(document).unwrap(), &path);
            assert_eq!(found.as_deref(), expected, "{path:?}");
        }
    }
}
