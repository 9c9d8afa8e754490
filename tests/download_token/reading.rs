//! How couchgate reads the document whose token it compares: once for all who ask at once, and
//! whole or not at all.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{MISSING, WRONG, assert_refused};
use crate::support::{
    Gate, Recorder, eventually,
    recorder::{Action, answer, ok},
};

const DOCUMENT: &[u8] = br#"{"_id":"doc","_rev":"1-a","download_token":"t"}"#;

/// An upstream that answers with `document` when it is asked for `/db/doc`.
fn upstream(document: impl Fn() -> Action + Send + Sync + 'static) -> Recorder {
    let upstream = Recorder::start();
    upstream.own(move |request| (request.target == b"/db/doc").then(&document));
    upstream
}

#[test]
fn many_at_once_have_a_document_read_once() {
    const MANY: u8 = 12;
    let readings = Arc::new(AtomicUsize::new(0));
    let door = Arc::new((Mutex::new(false), Condvar::new()));
    let (counted, waited) = (Arc::clone(&readings), Arc::clone(&door));
    let upstream = upstream(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let (open, changed) = &*waited;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Action::Answer(ok(DOCUMENT))
    });
    let gate = Gate::start(&upstream.url, "[download_token]\ncache_ttl = 60\n");
    thread::scope(|scope| {
        for number in 0..MANY {
            let (gate, token) = (&gate, if number % 2 == 0 { "t" } else { "x" });
            scope.spawn(move || {
                let reply = gate.get(&format!("/db/doc/a{number}?token={token}"), &[]);
                assert_eq!(reply.status, if number % 2 == 0 { 200 } else { 403 });
            });
        }
        eventually("all are waiting", || {
            let waiting = gate.metric("couchgate_requests_in_flight");
            (waiting >= f64::from(MANY)).then_some(())
        });
        *door.0.lock().unwrap() = true;
        door.1.notify_all();
    });
    assert_eq!(readings.load(Ordering::SeqCst), 1);
    assert_eq!(upstream.take().len(), usize::from(MANY / 2));
    for _ in 0..3 {
        gate.get("/db/doc/again?token=t", &[]).expect(200);
    }
    assert_eq!(readings.load(Ordering::SeqCst), 1, "it is remembered");
}

