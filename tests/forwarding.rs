//! What passes: targets, methods, bodies and headers, unchanged but for what concerns one connection only.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "forwarding/answers.rs"]
mod answers;
#[path = "forwarding/couchdb.rs"]
mod couchdb;
mod support;

use support::{Connection, Gate, Recorder, Reply, basic, recorder::Action};

#[test]
fn a_target_arrives_byte_for_byte() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    for target in [
        "/",
        "//",
        "/db/_design%2Fx",
        "/db/_design%2fx/_view/y",
        "/db/a%2Fb/c%2Fd.txt",
        "/db/a+b%20c%2B",
        "//db//doc///att//",
        "/db/./x",
        "/db/../x",
        "/..",
        "/../../etc/passwd",
        "/db/%2e%2e/%2E%2E/x",
        "/db/%252e%252e",
        "/db/größe/日本語.txt",
        "/db/gr%C3%B6%C3%9Fe",
        "/db/%",
        "/db/%zz/%4",
        "/db/%00",
        "/db/a:b@c;d,e=f!$&'()*~",
        "/db?",
        "/db?&",
        "/db?&&a=b&",
        "/db?=",
        "/db/?x",
        "/db?x=/y/../z?w",
        "/db?a=1&a=2&a",
        "/db?startkey=%22a%22&endkey=%22b+%2B%22",
        "/db?auth_keys=x&tokens=y&xoauth_token=z&OAUTH_token=z",
    ] {
        connection.request("GET", target, &[], b"").expect(200);
        let arrived = String::from_utf8(upstream.only().target).unwrap();
        assert_eq!(arrived, target);
    }
}

#[test]
fn every_method_passes() {
    let upstream = Recorder::scripted(|request| Action::Answer(answers::sized(request, "{}")));
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    for method in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "PATCH",
        "COPY",
        "MOVE",
        "PROPFIND",
        "MKCOL",
        "LOCK",
        "X-CUSTOM",
        "copy",
        "M!#$%&'*+-.^_`|~9",
    ] {
        connection.request(method, "/db/doc", &[("Destination", "other")], b"").expect(200);
        let arrived = upstream.only();
        assert_eq!((arrived.method.as_str(), &arrived.body[..]), (method, &b""[..]));
        assert_eq!(arrived.all("destination"), [b"other"]);
        if method != "HEAD" {
            connection.request(method, "/db/doc", &[], b"body").expect(200);
            assert_eq!(upstream.only().body, b"body", "{method}");
        }
    }
}

/// CouchDB takes a request's framing literally (couchdb#1943).
#[test]
fn a_body_keeps_its_framing() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    let large = vec![b'x'; 300_000];
    let nothing: [&[u8]; 0] = [];
    for (header, sent, body, length, codings) in [
        (None, &b""[..], &b""[..], &nothing[..], &nothing[..]),
        (Some(("Content-Length", "0")), b"", b"", &[b"0"], &nothing),
        (Some(("Content-Length", "5")), b"hello", b"hello", &[b"5"], &nothing),
        (Some(("content-LENGTH", "300000")), &large, &large, &[b"300000"], &nothing),
        (Some(("Transfer-Encoding", "chunked")), b"0\r\n\r\n", b"", &nothing, &[b"chunked"]),
        (
            Some(("transfer-ENCODING", "Chunked")),
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"hello",
            &nothing,
            &[b"chunked"],
        ),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        for method in ["POST", "PUT", "GET", "DELETE"] {
            connection.request(method, "/db", &headers, sent).expect(200);
            let arrived = upstream.only();
            assert!(arrived.body == body, "{method} {header:?}");
            assert_eq!(arrived.all("content-length"), length, "{method} {header:?}");
            assert_eq!(arrived.all("transfer-encoding"), codings, "{method} {header:?}");
        }
    }
}

#[test]
fn equal_content_lengths_become_one() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let twice = [("Content-Length", "5"), ("Content-Length", "5")];
    gate.request("POST", "/db", &twice, b"hello").expect(200);
    assert_eq!(upstream.only().all("content-length"), [b"5"]);
}

