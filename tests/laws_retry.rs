//! What may have happened is never sent again, and half an answer never looks whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use support::{
    Gate, Recorder, eventually,
    recorder::{Action, ok},
};

/// An upstream that closes without an answer the first `failures` times it is asked for `/fails`.
fn failing(failures: usize) -> Recorder {
    let failed = AtomicUsize::new(0);
    Recorder::scripted(move |request| {
        if request.target.starts_with(b"/fails") && failed.fetch_add(1, Ordering::SeqCst) < failures
        {
            return Action::Close;
        }
        Action::Answer(ok(b"{\"ok\":true}\n"))
    })
}

/// couchgate with an idle connection to upstream, after it has asked all it asks at the start.
fn gate_with_an_idle_connection(upstream: &Recorder) -> Gate {
    let gate = Gate::start(&upstream.url, "");
    eventually("users are followed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
    gate.admin("/readyz").expect(200);
    gate.get("/warm", &[]).expect(200);
    let idle = format!("couchgate_upstream_idle_connections{{node=\"{}\"}}", upstream.url);
    eventually("a connection is idle", || (gate.metric(&idle) > 0.0).then_some(()));
    upstream.take();
    gate
}

#[test]
fn a_safe_request_is_sent_again_once() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let upstream = failing(1);
        let gate = gate_with_an_idle_connection(&upstream);
        gate.request(method, "/fails?x=%2F", &[("X-Other", "a")], b"").expect(200);
        let [first, second] = &upstream.take()[..] else { panic!("{method}: not sent twice") };
        assert_ne!(first.connection, second.connection, "{method}");
        assert_eq!((&first.method, &first.target), (&second.method, &second.target));
        assert_eq!(first.headers, second.headers, "{method}");

        let upstream = failing(usize::MAX);
        let gate = gate_with_an_idle_connection(&upstream);
        gate.request(method, "/fails", &[], b"").expect(502);
        assert_eq!(upstream.take().len(), 2, "{method}: twice is enough");
    }
}

#[test]
fn a_request_that_may_have_happened_is_never_sent_again() {
    for (method, body) in [
        ("PUT", &b""[..]),
        ("PUT", b"{}"),
        ("POST", b""),
        ("POST", b"{}"),
        ("DELETE", b""),
        ("COPY", b""),
        ("PATCH", b"{}"),
        ("X-UNKNOWN", b""),
        // Safe, but its body is gone.
        ("GET", b"{}"),
    ] {
        let upstream = failing(1);
        let gate = gate_with_an_idle_connection(&upstream);
        let reply = gate.request(method, "/fails", &[], body).expect(502);
        assert_eq!(reply.json()["error"], "bad_gateway", "{method}");
        let arrived = upstream.take();
        assert_eq!(arrived.len(), 1, "{method} {body:?}: {arrived:?}");
        assert!(gate.metric("couchgate_upstream_resent_total") < 1.0, "{method}");
        // The failure was this request's alone.
        gate.request(method, "/works", &[], body).expect(200);
    }
}

#[test]
fn a_request_on_a_new_connection_is_not_sent_again() {
    let upstream = failing(1);
    // What couchgate itself asks leaves no connection behind.
    upstream.own(|_| Some(Action::Close));
    let gate = Gate::start(&upstream.url, "");
    gate.get("/fails", &[]).expect(502);
    assert_eq!(upstream.take().len(), 1);
    gate.get("/fails", &[]).expect(200);
}

#[test]
fn a_connection_that_upstream_closed_meanwhile_harms_nobody() {
    let upstream = Recorder::scripted(|_| Action::AnswerAndClose(ok(b"{\"ok\":true}\n")));
    let gate = Gate::start(&upstream.url, "");
    for round in 0..20 {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            let status = gate.request(method, "/db", &[], b"").status;
            let arrived = upstream.take().len();
            // The end of the connection and the next request may cross on the way; then what is
            // not safe fails, but has not happened.
            let failed = method != "GET" && (status, arrived) == (502, 0);
            assert!(
                failed || (status, arrived) == (200, 1),
                "{method} {round}: {status} {arrived}"
            );
        }
    }
}

#[test]
fn half_an_answer_never_looks_whole() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let halves: Vec<String> = vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_owned(),
        format!("{CHUNKED}5\r\n12345\r\n"),
        format!("{CHUNKED}a\r\n12345"),
        format!("{CHUNKED}5\r\n12345\r\n0\r\n"),
        format!("{CHUNKED}5\r\n12345\r\nnot a chunk\r\n"),
        CHUNKED.to_owned(),
    ];
    for half in halves {
        let sent = half.clone();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let upstream = Recorder::scripted(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Action::AnswerAndClose(sent.clone().into_bytes())
        });
        let gate = Gate::start(&upstream.url, "");
        for target in ["/db/doc", "/db/_changes?feed=continuous"] {
            for head in [
                "HTTP/1.1\r\nHost: a\r\n",
                "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
                "HTTP/1.0\r\n",
                "HTTP/1.0\r\nConnection: keep-alive\r\n",
            ] {
                let what = format!("{half:?} to {head:?} for {target}");
                let mut client = gate.connect();
                client.write(format!("GET {target} {head}\r\n").as_bytes()).unwrap();
                // Where the head had not gone out yet, couchgate says so; that is a whole answer.
                if let Ok(reply) = client.reply(false) {
                    assert_eq!(reply.status, 502, "{what}: {reply:?}");
                }
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 8, "{half:?}: each was asked once");
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let upstream = Recorder::scripted(|_| {
        Action::AnswerAndClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec())
    });
    let gate = Gate::start(&upstream.url, "");
    for head in ["HTTP/1.1\r\nHost: a\r\n", "HTTP/1.0\r\n"] {
        let mut client = gate.connect();
        client.write(format!("GET /db {head}\r\n").as_bytes()).unwrap();
        assert_eq!(client.reply(false).unwrap().body, b"until the end", "{head:?}");
    }
}
