//! Errors of couchgate's own look like CouchDB's, with `WWW-Authenticate` exactly where CouchDB
//! sends it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::{SocketAddr, TcpListener};

use serde_json::json;
use support::{
    Connection, Gate, Recorder, Reply, basic,
    recorder::{Action, ok},
};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

fn upstream() -> Recorder {
    let upstream = Recorder::scripted(|request| match request.target.as_slice() {
        b"/closed" => Action::Close,
        b"/garbage" => Action::AnswerAndClose(b"+OK POP3 ready\r\n".to_vec()),
        _ => Action::Answer(ok(b"{}")),
    });
    upstream
        .user("jan", "apple", &["dev"])
        .user("comma", "apple", &["x,_admin"])
        .user_document(
            "cheap",
            json!({
                "roles": [], "password_scheme": "pbkdf2", "iterations": 0, "derived_key": "aa",
            }),
        )
        .user_document(
            "unknown-scheme",
            json!({
                "roles": [], "password_scheme": "bcrypt", "derived_key": "aa",
            }),
        )
        .user_document(
            "clash",
            json!({
                "roles": [], "password_sha": "aa", "salt": "s", "_conflicts": ["1-a"],
            }),
        );
    upstream.own(|request| {
        let is_unreadable = request.target.starts_with(b"/_users/org.couchdb.user:unreadable");
        is_unreadable.then_some(Action::Close)
    });
    upstream
}

/// Sends a head after its request line, which may bring its own `Host`.
fn ask(address: SocketAddr, request_line: &str, head: &str, body: &str) -> Reply {
    let mut connection = Connection::open(address);
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let host = if head.contains("Host:") || request_line.ends_with("1.0") {
        ""
    } else {
        "Host: couch\r\n"
    };
    let request = format!("{request_line}\r\n{host}{head}{length}\r\n{body}");
    connection.write(request.as_bytes()).unwrap();
    connection.reply(request_line.starts_with("HEAD ")).unwrap()
}

#[track_caller]
fn assert_shape(reply: &Reply, status: u16, error: &str, reason: &str, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert_eq!(reply.all("content-type"), ["application/json"], "{what}");
    assert_eq!(reply.all("cache-control"), ["must-revalidate"], "{what}");
    // CouchDB ends its JSON with a line feed.
    assert!(reply.body.ends_with(b"}\n"), "{what}: {reply:?}");
    assert_eq!(reply.json(), json!({ "error": error, "reason": reason }), "{what}");
}

