//! Stopping in good order: what can be finished is finished, what cannot looks broken.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use support::{Connection, Couch, Gate, StreamUpstream, basic, eventually, http::request};

const SECOND: Duration = Duration::from_secs(1);

fn send(gate: &Gate, method: &str, target: &str, headers: &[(&str, &str)]) -> Connection {
    let mut client = gate.connect();
    client.write(&request(method, target, headers, b"")).unwrap();
    client
}

/// Waits until couchgate has begun to stop.
#[track_caller]
fn stop(gate: &Gate) {
    gate.terminate();
    eventually("couchgate begins to stop", || {
        gate.log().into_iter().find(|line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("stopping:"))
        })
    });
}

#[test]
fn requests_in_flight_are_finished() {
    let upstream = StreamUpstream::start();
    let mut gate = Gate::start(&upstream.url, "");

    let mut fresh = gate.connect();
    let mut idle = send(&gate, "GET", "/db/doc", &[]);
    upstream.next().answer(b"done");
    idle.reply(false).unwrap().expect(200);

    let mut viewing = send(&gate, "GET", "/db/_design/slow/_view/by_name", &[]);
    let answer = upstream.next();
    let mut reading = send(&gate, "GET", "/db/doc/attachment", &[]);
    let mut download = upstream.next();
    download.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").unwrap();
    reading.head().unwrap().expect(200);
    let mut writing = send(&gate, "PUT", "/db/doc/attachment", &[("Content-Length", "10")]);
    let mut upload = upstream.next();
    writing.write(b"half ").unwrap();
    let mut polling = send(&gate, "GET", "/db/_changes?feed=longpoll", &[]);
    let mut long_poll = upstream.next();
    long_poll.begin_chunks();
    long_poll.chunk(b"{\"results\":[\n").unwrap();
    polling.head().unwrap().expect(200);
    assert_eq!(polling.chunk().unwrap().unwrap(), b"{\"results\":[\n");

    stop(&gate);
    assert_eq!(idle.rest().unwrap(), b"");
    assert_eq!(fresh.rest().unwrap(), b"");
    assert!(TcpStream::connect(gate.address).is_err(), "a new connection is accepted");
    assert_eq!(gate.admin("/readyz").expect(503).json()["status"], "not ready");
    gate.admin("/healthz").expect(200);

    answer.answer(b"late");
    let late = viewing.reply(false).unwrap().expect(200);
    assert_eq!((late.header("connection"), &late.body[..]), (Some("close"), &b"late"[..]));
    download.write(b"whole").unwrap();
    assert_eq!(reading.rest().unwrap(), b"half whole");
    writing.write(b"whole").unwrap();
    let mut body = Vec::new();
    upload.body().read_to_end(&mut body).unwrap();
    assert_eq!(body, b"half whole");
    upload.answer(b"stored");
    assert_eq!(writing.reply(false).unwrap().expect(200).body, b"stored");
    long_poll.chunk(b"],\"last_seq\":1}\n").unwrap();
    long_poll.chunk(b"").unwrap();
    assert_eq!(polling.chunk().unwrap().unwrap(), b"],\"last_seq\":1}\n");
    assert!(polling.chunk().unwrap().is_none());

    assert!(gate.wait().success());
}

#[test]
fn feeds_end_where_a_change_ends() {
    const HALF: &[u8] = b"data: {\"seq\":1";
    let upstream = StreamUpstream::start();
    let mut gate = Gate::start(&upstream.url, "");
    let between = |kind: &str, sent: &[u8]| {
        let mut client = send(&gate, "GET", &format!("/db/_changes?feed={kind}"), &[]);
        let mut exchange = upstream.next();
        exchange.begin_chunks();
        client.head().unwrap().expect(200);
        exchange.chunk(sent).unwrap();
        assert_eq!(client.chunk().unwrap().unwrap(), sent);
        (client, exchange)
    };
    let mut whole = [between("continuous", b"{\"seq\":1}\n"), between("eventsource", b"id: 1\n\n")];
    let mut half = [
        (between("continuous", HALF), &b"}\n"[..], &b"{\"seq\":2"[..]),
        // A line ends here, but not the event.
        (between("eventsource", b"data: {}\n"), b"id: 1\n\n", b"data: "),
    ];
    stop(&gate);
    for (client, exchange) in &mut whole {
        assert!(client.chunk().unwrap().is_none());
        assert!(exchange.is_closed_within(SECOND));
    }
    for ((client, exchange), rest, next) in &mut half {
        exchange.chunk(&[*rest, *next].concat()).unwrap();
        assert_eq!(client.chunk().unwrap().unwrap(), *rest);
        assert!(client.chunk().unwrap().is_none());
        assert!(exchange.is_closed_within(SECOND));
    }
    assert!(gate.wait().success());
}

#[test]
fn a_feed_of_couchdbs_ends_whole() {
    let couch = Couch::shared();
    let mut gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let db = couch.database();
    couch.put(&format!("/{db}/doc"), &serde_json::json!({}));
    let authorization = basic(&couch.user("apple", &["dev"]), "apple");
    let target = format!("/{db}/_changes?feed=continuous&heartbeat=1000");
    let mut client = send(&gate, "GET", &target, &[("Authorization", &authorization)]);
    client.head().unwrap().expect(200);
    let mut feed = Vec::new();
    while !feed.windows(5).any(|part| part == b"\"doc\"") || !feed.ends_with(b"\n") {
        feed.extend(client.chunk().unwrap().unwrap());
    }
    stop(&gate);
    while let Some(chunk) = client.chunk().unwrap() {
        feed.extend(chunk);
    }
    assert!(feed.ends_with(b"\n"), "{:?}", String::from_utf8_lossy(&feed));
    assert!(gate.wait().success());
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_looks_so() {
    let upstream = StreamUpstream::start();
    let mut gate = Gate::start(&upstream.url, "[couchgate]\nshutdown_timeout = 1");
    let mut polling = send(&gate, "GET", "/db/_changes?feed=longpoll", &[]);
    let mut long_poll = upstream.next();
    long_poll.begin_chunks();
    long_poll.chunk(b"{\"results\":[\n").unwrap();
    polling.head().unwrap().expect(200);
    polling.chunk().unwrap();
    let mut waiting = send(&gate, "GET", "/db/doc", &[]);
    let mut exchange = upstream.next();

    let began = Instant::now();
    gate.terminate();
    assert!(polling.chunk().is_err(), "half of an answer looks whole");
    assert!(waiting.reply(false).is_err());
    assert!(began.elapsed() >= SECOND);
    assert!(long_poll.is_closed_within(SECOND) && exchange.is_closed_within(SECOND));
    assert!(gate.wait().success());
    assert!(began.elapsed() < 5 * SECOND);
}

#[test]
fn a_stop_is_heard_while_every_place_is_taken() {
    let upstream = StreamUpstream::start();
    let mut gate =
        Gate::start(&upstream.url, "[couchgate]\nmax_connections = 1\nshutdown_timeout = 1");
    let _waiting = send(&gate, "GET", "/db/doc", &[]);
    let _exchange = upstream.next();
    let _one_too_many = send(&gate, "GET", "/db/doc", &[]);
    gate.terminate();
    assert!(gate.wait().success());
}
