//! The handler among others.

use serde_json::json;

use super::{
    INVALID,
    played::Played,
    support::{SECRET, basic, eventually, sign::session_cookie},
};

fn played() -> Played {
    Played::with(&json!([{ "id": "k", "roles": ["dev", "ops"] }]))
}

/// Headers, and who that is or why he is refused.
type Row<'a> = (&'a [(&'a str, &'a str)], Result<&'a str, &'a str>);

#[test]
fn the_first_handler_that_knows_the_user_wins() {
    let played = played();
    let (jan, wrong) = (basic("jan", "apple"), basic("jan", "pear"));
    let cookie = format!("AuthSession={}", session_cookie(SECRET, "salt", "jan", 5, "sha256"));
    let stale = format!("AuthSession={}", session_cookie(SECRET, "salt", "jan", 700, "sha256"));
    let (key, no_key) = (("X-Auth-Key", "keys,k"), ("X-Auth-Key", "keys,no"));
    let (jan, wrong) = (("Authorization", jan.as_str()), ("Authorization", wrong.as_str()));
    let (cookie, stale) = (("Cookie", cookie.as_str()), ("Cookie", stale.as_str()));
    let (holder, is_jan) = (Ok("keys,k"), Ok("jan"));
    let (invalid, incorrect) = (Err(INVALID), Err("Name or password is incorrect."));
    let original = "{couch_authkey_handler, key_authentification_handler}, \
                    {couch_httpd_auth, default_authentication_handler}";
    let tables: [(&str, &[Row<'_>]); 5] = [
        (
            "authkey, default, cookie",
            &[
                (&[key], holder),
                (&[key, jan], holder),
                (&[key, wrong], holder),
                (&[key, cookie], holder),
                (&[no_key, jan], invalid),
                (&[no_key, cookie], invalid),
                (&[jan], is_jan),
            ],
        ),
        (
            "default, cookie, authkey",
            &[
                (&[key], holder),
                (&[key, jan], is_jan),
                (&[key, wrong], incorrect),
                (&[key, cookie], is_jan),
                (&[key, stale], holder),
                (&[no_key, jan], is_jan),
                (&[no_key, stale], invalid),
            ],
        ),
        (
            "cookie, authkey, default",
            &[(&[key, wrong], holder), (&[no_key, cookie, wrong], is_jan)],
        ),
        (original, &[(&[key, jan], holder), (&[no_key, jan], invalid), (&[jan], is_jan)]),
        ("authkey", &[(&[key], holder), (&[no_key], invalid)]),
    ];
    for (handlers, rows) in tables {
        let gate = played.gate(&format!("[chttpd]\nauthentication_handlers = {handlers}\n"));
        for (headers, expected) in rows {
            let reply = gate.get("/db", headers);
            let arrived = played.upstream.take();
            match expected {
                Ok(name) => {
                    reply.expect(200);
                    let told = arrived[0].all("x-auth-couchdb-username");
                    assert_eq!(told, [name.as_bytes()], "{handlers}: {headers:?}");
                }
                Err(reason) => {
                    let said = reply.expect(401).json();
                    assert_eq!(said["reason"], *reason, "{handlers}: {headers:?}");
                    assert_eq!(arrived.len(), 0, "{handlers}: {headers:?}");
                }
            }
        }
    }
}

#[test]
fn a_session_says_how_it_was_authenticated() {
    let played = played();
    let gate = played.gate("[chttpd]\nauthentication_handlers = cookie, authkey, default\n");
    let expected = json!({ "name": "keys,k", "roles": ["dev", "ops"] });
    for (target, headers) in [
        ("/_session", &[("X-Auth-Key", "keys,k")][..]),
        ("/_session?basic=true&auth_key=keys,k", &[]),
    ] {
        let reply = gate.get(target, headers).expect(200);
        assert!(reply.header("set-cookie").is_none(), "{reply:?}");
        let session = reply.json();
        assert_eq!(session["userCtx"], expected);
        assert_eq!(session["info"]["authenticated"], "authkey");
        let handlers = &session["info"]["authentication_handlers"];
        assert_eq!(*handlers, json!(["cookie", "authkey", "default"]));
    }
    gate.get("/_session?auth_key=keys,no", &[]).expect(401);
    assert_eq!(played.upstream.take().len(), 0);
}

/// Whoever has a key of a database cannot be a user of that name: it has no document.
#[test]
fn a_login_with_a_key_is_none() {
    let gate = played().gate("");
    let json = [("Content-Type", "application/json")];
    let login = br#"{"name":"keys,k","password":"keys,k"}"#;
    let reply = gate.request("POST", "/_session", &json, login).expect(401);
    assert_eq!(reply.json()["reason"], "Name or password is incorrect.");
    let basic = basic("keys,k", "k");
    gate.get("/db", &[("Authorization", &basic)]).expect(401);
}

#[test]
#[allow(clippy::float_cmp, reason = "metrics are counts")]
fn metrics_count_keys() {
    let played = played();
    let gate = played.gate("");
    let count = |handler: &str, class: &str| {
        let labels = format!("handler=\"{handler}\",status=\"{class}\"");
        gate.metric(&format!("couchgate_requests_total{{{labels}}}"))
    };
    let mut client = gate.connect();
    let mut send = |key| client.request("GET", "/db", &[("X-Auth-Key", key)], b"").status;
    assert_eq!(["keys,k", "keys,k", "keys,no", "keys,k"].map(&mut send), [200, 200, 401, 200]);
    let counts = || [count("authkey", "2xx"), count("none", "4xx"), count("authkey", "4xx")];
    eventually("all are counted", || (counts() == [3.0, 1.0, 0.0]).then_some(()));
}
