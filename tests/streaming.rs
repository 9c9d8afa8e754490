//! Bodies and feeds pass as they come, and end as they end: at once, whole or broken, on both
//! sides.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};

use support::{
    Connection, Couch, Gate, Recorder, StreamUpstream, basic, http::request, stream::Exchange,
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends a request whose body, if any, follows.
fn send(gate: &Gate, method: &str, target: &str, headers: &[(&str, &str)]) -> Connection {
    let mut client = gate.connect();
    client.write(&request(method, target, headers, b"")).unwrap();
    client
}

/// An open feed: both ends, after its first newline has passed.
fn feed(gate: &Gate, upstream: &StreamUpstream, target: &str) -> (Connection, Exchange) {
    let mut client = send(gate, "GET", target, &[]);
    let mut exchange = upstream.next();
    exchange.begin_chunks();
    client.head().unwrap().expect(200);
    exchange.chunk(b"\n").unwrap();
    assert_eq!(client.chunk().unwrap().unwrap(), b"\n");
    (client, exchange)
}

#[test]
fn a_feed_passes_piece_by_piece() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    for (target, pieces) in [
        ("/db/_changes?feed=continuous", ["\n", "{\"seq\":1}\n", "\n", "{\"last_seq\":1}\n"]),
        ("/db/_changes?feed=longpoll", ["{\"results\":[\n", "\n", "\n", "],\"last_seq\":0}\n"]),
        ("/db/_changes?feed=eventsource", ["data: {}\n", "id: 1\n\n", "event: heartbeat\n", "\n"]),
        ("/_db_updates?feed=continuous", ["\n", "{\"db_name\":", "\"db\"}\n", "\n"]),
        ("/db/_all_docs", ["{\"rows\":[\n", "{}", ",\r\n{}", "]}\n"]),
    ] {
        let mut client = send(&gate, "GET", target, &[]);
        let mut exchange = upstream.next();
        exchange.begin_chunks();
        // Not even the first piece is waited for.
        client.head().unwrap().expect(200);
        for piece in pieces {
            exchange.chunk(piece.as_bytes()).unwrap();
            let passed = client.chunk().unwrap().unwrap();
            assert_eq!(String::from_utf8(passed).unwrap(), piece, "{target}");
        }
        exchange.chunk(b"").unwrap();
        assert!(client.chunk().unwrap().is_none(), "{target}");
    }
}

#[test]
fn a_change_arrives_in_every_feed() {
    let couch = Couch::shared();
    let gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let db = couch.database();
    let authorization = basic(&couch.user("apple", &["dev"]), "apple");
    let feeds = ["continuous", "longpoll", "eventsource"];
    let mut clients = feeds.map(|feed| {
        let target = format!("/{db}/_changes?feed={feed}&since=0&heartbeat=1000");
        send(&gate, "GET", &target, &[("Authorization", &authorization)])
    });
    couch.put(&format!("/{db}/the-document"), &serde_json::json!({}));
    for (client, feed) in clients.iter_mut().zip(feeds) {
        client.head().unwrap().expect(200);
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("\"the-document\"") {
            seen.extend(client.chunk().unwrap().expect(feed));
        }
    }
}

/// Brings both ends of a request into it.
type Situation = fn(&Gate, &StreamUpstream) -> (Connection, Exchange);

#[test]
fn closing_a_client_closes_its_request_upstream_within_a_second() {
    const CONTINUOUS: &str = "/db/_changes?feed=continuous";
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let situations: [(&str, Situation); 6] = [
        ("waiting for a head", |gate, upstream| {
            (send(gate, "GET", "/db/_changes?feed=longpoll", &[]), upstream.next())
        }),
        ("during a feed", |gate, upstream| feed(gate, upstream, CONTINUOUS)),
        ("during a long poll", |gate, upstream| feed(gate, upstream, "/db/_changes?feed=longpoll")),
        ("during an upload", |gate, upstream| {
            let mut client = send(gate, "PUT", "/db/doc/a", &[("Content-Length", "1000")]);
            let mut exchange = upstream.next();
            client.write(&[7; 500]).unwrap();
            exchange.body().read_exact(&mut [0; 500]).unwrap();
            (client, exchange)
        }),
        ("during a chunked upload", |gate, upstream| {
            let headers = [("Transfer-Encoding", "chunked")];
            let mut client = send(gate, "PUT", "/db/doc/a", &headers);
            let mut exchange = upstream.next();
            client.write(b"5\r\nhello\r\n").unwrap();
            exchange.body().read_exact(&mut [0; 5]).unwrap();
            (client, exchange)
        }),
        ("after an upload", |gate, upstream| {
            let mut client = send(gate, "POST", "/db/_find", &[("Content-Length", "2")]);
            let mut exchange = upstream.next();
            client.write(b"{}").unwrap();
            exchange.body().read_exact(&mut [0; 2]).unwrap();
            (client, exchange)
        }),
    ];
    for (situation, reach) in situations {
        let (client, mut exchange) = reach(&gate, &upstream);
        assert!(!exchange.is_closed_within(SECOND / 10), "closed too early, {situation}");
        drop(client);
        assert!(exchange.is_closed_within(SECOND), "still open, {situation}");
    }
}

