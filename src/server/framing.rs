//! Where on a connection hyper is: the one thing that reading a request head may be based on.
//!
//! hyper alone decides where a request ends. It is asked, not second-guessed: the service learns
//! of a head only when hyper has parsed it, and the body it is handed knows hyper's own framing.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use http_body::Body;
use hyper::body::Incoming;

use crate::upstream::{ClientBody, EndOfBody};

/// Between bodies: the next bytes belong to a head.
const HEAD: u64 = 0;

/// In a body that ends where hyper finds its last chunk.
const CHUNKED: u64 = u64::MAX;

/// Shared by a connection's bytes and its service.
#[derive(Clone, Debug, Default)]
pub(super) struct Framing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// [`HEAD`], [`CHUNKED`], or the bytes of a body that are still to come.
    body_left: AtomicU64,
    /// A [`Flaw`] of the head that hyper is reading, as bits.
    flaws: AtomicU8,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Head,
    Body(u64),
    Chunks,
}

impl Framing {
    pub(super) fn next(&self) -> Next {
        match self.0.body_left.load(Ordering::Acquire) {
            HEAD => Next::Head,
            CHUNKED => Next::Chunks,
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
            self.0.body_left.store(length, Ordering::Release);
            return ClientBody::new(incoming, None);
        }
        self.0.body_left.store(CHUNKED, Ordering::Release);
        let state = Arc::clone(&self.0);
        let ended: EndOfBody = Box::new(move || state.body_left.store(HEAD, Ordering::Release));
        ClientBody::new(incoming, Some(ended))
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

/// What hyper lets pass in a head, and a proxy must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A line ended in LF without CR (RFC 9112 section 2.2).
    BareLf = 1,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1).
    TwoFramings = 2,
}
