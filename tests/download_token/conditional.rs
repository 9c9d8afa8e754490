//! Parts of attachments, and attachments that the client has.

use serde_json::json;

use super::Own;
use crate::support::Reply;

/// A document with the token `t` and the attachment `a.bin`.
fn digits() -> Own {
    let own = Own::new("");
    own.document("doc", &json!({ "download_token": "t" }));
    own.attach("doc", "a.bin", "application/octet-stream", b"0123456789");
    own
}

fn get(own: &Own, headers: &[(&str, &str)]) -> Reply {
    let reply = own.ask("GET", "doc/a.bin", "t", headers);
    assert_eq!(reply.all("access-control-allow-origin"), ["*"], "{headers:?}");
    reply
}

#[test]
fn a_range_is_answered_with_that_part() {
    let own = digits();
    for (range, content_range, part) in [
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
    ] {
        let reply = get(&own, &[("Range", range)]).expect(206);
        assert_eq!(reply.header("content-range"), Some(content_range), "{range}");
        assert_eq!(reply.header("content-length"), Some(&*part.len().to_string()), "{range}");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"), "{range}");
        assert_eq!(String::from_utf8_lossy(&reply.body), part, "{range}");
    }
    for whole in ["bytes=0-", "bytes", "lines=1-2"] {
        let reply = get(&own, &[("Range", whole)]).expect(200);
        assert_eq!(reply.body, b"0123456789", "{whole}");
        assert_eq!(reply.header("accept-ranges"), Some("bytes"), "{whole}");
    }
    let unsatisfiable = get(&own, &[("Range", "bytes=20-30")]).expect(416);
    assert_eq!(unsatisfiable.json()["error"], "requested_range_not_satisfiable");
}

#[test]
fn several_ranges_are_several_parts() {
    let own = digits();
    let reply = get(&own, &[("Range", "bytes=0-1,5-6")]).expect(206);
    let content_type = reply.header("content-type").unwrap();
    assert!(content_type.starts_with("multipart/byteranges; boundary="), "{content_type}");
    let body = String::from_utf8(reply.body).unwrap();
    let parts: Vec<&str> = body.split("\r\n\r\n").map(|part| &part[..2.min(part.len())]).collect();
    assert_eq!(parts[1..], ["01", "56"], "{body}");
    assert!(body.contains("Content-Range: bytes 0-1/10\r\n"), "{body}");
    assert!(body.contains("Content-Range: bytes 5-6/10\r\n"), "{body}");
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let own = digits();
    let first = get(&own, &[]).expect(200);
    let tag = first.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    for method in ["GET", "HEAD"] {
        let had = own.ask(method, "doc/a.bin", "t", &[("If-None-Match", tag)]).expect(304);
        assert_eq!(had.header("etag"), Some(tag), "{method}");
        assert_eq!(had.all("access-control-allow-origin"), ["*"], "{method}");
        assert!(had.body.is_empty());
    }
    get(&own, &[("If-None-Match", "\"another\"")]).expect(200);
    // That the client has it does not say that he may have it.
    let headers = [("If-None-Match", tag)];
    assert_eq!(own.ask("GET", "doc/a.bin", "x", &headers).status, 403);
    own.attach("doc", "a.bin", "application/octet-stream", b"9876543210");
    own.attach("doc", "b.bin", "application/octet-stream", b"9876543210");
    let fresh = crate::support::eventually("the new revision", || {
        let reply = get(&own, &[("If-None-Match", tag)]);
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(fresh.body, b"9876543210");
    assert_ne!(fresh.header("etag"), Some(tag));
}

#[test]
fn head_says_what_get_would() {
    let own = digits();
    let got = get(&own, &[]).expect(200);
    let mut connection = own.gate.connect();
    let target = format!("/{}/doc/a.bin?token=t", own.db);
    for _ in 0..2 {
        let head = connection.request("HEAD", &target, &[], b"").expect(200);
        for name in [
            "content-type",
            "content-length",
            "etag",
            "accept-ranges",
            "cache-control",
            "access-control-allow-origin",
        ] {
            assert_eq!(head.all(name), got.all(name), "{name}");
        }
    }
    assert_eq!(got.header("content-length"), Some("10"));
    // Nothing of a body came between.
    assert_eq!(connection.request("GET", &target, &[], b"").body, b"0123456789");
}
