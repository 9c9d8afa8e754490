//! What a signature leaves of a request: all of it but the credential.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;
use support::{
    Gate, Recorder, StreamUpstream, basic, eventually,
    http::request,
    oauth::{self, FORM, INI, Request, respelt},
};

fn jan() -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, INI);
    (upstream, gate)
}

#[test]
fn a_session_says_how_it_was_authenticated() {
    let (upstream, gate) = jan();
    let signed = Request::get("/_session?basic=true");
    for reply in [
        gate.get(&signed.target, &[("Authorization", &signed.header())]),
        gate.get(&Request::get("/_session").in_query(), &[]),
    ] {
        let session = reply.expect(200).json();
        assert_eq!(session["userCtx"], json!({ "name": "jan", "roles": ["dev"] }));
        assert_eq!(session["info"]["authenticated"], "oauth");
        let handlers = &session["info"]["authentication_handlers"];
        let all = ["oauth", "cookie", "proxy", "authkey", "download_token", "default"];
        assert_eq!(*handlers, json!(all));
    }
    let head = Request::new("HEAD", "/_session").header();
    let reply = gate.request("HEAD", "/_session", &[("Authorization", &head)], b"").expect(200);
    assert!(reply.header("set-cookie").is_none());
    assert_eq!(upstream.take().len(), 0);
}

/// `@` stands for the protocol parameters of a signed request; with what is left of the query.
const QUERIES: &[(&str, &str)] = &[
    ("?@", ""),
    ("?@&", ""),
    ("?&@", ""),
    ("?a=b&@", "?a=b"),
    ("?@&a=b", "?a=b"),
    ("?a=b&@&c=d", "?a=b&c=d"),
    ("?a=b;@;c=d", "?a=b;c=d"),
    ("?a=%62&&@&;c=+%2B%20~!$'()*,:/?", "?a=%62&&;c=+%2B%20~!$'()*,:/?"),
    (
        "?startkey=[%22a%22,{}]&@&endkey=%22oauth_token=%22",
        "?startkey=[%22a%22,{}]&endkey=%22oauth_token=%22",
    ),
    (
        "?xoauth_token=1&@&OAUTH_token=2&oauth=3&oauthtoken=4&oauth-token=5",
        "?xoauth_token=1&OAUTH_token=2&oauth=3&oauthtoken=4&oauth-token=5",
    ),
    ("?a=oauth_token&@&oauth_x&b", "?a=oauth_token&b"),
    ("?oauth_x=1&a&@", "?a"),
    ("?a&oauth_x;oauth_y=2&@&%6fauth_z=3&b", "?a&b"),
];

#[test]
fn the_query_loses_the_signature_and_nothing_else() {
    let (upstream, gate) = jan();
    for (query, left) in QUERIES {
        for form in [oauth::form, respelt_names] {
            let target = format!("/db/a%2Fb{}", query.replace('@', ""));
            let pairs = form(&Request::get(&target).pairs());
            gate.get(&format!("/db/a%2Fb{}", query.replace('@', &pairs)), &[]).expect(200);
            let request = upstream.only();
            let arrived = String::from_utf8(request.target.clone()).unwrap();
            assert_eq!(arrived, format!("/db/a%2Fb{left}"), "{query}");
            assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
            assert!(request.folded("authorization").is_empty());
        }
        // Signed in the header: what was in the query beside it is the client's own.
        let own = format!("/db{}", query.replace('@', "mine=1"));
        let header = Request::get(&own).header();
        gate.get(&own, &[("Authorization", &header)]).expect(200);
        let request = upstream.only();
        assert!(request.folded("authorization").is_empty());
        assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
    }
}

/// A form whose names are percent-encoded whole.
fn respelt_names(pairs: &oauth::Pairs) -> String {
    let pairs =
        pairs.iter().map(|(name, value)| format!("{}={}", respelt(name), oauth::encode(value)));
    pairs.collect::<Vec<_>>().join(";")
}

