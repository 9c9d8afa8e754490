//! A client's request body: streamed, or read whole where couchgate itself has to know it.

use std::{
    error::Error as StdError,
    fmt,
    io::ErrorKind,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// What the reader of a body learns about its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// hyper has handed over all it has, and has not found the end.
    More,
    /// hyper has found the end.
    End,
    /// Nothing any more: the body is not read on.
    Nothing,
}

/// Is told what the reader of a body learns.
pub type Observer = Box<dyn FnMut(Seen) + Send>;

/// A client's request body, without trailers: a trailer could carry an identity header past
/// everything that looked at the head.
pub struct ClientBody {
    /// What has been read ahead, and is still to be passed on.
    ahead: Bytes,
    incoming: Incoming,
    /// Until the end has been seen.
    observer: Option<Observer>,
}

/// Why a body cannot be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is larger than allowed, in bytes.
    #[error("the request body exceeds {0} bytes")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the request body did not arrive in time")]
    Slow,
    /// It broke off or is malformed.
    #[error("the request body broke off")]
    Broken,
}

impl ClientBody {
    /// Wraps a body whose end matters to `observer`.
    #[must_use]
    pub fn new(incoming: Incoming, observer: Option<Observer>) -> Self {
        Self { ahead: Bytes::new(), incoming, observer }
    }

    /// Reads the whole body, which can be passed on all the same.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. A body that is too large can still be passed on.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        if self.size_hint().lower() > limit as u64 {
            return Err(ReadError::TooLarge(limit));
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|error| {
                if timed_out(&error) { ReadError::Slow } else { ReadError::Broken }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            whole.extend_from_slice(&data);
            if whole.len() > limit {
                self.ahead = whole.freeze();
                return Err(ReadError::TooLarge(limit));
            }
        }
        self.ahead = whole.freeze();
        Ok(self.ahead.clone())
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ahead)))));
        }
        loop {
            match Pin::new(&mut this.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {}
                Poll::Ready(None) => {
                    if let Some(mut observer) = this.observer.take() {
                        observer(Seen::End);
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if let Some(observer) = &mut this.observer {
                        observer(Seen::More);
                    }
                    return Poll::Pending;
                }
                frame @ Poll::Ready(_) => return frame,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (ahead, rest) = (self.ahead.len() as u64, self.incoming.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(mut observer) = self.observer.take() {
            observer(Seen::Nothing);
        }
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

/// Whether a body did not arrive in time.
#[must_use]
pub fn timed_out(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == ErrorKind::TimedOut)
}
