//! Where a request ends: what two servers could read in two ways is refused, in CouchDB's shape, and
//! nothing of it becomes a request to CouchDB.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "framing/unread_bodies.rs"]
mod unread_bodies;

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use support::{Connection, Gate, Recorder, Reply};

/// Reads answers until couchgate closes the connection, in good order.
#[track_caller]
fn answers(connection: &mut Connection, what: &str) -> Vec<Reply> {
    let mut answers = Vec::new();
    loop {
        match connection.reply(false) {
            Ok(answer) => answers.push(answer),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return answers,
            Err(error) => panic!("{what}: {error} after {answers:?}"),
        }
    }
}

#[track_caller]
fn is_refusal(answer: &Reply, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("connection"), Some("close"), "{what}");
    let body = answer.json();
    let error = if status == 408 { "timeout" } else { "bad_request" };
    assert_eq!(body["error"], error, "{what}");
    assert!(body["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{what}");
}

/// Everything couchgate logs is JSON; a panic is not.
#[track_caller]
fn has_not_panicked(gate: &Gate) {
    let log = gate.log();
    assert!(!log.iter().any(serde_json::Value::is_string), "{log:?}");
}

fn post(headers: &str, rest: &str) -> Vec<u8> {
    format!("POST /evil HTTP/1.1\r\nHost: couch\r\n{headers}\r\n{rest}").into_bytes()
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

fn get(headers: &str) -> Vec<u8> {
    format!("GET /evil HTTP/1.1\r\nHost: couch\r\n{headers}\r\n").into_bytes()
}

/// Heads that must not be carried. What follows them looks like a request.
fn heads() -> Vec<(&'static str, u16, Vec<u8>)> {
    const CHUNKS: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: couch\r\n\r\n";
    let framed = [
        ("length, then chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked, then length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("both, apart", "Content-Length: 5\r\nA: b\r\nC: d\r\ntransfer-ENCODING: chunked\r\n"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("identity, chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("chunked;x", "Transfer-Encoding: chunked;x\r\n"),
        ("\"chunked\"", "Transfer-Encoding: \"chunked\"\r\n"),
        ("vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("empty coding", "Transfer-Encoding:\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("list of lengths", "Content-Length: 5, 5\r\n"),
        ("negative", "Content-Length: -5\r\n"),
        ("signed", "Content-Length: +5\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("empty length", "Content-Length:\r\n"),
        ("huge", "Content-Length: 99999999999999999999\r\n"),
        ("length, blank before colon", "Content-Length : 5\r\n"),
        ("coding, blank before colon", "Transfer-Encoding : chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
        ("folded value", "A: b\r\n c\r\n"),
        ("folded by a tab", "A: b\r\n\tTransfer-Encoding: chunked\r\n"),
        ("bare LF", "A: b\nTransfer-Encoding: chunked\r\n"),
        ("bare LF at the end", "Transfer-Encoding: chunked\n"),
        ("lone CR", "A: b\rTransfer-Encoding: chunked\r\n"),
        ("CR CR LF", "A: b\r\r\nTransfer-Encoding: chunked\r\n"),
        ("NUL in a value", "A: b\0c\r\n"),
        ("NUL in a name", "A\0: b\r\n"),
        ("control character", "A: b\x01\r\n"),
        ("DEL", "A: b\x7f\r\n"),
        ("no colon", "A\r\n"),
        ("no name", ": b\r\n"),
        ("blank in a name", "A b: c\r\n"),
        ("second Host", "Host: couch\r\n"),
        ("two Authorization", "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n"),
    ];
    let line = |line: &str| format!("{line}\r\nHost: couch\r\n\r\n{CHUNKS}").into_bytes();
    let host = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n{CHUNKS}").into_bytes();
    let mut heads: Vec<_> = framed.map(|(what, headers)| (what, 400, post(headers, CHUNKS))).into();
    heads.extend([
        ("Transfer-Encoding in 1.0", 400, line("POST / HTTP/1.0\r\nTransfer-Encoding: chunked")),
        ("bare LF after the request line", 400, b"GET / HTTP/1.1\nHost: couch\r\n\r\n".into()),
        ("bare LF before the body", 400, b"GET / HTTP/1.1\r\nHost: couch\r\n\n".into()),
        ("only bare LF", 400, b"GET / HTTP/1.1\nHost: couch\n\n".into()),
        ("bare LF before the request", 400, b"\nGET / HTTP/1.1\r\nHost: couch\r\n\r\n".into()),
        ("no Host", 400, host("")),
        ("Host with a path", 400, host("Host: couch/x\r\n")),
        ("Host with a user", 400, host("Host: user@couch\r\n")),
        ("Host with a comma and a blank", 400, host("Host: couch, other\r\n")),
        ("Host with a query", 400, host("Host: couch?x\r\n")),
        ("Host with a backslash", 400, host("Host: couch\\x\r\n")),
        ("Host, not ASCII", 400, host("Host: c\u{f6}uch\r\n")),
        ("absolute form", 400, line("GET http://couch/x HTTP/1.1")),
        ("absolute form, other scheme", 400, line("GET ftp://couch/x HTTP/1.1")),
        ("authority form", 400, line("GET couch:80 HTTP/1.1")),
        ("asterisk form", 400, line("OPTIONS * HTTP/1.1")),
        ("asterisk form of GET", 400, line("GET * HTTP/1.1")),
        ("CONNECT", 400, line("CONNECT couch:80 HTTP/1.1")),
        ("CONNECT with a path", 400, line("CONNECT /x HTTP/1.1")),
        ("no leading slash", 400, line("GET x HTTP/1.1")),
        ("only a query", 400, line("GET ?x HTTP/1.1")),
        ("HTTP/0.9", 400, line("GET /")),
        ("HTTP/1.2", 400, line("GET / HTTP/1.2")),
        ("HTTP/2.0", 400, line("GET / HTTP/2.0")),
        ("lower-case version", 400, line("GET / http/1.1")),
        ("no target", 400, line("GET  HTTP/1.1")),
        ("two blanks", 400, line("GET  / HTTP/1.1")),
        ("blank at the end", 400, line("GET / HTTP/1.1 ")),
        ("version twice", 400, line("GET / HTTP/1.1 HTTP/1.1")),
        ("tab for a blank", 400, line("GET\t/ HTTP/1.1")),
        ("blank before the method", 400, line(" GET / HTTP/1.1")),
        ("no method", 400, line("G\"T / HTTP/1.1")),
        ("a response", 400, line("HTTP/1.1 200 OK")),
        ("blank before a header", 400, b"GET / HTTP/1.1\r\n Host: couch\r\n\r\n".into()),
        ("HTTP/2 preface", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        // No line end in it: couchgate must not wait for one.
        ("TLS", 400, [b"\x16\x03\x01\x00\x7e\x01\x00\x00\x7a\x03\x03", &[0x80; 120][..]].concat()),
        ("too many headers", 431, get(&"A: b\r\n".repeat(101))),
        ("head too large", 431, get(&format!("A: {}\r\n", long(65_536)))),
        ("head too large in lines", 431, get(&format!("A: {}\r\n", long(1000)).repeat(70))),
        ("target too large for a head", 431, line(&format!("GET /{} HTTP/1.1", long(70_000)))),
    ]);
    heads
}

/// Requests that are fine, to stand before one that is not.
const BEFORE: [&str; 4] = [
    "",
    "GET /before HTTP/1.1\r\nHost: couch\r\n\r\n",
    "POST /before HTTP/1.1\r\nHost: couch\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    "POST /before HTTP/1.1\r\nHost: couch\r\nTransfer-Encoding: chunked\r\n\r\n\
     4\r\n\r\n\r\n\r\n0\r\n\r\n",
];

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (what, status, head) in heads() {
        for before in BEFORE {
            let what = format!("{what} after {before:?}");
            let mut connection = gate.connect();
            connection.write(&[before.as_bytes(), &head].concat()).unwrap();
            let mut answers = answers(&mut connection, &what);
            is_refusal(&answers.pop().unwrap(), status, &what);
            let expected = usize::from(!before.is_empty());
            assert_eq!(answers.len(), expected, "{what}: {answers:?}");
            let arrived = upstream.take();
            assert!(arrived.iter().all(|request| request.target == b"/before"), "{arrived:?}");
            assert_eq!(arrived.len(), expected, "{what}: {arrived:?}");
        }
        gate.get("/after", &[]).expect(200);
        assert_eq!(upstream.only().target, b"/after", "{what}");
    }
    has_not_panicked(&gate);
}

#[test]
fn a_malformed_chunk_ends_the_request_and_the_connection() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let many_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(200));
    for chunks in [
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\rX",
        "5\r\nhello\r\n0\r\nA: b\r\rX",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        &long_extension,
        &many_trailers,
    ] {
        let what = &chunks[..chunks.len().min(40)];
        let mut connection = gate.connect();
        let after = "GET /smuggled HTTP/1.1\r\nHost: couch\r\n\r\n";
        let request = post("Transfer-Encoding: chunked\r\n", &format!("{chunks}{after}"));
        connection.write(&request).unwrap();
        let answers = answers(&mut connection, what);
        assert_eq!(answers.len(), 1, "{what:?}: {answers:?}");
        is_refusal(&answers[0], 400, what);
        assert!(upstream.take().is_empty(), "{what:?}");
    }
    gate.get("/after", &[]).expect(200);
    assert_eq!(upstream.only().target, b"/after");
    has_not_panicked(&gate);
}

#[test]
fn chunk_extensions_and_trailers_do_not_pass() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let chunks = "5;a=b;c=\"d\"\r\nhello\r\n1 \r\n!\r\n0;z\r\nA: b\r\nContent-Length: 9\r\n\r\n";
    let mut connection = gate.connect();
    connection.write(&post("Transfer-Encoding: chunked\r\n", chunks)).unwrap();
    connection.reply(false).unwrap().expect(200);
    let request = upstream.only();
    assert_eq!(request.body, b"hello!");
    assert!(request.all("a").is_empty() && request.all("content-length").is_empty());
    assert_eq!(connection.request("GET", "/\"next", &[], b"").status, 200);
    assert_eq!(upstream.only().target, b"/\"next");
}

#[test]
fn a_target_longer_than_a_uri_may_be_is_refused() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "[couchgate]\nmax_head_size = 262144");
    let longest = format!("/{}", long(65_000));
    gate.get(&longest, &[]).expect(200);
    assert_eq!(upstream.only().target, longest.as_bytes());
    for target in [format!("/{}", long(65_536)), format!("/?{}", "\"".repeat(30_000))] {
        let mut connection = gate.connect();
        connection.write(&support::http::request("GET", &target, &[], b"")).unwrap();
        let answers = answers(&mut connection, &target[..3]);
        assert_eq!(answers.len(), 1);
        is_refusal(&answers[0], 414, &target[..3]);
    }
    assert!(upstream.take().is_empty());
}

