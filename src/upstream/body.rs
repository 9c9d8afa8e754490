//! Bodies on their way to CouchDB and back, streamed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use crate::client_body::ClientBody;

/// A body to send.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// One that couchgate made or read whole.
    Full(Option<Bytes>),
    /// The client's, as it arrives.
    Client(ClientBody),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Client(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Client(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Client(body) => body.size_hint(),
        }
    }
}

/// A response's body. Polling it drives the exchange, dropping it early closes the connection,
/// reading it to its end gives the connection back to the pool.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Box<Connection>>,
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, connection: Box<Connection>) -> Self {
        Self { incoming, connection: Some(connection) }
    }

    fn recycle(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.recycle();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        loop {
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            match ready!(connection.poll_body(cx, &mut this.incoming)) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(frame) => return Poll::Ready(Some(frame)),
                None => this.recycle(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    /// hyper's server does not poll a body that says it has ended.
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.recycle();
        }
    }
}
