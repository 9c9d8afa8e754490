//! Through couchgate or past it: the same request gives the same answer, byte for byte.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::support::{Connection, Couch, Gate, Reply, basic, couch::unique, http};

/// What differs between two answers to one request: times, ids, the connection.
const INCOMPARABLE: [&str; 6] = [
    "date",
    "x-couch-request-id",
    "x-couchdb-body-time",
    "connection",
    "keep-alive",
    "transfer-encoding",
];

type Request<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a [u8]);

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An answer with everything taken out that is made anew for each.
fn comparable(mut reply: Reply) -> (u16, Vec<(String, String)>, String) {
    reply.headers.retain(|(name, _)| !INCOMPARABLE.contains(&name.as_str()));
    if reply.status == 304 {
        // CouchDB's 0 would be the length of the document (RFC 9110 section 8.6); hyper sends none.
        reply.headers.retain(|(name, _)| name != "content-length");
    }
    reply.headers.sort();
    let mut body = String::from_utf8_lossy(&reply.body).into_owned();
    let content_type = reply.header("content-type").unwrap_or_default();
    if let Some((_, boundary)) = content_type.split_once("boundary=\"") {
        let boundary = boundary.trim_end_matches('"').to_owned();
        body = body.replace(&boundary, "BOUNDARY");
        for (_, value) in &mut reply.headers {
            *value = value.replace(&boundary, "BOUNDARY");
        }
    }
    (reply.status, reply.headers, body)
}

/// A server, couchgate in front of it, and those who ask.
struct Both {
    couch: &'static Couch,
    gate: Gate,
    admin: String,
    user: String,
}

impl Both {
    fn start() -> Self {
        let couch = Couch::shared();
        let gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {}", couch.secret));
        let name = couch.user("apple", &["dev"]);
        let admin = basic(&couch.admin.0, &couch.admin.1);
        Self { couch, gate, admin, user: basic(&name, "apple") }
    }

    /// A database of one shard, whose sequences are the same each time one asks.
    fn database(&self) -> String {
        let name = unique("db");
        self.couch.request("PUT", &format!("/{name}?q=1"), &[], b"").expect(201);
        let members = json!({ "admins": {}, "members": { "names": [], "roles": ["dev"] } });
        self.couch.put(&format!("/{name}/_security"), &members);
        name
    }

    fn past(&self, who: Option<&str>, request: &Request<'_>) -> Reply {
        ask(&mut Connection::open(self.couch.address), who, request)
    }

    fn through(&self, who: Option<&str>, request: &Request<'_>) -> Reply {
        ask(&mut self.gate.connect(), who, request)
    }

    /// Asks the same thing on both ways, by an admin, a user and nobody.
    #[track_caller]
    fn agree(&self, request: &Request<'_>) -> Reply {
        let mut last = None;
        for who in [None, Some(self.admin.as_str()), Some(&self.user)] {
            let (past, through) = (self.past(who, request), self.through(who, request));
            assert!(through.header("x-couch-request-id").is_some(), "{request:?}");
            assert_eq!(comparable(through), comparable(past.clone()), "{request:?} by {who:?}");
            last = Some(past);
        }
        last.unwrap()
    }
}

