//! One door for identity: who a client says he is never reaches CouchDB, in no spelling and from no
//! position in a request; what couchgate says reaches it once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "laws/spoofs.rs"]
mod spoofs;
mod support;

use spoofs::{POSITIONS, REFUSED, SPELLINGS};
use support::{
    Connection, Gate, Recorder, SECRET, basic,
    recorder::{Recorded, simple_user},
    sign::{session_cookie, token},
};

const USERNAME: &str = "X-Auth-CouchDB-UserName";
const ROLES: &str = "X-Auth-CouchDB-Roles";
const TOKEN: &str = "X-Auth-CouchDB-Token";

/// How a client says who he is, and whether couchgate then knows him as jan.
struct Credential {
    line: String,
    is_jan: bool,
}

fn credentials() -> [Credential; 4] {
    let cookie = session_cookie(SECRET, "salt", "jan", 5, "sha256");
    [
        Credential { line: String::new(), is_jan: false },
        // A browser that was logged out.
        Credential { line: "Cookie: AuthSession=\r\n".to_owned(), is_jan: false },
        Credential { line: format!("Authorization: {}\r\n", basic("jan", "apple")), is_jan: true },
        Credential { line: format!("Cookie: AuthSession={cookie}\r\n"), is_jan: true },
    ]
}

fn upstream_with_jan() -> Recorder {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev", "ops"]);
    upstream
}

fn send(gate: &Gate, request: &str) -> support::Reply {
    let mut connection = gate.connect();
    connection.write(request.as_bytes()).unwrap();
    connection.reply(request.starts_with("HEAD ")).unwrap()
}

/// Upstream hears of jan once, or of nobody.
#[track_caller]
fn assert_told(request: &Recorded, is_jan: bool, what: &str) {
    let token = token(SECRET, "jan");
    let said = |value: &'static str| if is_jan { vec![value.as_bytes()] } else { Vec::new() };
    assert_eq!(request.folded(USERNAME), said("jan"), "{what}: {request:?}");
    assert_eq!(request.folded(ROLES), said("dev,ops"), "{what}: {request:?}");
    let tokens = if is_jan { vec![token.as_bytes()] } else { Vec::new() };
    assert_eq!(request.folded(TOKEN), tokens, "{what}: {request:?}");
    assert_eq!(request.folded("x-forwarded-for"), [b"127.0.0.1"], "{what}: {request:?}");
}

#[test]
fn a_user_is_told_to_couchdb_once() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    gate.get("/db/doc?x=1", &[("Authorization", &basic("jan", "apple"))]).expect(200);
    let request = upstream.only();
    assert_eq!(request.target, b"/db/doc?x=1");
    assert_told(&request, true, "basic");
    assert!(request.all("authorization").is_empty());
}

#[test]
fn no_spelling_of_an_identity_header_passes() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    for spelling in SPELLINGS {
        for Credential { line, is_jan } in credentials() {
            // Before the credential and behind it.
            for head in [format!("{spelling}{line}"), format!("{line}{spelling}")] {
                let what = format!("{head:?}");
                let request = format!("GET /db/doc HTTP/1.1\r\nHost: couch\r\n{head}\r\n");
                assert_eq!(send(&gate, &request).status, 200, "{what}");
                assert_told(&upstream.only(), is_jan, &what);
            }
        }
    }
}

#[test]
fn an_identity_header_passes_from_no_position() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    for (request_line, head, body) in POSITIONS {
        for Credential { line, is_jan } in credentials() {
            let what = format!("{request_line:?} {head:?} {line:?}");
            let request = format!("{request_line}\r\nHost: couch\r\n{line}{head}\r\n{body}");
            assert_eq!(send(&gate, &request).status, 200, "{what}");
            let arrived = upstream.only();
            assert_told(&arrived, is_jan, &what);
            assert!(request.starts_with(&arrived.method), "{what}");
        }
    }
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    for head in REFUSED {
        for Credential { line, .. } in credentials() {
            let what = format!("{head:?} {line:?}");
            let request = format!("GET /db/doc HTTP/1.1\r\nHost: couch\r\n{line}{head}\r\n");
            let mut connection = gate.connect();
            connection.write(request.as_bytes()).unwrap();
            let reply = connection.reply(false).unwrap();
            assert_eq!(reply.status, 400, "{what}: {reply:?}");
            assert_eq!(reply.json()["error"], "bad_request", "{what}");
            // Nothing that follows such a head on the connection may be taken for a request.
            assert_eq!(connection.rest().unwrap(), b"", "{what}");
            assert_eq!(upstream.take().len(), 0, "{what}");
        }
    }
}

