//! OAuth credentials in user documents: found through a view, and as good as what the documents
//! say now.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "oauth_users_db/documents.rs"]
mod documents;
mod support;

use serde_json::{Value, json};
use support::{
    Couch, Gate, Reply,
    couch::unique,
    eventually,
    oauth::{Request, encode, users_db},
};

/// An authentication database of a test's own, so that its view is nobody else's, and couchgate
/// before it.
struct Own {
    couch: &'static Couch,
    db: String,
    gate: Gate,
}

impl Own {
    fn new() -> Self {
        let (couch, db) = (Couch::shared(), unique("users"));
        couch.request("PUT", &format!("/{db}"), &[], b"").expect(201);
        let gate = gate(couch, &db);
        Self { couch, db, gate }
    }

    fn path(&self, name: &str) -> String {
        format!("/{}/org.couchdb.user%3A{}", self.db, encode(name))
    }

    /// Writes a user document; these fields are added to the usual ones, or take their place.
    #[track_caller]
    fn user(&self, name: &str, fields: &Value) {
        let path = self.path(name);
        let mut document = json!({ "name": name, "type": "user", "roles": ["dev"] });
        let old = self.couch.request("GET", &path, &[], b"");
        if old.status == 200 {
            document["_rev"] = old.json()["_rev"].clone();
        }
        for (key, value) in fields.as_object().unwrap() {
            document[key] = value.clone();
        }
        self.couch.put(&path, &document);
    }

    fn delete(&self, path: &str) {
        let rev = self.couch.request("GET", path, &[], b"").expect(200).json()["_rev"].clone();
        let path = format!("{path}?rev={}", rev.as_str().unwrap());
        self.couch.request("DELETE", &path, &[], b"").expect(200);
    }

    fn ask(&self, consumer: [&str; 2], token: [&str; 2]) -> Reply {
        let signed = Request::get("/_session").of(consumer, token);
        self.gate.get("/_session", &[("Authorization", &signed.header())])
    }

    /// The name and roles of whoever signs so, or the error word.
    #[track_caller]
    fn who(&self, consumer: [&str; 2], token: [&str; 2]) -> Value {
        let reply = self.ask(consumer, token);
        let json = reply.json();
        if reply.status == 200 {
            assert_eq!(json["info"]["authenticated"], "oauth");
            return json["userCtx"]["name"].clone();
        }
        assert!(matches!(reply.status, 400 | 401), "{reply:?}");
        json["error"].clone()
    }

    /// What is written holds as soon as CouchDB has told of it.
    #[track_caller]
    fn becomes(&self, consumer: [&str; 2], token: [&str; 2], expected: &str) {
        eventually(&format!("{consumer:?} {token:?} is {expected}"), || {
            (self.who(consumer, token) == expected).then_some(())
        });
    }
}

fn gate(couch: &Couch, db: &str) -> Gate {
    let gate = Gate::start(&couch.url, &users_db(couch, db));
    eventually("the users' feed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
    gate
}

fn oauth(consumer: [&str; 2], token: [&str; 2]) -> Value {
    json!({ "oauth": {
        "consumer_keys": { consumer[0]: consumer[1] }, "tokens": { token[0]: token[1] },
    } })
}

const UNKNOWN: &str = "invalid_consumer_token_pair";

#[test]
fn the_view_is_created_on_first_need() {
    let own = Own::new();
    let design = format!("/{}/_design/oauth", own.db);
    let is_there = || own.couch.request("GET", &design, &[], b"").status == 200;
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    assert!(!is_there(), "nobody has needed it");
    own.gate.get("/_session", &[]).expect(200);
    assert!(!is_there(), "nobody has needed it");
    assert_eq!(own.who(["nobody", "s"], ["t", "u"]), UNKNOWN);
    let document = own.couch.request("GET", &design, &[], b"").expect(200).json();
    assert!(document["views"]["oauth_credentials"]["map"].is_string(), "{document}");
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan");
    let rev = |document: &Value| document["_rev"].as_str().unwrap().to_owned();
    let again = own.couch.request("GET", &design, &[], b"").expect(200).json();
    assert_eq!(rev(&document), rev(&again), "it is written once");

    // Somebody deletes it.
    own.delete(&design);
    assert_eq!(own.who(["c", "s"], ["t2", "u"]), UNKNOWN);
    assert!(is_there());
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan");
    own.user("kim", &oauth(["c2", "s"], ["t", "u"]));
    own.becomes(["c2", "s"], ["t", "u"], "kim");

    // Or the database.
    own.couch.request("DELETE", &format!("/{}", own.db), &[], b"").expect(200);
    own.becomes(["c", "s"], ["t", "u"], UNKNOWN);
    own.couch.request("GET", &format!("/{}", own.db), &[], b"").expect(404);
    own.couch.request("PUT", &format!("/{}", own.db), &[], b"").expect(201);
    own.user("jan", &oauth(["c", "s3"], ["t", "u"]));
    own.becomes(["c", "s3"], ["t", "u"], "jan");
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "unauthorized");
}

