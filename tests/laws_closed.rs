//! Unknown state is nobody's identity: it ends a request, and never makes it anonymous.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::TcpListener;

use support::{
    Gate, Recorder, Reply, SECRET, basic,
    recorder::{Action, Recorded, answer, ok, simple_user},
    sign::{session_cookie, token},
};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn cookie(name: &str) -> String {
    format!("AuthSession={}", session_cookie(SECRET, "salt", name, 5, "sha256"))
}

fn log_in(gate: &Gate, name: &str, password: &str) -> Reply {
    let form = format!("name={name}&password={password}");
    gate.request("POST", "/_session", &[FORM], form.as_bytes())
}

/// All ways to present a credential that only the user database can judge.
fn with_every_credential(gate: &Gate) -> Vec<(String, Reply)> {
    let mut replies = Vec::new();
    for (name, password) in [("jan", "apple"), ("jan", "wrong"), ("root", "x"), ("nobody", "x")] {
        let authorization = basic(name, password);
        replies.push((name.to_owned(), gate.get("/db", &[("Authorization", &authorization)])));
        let cookie = cookie(name);
        let headers = [("Cookie", cookie.as_str())];
        replies.push((format!("{name}'s cookie"), gate.get("/db", &headers)));
        replies.push((format!("{name}'s session"), gate.get("/_session", &headers)));
        let both = [("Cookie", cookie.as_str()), ("Authorization", &authorization)];
        replies.push((
            format!("{name}'s cookie and password"),
            gate.request("PUT", "/db", &both, b""),
        ));
        replies.push((format!("{name} logs in"), log_in(gate, name, password)));
    }
    replies
}

#[track_caller]
fn assert_unavailable(what: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{what}: {reply:?}");
    let body = reply.json();
    assert_eq!(body["error"], "service_unavailable", "{what}");
    assert_eq!(body["reason"], "The authentication database cannot be read.", "{what}");
    assert!(reply.header("set-cookie").is_none(), "{what}: {reply:?}");
}

/// What fails, which requests that concerns, and how they are answered.
type Failure = (&'static str, fn(&Recorded) -> bool, Vec<u8>);

fn is_user(request: &Recorded) -> bool {
    request.target.starts_with(b"/_users/org.couchdb.user")
}

fn is_admins(request: &Recorded) -> bool {
    request.target.starts_with(b"/_node/")
}

#[test]
fn users_that_cannot_be_read_are_503_and_never_anonymous() {
    let broken_off =
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"roles\":[],\"salt\":".to_vec();
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".to_vec();
    let failures: &[Failure] = &[
        ("users: 500", is_user, answer("500 Internal Server Error", b"{\"error\":\"x\"}")),
        ("users: 401", is_user, answer("401 Unauthorized", b"{\"error\":\"unauthorized\"}")),
        ("users: 403", is_user, answer("403 Forbidden", b"{\"error\":\"forbidden\"}")),
        ("users: 429", is_user, answer("429 Too Many Requests", b"{}")),
        ("users: 503", is_user, answer("503 Service Unavailable", b"{}")),
        ("users: a redirect", is_user, redirect.clone()),
        ("users: 204", is_user, b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("users: closed", is_user, Vec::new()),
        ("users: broken off", is_user, broken_off.clone()),
        ("users: not HTTP", is_user, b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("admins: 500", is_admins, answer("500 Internal Server Error", b"{}")),
        ("admins: 401", is_admins, answer("401 Unauthorized", b"{}")),
        ("admins: 404", is_admins, answer("404 Object Not Found", b"{}")),
        ("admins: not JSON", is_admins, ok(b"<html>")),
        ("admins: a list", is_admins, ok(b"[]")),
        ("admins: numbers", is_admins, ok(b"{\"root\":1}")),
        ("admins: closed", is_admins, Vec::new()),
        ("admins: broken off", is_admins, broken_off),
    ];
    for (failure, concerns, bytes) in failures {
        let upstream = Recorder::start();
        upstream.user("jan", "apple", &["dev"]);
        let (concerns, bytes) = (*concerns, bytes.clone());
        upstream
            .own(move |request| concerns(request).then(|| Action::AnswerAndClose(bytes.clone())));
        let gate = Gate::start(&upstream.url, "");
        for (credential, reply) in with_every_credential(&gate) {
            assert_unavailable(&format!("{failure}, {credential}"), &reply);
        }
        assert_eq!(upstream.take().len(), 0, "{failure}: nothing goes on");

        // Nobody has to be looked up for these.
        gate.get("/db", &[]).expect(200);
        assert!(upstream.only().folded("x-auth-couchdb-username").is_empty());
        let front = [
            ("X-Auth-CouchDB-UserName", "front"),
            ("X-Auth-CouchDB-Token", &token(SECRET, "front")),
        ];
        gate.get("/db", &front).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"front"]);

        // A failure is not remembered.
        upstream.own(|_| None);
        gate.get("/db", &[("Authorization", &basic("jan", "apple"))]).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"], "{failure}");
    }
}

#[test]
fn an_upstream_that_is_down_authenticates_nobody() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!("http://{free}"), "");
    for (credential, reply) in with_every_credential(&gate) {
        assert_unavailable(&credential, &reply);
    }
    let reply = gate.get("/db", &[]).expect(502);
    assert_eq!(reply.json()["error"], "bad_gateway");
}

