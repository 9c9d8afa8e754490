//! A database with auth keys that a recorder plays, so that what couchgate asks it can be seen, and
//! its answers can be any.

use std::sync::{Arc, Mutex};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::support::{
    Gate, Recorder,
    recorder::{Action, Recorded, answer, ok},
};

/// What couchgate asks of a database for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Design,
    WriteDesign,
    View,
    Document,
    /// Nothing of the kind.
    Other,
}

pub(crate) const NEEDED: [Question; 4] =
    [Question::Design, Question::WriteDesign, Question::View, Question::Document];

type Script = dyn Fn(Question) -> Option<Action> + Send + Sync;

/// The database `keys` with documents that hold keys, and what couchgate has asked.
pub(crate) struct Played {
    pub(crate) upstream: Recorder,
    state: Arc<State>,
}

struct State {
    documents: Mutex<Vec<Value>>,
    asked: Mutex<Vec<(Question, String)>>,
    /// The design document that couchgate has written last.
    written: Mutex<String>,
    /// Answers instead of the database where it says something.
    instead: Mutex<Arc<Script>>,
}

impl Played {
    /// One document that has these keys.
    pub(crate) fn with(keys: &Value) -> Self {
        Self::holding(vec![json!({ "_id": "holder", "auth_keys": keys })])
    }

    pub(crate) fn holding(documents: Vec<Value>) -> Self {
        let upstream = Recorder::start();
        upstream.user("jan", "apple", &["dev"]);
        let state = Arc::new(State {
            documents: Mutex::new(documents),
            asked: Mutex::default(),
            written: Mutex::default(),
            instead: Mutex::new(Arc::new(|_| None)),
        });
        let played = Arc::clone(&state);
        upstream.own(move |request| played.answer(request));
        Self { upstream, state }
    }

    /// couchgate, which takes keys of the database `keys`; `ini` is added and wins.
    #[track_caller]
    pub(crate) fn gate(&self, ini: &str) -> Gate {
        Gate::start(&self.upstream.url, &format!("[couch_authkey]\ndatabases = keys\n{ini}"))
    }

    pub(crate) fn instead(
        &self,
        script: impl Fn(Question) -> Option<Action> + Send + Sync + 'static,
    ) {
        *self.state.instead.lock().unwrap() = Arc::new(script);
    }

    /// Puts these documents in the place of all.
    pub(crate) fn holds(&self, documents: Vec<Value>) {
        *self.state.documents.lock().unwrap() = documents;
    }

    /// What couchgate has asked since the last call.
    pub(crate) fn asked(&self) -> Vec<(Question, String)> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }

    /// The design document that couchgate has written last.
    pub(crate) fn written(&self) -> String {
        self.state.written.lock().unwrap().clone()
    }

    /// Who sent the one request that arrived since the last call.
    #[track_caller]
    pub(crate) fn user(&self) -> Option<String> {
        let request = self.upstream.only();
        let name = request.all("x-auth-couchdb-username").first().map(|name| name.to_vec());
        name.map(|name| String::from_utf8(name).unwrap())
    }
}

impl State {
    fn answer(&self, request: &Recorded) -> Option<Action> {
        let target = String::from_utf8(request.target.clone()).unwrap();
        let (path, _) = target.split_once('?').unwrap_or((&target, ""));
        let segments: Vec<String> = path.split('/').skip(1).map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let question = match (request.method.as_str(), &segments[1..]) {
            ("GET", ["_design", "_auth_keys"]) => Question::Design,
            ("PUT", ["_design", "_auth_keys"]) => Question::WriteDesign,
            ("POST", ["_design", "_auth_keys", "_view", "by_key"]) => Question::View,
            ("GET", [_]) => Question::Document,
            _ => Question::Other,
        };
        // Users, server admins and the like; keys are never looked for there.
        if path.starts_with("/_") && !path.contains("_auth_keys") {
            return None;
        }
        // What goes in a body is not written into CouchDB's log.
        let said = match question {
            Question::View => format!("{target} {}", String::from_utf8_lossy(&request.body)),
            _ => target.clone(),
        };
        self.asked.lock().unwrap().push((question, said));
        if question == Question::WriteDesign {
            *self.written.lock().unwrap() = String::from_utf8(request.body.clone()).unwrap();
        }
        let instead = Arc::clone(&self.instead.lock().unwrap());
        let scripted = instead(question);
        scripted.or_else(|| Some(Action::Answer(self.database(&segments, &request.body, question))))
    }

    fn database(&self, segments: &[&str], body: &[u8], question: Question) -> Vec<u8> {
        let missing = || answer("404 Object Not Found", b"{\"error\":\"not_found\"}");
        if segments[0] != "keys" {
            return missing();
        }
        let documents = self.documents.lock().unwrap();
        let found = match question {
            Question::Design | Question::Other => None,
            Question::WriteDesign => Some(json!({ "ok": true })),
            Question::View => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let key = asked["keys"][0].clone();
                let mut rows = Vec::new();
                for document in documents.iter() {
                    let keys = document["auth_keys"].as_array().into_iter().flatten();
                    let row = json!({ "id": document["_id"], "key": key, "value": null });
                    rows.extend(keys.filter(|it| it["id"] == key).map(|_| row.clone()));
                }
                Some(json!({ "total_rows": rows.len(), "offset": 0, "rows": rows }))
            }
            Question::Document => documents.iter().find(|it| it["_id"] == segments[1]).cloned(),
        };
        found.map_or_else(missing, |found| ok(found.to_string().as_bytes()))
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
