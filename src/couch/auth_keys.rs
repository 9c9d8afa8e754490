//! Auth keys: documents that say what whoever knows a key of theirs may do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::StatusCode;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    auth_key_view::{documents, ensure},
    client::{Couch, CouchError, encode},
    databases::Databases,
    recent::Recent,
};
use crate::{
    error::Error,
    user_ctx::{Identity, InvalidIdentity},
};

/// Keys, known or not, are remembered in about this much memory, in bytes.
const CAPACITY: u64 = 16 * 1024 * 1024;

/// What remembering a key costs beside its text, in bytes, roughly.
const WEIGHT: usize = 512;

/// Nobody's database and key are longer, in bytes: CouchDB takes request lines of 8 KiB, in which
/// a byte of a key may need nine.
const MAX_KEY: usize = 512;

/// Seconds since 1970 do not grow so large: it is milliseconds that somebody has written.
const MILLISECONDS: f64 = 1e11;

/// A key, as its document says.
#[derive(Debug)]
pub struct AuthKey {
    /// Who the key's holder is to CouchDB, if that can be said.
    pub identity: Result<Arc<Identity>, InvalidIdentity>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<f64>,
}

/// What is known of `DB,KEY`.
#[derive(Clone, Debug)]
pub enum FoundKey {
    /// There is no such key.
    None,
    /// One document has it.
    One(Arc<AuthKey>),
    /// The document that has it is in conflict.
    Conflicted,
    /// It is in several documents, or several times in one.
    Ambiguous,
}

/// The auth keys of the databases that may have some.
#[derive(Debug)]
pub struct AuthKeys {
    couch: Arc<Couch>,
    databases: Databases,
    /// Databases, and whether they are there and have the view.
    views: Recent<bool>,
    keys: Recent<FoundKey>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auth_keys: Vec<Box<RawValue>>,
    #[serde(default, rename = "_conflicts")]
    conflicts: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    expires: Option<f64>,
}

impl AuthKeys {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(couch: Arc<Couch>, databases: Databases, cache_ttl: Duration) -> Self {
        Self {
            couch,
            databases,
            views: Recent::new(cache_ttl, CAPACITY, |_| WEIGHT),
            keys: Recent::new(cache_ttl, CAPACITY, |_| WEIGHT),
        }
    }

    /// What is known of `DB,KEY`. No database is created, and none is read that was not named.
    ///
    /// # Errors
    ///
    /// 503 where the view or the document cannot be read.
    pub async fn find(&self, presented: &str) -> Result<FoundKey, Error> {
        let Some((db, key)) = presented.split_once(',') else { return Ok(FoundKey::None) };
        let could_be = !key.is_empty()
            && presented.len() <= MAX_KEY
            && self.databases.contains(db)
            && Identity::could_be_named(presented);
        if !could_be {
            return Ok(FoundKey::None);
        }
        let found = self.keys.get(presented, || self.read(presented, db, key)).await;
        found.map_err(|error| {
            tracing::error!(%error, db, "auth keys cannot be read");
            Error::CredentialsUnavailable
        })
    }

    async fn read(&self, presented: &str, db: &str, key: &str) -> Result<FoundKey, CouchError> {
        let Some(documents) = self.documents(db, key).await? else { return Ok(FoundKey::None) };
        let mut documents = documents.iter();
        match (documents.next(), documents.next()) {
            (None, _) => Ok(FoundKey::None),
            (Some(_), Some(_)) => Ok(FoundKey::Ambiguous),
            (Some(id), None) => self.document(presented, db, id, key).await,
        }
    }

    async fn documents(&self, db: &str, key: &str) -> Result<Option<BTreeSet<String>>, CouchError> {
        for _ in 0..2 {
            let ensured = self.views.get(db, || ensure(&self.couch, db)).await;
            if !ensured.map_err(CouchError::Shared)? {
                return Ok(None);
            }
            if let Some(documents) = documents(&self.couch, db, key).await? {
                return Ok(Some(documents));
            }
            // Somebody has deleted it since.
            self.views.forget(db).await;
        }
        Ok(None)
    }

