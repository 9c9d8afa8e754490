//! hyper's answers to heads it cannot parse, in CouchDB's shape.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::StatusCode;
use tokio::io::AsyncWrite;

use crate::error::error_body;

/// An answer of ours that goes out instead of one of hyper's.
pub(super) struct Replacement {
    answer: Vec<u8>,
    written: usize,
    /// The length of hyper's, which is what hyper wants to hear.
    replaced: usize,
}

impl Replacement {
    pub(super) fn of(buf: &[u8]) -> Option<Self> {
        let answer = answer_instead_of(buf)?;
        Some(Self { answer, written: 0, replaced: buf.len() })
    }

    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        while self.written < self.answer.len() {
            let rest = &self.answer[self.written..];
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        Poll::Ready(Ok(self.replaced))
    }
}

/// hyper's answer to a malformed head has no header but these three, all of one answer's size.
const LONGEST: usize = 160;

/// The answer to send in place of `head`, when that is hyper's own answer to a malformed head. It
/// is asked only when no answer of ours is on its way, whose body could look the same.
fn answer_instead_of(head: &[u8]) -> Option<Vec<u8>> {
    if !head.starts_with(b"HTTP/1.1 4") || head.len() > LONGEST || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end().split("\r\n");
    let status = lines.next()?.get(9..12)?.parse::<StatusCode>().ok()?;
    let only_hypers = lines.all(|line| {
        let name = line.split(':').next().unwrap_or_default();
        line == "content-length: 0" || matches!(name, "date" | "connection")
    });
    let (error, reason) = match status {
        StatusCode::BAD_REQUEST => ("bad_request", "The request is not valid HTTP/1.1."),
        StatusCode::URI_TOO_LONG => ("bad_request", "The request target is too long."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("bad_request", "The request head is too large.")
        }
        _ => return None,
    };
    only_hypers.then(|| {
        let body = format!("{}\n", error_body(error, reason));
        format!(
            "HTTP/1.1 {status}\r\ncache-control: must-revalidate\r\n\
             content-type: application/json\r\nserver: couchgate\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len(),
        )
        .into_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_answers_are_replaced() {
        let date = "date: Sun, 22 Nov 2026 13:00:00 GMT\r\n";
        let own = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}\r\n");
        let answer = String::from_utf8(answer_instead_of(own.as_bytes()).unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(answer.contains("\"error\":\"bad_request\""));

        for other in [
            "HTTP/1.1 404 Object Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\n".to_owned(),
            format!(
                "HTTP/1.1 400 Bad Request\r\nx-couch-request-id: 1\r\ncontent-length: 0\r\n{date}\r\n"
            ),
            format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{date}\r\n"),
            String::new(),
        ] {
            assert!(answer_instead_of(other.as_bytes()).is_none(), "{other:?}");
        }
    }
}
