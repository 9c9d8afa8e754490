//! OAuth credentials in user documents, found through a view of the authentication database.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use moka::future::Cache;
use serde::Deserialize;
use serde_json::json;

use super::{
    client::{Couch, CouchError, encode},
    users::{ID_PREFIX, Users, unavailable},
};
use crate::{
    error::{Error, OauthError},
    secret::Secret,
};

/// The design document's id is CouchDB 1.x's, and where there is one it is used as it is.
const DESIGN: &str = "_design/oauth";

const VIEW: &str = "oauth_credentials";

/// Every pair of a consumer key and a token that one user document holds.
///
/// A user writes his document as he likes: what he writes must not cost the others their view, as
/// millions of pairs would, nor give him secrets of one letter, as those of a string would.
const MAP: &str = "function (doc) {
  function secrets(field) {
    if (!field || typeof field !== 'object' || Array.isArray(field)) return [];
    return Object.keys(field).filter(function (name) {
      var secret = field[name];
      return typeof secret === 'string' && name.length <= 1024 && secret.length <= 1024;
    });
  }
  if (doc.type !== 'user' || !doc.oauth) return;
  if (typeof doc.name !== 'string' || doc.name.length > 2048) return;
  var consumers = secrets(doc.oauth.consumer_keys), tokens = secrets(doc.oauth.tokens);
  if (consumers.length * tokens.length > 1000) return;
  consumers.forEach(function (consumer) {
    tokens.forEach(function (token) {
      emit([consumer, token], {
        username: doc.name,
        consumer_secret: doc.oauth.consumer_keys[consumer],
        token_secret: doc.oauth.tokens[token]
      });
    });
  });
}";

/// Pairs, known or not, are remembered in about this much memory, in bytes.
const CAPACITY: u64 = 32 * 1024 * 1024;

/// What remembering a pair costs beside names and secrets, in bytes, roughly.
const WEIGHT: usize = 512;

/// Nobody's consumer key or token is longer, in bytes.
const MAX_NAME: usize = 1024;

/// The longest key of the view that is asked for, in bytes as it stands in the target: CouchDB takes
/// request lines of 8 KiB.
const MAX_KEY: usize = 7 * 1024;

/// The credentials of user documents, remembered until any user changes.
#[derive(Debug)]
pub struct OauthView {
    users: Arc<Users>,
    cache: Cache<(String, String), Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    rows: Arc<[OauthRow]>,
    read_at: Instant,
    /// What had changed when the reading began.
    as_of: u64,
}

/// What a user document says of a consumer key and a token.
#[derive(Clone, Debug)]
pub struct OauthRow {
    /// Whose document it is.
    pub username: String,
    /// The consumer's secret.
    pub consumer_secret: Secret,
    /// The token's secret.
    pub token_secret: Secret,
}

/// A consumer key, a token, and whose they are.
pub(super) type Found = ((String, String), OauthRow);

#[derive(Deserialize)]
struct View {
    rows: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ViewRow {
    id: String,
    key: (String, String),
    value: ViewValue,
}

#[derive(Deserialize)]
struct ViewValue {
    username: String,
    consumer_secret: String,
    token_secret: String,
}

impl OauthRow {
    fn weight(&self) -> usize {
        let secrets = [&self.consumer_secret, &self.token_secret];
        WEIGHT
            + self.username.len()
            + secrets.map(|secret| secret.as_bytes().len()).iter().sum::<usize>()
    }
}

impl OauthView {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(users: Arc<Users>) -> Self {
        let weigher = |(consumer, token): &(String, String), remembered: &Remembered| {
            let rows: usize = remembered.rows.iter().map(OauthRow::weight).sum();
            u32::try_from(consumer.len() + token.len() + rows + WEIGHT).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(weigher)
            .time_to_live(users.longest_ttl())
            .build();
        Self { users, cache }
    }

