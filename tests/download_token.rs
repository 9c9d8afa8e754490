//! Attachments are downloaded with their document's token, by whoever has it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "download_token/conditional.rs"]
mod conditional;
#[path = "download_token/freshness.rs"]
mod freshness;
#[path = "download_token/reading.rs"]
mod reading;
mod support;

use serde_json::{Value, json};
use support::{Couch, Gate, Reply, couch::unique, oauth::encode};

const WRONG: &str = r#"{"error":"forbidden","reason":"Incorrect download token."}"#;
const MISSING: &str = r#"{"error":"not_found","reason":"missing"}"#;

/// A database of a test's own, and couchgate before it.
struct Own {
    couch: &'static Couch,
    db: String,
    gate: Gate,
}

impl Own {
    fn new(ini: &str) -> Self {
        let couch = Couch::shared();
        let ini = format!("[chttpd_auth]\nsecret = {}\n{ini}", couch.secret);
        Self { couch, db: couch.database(), gate: Gate::start(&couch.url, &ini) }
    }

    /// Writes a document with these fields; its attachments stay.
    #[track_caller]
    fn document(&self, doc: &str, fields: &Value) {
        let path = format!("/{}/{doc}", self.db);
        let mut document = fields.clone();
        let old = self.couch.request("GET", &path, &[], b"");
        if old.status == 200 {
            let old = old.json();
            document["_rev"] = old["_rev"].clone();
            if old["_attachments"].is_object() {
                document["_attachments"] = old["_attachments"].clone();
            }
        }
        self.couch.put(&path, &document);
    }

    #[track_caller]
    fn attach(&self, doc: &str, name: &str, content_type: &str, contents: &[u8]) {
        let rev = self.rev(doc);
        let target = format!("/{}/{doc}/{name}?rev={rev}", self.db);
        self.couch.request("PUT", &target, &[("Content-Type", content_type)], contents).expect(201);
    }

    #[track_caller]
    fn rev(&self, doc: &str) -> String {
        let document = self.couch.request("GET", &format!("/{}/{doc}", self.db), &[], b"");
        document.expect(200).json()["_rev"].as_str().unwrap().to_owned()
    }

    /// Downloads `DOC/ATTACHMENT`.
    #[track_caller]
    fn download(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, token, &[])
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)]) -> Reply {
        let target = format!("/{}/{path}?token={token}", self.db);
        self.gate.request(method, &target, headers, b"")
    }

    #[track_caller]
    fn assert_refused(&self, path: &str, token: &str) {
        assert_refused(&self.download(path, token), 403, WRONG);
    }
}

/// An answer of couchgate's own, which pages of any origin may read.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, body: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(String::from_utf8_lossy(&reply.body).trim_end(), body);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.all("access-control-allow-origin"), ["*"]);
    assert!(reply.all("www-authenticate").is_empty());
}

/// The example of `couchdb_download_token`, with the database named for this run.
#[test]
fn the_originals_transcript() {
    let own = Own::new("");
    own.document("my_document", &json!({ "info": "test document", "download_token": "123456" }));
    own.attach("my_document", "file.txt", "text/plain", b"File contents\n");
    let document = own.couch.request("GET", &format!("/{}/my_document", own.db), &[], b"");
    let document = document.expect(200).json();
    assert_eq!(document["download_token"], "123456");
    assert_eq!(document["_attachments"]["file.txt"]["content_type"], "text/plain");

    own.assert_refused("my_document/file.txt", "incorrect");
    let reply = own.download("my_document/file.txt", "123456").expect(200);
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    assert_eq!(reply.body, b"File contents\n");
    assert_eq!(reply.all("access-control-allow-origin"), ["*"]);
    assert!(reply.all("set-cookie").is_empty());
    // Without a token the door is CouchDB's.
    own.gate.get(&format!("/{}/my_document/file.txt", own.db), &[]).expect(401);
}

#[test]
fn what_is_not_there_is_not_found() {
    let own = Own::new("");
    own.document("doc", &json!({ "download_token": "open" }));
    own.attach("doc", "a.bin", "application/octet-stream", b"a");
    own.download("doc/a.bin", "open").expect(200);

    let reply = own.download("doc/b.bin", "open").expect(404);
    assert_eq!(reply.json()["error"], "not_found");
    assert_eq!(reply.all("access-control-allow-origin"), ["*"]);
    assert_eq!(own.ask("HEAD", "doc/b.bin", "open", &[]).status, 404);

    assert_refused(&own.download("missing/a.bin", "open"), 404, MISSING);
    let elsewhere = format!("/{}/doc/a.bin?token=open", unique("missing"));
    assert_refused(&own.gate.get(&elsewhere, &[]), 404, MISSING);
    let deleted = format!("/{}/doc?rev={}", own.db, own.rev("doc"));
    own.couch.request("DELETE", &deleted, &[], b"").expect(200);
    let fresh =
        Gate::start(&own.couch.url, &format!("[chttpd_auth]\nsecret = {}", own.couch.secret));
    let target = format!("/{}/doc/a.bin?token=open", own.db);
    assert_refused(&fresh.get(&target, &[]), 404, MISSING);
}

