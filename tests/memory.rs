//! Bodies pass, they are not kept: the process stays small whatever goes through it.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "tests, with figures to look at")]

#[path = "memory/downloads.rs"]
mod downloads;
mod support;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use support::{Connection, Couch, Gate, StreamUpstream, basic, couch::unique, stream::Body};

const MIB: u64 = 1024 * 1024;
const ATTACHMENT: u64 = 1024 * MIB;

/// The process may grow by this much while an attachment passes, in KiB.
const GROWTH: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug)]
enum Framing {
    Known,
    Chunked,
}

impl Framing {
    fn header(self, length: u64) -> String {
        match self {
            Self::Known => format!("Content-Length: {length}\r\n"),
            Self::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        }
    }

    /// Writes a body of which no two blocks are the same.
    fn write_body(self, mut to: &TcpStream, length: u64) -> io::Result<()> {
        let mut block = block();
        for number in 0..length / MIB {
            block[..8].copy_from_slice(&number.to_be_bytes());
            match self {
                Self::Known => to.write_all(&block)?,
                Self::Chunked => {
                    write!(to, "{:x}\r\n", block.len())?;
                    to.write_all(&block)?;
                    to.write_all(b"\r\n")?;
                }
            }
        }
        match self {
            Self::Known => Ok(()),
            Self::Chunked => to.write_all(b"0\r\n\r\n"),
        }
    }
}

#[track_caller]
fn expect_body(mut body: Body<'_>, length: u64) {
    let mut expected = block();
    let mut block = block();
    for number in 0..length / MIB {
        expected[..8].copy_from_slice(&number.to_be_bytes());
        body.read_exact(&mut block).unwrap();
        assert!(block == expected, "block {number} is another");
    }
    assert_eq!(body.read(&mut block).unwrap(), 0, "more than was sent");
}

fn block() -> Vec<u8> {
    (0..MIB).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// Has `pass` leave couchgate as small as it was.
#[track_caller]
fn without_growing(gate: &Gate, what: &str, pass: impl FnOnce()) {
    let before = gate.memory_kib();
    pass();
    let growth = gate.peak_memory_kib().saturating_sub(before);
    eprintln!("{what}: {before} KiB, at most {growth} KiB more");
    assert!(growth < GROWTH, "{what}: {before} KiB grow by {growth} KiB");
}

#[test]
fn an_attachment_of_a_gibibyte_passes_up() {
    for framing in [Framing::Known, Framing::Chunked] {
        let upstream = StreamUpstream::start();
        let gate = Gate::start(&upstream.url, "");
        without_growing(&gate, &format!("up, {framing:?}"), || {
            let mut client = gate.connect();
            let head = "PUT /db/doc/attachment HTTP/1.1\r\nHost: couch\r\n";
            let head = format!("{head}{}\r\n", framing.header(ATTACHMENT));
            client.write(head.as_bytes()).unwrap();
            thread::scope(|scope| {
                let sent = scope.spawn(|| framing.write_body(client.socket(), ATTACHMENT));
                let mut exchange = upstream.next();
                let length = exchange.header("content-length").map(str::to_owned);
                let chunked = exchange.header("transfer-encoding") == Some("chunked");
                match framing {
                    Framing::Known => assert_eq!(length, Some(ATTACHMENT.to_string())),
                    Framing::Chunked => assert!(chunked && length.is_none()),
                }
                expect_body(exchange.body(), ATTACHMENT);
                sent.join().unwrap().unwrap();
                exchange.answer(b"{\"ok\":true}\n");
            });
            client.reply(false).unwrap().expect(200);
        });
    }
}

#[test]
fn an_attachment_of_a_gibibyte_passes_down() {
    for framing in [Framing::Known, Framing::Chunked] {
        let upstream = StreamUpstream::start();
        let gate = Gate::start(&upstream.url, "");
        without_growing(&gate, &format!("down, {framing:?}"), || {
            let mut client = gate.connect();
            client.write(b"GET /db/doc/attachment HTTP/1.1\r\nHost: couch\r\n\r\n").unwrap();
            let mut exchange = upstream.next();
            thread::scope(|scope| {
                let sent = scope.spawn(move || {
                    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", framing.header(ATTACHMENT));
                    exchange.write(head.as_bytes()).unwrap();
                    framing.write_body(exchange.socket(), ATTACHMENT)
                });
                expect_body(answer_body(&mut client, framing), ATTACHMENT);
                sent.join().unwrap().unwrap();
            });
        });
    }
}

#[track_caller]
fn answer_body(client: &mut Connection, framing: Framing) -> Body<'_> {
    let head = client.head().unwrap().expect(200);
    match framing {
        Framing::Known => {
            assert_eq!(head.header("content-length"), Some(&*ATTACHMENT.to_string()));
            Body::known(client.reader(), ATTACHMENT)
        }
        Framing::Chunked => {
            assert_eq!(head.header("transfer-encoding"), Some("chunked"));
            Body::chunked(client.reader())
        }
    }
}

