//! Form bodies that OAuth signs: covered whole or refused, and never waited for without end.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    io::{BufRead, Read},
    net::Shutdown,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    Connection, Gate, Recorder, Reply, basic,
    http::request,
    oauth::{FORM, INI, Request},
};

/// A form that was signed is no larger.
const LIMIT: usize = 64 * 1024;

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

/// A signed form of this size, with its protocol parameters in it.
fn form_of(size: usize) -> String {
    let signed = |filling: usize| Request::post("/db", &format!("a={}", "x".repeat(filling)));
    let one = signed(1);
    let protocol = one.in_form().len() - one.form.len();
    let filling = size - protocol - "a=".len();
    // Signatures differ in what has to be encoded.
    let fits = (filling - 20..filling + 20).cycle().take(100_000).find_map(|filling| {
        let form = signed(filling).in_form();
        (form.len() == size).then_some(form)
    });
    fits.unwrap()
}

/// The body in chunks of about 10 KB.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(10_000) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

#[track_caller]
fn assert_too_large(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 413, "{what}: {reply:?}");
    let reason = "The request body exceeds 65536 bytes.";
    assert_eq!(reply.json(), json!({ "error": "too_large", "reason": reason }), "{what}");
    assert_eq!(reply.header("connection"), Some("close"), "{what}");
}

/// The connection ends; that it does not hang is what the socket's own patience tests.
#[track_caller]
fn assert_ends(mut connection: Connection, what: &str) {
    let began = Instant::now();
    let rest = connection.rest();
    assert!(rest.as_ref().is_ok_and(Vec::is_empty) || rest.is_err(), "{what}: {rest:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{what}: {:?}", began.elapsed());
}

#[test]
fn a_signed_form_is_as_large_as_the_limit_and_no_larger() {
    let (upstream, gate) = jan("");
    for framing in ["Content-Length", "Transfer-Encoding"] {
        for (size, passes) in [(LIMIT, true), (LIMIT + 1, false), (20 * LIMIT, false)] {
            let what = format!("{size} by {framing}");
            let form = form_of(size);
            let (body, value) = match framing {
                "Content-Length" => (form.clone().into_bytes(), form.len().to_string()),
                _ => (chunked(form.as_bytes()), "chunked".to_owned()),
            };
            let mut connection = gate.connect();
            // Who is refused may not take all of it.
            let _ = connection.write(&request("POST", "/db", &[FORM, (framing, &value)], &body));
            let reply = connection.reply(false).unwrap();
            if passes {
                reply.expect(200);
                let request = upstream.only();
                assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
                assert!(request.body == form.as_bytes(), "{what}: another body");
                connection.request("GET", "/db", &[], b"").expect(200);
                upstream.only();
            } else {
                assert_too_large(&reply, &what);
                assert_eq!(upstream.take().len(), 0, "{what}");
                assert_ends(connection, &what);
            }
        }
    }
}

#[test]
fn a_form_that_is_too_large_is_refused_before_it_is_sent() {
    let (upstream, gate) = jan("");
    let signed = Request::post("/db", "a=b");
    for (place, target, headers) in [
        ("header", "/db".to_owned(), format!("Authorization: {}\r\n", signed.header())),
        ("query", signed.in_query(), String::new()),
        ("form", "/db".to_owned(), String::new()),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            for length in ["65537", "1000000000000"] {
                let mut connection = gate.connect();
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: couch.example:5984\r\n{headers}{expect}\
                     Content-Type: {}\r\nContent-Length: {length}\r\n\r\n",
                    FORM.1
                );
                connection.write(head.as_bytes()).unwrap();
                // No 100 comes before it.
                let status = connection.reader().fill_buf().unwrap()[..12].to_vec();
                assert_eq!(status, b"HTTP/1.1 413", "{place} {expect}");
                assert_too_large(&connection.reply(false).unwrap(), place);
                assert_ends(connection, place);
            }
        }
    }
    // One that is not, is asked for.
    let form = Request::post("/db", "a=b").in_form();
    let mut connection = gate.connect();
    let head = format!(
        "POST /db HTTP/1.1\r\nHost: couch.example:5984\r\nExpect: 100-continue\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        FORM.1,
        form.len()
    );
    connection.write(head.as_bytes()).unwrap();
    let mut first = [0; 25];
    connection.reader().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(upstream.take().len(), 0);
    connection.write(form.as_bytes()).unwrap();
    connection.reply(false).unwrap().expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
}