#[test]
fn a_field_that_is_no_text_opens_nothing() {
    let own = Own::new("");
    for (doc, token) in [
        ("a-number", json!(123_456)),
        ("a-null", json!(null)),
        ("a-boolean", json!(true)),
        ("an-empty-one", json!("")),
        ("a-list", json!(["123456"])),
        ("an-object", json!({ "123456": "123456" })),
    ] {
        own.document(doc, &json!({ "download_token": token }));
        own.attach(doc, "a.bin", "application/octet-stream", b"a");
        for presented in ["123456", "null", "true", "", &encode(&token.to_string())] {
            own.assert_refused(&format!("{doc}/a.bin"), presented);
        }
    }
    own.document("absent", &json!({ "token": "123456", "Download_token": "123456" }));
    own.attach("absent", "a.bin", "application/octet-stream", b"a");
    for presented in ["123456", "", "undefined", "null"] {
        own.assert_refused("absent/a.bin", presented);
    }
}

#[test]
fn the_fields_name_may_reach_into_objects() {
    let own = Own::new("[download_token]\nkey_name = data.download_token\nparam = key\n");
    own.document("doc", &json!({ "data": { "download_token": "deep" }, "download_token": "top" }));
    own.attach("doc", "a.bin", "application/octet-stream", b"a");
    own.document("dotted", &json!({ "data.download_token": "deep", "data": "deep" }));
    own.attach("dotted", "a.bin", "application/octet-stream", b"a");
    let status = |doc: &str, key: &str| {
        own.gate.get(&format!("/{}/{doc}/a.bin?key={key}", own.db), &[]).status
    };
    assert_eq!(status("doc", "deep"), 200);
    assert_eq!(status("doc", "top"), 403);
    assert_eq!(status("dotted", "deep"), 403);
    // `token` is nothing here.
    assert_eq!(own.download("doc/a.bin", "deep").status, 401);
}

#[test]
fn an_attachment_comes_back_as_it_is() {
    let own = Own::new("");
    let all: Vec<u8> = (0..=255).cycle().take(3 * 256).collect();
    own.document("d%20o%2Bc", &json!({ "download_token": "t" }));
    for (name, content_type) in [
        ("all.bin", "application/octet-stream"),
        ("all.jpg", "image/jpeg"),
        ("strange", "application/x-of-my-own; version=\"1, 2\""),
        ("dir/sub/all.bin", "application/octet-stream"),
        ("caf%C3%A9%20%2B%25%3F%23.bin", "application/octet-stream"),
    ] {
        own.attach("d%20o%2Bc", name, content_type, &all);
    }
    for (path, content_type) in [
        ("d%20o%2Bc/all.bin", "application/octet-stream"),
        ("d%20o%2Bc/all.jpg", "image/jpeg"),
        ("d%20o%2Bc/strange", "application/x-of-my-own; version=\"1, 2\""),
        ("d%20o%2Bc/dir/sub/all.bin", "application/octet-stream"),
        ("d%20o%2Bc/dir%2Fsub/all.bin", "application/octet-stream"),
        ("d%20o%2Bc/caf%C3%A9%20%2B%25%3F%23.bin", "application/octet-stream"),
    ] {
        let reply = own.download(path, "t").expect(200);
        assert_eq!(reply.header("content-type"), Some(content_type), "{path}");
        assert!(reply.body == all, "{path}");
        assert_eq!(reply.header("content-length"), Some("768"), "{path}");
    }
}

/// Any text may be a token; the query says it in any of the ways in which a query can.
#[test]
fn a_token_may_be_any_text() {
    let own = Own::new("");
    for (number, (token, written)) in [
        ("a b&c=d;e", "a+b%26c%3Dd%3Be"),
        ("a b&c=d;e", "%61%20b%26c=d%3be"),
        ("\u{e9}\u{1f511}", "%C3%A9%F0%9F%94%91"),
        ("null", "null"),
        ("100%", "100%"),
        ("a\u{0}b", "a%00b"),
        ("couchgate1", "couchgate1"),
    ]
    .into_iter()
    .enumerate()
    {
        let doc = format!("doc{number}");
        own.document(&doc, &json!({ "download_token": token }));
        own.attach(&doc, "a.bin", "application/octet-stream", b"a");
        let path = format!("{doc}/a.bin");
        assert_eq!(own.download(&path, written).status, 200, "{written}");
        for other in ["%00", "+", "x", written] {
            own.assert_refused(&path, &format!("{written}{other}"));
            own.assert_refused(&path, &format!("{other}{written}"));
        }
    }
}