    /// The credentials of a consumer key and a token; `None` where no user has both.
    ///
    /// # Errors
    ///
    /// 503 where the view cannot be read, 400 where several users have both.
    pub async fn find(&self, consumer: &str, token: &str) -> Result<Option<OauthRow>, Error> {
        if consumer.len() > MAX_NAME || token.len() > MAX_NAME {
            return Ok(None);
        }
        let rows = self.remembered(consumer, token).await.map_err(|error| unavailable(&error))?;
        match &*rows {
            [] => Ok(None),
            [row] => Ok(Some(row.clone())),
            _ => Err(OauthError::AmbiguousPair.into()),
        }
    }

    async fn remembered(
        &self,
        consumer: &str,
        token: &str,
    ) -> Result<Arc<[OauthRow]>, Arc<CouchError>> {
        let key = (consumer.to_owned(), token.to_owned());
        if let Some(remembered) = self.cache.get(&key).await {
            if self.holds(&remembered) {
                return Ok(remembered.rows);
            }
            self.cache.invalidate(&key).await;
        }
        let read = self.cache.try_get_with(key, self.read(consumer, token)).await?;
        if self.holds(&read) {
            return Ok(read.rows);
        }
        // It shared a reading that began before a change.
        Ok(self.read(consumer, token).await?.rows)
    }

    fn holds(&self, remembered: &Remembered) -> bool {
        remembered.as_of == self.users.changes() && remembered.read_at.elapsed() < self.users.ttl()
    }

    async fn read(&self, consumer: &str, token: &str) -> Result<Remembered, CouchError> {
        let (read_at, as_of) = (Instant::now(), self.users.changes());
        let key = encode(&json!([consumer, token]).to_string()).to_string();
        let rows = if key.len() > MAX_KEY {
            Vec::new()
        } else {
            let (couch, db) = (self.users.couch(), self.users.authentication_db());
            query(couch, db, &format!("key={key}")).await?
        };
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Remembered { rows, read_at, as_of })
    }
}

/// All credentials, each after its consumer key and token.
///
/// # Errors
///
/// When the view cannot be read.
pub async fn all_oauth_rows(couch: &Couch, db: &str) -> Result<Vec<Found>, CouchError> {
    query(couch, db, "").await
}

async fn query(couch: &Couch, db: &str, query: &str) -> Result<Vec<Found>, CouchError> {
    let encoded = encode(db);
    let path = format!("/{encoded}/{DESIGN}/_view/{VIEW}?{query}");
    let mut reply = couch.get(&path).await?;
    if reply.status == StatusCode::NOT_FOUND {
        let design = json!({
            "_id": DESIGN,
            "language": "javascript",
            "views": { VIEW: { "map": MAP } },
        });
        match couch.put(&format!("/{encoded}/{DESIGN}"), &design).await?.status {
            status if status.is_success() => tracing::info!(db, "{DESIGN} is created"),
            // Another instance may have been faster.
            StatusCode::CONFLICT => {}
            // Without an authentication database there are no users.
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status => return Err(CouchError::Status(status)),
        }
        reply = couch.get(&path).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Err(CouchError::NoView { design: DESIGN, view: VIEW });
        }
    }
    if reply.status != StatusCode::OK {
        return Err(CouchError::Status(reply.status));
    }
    let View { rows } = reply.json()?;
    Ok(rows.into_iter().filter_map(found).collect())
}

/// What a row says. A user writes his document as he likes, so a row may hold anything; and a view
/// may emit any name, but only a user's own document speaks for him.
fn found(row: serde_json::Value) -> Option<Found> {
    let ViewRow { id, key, value } = serde_json::from_value(row).ok()?;
    let ViewValue { username, consumer_secret, token_secret } = value;
    let row = OauthRow {
        consumer_secret: Secret::new(consumer_secret.into_bytes()),
        token_secret: Secret::new(token_secret.into_bytes()),
        username,
    };
    (id.strip_prefix(ID_PREFIX) == Some(&row.username)).then_some((key, row))
}