    /// What the document says of a key now: a view may lag, and may be another's.
    async fn document(
        &self,
        presented: &str,
        db: &str,
        id: &str,
        key: &str,
    ) -> Result<FoundKey, CouchError> {
        let path = format!("/{}/{}?conflicts=true", encode(db), encode(id));
        let reply = self.couch.get(&path).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(FoundKey::None),
            status => return Err(CouchError::Status(status)),
        }
        let Some(found) = key_in(&reply.body, presented, key) else {
            tracing::warn!(db, id, "the document's auth key is not understood");
            return Ok(FoundKey::None);
        };
        if let FoundKey::One(key) = &found
            && key.expires.is_some_and(|expires| expires > MILLISECONDS)
        {
            tracing::warn!(db, id, "the auth key's `expires` is not in seconds, it never ends");
        }
        Ok(found)
    }
}

/// What a document says of a key; `None` where that is not understood. What is said twice is not:
/// CouchDB could read it differently.
fn key_in(document: &[u8], presented: &str, key: &str) -> Option<FoundKey> {
    let Document { auth_keys, conflicts } = serde_json::from_slice(document).ok()?;
    let is_it = |text: &&RawValue| {
        serde_json::from_str::<Named>(text.get()).is_ok_and(|named| named.id == key)
    };
    let mut found = auth_keys.iter().map(AsRef::as_ref).filter(is_it);
    let (text, second) = (found.next(), found.next());
    let Some(text) = text else { return Some(FoundKey::None) };
    if !conflicts.is_empty() {
        return Some(FoundKey::Conflicted);
    }
    if second.is_some() {
        return Some(FoundKey::Ambiguous);
    }
    let Key { roles, expires } = serde_json::from_str(text.get()).ok()?;
    let identity = Identity::new(presented, roles).map(Arc::new);
    Some(FoundKey::One(Arc::new(AuthKey { identity, expires })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_its_document_says() {
        for (auth_keys, expected) in [
            (r#"[{"id": "k", "roles": ["r", "s"]}]"#, "r,s until None"),
            (r#"[{"id": "j"}, 5, {"id": "k", "expires": 12.5, "x": [{}]}]"#, " until Some(12.5)"),
            (r#"[{"id": "k", "roles": [], "expires": null}]"#, " until None"),
            (r#"[{"id": "k", "roles": ["a,b"]}]"#, "a role contains a comma"),
            (r#"[{"id": "k", "roles": ["a\n"]}]"#, "a role contains a control character"),
            (r#"[{"id": "kk"}, {"id": 5}, {"roles": ["r"]}]"#, "None"),
            ("[]", "None"),
            (r#"[{"id": "k"}, {"id": "k", "roles": ["r"]}]"#, "Ambiguous"),
            (r#"[{"id": "k"}], "_conflicts": ["2-x"]"#, "Conflicted"),
            (r#"[{"id": "j"}], "_conflicts": ["2-x"]"#, "None"),
            (r#"[{"id": "k", "roles": "r"}]"#, "not understood"),
            (r#"[{"id": "k", "roles": ["r", 5]}]"#, "not understood"),
            (r#"[{"id": "k", "roles": ["r"], "roles": []}]"#, "not understood"),
            (r#"[{"id": "k", "expires": "2027-01-01"}]"#, "not understood"),
            (r#"[{"id": "k"}], "auth_keys": []"#, "not understood"),
            (r#"{"id": "k"}"#, "not understood"),
        ] {
            let document = format!("{{\"_id\": \"d\", \"auth_keys\": {auth_keys}}}");
            let found = match key_in(document.as_bytes(), "db,k", "k") {
                None => "not understood".to_owned(),
                Some(FoundKey::One(key)) => match &key.identity {
                    Err(error) => error.to_string(),
                    Ok(identity) => {
                        assert_eq!(identity.name(), "db,k");
                        let roles: Vec<_> = identity.roles().collect();
                        format!("{} until {:?}", roles.join(","), key.expires)
                    }
                },
                Some(other) => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{auth_keys}");
        }
    }
}
