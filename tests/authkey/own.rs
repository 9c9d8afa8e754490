//! A database of a test's own whose documents hold keys, on a server that is what it is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Couch, Gate, Reply, oauth::encode};

/// The database, and couchgate, which takes keys of its documents.
pub(crate) struct Own {
    pub(crate) couch: &'static Couch,
    pub(crate) db: String,
    pub(crate) gate: Gate,
}

impl Own {
    /// Keys are looked up again after a second; `settings` are added to `[couch_authkey]`.
    #[track_caller]
    pub(crate) fn start(settings: &str) -> Self {
        let couch = Couch::shared();
        let db = couch.database();
        let gate = gate(couch, &format!("databases = {db}\n{settings}"));
        Self { couch, db, gate }
    }

    pub(crate) fn path(&self, id: &str) -> String {
        // CouchDB redirects where the slash of a design document is encoded.
        let id = encode(id).replacen("_design%2F", "_design/", 1);
        format!("/{}/{id}", encode(&self.db))
    }

    /// Writes a document, whatever it was before.
    #[track_caller]
    pub(crate) fn write(&self, id: &str, mut document: Value) {
        let old = self.couch.request("GET", &self.path(id), &[], b"");
        if old.status == 200 {
            document["_rev"] = old.json()["_rev"].clone();
        }
        self.couch.put(&self.path(id), &document);
    }

    /// Writes a document with these keys.
    #[track_caller]
    pub(crate) fn keys(&self, id: &str, keys: &Value) {
        self.write(id, json!({ "auth_keys": keys }));
    }

    #[track_caller]
    pub(crate) fn read(&self, id: &str) -> Value {
        self.couch.request("GET", &self.path(id), &[], b"").expect(200).json()
    }

    #[track_caller]
    pub(crate) fn delete(&self, id: &str) {
        let rev = self.read(id)["_rev"].as_str().unwrap().to_owned();
        let path = format!("{}?rev={rev}", self.path(id));
        self.couch.request("DELETE", &path, &[], b"").expect(200);
    }

    /// Asks couchgate who it is that has a key of this database.
    #[track_caller]
    pub(crate) fn ask(&self, key: &str) -> Reply {
        let key = format!("{},{key}", self.db);
        self.gate.get("/_session", &[("X-Auth-Key", &key)])
    }

    /// The roles of whoever has this key, or the reason why he is refused.
    #[track_caller]
    pub(crate) fn says(&self, key: &str) -> Value {
        let reply = self.ask(key);
        let json = reply.json();
        if reply.status != 200 {
            assert!(matches!(reply.status, 401 | 403), "{reply:?}");
            return json["reason"].clone();
        }
        assert_eq!(json["userCtx"]["name"], format!("{},{key}", self.db));
        json["userCtx"]["roles"].clone()
    }

    /// What has been written holds within `cache_ttl`, and the time that a busy machine takes.
    #[track_caller]
    pub(crate) fn becomes(&self, key: &str, expected: &Value) {
        let written = Instant::now();
        while self.says(key) != *expected {
            let waited = written.elapsed();
            let said = self.says(key);
            assert!(waited < Duration::from_secs(4), "{key} is {said}, not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn gate(couch: &Couch, settings: &str) -> Gate {
    let secret = &couch.secret;
    let ini =
        format!("[chttpd_auth]\nsecret = {secret}\n[couch_authkey]\ncache_ttl = 1\n{settings}\n");
    Gate::start(&couch.url, &ini)
}