#[test]
fn a_malformed_user_document_authenticates_nobody() {
    let right = simple_user("jan", "apple", &["dev"]).to_string();
    let right_sha = {
        let document = simple_user("jan", "apple", &[]);
        format!(r#""password_sha":"{}","salt":"salt""#, document["password_sha"].as_str().unwrap())
    };
    // What follows `{`, and whether his cookie must be refused too: who holds the secret could
    // make one for a user without a password, and CouchDB would take it.
    let rows: &[(String, bool)] = &[
        (format!(r#""roles":["dev"],"roles":["_admin"],{right_sha}}}"#), true),
        (format!(r#""roles":["_admin"],"roles":[],{right_sha}}}"#), true),
        (format!(r#""roles":[],"rol\u0065s":["_admin"],{right_sha}}}"#), true),
        (format!(r#""roles":[],"password_sha":"aa",{right_sha}}}"#), true),
        (format!(r#""roles":[],{right_sha},"salt":"other"}}"#), true),
        (format!(r#""roles":[],{right_sha},"_conflicts":["1-a"],"_conflicts":null}}"#), true),
        (format!(r#""roles":[],{right_sha},"totp":null,"totp":{{}}}}"#), true),
        (format!(r#""roles":"_admin",{right_sha}}}"#), true),
        (format!(r#""roles":null,{right_sha}}}"#), true),
        (format!(r#""roles":[1],{right_sha}}}"#), true),
        (format!(r#""roles":[["_admin"]],{right_sha}}}"#), true),
        (format!(r#""roles":{{"_admin":true}},{right_sha}}}"#), true),
        (format!(r#""roles":[],{right_sha},"iterations":"10"}}"#), true),
        (format!(r#""roles":[],{right_sha},"iterations":-1}}"#), true),
        (format!(r#""roles":[],{right_sha},"iterations":1e99}}"#), true),
        (format!(r#""roles":[],{right_sha},"password_scheme":["simple"]}}"#), true),
        (format!(r#""roles":[],{right_sha},"password_scheme":"plain"}}"#), false),
        (format!(r#""roles":[],{right_sha},"password_scheme":"pbkdf2","iterations":0}}"#), false),
        (r#""roles":[],"password_sha":"","salt":"salt"}"#.to_owned(), false),
        (r#""roles":[],"password_sha":null,"salt":"salt"}"#.to_owned(), false),
        (r#""roles":[],"password_sha":"apple","salt":"salt"}"#.to_owned(), false),
        (r#""roles":[],"password":"apple","salt":"salt"}"#.to_owned(), false),
        (
            r#""roles":[],"derived_key":"","password_scheme":"pbkdf2","salt":"salt"}"#.to_owned(),
            false,
        ),
        (r#""roles":[],"password_sha":7,"salt":"salt"}"#.to_owned(), true),
        (format!(r#""roles":[],{right_sha}"#), true),
        (format!(r#""roles":[],{right_sha}}} {{}}"#), true),
        ("}".to_owned(), true),
        (String::new(), true),
    ];
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let answered = |document: &str, name: &str| {
        let (document, path) = (document.to_owned(), format!("/_users/org.couchdb.user:{name}"));
        upstream.own(move |request| {
            let is_asked = request.target.starts_with(path.as_bytes());
            is_asked.then(|| Action::Answer(ok(document.as_bytes())))
        });
    };
    // The shape is what the rows differ in.
    answered(&right, "right");
    gate.get("/db", &[("Authorization", &basic("right", "apple"))]).expect(200);
    upstream.only();
    gate.get("/db", &[("Cookie", &cookie("right"))]).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-roles"), [b"dev"]);

    for (row, (rest, cookie_too)) in rows.iter().enumerate() {
        // Each row is somebody else: what couchgate has read of a user it remembers.
        let name = format!("jan{row}");
        answered(&format!("{{{rest}"), &name);
        for password in ["apple", "", "null"] {
            let reply = gate.get("/db", &[("Authorization", &basic(&name, password))]);
            assert!(matches!(reply.status, 401 | 403), "{rest}: {reply:?}");
            let reply = log_in(&gate, &name, password);
            assert!(matches!(reply.status, 401 | 403), "{rest}: {reply:?}");
            let cleared = reply.header("set-cookie").is_none_or(|c| c.starts_with("AuthSession=;"));
            assert!(cleared, "{rest}: {reply:?}");
        }
        assert_eq!(upstream.take().len(), 0, "{rest}");
        if *cookie_too {
            gate.get("/db", &[("Cookie", &cookie(&name))]);
            for request in upstream.take() {
                assert!(
                    request.folded("x-auth-couchdb-username").is_empty(),
                    "{rest}: {request:?}"
                );
            }
        }
    }
}
