//! Answers come back as CouchDB gave them, and its connections are used again.

use super::support::{
    Gate, Recorder, eventually,
    recorder::{Action, Recorded},
};

/// The length of the body in the head, and no body where there must be none.
pub(crate) fn sized(request: &Recorded, body: &str) -> Vec<u8> {
    let sent = if request.method == "HEAD" { "" } else { body };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sent}", body.len()).into_bytes()
}

const HELLO: &str = "hello, world";

/// Answers by its path.
fn shapes(request: &Recorded) -> Action {
    let body = if request.method == "HEAD" { "" } else { HELLO };
    let chunks =
        if request.method == "HEAD" { "" } else { "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n" };
    let answer = match &request.target[..] {
        b"/length" => sized(request, HELLO),
        b"/empty" => sized(request, ""),
        b"/chunks" => {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
        }
        b"/trailers" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            c\r\nhello, world\r\n0\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n"
            .into(),
        b"/204" => "HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n".into(),
        b"/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 12\r\n\r\n".into(),
        b"/1xx" => {
            let answer = sized(request, HELLO);
            [b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", &answer[..]].concat()
        }
        b"/close" => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: 12\r\n\r\n{body}");
            return Action::AnswerAndClose(answer.into_bytes());
        }
        b"/until-close" => {
            return Action::AnswerAndClose(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes());
        }
        b"/1.0" => {
            let head = "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n";
            return Action::AnswerAndClose(format!("{head}\r\n{body}").into_bytes());
        }
        other => panic!("{}", other.escape_ascii()),
    };
    Action::Answer(answer)
}

const WITH_BODY: [&str; 7] =
    ["/length", "/chunks", "/trailers", "/1xx", "/close", "/until-close", "/1.0"];

#[test]
fn answers_of_every_framing_come_back_on_one_connection() {
    let upstream = Recorder::scripted(shapes);
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    for target in WITH_BODY {
        let reply = connection.request("GET", target, &[], b"").expect(200);
        assert_eq!(reply.body, HELLO.as_bytes(), "{target}");
        let length = matches!(target, "/length" | "/1xx" | "/close" | "/1.0").then_some("12");
        assert_eq!(reply.header("content-length"), length, "{target}");
        assert!(reply.header("connection").is_none(), "{target}");
        assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("x-auth")), "{target}");
    }
    for (method, target, status, length) in [
        ("HEAD", "/length", 200, Some("12")),
        ("HEAD", "/empty", 200, Some("0")),
        ("HEAD", "/chunks", 200, None),
        ("HEAD", "/close", 200, Some("12")),
        ("GET", "/empty", 200, Some("0")),
        ("GET", "/204", 204, None),
        ("HEAD", "/204", 204, None),
    ] {
        let reply = connection.request(method, target, &[], b"").expect(status);
        assert!(reply.body.is_empty(), "{method} {target}");
        assert_eq!(reply.header("content-length"), length, "{method} {target}");
    }
    let reply = connection.request("GET", "/304", &[], b"").expect(304);
    assert_eq!(reply.header("etag"), Some("\"x\""));
}

#[test]
fn a_connection_to_couchdb_carries_one_request_after_the_other() {
    let upstream = Recorder::scripted(shapes);
    let gate = Gate::start(&upstream.url, "");
    for (method, target) in [
        ("HEAD", "/length"),
        ("GET", "/chunks"),
        ("GET", "/304"),
        ("HEAD", "/304"),
        ("GET", "/204"),
        ("HEAD", "/chunks"),
        ("GET", "/trailers"),
        ("POST", "/empty"),
        ("GET", "/1xx"),
        ("DELETE", "/length"),
        ("GET", "/length"),
    ] {
        // A client of its own each time: it is couchgate that keeps the connection. What couchgate
        // itself asks CouchDB may be quicker and take it, but not always.
        eventually("the connection is used again", || {
            let reply = gate.request(method, target, &[], b"");
            assert!(reply.status < 400, "{method} {target}: {reply:?}");
            let carried = upstream.only().connection;
            gate.get("/length", &[]).expect(200);
            (upstream.only().connection == carried).then_some(())
        });
    }
    for target in ["/close", "/until-close", "/1.0"] {
        gate.get(target, &[]).expect(200);
        let last = upstream.only().connection;
        gate.request("POST", "/length", &[], b"x").expect(200);
        assert_ne!(upstream.only().connection, last, "{target}");
    }
}

#[test]
fn a_client_of_http_1_0_gets_what_it_understands() {
    let upstream = Recorder::scripted(shapes);
    let gate = Gate::start(&upstream.url, "");
    for target in WITH_BODY {
        let mut connection = gate.connect();
        connection.write(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let answer = String::from_utf8(connection.rest().unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, HELLO, "{target}");
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(!head.contains("chunked"), "{head}");
        // RFC 9110 section 7.2: there must be a Host in what couchgate says as HTTP/1.1.
        assert_eq!(upstream.only().all("host"), [upstream.address.to_string().as_bytes()]);
    }
    let mut connection = gate.connect();
    for _ in 0..2 {
        connection.write(b"GET /length HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let reply = connection.reply(false).unwrap();
        assert_eq!(reply.header("connection"), Some("keep-alive"));
        assert_eq!(reply.body, HELLO.as_bytes());
    }
}

#[test]
fn headers_of_answers_pass_unless_they_concern_the_connection() {
    const PASSING: [(&str, &str); 12] = [
        ("set-cookie", "a=b; Path=/"),
        ("set-cookie", "c=d; Expires=Sun, 22 Nov 2026 13:00:00 GMT"),
        ("set-cookie", "AuthSession=x; Version=1"),
        ("etag", "\"1-967a00dff5e02add41819138abb3284d\""),
        ("location", "http://couch.example:5984/db/doc"),
        ("cache-control", "must-revalidate"),
        ("www-authenticate", "Basic realm=\"server\""),
        ("server", "CouchDB/3.5.0 (Erlang OTP/26)"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("x-couchdb-body-time", "0"),
        ("x-empty", ""),
        ("content-length", "2"),
    ];
    let upstream = Recorder::scripted(|_| {
        let hop_by_hop = "Connection: keep-alive, X-Named\r\nKeep-Alive: timeout=9\r\nX-Named: x\r\n\
             Proxy-Authenticate: Basic\r\nTrailer: X-Later\r\nUpgrade: h2c\r\nTE: x\r\n";
        let passing = PASSING.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        Action::Answer(format!("HTTP/1.1 201 Created\r\n{passing}{hop_by_hop}\r\n{{}}").into())
    });
    let gate = Gate::start(&upstream.url, "");
    let mut reply = gate.get("/", &[]).expect(201);
    reply.headers.retain(|(name, _)| name != "x-couch-request-id");
    reply.headers.sort();
    let mut passing = PASSING.map(|(name, value)| (name.to_owned(), value.to_owned()));
    passing.sort();
    assert_eq!(reply.headers, passing);
}

/// CouchDB's id of an answer of its own wins: it stands in CouchDB's log.
#[test]
fn an_id_of_couchdbs_own_is_not_replaced() {
    let answer = "HTTP/1.1 200 OK\r\nX-Couch-Request-ID: couchs\r\nContent-Length: 0\r\n\r\n";
    let upstream = Recorder::scripted(move |_| Action::Answer(answer.into()));
    let gate = Gate::start(&upstream.url, "");
    let reply = gate.get("/", &[("X-Couch-Request-ID", "mine")]).expect(200);
    assert_eq!(reply.all("x-couch-request-id"), ["couchs"]);
}
