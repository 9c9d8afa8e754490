//! Auth keys: documents that say what whoever knows a key of theirs may do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    auth_key_view::{Located, ensure, locate},
    client::{CouchError, encode},
    databases::Databases,
    json::{elements, fields},
    recent::Recent,
    users::Users,
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
    /// A user has this name.
    NameTaken,
}

/// The auth keys of the databases that may have some.
#[derive(Debug)]
pub struct AuthKeys {
    users: Arc<Users>,
    databases: Databases,
    /// Databases, and whether they are there and have the view.
    views: Recent<bool>,
    keys: Recent<FoundKey>,
}

impl FoundKey {
    fn weight(&self) -> usize {
        let Self::One(key) = self else { return WEIGHT };
        let roles = key.identity.as_ref().ok().and_then(|identity| identity.roles_header());
        // The list, and the header.
        WEIGHT + 2 * roles.map_or(0, HeaderValue::len)
    }
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
    pub fn new(users: Arc<Users>, databases: Databases, cache_ttl: Duration) -> Self {
        Self {
            users,
            databases,
            views: Recent::new(cache_ttl, CAPACITY, |_| WEIGHT),
            keys: Recent::new(cache_ttl, CAPACITY, FoundKey::weight),
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
        let found = found.map_err(|error| {
            tracing::error!(%error, db, "auth keys cannot be read");
            Error::CredentialsUnavailable
        })?;
        // Whoever may write in the database could otherwise become a user of such a name.
        if matches!(found, FoundKey::One(_)) && self.users.find(presented).await?.is_some() {
            return Ok(FoundKey::NameTaken);
        }
        Ok(found)
    }

    async fn read(
        &self,
        presented: &str,
        db: &str,
        key: &str,
    ) -> Result<(Instant, FoundKey), CouchError> {
        let read_at = Instant::now();
        let found = match self.locate(db, key).await? {
            Located::NoView => FoundKey::None,
            Located::Crowded => FoundKey::Ambiguous,
            Located::In(documents) => {
                let mut documents = documents.iter();
                match (documents.next(), documents.next()) {
                    (None, _) => FoundKey::None,
                    (Some(_), Some(_)) => FoundKey::Ambiguous,
                    (Some(id), None) => self.document(presented, db, id, key).await?,
                }
            }
        };
        Ok((read_at, found))
    }

    async fn locate(&self, db: &str, key: &str) -> Result<Located, CouchError> {
        let couch = self.users.couch();
        let ensured = async || {
            let read_at = Instant::now();
            Ok((read_at, ensure(couch, db).await?))
        };
        for _ in 0..2 {
            if !self.views.get(db, ensured).await.map_err(CouchError::Shared)? {
                break;
            }
            let located = locate(couch, db, key).await?;
            if !matches!(located, Located::NoView) {
                return Ok(located);
            }
            // Somebody has deleted it since.
            self.views.forget(db).await;
        }
        Ok(Located::NoView)
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
        let found = match self.users.couch().get_in_turn(&path).await {
            Ok((_, reply)) => match reply.status {
                StatusCode::OK => key_in(&reply.body, presented, key)?,
                StatusCode::NOT_FOUND => return Ok(FoundKey::None),
                status => return Err(CouchError::Status(status)),
            },
            // Remembered, for it is much to read for nothing.
            Err(CouchError::TooLarge) => None,
            Err(error) => return Err(error),
        };
        let Some(found) = found else {
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
fn key_in(
    document: &[u8],
    presented: &str,
    key: &str,
) -> Result<Option<FoundKey>, serde_json::Error> {
    let is_it = |text: &RawValue| {
        serde_json::from_str::<Named>(text.get()).is_ok_and(|named| named.id == key)
    };
    let read = fields(document, ["auth_keys", "_conflicts"]).and_then(|[auth_keys, conflicts]| {
        let found = auth_keys.map(|keys| elements(keys.get(), is_it)).transpose()?;
        Ok((found.unwrap_or_default(), conflicts.is_some()))
    });
    let (found, conflicted) = match read {
        Ok(read) => read,
        Err(error) if error.is_data() => return Ok(None),
        // No document at all.
        Err(error) => return Err(error),
    };
    let text = match &*found {
        [] => return Ok(Some(FoundKey::None)),
        _ if conflicted => return Ok(Some(FoundKey::Conflicted)),
        [text] => text,
        _ => return Ok(Some(FoundKey::Ambiguous)),
    };
    let Ok(Key { roles, expires }) = serde_json::from_str(text.get()) else { return Ok(None) };
    let identity = Identity::new(presented, roles).map(Arc::new);
    Ok(Some(FoundKey::One(Arc::new(AuthKey { identity, expires }))))
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
            let found = match key_in(document.as_bytes(), "db,k", "k").unwrap() {
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
