//! Only users who can be told to CouchDB exactly are told: a name or role that would arrive as
//! another one is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::{
    Gate, Recorder, Reply, SECRET, basic,
    sign::{session_cookie, token},
};

fn cookie(name: &str) -> String {
    format!("AuthSession={}", session_cookie(SECRET, "salt", name, 5, "sha256"))
}

fn log_in(gate: &Gate, name: &str, password: &str) -> Reply {
    let form = format!("name={name}&password={password}");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    gate.request("POST", "/_session", &headers, form.as_bytes())
}

#[test]
fn a_user_who_cannot_be_told_exactly_is_refused() {
    let roles: &[&[&str]] = &[
        &["x,_admin"],
        &["dev", ",_admin"],
        &["dev,"],
        &[","],
        &["dev", ""],
        &["", "dev"],
        &[" dev"],
        &["dev "],
        &["dev", "\tops"],
        &["dev", " "],
        &["dev\u{a0}"],
        &["dev\r\nX-Auth-CouchDB-Roles: _admin"],
        &["de\nv"],
        &["de\0v"],
        &["de\u{7f}v"],
        &["de\u{85}v"],
    ];
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (row, roles) in roles.iter().enumerate() {
        let name = format!("jan{row}");
        upstream.user(&name, "apple", roles);
        for reply in [
            gate.get("/db", &[("Authorization", &basic(&name, "apple"))]),
            gate.get("/db", &[("Cookie", &cookie(&name))]),
            log_in(&gate, &name, "apple"),
        ] {
            assert_eq!(reply.status, 403, "{roles:?}: {reply:?}");
            assert_eq!(reply.json()["error"], "forbidden");
            assert!(reply.header("set-cookie").is_none(), "{roles:?}");
        }
        // The password is not told apart for those who do not know it.
        gate.get("/db", &[("Authorization", &basic(&name, "wrong"))]).expect(401);
        assert_eq!(upstream.take().len(), 0, "{roles:?}");
    }
    for name in ["", " jan", "jan ", "\tjan", "ja\nn", "ja\r\nn", "ja\0n", "ja\u{7f}n", "jan\u{a0}"]
    {
        upstream.user(name, "apple", &["dev"]);
        let reply = gate.get("/db", &[("Authorization", &basic(name, "apple"))]);
        assert!(matches!(reply.status, 401 | 403), "{name:?}: {reply:?}");
        gate.get("/db", &[("Cookie", &cookie(name))]);
        for request in upstream.take() {
            assert!(request.folded("x-auth-couchdb-username").is_empty(), "{name:?}: {request:?}");
        }
    }
}

#[test]
fn a_front_ends_user_who_cannot_be_told_exactly_is_refused() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let signed = token(SECRET, "jan");
    for roles in ["a,,b", ",a", " , a", "a,\u{a0}_admin", "_admin\u{2003},a", "a\u{85}b"] {
        let headers = [
            ("X-Auth-CouchDB-UserName", "jan"),
            ("X-Auth-CouchDB-Token", signed.as_str()),
            ("X-Auth-CouchDB-Roles", roles),
        ];
        let reply = gate.get("/db", &headers);
        assert_eq!(reply.status, 403, "{roles:?}: {reply:?}");
        assert_eq!(upstream.take().len(), 0, "{roles:?}");
    }
}

#[test]
fn names_and_roles_travel_exactly() {
    let rows: &[(&str, &[&str])] = &[
        ("jan", &[]),
        ("jürgen", &["Größe"]),
        ("名前", &["役割", "dev"]),
        ("jan \u{1f427}", &["\u{1f427}", "a b", "a:b", "a\"b", "a;b", "a=b", "100%"]),
        ("a,b", &["_admin"]),
        ("o'neil/x@example.org", &["dev"]),
        ("Jan", &["Dev", "dev", "dev"]),
        ("%6Aan+", &["%2C"]),
        ("e\u{301}", &["\u{e9}"]),
    ];
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (name, roles) in rows {
        upstream.user(name, "päss:wörd", roles);
        let signed = token(SECRET, name);
        let joined = roles.join(",");
        let mut front = vec![("X-Auth-CouchDB-UserName", *name), ("X-Auth-CouchDB-Token", &signed)];
        if !roles.is_empty() {
            front.push(("X-Auth-CouchDB-Roles", &joined));
        }
        for headers in [
            vec![("Authorization", basic(name, "päss:wörd").as_str())],
            vec![("Cookie", cookie(name).as_str())],
            front,
        ] {
            gate.get("/db", &headers).expect(200);
            let request = upstream.only();
            assert_eq!(request.folded("x-auth-couchdb-username"), [name.as_bytes()], "{headers:?}");
            let expected: &[&[u8]] = if roles.is_empty() { &[] } else { &[joined.as_bytes()] };
            assert_eq!(request.folded("x-auth-couchdb-roles"), expected, "{headers:?}");
            assert_eq!(request.folded("x-auth-couchdb-token"), [signed.as_bytes()], "{headers:?}");
            // And to whoever asks who he is.
            let session = gate.get("/_session", &headers).expect(200).json();
            assert_eq!(session["userCtx"], json!({ "name": name, "roles": roles }));
        }
    }
}
