//! `/_session`: what couchgate answers itself, beyond the recorded answers of a CouchDB.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use support::{Gate, Recorder, Reply, basic};

/// Headers and body of a login.
type Login<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
const LIMIT: usize = 64 * 1024;

/// An upstream with the user jan, and couchgate before it.
fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, ini);
    (upstream, gate)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A login body of this many bytes.
fn json_of(length: usize) -> Vec<u8> {
    let mut body = br#"{"name":"jan","password":"apple","filler":""}"#.to_vec();
    let end = body.len() - 2;
    body.splice(end..end, std::iter::repeat_n(b'x', length - body.len()));
    body
}

#[track_caller]
fn error(reply: Reply, status: u16) -> (String, String) {
    let body = reply.expect(status).json();
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    (text("error"), text("reason"))
}

#[test]
fn a_login_may_be_a_form_or_json_and_json_may_be_compressed() {
    let (_upstream, gate) = jan("");
    let with_charset = ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8");
    let json_with_charset = ("Content-Type", "application/json; charset=utf-8");
    let body = br#"{"name":"jan","password":"apple"}"#;
    let bodies: [Login<'_>; 11] = [
        (&[FORM], b"name=jan&password=apple"),
        (&[with_charset], b"password=apple&name=jan\r\n"),
        (&[FORM], b"username=jan&password=%61pple&name=jan&other=1"),
        (&[FORM], b"username=jan;password=apple"),
        (&[JSON], body),
        (&[json_with_charset], b" {\"password\":\"\\u0061pple\",\"username\":\"jan\"} \n"),
        (&[JSON], br#"{"name":"jan","username":"jan","password":"apple"}"#),
        (&[JSON, GZIP], &gzip(body)),
        (&[JSON], &json_of(LIMIT)),
        (&[JSON, GZIP], &gzip(&json_of(LIMIT))),
        (
            &[JSON, ("Transfer-Encoding", "chunked")],
            b"21\r\n{\"name\":\"jan\",\"password\":\"apple\"}\r\n0\r\n\r\n",
        ),
    ];
    for (headers, body) in bodies {
        let reply = gate.request("POST", "/_session", headers, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(reply.status, 200, "{shown}: {reply:?}");
        assert_eq!(reply.json(), json!({ "ok": true, "name": "jan", "roles": ["dev"] }));
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap();
        let session = gate.get("/_session", &[("Cookie", cookie)]).json();
        assert_eq!(session["userCtx"], json!({ "name": "jan", "roles": ["dev"] }), "{shown}");
        assert_eq!(session["info"]["authenticated"], "cookie");
    }
}

#[test]
fn a_login_that_cannot_be_understood_says_why() {
    let (_upstream, gate) = jan("");
    let bomb = gzip(&json_of(10_000_000));
    assert!(bomb.len() < LIMIT);
    let cut = gzip(br#"{"name":"jan","password":"apple"}"#);
    let too_large = "The request body exceeds 65536 bytes.";
    let missing = "request body must contain a username";
    let different = "request body contains different usernames";
    let strings = "The values in the request body must be strings";
    let types = "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'";
    let cases: [(Login<'_>, u16, &str); 24] = [
        ((&[FORM], b""), 400, missing),
        ((&[FORM], b"password=apple"), 400, missing),
        ((&[FORM], b"name=jan&username=tom&password=apple"), 400, different),
        ((&[FORM], b"name=&username=jan&password=apple"), 400, different),
        ((&[FORM], b"name=jan&password=\xff"), 400, "invalid form: not UTF-8"),
        ((&[FORM], &vec![b'x'; LIMIT + 1]), 413, too_large),
        ((&[JSON], b"{}"), 400, missing),
        ((&[JSON], br#"{"name":"jan","username":"tom"}"#), 400, different),
        ((&[JSON], b""), 400, "invalid UTF-8 JSON"),
        ((&[JSON], b"{\"name\":\"jan\""), 400, "invalid UTF-8 JSON"),
        ((&[JSON], b"{\"name\":\"jan\xff\"}"), 400, "invalid UTF-8 JSON"),
        ((&[JSON], b"\"jan\""), 400, "Request body must be a JSON object"),
        ((&[JSON], br#"{"name":1,"password":"apple"}"#), 400, strings),
        ((&[JSON], br#"{"name":"jan","password":null}"#), 400, strings),
        ((&[JSON], br#"{"name":["jan"],"password":"apple"}"#), 400, strings),
        ((&[JSON], br#"{"name":"jan","password":{"$ne":""}}"#), 400, strings),
        ((&[JSON], &json_of(LIMIT + 1)), 413, too_large),
        ((&[JSON, GZIP], &gzip(&json_of(LIMIT + 1))), 413, too_large),
        ((&[JSON, GZIP], &bomb), 413, too_large),
        ((&[JSON, GZIP], b"{}"), 400, "The request body is not gzip."),
        ((&[JSON, GZIP], &cut[..cut.len() - 4]), 400, "The request body is not gzip."),
        ((&[], b"name=jan&password=apple"), 415, types),
        ((&[("Content-Type", "multipart/form-data")], b"x"), 415, types),
        ((&[("Content-Type", "text/json")], b"{}"), 415, types),
    ];
    for ((headers, body), status, reason) in cases {
        let word = match status {
            413 => "too_large",
            415 => "bad_content_type",
            _ => "bad_request",
        };
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let reply = gate.request("POST", "/_session", headers, body);
        assert!(reply.all("set-cookie").is_empty(), "{shown}: {reply:?}");
        assert_eq!(error(reply, status), (word.to_owned(), reason.to_owned()), "{shown}");
    }
}

#[test]
fn a_login_of_unknown_length_is_no_larger_either() {
    let (_upstream, gate) = jan("");
    let chunk = format!("{:x}\r\n{}\r\n", LIMIT, "x".repeat(LIMIT));
    let body = format!("{chunk}1\r\nx\r\n0\r\n\r\n");
    let headers = [FORM, ("Transfer-Encoding", "chunked")];
    let reply = gate.request("POST", "/_session", &headers, body.as_bytes());
    assert_eq!(error(reply, 413).0, "too_large");
}

#[test]
fn a_redirect_stays_here() {
    let trusting = "[couchgate]\ntrusted_proxies = 127.0.0.0/8\n";
    for (ini, scheme) in [("", "http"), (trusting, "https")] {
        let (_upstream, gate) = jan(ini);
        for (path, location) in [
            ("/db/doc", Some("/db/doc")),
            ("/", Some("/")),
            ("/a%20b/%C3%A4?x=1%26y=2%23top", Some("/a%20b/%C3%A4?x=1&y=2#top")),
            ("/db/a%252Fb", Some("/db/a%2Fb")),
            ("//evil.example/x", None),
            ("%2F%2Fevil.example/x", None),
            ("/%5Cevil.example", None),
            ("%5C%5Cevil.example", None),
            ("/%09/evil.example", None),
            ("/%0D%0ASet-Cookie:%20a=b", None),
            ("%20//evil.example", None),
            ("http://evil.example/", None),
            ("https:evil.example", None),
            ("javascript:alert(1)", None),
            ("evil.example", None),
            ("@evil.example", None),
            (".evil.example", None),
            (":80@evil.example", None),
            ("", None),
        ] {
            let expected = location.map(|path| format!("{scheme}://our.example:5994{path}"));
            for (method, key, body, otherwise) in [
                ("POST", "next", "name=jan&password=apple", 200),
                ("POST", "fail", "name=jan&password=wrong", 401),
                ("DELETE", "next", "", 200),
            ] {
                let headers = [
                    FORM,
                    ("Host", "our.example:5994"),
                    ("X-Forwarded-Host", "evil.example"),
                    ("X-Forwarded-Proto", "https"),
                ];
                let target = format!("/_session?{key}={path}");
                let reply = gate.request(method, &target, &headers, body.as_bytes());
                let status = if expected.is_some() { 302 } else { otherwise };
                assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
                assert_eq!(reply.header("location"), expected.as_deref(), "{method} {target}");
                assert_eq!(reply.all("set-cookie").len(), 1, "{method} {target}");
            }
        }
    }
}

#[test]
fn a_redirect_is_for_the_outcome_it_names() {
    let (_upstream, gate) = jan("");
    let wrong = gate.request("POST", "/_session?next=/in", &[FORM], b"name=jan&password=wrong");
    assert_eq!(wrong.expect(401).header("location"), None);
    let right = gate.request("POST", "/_session?fail=/out", &[FORM], b"name=jan&password=apple");
    assert_eq!(right.expect(200).header("location"), None);
}

#[test]
fn session_is_never_forwarded_however_it_is_written() {
    let (upstream, gate) = jan("");
    for target in [
        "/_session",
        "/_session/",
        "//_session",
        "///_session//",
        "/%5Fsession",
        "/%5fsessio%6E",
        "/_session?x=1",
        "/_session/x",
        "/_session//x/y",
        "/%5Fsession/x?basic=false",
    ] {
        let session = gate.get(target, &[]).expect(200).json();
        assert_eq!(session["userCtx"], json!({ "name": null, "roles": [] }), "{target}");
        gate.request("HEAD", target, &[], b"").expect(200);
        gate.request("DELETE", target, &[], b"").expect(200);
        let login = gate.request("POST", target, &[FORM], b"name=jan&password=apple");
        assert_eq!(login.expect(200).json()["name"], "jan", "{target}");
        for method in ["PUT", "PATCH", "COPY", "OPTIONS", "PURGE"] {
            let reply = gate.request(method, target, &[], b"");
            assert_eq!(reply.header("allow"), Some("GET,HEAD,POST,DELETE"), "{method} {target}");
            let only = "Only GET,HEAD,POST,DELETE allowed".to_owned();
            assert_eq!(
                error(reply, 405),
                ("method_not_allowed".to_owned(), only),
                "{method} {target}"
            );
        }
        assert!(upstream.take().is_empty(), "{target}");
    }
    for target in ["/_session%2Fx", "/_sessionx", "/db/_session", "/_Session", "/+_session"] {
        gate.get(target, &[]).expect(200);
        assert_eq!(upstream.only().target, target.as_bytes());
    }
}

#[test]
fn logging_in_is_all_that_nobody_may_do_where_a_valid_user_is_required() {
    let (upstream, gate) = jan("[chttpd]\nrequire_valid_user = true\n");
    let body = b"name=jan&password=apple";
    for target in ["/_session", "/_session/", "/%5Fsession?next=nowhere"] {
        let login = gate.request("POST", target, &[FORM], body).expect(200);
        let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap();
        let session = gate.get("/_session", &[("Cookie", cookie)]).expect(200).json();
        assert_eq!(session["userCtx"]["name"], "jan");
    }
    for (method, target) in [
        ("GET", "/_session"),
        ("HEAD", "/_session"),
        ("DELETE", "/_session"),
        ("PUT", "/_session"),
        ("POST", "/_session/x"),
        ("POST", "/db"),
        ("GET", "/"),
    ] {
        let reply =
            gate.request(method, target, &[FORM], if method == "POST" { body } else { b"" });
        assert_eq!(reply.status, 401, "{method} {target}");
        assert!(reply.header("www-authenticate").is_some(), "{method} {target}");
        assert_eq!(reply.header("set-cookie"), None, "{method} {target}");
    }
    let wrong = gate.request("POST", "/_session", &[FORM], b"name=jan&password=wrong");
    assert_eq!(error(wrong, 401).1, "Name or password is incorrect.");
    assert!(upstream.take().is_empty());
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (_upstream, gate) = jan("");
    let credentials = basic("jan", "apple");
    let mut connection = gate.connect();
    for headers in [&[][..], &[("Authorization", &*credentials)]] {
        let head = connection.request("HEAD", "/_session", headers, b"").expect(200);
        let get = connection.request("GET", "/_session", headers, b"").expect(200);
        let compared = |reply: &Reply| {
            let varying = ["date", "x-couch-request-id"];
            let headers =
                reply.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str()));
            headers.cloned().collect::<Vec<_>>()
        };
        assert_eq!(compared(&head), compared(&get));
        assert!(head.body.is_empty());
        assert_eq!(get.header("content-length"), Some(&*get.body.len().to_string()));
    }
}

#[test]
fn the_session_shows_what_is_configured() {
    let ini = "[chttpd]\nauthentication_handlers = {chttpd_auth, proxy_authentication_handler}, default\n\
               [chttpd_auth]\nauthentication_db = _users\n";
    let (_upstream, gate) = jan(ini);
    let nobody = gate.get("/_session", &[]).expect(200).json();
    let handlers = json!({
        "authentication_handlers": ["proxy", "default"], "authentication_db": "_users",
    });
    assert_eq!(nobody["info"], handlers);
    let jan = gate.get("/_session", &[("Authorization", &basic("jan", "apple"))]).expect(200);
    assert_eq!(jan.json()["info"]["authenticated"], "default");
}
