//! A client's connection, as hyper reads and writes it.
//!
//! Reading: a request line is handed to hyper only when it is whole, so that its target can be made
//! carryable ([`request_line`]). That must never touch a body, so hyper is given a head, and a
//! chunked body, only up to the next *empty line*: wherever hyper finds the end of one, it is at an
//! empty line, and then it has nothing of what follows. A body of known length is given to its
//! last byte and no further. Which of the three it is, hyper says ([`Framing`]); until it is known
//! whether a chunked body went on after an empty line, nothing is handed on.
//!
//! Writing: hyper answers a malformed head itself, with an empty body; that answer gets CouchDB's
//! shape.

use std::{
    borrow::Cow,
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    framing::{Framing, Next},
    lines::{Lines, empty_lines},
    malformed::Replacement,
    request_line::{carryable, may_begin},
};

/// Bytes read from a socket at a time.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Idle connections hold no buffer: bytes are read here and handed on at once.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a whole head, from its first byte.
    pub(super) head: Duration,
    /// For the next bytes of a body, and for taking the next bytes of a response.
    pub(super) body: Duration,
    /// The longest head, in bytes.
    pub(super) max_head: usize,
}

/// See the [module](self).
pub(super) struct ClientIo<S> {
    stream: S,
    framing: Framing,
    patience: Patience,
    /// Read, but not yet handed to hyper.
    pending: BytesMut,
    /// Where in a line of a head or of chunks the last handed byte was.
    lines: Lines,
    /// The last handed byte may have ended a head or a body: a request line may come next.
    at_boundary: bool,
    reading: Timer,
    writing: Timer,
    replacement: Option<Replacement>,
    failed_to_write: bool,
}

impl<S> ClientIo<S> {
    pub(super) fn new(stream: S, framing: Framing, patience: Patience) -> Self {
        Self {
            stream,
            framing,
            patience,
            pending: BytesMut::new(),
            lines: Lines::default(),
            at_boundary: true,
            reading: Timer::default(),
            writing: Timer::default(),
            replacement: None,
            failed_to_write: false,
        }
    }

    /// Whether bytes of an answer could not be written.
    pub(super) fn has_failed_to_write(&self) -> bool {
        self.failed_to_write
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Hands on bytes of a body whose length is known, and no more.
    fn hand_body(&mut self, left: u64, buf: &mut ReadBufCursor<'_>) {
        let room = self.pending.len().min(buf.remaining());
        let n = usize::try_from(left).map_or(room, |left| left.min(room));
        buf.put_slice(&self.pending[..n]);
        self.consume(n);
        self.framing.body_bytes(left - n as u64);
        self.lines = Lines::default();
        self.at_boundary = true;
        self.reading.disarm();
    }

    /// Hands on bytes up to and including the next line that may end a head or a chunked body; a
    /// request line only when it is whole. Returns whether there was anything to hand on.
    fn hand_lines(&mut self, next: Next, buf: &mut ReadBufCursor<'_>) -> bool {
        if next == Next::Head && self.at_boundary && !self.make_carryable() {
            return false;
        }
        let room = self.pending.len().min(buf.remaining());
        if room == 0 {
            return false;
        }
        let framing = (next == Next::Head).then_some(&self.framing);
        let (n, may_end) = match empty_lines(&self.pending[..room]) {
            // Together, for hyper reads all of them again with each that comes.
            n @ 1.. if next == Next::Head && self.at_boundary => (n, true),
            _ => self.lines.advance(&self.pending[..room], framing),
        };
        buf.put_slice(&self.pending[..n]);
        self.consume(n);
        self.at_boundary = may_end;
        if may_end || next == Next::Chunks {
            self.reading.disarm();
        }
        if may_end && next == Next::Chunks {
            self.framing.perhaps_ended();
        }
        true
    }

    /// Whether the request line is whole, or will not become one.
    fn make_carryable(&mut self) -> bool {
        let Some(end) = memchr::memchr(b'\n', &self.pending) else {
            return self.pending.len() > self.patience.max_head || !may_begin(&self.pending);
        };
        if let Cow::Owned(line) = carryable(&self.pending[..=end]) {
            let rest = self.pending.split_off(end + 1);
            self.pending = BytesMut::from(&line[..]);
            self.pending.unsplit(rest);
        }
        true
    }

    /// The outcome of a write, or of waiting too long for one.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = match written {
            Poll::Pending => ready!(self.writing.poll(cx, self.patience.body)).map(|()| 0),
            Poll::Ready(written) => {
                self.writing.disarm();
                written
            }
        };
        self.failed_to_write |= written.is_err();
        Poll::Ready(written)
    }

    fn consume(&mut self, n: usize) {
        if n == self.pending.len() {
            // An idle connection holds no buffer.
            self.pending = BytesMut::new();
        } else {
            self.pending.advance(n);
        }
    }
}

impl<S: AsyncRead + Unpin> ClientIo<S> {
    /// Reads at most `limit` bytes from the socket into `pending`; 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        READ.with_borrow_mut(|scratch| {
            let limit = limit.min(scratch.len());
            let mut buf = ReadBuf::new(&mut scratch[..limit]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            self.pending.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
    }

    /// The socket has nothing to read: waiting is limited within a head and within a body.
    fn poll_patience(&mut self, cx: &mut Context<'_>, next: Next) -> Poll<io::Result<()>> {
        let patience = match next {
            Next::Head if self.at_boundary && self.pending.is_empty() => return Poll::Pending,
            Next::Head => self.patience.head,
            Next::Body(_) | Next::Chunks | Next::Unknown => self.patience.body,
        };
        self.reading.poll(cx, patience)
    }
}

impl<S: AsyncRead + Unpin> Read for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let next = this.framing.next();
            let limit = match next {
                Next::Body(left) if !this.pending.is_empty() => {
                    this.hand_body(left, &mut buf);
                    return Poll::Ready(Ok(()));
                }
                Next::Body(left) => {
                    usize::try_from(left).map_or(buf.remaining(), |left| left.min(buf.remaining()))
                }
                Next::Head | Next::Chunks => {
                    if this.hand_lines(next, &mut buf) {
                        return Poll::Ready(Ok(()));
                    }
                    SCRATCH
                }
                Next::Unknown => {
                    this.framing.ask(cx);
                    return Poll::Pending;
                }
            };
            match this.poll_fill(cx, limit) {
                Poll::Ready(Ok(0)) => {
                    // An unfinished request line is hyper's to judge.
                    let n = this.pending.len().min(buf.remaining());
                    buf.put_slice(&this.pending[..n]);
                    this.consume(n);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return this.poll_patience(cx, next),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none() && !this.framing.is_answering() {
            this.replacement = Replacement::of(buf);
        }
        let written = match &mut this.replacement {
            None => Pin::new(&mut this.stream).poll_write(cx, buf),
            Some(replacement) => replacement.poll_write(cx, &mut this.stream),
        };
        if written.is_ready() {
            this.replacement = None;
        }
        this.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx).map_ok(|()| 0);
        ready!(this.written(cx, flushed))?;
        this.framing.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx).map_ok(|()| 0);
        this.written(cx, shut).map_ok(|_| ())
    }
}

/// Limits a wait; costs nothing until there is one.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Pending until the wait, which began when it was first polled, took `patience`.
    fn poll(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<io::Result<()>> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}
