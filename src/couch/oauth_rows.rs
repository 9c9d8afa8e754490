//! OAuth credentials in user documents, found through a view of the authentication database.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    client::{Couch, CouchError, encode},
    users::ID_PREFIX,
};
use crate::secret::Secret;

/// The design document's id is CouchDB 1.x's, and where there is one it is used as it is.
const DESIGN: &str = "_design/oauth";

const VIEW: &str = "oauth_credentials";

/// Every pair of a consumer key and a token that one user document holds.
///
/// A user writes his document as he likes: what he writes must not cost the others their view, as
/// megabytes of rows would, nor give him secrets of one letter, as those of a string would.
const MAP: &str = "function (doc) {
  function secrets(field) {
    if (!field || typeof field !== 'object' || Array.isArray(field)) return [];
    return Object.keys(field).filter(function (name) {
      var secret = field[name];
      return typeof secret === 'string' && name.length <= 256 && secret.length <= 256;
    });
  }
  if (doc.type !== 'user' || !doc.oauth) return;
  if (typeof doc.name !== 'string' || doc.name.length > 256) return;
  var consumers = secrets(doc.oauth.consumer_keys), tokens = secrets(doc.oauth.tokens);
  if (consumers.length * tokens.length > 100) return;
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

/// A document that is nested thousands of levels deep ends the process that computes views (seen in
/// CouchDB 3.5.0), whatever the view's function does: nobody could sign any more.
const VALIDATE: &str = "function (doc) {
  var rest = [[doc, 0]];
  while (rest.length > 0) {
    var next = rest.pop(), value = next[0], depth = next[1];
    if (value === null || typeof value !== 'object') continue;
    if (depth === 100) throw({ forbidden: 'The document is nested too deep.' });
    for (var key in value) rest.push([value[key], depth + 1]);
  }
}";

/// The longest query, in bytes as it stands in the target: CouchDB takes request lines of 8 KiB.
const MAX_QUERY: usize = 7 * 1024;

/// So many rows of couchgate's own view are less than an answer may be, whatever stands in them.
pub const OAUTH_PAGE: usize = 128;

/// What a user document says of a consumer key and a token.
#[derive(Clone, Debug)]
pub struct OauthRow {
    /// The consumer key.
    pub consumer_key: String,
    /// The token.
    pub token: String,
    /// Whose document it is.
    pub username: String,
    /// The consumer's secret.
    pub consumer_secret: Secret,
    /// The token's secret.
    pub token_secret: Secret,
}

#[derive(Deserialize)]
struct View {
    rows: Vec<Box<RawValue>>,
}

/// Where a row stands in the view; its key as text, for it may hold anything.
#[derive(Deserialize)]
struct Position {
    id: String,
    key: Box<RawValue>,
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

/// The credentials of a consumer key and a token.
pub(super) async fn of_pair(
    couch: &Couch,
    db: &str,
    consumer: &str,
    token: &str,
) -> Result<Vec<OauthRow>, CouchError> {
    let query = format!("key={}", encode(&json!([consumer, token]).to_string()));
    if query.len() > MAX_QUERY {
        return Ok(Vec::new());
    }
    let rows = read(couch, db, &query).await?;
    let rows = rows.iter().filter_map(|row| understood(row));
    // CouchDB takes names that a dictionary does not tell apart for the same.
    Ok(rows.filter(|row| row.consumer_key == consumer && row.token == token).collect())
}

/// The credentials that have these names; without a name, those of any. They are read in pages of
/// so many rows, [`OAUTH_PAGE`] but in tests.
///
/// # Errors
///
/// When the view cannot be read.
pub async fn oauth_rows(
    couch: &Couch,
    db: &str,
    consumer: Option<&str>,
    token: Option<&str>,
    page: usize,
) -> Result<Vec<OauthRow>, CouchError> {
    let (start, end) = range(consumer, token);
    let page_at = async |start: &str, skip: usize| {
        read(couch, db, &format!("{start}{end}limit={}&skip={skip}", page + 1)).await
    };
    let mut rows = page_at(&start, 0).await?;
    let mut at = (start, 0);
    let mut found = Vec::new();
    loop {
        let next = rows.split_off(page.min(rows.len())).into_iter().next();
        let understood = rows.iter().filter_map(|row| understood(row));
        found.extend(understood.filter(|row| {
            consumer.is_none_or(|name| name == row.consumer_key)
                && token.is_none_or(|name| name == row.token)
        }));
        let (Some(next), Some(last)) = (next, rows.last()) else { return Ok(found) };
        if let Some(start) = start_at(&next, last)
            && start.len() + end.len() <= MAX_QUERY
        {
            rows = page_at(&start, 0).await?;
            if rows.first().is_some_and(|first| first.get() == next.get()) {
                at = (start, 0);
                continue;
            }
        }
        // A row that cannot be named is reached by counting.
        at.1 += page;
        rows = page_at(&at.0, at.1).await?;
    }
}

/// The parts of a query that say which rows may have these names.
fn range(consumer: Option<&str>, token: Option<&str>) -> (String, String) {
    let keys = match (consumer, token) {
        (Some(consumer), Some(token)) => [json!([consumer, token]), json!([consumer, token])],
        (Some(consumer), None) => [json!([consumer]), json!([consumer, {}])],
        (None, _) => return (String::new(), String::new()),
    };
    let [start, end] = keys.map(|key| encode(&key.to_string()).to_string());
    let (start, end) = (format!("startkey={start}&"), format!("endkey={end}&"));
    if start.len() + end.len() > MAX_QUERY { (String::new(), String::new()) } else { (start, end) }
}

/// The part of a query that says where a row is, unless the one before it is there, too: views may
/// emit a key twice. Even so it may be elsewhere, for CouchDB takes some keys for the same.
fn start_at(row: &RawValue, before: &RawValue) -> Option<String> {
    let position = |row: &RawValue| {
        let Position { id, key } = serde_json::from_str(row.get()).ok()?;
        Some(format!("startkey={}&startkey_docid={}&", encode(key.get()), encode(&id)))
    };
    position(row).filter(|start| position(before).as_ref() != Some(start))
}

async fn read(couch: &Couch, db: &str, query: &str) -> Result<Vec<Box<RawValue>>, CouchError> {
    let encoded = encode(db);
    let path = format!("/{encoded}/{DESIGN}/_view/{VIEW}?{query}");
    let mut reply = couch.get(&path).await?;
    if reply.status == StatusCode::NOT_FOUND {
        let design = json!({
            "_id": DESIGN,
            "language": "javascript",
            "views": { VIEW: { "map": MAP } },
            "validate_doc_update": VALIDATE,
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
    Ok(rows)
}

/// What a row says. A user writes his document as he likes, so a row may hold anything; and a view
/// may emit any name, but only a user's own document speaks for him.
fn understood(row: &RawValue) -> Option<OauthRow> {
    let ViewRow { id, key: (consumer_key, token), value } = serde_json::from_str(row.get()).ok()?;
    let ViewValue { username, consumer_secret, token_secret } = value;
    let row = OauthRow {
        consumer_key,
        token,
        consumer_secret: Secret::new(consumer_secret.into_bytes()),
        token_secret: Secret::new(token_secret.into_bytes()),
        username,
    };
    (id.strip_prefix(ID_PREFIX) == Some(&row.username)).then_some(row)
}
