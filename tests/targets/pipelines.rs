//! Wherever on a connection a target comes, and however the bytes are cut: bodies that look like requests
//! stay bodies, and no request is merged or invented.

use std::{io::Write as _, thread, time::Duration};

use super::{
    carried, get,
    support::{
        Connection, Gate, Recorder,
        recorder::{Action, Recorded, ok},
    },
};

/// A request, and how it must arrive.
struct Sent {
    bytes: Vec<u8>,
    method: &'static str,
    target: Vec<u8>,
    body: Vec<u8>,
    chunked: bool,
}

impl Sent {
    fn get(target: &[u8]) -> Self {
        Self {
            bytes: get(target),
            method: "GET",
            target: target.to_vec(),
            body: Vec::new(),
            chunked: false,
        }
    }

    fn with_length(target: &[u8], body: &[u8]) -> Self {
        let head = format!(" HTTP/1.1\r\nHost: couch\r\nContent-Length: {}\r\n\r\n", body.len());
        Self {
            bytes: [b"POST ", target, head.as_bytes(), body].concat(),
            method: "POST",
            target: target.to_vec(),
            body: body.to_vec(),
            chunked: false,
        }
    }

    fn in_chunks(target: &[u8], body: &[u8], size: usize, end: &str) -> Self {
        let head = b" HTTP/1.1\r\nHost: couch\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut bytes = [b"POST ", target, head].concat();
        for chunk in body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend([chunk, b"\r\n"].concat());
        }
        bytes.extend(end.as_bytes());
        Self { bytes, method: "POST", target: target.to_vec(), body: body.to_vec(), chunked: true }
    }

    #[track_caller]
    fn arrived_as(&self, request: &Recorded) {
        let what = self.bytes.escape_ascii();
        assert_eq!(request.method, self.method, "{what}");
        let (target, expected) = (request.target.escape_ascii(), carried(&self.target));
        assert_eq!(target.to_string(), expected.escape_ascii().to_string(), "{what}");
        assert!(request.body == self.body, "{what} came with {}", request.body.escape_ascii());
        assert_eq!(request.chunked, self.chunked, "{what}");
    }
}

fn stream(sent: &[Sent]) -> Vec<u8> {
    sent.iter().flat_map(|request| request.bytes.clone()).collect()
}

#[track_caller]
fn all_arrive(connection: &mut Connection, upstream: &Recorder, sent: &[Sent], what: &str) {
    for request in sent {
        let answer = connection.reply(request.method == "HEAD");
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, 200, "{what}");
    }
    let arrived = upstream.take();
    assert_eq!(arrived.len(), sent.len(), "{what}: {arrived:?}");
    sent.iter().zip(&arrived).for_each(|(sent, arrived)| sent.arrived_as(arrived));
}

const LAST: &str = "0\r\n\r\n";
const LOOKS_LIKE_A_REQUEST: &[u8] = b"\r\n\r\nGET /\"<smuggled>\" HTTP/1.1\r\nHost: couch\r\n\r\n";

fn pipeline() -> Vec<Sent> {
    let body = [b"{\"a\":", LOOKS_LIKE_A_REQUEST, b"}"].concat();
    vec![
        Sent::get(b"/\"a?startkey=\"a\""),
        Sent::with_length(b"/b<?\"", &body),
        Sent::get(b"/c`?<\xff>"),
        Sent::in_chunks(b"/d<?\"", &body, 7, "0;x=\"y\"\r\nA: \"b\r\n\r\n"),
        Sent::get(b"/e<?\""),
        Sent::in_chunks(b"/f<?\"", b"", 1, LAST),
        Sent::with_length(b"/g<?\"", b"\r\n"),
        Sent::get(b"/h<?\""),
    ]
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let sent = pipeline();
    let mut connection = gate.connect();
    connection.write(&stream(&sent)).unwrap();
    all_arrive(&mut connection, &upstream, &sent, "at once");
    for byte in stream(&sent) {
        connection.write(&[byte]).unwrap();
        // Gives couchgate the time to read the byte by itself; nothing depends on it.
        thread::sleep(Duration::from_micros(200));
    }
    all_arrive(&mut connection, &upstream, &sent, "byte by byte");
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let sent = pipeline();
    let bytes = stream(&sent);
    let mut connection = gate.connect();
    for cut in 1..bytes.len() {
        connection.write(&bytes[..cut]).unwrap();
        thread::sleep(Duration::from_micros(500));
        connection.write(&bytes[cut..]).unwrap();
        all_arrive(&mut connection, &upstream, &sent, &format!("cut at {cut}"));
    }
}

