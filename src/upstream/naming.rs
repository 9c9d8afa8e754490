//! Telling an answer from another's.
//!
//! CouchDB 3.5.0 writes what a document's author chose into the head of an answer as it is: the
//! type of an attachment, a revision in an `ETag`. With line ends in it the head is another, the
//! body too, and what is left of it stands on the connection as if it were the next answer. But
//! CouchDB also writes the request's id there (`X-Couch-Request-ID`), behind the others, for its
//! heads are sorted; and nobody knew it when the document was written.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, Method, Request, header};

use super::connection::Failure;
use crate::{request_id::RequestId, target::Target};

/// Whether the upstream names requests in its answers: CouchDB does since 2.0, all nodes or none.
#[derive(Debug, Default)]
pub(super) struct NamesRequests(AtomicBool);

impl NamesRequests {
    pub(super) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What an answer must say.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    names_requests: &'a NamesRequests,
    id: &'a RequestId,
    /// A design document's function answers. It is told the id, so it could leave a part of a head
    /// on the connection that the next answer, with the right id, completes. Such a connection is
    /// never used again.
    runs_function: bool,
    /// CouchDB 3.5.0 does not name these requests, or may not; and they are not sent again.
    is_unnamed: bool,
}

impl<'a> Expected<'a> {
    pub(super) fn of<B>(
        request: &Request<B>,
        id: &'a RequestId,
        names_requests: &'a NamesRequests,
    ) -> Self {
        let target = request.uri().path_and_query().map(|target| Target::new(target.clone()));
        let is_unnamed = target.as_ref().is_some_and(|target| is_unnamed(request.method(), target));
        let runs_function = target.is_none_or(|target| target.runs_design_function());
        Self { names_requests, id, runs_function, is_unnamed }
    }

    pub(super) fn runs_function(self) -> bool {
        self.runs_function
    }

    /// An answer without a name cannot be told from what another left on a connection; and an id
    /// of the client's own may be known to others, and proves nothing.
    pub(super) fn wants_fresh(self) -> bool {
        self.names_requests.is_known() && (self.is_unnamed || !self.id.is_random())
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
        if named && !self.names_requests.is_known() {
            self.names_requests.0.store(true, Ordering::Relaxed);
        }
        if !self.names_requests.is_known() {
            return Ok(true);
        }
        if reused && !named {
            return Err(Failure::NotItsAnswer);
        }
        Ok(named && self.id.is_random() && !self.runs_function)
    }
}

/// What the older of CouchDB's two HTTP layers answers (CouchDB 3.5, `couch_httpd`): files, and what
/// is asked of a node. Where that is safe and rare, it is simply sent again.
fn is_unnamed(method: &Method, target: &Target) -> bool {
    let Some(first) = target.segments().next() else { return false };
    match &*first {
        b"_membership" | b"_session" | b"_utils" | b"favicon.ico" => true,
        b"_cluster_setup" | b"_node" => !matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    }
}
