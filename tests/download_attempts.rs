//! What a download token opens is `GET` and `HEAD` of one attachment: a table of attempts at
//! anything else, and what reaches CouchDB of them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "download_attempts/framing.rs"]
mod framing;
#[path = "download_attempts/paths.rs"]
mod paths;
mod support;
#[path = "download_attempts/tokens.rs"]
mod tokens;

use std::collections::BTreeSet;

use serde_json::json;
use support::{
    Gate, Recorder, SECRET,
    recorder::{Action, Recorded, answer, ok},
    sign::token,
};

/// An attempt.
struct Row {
    method: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    expected: Expected,
}

enum Expected {
    /// The service user asks for this target, with these headers of the client's.
    Opened(&'static str, &'static [&'static str]),
    /// couchgate says no, and nothing reaches CouchDB.
    Refused(u16),
    /// It goes on with this target as nobody's.
    Anonymous(&'static str),
    /// It goes on with this target as jan's.
    Jans(&'static str),
}

const fn get(target: &'static str, expected: Expected) -> Row {
    with(target, &[], expected)
}

const fn with(
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    expected: Expected,
) -> Row {
    Row { method: "GET", target, headers, expected }
}

/// A right token for an attachment, with another method.
const fn method(method: &'static str, expected: Expected) -> Row {
    Row { method, target: "/db/doc/a?token=t", headers: &[], expected }
}

/// What comes of `/db/doc/a?token=t`, whether it is opened or goes on.
const PLAIN: Expected = Expected::Opened("/db/doc/a?rev=1-a", &[]);
const ON: Expected = Expected::Anonymous("/db/doc/a");

/// What couchgate says to CouchDB with every download.
const OWN_HEADERS: [&str; 6] = [
    "host",
    "x-auth-couchdb-username",
    "x-auth-couchdb-roles",
    "x-auth-couchdb-token",
    "x-forwarded-for",
    "x-couch-request-id",
];

/// What is in `download_token` of the document of this name; `t` in all others.
fn field(doc: &str) -> serde_json::Value {
    match doc {
        "number" => json!(5),
        "true" => json!(true),
        "null" => json!(null),
        "empty" => json!(""),
        "blank" => json!(" "),
        "list" => json!(["t"]),
        "object" => json!({ "t": "t", "download_token": "t" }),
        "nul" => json!("t\u{0}u"),
        "long" => json!("t".repeat(5000)),
        "amp" => json!("t&token=u"),
        _ => json!("t"),
    }
}

/// Answers whatever document couchgate asks for, the system's too: that none of those is opened is
/// not because it is missing.
fn document(request: &Recorded) -> Option<Action> {
    let target = std::str::from_utf8(&request.target).unwrap();
    if ["/_users/_", "/_users/org", "/_node", "/_session"].iter().any(|own| target.starts_with(own))
        || target == "/_users"
    {
        return None;
    }
    let doc = target.rsplit('/').next().unwrap();
    if doc == "missing" {
        return Some(Action::Answer(answer("404 Object Not Found", b"{}")));
    }
    let document = match doc {
        "absent" => json!({ "_id": doc, "_rev": "1-a" }),
        "deep" => json!({ "_id": doc, "_rev": "1-a", "x": { "download_token": "t" } }),
        "odd" => json!({ "_id": doc, "_rev": "1-a&x=/..", "download_token": "t" }),
        _ => json!({ "_id": doc, "_rev": "1-a", "download_token": field(doc) }),
    };
    Some(Action::Answer(ok(document.to_string().as_bytes())))
}

fn upstream() -> Recorder {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    upstream.own(document);
    upstream
}

fn gate(upstream: &Recorder) -> Gate {
    let ini = "[oauth_consumer_secrets]\nkey = s\n[couch_authkey]\ndatabases = keys\n";
    Gate::start(&upstream.url, ini)
}

fn user(request: &Recorded) -> Option<String> {
    let users = request.folded("x-auth-couchdb-username");
    assert!(users.len() <= 1, "{request:?}");
    users.first().map(|user| String::from_utf8_lossy(user).into_owned())
}

/// Exactly this target, as the service user, with exactly these headers and no body.
#[track_caller]
fn assert_opened(request: &Recorded, (method, target): (&str, &str), passed: &[&str], what: &str) {
    assert_eq!(request.method, method, "{what}");
    assert_eq!(String::from_utf8_lossy(&request.target), target, "{what}");
    let names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let distinct: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = OWN_HEADERS.iter().chain(passed).copied().collect();
    assert_eq!(distinct, expected, "{what}");
    assert_eq!(names.len(), distinct.len(), "{what}: {names:?}");
    assert_eq!(request.all("x-auth-couchdb-username"), [b"couchgate"], "{what}");
    assert_eq!(request.all("x-auth-couchdb-roles"), [b"_admin"], "{what}");
    let token = token(SECRET, "couchgate");
    assert_eq!(request.all("x-auth-couchdb-token"), [token.as_bytes()], "{what}");
    assert_eq!(request.all("x-forwarded-for"), [b"127.0.0.1"], "{what}");
    assert!(request.body.is_empty() && !request.chunked, "{what}");
}

/// Goes on as `name`'s, in no way as the service user's.
#[track_caller]
fn assert_forwarded(request: &Recorded, row: &Row, target: &str, name: Option<&str>, what: &str) {
    assert_eq!(request.method, row.method, "{what}");
    assert_eq!(String::from_utf8_lossy(&request.target), target, "{what}");
    assert_eq!(user(request).as_deref(), name, "{what}");
    let token = token(SECRET, "couchgate");
    for (header, value) in &request.headers {
        let value = String::from_utf8_lossy(value);
        assert!(!value.contains(&token) && !value.contains("_admin"), "{what}: {header}: {value}");
    }
    let tokens = request.folded("x-auth-couchdb-token");
    assert_eq!(tokens.len(), usize::from(name.is_some()), "{what}");
}

#[test]
fn nothing_but_one_attachment_is_opened() {
    let upstream = upstream();
    let gate = gate(&upstream);
    let (mut opened, mut refused, mut forwarded) = (0, 0, 0);
    for row in paths::PATHS.iter().chain(tokens::TOKENS) {
        let what = format!("{} {} {:?}", row.method, row.target, row.headers);
        let reply = gate.request(row.method, row.target, row.headers, b"");
        let arrived = upstream.take();
        match (&row.expected, &*arrived) {
            (Expected::Opened(target, passed), [request]) => {
                assert_eq!(reply.status, 200, "{what}");
                assert_eq!(reply.all("access-control-allow-origin"), ["*"], "{what}");
                assert_opened(request, (row.method, target), passed, &what);
                opened += 1;
            }
            (Expected::Refused(status), []) => {
                assert_eq!(reply.status, *status, "{what}");
                refused += 1;
            }
            (Expected::Anonymous(target), [request]) => {
                assert_forwarded(request, row, target, None, &what);
                assert!(reply.all("access-control-allow-origin").is_empty(), "{what}");
                forwarded += 1;
            }
            (Expected::Jans(target), [request]) => {
                assert_forwarded(request, row, target, Some("jan"), &what);
                forwarded += 1;
            }
            _ => panic!("{what}: {} and {arrived:?}", reply.status),
        }
    }
    assert!(opened >= 30 && refused >= 30 && forwarded >= 40, "{opened} {refused} {forwarded}");
}
