//! One test for each weakness that was found and mended, named by what holds since.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "regressions/oauth.rs"]
mod oauth;
mod support;

use std::io::{ErrorKind, Read};

use serde_json::json;
use support::{
    Connection, Gate, Recorder, SECRET, StreamUpstream, basic, eventually,
    recorder::{Action, ok, simple_user},
    sign::token,
};

/// A front end's signature, which is also what CouchDB is sent, could be read by the author of a
/// design function where the token's header has another name than CouchDB hides.
#[test]
fn front_ends_may_sign_with_a_secret_that_couchdb_never_sees() {
    let upstream = Recorder::start();
    let ini = "[couchgate]\nproxy_secret = front-ends-own\n[chttpd_auth]\nx_auth_token = X-Mine\n";
    let gate = Gate::start(&upstream.url, ini);
    let who = |secret: &str| {
        let token = token(secret, "jan");
        let headers = [("X-Auth-CouchDB-UserName", "jan"), ("X-Mine", token.as_str())];
        gate.get("/_session", &headers).expect(200).json()["userCtx"]["name"].clone()
    };
    assert_eq!(who(SECRET), json!(null));
    assert_eq!(who("front-ends-own"), "jan");
    let warned = |gate: &Gate| {
        let is_warning = |line: &serde_json::Value| line.to_string().contains("x_auth_token");
        gate.log().iter().any(is_warning)
    };
    assert!(!warned(&gate));
    let open = "[chttpd_auth]\nx_auth_token = X-Mine\n";
    assert!(warned(&Gate::start(&upstream.url, open)));
}

/// An `OPTIONS` that looks like a CORS preflight ran `_rewrite` functions for nobody.
#[test]
fn a_preflight_runs_no_design_function() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "[chttpd]\nrequire_valid_user = true\n");
    let preflight = [("Origin", "http://o"), ("Access-Control-Request-Method", "GET")];
    for target in
        ["/db/_design/d/_rewrite/x", "/db/_design%2Fd/_%73how/s", "/db/_design/d/_update/u"]
    {
        gate.request("OPTIONS", target, &preflight, b"").expect(401);
    }
    gate.request("OPTIONS", "/db/doc", &preflight, b"{}").expect(401);
    gate.request("OPTIONS", "/db/doc", &preflight[..1], b"").expect(401);
    assert!(upstream.take().is_empty());
    gate.request("OPTIONS", "/db/doc", &preflight, b"").expect(200);
    assert_eq!(upstream.only().method, "OPTIONS");
}

/// `GET` of an `_update` function writes.
#[test]
fn a_design_function_is_never_asked_twice() {
    let upstream = Recorder::scripted(|request| {
        if request.target.ends_with(b"/u") {
            return Action::Close;
        }
        Action::Answer(ok(b"{}\n"))
    });
    let gate = Gate::start(&upstream.url, "");
    eventually("users are followed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
    gate.get("/warm", &[]).expect(200);
    upstream.take();
    gate.get("/db/_design/d/_update/u", &[]).expect(502);
    assert_eq!(upstream.take().len(), 1);
    gate.get("/warm", &[]).expect(200);
    upstream.take();
    gate.get("/db/_design/d/_view/u", &[]).expect(502);
    assert_eq!(upstream.take().len(), 2);
}

/// CouchDB refuses request lines over 8 KiB, which is no failure of the user database.
#[test]
fn a_very_long_name_is_nobodys() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &[]);
    upstream.own(|request| {
        let too_long = request.target.len() > 8000;
        too_long.then(|| Action::Answer(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n".to_vec()))
    });
    let gate = Gate::start(&upstream.url, "");
    gate.get("/_session", &[("Authorization", &basic("jan", "apple"))]).expect(200);
    for name in ["z".repeat(9000), "ä".repeat(2000)] {
        gate.get("/_session", &[("Authorization", &basic(&name, "x"))]).expect(401);
    }
}

/// A remembered password would answer quickly, and so tell that it was right.
#[test]
fn the_password_of_a_user_with_a_second_factor_is_not_remembered() {
    let upstream = Recorder::start();
    let mut document = simple_user("tot", "apple", &[]);
    document["totp"] = json!({ "key": "12345678901234567890" });
    upstream.user_document("tot", document);
    let gate = Gate::start(&upstream.url, "");
    for _ in 0..3 {
        gate.get("/_session", &[("Authorization", &basic("tot", "apple"))]).expect(401);
    }
    assert!(gate.metric("couchgate_password_cache_hits_total") < 1.0);
}

/// An HTTP/1.0 answer of unknown length ends where the connection does.
#[test]
fn an_answer_cut_off_by_a_stop_breaks_visibly_for_http_1_0() {
    let upstream = StreamUpstream::start();
    let mut gate = Gate::start(&upstream.url, "[couchgate]\nshutdown_timeout = 1\n");
    let mut client = gate.connect();
    client.write(b"GET /db/_changes?feed=longpoll HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = upstream.next();
    answer.begin_chunks();
    answer.chunk(b"{\"results\":[\n").unwrap();
    client.head().unwrap().expect(200);
    let mut begun = [0; 13];
    client.reader().read_exact(&mut begun).unwrap();
    gate.terminate();
    assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(gate.wait().success());
}

/// The same where the client does not take its answer in time.
#[test]
fn an_answer_that_is_not_taken_breaks_visibly_for_http_1_0() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "[couchgate]\nbody_timeout = 1\n");
    let mut client: Connection = gate.connect();
    client.write(b"GET /db/doc/big HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = upstream.next();
    answer.begin_chunks();
    let piece = vec![b'x'; 1 << 20];
    // Until couchgate lets go of the client, and so of its own connection.
    while answer.chunk(&piece).is_ok() {}
    client.head().unwrap().expect(200);
    assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// hyper's answer to a malformed head is replaced; an attachment with the same bytes is not.
#[test]
fn a_body_that_looks_like_a_refusal_arrives_as_it_is() {
    const BODY: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let mut client = gate.connect();
    client.write(&support::http::request("GET", "/db/doc/file", &[], b"")).unwrap();
    let mut answer = upstream.next();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY.len());
    answer.write(head.as_bytes()).unwrap();
    // Only when the head has gone on does the body go on alone.
    client.head().unwrap().expect(200);
    answer.write(BODY).unwrap();
    let mut arrived = vec![0; BODY.len()];
    client.reader().read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, BODY);
}
