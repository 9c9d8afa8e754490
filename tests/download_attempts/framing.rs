//! Attempts that are made of bytes: bodies, versions, targets that are no text, and very long ones.

use super::{assert_opened, gate, upstream};
use crate::support::{
    Connection, Gate,
    sign::{session_cookie, token},
};

const PLAIN: (&str, &str) = ("GET", "/db/doc/a?rev=1-a");

fn send(gate: &Gate, bytes: &[u8]) -> (u16, Connection) {
    let mut connection = gate.connect();
    connection.write(bytes).unwrap();
    let reply = connection.reply(false).unwrap();
    (reply.status, connection)
}

/// A body would be read as a request of the service user's, if it came through.
#[test]
fn a_body_does_not_go_with_a_download() {
    let upstream = upstream();
    let gate = gate(&upstream);
    let smuggled = "DELETE /db HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\n\r\n";
    let length = smuggled.len();
    for body in [
        format!("Content-Length: {length}\r\n\r\n{smuggled}"),
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        format!(
            "Transfer-Encoding: chunked\r\nTrailer: X-Auth-CouchDB-Roles\r\n\r\n\
             {length:x}\r\n{smuggled}\r\n0\r\nX-Auth-CouchDB-Roles: _admin\r\nRange: bytes=0-1\r\n\r\n"
        ),
        "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let head = "GET /db/doc/a?token=t HTTP/1.1\r\nHost: a\r\n";
        let (status, mut connection) = send(&gate, [head, &body].concat().as_bytes());
        assert_eq!(status, 200, "{body:?}");
        assert_opened(&upstream.only(), PLAIN, &[], &body);
        // Whatever comes next on the connection is what the client sent next.
        let next = b"GET /db/doc/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if connection.write(next).is_ok() && connection.reply(false).is_ok() {
            let next = upstream.only();
            assert_eq!(next.target, b"/db/doc/b", "{body:?}");
            assert!(next.folded("x-auth-couchdb-username").is_empty(), "{body:?}");
        } else {
            assert!(upstream.take().is_empty(), "{body:?}");
        }
    }
}

#[test]
fn http_1_0_is_as_good() {
    let upstream = upstream();
    let gate = gate(&upstream);
    for host in ["", "Host: a\r\n"] {
        let request = |method: &str, token: &str| {
            format!("{method} /db/doc/a?token={token} HTTP/1.0\r\n{host}\r\n").into_bytes()
        };
        assert_eq!(send(&gate, &request("GET", "t")).0, 200);
        assert_opened(&upstream.only(), PLAIN, &[], host);
        assert_eq!(send(&gate, &request("GET", "x")).0, 403);
        assert!(upstream.take().is_empty());
        send(&gate, &request("DELETE", "t"));
        assert!(upstream.only().folded("x-auth-couchdb-username").is_empty());
    }
}

/// The whole URL, as to a forward proxy, and other targets that are no path.
#[test]
fn a_target_that_is_no_path_is_refused() {
    let upstream = upstream();
    let gate = gate(&upstream);
    for target in [
        &b"http://couch/db/doc/a?token=t"[..],
        b"http://couchgate@couch/db/doc/a?token=t",
        b"*",
        b"db/doc/a?token=t",
        b"couch:5984",
        b"/db/doc/a\0?token=t",
        b"/db/doc/a?token=t\0",
        b"/db/doc/a?token=t\t",
        b"/db/doc/a?token=t ",
    ] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let (status, _) = send(&gate, &request);
        assert_eq!(status, 400, "{:?}", String::from_utf8_lossy(target));
        assert!(upstream.take().is_empty());
    }
    // No request has a fragment: that is a character of the attachment's name.
    send(&gate, b"GET /db/doc/a#?token=t HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_opened(&upstream.only(), ("GET", "/db/doc/a%23?rev=1-a"), &[], "a fragment");
}

/// Bytes beyond ASCII that are not encoded: text is read as such, all else is nobody's.
#[test]
fn raw_bytes_are_text_or_nothing() {
    let upstream = upstream();
    let gate = gate(&upstream);
    let request =
        |name: &[u8]| [b"GET /db/doc/", name, b"?token=t HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    assert_eq!(send(&gate, &request("caf\u{e9}".as_bytes())).0, 200);
    assert_opened(&upstream.only(), ("GET", "/db/doc/caf%C3%A9?rev=1-a"), &[], "UTF-8");
    for name in [&b"caf\xe9"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xff"] {
        send(&gate, &request(name));
        for request in upstream.take() {
            assert!(request.folded("x-auth-couchdb-username").is_empty(), "{request:?}");
            assert!(!request.target.contains(&b'?'), "{request:?}");
        }
    }
}

#[test]
fn a_long_token_is_a_token() {
    let upstream = upstream();
    let gate = gate(&upstream);
    let long = "t".repeat(5000);
    for (token, status) in [
        (long.clone(), 200),
        (format!("{long}t"), 403),
        (long[1..].to_owned(), 403),
        ("t".repeat(30_000), 403),
        ("%74".repeat(5000), 200),
    ] {
        let reply = gate.get(&format!("/db/long/a?token={token}"), &[]);
        assert_eq!(reply.status, status, "{} bytes", token.len());
        let arrived = upstream.take();
        assert_eq!(arrived.len(), usize::from(status == 200), "{} bytes", token.len());
    }
    // What does not fit into a request line never was a token.
    let reply = gate.get(&format!("/db/doc/a?token={}", "t".repeat(200_000)), &[]);
    assert!(matches!(reply.status, 400 | 414 | 431), "{}", reply.status);
    assert!(upstream.take().is_empty());
}

/// Who is known before the token is looked at is himself, and no service user.
#[test]
fn whoever_is_known_already_needs_no_token() {
    let upstream = upstream();
    let gate = gate(&upstream);
    let cookie =
        format!("AuthSession={}", session_cookie(super::SECRET, "salt", "jan", 5, "sha256"));
    let signed = token(super::SECRET, "jan");
    let proxy = [("X-Auth-CouchDB-UserName", "jan"), ("X-Auth-CouchDB-Token", &*signed)];
    for headers in [&[("Cookie", &*cookie)][..], &proxy] {
        for token in ["t", "x"] {
            gate.get(&format!("/db/doc/a?x=1&token={token}"), headers).expect(200);
            let request = upstream.only();
            assert_eq!(request.target, b"/db/doc/a?x=1");
            assert_eq!(super::user(&request).as_deref(), Some("jan"));
            assert!(request.folded("x-auth-couchdb-roles").iter().all(|roles| *roles != b"_admin"));
        }
    }
}