#[test]
fn errors_have_couchdbs_shape() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let authorization = |name, password| format!("Authorization: {}\r\n", basic(name, password));
    let large = "x".repeat(64 * 1024 + 1);
    let long_head = format!("X-Other: {}\r\n", "x".repeat(70_000));
    let many_headers = "X-Other: x\r\n".repeat(200);
    let long_target = format!("GET /{} HTTP/1.1", "x".repeat(66_000));
    let login = "POST /_session HTTP/1.1";
    let wrong = "Name or password is incorrect.";
    let type_reason =
        "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'";
    let not_http = "The request is not valid HTTP/1.1.";
    let head_reason = "The request head is too large.";
    let one_host = "There must be one valid Host header.";
    let path_reason = "The request target must be a path.";
    #[rustfmt::skip]
    let rows: &[(&str, String, &str, u16, &str, &str)] = &[
        // Request line, head, body; status, error, reason.
        ("GET /db HTTP/1.1", "Host: a\r\nHost: b\r\n".into(), "", 400, "bad_request", one_host),
        ("GET /db HTTP/1.1", "Host: a b\r\n".into(), "", 400, "bad_request", one_host),
        ("GET /db HTTP/1.1", "X-Not-Host: a\r\nX-Host:\r\n".into(), "", 400, "bad_request", one_host),
        ("CONNECT couch:5984 HTTP/1.1", String::new(), "", 400, "bad_request", path_reason),
        ("GET http://couch/db HTTP/1.1", String::new(), "", 400, "bad_request", path_reason),
        ("OPTIONS * HTTP/1.1", String::new(), "", 400, "bad_request", path_reason),
        ("GET /db HTTP/1.1", "X Y: a\r\n".into(), "", 400, "bad_request", not_http),
        ("GET  /db HTTP/1.1", String::new(), "", 400, "bad_request", not_http),
        ("GET /db HTTP/1.1", "Authorization: Basic !!!!\r\n".into(), "", 400, "bad_request",
            "Authorization header has invalid base64 value"),
        ("GET /db HTTP/1.1", "Cookie: AuthSession=@@@\r\n".into(), "", 400, "bad_request",
            "Malformed AuthSession cookie. Please clear your cookies."),
        (login, FORM.into(), "password=apple", 400, "bad_request",
            "request body must contain a username"),
        (login, JSON.into(), "{\"name\":\"a\",\"username\":\"b\"}", 400, "bad_request",
            "request body contains different usernames"),
        (login, JSON.into(), "{name:", 400, "bad_request", "invalid UTF-8 JSON"),
        (&long_target, String::new(), "", 431, "bad_request", head_reason),
        ("GET /db HTTP/1.1", long_head, "", 431, "bad_request", head_reason),
        ("GET /db HTTP/1.1", many_headers, "", 431, "bad_request", head_reason),
        ("GET /db HTTP/1.1", authorization("jan", "wrong"), "", 401, "unauthorized", wrong),
        ("GET /db HTTP/1.0", authorization("jan", "wrong"), "", 401, "unauthorized", wrong),
        ("PUT /db/doc HTTP/1.1", authorization("nobody", "x"), "{}", 401, "unauthorized", wrong),
        ("GET /_session?basic=true HTTP/1.1", String::new(), "", 401, "unauthorized", "Please login."),
        (login, FORM.into(), "name=jan&password=wrong", 401, "unauthorized", wrong),
        ("GET /db HTTP/1.1", authorization("clash", "x"), "", 401, "unauthorized",
            "User document conflicts must be resolved before the document is used for authentication purposes."),
        ("GET /db HTTP/1.1", authorization("comma", "apple"), "", 403, "forbidden",
            "This user cannot be represented in a header: a role contains a comma."),
        ("GET /db HTTP/1.1", authorization("cheap", "x"), "", 403, "forbidden",
            "Iteration count is too low for this server"),
        ("GET /db HTTP/1.1", authorization("unknown-scheme", "x"), "", 403, "forbidden",
            "Password scheme is invalid"),
        ("PUT /_session HTTP/1.1", JSON.into(), "{}", 405, "method_not_allowed",
            "Only GET,HEAD,POST,DELETE allowed"),
        (login, FORM.into(), &large, 413, "too_large", "The request body exceeds 65536 bytes."),
        (login, "Content-Type: text/plain\r\n".into(), "name=jan", 415, "bad_content_type", type_reason),
        (login, String::new(), "name=jan", 415, "bad_content_type", type_reason),
        ("GET /closed HTTP/1.1", String::new(), "", 502, "bad_gateway",
            "CouchDB closed the connection or sent an invalid answer."),
        ("PUT /garbage HTTP/1.1", String::new(), "{}", 502, "bad_gateway",
            "CouchDB closed the connection or sent an invalid answer."),
        ("GET /db HTTP/1.1", authorization("unreadable", "x"), "", 503, "service_unavailable",
            "The authentication database cannot be read."),
    ];
    for (request_line, head, body, status, error, reason) in rows {
        let what = format!("{request_line:.60} {head:.60?} {body:.60?}");
        let reply = ask(gate.address, request_line, head, body);
        assert_shape(&reply, *status, error, reason, &what);
        assert_eq!(reply.all("www-authenticate"), [""; 0], "{what}");
        let allow: &[&str] = if *status == 405 { &["GET,HEAD,POST,DELETE"] } else { &[] };
        assert_eq!(reply.all("allow"), allow, "{what}");
    }
}

#[test]
fn an_upstream_that_is_down_is_an_error_in_the_same_shape() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!("http://{free}"), "");
    let reply = ask(gate.address, "GET /db HTTP/1.1", "", "");
    assert_shape(&reply, 502, "bad_gateway", "CouchDB cannot be reached.", "down");
}

#[test]
fn a_target_that_is_too_long_is_an_error_in_the_same_shape() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "[couchgate]\nmax_head_size = 200000\n");
    let request_line = format!("GET /{} HTTP/1.1", "x".repeat(66_000));
    let reply = ask(gate.address, &request_line, "", "");
    assert_shape(&reply, 414, "bad_request", "The request target is too long.", "long");
}

