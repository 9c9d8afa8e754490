//! One HTTP/1.1 connection to CouchDB, driven by whoever is using it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{
    body::{RequestBody, UpstreamBody},
    connect::{ConnectError, Stream},
    naming::Expected,
    pool::Pool,
};
use crate::client_body::timed_out;

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, RequestBody>;

/// A connection that carries one exchange at a time.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    /// `None` once the connection has ended; a finished future must not be polled.
    driver: Option<Driver>,
    reused: bool,
    /// Whether what comes next on it can be told from what does not belong there.
    in_step: bool,
    pool: Arc<Pool>,
}

/// Why an exchange failed.
pub(super) enum Failure {
    /// Nothing was written; here is the request, untouched.
    Unsent(Box<Request<RequestBody>>),
    /// Written, at least in part, but the connection ended before a whole head of response.
    NoResponse,
    /// What came is not known to be the answer to this request.
    NotItsAnswer,
    /// The body to send broke off, or is malformed.
    RequestBody,
    /// The body to send did not arrive in time.
    SlowRequestBody,
    /// Anything else.
    Broken,
}

impl Connection {
    pub(super) async fn handshake(
        stream: Box<dyn Stream>,
        pool: Arc<Pool>,
    ) -> Result<Box<Self>, ConnectError> {
        let (sender, driver) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| ConnectError::Handshake)?;
        Ok(Box::new(Self { sender, driver: Some(driver), reused: false, in_step: false, pool }))
    }

    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn set_reused(&mut self) {
        self.reused = true;
    }

    /// Sends the request; the response's body drives the rest of the exchange.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: Request<RequestBody>,
        expected: Expected<'_>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut response = pin!(self.sender.try_send_request(request));
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            drive(&mut self.driver, cx);
            response.as_mut().poll(cx)
        })
        .await;
        match result {
            Ok(response) => {
                let (head, incoming) = response.into_parts();
                self.in_step = expected.judge(&head.headers, self.reused)?;
                Ok(Response::from_parts(head, UpstreamBody::new(incoming, self)))
            }
            Err(mut failure) => Err(match failure.take_message() {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::from(failure.error()),
            }),
        }
    }

    /// The next piece of the response's body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>>> {
        use http_body::Body;
        if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        drive(&mut self.driver, cx);
        Pin::new(incoming).poll_frame(cx)
    }

    /// Whether a pooled connection can carry a request, as far as can be told.
    pub(super) fn is_open(&mut self) -> bool {
        self.settle();
        self.sender.is_ready()
    }

    /// Gives the connection back after a response that was read to its end.
    pub(super) fn recycle(mut self: Box<Self>) {
        if self.in_step && self.is_open() {
            let pool = Arc::clone(&self.pool);
            pool.put(self);
        }
    }

    /// Lets the connection notice what happened; nobody waits for it, so nobody is woken.
    fn settle(&mut self) {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(cx).is_ready()
    {
        *driver = None;
    }
}

impl From<&hyper::Error> for Failure {
    fn from(error: &hyper::Error) -> Self {
        use std::error::Error as _;
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        if error.is_user() {
            if timed_out(error) { Self::SlowRequestBody } else { Self::RequestBody }
        } else if error.is_incomplete_message() || error.is_canceled() || io.is_some() {
            Self::NoResponse
        } else {
            Self::Broken
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("reused", &self.reused).finish_non_exhaustive()
    }
}