#[test]
fn protocol_parameters_stop_whoever_asks() {
    let (upstream, gate) = jan();
    let jan = basic("jan", "apple");
    for (query, left) in [
        ("?oauth_x", ""),
        ("?oauth_x=1&", ""),
        ("?a&oauth_", "?a"),
        ("?oauth%5Ftoken=1&a=b", "?a=b"),
        ("?%6F%61%75%74%68%5F%78=1;a=b", "?a=b"),
        ("?%6fauth_signature=s&a=b&oauth_signature=s", "?a=b"),
        (
            "?a=1&%2Foauth_x&%20oauth_x&+oauth_x&oauth+_x",
            "?a=1&%2Foauth_x&%20oauth_x&+oauth_x&oauth+_x",
        ),
        // Decoded once, as CouchDB does it.
        ("?oauth%255Ftoken=1", "?oauth%255Ftoken=1"),
        ("?oauth_\u{fc}=1&\u{fc}=2", "?\u{fc}=2"),
    ] {
        for headers in [&[][..], &[("Authorization", jan.as_str())]] {
            for method in ["GET", "PUT", "DELETE", "HEAD"] {
                gate.request(method, &format!("/db/doc{query}"), headers, b"").expect(200);
                let request = upstream.only();
                let arrived = String::from_utf8_lossy(&request.target).into_owned();
                let unencoded = arrived.replace("%C3%BC", "\u{fc}");
                assert_eq!(unencoded, format!("/db/doc{left}"), "{query}");
                let names = request.all("x-auth-couchdb-username").len();
                assert_eq!(names, headers.len(), "{query}");
            }
        }
    }
}

#[test]
fn a_form_arrives_as_it_was_sent() {
    let (upstream, gate) = jan();
    let jan = basic("jan", "apple");
    let long = format!("a={}", "%20x+".repeat(5000));
    for form in ["a=b&a=b&&;c", "a=%c3%bc&%61=+%20", &long, "a", ""] {
        let signed = || Request::post("/db", form);
        let (header, in_query, in_form) =
            (signed().header(), signed().in_query(), signed().in_form());
        for (what, target, authorization, body) in [
            ("signed in the header", "/db", Some(&header), form),
            ("signed in the query", &in_query, None, form),
            ("signed in the form", "/db", None, &in_form),
            ("with Basic", "/db", Some(&jan), form),
            ("of nobody", "/db", None, form),
        ] {
            let user = usize::from(what != "of nobody");
            let mut headers = vec![FORM];
            headers.extend(authorization.map(|value| ("Authorization", value.as_str())));
            let length = body.len().to_string();
            headers.push(("Content-Length", &length));
            gate.request("POST", target, &headers, body.as_bytes()).expect(200);
            let request = upstream.only();
            assert_eq!(request.body, body.as_bytes(), "{what}");
            assert_eq!(request.all("content-length"), [length.as_bytes()], "{what}");
            assert_eq!(request.all("content-type"), [FORM.1.as_bytes()], "{what}");
            assert!(!request.chunked, "{what}");
            assert_eq!(request.all("x-auth-couchdb-username").len(), user, "{what}");
        }
    }
}

