//! OAuth credentials that cannot be read are 503: never nobody's, and never a wrong signature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use memchr::memmem;
use serde_json::{Value, json};
use support::{
    Couch, Gate, Link, Recorder, Reply,
    couch::unique,
    oauth::{FORM, Request},
    recorder::{Action, Recorded, answer, ok},
};

const INI: &str = "[couch_httpd_oauth]\nuse_users_db = true\n";

/// jan's, as the view has them.
const SIGNS: ([&str; 2], [&str; 2]) = (["c", "s"], ["t", "u"]);

fn rows() -> Vec<u8> {
    let value = json!({ "username": "jan", "consumer_secret": "s", "token_secret": "u" });
    let row = json!({ "id": "org.couchdb.user:jan", "key": ["c", "t"], "value": value });
    ok(json!({ "total_rows": 1, "offset": 0, "rows": [row] }).to_string().as_bytes())
}

fn signed() -> Request {
    Request::get("/db").of(SIGNS.0, SIGNS.1)
}

fn is_view(request: &Recorded) -> bool {
    request.method == "GET" && request.target.starts_with(b"/_users/_design/oauth/_view/")
}

fn is_design(request: &Recorded) -> bool {
    request.method == "PUT" && request.target == b"/_users/_design/oauth"
}

#[track_caller]
fn assert_unavailable(upstream: &Recorder, reply: &Reply, what: &str) {
    assert_eq!(reply.status, 503, "{what}: {reply:?}");
    let reason = "The authentication database cannot be read.";
    let expected: Value = json!({ "error": "service_unavailable", "reason": reason });
    assert_eq!(reply.json(), expected, "{what}");
    assert_eq!(reply.header("retry-after"), Some("1"), "{what}");
    assert!(reply.header("www-authenticate").is_none(), "{what}");
    assert_eq!(upstream.take().len(), 0, "{what}: it reached CouchDB");
}

#[test]
fn a_view_that_cannot_be_read_is_503_and_never_anonymous() {
    let missing = || answer("404 Object Not Found", b"{\"error\":\"not_found\"}");
    let failures: &[(&str, Vec<u8>, Vec<u8>)] = &[
        ("500", answer("500 Internal Server Error", b"{\"error\":\"x\"}"), Vec::new()),
        ("401", answer("401 Unauthorized", b"{}"), Vec::new()),
        ("403", answer("403 Forbidden", b"{}"), Vec::new()),
        ("400", answer("400 Bad Request", b"{}"), Vec::new()),
        (
            "a redirect",
            b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Vec::new(),
        ),
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Vec::new()),
        ("closed", Vec::new(), Vec::new()),
        (
            "broken off",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"rows\":[]".to_vec(),
            Vec::new(),
        ),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Vec::new()),
        ("not JSON", ok(b"<html>"), Vec::new()),
        ("no rows", ok(b"{}"), Vec::new()),
        ("rows of another kind", ok(b"{\"rows\":{}}"), Vec::new()),
        // A design document of that name without the view.
        ("missing, and not to be made", missing(), answer("409 Conflict", b"{}")),
        ("missing, and forbidden", missing(), answer("403 Forbidden", b"{}")),
        ("missing, and 500", missing(), answer("500 Internal Server Error", b"{}")),
        ("missing, made, and missing", missing(), answer("201 Created", b"{}")),
    ];
    for (failure, view, design) in failures {
        let upstream = Recorder::start();
        upstream.user("jan", "apple", &["dev"]);
        let (view, design) = (view.clone(), design.clone());
        upstream.own(move |request| {
            let answer = if is_view(request) { &view } else { &design };
            let concerns = is_view(request) || is_design(request);
            concerns.then(|| Action::AnswerAndClose(answer.clone()))
        });
        let gate = Gate::start(&upstream.url, INI);
        let (right, mut wrong) = (signed(), signed());
        "guessed".clone_into(&mut wrong.token_secret);
        for signed in [&right, &wrong] {
            let reply = gate.get("/db", &[("Authorization", &signed.header())]);
            assert_unavailable(&upstream, &reply, failure);
            assert_unavailable(&upstream, &gate.get(&signed.in_query(), &[]), failure);
        }
        let form = Request::post("/db", "a=b").of(SIGNS.0, SIGNS.1).in_form();
        let reply = gate.request("POST", "/db", &[FORM], form.as_bytes());
        assert_unavailable(&upstream, &reply, failure);
        // Others are not concerned.
        gate.get("/db", &[]).expect(200);
        gate.get("/db", &[("Authorization", &support::basic("jan", "apple"))]).expect(200);
        upstream.take();

        // A failure is not remembered, and what was signed before is good.
        upstream.own(|request| is_view(request).then(|| Action::Answer(rows())));
        gate.get("/db", &[("Authorization", &right.header())]).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"], "{failure}");
        gate.get("/db", &[("Authorization", &right.header())]).expect(401);
        assert_eq!(upstream.take().len(), 0);
    }
}

