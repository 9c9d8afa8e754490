//! A body that nobody reads, for the request is refused or answered early: nothing of it becomes a
//! request, nor does what follows it slip past the rules.

use std::{io::Read, thread, time::Duration};

use super::{
    answers, has_not_panicked,
    support::{Gate, Recorder, StreamUpstream},
};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: couch\r\n\r\n";

/// Framing headers and a body.
fn bodies() -> Vec<(&'static str, String)> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let size = SMUGGLED.len();
    assert_eq!(size, 39);
    vec![
        ("Content-Length: 39\r\n", SMUGGLED.to_owned()),
        ("Content-Length: 39\r\nExpect: 100-continue\r\n", SMUGGLED.to_owned()),
        (chunked, "0\r\n\r\n".to_owned()),
        (chunked, format!("{size:x}\r\n{SMUGGLED}\r\n0\r\n\r\n")),
        (chunked, format!("4\r\n\r\n\r\n\r\n{size:x}\r\n{SMUGGLED}\r\n0\r\nA: b\r\n\r\n")),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "0\r\n\r\n".to_owned()),
    ]
}

/// What may follow on the connection: one request in order, and some that are not.
const NEXT: [(&str, u16); 4] = [
    ("GET /\"next HTTP/1.1\r\nHost: couch\r\n\r\n", 200),
    ("GET /flawed HTTP/1.1\nHost: couch\r\n\r\n", 400),
    (
        "POST /flawed HTTP/1.1\r\nHost: couch\r\nContent-Length: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST /flawed HTTP/1.1\r\nHost: couch\r\nTransfer-Encoding: chunked\r\n\
         Content-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
];

#[test]
fn a_refused_requests_body_is_not_read_as_requests() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (framing, body) in bodies() {
        for (next, status) in NEXT {
            for at_once in [true, false] {
                let what = format!("{framing} {body:?}, then {next:?}, at once: {at_once}");
                let head = format!(
                    "POST /refused HTTP/1.1\r\nHost: couch\r\nAuthorization: Basic !\r\n{framing}\r\n"
                );
                let mut connection = gate.connect();
                let mut replies = Vec::new();
                if at_once {
                    connection.write([&head, &body, next].concat().as_bytes()).unwrap();
                } else {
                    connection.write(head.as_bytes()).unwrap();
                    replies.push(connection.reply(false).unwrap());
                    // It may be closed already.
                    let _ = connection.write([&body, next].concat().as_bytes());
                }
                connection.socket().shutdown(std::net::Shutdown::Write).unwrap();
                replies.extend(answers(&mut connection, &what));
                assert_eq!(replies[0].status, 400, "{what}");
                assert!(replies.len() <= 2, "{what}: {replies:?}");
                assert!(replies[1..].iter().all(|reply| reply.status == status), "{what}");
                let arrived = upstream.take();
                assert!(arrived.iter().all(|request| request.target == b"/\"next"), "{arrived:?}");
            }
        }
    }
    has_not_panicked(&gate);
}

/// An answer to a request whose body is still to come, from an upstream that does not read it.
fn early_answer(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn an_early_answer_leaves_nothing_of_the_body_behind() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    for (framing, body) in bodies() {
        for cut in [0, 5, body.len() / 2, body.len()] {
            for (next, _) in &NEXT[1..] {
                let what = format!("{framing} {body:?} cut at {cut}, then {next:?}");
                let (part, rest) = body.split_at(cut.min(body.len()));
                let head = format!("POST /early HTTP/1.1\r\nHost: couch\r\n{framing}\r\n");
                let mut connection = gate.connect();
                connection.write([&head, part].concat().as_bytes()).unwrap();
                let mut early = upstream.next();
                assert_eq!(early.target, "/early", "{what}");
                early.write(&early_answer(b"early")).unwrap();
                let reply = connection.reply(false).unwrap();
                assert_eq!((reply.status, &reply.body[..]), (200, &b"early"[..]), "{what}");
                let _ = connection.write([rest, next].concat().as_bytes());
                connection.socket().shutdown(std::net::Shutdown::Write).unwrap();
                let replies = connection.rest().unwrap_or_default();
                assert!(replies.is_empty() || replies.starts_with(b"HTTP/1.1 400 "), "{what}");
                // What came upstream belongs to the body, and there is nothing behind it.
                let mut seen = Vec::new();
                let _ = early.body().read_to_end(&mut seen);
                assert!(
                    [SMUGGLED, &format!("\r\n\r\n{SMUGGLED}")]
                        .iter()
                        .any(|body| body.as_bytes().starts_with(&seen))
                );
                assert!(early.is_closed_within(Duration::from_secs(10)), "{what}");
                let mut after = gate.connect();
                after.write(b"GET /after HTTP/1.1\r\nHost: couch\r\n\r\n").unwrap();
                let mut exchange = upstream.next();
                assert_eq!(exchange.target, "/after", "{what}");
                exchange.write(&early_answer(b"")).unwrap();
                after.reply(false).unwrap().expect(200);
            }
        }
    }
    has_not_panicked(&gate);
}

/// The connection closes after such an answer, but not before a slow client has all of it.
#[test]
fn an_early_answer_is_whole_however_slowly_it_is_read() {
    const SIZE: usize = 20_000_000;
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut connection = gate.connect();
        let head = format!("POST /early HTTP/1.1\r\nHost: couch\r\n{framing}\r\n\r\n");
        connection.write(head.as_bytes()).unwrap();
        let mut early = upstream.next();
        let answering = thread::spawn(move || {
            early.write(&early_answer(&vec![b'x'; SIZE])).unwrap();
            early
        });
        // Slower than couchgate, whose last bytes must wait in full buffers.
        thread::sleep(Duration::from_millis(500));
        let length = connection.head().unwrap().header("content-length").unwrap().to_owned();
        assert_eq!(length, SIZE.to_string());
        let (mut received, mut piece) = (0, vec![0; 64 * 1024]);
        while let Ok(1..) = connection.reader().read(&mut piece).inspect(|n| received += n) {
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(received, SIZE, "{framing}");
        drop(answering.join().unwrap());
    }
}
