//! One line and a few numbers for every request.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::Metrics;
use crate::{
    auth::Outcome,
    error::Error,
    request_id::RequestId,
    user_ctx::{HandlerName, UserCtx},
};

/// What is said about a request when its answer has ended.
#[derive(Debug)]
pub struct Record {
    metrics: Arc<Metrics>,
    began: Instant,
    step: Instant,
    method: Method,
    path: String,
    request_id: Option<RequestId>,
    client: Option<IpAddr>,
    user: Option<UserCtx>,
    /// Why couchgate itself refuses.
    reason: Option<String>,
    status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
}

impl Record {
    /// Begins with nothing known.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.in_flight.increment(1.0);
        let now = Instant::now();
        Self {
            metrics,
            began: now,
            step: now,
            method: Method::GET,
            path: String::new(),
            request_id: None,
            client: None,
            user: None,
            reason: None,
            status: None,
            bytes: 0,
            complete: false,
        }
    }

    /// A request has arrived. Only its path is kept: a query may hold credentials.
    pub fn begins<B>(&mut self, request: &Request<B>, id: &RequestId, peer: SocketAddr) {
        self.method = request.method().clone();
        request.uri().path().clone_into(&mut self.path);
        self.request_id = Some(id.clone());
        self.client = Some(peer.ip());
    }

    /// The client's address as seen through trusted proxies.
    pub fn client(&mut self, address: IpAddr) {
        self.client = Some(address);
        self.step = Instant::now();
    }

    /// The chain has decided.
    pub fn authenticated(&mut self, outcome: &Result<Outcome, Error>) {
        self.metrics.chain.record(self.step.elapsed());
        if let Ok(Outcome::User { user, .. } | Outcome::Download { user, .. }) = outcome {
            self.user = Some(user.clone());
        }
    }

    /// The request goes to CouchDB.
    pub fn forwarded(&mut self) {
        self.step = Instant::now();
    }

    /// The head of CouchDB's answer has arrived.
    pub fn answered(&mut self) {
        self.metrics.upstream.record(self.step.elapsed());
    }

    /// couchgate refuses; the client is told the same.
    pub fn refused(&mut self, error: &Error) {
        self.reason = Some(error.to_string());
    }

    fn handler(&self) -> Option<HandlerName> {
        self.user.as_ref().map(|user| user.handler)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1.0);
        if let Some(status) = self.status {
            self.metrics.count(self.handler(), status);
        }
        tracing::info!(
            target: "couchgate::access",
            request_id = self.request_id.as_ref().map_or("-", RequestId::as_str),
            client = self.client.map(tracing::field::display),
            method = %self.method,
            path = self.path,
            user = %self.user.as_ref().map_or("-".into(), UserCtx::shown),
            handler = self.handler().map_or("-", HandlerName::as_str),
            // 0: the client went away before there was an answer.
            status = self.status.map_or(0, |status| status.as_u16()),
            reason = self.reason,
            bytes = self.bytes,
            duration_ms = self.began.elapsed().as_secs_f64() * 1e3,
            complete = self.complete,
        );
    }
}

/// A body whose end is recorded.
#[derive(Debug)]
pub struct Recorded<B> {
    body: B,
    record: Record,
}

impl<B: Body> Recorded<B> {
    /// Records the end of `body`.
    #[must_use]
    pub fn new(body: B, status: StatusCode, mut record: Record) -> Self {
        record.status = Some(status);
        record.complete = body.is_end_stream();
        Self { body, record }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Recorded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.record.complete = this.body.is_end_stream();
            }
            Some(Err(_)) => {}
            None => this.record.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
