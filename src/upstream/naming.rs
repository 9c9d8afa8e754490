//! Telling an answer from another's.
//!
//! CouchDB 3.5.0 writes what a document's author chose into the head of an answer as it is: the
//! type of an attachment, a revision in an `ETag`. With line ends in it the head is another, the
//! body too, and what is left of it stands on the connection as if it were the next answer. But
//! CouchDB also writes the request's id there (`X-Couch-Request-ID`), which nobody knew when the
//! document was written.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, header};

use super::connection::Failure;
use crate::request_id::RequestId;

/// Whether the upstream names requests: CouchDB does since 2.0.
#[derive(Debug, Default)]
pub(super) struct Namer(AtomicBool);

impl Namer {
    pub(super) fn names(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What an answer must say.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a> {
    pub(super) namer: &'a Namer,
    pub(super) id: &'a RequestId,
    /// A design document's function answers, which is told the id.
    pub(super) runs_function: bool,
}

impl Naming<'_> {
    /// An id of the client's own may be known to others, and proves nothing.
    pub(super) fn wants_fresh(self) -> bool {
        self.namer.names() && !self.id.is_random()
    }

    /// Whether another request may follow on the connection, after an answer with this head; a
    /// failure where it is not to be believed.
    pub(super) fn judge(self, head: &HeaderMap, reused: bool) -> Result<bool, Failure> {
        // RFC 9112 section 6.3: such a message may have been split.
        if head.contains_key(header::TRANSFER_ENCODING) && head.contains_key(header::CONTENT_LENGTH)
        {
            return Err(Failure::Broken);
        }
        let named = self.id.is_named_in(head);
        if named && !self.namer.names() {
            self.namer.0.store(true, Ordering::Relaxed);
        }
        if !self.namer.names() {
            return Ok(true);
        }
        // Some of CouchDB's own answers do not name the request: Fauxton's files, mochiweb's errors.
        if reused && !named {
            return Err(Failure::NotItsAnswer);
        }
        Ok(named && self.id.is_random() && !self.runs_function)
    }
}