#[test]
fn configured_names_are_the_ones_that_do_not_pass() {
    let upstream = upstream_with_jan();
    let names = "[chttpd_auth]\nx_auth_username = X-Company_User\nx_auth_roles = x-company-roles\n\
                 x_auth_token = X-Company-Token\n[couchgate]\nadmins_from_upstream = false\n";
    // The recorder knows couchgate's own requests by CouchDB's names, so it is asked for users.
    upstream.own(|request| {
        let is_jan = request.target.starts_with(b"/_users/org.couchdb.user:jan");
        let jan = simple_user("jan", "apple", &["dev", "ops"]).to_string();
        is_jan.then(|| support::recorder::Action::Answer(support::recorder::ok(jan.as_bytes())))
    });
    let gate = Gate::start(&upstream.url, names);
    for head in [
        "X-Company-User: root\r\nX-Company-Roles: _admin\r\nX-Company-Token: 00\r\n",
        "x_company_user: root\r\nX_COMPANY_ROLES: _admin\r\nx_company-token: 00\r\n",
        "X-Company_User: root\r\nX-Company-User: root\r\nX-Company-Roles: a\r\nX-Company-Roles: b\r\n",
        "Connection: X-Company_User, X-Company-Roles\r\nX-Company_User: root\r\n",
    ] {
        for Credential { line, is_jan } in credentials() {
            let what = format!("{head:?} {line:?}");
            let request = format!("GET /db HTTP/1.1\r\nHost: couch\r\n{line}{head}\r\n");
            assert_eq!(send(&gate, &request).status, 200, "{what}");
            let arrived: Vec<_> =
                upstream.take().into_iter().filter(|request| request.target == b"/db").collect();
            let [arrived] = &arrived[..] else { panic!("{what}: {arrived:?}") };
            let (user, roles, tokens) = (
                arrived.folded("x-company-user"),
                arrived.folded("x-company-roles"),
                arrived.folded("x-company-token"),
            );
            if is_jan {
                assert_eq!((user, roles), (vec![&b"jan"[..]], vec![&b"dev,ops"[..]]), "{what}");
                assert_eq!(tokens, [token(SECRET, "jan").as_bytes()], "{what}");
            } else {
                assert_eq!((user.len(), roles.len(), tokens.len()), (0, 0, 0), "{what}");
            }
        }
    }
}

#[test]
fn a_signed_user_of_a_front_end_is_told_once() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    let signed = token(SECRET, "jan");
    let user = format!("{USERNAME}: jan\r\n{TOKEN}: {signed}\r\n{ROLES}: dev , ops,\r\n");
    for extra in ["", "X_Auth_CouchDB_Roles: _admin\r\n", "Connection: X-Auth-CouchDB-Roles\r\n"] {
        for head in [format!("{user}{extra}"), format!("{extra}{user}")] {
            let request = format!("GET /db HTTP/1.1\r\nHost: couch\r\n{head}\r\n");
            assert_eq!(send(&gate, &request).status, 200, "{head:?}");
            assert_told(&upstream.only(), true, &head);
        }
    }
    // Which of two names or roles the front end meant cannot be known.
    for twice in [format!("{USERNAME}: root\r\n"), format!("{TOKEN}: {signed}\r\n")] {
        let request = format!("GET /db HTTP/1.1\r\nHost: couch\r\n{user}{twice}\r\n");
        assert_eq!(send(&gate, &request).status, 200, "{twice:?}");
        assert_told(&upstream.only(), false, &twice);
    }
}

