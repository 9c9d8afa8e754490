//! The same holds for what a download token opens.

use std::{io, thread, time::Duration};

use crate::{
    ATTACHMENT, Framing, answer_body, expect_body,
    support::{Connection, Gate, StreamUpstream, stream::Exchange},
    without_growing,
};

fn upstream() -> StreamUpstream {
    StreamUpstream::with_document("/db/doc", r#"{"_rev":"1-a","download_token":"t"}"#)
}

/// Asks for an attachment; the answer is the test's to make.
#[track_caller]
fn ask(client: &mut Connection, upstream: &StreamUpstream) -> Exchange {
    client.write(b"GET /db/doc/attachment?token=t HTTP/1.1\r\nHost: couch\r\n\r\n").unwrap();
    let exchange = upstream.next();
    assert_eq!(exchange.target, "/db/doc/attachment?rev=1-a");
    assert_eq!(exchange.header("x-auth-couchdb-username"), Some("couchgate"));
    exchange
}

#[test]
fn a_gibibyte_is_downloaded() {
    for framing in [Framing::Known, Framing::Chunked] {
        let upstream = upstream();
        let gate = Gate::start(&upstream.url, "");
        without_growing(&gate, &format!("download, {framing:?}"), || {
            let mut client = gate.connect();
            let mut exchange = ask(&mut client, &upstream);
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

#[test]
fn a_slow_client_holds_up_its_download() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let mut client = gate.connect();
    without_growing(&gate, "a slow download", || {
        let mut exchange = ask(&mut client, &upstream);
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", Framing::Known.header(ATTACHMENT));
        exchange.write(head.as_bytes()).unwrap();
        let socket = exchange.socket();
        socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let written = Framing::Known.write_body(socket, ATTACHMENT);
        let kind = written.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::WouldBlock), "everything was taken");
    });
}

#[test]
fn who_stops_a_download_stops_it_upstream() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for begun in [false, true] {
        let mut client = gate.connect();
        let mut exchange = ask(&mut client, &upstream);
        if begun {
            exchange.begin_chunks();
            exchange.chunk(b"some").unwrap();
            client.head().unwrap().expect(200);
            assert_eq!(client.chunk().unwrap().unwrap(), b"some");
        }
        assert!(!exchange.is_closed_within(Duration::from_millis(100)), "begun: {begun}");
        drop(client);
        assert!(exchange.is_closed_within(Duration::from_secs(10)), "begun: {begun}");
    }
}

/// A download that breaks off does not look whole.
#[test]
fn a_download_that_breaks_off_is_seen_to() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for framing in [Framing::Known, Framing::Chunked] {
        let mut client = gate.connect();
        let mut exchange = ask(&mut client, &upstream);
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", framing.header(100));
        exchange.write(head.as_bytes()).unwrap();
        exchange.write(b"4\r\nsome\r\n").unwrap();
        drop(exchange);
        assert!(client.reply(false).is_err(), "{framing:?}");
    }
}