/// Larger ones belong to other handlers, where there is something for them to look at.
#[test]
fn a_large_form_that_is_not_signed_passes_for_whoever_says_who_he_is() {
    let (upstream, gate) = jan("");
    let form = format!("a={}", "x".repeat(5 * LIMIT));
    let jan = basic("jan", "apple");
    for framing in ["Content-Length", "Transfer-Encoding"] {
        let (body, value) = match framing {
            "Content-Length" => (form.clone().into_bytes(), form.len().to_string()),
            _ => (chunked(form.as_bytes()), "chunked".to_owned()),
        };
        let headers = [FORM, (framing, &value), ("Authorization", &jan)];
        gate.request("POST", "/db/doc/attachment", &headers, &body).expect(200);
        let arrived = upstream.only();
        assert!(arrived.body == form.as_bytes(), "{framing}: another body");
        assert_eq!(arrived.chunked, framing == "Transfer-Encoding");
        assert_eq!(arrived.all("x-auth-couchdb-username"), [b"jan"]);
        // With OAuth parameters anywhere else it is a signed form, and too large for one.
        for (target, authorization) in [
            ("/db", Request::post("/db", "a=b").header()),
            (&*Request::post("/db", "a=b").in_query(), jan.clone()),
        ] {
            let headers = [FORM, (framing, &value), ("Authorization", &authorization)];
            let mut connection = gate.connect();
            let _ = connection.write(&request("POST", target, &headers, &body));
            assert_too_large(&connection.reply(false).unwrap(), target);
        }
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn a_form_that_was_altered_is_refused() {
    const FORM_BODY: &str = "name=a%20b&name=c&empty=&n=%C3%BC";
    let (upstream, gate) = jan("");
    for (altered, holds) in [
        (FORM_BODY, true),
        // Other spellings of the same.
        ("name=a+b&name=c&empty=&n=%c3%bc", true),
        ("n=\u{fc}&empty&name=c&name=a%20b&", true),
        ("name=a%20b;name=c;empty=;%6E=%C3%BC", true),
        ("name=a%20b&name=d&empty=&n=%C3%BC", false),
        ("name=a%20B&name=c&empty=&n=%C3%BC", false),
        ("name=a%20b&name=c&empty=&m=%C3%BC", false),
        ("name=a%20b&name=c&empty=&n=%C3%BC%00", false),
        ("name=a%20b&name=c&empty=&n=%C3%BC&x=1", false),
        ("name=a%20b&name=c&empty=&n=%C3%BC&=", false),
        ("name=a%20b&name=c&empty=&n=%C3%BC&name=c", false),
        ("name=a%20b&name=c&n=%C3%BC", false),
        ("name=a%20b&name=c&empty=", false),
        ("name=c&name=a%20b%26empty%3D&n=%C3%BC", false),
        ("name=a%20b%26name%3Dc&empty=&n=%C3%BC", false),
        ("name=c&name=c&empty=&n=%C3%BC", false),
        ("", false),
    ] {
        let refused = |reply: Reply, place: &str| {
            assert_eq!(reply.status, 401, "{altered} signed in {place}: {reply:?}");
            assert_eq!(reply.json()["reason"], "Invalid OAuth signature.");
            assert_eq!(upstream.take().len(), 0, "{altered} signed in {place}");
        };
        let passes = |reply: Reply, place: &str| {
            assert_eq!(reply.status, 200, "{altered} signed in {place}: {reply:?}");
            let request = upstream.only();
            assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
            request.body
        };
        let signed = || Request::post("/db", FORM_BODY);
        let authorization = signed().header();
        let headers = [FORM, ("Authorization", &authorization)];
        let in_header = gate.request("POST", "/db", &headers, altered.as_bytes());
        let in_query = gate.request("POST", &signed().in_query(), &[FORM], altered.as_bytes());
        if holds {
            assert_eq!(upstream.take().iter().filter(|r| r.body == altered.as_bytes()).count(), 2);
            in_header.expect(200);
            in_query.expect(200);
        } else {
            refused(in_header, "header");
            refused(in_query, "query");
        }
        let body = signed().in_form().replacen(FORM_BODY, altered, 1);
        let in_form = gate.request("POST", "/db", &[FORM], body.as_bytes());
        if holds {
            assert_eq!(passes(in_form, "form"), body.as_bytes());
        } else {
            refused(in_form, "form");
        }
    }
}

/// A parameter is signed wherever it stands, so it may not stand elsewhere without the server
/// noticing; a body that is no form is not signed at all.
#[test]
fn what_is_a_form_is_said_by_its_content_type() {
    let (upstream, gate) = jan("");
    for (content_type, is_form) in [
        (FORM.1, true),
        ("application/x-www-form-urlencoded; charset=UTF-8", true),
        ("APPLICATION/X-WWW-Form-Urlencoded;charset=\"utf-8\"", true),
        ("application/x-www-form-urlencoded ; x", true),
        ("application/json", false),
        ("application/x-www-form-urlencoded2", false),
        ("x-www-form-urlencoded", false),
        ("multipart/form-data; boundary=x", false),
        ("text/plain; application/x-www-form-urlencoded", false),
        ("", false),
    ] {
        for signed_with in ["", "a=b"] {
            let authorization = Request::post("/db", signed_with).header();
            let headers = [("Content-Type", content_type), ("Authorization", &authorization)];
            let reply = gate.request("POST", "/db", &headers, b"a=b");
            let expected = if is_form == (signed_with == "a=b") { 200 } else { 401 };
            assert_eq!(reply.status, expected, "{content_type} signed with {signed_with:?}");
            assert_eq!(upstream.take().len(), usize::from(expected == 200), "{content_type}");
        }
        // Parameters in a body that is no form are the body's own.
        let headers = [("Content-Type", content_type)];
        let body = Request::post("/db", "a=b").in_form();
        gate.request("POST", "/db", &headers, body.as_bytes()).expect(200);
        let request = upstream.only();
        assert_eq!(request.all("x-auth-couchdb-username").len(), usize::from(is_form));
        assert_eq!(request.body, body.as_bytes());
    }
}

#[test]
fn a_form_that_stops_arriving_is_given_up() {
    let (upstream, gate) = jan("[couchgate]\nbody_timeout = 1\n");
    let form = Request::post("/db", "a=b").in_form();
    let whole = |framing: &str| match framing {
        "Content-Length" => request("POST", "/db", &[FORM], form.as_bytes()),
        _ => request("POST", "/db", &[FORM, (framing, "chunked")], &chunked(form.as_bytes())),
    };
    let mut stopped = Vec::new();
    for framing in ["Content-Length", "Transfer-Encoding"] {
        let bytes = whole(framing);
        for missing in [1, 3, 40, form.len()] {
            for status in [408, 400] {
                let mut connection = gate.connect();
                connection.write(&bytes[..bytes.len() - missing]).unwrap();
                if status == 400 {
                    connection.socket().shutdown(Shutdown::Write).unwrap();
                }
                let what = format!("{framing}, {missing} missing");
                stopped.push((connection, status, what));
            }
        }
    }
    for (mut connection, status, what) in stopped {
        let reply = connection.reply(false).unwrap();
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        let error = if status == 408 { "timeout" } else { "bad_request" };
        assert_eq!(reply.json()["error"], error, "{what}");
        assert_ends(connection, &what);
    }
    assert_eq!(upstream.take().len(), 0);
    // Slowly is not at all the same as not at all.
    let bytes = request("POST", "/db", &[FORM], form.as_bytes());
    let mut connection = gate.connect();
    for part in bytes.chunks(bytes.len() / 10) {
        connection.write(part).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    connection.reply(false).unwrap().expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
}