#[track_caller]
fn ask(connection: &mut Connection, who: Option<&str>, request: &Request<'_>) -> Reply {
    let (method, target, headers, body) = request;
    let mut headers = headers.to_vec();
    headers.extend(who.map(|who| ("Authorization", who)));
    // CouchDB has no answer to a POST without a length.
    if *method == "POST" && body.is_empty() {
        headers.push(("Content-Length", "0"));
    }
    connection.write(&http::request(method, target, &headers, body)).unwrap();
    let reply = connection.reply(*method == "HEAD");
    reply.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const DESIGN: &str = "{\"views\":{\"by_n\":{\"map\":\"function (doc) { if ('n' in doc) emit(doc.n, doc._id); }\",\
    \"reduce\":\"_count\"}}}";

const MULTIPART: (&str, &str) = ("Content-Type", "multipart/related; boundary=\"cut\"");

const PARTS: &str = "--cut\r\nContent-Type: application/json\r\n\r\n\
    {\"_id\":\"parts\",\"_attachments\":{\"a/b.txt\":{\"follows\":true,\
    \"content_type\":\"text/plain\",\"length\":5}}}\r\n\
    --cut\r\nContent-Type: text/plain\r\n\r\nhello\r\n--cut--";

/// Everything that writes, in an order that makes sense.
fn writes<'a>(db: &str, gzipped: &'a [u8], large: &'a [u8]) -> Vec<Request<'a>> {
    let text = &[("Content-Type", "text/plain")];
    let at = |path: &str| format!("/{db}{path}");
    vec![
        ("PUT", at("/a"), &[JSON], b"{\"n\":1}"),
        ("PUT", at("/a"), &[JSON], b"{\"n\":2}"),
        ("PUT", at("/bad"), &[JSON], b"{\"n\":"),
        ("PUT", at("/gr%C3%B6%C3%9Fe"), &[JSON], "{\"n\":2,\"text\":\"日本語\"}".as_bytes()),
        ("PUT", at("/with%2Fslash"), &[JSON], b"{\"n\":3}"),
        ("POST", at(""), &[JSON], b"{\"_id\":\"posted\",\"n\":4}"),
        ("PUT", at("/zipped"), &[JSON, ("Content-Encoding", "gzip")], gzipped),
        (
            "POST",
            at("/_bulk_docs"),
            &[JSON],
            b"{\"docs\":[{\"_id\":\"b1\",\"n\":5},{\"_id\":\"b2\",\"n\":6},{\"_id\":\"a\",\"n\":7}]}",
        ),
        (
            "POST",
            at("/_bulk_docs"),
            &[JSON],
            b"{\"new_edits\":false,\"docs\":[{\"_id\":\"a\",\"_rev\":\"1-abc\",\"n\":8}]}",
        ),
        (
            "POST",
            at("/_bulk_docs"),
            &[JSON, ("Transfer-Encoding", "chunked")],
            b"e\r\n{\"docs\":[{\"_id\r\n16\r\n\":\"chunked\",\"n\":0}]}\n\n\r\n0\r\n\r\n",
        ),
        ("PUT", at("/parts"), &[MULTIPART], PARTS.as_bytes()),
        ("PUT", at("/attached/folder/file%20name.txt"), text, b"some text"),
        ("PUT", at("/attached2/%C3%A4/%E6%97%A5+x"), text, b"\r\n\r\nGET /\"x\" HTTP/1.1\r\n\r\n"),
        ("PUT", at("/attached3/large.bin"), &[("Content-Type", "application/octet-stream")], large),
        ("COPY", at("/a"), &[("Destination", "copied")], b""),
        ("POST", at("/_index"), &[JSON], b"{\"index\":{\"fields\":[\"n\"]},\"ddoc\":\"i\",\"name\":\"n\"}"),
        ("DELETE", at("/b2"), &[], b""),
        ("POST", at("/_revs_diff"), &[JSON], b"{\"a\":[\"1-abc\",\"9-x\"]}"),
        ("POST", at("/_ensure_full_commit"), &[JSON], b""),
    ]
}

#[test]
fn what_is_written_through_couchgate_is_what_is_written_past_it() {
    let both = Both::start();
    let gzipped = gzip(b"{\"zipped\":true}");
    let large: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for who in [&both.admin, &both.user] {
        let (past, through) = (both.database(), both.database());
        let requests = writes(&past, &gzipped, &large).into_iter();
        for (request, twin) in requests.zip(writes(&through, &gzipped, &large)) {
            let (_, target, ..) = &request;
            let expected = comparable(both.past(Some(who), &request));
            let (status, headers, body) = comparable(both.through(Some(who), &twin));
            let named = |text: String| text.replace(&through, &past);
            let headers = headers.into_iter().map(|(name, value)| (name, named(value))).collect();
            assert_eq!((status, headers, named(body)), expected, "{target}");
        }
        let all = |db: &str| {
            let target = format!("/{db}/_all_docs?include_docs=true&attachments=true");
            both.past(Some(&both.admin), &("GET", target, &[], b"")).expect(200).body
        };
        assert!(all(&past) == all(&through));
    }
}

#[test]
fn databases_come_and_go_through_couchgate_as_past_it() {
    let both = Both::start();
    for who in [Some(both.admin.as_str()), Some(&both.user), None] {
        let (past, through) = (unique("db"), unique("db"));
        for method in ["GET", "PUT", "PUT", "HEAD", "DELETE", "DELETE"] {
            let expected = comparable(both.past(who, &(method, format!("/{past}"), &[], b"")));
            let got = comparable(both.through(who, &(method, format!("/{through}"), &[], b"")));
            if method == "GET" || (method == "HEAD" && expected.0 == 200) {
                assert_eq!(got.0, expected.0, "{method} by {who:?}");
                continue;
            }
            let (status, headers, body) = got;
            let named = |text: String| text.replace(&through, &past);
            let headers = headers.into_iter().map(|(name, value)| (name, named(value))).collect();
            assert_eq!((status, headers, named(body)), expected, "{method} by {who:?}");
        }
    }
}

fn reads(db: &str) -> Vec<Request<'static>> {
    const MIXED: &[(&str, &str)] = &[("Accept", "multipart/mixed")];
    const AS_JSON: &[(&str, &str)] = &[("Accept", "application/json")];
    let at = |path: &str| format!("/{db}{path}");
    let mut reads: Vec<Request<'static>> = [
        "/_security",
        "/a",
        "/none",
        "/a?rev=1-abc",
        "/a?revs=true&conflicts=true",
        "/a?rev=x",
        "/gr%C3%B6%C3%9Fe",
        "/with%2Fslash",
        "//a",
        "/_design/d",
        "/_design%2Fd",
        "/_design/none",
        "/attached/folder/file%20name.txt",
        "/attached/folder%2Ffile%20name.txt",
        "/attached2/%C3%A4/%E6%97%A5+x",
        "/attached3/large.bin",
        "/attached/none",
        "/attached",
        "/parts?attachments=true",
        "/_all_docs",
        "/_all_docs?include_docs=true&limit=2",
        "/_all_docs?startkey=\"b\"&endkey=\"z\"",
        "/_all_docs?startkey=%22b%22&descending=true",
        "/_all_docs?key=b",
        "/_design/d/_view/by_n?reduce=false",
        "/_design/d/_view/by_n",
        "/_design/d/_view/by_n?group=true",
        "/_design/d/_view/by_n?key=2&reduce=false&include_docs=true",
        "/_design/d/_view/none",
        "/_index",
        "/_local_docs",
        "/_local/none",
        "/_changes",
        "/_changes?limit=2",
        "/_changes?descending=true",
        "/_changes?include_docs=true",
        "/_changes?style=all_docs",
        "/_changes?feed=longpoll&timeout=50",
        "/_changes?feed=continuous&timeout=50",
        "/_changes?feed=continuous&timeout=50&limit=2",
        "/_changes?feed=eventsource&timeout=50&limit=3",
        "/_changes?feed=longpoll&filter=_doc_ids&doc_ids=[\"a\"]",
    ]
    .into_iter()
    .flat_map(|path| [("GET", at(path), &[][..], &b""[..])])
    .collect();
    reads.extend([
        ("HEAD", at("/a"), &[][..], &b""[..]),
        ("HEAD", at("/none"), &[], b""),
        ("HEAD", at("/attached/folder/file%20name.txt"), &[], b""),
        ("HEAD", at("/_all_docs"), &[], b""),
        ("GET", at("/a?open_revs=all"), AS_JSON, b""),
        ("GET", at("/a?open_revs=[\"1-abc\",\"7-x\"]"), AS_JSON, b""),
        ("GET", at("/a?open_revs=all"), MIXED, b""),
        ("GET", at("/parts?attachments=true"), &[("Accept", "multipart/related")], b""),
        ("GET", at("/attached3/large.bin"), &[("Range", "bytes=5-20")], b""),
        ("GET", at("/attached3/large.bin"), &[("Accept-Encoding", "gzip")], b""),
        ("POST", at("/_all_docs"), &[JSON], b"{\"keys\":[\"a\",\"none\"]}"),
        ("POST", at("/_design/d/_view/by_n?reduce=false"), &[JSON], b"{\"keys\":[2,5]}"),
        ("POST", at("/_find"), &[JSON], b"{\"selector\":{\"n\":{\"$gt\":1}},\"limit\":3}"),
        ("POST", at("/_find"), &[JSON], b"{\"selector\":{\"x\":1}}"),
        ("POST", at("/_find"), &[JSON], b"{"),
        ("POST", at("/_bulk_get"), &[JSON], b"{\"docs\":[{\"id\":\"a\"},{\"id\":\"none\"}]}"),
        (
            "POST",
            at("/_bulk_get?revs=true"),
            &[JSON],
            b"{\"docs\":[{\"id\":\"a\",\"rev\":\"1-abc\"}]}",
        ),
        ("POST", at("/_changes?filter=_doc_ids"), &[JSON], b"{\"doc_ids\":[\"a\",\"b1\"]}"),
        ("POST", at("/_changes?filter=_selector"), &[JSON], b"{\"selector\":{\"n\":5}}"),
        ("PATCH", at("/a"), &[], b""),
        ("GET", "/".into(), &[], b""),
        ("GET", "/_up".into(), &[], b""),
        ("GET", "/_none".into(), &[], b""),
        ("GET", "/NOT-a-name".into(), &[], b""),
    ]);
    reads
}