#[test]
fn requests_on_one_connection_share_no_identity() {
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    let jan =
        format!("GET /1 HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n", basic("jan", "apple"));
    let anonymous = "GET /2 HTTP/1.1\r\nHost: a\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n";
    let mut connection = Connection::open(gate.address);
    connection.write(format!("{jan}{anonymous}{jan}{anonymous}").as_bytes()).unwrap();
    for _ in 0..4 {
        connection.reply(false).unwrap().expect(200);
    }
    let arrived = upstream.take();
    assert_eq!(arrived.len(), 4);
    for request in &arrived {
        assert_told(request, request.target == b"/1", "pipelined");
    }
}

#[test]
fn what_couchdb_believes_of_a_front_end_is_not_a_clients_to_say() {
    const BELIEVED: &[(&str, &str)] = &[
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Ssl", "on"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-CouchDB-Vhost-Path", "/_users"),
        ("X-CouchDB-Requested-Path", "/_users"),
    ];
    let upstream = upstream_with_jan();
    let gate = Gate::start(&upstream.url, "");
    for (name, value) in BELIEVED {
        let folded = name.replace('-', "_");
        for spelling in [(*name).to_owned(), name.to_lowercase(), folded.to_uppercase(), folded] {
            for Credential { line, is_jan } in credentials() {
                let head = format!("{spelling}: {value}\r\n{spelling}: {value}\r\n{line}");
                let request = format!("POST /db HTTP/1.1\r\nHost: couch\r\n{head}\r\n");
                send(&gate, &request).expect(200);
                let arrived = upstream.only();
                assert_told(&arrived, is_jan, &spelling);
                assert_eq!(arrived.folded(name), [b""; 0], "{spelling}");
                assert_eq!(arrived.method, "POST");
            }
        }
    }
}

#[test]
fn the_clients_address_is_couchgates_to_say() {
    let upstream = upstream_with_jan();
    let spellings = [
        "X-Forwarded-For: 6.6.6.6\r\n",
        "X_Forwarded_For: 6.6.6.6\r\n",
        "x-forwarded-for: 6.6.6.6\r\nX-FORWARDED-FOR: 7.7.7.7\r\n",
        "Connection: X-Forwarded-For\r\nX-Forwarded-For: 6.6.6.6\r\n",
    ];
    let gate = Gate::start(&upstream.url, "");
    for spelling in spellings {
        send(&gate, &format!("GET /db HTTP/1.1\r\nHost: couch\r\n{spelling}\r\n")).expect(200);
        assert_told(&upstream.only(), false, spelling);
    }

    let behind = Gate::start(&upstream.url, "[couchgate]\ntrusted_proxies = 127.0.0.0/8\n");
    for (head, address, proto) in [
        ("", "127.0.0.1", None),
        ("X-Forwarded-For: 6.6.6.6\r\n", "6.6.6.6", None),
        (
            "X-Forwarded-For: 5.5.5.5, 6.6.6.6\r\nX-Forwarded-Proto: https\r\n",
            "6.6.6.6",
            Some("https"),
        ),
        ("X-Forwarded-For: 5.5.5.5\r\nX-Forwarded-For: 6.6.6.6, 127.0.0.2\r\n", "6.6.6.6", None),
        ("X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Ssl: on\r\n", "127.0.0.1", None),
    ] {
        send(&behind, &format!("GET /db HTTP/1.1\r\nHost: couch\r\n{head}\r\n")).expect(200);
        let arrived = upstream.only();
        assert_eq!(arrived.folded("x-forwarded-for"), [address.as_bytes()], "{head:?}");
        let proto: Vec<&[u8]> = proto.into_iter().map(str::as_bytes).collect();
        assert_eq!(arrived.folded("x-forwarded-proto"), proto, "{head:?}");
        assert_eq!(arrived.folded("x-forwarded-ssl"), [b""; 0], "{head:?}");
    }
}
