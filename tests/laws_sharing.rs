//! The laws, for whoever comes with an auth key.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "laws_sharing/auth_key_secret.rs"]
mod auth_key_secret;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "authkey/played.rs"]
mod played;
mod support;

use played::{NEEDED, Played, Question};
use serde_json::{Value, json};
use support::{
    SECRET,
    recorder::{Action, answer},
    sign::token,
};

fn played() -> Played {
    Played::with(&json!([{ "id": "k", "roles": ["dev", "ops"] }, { "id": "none" }]))
}

#[test]
fn one_door_for_identity() {
    let played = played();
    let gate = played.gate("");
    let forged = [
        ("X-Auth-CouchDB-UserName", "admin"),
        ("X-Auth-CouchDB-Roles", "_admin"),
        ("X-Auth-CouchDB-Token", "token"),
        ("x_auth_couchdb_roles", "_admin"),
        ("X-AUTH_CouchDB-UserName", "admin"),
        ("Connection", "X-Auth-CouchDB-UserName, X-Auth-CouchDB-Roles, X-Auth-CouchDB-Token"),
    ];
    for (key, roles) in [("keys,k", &[&b"dev,ops"[..]][..]), ("keys,none", &[])] {
        let mut headers = forged.to_vec();
        for target in ["/db/doc", "/_up", "/", &format!("/db?auth_key={key}")] {
            headers.push(("X-Auth-Key", key));
            for method in ["GET", "PUT", "DELETE", "POST"] {
                gate.request(method, target, &headers, b"").expect(200);
                let request = played.upstream.only();
                assert_eq!(request.folded("x-auth-couchdb-username"), [key.as_bytes()]);
                assert_eq!(request.folded("x-auth-couchdb-roles"), roles, "{key} {target}");
                let token = token(SECRET, key);
                assert_eq!(request.folded("x-auth-couchdb-token"), [token.as_bytes()]);
            }
            headers.pop();
        }
    }
}

/// `@` stands for an auth key in the query; with what is left of it.
const QUERIES: &[(&str, &str)] = &[
    ("?@", ""),
    ("?@&", ""),
    ("?&@", ""),
    ("?a=b&@", "?a=b"),
    ("?@&a=b", "?a=b"),
    ("?a=b&@&c=d", "?a=b&c=d"),
    ("?a=b;@;c=d", "?a=b;c=d"),
    ("?@;@&@", ""),
    ("?a=%62&&@&;c=+%2B%20~!$'()*,:/?", "?a=%62&&;c=+%2B%20~!$'()*,:/?"),
    (
        "?startkey=[%22a%22,{}]&@&endkey=%22auth_key=%22",
        "?startkey=[%22a%22,{}]&endkey=%22auth_key=%22",
    ),
    (
        "?xauth_key=1&@&AUTH_KEY=2&auth-key=3&auth_keys=4",
        "?xauth_key=1&AUTH_KEY=2&auth-key=3&auth_keys=4",
    ),
    ("?a=auth_key&@&b", "?a=auth_key&b"),
];

#[test]
fn a_key_stops_here_whoever_asks() {
    let played = played();
    let jan = support::basic("jan", "apple");
    // Whether or not a handler looks for it, and whoever wins.
    for (handlers, expected) in [
        ("authkey", Some("keys,k")),
        ("default, authkey", Some("jan")),
        ("default", Some("jan")),
        ("proxy", None),
    ] {
        let gate = played.gate(&format!("[chttpd]\nauthentication_handlers = {handlers}\n"));
        for spelt in ["auth_key=keys,k", "%61uth%5Fkey=keys%2Ck"] {
            for (query, left) in QUERIES {
                let target = format!("/db/a%2fb//c{}", query.replace('@', spelt));
                gate.get(&target, &[("Authorization", &jan)]).expect(200);
                let request = played.upstream.only();
                let arrived = String::from_utf8(request.target.clone()).unwrap();
                assert_eq!(arrived, format!("/db/a%2fb//c{left}"), "{handlers}: {query}");
                let told = request.all("x-auth-couchdb-username");
                assert_eq!(told.first().copied(), expected.map(str::as_bytes), "{handlers}");
            }
        }
        for name in ["X-Auth-Key", "x-auth-key", "X_AUTH_KEY", "x_auth-key", "X-Auth_Key"] {
            for target in ["/db", "/_up"] {
                let headers = [
                    (name, "keys,k"),
                    ("Authorization", &jan),
                    ("Connection", name),
                    ("X-Auth", "1"),
                ];
                gate.get(target, &headers).expect(200);
                let request = played.upstream.only();
                assert!(request.folded("x-auth-key").is_empty(), "{handlers}: {request:?}");
                assert_eq!(request.all("x-auth"), [b"1"], "{handlers}: {name}");
            }
        }
    }
    // Who is nobody sends none on either, and where keys are not looked for, none is read.
    played.asked();
    let gate = played.gate("[chttpd]\nauthentication_handlers = cookie, default\n");
    gate.get("/db?auth_key=keys,k&a=b", &[("X-Auth-Key", "keys,k")]).expect(200);
    let request = played.upstream.only();
    assert_eq!(request.target, b"/db?a=b");
    assert!(request.folded("x-auth-key").is_empty());
    assert!(request.folded("x-auth-couchdb-username").is_empty());
    assert_eq!(played.asked(), []);
}