#[test]
fn a_chunked_form_stays_chunked() {
    let (upstream, gate) = jan();
    let jan = basic("jan", "apple");
    for form in ["a=b&c=d", ""] {
        let signed = Request::post("/db", form);
        for (what, authorization, body) in [
            ("signed in the header", Some(&signed.header()), form),
            ("signed in the form", None, &*Request::post("/db", form).in_form()),
            ("with Basic", Some(&jan), form),
            ("of nobody", None, form),
        ] {
            let mut headers = vec![FORM, ("Transfer-Encoding", "chunked")];
            headers.extend(authorization.map(|value| ("Authorization", value.as_str())));
            // One byte each.
            let mut chunks: Vec<u8> =
                body.bytes().flat_map(|byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']).collect();
            // A trailer does not pass what looked at the head.
            chunks.extend_from_slice(b"0\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n");
            gate.request("POST", "/db", &headers, &chunks).expect(200);
            let request = upstream.only();
            assert_eq!(request.body, body.as_bytes(), "{what}: {form}");
            assert!(
                request.chunked && request.all("content-length").is_empty(),
                "{what}: {form:?}"
            );
            let roles: &[&[u8]] = if what == "of nobody" { &[] } else { &[b"dev"] };
            assert_eq!(request.all("x-auth-couchdb-roles"), roles, "{what}");
        }
    }
}

#[test]
fn a_clients_identity_headers_are_removed_all_the_same() {
    let (upstream, gate) = jan();
    let signed = Request::get("/db").header();
    let headers = [
        ("Authorization", signed.as_str()),
        ("X-Auth-CouchDB-UserName", "admin"),
        ("X-Auth-CouchDB-Roles", "_admin"),
        ("X-Auth-CouchDB-Token", "token"),
        ("x_auth_couchdb_roles", "_admin"),
        ("Connection", "X-Auth-CouchDB-UserName, X-Auth-CouchDB-Roles"),
    ];
    gate.get("/db", &headers).expect(200);
    let request = upstream.only();
    assert_eq!(request.folded("x-auth-couchdb-username"), [b"jan"]);
    assert_eq!(request.folded("x-auth-couchdb-roles"), [b"dev"]);
    let token = support::sign::token(support::SECRET, "jan");
    assert_eq!(request.folded("x-auth-couchdb-token"), [token.as_bytes()]);
}

#[test]
fn the_access_log_has_no_query_and_says_who_it_was() {
    let (_upstream, gate) = jan();
    gate.get(&Request::get("/db/logged?a=b").in_query(), &[]).expect(200);
    let line =
        eventually("the line", || gate.log().into_iter().find(|line| line["path"] == "/db/logged"));
    assert_eq!(line["user"], "jan", "{line}");
    assert_eq!(line["handler"], "oauth", "{line}");
    for part in ["oauth_", "a=b", "nonce", "?"] {
        assert!(!line.to_string().contains(part), "{part} in {line}");
    }
}

/// With the user remembered nobody has to be asked.
#[test]
fn signed_requests_ask_couchdb_nothing() {
    let (upstream, gate) = jan();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    upstream.own(move |request| {
        let is_known = request.target.starts_with(b"/_users/org.couchdb.user:")
            || request.target.starts_with(b"/_users/_design/")
            || request.target.starts_with(b"/_node/");
        count.fetch_add(usize::from(is_known), Ordering::SeqCst);
        None
    });
    eventually("the users' feed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
    gate.get(&Request::get("/db").in_query(), &[]).expect(200);
    let before = asked.load(Ordering::SeqCst);
    assert!(before > 0, "the user is asked for");
    let mut connection = gate.connect();
    for _ in 0..100 {
        let signed = Request::get("/db").header();
        connection.request("GET", "/db", &[("Authorization", &signed)], b"").expect(200);
        connection.request("GET", &Request::get("/db").in_query(), &[], b"").expect(200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

/// What is no form passes, whatever its size, and is not kept.
#[test]
fn a_signed_upload_streams() {
    const BLOCKS: usize = 256;
    let block = vec![b'x'; 1024 * 1024];
    let upstream = StreamUpstream::start();
    let root = "[couchgate]\nadmins_from_upstream = false\n[admins]\njan = -hashed-aa,salt\n";
    let gate = Gate::start(&upstream.url, &format!("{INI}{root}"));
    let before = gate.memory_kib();
    let signed = Request::new("PUT", "/db/doc/attachment").header();
    let length = (BLOCKS * block.len()).to_string();
    let headers = [
        ("Authorization", signed.as_str()),
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", &length),
    ];
    let mut client = gate.connect();
    client.write(&request("PUT", "/db/doc/attachment", &headers, b"")).unwrap();
    thread::scope(|scope| {
        let mut socket = client.socket();
        let sent = scope.spawn(move || (0..BLOCKS).try_for_each(|_| socket.write_all(&block)));
        let mut exchange = upstream.next();
        assert_eq!(exchange.header("x-auth-couchdb-username"), Some("jan"));
        let mut scratch = vec![0; 1024 * 1024];
        let mut body = exchange.body();
        let mut read = 0;
        loop {
            match body.read(&mut scratch).unwrap() {
                0 => break,
                n => read += n,
            }
        }
        assert_eq!(read.to_string(), length);
        sent.join().unwrap().unwrap();
        exchange.answer(b"{\"ok\":true}\n");
    });
    client.reply(false).unwrap().expect(200);
    let growth = gate.peak_memory_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{before} KiB grow by {growth} KiB");
}