#[test]
fn a_body_that_does_not_arrive_is_an_error_in_the_same_shape() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "[couchgate]\nbody_timeout = 1\n");
    let mut connection = gate.connect();
    connection.write(b"PUT /db/doc HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{").unwrap();
    let reply = connection.reply(false).unwrap();
    assert_shape(&reply, 408, "timeout", "The request body did not arrive in time.", "body");
    assert_eq!(connection.rest().unwrap(), b"", "where the next request begins is not known");
}

#[test]
fn errors_of_the_admin_listener_have_the_same_shape() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let reason = "There are /healthz, /readyz and /metrics.";
    for target in ["/", "/nothing", "/_session", "/healthz/"] {
        let reply = ask(gate.admin, &format!("GET {target} HTTP/1.1"), "", "");
        assert_shape(&reply, 404, "not_found", reason, target);
    }
    let reply = ask(gate.admin, "POST /healthz HTTP/1.1", "", "{}");
    assert_shape(&reply, 405, "method_not_allowed", "Only GET,HEAD allowed", "POST");
    assert_eq!(reply.all("allow"), ["GET,HEAD"]);
}

#[test]
fn a_head_request_gets_the_error_without_its_body() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for (target, headers, status) in [
        ("/db", [("Authorization", basic("jan", "wrong"))], 401),
        ("/db", [("Cookie", "AuthSession=@@@".to_owned())], 400),
        ("/closed", [("X-Other", String::new())], 502),
    ] {
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let mut connection = gate.connect();
        let reply = connection.request("HEAD", target, &headers, b"");
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        // Whatever followed the head would be taken for the next answer.
        connection.request("GET", "/db", &[], b"").expect(200);
    }
}

#[test]
fn who_must_log_in_is_told_how_as_couchdb_tells() {
    let upstream = upstream();
    let required = "[chttpd]\nrequire_valid_user = true\n";
    let except_up = "[chttpd]\nrequire_valid_user_except_for_up = true\n";
    let both = "[chttpd]\nrequire_valid_user = true\nWWW-Authenticate = Bearer realm=\"sso\"\n";
    let configured = "[chttpd]\nWWW-Authenticate = Basic realm=\"administrator\"\n";
    let server = Some("Basic realm=\"server\"");
    let wrong = format!("Authorization: {}\r\n", basic("jan", "wrong"));
    let wanted = "X-CouchDB-WWW-Authenticate: Cookie\r\n";
    let needed = "Authentication required.";
    let incorrect = "Name or password is incorrect.";
    #[rustfmt::skip]
    let rows: &[(&str, &str, String, &str, Option<&str>)] = &[
        ("", "/_session?basic=true", String::new(), "Please login.", None),
        ("", "/db", wrong.clone(), incorrect, None),
        ("", "/db", format!("{wrong}{wanted}"), incorrect, Some("Cookie")),
        (required, "/", String::new(), needed, server),
        (required, "/_up", String::new(), needed, server),
        (required, "/_session", String::new(), needed, server),
        (required, "/_utils/", "Accept: text/html\r\n".into(), needed, server),
        (required, "/db", wrong.clone(), incorrect, server),
        (required, "/db", wanted.into(), needed, Some("Cookie")),
        (except_up, "/", String::new(), needed, None),
        (except_up, "/_up/x", String::new(), needed, None),
        (except_up, "/_up", wrong.clone(), incorrect, None),
        (configured, "/db", wrong.clone(), incorrect, Some("Basic realm=\"administrator\"")),
        (both, "/db", String::new(), needed, Some("Bearer realm=\"sso\"")),
    ];
    for ini in ["", required, except_up, configured, both] {
        let gate = Gate::start(&upstream.url, ini);
        let rows = rows.iter().filter(|row| row.0 == ini);
        for (_, target, head, reason, challenge) in rows {
            let what = format!("{ini:?} {target} {head:?}");
            let reply = ask(gate.address, &format!("GET {target} HTTP/1.1"), head, "");
            assert_shape(&reply, 401, "unauthorized", reason, &what);
            let expected: Vec<&str> = challenge.iter().copied().collect();
            assert_eq!(reply.all("www-authenticate"), expected, "{what}");
        }
        // No other error asks for a login.
        for head in
            ["Cookie: AuthSession=@@@\r\n", "Authorization: Basic !!!!\r\n", "Host: a b\r\n"]
        {
            let reply = ask(gate.address, "GET /db HTTP/1.1", head, "");
            assert_eq!((reply.status, reply.all("www-authenticate").len()), (400, 0), "{head:?}");
        }
    }
    assert_eq!(upstream.take().len(), 0);
}
