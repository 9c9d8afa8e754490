//! The body of an answer: couchgate's own, CouchDB's, or a feed of CouchDB's that must end well.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{target::Target, upstream::UpstreamBody};

/// A response's body.
#[derive(Debug)]
pub enum Answer {
    /// Complete.
    Whole(Option<Bytes>),
    /// CouchDB's, as it arrives.
    Upstream(UpstreamBody),
    /// A feed that lasts until somebody ends it.
    Feed(Box<Feed>),
}

impl Answer {
    /// An answer of couchgate's own.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// CouchDB's answer to a request for `target`.
    #[must_use]
    pub fn upstream(body: UpstreamBody, target: &Target) -> Self {
        match Boundary::of(target) {
            Some(boundary) if body.size_hint().exact().is_none() => {
                Self::Feed(Box::new(Feed { body, boundary, at_boundary: true, draining: None }))
            }
            _ => Self::Upstream(body),
        }
    }

    /// Has a feed end at its next boundary once `draining` is ready. Other answers have an end of
    /// their own.
    pub(crate) fn end_when(&mut self, draining: impl FnOnce() -> Draining) {
        if let Self::Feed(feed) = self {
            feed.draining = Some(Drain::Waiting(draining()));
        }
    }
}

/// Ready when feeds should end.
pub(crate) type Draining = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::Feed(feed) => feed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Feed(feed) => feed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Upstream(body) => body.size_hint(),
            Self::Feed(_) => SizeHint::default(),
        }
    }
}

/// Where a feed may be cut without cutting a change in two.
#[derive(Clone, Copy, Debug)]
enum Boundary {
    /// `feed=continuous`: a line.
    Line,
    /// `feed=eventsource`: an event.
    Event,
}

impl Boundary {
    fn of(target: &Target) -> Option<Self> {
        let last = target.segments().last()?;
        if !matches!(&*last, b"_changes" | b"_db_updates") {
            return None;
        }
        // CouchDB takes the last (`chttpd_changes`), whatever the others say.
        let feeds = target.query_pairs().filter(|(key, _)| **key == *b"feed");
        match &*feeds.last()?.1 {
            b"continuous" => Some(Self::Line),
            b"eventsource" => Some(Self::Event),
            _ => None,
        }
    }

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Line => b"\n",
            Self::Event => b"\n\n",
        }
    }
}

#[derive(Debug)]
pub struct Feed {
    body: UpstreamBody,
    boundary: Boundary,
    at_boundary: bool,
    draining: Option<Drain>,
}

enum Drain {
    Waiting(Draining),
    Now,
    Ended,
}

impl std::fmt::Debug for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drain")
    }
}

impl Feed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(Drain::Waiting(draining)) = &mut self.draining
            && draining.as_mut().poll(cx).is_ready()
        {
            self.draining = Some(Drain::Now);
        }
        match self.draining {
            Some(Drain::Ended) => return Poll::Ready(None),
            Some(Drain::Now) if self.at_boundary => return Poll::Ready(None),
            _ => {}
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        let Ok(mut data) = frame.into_data() else { return Poll::Ready(None) };
        let boundary = self.boundary.bytes();
        self.at_boundary = data.ends_with(boundary);
        if matches!(self.draining, Some(Drain::Now))
            && let Some(end) = memchr::memmem::rfind(&data, boundary)
        {
            data.truncate(end + boundary.len());
            self.draining = Some(Drain::Ended);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_told_by_their_target() {
        let boundary = |path: &str| Boundary::of(&Target::new(path.parse().unwrap()));
        assert!(matches!(boundary("/db/_changes?feed=continuous"), Some(Boundary::Line)));
        assert!(matches!(boundary("/_db_updates?x&feed=continuous"), Some(Boundary::Line)));
        assert!(matches!(boundary("/db/_changes?feed=eventsource"), Some(Boundary::Event)));
        // Cut short, a long poll would be half a JSON document that looks whole.
        assert!(boundary("/db/_changes?feed=longpoll").is_none());
        assert!(boundary("/db/_changes").is_none());
        assert!(boundary("/db/_changes?feed=continuous&feed=normal").is_none());
        assert!(boundary("/db/doc?feed=continuous").is_none());
    }
}
