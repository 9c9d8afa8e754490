//! Links that do not open: one answer for all, and CouchDB hears nothing of them.

use std::sync::{Arc, Mutex};

use super::{APP, NAMES, OLD, REFUSAL, ini, now, path, token};
use crate::support::{Gate, Recorder, Reply};

/// An upstream, and the targets in databases that couchgate itself asks it for.
fn upstream() -> (Recorder, Arc<Mutex<Vec<String>>>) {
    let (upstream, asked) = (Recorder::start(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&asked);
    upstream.own(move |request| {
        let target = String::from_utf8_lossy(&request.target).into_owned();
        if !target.starts_with("/_") {
            seen.lock().unwrap().push(target);
        }
        None
    });
    (upstream, asked)
}

/// The answer, but for what differs from one to the next.
fn said(reply: Reply) -> (u16, Vec<(String, String)>, String) {
    let varies = |name: &str| matches!(name, "date" | "x-couch-request-id");
    let headers = reply.headers.into_iter().filter(|(name, _)| !varies(name)).collect();
    (reply.status, headers, String::from_utf8(reply.body).unwrap())
}

/// Tokens of links that do not open `/db/doc/dir/a`, and why.
fn wrong() -> Vec<(&'static str, String)> {
    let names = ["db", "doc", "dir/a"];
    let later = now() + 600;
    let good = token(APP, names, later);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let expires = |text: &str| good.replacen(&later.to_string(), text, 1);
    let last = good[..good.len() - 1].to_owned();
    vec![
        ("expired long ago", token(APP, names, 1)),
        ("expired", token(APP, names, now())),
        ("never in force", token(APP, names, 0)),
        ("no such key", token(&APP.replacen("app", "apq", 1), names, later)),
        ("the id of another key", good.replacen("app", "old-1", 1)),
        ("the secret of another key", token(&OLD.replacen("old-1", "app", 1), names, later)),
        ("an empty id", good.replacen(".app.", "..", 1)),
        ("an id in capitals", good.replacen("app", "APP", 1)),
        ("another database", token(APP, ["other", "doc", "dir/a"], later)),
        ("another document", token(APP, ["db", "doc2", "dir/a"], later)),
        ("another attachment", token(APP, ["db", "doc", "dir/b"], later)),
        ("a part of the name", token(APP, ["db", "doc", "a"], later)),
        ("names divided otherwise", token(APP, ["db", "doc/dir", "a"], later)),
        ("names divided within", token(APP, ["db", "docd", "ir/a"], later)),
        ("names in another order", token(APP, ["doc", "db", "dir/a"], later)),
        ("a name that is encoded", token(APP, ["db", "doc", "dir%2Fa"], later)),
        ("a longer life", expires(&(later + 1).to_string())),
        ("the same time otherwise", expires(&format!("0{later}"))),
        ("a sign", expires(&format!("%2B{later}"))),
        ("a negative time", expires(&format!("-{later}"))),
        ("a fraction", expires(&format!("{later}.0"))),
        ("an exponent", expires("1e18")),
        ("a time too large", expires("99999999999999999999")),
        ("no time", expires("")),
        ("a blank", expires(&format!("%20{later}"))),
        ("no signature", format!("{signed}.")),
        ("no fourth part", signed.to_owned()),
        ("a fifth part", format!("{good}.")),
        ("a fifth part in front", good.replacen("couchgate1.", "couchgate1..", 1)),
        ("only the scheme", "couchgate1.".to_owned()),
        ("only dots", "couchgate1...".to_owned()),
        ("half a signature", format!("{signed}.{}", &signature[..21])),
        ("a signature cut short", last.clone()),
        ("a longer signature", format!("{good}A")),
        ("another signature", format!("{signed}.{}", "A".repeat(43))),
        ("a signature with padding", format!("{good}=")),
        ("another alphabet", format!("{signed}.{}", "%2B%2F".repeat(16))),
        ("the last character's spare bits", spare_bits(&last, &good)),
        ("a line end", format!("{good}%0A")),
        ("a zero byte", format!("{good}%00")),
        ("a blank before", format!("couchgate1.%20{}", &good["couchgate1.".len()..])),
        ("not UTF-8", format!("{good}%FF")),
        ("very long", format!("couchgate1.app.{later}.{}", "A".repeat(9000))),
    ]
}

/// 43 characters are two bits more than 32 bytes: four spellings, of which one is right.
fn spare_bits(all_but_last: &str, good: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = good.bytes().last().unwrap();
    let at = ALPHABET.iter().position(|byte| *byte == last).unwrap();
    format!("{all_but_last}{}", char::from(ALPHABET[at ^ 1]))
}

#[test]
fn every_failure_is_the_same_403_and_asks_nobody() {
    let (upstream, asked) = upstream();
    let gate = Gate::start(&upstream.url, &ini(""));
    let good = token(APP, ["db", "doc", "dir/a"], now() + 600);
    gate.get(&format!("/db/doc/dir/a?token={good}"), &[]).expect(200);
    upstream.only();

    let mut answers = Vec::new();
    for (why, token) in wrong() {
        let reply = said(gate.get(&format!("/db/doc/dir/a?token={token}"), &[]));
        assert_eq!((reply.0, &*reply.2), (403, REFUSAL), "{why}: {reply:?}");
        answers.push((why, reply));
        let head = gate.request("HEAD", &format!("/db/doc/dir/a?token={token}"), &[], b"");
        assert_eq!(head.status, 403, "{why}");
    }
    let (_, first) = answers[0].clone();
    let any = ("access-control-allow-origin".to_owned(), "*".to_owned());
    assert!(first.1.contains(&any), "{first:?}");
    for (why, answer) in &answers {
        assert_eq!(*answer, first, "{why}");
    }
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
    let log = format!("{:?}", gate.log());
    assert!(!log.contains("canary") && !log.contains("couchgate1."), "{log}");
}

#[test]
fn what_a_link_opens_is_asked_for_in_one_form() {
    let (upstream, asked) = upstream();
    let gate = Gate::start(&upstream.url, &ini(""));
    for [doc, attachment] in NAMES {
        let names = ["a/b", doc, attachment];
        let token = token(APP, names, now() + 600);
        let encoded = path(&names);
        for target in [
            format!("{encoded}?token={token}"),
            format!("/{encoded}?rev=1-a&token={token}&attachments=true"),
            format!("{encoded}?x;%74oken={token};y=%zz"),
        ] {
            for method in ["GET", "HEAD"] {
                let headers = [("X-HTTP-Method-Override", "DELETE"), ("Cookie", "a=b")];
                gate.request(method, &target, &headers, b"").expect(200);
                let sent = upstream.only();
                assert_eq!(String::from_utf8_lossy(&sent.target), written(&encoded), "{target}");
                assert_eq!(sent.method, method, "{target}");
                assert_eq!(sent.all("x-auth-couchdb-username"), [b"couchgate"], "{target}");
                assert_eq!(sent.body, b"");
            }
        }
    }
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
    let log = format!("{:?}", gate.log());
    assert!(!log.contains("canary") && !log.contains("couchgate1."), "{log}");
}

/// An encoded path as couchgate writes it: `-`, `.`, `_` and `~` need no encoding.
fn written(encoded: &str) -> String {
    let plain = [("%2D", "-"), ("%2E", "."), ("%5F", "_"), ("%7E", "~")];
    plain.iter().fold(encoded.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_link_is_nothing_to_other_methods_paths_and_databases() {
    let (upstream, asked) = upstream();
    let gate = Gate::start(&upstream.url, &ini("databases = db, more"));
    let (in_db, unlisted) = (["db", "doc", "a"], ["unlisted", "doc", "a"]);
    for (method, path, names) in [
        ("PUT", "/db/doc/a", in_db),
        ("DELETE", "/db/doc/a", in_db),
        ("POST", "/db/doc/a", in_db),
        ("OPTIONS", "/db/doc/a", in_db),
        ("COPY", "/db/doc/a", in_db),
        ("GET", "/db/doc", in_db),
        ("GET", "/db", in_db),
        ("GET", "/", in_db),
        ("GET", "/db/_design/doc/a", in_db),
        ("GET", "/db/_local/doc/a", in_db),
        ("GET", "/db/doc/%2E%2E/a", in_db),
        ("GET", "/_users/doc/a", in_db),
        ("GET", "/unlisted/doc/a", unlisted),
        ("HEAD", "/unlisted/doc/a", unlisted),
    ] {
        let token = token(APP, names, now() + 600);
        gate.request(method, &format!("{path}?token={token}&rev=1-a"), &[], b"").expect(200);
        let sent = upstream.only();
        assert_eq!(sent.method, method);
        assert_eq!(String::from_utf8_lossy(&sent.target), format!("{path}?rev=1-a"), "{method}");
        assert!(sent.folded("x-auth-couchdb-username").is_empty(), "{method} {path}");
        assert!(sent.folded("x-auth-couchdb-roles").is_empty(), "{method} {path}");
    }
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
    gate.get(&format!("/db/doc/a?token={}", token(APP, in_db, now() + 600)), &[]).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"couchgate"]);
}

#[test]
fn a_link_comes_under_the_configured_name_only() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, &ini("param = the link+"));
    let good = token(APP, ["db", "doc", "a"], now() + 600);
    gate.get(&format!("/db/doc/a?the%20link%2B={good}&token=x"), &[]).expect(200);
    let sent = upstream.only();
    assert_eq!(sent.target, b"/db/doc/a");
    assert_eq!(sent.all("x-auth-couchdb-username"), [b"couchgate"]);

    gate.get(&format!("/db/doc/a?token={good}"), &[]).expect(200);
    let sent = upstream.only();
    assert_eq!(String::from_utf8_lossy(&sent.target), format!("/db/doc/a?token={good}"));
    assert!(sent.folded("x-auth-couchdb-username").is_empty());
}
