//! Where on a connection hyper is: the one thing that reading a request head may be based on.
//!
//! hyper alone decides where a request ends. It is asked, not second-guessed: the service learns
//! of a head only when hyper has parsed it, and the body it is handed knows hyper's own framing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::client_body::{ClientBody, Seen};

/// Between bodies: the next bytes belong to a head.
const HEAD: u64 = 0;

/// In a body that ends where hyper finds its last chunk.
const CHUNKED: u64 = u64::MAX;

/// After an empty line of such a body, which may have been its end.
const PERHAPS_ENDED: u64 = u64::MAX - 1;

/// After a chunked body that nobody reads to its end: nobody learns where it is.
const ABANDONED: u64 = u64::MAX - 2;

/// Bodies of known length are shorter than this.
const LONGEST: u64 = u64::MAX - 3;

/// Shared by a connection's bytes and its service.
#[derive(Clone, Debug, Default)]
pub(super) struct Framing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// One of the constants above, or the bytes of a body that are still to come.
    body_left: AtomicU64,
    /// hyper, when it asks for bytes that may be of a body or of a head.
    asking: Mutex<Option<Waker>>,
    abandoned: Notify,
    /// A [`Flaw`] of the head that hyper is reading, as bits.
    flaws: AtomicU8,
    answering: AtomicBool,
    unflushed: AtomicBool,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Head,
    Body(u64),
    Chunks,
    /// Not known yet, or never.
    Unknown,
}

impl Framing {
    pub(super) fn next(&self) -> Next {
        match self.0.body_left.load(Ordering::Acquire) {
            HEAD => Next::Head,
            CHUNKED => Next::Chunks,
            PERHAPS_ENDED | ABANDONED => Next::Unknown,
            left => Next::Body(left),
        }
    }

    /// Bytes of a body with a known length have been handed to hyper.
    pub(super) fn body_bytes(&self, left: u64) {
        self.0.body_left.store(left, Ordering::Release);
    }

    /// hyper has parsed a head; this body follows it.
    pub(super) fn body_follows(&self, incoming: Incoming) -> ClientBody {
        if incoming.is_end_stream() {
            return ClientBody::new(incoming, None);
        }
        if let Some(length) = incoming.size_hint().exact() {
            self.0.body_left.store(length.min(LONGEST), Ordering::Release);
            return ClientBody::new(incoming, None);
        }
        self.0.body_left.store(CHUNKED, Ordering::Release);
        let state = Arc::clone(&self.0);
        ClientBody::new(incoming, Some(Box::new(move |seen| state.saw(seen))))
    }

    /// An empty line of a chunked body has been handed to hyper.
    pub(super) fn perhaps_ended(&self) {
        self.0.body_left.store(PERHAPS_ENDED, Ordering::Release);
    }

    /// hyper asks for more, and will be woken when it is known what that is.
    pub(super) fn ask(&self, cx: &Context<'_>) {
        *self.0.asking() = Some(cx.waker().clone());
    }

    /// Ready when a chunked body was not read to its end: hyper may find that end among the bytes
    /// it has, so the connection must close instead of carrying another request.
    pub(super) async fn abandoned(&self) {
        self.0.abandoned.notified().await;
    }

    /// hyper is about to be given an answer. One to HEAD has a body only to tell its length.
    pub(super) fn answer_begins(&self, to_head: bool) {
        self.0.unflushed.store(true, Ordering::Release);
        self.0.answering.store(!to_head, Ordering::Release);
    }

    /// hyper has been given all of the answer.
    pub(super) fn answer_ends(&self) {
        self.0.answering.store(false, Ordering::Release);
    }

    /// All that hyper had to write has been written.
    pub(super) fn flushed(&self) {
        if !self.0.answering.load(Ordering::Acquire) {
            self.0.unflushed.store(false, Ordering::Release);
        }
    }

    /// Whether an answer of ours is on its way: what hyper writes now is of this answer.
    pub(super) fn is_answering(&self) -> bool {
        self.0.unflushed.load(Ordering::Acquire)
    }

    /// Something in a head that hyper lets pass.
    pub(super) fn saw(&self, flaw: Flaw) {
        self.0.flaws.fetch_or(flaw as u8, Ordering::AcqRel);
    }

    /// What was seen in the head that hyper has just parsed.
    pub(super) fn take_flaw(&self) -> Option<Flaw> {
        if self.0.flaws.load(Ordering::Acquire) == 0 {
            return None;
        }
        let flaws = self.0.flaws.swap(0, Ordering::AcqRel);
        [Flaw::BareLf, Flaw::TwoFramings].into_iter().find(|flaw| flaws & *flaw as u8 != 0)
    }
}

impl State {
    /// A chunked body's reader runs in hyper's own task: while it waits, hyper is in the body, and
    /// if it asks for bytes they belong to the body too. Past the end the reader does not wait.
    fn saw(&self, seen: Seen) {
        let asking = self.asking().take();
        let next = match seen {
            Seen::More if asking.is_none() => return,
            Seen::More => CHUNKED,
            Seen::End => HEAD,
            Seen::Nothing => {
                self.abandoned.notify_one();
                ABANDONED
            }
        };
        self.body_left.store(next, Ordering::Release);
        if let Some(hyper) = asking {
            hyper.wake();
        }
    }

    fn asking(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        // A panic elsewhere cannot have left a waker half-changed.
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What hyper lets pass in a head, and a proxy must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A line ended in LF without CR (RFC 9112 section 2.2).
    BareLf = 1,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1).
    TwoFramings = 2,
}