/// An attacker who never stops gets an answer all the same, and is cut off.
#[test]
fn an_endless_head_is_refused() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    for (start, more) in [
        ("GET /", "xxxxxxxxxxxxxxxx"),
        ("GET / HTTP/1.1\r\n", "A: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
        ("GET / HTTP/1.1\r\nA: ", "xxxxxxxxxxxxxxxx"),
        ("", "\r\n\r\n\r\n\r\n\r\n\r\n"),
    ] {
        let mut connection = gate.connect();
        connection.write(start.as_bytes()).unwrap();
        let more = more.repeat(200);
        let mut sent = 0;
        while connection.write(more.as_bytes()).is_ok() && sent < 10_000_000 {
            sent += more.len();
            connection.socket().set_nonblocking(true).unwrap();
            let has_answer = connection.socket().peek(&mut [0]).is_ok();
            connection.socket().set_nonblocking(false).unwrap();
            if has_answer {
                break;
            }
        }
        assert!(sent < 10_000_000, "{start:?} goes on");
        let answer = connection.reply(false).unwrap();
        is_refusal(&answer, 431, start);
    }
    assert!(upstream.take().is_empty());
    has_not_panicked(&gate);
}

const IMPATIENT: &str = "[couchgate]\nhead_timeout = 1\nbody_timeout = 1";

