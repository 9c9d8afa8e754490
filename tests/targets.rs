//! Request targets as people write them: what CouchDB takes arrives, byte for byte where an HTTP library
//! can carry it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "targets/pipelines.rs"]
mod pipelines;
mod support;

use std::fmt::Write as _;

use http::uri::PathAndQuery;
use support::{Gate, Recorder};

/// What the `http` crate cannot carry in a path, and in a query; `#` would end the target.
const ENCODED_IN_PATH: &[u8] = b"#<>`";
const ENCODED_IN_QUERY: &[u8] = b"\"#<>";

/// The target that CouchDB must see: only these bytes are percent-encoded, and what is not UTF-8.
fn carried(target: &[u8]) -> Vec<u8> {
    let query = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let mut carried = String::new();
    for (part, encoded) in
        [(&target[..query], ENCODED_IN_PATH), (&target[query..], ENCODED_IN_QUERY)]
    {
        for chunk in part.utf8_chunks() {
            for character in chunk.valid().chars() {
                match u8::try_from(character) {
                    Ok(byte) if encoded.contains(&byte) => write!(carried, "%{byte:02X}").unwrap(),
                    _ => carried.push(character),
                }
            }
            for byte in chunk.invalid() {
                write!(carried, "%{byte:02X}").unwrap();
            }
        }
    }
    carried.into_bytes()
}

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: couch\r\n\r\n"].concat()
}

#[test]
fn every_byte_in_path_and_query_arrives_or_is_refused() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for byte in 0..=255_u8 {
        for (start, encoded) in [
            (&b"/db/x"[..], ENCODED_IN_PATH),
            (b"/db?x", ENCODED_IN_QUERY),
            (b"/", ENCODED_IN_PATH),
        ] {
            let target = [start, &[byte], b"y"].concat();
            let what = format!("{byte:#04x} after {}", start.escape_ascii());
            let mut connection = gate.connect();
            connection.write(&get(&target)).unwrap();
            let answer = connection.reply(false).unwrap();
            if matches!(byte, 0..=b' ' | 0x7f) {
                assert_eq!(answer.status, 400, "{what}");
                assert_eq!(answer.json()["error"], "bad_request", "{what}");
                assert!(connection.rest().unwrap().is_empty(), "{what}");
                assert!(upstream.take().is_empty(), "{what}");
                continue;
            }
            assert_eq!(answer.status, 200, "{what}");
            let encoded = encoded.contains(&byte) || !byte.is_ascii();
            let expected = if encoded {
                [start, format!("%{byte:02X}y").as_bytes()].concat()
            } else {
                target.clone()
            };
            assert_eq!(upstream.only().target, expected, "{what}");
            // Nothing is encoded that need not be.
            let parsed = PathAndQuery::try_from(&target[..]);
            let fits = parsed.is_ok_and(|parsed| parsed.as_str().as_bytes() == target);
            assert_eq!(fits, !encoded, "{what}");
        }
    }
}

#[test]
fn targets_as_people_write_them_arrive() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    for (target, expected) in [
        (
            "/db/_all_docs?startkey=\"a\"&endkey=\"b\"",
            "/db/_all_docs?startkey=%22a%22&endkey=%22b%22",
        ),
        ("/db/_all_docs?keys=[\"a\",\"b\"]", "/db/_all_docs?keys=[%22a%22,%22b%22]"),
        ("/db/v?key={\"a\":1}&x=a|b\\c`d^", "/db/v?key={%22a%22:1}&x=a|b\\c`d^"),
        ("/db/v?a<b>c", "/db/v?a%3Cb%3Ec"),
        ("/db/a<b>c`d\"e{f}|\\^", "/db/a%3Cb%3Ec%60d\"e{f}|\\^"),
        ("/db/größe/日本語?k=\"ü\"", "/db/größe/日本語?k=%22ü%22"),
        ("/db/a#b?c#d", "/db/a%23b?c%23d"),
        ("/\"", "/\""),
        ("/?\"", "/?%22"),
        ("/db?a?\"b`?", "/db?a?%22b`?"),
    ] {
        for method in ["GET", "HEAD", "DELETE", "COPY", "X-Custom!"] {
            connection.write(&support::http::request(method, target, &[], b"")).unwrap();
            connection.reply(method == "HEAD").unwrap().expect(200);
            let arrived = upstream.only();
            assert_eq!(String::from_utf8(arrived.target).unwrap(), expected, "{method} {target}");
            assert_eq!(arrived.method, method);
        }
    }
}

#[test]
fn latin_1_is_percent_encoded_and_utf_8_beside_it_stays() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (target, expected) in [
        (&b"/db/gr\xf6\xdfe"[..], "/db/gr%F6%DFe"),
        (b"/db/\xe9\xc3\xa9?\xe9=\xc3\xa9", "/db/%E9é?%E9=é"),
        // Cut off, overlong, a surrogate.
        (b"/\xc3", "/%C3"),
        (b"/\xc0\xaf", "/%C0%AF"),
        (b"/\xed\xa0\x80", "/%ED%A0%80"),
    ] {
        let mut connection = gate.connect();
        connection.write(&get(target)).unwrap();
        connection.reply(false).unwrap().expect(200);
        assert_eq!(upstream.only().target, expected.as_bytes());
    }
}