#[test]
fn what_is_read_through_couchgate_is_what_is_read_past_it() {
    let both = Both::start();
    let db = both.database();
    let gzipped = gzip(b"{\"zipped\":true}");
    both.past(Some(&both.admin), &("PUT", format!("/{db}/_design/d"), &[JSON], DESIGN.as_bytes()))
        .expect(201);
    for request in writes(&db, &gzipped, &vec![b'x'; 100_000]) {
        both.past(Some(&both.admin), &request);
    }
    for request in reads(&db) {
        both.agree(&request);
    }
    // What a client has already is not sent again, on both ways.
    for path in ["a", "attached/folder/file%20name.txt"] {
        let target = format!("/{db}/{path}");
        let etag =
            both.agree(&("GET", target.clone(), &[], b"")).header("etag").unwrap().to_owned();
        let condition = [("If-None-Match", etag.as_str())];
        assert_eq!(both.agree(&("GET", target.clone(), &condition, b"")).status, 304, "{target}");
        assert_eq!(both.agree(&("HEAD", target, &condition, b"")).status, 304);
    }
}

/// Each feed tells of a change while it is open, in the bytes it would have without couchgate.
#[test]
fn an_open_feed_tells_of_a_change_at_once() {
    let both = Both::start();
    for (feed, end) in [("continuous", "\n"), ("eventsource", "\n\n"), ("longpoll", "}\n")] {
        let db = both.database();
        let target = format!("/{db}/_changes?feed={feed}&since=0&heartbeat=10000");
        let mut open = [both.gate.connect(), Connection::open(both.couch.address)];
        for connection in &mut open {
            let headers = [("Authorization", both.user.as_str())];
            let bytes = http::request("GET", &target, &headers, b"");
            connection.write(&bytes).unwrap();
            connection.head().unwrap().expect(200);
        }
        let doc = ("PUT", format!("/{db}/new"), &[JSON][..], &b"{}"[..]);
        both.through(Some(&both.user), &doc).expect(201);
        let [through, past] = open.map(|mut connection| {
            let mut seen = String::new();
            while !(seen.contains("\"new\"") && seen.ends_with(end)) {
                let chunk = connection.chunk().unwrap().expect("the feed ended");
                seen.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            // How long one waits differs.
            seen.replace("event: heartbeat\ndata: \n\n", "").trim_start().to_owned()
        });
        assert_eq!(through, past, "{feed}");
        assert!(through.contains("\"id\":\"new\""), "{feed}: {through}");
    }
}
