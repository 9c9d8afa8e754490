//! Forwarding to CouchDB over pooled connections.
//!
//! A request and its response are driven by the task that serves the client: no other task is
//! woken on the way, and when the client goes away its upstream connection closes with it.
//! What may have happened is sent again only where that does no harm (see [`Upstream::send`]).

mod body;
mod connect;
mod connection;
mod naming;
mod pool;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use metrics::{Counter, counter};

use crate::request_id::RequestId;
pub use body::{RequestBody, UpstreamBody};
pub use connect::{InvalidNode, Node, Scheme, TlsFiles, tls_client};
use connection::{Connection, Failure};
use naming::{Expected, NamesRequests};
use pool::Pool;

/// What `[couchgate]` and `[upstream_ssl]` say about the way to CouchDB.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The nodes of one CouchDB cluster, used in turn.
    pub nodes: Vec<Node>,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// Unused for longer, a connection is not used again; it is closed when the pool is next used.
    pub idle_timeout: Duration,
    /// For nodes with `https`.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No node accepted a connection: the request was not sent, or only one that is safe.
    #[error("no upstream node accepts connections")]
    Unreachable,
    /// The request may have been carried out, but its answer did not arrive.
    #[error("upstream closed the connection or sent an invalid answer")]
    Broken,
    /// The client's body broke off or is malformed.
    #[error("the request body broke off")]
    RequestBody,
    /// The client's body did not arrive in time.
    #[error("the request body did not arrive in time")]
    SlowRequestBody,
}

/// The way to CouchDB: nodes and the connections to them.
#[derive(Debug)]
pub struct Upstream {
    pools: Vec<Arc<Pool>>,
    turn: AtomicUsize,
    names_requests: NamesRequests,
    resent: Counter,
}

impl Upstream {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let pool = |node: &Node| Arc::new(Pool::new(node.clone(), settings));
        Self {
            pools: settings.nodes.iter().map(pool).collect(),
            turn: 0.into(),
            names_requests: NamesRequests::default(),
            resent: counter!("couchgate_upstream_resent_total"),
        }
    }

    /// The `Host` to send where the client sent none.
    #[must_use]
    pub fn host(&self) -> HeaderValue {
        self.pools.first().map_or_else(
            || HeaderValue::from_static("localhost"),
            |pool| pool.node().authority().clone(),
        )
    }

    /// Whether CouchDB has ever named a request in its answer. From then on an answer that does not
    /// is believed only where it can be no other's.
    #[must_use]
    pub fn names_requests(&self) -> bool {
        self.names_requests.is_known()
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// The request's head has the id.
    ///
    /// A request is sent a second time, at most once, where a pooled connection turned out to be
    /// closed before a byte was written, or where it closed without an answer, or with another's,
    /// and repeating does no harm: the request is safe (RFC 9110 section 9.2.1), has no body, and
    /// runs no function of a design document, which need not be safe.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether the request may have been carried out.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        id: &RequestId,
    ) -> Result<Response<UpstreamBody>, SendError> {
        let expected = Expected::of(&request, id, &self.names_requests);
        let mut replay =
            if expected.runs_function() { Replay::Impossible } else { replayable(&request) };
        loop {
            let connection = self.checkout(replay.is_spent() || expected.wants_fresh()).await?;
            let reused = connection.is_reused();
            match connection.exchange(request, expected).await {
                Ok(response) => return Ok(response),
                Err(Failure::Unsent(unsent)) if reused => request = *unsent,
                Err(Failure::NoResponse | Failure::NotItsAnswer) if reused => match replay.take() {
                    Some(again) => request = again,
                    None => return Err(SendError::Broken),
                },
                Err(Failure::RequestBody) => return Err(SendError::RequestBody),
                Err(Failure::SlowRequestBody) => return Err(SendError::SlowRequestBody),
                Err(_) => return Err(SendError::Broken),
            }
            self.resent.increment(1);
            replay.spend();
        }
    }

    /// A pooled connection, or a new one to the next node that accepts it.
    async fn checkout(&self, fresh: bool) -> Result<Box<Connection>, SendError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.pools.len().max(1);
        let (before, from) = self.pools.split_at(turn);
        let mut in_turn: Vec<_> = from.iter().chain(before).collect();
        in_turn.sort_by_key(|pool| pool.is_down());
        for pool in in_turn {
            if !fresh && let Some(connection) = pool.take() {
                return Ok(connection);
            }
            if let Ok(connection) = pool.connect().await {
                return Ok(connection);
            }
        }
        Err(SendError::Unreachable)
    }
}

/// What is needed to send a request a second time, at most once.
enum Replay {
    Head(Box<Request<()>>),
    Impossible,
    Spent,
}

fn replayable(request: &Request<RequestBody>) -> Replay {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe || !matches!(request.body(), RequestBody::Empty) {
        return Replay::Impossible;
    }
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    Replay::Head(Box::new(head))
}

impl Replay {
    fn take(&mut self) -> Option<Request<RequestBody>> {
        match std::mem::replace(self, Self::Spent) {
            Self::Head(head) => Some(head.map(|()| RequestBody::Empty)),
            Self::Impossible | Self::Spent => None,
        }
    }

    fn spend(&mut self) {
        *self = Self::Spent;
    }

    fn is_spent(&self) -> bool {
        matches!(self, Self::Spent)
    }
}

/// A request of couchgate's own, with an empty or a complete body.
#[must_use]
pub fn own_request(method: Method, uri: http::Uri, body: Option<Bytes>) -> Request<RequestBody> {
    let mut request = Request::new(body.map_or(RequestBody::Empty, |b| RequestBody::Full(Some(b))));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request
}