/// Whatever is wrong with a presented key, nothing is forwarded: not as somebody, not as nobody.
#[test]
fn a_wrong_key_is_never_a_quiet_somebody_or_nobody() {
    let played = Played::holding(vec![
        json!({ "_id": "a", "auth_keys": [
            { "id": "expired", "roles": ["dev"], "expires": 1 },
            { "id": "system", "roles": ["_admin"] },
            { "id": "comma", "roles": ["x,_admin"] },
            { "id": "malformed", "roles": "_admin" },
            { "id": "both", "roles": [] },
        ] }),
        json!({ "_id": "b", "auth_keys": [{ "id": "both", "roles": [] }] }),
        json!({ "_id": "c", "_conflicts": ["1-a"], "auth_keys": [{ "id": "conflict" }] }),
    ]);
    for ini in ["", "[chttpd]\nrequire_valid_user = true\n"] {
        let gate = played.gate(ini);
        let keys = ["expired", "system", "comma", "malformed", "both", "conflict", "unknown", ""];
        for key in keys {
            let expected = if key == "comma" { 403 } else { 401 };
            let key = format!("keys,{key}");
            for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
                for target in ["/db", "/_up", "/_session"] {
                    let reply = gate.request(method, target, &[("X-Auth-Key", &key)], b"");
                    assert_eq!(reply.status, expected, "{key}: {method} {target}: {reply:?}");
                }
            }
        }
        for question in NEEDED {
            played.instead(move |asked| {
                let failing = answer("500 Internal Server Error", b"{}");
                (asked == question).then_some(Action::Answer(failing))
            });
            let gate = played.gate(ini);
            gate.get("/db", &[("X-Auth-Key", "keys,expired")]).expect(503);
            assert!(played.asked().iter().any(|(asked, _)| *asked == question));
        }
        played.instead(|_| None);
    }
    assert_eq!(played.upstream.take().len(), 0);
}

#[test]
fn only_representable_roles_travel() {
    let rows: [(Value, Result<Option<&str>, &str>); 14] = [
        (json!([]), Ok(None)),
        (json!(["dev"]), Ok(Some("dev"))),
        (json!(["dev", "blog er"]), Ok(Some("dev,blog er"))),
        (json!(["p\u{f6}mme", "\u{1f6cb}"]), Ok(Some("p\u{f6}mme,\u{1f6cb}"))),
        (json!(["x,_admin"]), Err("a role contains a comma")),
        (json!(["dev", ","]), Err("a role contains a comma")),
        (json!(["x\r\nX-Auth-CouchDB-Roles: _admin"]), Err("a role contains a control character")),
        (json!(["x\n"]), Err("a role contains a control character")),
        (json!(["x\u{0}y"]), Err("a role contains a control character")),
        (json!(["x\u{7f}"]), Err("a role contains a control character")),
        (json!(["x\u{85}y"]), Err("a role contains a control character")),
        (json!([" dev"]), Err("a role begins or ends with a blank")),
        (json!(["dev\u{a0}"]), Err("a role begins or ends with a blank")),
        (json!(["dev", ""]), Err("a role is empty")),
    ];
    let keys = rows.iter().enumerate();
    let keys = keys.map(|(row, (roles, _))| json!({ "id": row.to_string(), "roles": roles }));
    let played = Played::with(&keys.collect());
    for allowed in [false, true] {
        let gate = played.gate(&format!("allow_system_roles = {allowed}\n"));
        for (row, (roles, expected)) in rows.iter().enumerate() {
            let reply = gate.get(&format!("/db?auth_key=keys,{row}"), &[]);
            let arrived = played.upstream.take();
            match expected {
                Ok(header) => {
                    reply.expect(200);
                    let told = arrived[0].all("x-auth-couchdb-roles");
                    assert_eq!(told.first().copied(), header.map(str::as_bytes), "{roles}");
                }
                Err(why) => {
                    let said = reply.expect(403).json();
                    assert_eq!(said["error"], "forbidden", "{roles}");
                    assert!(said["reason"].as_str().unwrap().contains(why), "{roles}: {said}");
                    assert_eq!(arrived.len(), 0, "{roles}");
                }
            }
        }
    }
    assert!(played.asked().iter().all(|(question, _)| *question != Question::Other));
}