/// CouchDB's own answers; the embedded server holds attachments in memory.
#[test]
fn an_attachment_comes_back_as_it_went() {
    let couch = Couch::shared();
    let length = if couch.is_real { 64 * MIB } else { 8 * MIB };
    let gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let db = couch.database();
    let user = couch.user("apple", &["dev"]);
    let authorization = basic(&user, "apple");
    for framing in [Framing::Known, Framing::Chunked] {
        let path = format!("/{db}/{}/attachment.bin", unique("doc"));
        without_growing(&gate, &format!("CouchDB, {framing:?}"), || {
            let mut client = gate.connect();
            let head = format!(
                "PUT {path} HTTP/1.1\r\nHost: couch\r\nAuthorization: {authorization}\r\n\
                 Content-Type: application/octet-stream\r\n{}\r\n",
                framing.header(length)
            );
            client.write(head.as_bytes()).unwrap();
            framing.write_body(client.socket(), length).unwrap();
            client.reply(false).unwrap().expect(201);
        });
        let mut client = gate.connect();
        let get = support::http::request("GET", &path, &[("Authorization", &authorization)], b"");
        client.write(&get).unwrap();
        let head = client.head().unwrap().expect(200);
        assert_eq!(head.header("content-length"), Some(&*length.to_string()));
        expect_body(Body::known(client.reader(), length), length);
    }
}

#[test]
fn a_thousand_idle_feeds_fit_into_forty_mebibytes() {
    const FEEDS: usize = 1_000;
    const CHANGE: &[u8] = b"{\"seq\":1,\"id\":\"doc\",\"changes\":[{\"rev\":\"1-a\"}]}\n";
    // Both ends of couchgate are in this process; the usual soft limit is 1024.
    rlimit::increase_nofile_limit(8 * FEEDS as u64).unwrap();
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let mut feeds: Vec<_> = (0..FEEDS)
        .map(|_| {
            let mut client = gate.connect();
            let target = "/db/_changes?feed=continuous&heartbeat=30000";
            client.write(&support::http::request("GET", target, &[], b"")).unwrap();
            let mut exchange = upstream.next();
            exchange.begin_chunks();
            exchange.chunk(b"\n").unwrap();
            client.head().unwrap().expect(200);
            assert_eq!(client.chunk().unwrap().unwrap(), b"\n");
            (client, exchange)
        })
        .collect();
    let idle = gate.memory_kib();
    for (_, exchange) in &mut feeds {
        exchange.chunk(CHANGE).unwrap();
    }
    for (client, _) in &mut feeds {
        assert_eq!(client.chunk().unwrap().unwrap(), CHANGE);
    }
    let changed = gate.memory_kib();
    eprintln!("{FEEDS} feeds: {idle} KiB, {changed} KiB after a change");
    assert!(idle.max(changed) < 40 * 1024, "{idle} KiB, {changed} KiB after a change");
}

/// What a client does not read stays with CouchDB.
#[test]
fn a_slow_client_holds_up_its_answer() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let mut client = gate.connect();
    without_growing(&gate, "a slow client", || {
        client.write(b"GET /db/doc/attachment HTTP/1.1\r\nHost: couch\r\n\r\n").unwrap();
        let mut exchange = upstream.next();
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", Framing::Known.header(ATTACHMENT));
        exchange.write(head.as_bytes()).unwrap();
        let socket = exchange.socket();
        socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let written = Framing::Known.write_body(socket, ATTACHMENT);
        let kind = written.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::WouldBlock), "everything was taken");
    });
}

/// The same in the other direction.
#[test]
fn a_slow_upstream_holds_up_its_client() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let mut client = gate.connect();
    without_growing(&gate, "a slow upstream", || {
        let head = "PUT /db/doc/attachment HTTP/1.1\r\nHost: couch\r\n";
        let head = format!("{head}{}\r\n", Framing::Known.header(ATTACHMENT));
        client.write(head.as_bytes()).unwrap();
        let _exchange = upstream.next();
        let socket = client.socket();
        socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let written = Framing::Known.write_body(socket, ATTACHMENT);
        let kind = written.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::WouldBlock), "everything was taken");
    });
}