#[test]
fn a_body_may_look_like_requests_at_every_offset() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    let filler = [b'x'; 40];
    for at in 0..=filler.len() {
        let (before, after) = filler.split_at(at);
        let body = [before, LOOKS_LIKE_A_REQUEST, after].concat();
        let mut sent = vec![Sent::get(b"/\"first"), Sent::with_length(b"/length\"", &body)];
        for size in [1, 2, 3, 5, 16, 1000] {
            sent.push(Sent::in_chunks(b"/<chunks>", &body, size, LAST));
            sent.push(Sent::get(b"/after?\"\""));
        }
        connection.write(&stream(&sent)).unwrap();
        all_arrive(&mut connection, &upstream, &sent, &format!("at {at}"));
    }
}

/// Empty lines of a request stream, from RFC 9112 section 2.2: some clients send one too many.
#[test]
fn empty_lines_before_a_request_are_skipped() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    let mut bytes = Vec::new();
    for request in &pipeline() {
        bytes.extend([b"\r\n\r\n", &request.bytes[..], b"\r\n"].concat());
    }
    connection.write(&bytes).unwrap();
    all_arrive(&mut connection, &upstream, &pipeline(), "with empty lines");
}

/// A small linear congruential generator: the same numbers every time (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn target(&mut self) -> Vec<u8> {
        let mut target = b"/db/".to_vec();
        for _ in 0..self.below(40) {
            match self.below(4) {
                0 => target.push(self.one_of(b"\"<>`#?{}|\\^&=%/+")),
                1 => target.extend(self.one_of(&["ä", "日", "\u{80}"]).as_bytes()),
                2 => target.push(u8::try_from(0x80 + self.below(0x80)).unwrap()),
                _ => target.push(u8::try_from(0x21 + self.below(0x5e)).unwrap()),
            }
        }
        target
    }

    fn body(&mut self) -> Vec<u8> {
        const PIECES: [&[u8]; 12] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b"5\r\n",
            b"GET /\"x\" HTTP/1.1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 3\n",
            LOOKS_LIKE_A_REQUEST,
            b"\0\xff",
            b"text",
        ];
        let count = if self.below(40) == 0 { 1000 } else { self.below(30) };
        (0..count).flat_map(|_| self.one_of(&PIECES).to_vec()).collect()
    }

    fn request(&mut self) -> Sent {
        const METHODS: [&str; 8] =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "COPY", "PROPFIND", "X-Odd!"];
        let (target, body) = (self.target(), self.body());
        let mut sent = match self.below(3) {
            0 => Sent::get(&target),
            1 => Sent::with_length(&target, &body),
            _ => {
                let end = self.one_of(&[LAST, "00;x\r\n\r\n", "0\r\nA: \"b\"\r\nC: d\r\n\r\n"]);
                let size = 1 + self.below(50);
                Sent::in_chunks(&target, &body, size, end)
            }
        };
        let method = self.one_of(&METHODS);
        sent.bytes.splice(..sent.method.len(), method.bytes());
        sent.method = method;
        if self.below(4) == 0 {
            let line_end = sent.bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            sent.bytes.splice(line_end..line_end, *b"Expect: 100-continue\r\n");
        }
        sent
    }

    fn pieces<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let longest =
            self.one_of(&[1 + bytes.len() / 50, 1000, 10_000, usize::MAX]).min(bytes.len());
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(1 + self.below(longest.min(bytes.len())));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// Answers of every shape, so that the connections upstream end and go on in every way.
fn answer(request: &Recorded) -> Action {
    let is_head = request.method == "HEAD";
    let body = if is_head { "" } else { "5\r\nhello\r\n0\r\n\r\n" };
    match request.target.len() % 5 {
        0 if !is_head => Action::Answer(ok(b"{\"ok\":true}\n")),
        1 => Action::AnswerAndClose(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec()),
        2 => Action::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => Action::Answer(
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes(),
        ),
    }
}

/// Pipelines of random requests, cut at random: what arrives is what was sent, in its order.
#[test]
fn random_pipelines_arrive_as_they_were_sent() {
    const CONNECTIONS: u64 = 250;
    let upstream = Recorder::scripted(answer);
    let gate = Gate::start(&upstream.url, "");
    let mut requests = 0;
    for seed in 0..CONNECTIONS {
        let mut random = Random(seed);
        let sent: Vec<Sent> = (0..=random.below(30)).map(|_| random.request()).collect();
        requests += sent.len();
        let bytes = stream(&sent);
        let mut connection = gate.connect();
        let mut socket = connection.socket().try_clone().unwrap();
        thread::scope(|scope| {
            let pieces = random.pieces(&bytes);
            scope.spawn(move || {
                for piece in pieces {
                    socket.write_all(piece).unwrap();
                    thread::yield_now();
                }
            });
            all_arrive(&mut connection, &upstream, &sent, &format!("seed {seed}"));
        });
    }
    assert!(requests > 3000, "{requests}");
    assert!(!gate.log().iter().any(serde_json::Value::is_string), "{:?}", gate.log());
}
