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

/// More rows than are read mean that a key is in several documents, or in one several times.
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

/// The ids of documents that have a key; `None` where there is no view, or no database.
pub(super) async fn documents(
    couch: &Couch,
    db: &str,
    key: &str,
) -> Result<Option<BTreeSet<String>>, CouchError> {
    let key_text = Value::from(key).to_string();
    let view = format!("/{}/{DESIGN}/_view/{VIEW}", encode(db));
    let path = format!("{view}?reduce=false&limit={MAX_ROWS}&key={}", encode(&key_text));
    let reply = couch.get(&path).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        status => return Err(CouchError::Status(status)),
    }
    let View { rows } = reply.json()?;
    // To CouchDB, keys that a dictionary does not tell apart are the same. Where they fill the
    // answer, the one that was meant may be behind it, once or twice.
    let all = rows.len() == MAX_ROWS;
    let found = rows.into_iter().filter(|row| all || row.key == key);
    Ok(Some(found.map(|row| row.id).collect()))
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

/// The design document with couchgate's view in it; `None` where it is there. What else somebody
/// has put there stays.
fn corrected(mut design: Object) -> Result<Option<Object>, CouchError> {
    let (language, view) = (json!("javascript"), json!({ "map": MAP }));
    let is = |object: &Object, name: &str, value: &Value| {
        let text = object.get(name).map(|text| serde_json::from_str::<Value>(text.get()));
        text.is_some_and(|text| text.is_ok_and(|text| text == *value))
    };
    let views = design.get("views").and_then(|views| serde_json::from_str(views.get()).ok());
    let mut views: Object = views.unwrap_or_default();
    if is(&design, "language", &language) && is(&views, VIEW, &view) {
        return Ok(None);
    }
    views.insert(VIEW.to_owned(), to_raw_value(&view)?);
    design.insert("views".to_owned(), to_raw_value(&views)?);
    design.insert("language".to_owned(), to_raw_value(&language)?);
    Ok(Some(design))
}