#[test]
fn several_at_once_create_the_view_together() {
    let own = Own::new();
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    std::thread::scope(|scope| {
        for number in 0..16 {
            let own = &own;
            scope.spawn(move || {
                let token = format!("t{number}");
                assert_eq!(own.who(["c", "s"], [&token, "u"]), UNKNOWN);
                assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan");
            });
        }
    });
}

#[test]
fn without_a_database_there_are_no_credentials() {
    let couch = Couch::shared();
    let db = unique("missing");
    let gate = Gate::start(&couch.url, &users_db(couch, &db));
    let reply = gate.get("/_session", &[("Authorization", &Request::get("/_session").header())]);
    assert_eq!(reply.expect(400).json()["error"], UNKNOWN);
    couch.request("GET", &format!("/{db}"), &[], b"").expect(404);
}

#[test]
fn what_a_user_document_says_holds_at_once() {
    let own = Own::new();
    let pair = (["c", "s"], ["t", "u"]);
    assert_eq!(own.who(pair.0, pair.1), UNKNOWN);
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    own.becomes(["c", "s"], ["t", "u"], "jan");

    own.user("jan", &oauth(["c", "s"], ["t", "u2"]));
    own.becomes(["c", "s"], ["t", "u2"], "jan");
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "unauthorized");
    own.user("jan", &oauth(["c", "s2"], ["t", "u2"]));
    own.becomes(["c", "s2"], ["t", "u2"], "jan");
    assert_eq!(own.who(["c", "s"], ["t", "u2"]), "unauthorized");
    own.user("jan", &oauth(["c2", "s2"], ["t", "u2"]));
    own.becomes(["c2", "s2"], ["t", "u2"], "jan");
    assert_eq!(own.who(["c", "s2"], ["t", "u2"]), UNKNOWN);

    own.user("jan", &json!({}));
    own.becomes(["c2", "s2"], ["t", "u2"], UNKNOWN);
    own.user("jan", &oauth(["c2", "s2"], ["t", "u2"]));
    own.becomes(["c2", "s2"], ["t", "u2"], "jan");
    own.delete(&own.path("jan"));
    own.becomes(["c2", "s2"], ["t", "u2"], UNKNOWN);
    // Another takes them over.
    own.user("kim", &oauth(["c2", "s2"], ["t", "u2"]));
    own.becomes(["c2", "s2"], ["t", "u2"], "kim");
    // His roles are today's too.
    own.user(
        "kim",
        &json!({ "roles": ["ops"], "oauth": oauth(["c2", "s2"], ["t", "u2"])["oauth"] }),
    );
    eventually("new roles", || {
        let session = own.ask(["c2", "s2"], ["t", "u2"]).expect(200).json();
        (session["userCtx"]["roles"] == json!(["ops"])).then_some(())
    });
}

