//! OAuth: what could be carried out that was not signed, and by whom.

use serde_json::{Value, json};

use crate::support::{
    Couch, Gate, Recorder,
    couch::unique,
    eventually,
    oauth::{INI, Request, users_db},
    recorder::{Action, ok},
};

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

/// `X-Forwarded-Host: couch.example/db` and `DELETE /doc` verified as `DELETE /db/doc`, and deleted
/// the database `doc`.
#[test]
fn a_forwarded_host_holds_no_part_of_the_path() {
    let (upstream, gate) = jan("[couchgate]\ntrusted_proxies = 127.0.0.1\n");
    for (said, target, status) in [
        ("couch.example:5984", "/db/doc", 200),
        ("couch.example:5984/db", "/doc", 401),
        ("couch.example:5984", "/doc", 401),
        ("couch.example:5984/db/doc", "/", 401),
    ] {
        let signed = Request::new("DELETE", "/db/doc").header();
        let headers =
            [("Host", "inner"), ("X-Forwarded-Host", said), ("Authorization", signed.as_str())];
        gate.request("DELETE", target, &headers, b"").expect(status);
        assert_eq!(upstream.take().len(), usize::from(status == 200), "{said} {target}");
    }
}

/// `/_all_docs?limit=1` was signed, `limit` put into the header, and `/_all_docs` carried out.
#[test]
fn a_parameter_of_the_query_cannot_stand_in_the_header() {
    let (upstream, gate) = jan("");
    let signed = Request::get("/db/_all_docs?limit=1").header();
    for stray in ["limit=\"1\"", "%6cimit=\"1\"", "LIMIT=\"1\""] {
        for header in
            [format!("{signed}, {stray}"), signed.replacen(' ', &format!(" {stray}, "), 1)]
        {
            let reply = gate.get("/db/_all_docs", &[("Authorization", &header)]).expect(400);
            assert_eq!(reply.json()["error"], "bad_request");
        }
    }
    assert!(upstream.take().is_empty());
    gate.get("/db/_all_docs?limit=1", &[("Authorization", &signed)]).expect(200);
}

/// Two huge user documents whose names sort first kept the changes feed from being followed, so
/// what was revoked held for seconds.
#[test]
fn documents_that_cannot_be_sampled_do_not_keep_the_feed_away() {
    let upstream = Recorder::start();
    upstream.own(|request| {
        let is_sample = request.target.windows(9).any(|part| part == b"_all_docs");
        is_sample.then_some(Action::Close)
    });
    let gate = Gate::start(&upstream.url, "");
    eventually("the feed is followed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
}

/// CouchDB finds `c1` where `c1` and a blank of no width are asked for, so one was the other's, and
/// who wrote both into his document shut the other out.
#[test]
fn a_pair_is_the_one_that_was_asked_for() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]).user("mallory", "pear", &[]);
    let row = |name: &str, consumer: &str| -> Value {
        let value = json!({ "username": name, "consumer_secret": "s", "token_secret": "u" });
        json!({ "id": format!("org.couchdb.user:{name}"), "key": [consumer, "t1"], "value": value })
    };
    let rows = json!({ "rows": [row("jan", "c1"), row("mallory", "c1\u{200b}")] }).to_string();
    upstream.own(move |request| {
        let is_view = request.target.windows(5).any(|part| part == b"_view");
        is_view.then(|| Action::Answer(ok(rows.as_bytes())))
    });
    let gate = Gate::start(&upstream.url, "[couch_httpd_oauth]\nuse_users_db = true\n");
    for (consumer, expected) in [
        ("c1", json!("jan")),
        ("c1\u{200b}", json!("mallory")),
        ("c1\u{ad}", json!(null)),
        ("C1", json!(null)),
    ] {
        let signed = Request::get("/_session").of([consumer, "s"], ["t1", "u"]).header();
        let reply = gate.get("/_session", &[("Authorization", &signed)]);
        assert_eq!(reply.json()["userCtx"]["name"], expected, "{consumer:?}");
    }
}

/// A user document that is nested thousands of levels deep, which any user may write, ended the
/// process that computes views: nobody could sign any more.
#[test]
fn a_deep_user_document_does_not_stop_the_others() {
    let (couch, db) = (Couch::shared(), unique("users"));
    couch.request("PUT", &format!("/{db}"), &[], b"").expect(201);
    let jan = json!({
        "name": "jan", "type": "user", "roles": [],
        "oauth": { "consumer_keys": { "c": "s" }, "tokens": { "t": "u" } },
    });
    couch.put(&format!("/{db}/org.couchdb.user:jan"), &jan);
    let gate = Gate::start(&couch.url, &users_db(couch, &db));
    let who = || {
        let signed = Request::get("/_session").of(["c", "s"], ["t", "u"]).header();
        gate.get("/_session", &[("Authorization", &signed)]).expect(200).json()["userCtx"].clone()
    };
    assert_eq!(who()["name"], "jan");
    for (depth, status) in [(90, 201), (150, 403), (5000, 403)] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let deep =
            format!("{{\"name\":\"u{depth}\",\"type\":\"user\",\"roles\":[],\"x\":{open}{close}}}");
        let path = format!("/{db}/org.couchdb.user:u{depth}");
        let json = [("Content-Type", "application/json")];
        couch.request("PUT", &path, &json, deep.as_bytes()).expect(status);
        assert_eq!(who()["name"], "jan");
    }
}