#[test]
fn with_the_pair_remembered_the_user_is_still_asked_for() {
    let upstream = Recorder::start();
    upstream.own(|request| {
        let is_user = request.target.starts_with(b"/_users/org.couchdb.user:jan");
        let answers =
            [(is_view(request), rows()), (is_user, answer("500 Internal Server Error", b"{}"))];
        answers
            .into_iter()
            .find_map(|(concerns, answer)| concerns.then_some(Action::Answer(answer)))
    });
    let gate = Gate::start(&upstream.url, INI);
    for _ in 0..2 {
        let reply = gate.get("/db", &[("Authorization", &signed().header())]);
        assert_unavailable(&upstream, &reply, "the user cannot be read");
    }
    // His document is gone, the view has not heard of it yet.
    upstream.own(|request| is_view(request).then(|| Action::Answer(rows())));
    let reply = gate.get("/db", &[("Authorization", &signed().header())]).expect(401);
    assert_eq!(reply.json()["reason"], "The user of this OAuth token does not exist.");
    assert_eq!(upstream.take().len(), 0);
}

/// With the credentials and their user remembered, nothing is asked of couchgate's own.
#[test]
fn remembered_credentials_are_not_asked_for_again() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    upstream.own(move |request| {
        let is_user = request.target.starts_with(b"/_users/org.couchdb.user:");
        let concerns = is_view(request) || is_user || request.target.starts_with(b"/_node/");
        count.fetch_add(usize::from(concerns), Ordering::SeqCst);
        let is_unknown = memmem::find(&request.target, b"unknown").is_some();
        let rows = || if is_unknown { ok(b"{\"rows\":[]}") } else { rows() };
        is_view(request).then(|| Action::Answer(rows()))
    });
    let gate = Gate::start(&upstream.url, INI);
    support::eventually("the users' feed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
    let unknown = || signed().set("oauth_token", "unknown");
    let send = || {
        gate.get("/db", &[("Authorization", &signed().header())]).expect(200);
        gate.get("/db", &[("Authorization", &unknown().header())]).expect(400);
    };
    send();
    let before = asked.load(Ordering::SeqCst);
    assert!(before >= 3, "view, view and user are asked for");
    (0..50).for_each(|_| send());
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn credentials_are_found_again_when_couchdb_is_back() {
    let couch = Couch::shared();
    let mut link = Link::to(couch.address);
    let ini = format!(
        "{INI}[chttpd_auth]\nsecret = {}\n[couchgate]\nuser_cache_ttl_without_feed = 1\n",
        couch.secret
    );
    let gate = Gate::start(&link.url, &ini);
    let (user, consumer) = (couch.user("apple", &["dev"]), unique("consumer"));
    couch.change_user(
        &user,
        &json!({ "oauth": { "consumer_keys": { &consumer: "s" }, "tokens": { "t": "u" } } }),
    );
    let signed = || Request::get("/_session").of([&consumer, "s"], ["t", "u"]).header();
    let (waiting, other) = (signed(), signed());
    let ask = |signed: &str| gate.get("/_session", &[("Authorization", signed)]);
    for _ in 0..2 {
        assert_eq!(ask(&waiting).expect(503).json()["error"], "service_unavailable");
    }
    link.up();
    assert_eq!(ask(&waiting).expect(200).json()["userCtx"]["name"], user.as_str());
    ask(&waiting).expect(401);
    link.down();
    // What is remembered may be believed for a second more; nobody becomes anonymous.
    support::eventually("what was remembered is forgotten", || {
        let reply = ask(&signed());
        assert!(
            reply.status == 503 || reply.json()["userCtx"]["name"] == user.as_str(),
            "{reply:?}"
        );
        (reply.status == 503).then_some(())
    });
    ask(&other).expect(503);
    link.up();
    ask(&other).expect(200);
}
