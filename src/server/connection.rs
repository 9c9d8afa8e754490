//! One client connection, from its first byte to its last.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    Drain, Limits,
    client_io::{ClientIo, Patience},
    framing::{Flaw, Framing},
};
use crate::{
    answer::Answer,
    error::Error,
    gateway::{Gateway, Peer},
    telemetry::{Metrics, Record, Recorded},
};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gateway: Arc<Gateway>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
}

/// After the last answer a client may still be sending; closing at once would reset the connection
/// and take the answer away from it.
const LINGER: Duration = Duration::from_secs(10);

/// A client that sends nothing for so long has read its answer, or never will.
const LINGER_IDLE: Duration = Duration::from_secs(2);

/// A byte stream to a client.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Has the stream break visibly instead of ending: half an answer must not look whole.
    fn abort_on_close(&self);
}

impl ClientStream for tokio::net::TcpStream {
    fn abort_on_close(&self) {
        // Where the option cannot be set the connection is gone already.
        let _ = self.set_zero_linger();
    }
}

impl ClientStream for tokio_rustls::server::TlsStream<tokio::net::TcpStream> {
    fn abort_on_close(&self) {
        self.get_ref().0.abort_on_close();
    }
}

/// Serves a connection until it ends, until `drain` begins and nothing is in flight, or until what
/// is left is cut off.
pub(super) async fn serve<S: ClientStream>(
    stream: S,
    peer: Peer,
    shared: Arc<Shared>,
    mut drain: Drain,
) {
    let limits = &shared.limits;
    let patience = Patience {
        head: limits.head_timeout,
        body: limits.body_timeout,
        max_head: limits.max_head_size,
    };
    let framing = Framing::default();
    let io = ClientIo::new(stream, framing.clone(), patience);
    let service = Requests {
        shared: Arc::clone(&shared),
        framing: framing.clone(),
        peer,
        drain: drain.clone(),
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(limits.max_head_size)
        .max_header_size(limits.max_head_size)
        .max_headers(limits.max_headers)
        .serve_connection(io, service);
    let mut cut = drain.clone();
    loop {
        tokio::select! {
            _ = &mut connection => break,
            () = cut.is_due() => break,
            () = drain.begins() => Pin::new(&mut connection).graceful_shutdown(),
            () = framing.abandoned() => Pin::new(&mut connection).graceful_shutdown(),
        }
    }
    let io = connection.into_parts().io;
    let is_cut_short = framing.is_answering() || io.has_failed_to_write();
    let mut stream = io.into_inner();
    if is_cut_short { stream.abort_on_close() } else { linger(&mut stream).await }
}

async fn linger<S: ClientStream>(stream: &mut S) {
    // TLS may still have to write what the client does not take.
    if !matches!(tokio::time::timeout(LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        stream.abort_on_close();
        return;
    }
    // On the heap: an array would lie in the future of every connection for all of its life.
    let mut scratch = vec![0; 4096];
    let drained = async {
        let mut next = async || tokio::time::timeout(LINGER_IDLE, stream.read(&mut scratch)).await;
        while next().await.is_ok_and(|read| read.is_ok_and(|n| n > 0)) {}
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// hyper hands over one request after the other.
struct Requests {
    shared: Arc<Shared>,
    framing: Framing,
    peer: Peer,
    drain: Drain,
}

impl Service<Request<Incoming>> for Requests {
    type Response = http::Response<Answering>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // Before anything else is read: this is how the bytes learn what hyper has decided.
        let flaw = self.framing.take_flaw().map(Error::from);
        let request = request.map(|incoming| self.framing.body_follows(incoming));
        let is_head = request.method() == Method::HEAD;
        let mut record = Record::new(Arc::clone(&self.shared.metrics));
        let shared = Arc::clone(&self.shared);
        let (peer, drain, framing) = (self.peer, self.drain.clone(), self.framing.clone());
        Box::pin(async move {
            let response = shared.gateway.answer(request, peer, flaw, &mut record).await;
            let (head, mut body) = response.into_parts();
            body.end_when(|| Box::pin(async move { drain.clone().begins().await }));
            let body = Recorded::new(body, head.status, record);
            framing.answer_begins(is_head);
            Ok(http::Response::from_parts(head, Answering { body, framing }))
        })
    }
}

/// An answer on its way: while it has not ended, the connection must not end as if it had.
struct Answering {
    body: Recorded<Answer>,
    framing: Framing,
}

impl Body for Answering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() {
            this.framing.answer_ends();
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

impl Drop for Answering {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.framing.answer_ends();
        }
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        Self::bad_request(match flaw {
            Flaw::BareLf => "The lines of a request head must end in CR LF.",
            Flaw::TwoFramings => "There must not be both Content-Length and Transfer-Encoding.",
        })
    }
}
