//! The view that finds the documents with an auth key.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::client::{Couch, CouchError, encode};

/// `couch_authkey`'s names.
const DESIGN: &str = "_design/_auth_keys";
const VIEW: &str = "by_key";

/// The document says what a key is good for; the view says only in which it is.
const MAP: &str = "function (doc) {
  if (!Array.isArray(doc.auth_keys)) return;
  doc.auth_keys.forEach(function (key) {
    if (key && typeof key.id === 'string') emit(key.id, null);
  });
}";

/// To CouchDB, keys that a dictionary does not tell apart are the same. Where so many are, those
/// behind them are not looked for.
const MAX_ROWS: usize = 10;

/// A JSON object whose fields stay as they are written.
type Object = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
struct View {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    key: String,
}

/// Where a key is.
pub(super) enum Located {
    /// There is no view, or no database.
    NoView,
    /// In these documents.
    In(BTreeSet<String>),
    /// Who knows; too many have one like it.
    Crowded,
}

/// Finds a key. It goes in a body, for CouchDB logs targets.
pub(super) async fn locate(couch: &Couch, db: &str, key: &str) -> Result<Located, CouchError> {
    let view = format!("/{}/{DESIGN}/_view/{VIEW}", encode(db));
    let path = format!("{view}?reduce=false&limit={MAX_ROWS}");
    let reply = couch.post(&path, &json!({ "keys": [key] })).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(Located::NoView),
        status => return Err(CouchError::Status(status)),
    }
    let View { rows } = reply.json()?;
    if rows.len() >= MAX_ROWS {
        return Ok(Located::Crowded);
    }
    let found = rows.into_iter().filter(|row| row.key == key);
    Ok(Located::In(found.map(|row| row.id).collect()))
}

/// Makes the design document what it should be; false where there is no such database.
pub(super) async fn ensure(couch: &Couch, db: &str) -> Result<bool, CouchError> {
    let path = format!("/{}/{DESIGN}", encode(db));
    let reply = couch.get(&path).await?;
    let design = match reply.status {
        StatusCode::OK => reply.json()?,
        StatusCode::NOT_FOUND => Object::new(),
        status => return Err(CouchError::Status(status)),
    };
    let Some(corrected) = corrected(design)? else { return Ok(true) };
    match couch.put(&path, &corrected).await?.status {
        status if status.is_success() => tracing::info!(db, "{DESIGN} is written"),
        // Another instance was faster.
        StatusCode::CONFLICT => {}
        StatusCode::NOT_FOUND => return Ok(false),
        status => return Err(CouchError::Status(status)),
    }
    Ok(true)
}

/// The design document with couchgate's view in it; `None` where it is there. Views that somebody
/// else has put there stay.
fn corrected(mut design: Object) -> Result<Option<Object>, CouchError> {
    let (language, view) = (json!("javascript"), json!({ "map": MAP }));
    // A partitioned database's design documents are, too, unless they say no; then one is asked
    // for a partition's keys only.
    let options = json!({ "partitioned": false });
    let is = |object: &Object, name: &str, value: &Value| {
        let text = object.get(name).map(|text| serde_json::from_str::<Value>(text.get()));
        text.is_some_and(|text| text.is_ok_and(|text| text == *value))
    };
    let views = design.get("views").and_then(|views| serde_json::from_str(views.get()).ok());
    let mut views: Object = views.unwrap_or_default();
    let is_right = is(&design, "language", &language)
        && is(&design, "options", &options)
        && is(&views, VIEW, &view);
    if is_right {
        return Ok(None);
    }
    views.insert(VIEW.to_owned(), to_raw_value(&view)?);
    design.insert("views".to_owned(), to_raw_value(&views)?);
    design.insert("language".to_owned(), to_raw_value(&language)?);
    design.insert("options".to_owned(), to_raw_value(&options)?);
    Ok(Some(design))
}