#[test]
fn a_slow_head_is_cut_off() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, IMPATIENT);
    let mut slow = Vec::new();
    for before in BEFORE {
        for part in ["GET", "GET /x HTTP/1.1\r\nHost: couch\r\n"] {
            let mut connection = gate.connect();
            connection.write(&[before, part].concat().into_bytes()).unwrap();
            slow.push((connection, before, part));
        }
    }
    let began = Instant::now();
    for (mut connection, before, part) in slow {
        if !before.is_empty() {
            connection.reply(false).unwrap().expect(200);
        }
        assert!(connection.rest().unwrap().is_empty(), "{part:?} after {before:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(upstream.take().iter().all(|request| request.target == b"/before"));
}

/// It is the whole head that must come in time: a byte now and then does not help.
#[test]
fn a_dripping_head_is_cut_off() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, IMPATIENT);
    for head in ["GET /xxxxxxxxxx", "GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\n"] {
        let mut connection = gate.connect();
        let mut socket = connection.socket().try_clone().unwrap();
        let dripping = thread::spawn(move || {
            for byte in head.bytes().cycle() {
                if std::io::Write::write_all(&mut socket, &[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let began = Instant::now();
        let answered = connection.rest();
        assert!(answered.is_ok_and(|bytes| bytes.is_empty()), "{head:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{head:?}");
        dripping.join().unwrap();
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_slow_body_is_cut_off() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, IMPATIENT);
    let requests = [
        post("Content-Length: 5\r\n", ""),
        post("Content-Length: 5\r\n", "hel"),
        post("Transfer-Encoding: chunked\r\n", ""),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        // Where the empty line could have been the end of the body.
        post("Transfer-Encoding: chunked\r\n", "6\r\nhe\r\n\r\n"),
    ];
    let slow = requests.map(|request| {
        let mut connection = gate.connect();
        connection.write(&request).unwrap();
        (connection, String::from_utf8_lossy(&request).into_owned())
    });
    for (mut connection, what) in slow {
        let answers = answers(&mut connection, &what);
        assert_eq!(answers.len(), 1, "{what:?}: {answers:?}");
        is_refusal(&answers[0], 408, &what);
    }
    assert!(upstream.take().is_empty());
    has_not_panicked(&gate);
}

/// Between requests the head's time does not run.
#[test]
fn an_idle_connection_outlives_the_head_timeout() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, IMPATIENT);
    let mut connection = gate.connect();
    for target in ["/first", "/second"] {
        let chunks = [("Transfer-Encoding", "chunked")];
        connection.request("POST", target, &chunks, b"0\r\n\r\n").expect(200);
        thread::sleep(Duration::from_millis(1500));
    }
    connection.request("GET", "/\"third", &[], b"").expect(200);
    assert_eq!(upstream.take().len(), 3);
}
