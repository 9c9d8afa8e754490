//! OAuth among the other handlers: the first that finds a credential decides, and a signature that
//! is wrong ends the request, whatever else comes with it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::{
    Gate, Recorder, Reply, SECRET, basic,
    oauth::{FORM, INI, Request},
    recorder::{Recorded, simple_user},
    sign::{session_cookie, token},
};

const HANDLERS: [&str; 4] = ["oauth", "cookie", "proxy", "default"];

fn upstream() -> Recorder {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]).user("kim", "cherry", &[]).user("pomme", "pear", &[]);
    upstream
}

fn start(upstream: &Recorder, handlers: &str, ini: &str) -> Gate {
    let chain = format!("{INI}[chttpd]\nauthentication_handlers = {handlers}\n{ini}");
    Gate::start(&upstream.url, &chain)
}

/// All orders of the handlers.
fn orders() -> Vec<Vec<&'static str>> {
    let mut orders = vec![Vec::new()];
    for _ in HANDLERS {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<&str>| {
                let next = HANDLERS.into_iter().filter(|handler| !order.contains(handler));
                next.map(|handler| [&order[..], &[handler]].concat())
            })
            .collect();
    }
    orders
}

fn wrong(mut request: Request) -> Request {
    "guessed".clone_into(&mut request.token_secret);
    request
}

/// What reached CouchDB has nobody's credentials in it; whom CouchDB heard of.
#[track_caller]
fn heard(request: &Recorded, what: &str) -> Option<String> {
    for credential in ["authorization", "cookie"] {
        assert!(request.folded(credential).is_empty(), "{what}: {request:?}");
    }
    assert!(!String::from_utf8_lossy(&request.target).contains("oauth_"), "{what}: {request:?}");
    let names = request.folded("x-auth-couchdb-username");
    assert!(names.len() <= 1, "{what}: {request:?}");
    assert_eq!(request.folded("x-auth-couchdb-token").len(), names.len(), "{what}: {request:?}");
    names.first().map(|name| String::from_utf8(name.to_vec()).unwrap())
}

#[track_caller]
fn assert_wrong(upstream: &Recorder, reply: &Reply, what: &str) {
    assert_eq!(reply.status, 401, "{what}: {reply:?}");
    let expected = json!({ "error": "unauthorized", "reason": "Invalid OAuth signature." });
    assert_eq!(reply.json(), expected, "{what}");
    assert!(reply.header("set-cookie").is_none(), "{what}: {reply:?}");
    assert_eq!(upstream.take().len(), 0, "{what}");
}

#[test]
fn the_first_handler_that_finds_a_credential_decides() {
    let upstream = upstream();
    let cookie = format!("AuthSession={}", session_cookie(SECRET, "salt", "kim", 300, "sha256"));
    let (pomme, front) = (basic("pomme", "pear"), token(SECRET, "front"));
    let others = [
        ("Cookie", cookie.as_str()),
        ("X-Auth-CouchDB-UserName", "front"),
        ("X-Auth-CouchDB-Token", &front),
    ];
    for order in orders() {
        let gate = start(&upstream, &order.join(", "), "");
        let winner_of = |first: &str| match first {
            "oauth" => "jan",
            "cookie" => "kim",
            "proxy" => "front",
            _ => "pomme",
        };
        // In the query, beside everything else.
        let all = [&others[..], &[("Authorization", pomme.as_str())]].concat();
        gate.get(&Request::get("/db").in_query(), &all).expect(200);
        let user = heard(&upstream.only(), &format!("{order:?}"));
        assert_eq!(user.as_deref(), Some(winner_of(order[0])), "{order:?}");
        let reply = gate.get(&wrong(Request::get("/db")).in_query(), &all);
        if order[0] == "oauth" {
            assert_wrong(&upstream, &reply, &format!("{order:?}"));
        } else {
            reply.expect(200);
            let user = heard(&upstream.only(), &format!("{order:?}"));
            assert_eq!(user.as_deref(), Some(winner_of(order[0])), "{order:?}");
        }

        // In the header, in the place of Basic.
        let first = order.iter().find(|handler| **handler != "default").unwrap();
        for (signed, is_wrong) in [(Request::get("/db"), false), (wrong(Request::get("/db")), true)]
        {
            let signed = signed.header();
            let all = [&others[..], &[("Authorization", signed.as_str())]].concat();
            let reply = gate.get("/db", &all);
            if *first == "oauth" && is_wrong {
                assert_wrong(&upstream, &reply, &format!("{order:?}"));
            } else {
                reply.expect(200);
                let user = heard(&upstream.only(), &format!("{order:?}"));
                assert_eq!(user.as_deref(), Some(winner_of(first)), "{order:?}");
            }
        }
    }
}

