//! Following the authentication database, so that a changed user is forgotten at once.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::{
    client::{CouchError, encode},
    user::UserDocument,
    users::{ID_PREFIX, Users},
};

/// CouchDB sends an empty line this often when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A feed that is silent for longer is lost, whatever TCP believes.
const SILENCE: Duration = Duration::from_secs(12);

/// A lost feed is opened again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// No line of the feed is longer, in bytes: it has no documents in it.
const MAX_LINE: usize = 1024 * 1024;

/// Follows the feed for as long as it is polled, and reconnects.
pub async fn follow(users: Arc<Users>) {
    let mut said = false;
    loop {
        let lost = follow_once(&users, &mut said).await;
        users.feed_is_lost();
        if !said {
            said = true;
            let reason = lost.err().map_or_else(|| "it ended".to_owned(), |e| e.to_string());
            tracing::warn!(
                db = users.authentication_db(),
                reason,
                "users' changes feed is not followed, changed users are noticed later"
            );
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[derive(Deserialize)]
struct DatabaseInfo {
    update_seq: serde_json::Value,
}

#[derive(Deserialize)]
struct Change {
    id: String,
}

#[derive(Deserialize)]
struct Sample {
    rows: Vec<SampleRow>,
}

#[derive(Deserialize)]
struct SampleRow {
    doc: Option<serde_json::Value>,
}

async fn follow_once(users: &Users, said: &mut bool) -> Result<(), CouchError> {
    let db = encode(users.authentication_db()).to_string();
    let info = users.couch().get(&format!("/{db}")).await?;
    if info.status != StatusCode::OK {
        return Err(CouchError::Status(info.status));
    }
    // From a known sequence on: what changes before the feed is open is in it.
    let since = match info.json::<DatabaseInfo>()?.update_seq {
        serde_json::Value::String(seq) => seq,
        seq => seq.to_string(),
    };
    // What it would tell is a help only: a few huge documents must not keep the feed from opening.
    if let Err(error) = sample(users, &db).await {
        tracing::debug!(%error, "users cannot be sampled");
    }
    let since = encode(&since);
    let heartbeat = HEARTBEAT.as_millis();
    let feed = format!("/{db}/_changes?feed=continuous&heartbeat={heartbeat}&since={since}");
    let (head, mut body) = users.couch().open(&feed).await?.into_parts();
    if head.status != StatusCode::OK {
        return Err(CouchError::Status(head.status));
    }
    users.feed_is_connected();
    if std::mem::take(said) {
        tracing::info!(db = users.authentication_db(), "users' changes feed is followed again");
    }
    let mut lines = Lines::default();
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame());
        let frame = frame.await.map_err(|_| CouchError::Timeout)?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| CouchError::Body(error.into()))?;
        let Some(data) = frame.data_ref() else { continue };
        for line in lines.push(data)? {
            // The feed's last line has no id.
            if let Ok(change) = serde_json::from_slice::<Change>(&line)
                && let Some(name) = change.id.strip_prefix(ID_PREFIX)
            {
                tracing::debug!(user = name, "user has changed");
                users.forget(name).await;
            }
        }
    }
}

/// Reads a few users for what their passwords cost to verify.
async fn sample(users: &Users, db: &str) -> Result<(), CouchError> {
    let range = "startkey=%22org.couchdb.user%3A%22&endkey=%22org.couchdb.user%3B%22";
    let path = format!("/{db}/_all_docs?limit=3&include_docs=true&{range}");
    let reply = users.couch().get(&path).await?;
    let Ok(sample) = reply.json::<Sample>() else { return Ok(()) };
    for document in sample.rows.into_iter().filter_map(|row| row.doc) {
        if let Ok(document) = serde_json::from_value::<UserDocument>(document) {
            users.observe(document);
        }
    }
    Ok(())
}

/// Cuts a stream into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, data: &[u8]) -> Result<Vec<Vec<u8>>, CouchError> {
        self.0.extend_from_slice(data);
        let mut lines = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.0) {
            let rest = self.0.split_off(end + 1);
            lines.push(std::mem::replace(&mut self.0, rest));
        }
        if self.0.len() > MAX_LINE {
            return Err(CouchError::Body("a line of the changes feed is too long".into()));
        }
        Ok(lines)
    }
}