/// What CouchDB answers after a while may have been wrong for as long.
#[test]
fn a_reading_is_believed_from_when_it_began() {
    const SLOW: Duration = Duration::from_millis(1300);
    let readings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&readings);
    let upstream = upstream(move || {
        if counted.fetch_add(1, Ordering::SeqCst) > 0 {
            return Action::Answer(ok(br#"{"_rev":"2-b","download_token":"new"}"#));
        }
        thread::sleep(SLOW);
        Action::Answer(ok(DOCUMENT))
    });
    let gate = Gate::start(&upstream.url, "[download_token]\ncache_ttl = 1\n");
    let ask = || gate.get("/db/doc/a?token=t", &[]).status;
    thread::scope(|scope| {
        let first = scope.spawn(ask);
        eventually("the reading begins", || (readings.load(Ordering::SeqCst) == 1).then_some(()));
        let second = scope.spawn(ask);
        assert_eq!(first.join().unwrap(), 200);
        assert_eq!(second.join().unwrap(), 403, "it waited for what was read before it asked");
    });
    assert_eq!(ask(), 403);
    // Of these seconds none were the attachment's.
    assert!(gate.metric("couchgate_upstream_seconds_sum") < 1.0);
}

/// Whatever couchgate cannot read, nobody is let in, and nobody passes as anonymous.
#[test]
fn a_document_that_cannot_be_read_is_503() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"_rev\":\"1-a\",\"download_to";
    for (what, action) in [
        ("500", Some(answer("500 Internal Server Error", DOCUMENT))),
        ("401", Some(answer("401 Unauthorized", DOCUMENT))),
        ("403", Some(answer("403 Forbidden", DOCUMENT))),
        ("301", Some(answer("301 Moved Permanently\r\nLocation: /db/doc2", DOCUMENT))),
        ("202", Some(answer("202 Accepted", DOCUMENT))),
        ("410", Some(answer("410 Gone", DOCUMENT))),
        ("nothing", None),
        ("no HTTP", Some(b"garbage\r\n\r\n".to_vec())),
        ("half of it", Some(cut.to_vec())),
        ("no body", Some(ok(b""))),
        ("no JSON", Some(ok(b"<html>"))),
        ("too much", Some(ok(&[DOCUMENT, b"{}"].concat()))),
        ("a list", Some(ok(b"[\"t\"]"))),
        ("no revision", Some(ok(br#"{"_id":"doc","download_token":"t"}"#))),
        ("a revision that is no text", Some(ok(br#"{"_rev":1,"download_token":"t"}"#))),
    ] {
        let answers = Arc::new(Mutex::new(action));
        let answered = Arc::clone(&answers);
        let upstream = upstream(move || match answered.lock().unwrap().clone() {
            Some(bytes) => Action::AnswerAndClose(bytes),
            None => Action::Close,
        });
        let gate = Gate::start(&upstream.url, "");
        for token in ["t", "x"] {
            for method in ["GET", "HEAD"] {
                let target = format!("/db/doc/a.bin?token={token}");
                let reply = gate.request(method, &target, &[], b"");
                assert_eq!(reply.status, 503, "{what}: {method} {token}");
                assert!(reply.header("retry-after").is_some(), "{what}");
                if method == "GET" {
                    assert_eq!(reply.json()["error"], "service_unavailable", "{what}");
                }
            }
        }
        assert!(upstream.take().is_empty(), "{what}");
        // What failed is not remembered.
        *answers.lock().unwrap() = Some(ok(DOCUMENT));
        gate.get("/db/doc/a.bin?token=t", &[]).expect(200);
        assert_eq!(upstream.only().target, b"/db/doc/a.bin?rev=1-a", "{what}");
    }
}

/// That is no trouble of CouchDB's, and trying again does not help; nor does it cost as much again.
#[test]
fn a_document_that_is_too_large_to_be_read_opens_nothing() {
    let huge = format!(r#"{{"_rev":"1-a","download_token":"t","x":"{}"}}"#, "x".repeat(9 << 20));
    let readings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&readings);
    let upstream = upstream(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Action::AnswerAndClose(ok(huge.as_bytes()))
    });
    let gate = Gate::start(&upstream.url, "[download_token]\ncache_ttl = 60\n");
    for token in ["t", "x", ""] {
        assert_refused(&gate.get(&format!("/db/doc/a.bin?token={token}"), &[]), 403, WRONG);
    }
    assert!(upstream.take().is_empty());
    assert_eq!(readings.load(Ordering::SeqCst), 1);
}

#[test]
fn what_couchdb_says_is_missing_is_missing() {
    let gone = br#"{"error":"not_found","reason":"deleted"}"#;
    let upstream = upstream(|| Action::Answer(answer("404 Object Not Found", gone)));
    let gate = Gate::start(&upstream.url, "");
    assert_refused(&gate.get("/db/doc/a.bin?token=t", &[]), 404, MISSING);
    assert!(upstream.take().is_empty());
}

/// A token is read as the service user, and not more is asked for than the document.
#[test]
fn the_document_is_asked_for_by_its_name() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let upstream = Recorder::start();
    let asking = Arc::clone(&asked);
    upstream.own(move |request| {
        if request.target.starts_with(b"/_") {
            return None;
        }
        asking.lock().unwrap().push(request.clone());
        Some(Action::Answer(ok(DOCUMENT)))
    });
    let gate = Gate::start(&upstream.url, "");
    let identity = [("X-Auth-CouchDB-UserName", "front"), ("Authorization", "Bearer x")];
    for (target, documents) in [
        ("/db/doc/a?token=t&rev=9-z&attachments=true", &[&b"/db/doc"[..]][..]),
        ("/db/do%2fc/%61?token=t", &[b"/db/do%2Fc"]),
        ("/a%2Fb/c/d?token=t", &[b"/a%2Fb/c"]),
        ("/a/b%2Fc/d?token=t", &[b"/a/b%2Fc"]),
        ("/db/d%3Fo%23c+%25/%3F?token=t", &[b"/db/d%3Fo%23c%20%25"]),
        ("/db/d%3Fo%23c+%25?token=t", &[]),
        ("/_users/doc/a?token=t", &[]),
    ] {
        gate.get(target, &identity).expect(200);
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let targets: Vec<_> = asked.iter().map(|asked| asked.target.clone()).collect();
        assert_eq!(targets, documents, "{target}");
        for request in &asked {
            assert_eq!(request.method, "GET");
            assert_eq!(request.all("x-auth-couchdb-username"), [b"couchgate"]);
            assert!(request.folded("authorization").is_empty());
        }
    }
}