#[test]
fn a_wrong_signature_is_nobodys_wherever_its_handler_stands() {
    let upstream = upstream();
    let stale = format!("AuthSession={}", session_cookie(SECRET, "salt", "kim", 700, "sha256"));
    let forged = token("another secret", "front");
    // All that proves nothing, and blocks nobody.
    let others = [
        ("Cookie", stale.as_str()),
        ("X-Auth-CouchDB-UserName", "front"),
        ("X-Auth-CouchDB-Roles", "_admin"),
        ("X-Auth-CouchDB-Token", &forged),
    ];
    for order in orders() {
        let gate = start(&upstream, &order.join(", "), "");
        for others in [&[][..], &others] {
            let what = format!("{order:?} with {}", others.len());
            let signed = wrong(Request::new("POST", "/db"));
            let header = signed.header();
            let own = [others, &[("Authorization", header.as_str())]].concat();
            assert_wrong(&upstream, &gate.request("POST", "/db", &own, b""), &what);
            assert_wrong(&upstream, &gate.request("POST", &signed.in_query(), others, b""), &what);
            let form = wrong(Request::post("/db", "a=b")).in_form();
            let own = [others, &[FORM]].concat();
            assert_wrong(&upstream, &gate.request("POST", "/db", &own, form.as_bytes()), &what);

            let right = Request::new("POST", "/db").header();
            let own = [others, &[("Authorization", right.as_str())]].concat();
            gate.request("POST", "/db", &own, b"").expect(200);
            assert_eq!(heard(&upstream.only(), &what).as_deref(), Some("jan"), "{what}");
        }
        // A wrong password is as final as a wrong signature.
        let guessed = [("Authorization", &*basic("pomme", "guessed"))];
        let reply = gate.get(&Request::get("/db").in_query(), &guessed);
        let at = |name| order.iter().position(|handler| *handler == name);
        if at("default") < at("oauth") {
            assert_eq!(reply.expect(401).json()["reason"], "Name or password is incorrect.");
            assert_eq!(upstream.take().len(), 0);
        } else {
            reply.expect(200);
            assert_eq!(heard(&upstream.only(), "Basic").as_deref(), Some("jan"));
        }
    }
}

#[test]
fn a_wrong_signature_opens_nothing_that_is_open() {
    let upstream = upstream();
    for ini in [
        "",
        "[chttpd]\nrequire_valid_user = true\n",
        "[chttpd]\nrequire_valid_user_except_for_up = true\n",
    ] {
        let gate = start(&upstream, "oauth, default", ini);
        for (method, target) in [
            ("GET", "/"),
            ("GET", "/_up"),
            ("GET", "/_session"),
            ("POST", "/_session"),
            ("HEAD", "/db"),
            ("GET", "/_oauth/request_token"),
        ] {
            let authorization = wrong(Request::new(method, target)).header();
            let headers = [("Authorization", authorization.as_str())];
            let reply = gate.request(method, target, &headers, b"");
            assert_eq!(reply.status, 401, "{method} {target} {ini}: {reply:?}");
            let challenge = ini.contains("user = true").then_some("Basic realm=\"server\"");
            assert_eq!(reply.header("www-authenticate"), challenge, "{method} {target} {ini}");
        }
        let preflight = [
            ("Origin", "https://example.org"),
            ("Access-Control-Request-Method", "PUT"),
            ("Authorization", &wrong(Request::new("OPTIONS", "/db")).header()),
        ];
        gate.request("OPTIONS", "/db", &preflight, b"").expect(401);
        assert_eq!(upstream.take().len(), 0, "{ini}");
    }
}