/// A client that had to believe in the end of a broken answer would store half a document.
#[test]
fn what_breaks_upstream_breaks_here() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");

    let (mut client, exchange) = feed(&gate, &upstream, "/db/_changes?feed=continuous");
    drop(exchange);
    assert!(client.chunk().is_err(), "the feed's end looks like one");

    let mut client = send(&gate, "GET", "/db/doc", &[]);
    let mut exchange = upstream.next();
    exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").unwrap();
    drop(exchange);
    assert!(client.reply(false).is_err(), "half of the document looks whole");

    // Where the end of the connection is the end of the answer, it has to be reset.
    let mut client = gate.connect();
    client.write(b"GET /db/_changes HTTP/1.0\r\n\r\n").unwrap();
    let mut exchange = upstream.next();
    exchange.begin_chunks();
    exchange.chunk(b"{\"results\":[\n").unwrap();
    client.head().unwrap().expect(200);
    drop(exchange);
    assert_eq!(client.rest().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Only who keeps couchgate waiting is let go: a feed that has nothing to say does not.
#[test]
fn a_silent_feed_outlives_every_timeout() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(
        &upstream.url,
        "[couchgate]\nhead_timeout = 1\nidle_timeout = 1\nbody_timeout = 1\n\
         upstream_idle_timeout = 1\nconnect_timeout = 1",
    );
    let mut feeds = ["continuous", "longpoll", "eventsource"]
        .map(|kind| feed(&gate, &upstream, &format!("/db/_changes?feed={kind}")));
    let mut waiting = send(&gate, "GET", "/db/_design/slow/_view/by_name", &[]);
    let answer = upstream.next();
    let mut idle = gate.connect();
    let mut half_a_head = gate.connect();
    half_a_head.write(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let mut half_a_body = send(&gate, "PUT", "/db/doc", &[("Content-Length", "10")]);
    half_a_body.write(b"half ").unwrap();
    let mut upload = upstream.next();

    // The timeouts work: these are closed.
    let began = Instant::now();
    assert_eq!(idle.rest().unwrap(), b"");
    let _ = half_a_head.rest();
    let cut = half_a_body.reply(false).map(|reply| reply.status);
    assert!(matches!(cut, Ok(408) | Err(_)), "{cut:?}");
    assert!(upload.is_closed_within(SECOND));
    thread::sleep((SECOND * 5 / 2).saturating_sub(began.elapsed()));
    assert!(began.elapsed() < 10 * SECOND);

    // These are not.
    answer.answer(b"late");
    assert_eq!(waiting.reply(false).unwrap().expect(200).body, b"late");
    for (client, exchange) in &mut feeds {
        exchange.chunk(b"still here\n").unwrap();
        assert_eq!(client.chunk().unwrap().unwrap(), b"still here\n");
    }
}

#[test]
fn a_client_that_stops_reading_is_let_go() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "[couchgate]\nbody_timeout = 1");
    let client = send(&gate, "GET", "/db/doc/attachment", &[]);
    let mut exchange = upstream.next();
    exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    exchange.socket().set_write_timeout(Some(10 * SECOND)).unwrap();
    let flood = thread::spawn(move || while exchange.write(&[0; 8_192]).is_ok() {});
    let began = Instant::now();
    flood.join().unwrap();
    assert!(began.elapsed() < 10 * SECOND);
    drop(client);
}

/// Clients commonly send everything before they look for an answer. Were the connection closed
/// with bytes of theirs unread, TCP would take the answer away from them.
#[test]
fn a_refusal_is_readable_while_the_body_is_still_being_sent() {
    const BODY: usize = 64 * 1024 * 1024;
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "[chttpd]\nrequire_valid_user = true");
    let wrong = basic("nobody", "wrong");
    let length = BODY.to_string();
    for headers in [
        &[("Content-Length", length.as_str())][..],
        &[("Content-Length", &length), ("Authorization", &wrong)],
    ] {
        let mut client = send(&gate, "PUT", "/db/doc/attachment", headers);
        client.write(&vec![0; BODY]).expect("the connection was reset");
        client.reply(false).unwrap().expect(401);
    }
}

#[test]
fn an_early_answer_of_couchdbs_is_readable_too() {
    const BODY: usize = 16 * 1024 * 1024;
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let length = BODY.to_string();
    let mut client = send(&gate, "PUT", "/db/doc/a", &[("Content-Length", &length)]);
    let mut exchange = upstream.next();
    exchange
        .write(b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\n\r\n{}")
        .unwrap();
    client.write(&vec![0; BODY]).expect("the connection was reset");
    let reply = client.reply(false).unwrap().expect(413);
    assert_eq!(reply.body, b"{}");
    assert!(exchange.is_closed_within(SECOND));
}