#[test]
fn a_user_may_have_several_keys_and_tokens() {
    let own = Own::new();
    own.user(
        "jan",
        &json!({ "oauth": {
            "consumer_keys": { "c1": "s1", "c2": "s2" }, "tokens": { "t1": "u1", "t2": "u2" },
        } }),
    );
    own.user("kim", &oauth(["c1", "kims"], ["t3", "u3"]));
    own.becomes(["c1", "kims"], ["t3", "u3"], "kim");
    for consumer in [["c1", "s1"], ["c2", "s2"]] {
        for token in [["t1", "u1"], ["t2", "u2"]] {
            assert_eq!(own.who(consumer, token), "jan", "{consumer:?} {token:?}");
        }
    }
    for (consumer, token) in [
        (["c1", "s2"], ["t1", "u1"]),
        (["c1", "s1"], ["t1", "u2"]),
        (["c1", "kims"], ["t1", "u1"]),
        (["c1", "s1"], ["t3", "u3"]),
    ] {
        assert_eq!(own.who(consumer, token), "unauthorized", "{consumer:?} {token:?}");
    }
    // One's consumer does not go with another's token.
    assert_eq!(own.who(["c2", "s2"], ["t3", "u3"]), UNKNOWN);
}

#[test]
fn a_pair_that_two_users_have_is_neithers() {
    let own = Own::new();
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    own.becomes(["c", "s"], ["t", "u"], "jan");
    let mut kims = oauth(["c", "s"], ["t", "u"]);
    kims["oauth"]["tokens"]["own"] = json!("v");
    own.user("kim", &kims);
    own.becomes(["c", "s"], ["t", "u"], "oauth_token_consumer_key_pair");
    let reply = own.ask(["c", "s"], ["t", "u"]).expect(400);
    assert_eq!(reply.json()["reason"], "Several users have this consumer key and token.");
    // Whoever has the secrets or has not.
    assert_eq!(own.who(["c", "x"], ["t", "x"]), "oauth_token_consumer_key_pair");
    assert_eq!(own.who(["c", "s"], ["own", "v"]), "kim");
    own.delete(&own.path("kim"));
    own.becomes(["c", "s"], ["t", "u"], "jan");
}

/// What CouchDB 1.x left behind is as good as couchgate's own.
#[test]
fn a_design_document_that_is_there_is_used_as_it_is() {
    let own = Own::new();
    let design = format!("/{}/_design/oauth", own.db);
    let map = "function (doc) { if (doc.keys) doc.keys.forEach(function (key) { emit(key, { \
        'consumer_secret': 's', 'token_secret': 'u', 'username': doc.name, 'more': 1 }); }); }";
    own.couch.put(
        &design,
        &json!({ "language": "javascript", "views": { "oauth_credentials": { "map": map } } }),
    );
    let rev = || own.couch.request("GET", &design, &[], b"").expect(200).json()["_rev"].clone();
    let before = rev();
    own.user("jan", &json!({ "keys": [["c", "t"], ["c", ""], "c", null, [1, 2]] }));
    own.becomes(["c", "s"], ["t", "u"], "jan");
    assert_eq!(own.who(["c", "s"], ["t2", "u"]), UNKNOWN);
    assert_eq!(own.who(["c", "x"], ["t", "u"]), "unauthorized");
    assert_eq!(rev(), before);
}

/// The database that CouchDB itself uses; what others left in it does not matter.
#[test]
fn credentials_are_found_in_users() {
    let couch = Couch::shared();
    let gate = gate(couch, "_users");
    let user = couch.user("apple", &["dev"]);
    let consumer = unique("consumer");
    couch.change_user(&user, &oauth([&consumer, "s"], ["t", "u"]));
    eventually("the credentials", || {
        let signed = Request::get("/_session").of([&consumer, "s"], ["t", "u"]).header();
        let reply = gate.get("/_session", &[("Authorization", &signed)]);
        (reply.status == 200).then(|| assert_eq!(reply.json()["userCtx"]["name"], user.as_str()))
    });
}