#[test]
fn without_the_handler_its_parameters_stop_all_the_same() {
    let upstream = upstream();
    let gate = start(&upstream, "cookie, default", "");
    for signed in [Request::get("/db?a=b"), wrong(Request::get("/db?a=b"))] {
        gate.get(&signed.in_query(), &[]).expect(200);
        let request = upstream.only();
        assert_eq!(request.target, b"/db?a=b");
        assert_eq!(heard(&request, "query"), None);
        gate.get("/db", &[("Authorization", &signed.header())]).expect(200);
        assert_eq!(heard(&upstream.only(), "header"), None);
        let pomme = basic("pomme", "pear");
        gate.get(&signed.in_query(), &[("Authorization", &pomme)]).expect(200);
        assert_eq!(heard(&upstream.only(), "Basic").as_deref(), Some("pomme"));
    }
    // Nor is a form's size its business.
    let form = [b"oauth_consumer_key=key&a=".as_slice(), &vec![b'x'; 100_000]].concat();
    gate.request("POST", "/db", &[FORM], &form).expect(200);
    assert!(upstream.only().body == form);
}

/// Roles, or a status and how its reason begins.
type Worth = Result<&'static [u8], (u16, &'static str)>;

#[test]
fn a_token_is_worth_what_its_user_is() {
    let upstream = upstream();
    let mut conflicted = simple_user("conflicted", "apple", &["dev"]);
    conflicted["_conflicts"] = json!(["1-a"]);
    upstream
        .user_document("conflicted", conflicted)
        .user("unrepresentable", "apple", &["x,_admin"])
        .user_document("malformed", json!({ "roles": "_admin" }))
        .user("root", "apple", &["ops"])
        .admins(json!({ "root": "-hashed-aa,salt", "other": "-hashed-aa,salt" }));
    let conflict = "User document conflicts must be resolved before the document is used for \
                    authentication purposes.";
    let missing = "The user of this OAuth token does not exist.";
    let rows: &[(&str, Worth)] = &[
        ("jan", Ok(b"dev")),
        ("root", Ok(b"_admin,ops")),
        ("other", Ok(b"_admin")),
        ("nobody", Err((401, missing))),
        ("malformed", Err((401, missing))),
        ("Jan", Err((401, missing))),
        ("conflicted", Err((401, conflict))),
        ("unrepresentable", Err((403, "This user cannot be represented in a header"))),
    ];
    let users =
        rows.iter().map(|(name, _)| format!("t-{name} = {name}\n")).collect::<Vec<_>>().concat();
    let secrets =
        rows.iter().map(|(name, _)| format!("t-{name} = s\n")).collect::<Vec<_>>().concat();
    let ini = format!("[oauth_token_users]\n{users}[oauth_token_secrets]\n{secrets}");
    let gate = start(&upstream, "oauth", &ini);
    for (name, expected) in rows {
        let token = format!("t-{name}");
        let signed = Request::get("/db").of(["key", "consumer&secret"], [&token, "s"]);
        let reply = gate.get("/db", &[("Authorization", &signed.header())]);
        match expected {
            Ok(roles) => {
                reply.expect(200);
                let request = upstream.only();
                assert_eq!(request.all("x-auth-couchdb-username"), [name.as_bytes()]);
                assert_eq!(request.all("x-auth-couchdb-roles"), [*roles], "{name}");
            }
            Err((status, reason)) => {
                assert_eq!(reply.status, *status, "{name}: {reply:?}");
                let said = reply.json()["reason"].as_str().unwrap().to_owned();
                assert!(said.starts_with(reason), "{name}: {said}");
                assert_eq!(upstream.take().len(), 0, "{name}");
            }
        }
        // What the user is, is told only to who signs right.
        let guessed = wrong(signed).set("oauth_nonce", "another").header();
        assert_wrong(&upstream, &gate.get("/db", &[("Authorization", &guessed)]), name);
    }
}

#[test]
fn there_is_no_three_legged_oauth() {
    let upstream = upstream();
    let gate = start(&upstream, "oauth, default", "");
    let reason = "There is no three-legged OAuth here: tokens are given out by the operator.";
    for target in
        ["/_oauth/request_token", "/_oauth/access_token?a=b", "//_oauth/x", "/%5Foauth", "/_oauth"]
    {
        for (method, authorization) in
            [("GET", Some(Request::get(target).header())), ("GET", None), ("POST", None)]
        {
            let headers: Vec<_> =
                authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
            let reply = gate.request(method, target, &headers, b"").expect(404);
            assert_eq!(reply.json(), json!({ "error": "not_found", "reason": reason }));
        }
    }
    assert_eq!(upstream.take().len(), 0);
}