#[test]
fn headers_of_requests_pass_unless_they_concern_the_connection() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let passing = [
        ("Host", "my.couch.example:1234"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, br"),
        ("If-None-Match", "\"1-a\""),
        ("Range", "bytes=0-1"),
        ("X-Couch-Full-Commit", "true"),
        ("X-Empty", ""),
        ("X-Twice", "a"),
        ("X-Twice", "b"),
        ("X-Latin", "gr\u{f6}\u{df}e, \"quoted\"\tand tabbed"),
        ("Cookie", "a=b; c=\"d\""),
        ("Origin", "http://example.com"),
        ("Content-Encoding", "gzip"),
    ];
    let hop_by_hop = [
        ("Connection", "keep-alive, X-Named"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("TE", "trailers"),
        ("Trailer", "X-Later"),
        ("Upgrade", "h2c"),
        ("X-Named", "gone"),
    ];
    gate.get("/", &[&passing[..], &hop_by_hop].concat()).expect(200);
    let arrived = upstream.only();
    for (name, _) in passing {
        let sent: Vec<_> = passing.iter().filter(|(key, _)| *key == name).collect();
        let sent: Vec<_> = sent.iter().map(|(_, value)| value.as_bytes()).collect();
        assert_eq!(arrived.all(name), sent, "{name}");
    }
    for (name, _) in hop_by_hop {
        assert!(arrived.all(name).is_empty(), "{name}");
    }
    // And nothing is made up but these.
    let names = arrived.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let mut added: Vec<_> = names
        .filter(|name| !passing.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)))
        .collect();
    added.sort_unstable();
    assert_eq!(added, ["x-couch-request-id", "x-forwarded-for"]);
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &[]);
    let gate = Gate::start(&upstream.url, "");
    let head = |password: &str| {
        let authorization = basic("jan", password);
        format!(
            "PUT /db/doc HTTP/1.1\r\nHost: couch\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\nAuthorization: {authorization}\r\n\r\n"
        )
    };
    let mut connection = gate.connect();
    connection.write(head("apple").as_bytes()).unwrap();
    let mut line = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    std::io::Read::read_exact(connection.reader(), &mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write(b"hello").unwrap();
    connection.reply(false).unwrap().expect(200);
    assert_eq!(upstream.only().body, b"hello");

    // Who is refused is not asked for his body.
    let mut connection = gate.connect();
    connection.write(head("wrong").as_bytes()).unwrap();
    let answer = String::from_utf8(connection.rest().unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_request_has_an_id() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let id_of = |reply: &Reply| reply.header("x-couch-request-id").unwrap().to_owned();
    let mut connection = gate.connect();
    let mut get = |headers: &[(&str, &str)]| {
        let reply = connection.request("GET", "/", headers, b"").expect(200);
        let arrived = upstream.only();
        let ids = arrived.all("x-couch-request-id");
        assert_eq!(ids, [id_of(&reply).as_bytes()], "{headers:?}");
        id_of(&reply)
    };
    let longest = "a".repeat(36);
    for id in ["a", "My-id_7", &longest] {
        assert_eq!(get(&[("X-Couch-Request-ID", id)]), id);
    }
    let too_long = "a".repeat(37);
    for id in ["", "a b", "a\"b", "ä", "a,b", &too_long] {
        assert!(is_made_up(&get(&[("X-Couch-Request-ID", id)])), "{id}");
    }
    assert!(is_made_up(&get(&[("X-Couch-Request-ID", "a"), ("X-Couch-Request-ID", "b")])));
    assert_ne!(get(&[]), get(&[]));
    let refused = gate.get("/", &[("Authorization", "Basic !")]).expect(400);
    assert!(is_made_up(&id_of(&refused)));
}

fn is_made_up(id: &str) -> bool {
    id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A client that goes away in the middle of a body does not end as a whole request.
#[test]
fn half_a_body_is_no_request() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for part in ["Content-Length: 5\r\n\r\nhel", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let mut connection: Connection = gate.connect();
        connection
            .write(format!("POST /half HTTP/1.1\r\nHost: couch\r\n{part}").as_bytes())
            .unwrap();
        connection.socket().shutdown(std::net::Shutdown::Write).unwrap();
        let answer = connection.rest().unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{part:?}");
        assert!(upstream.take().is_empty(), "{part:?}");
    }
}
