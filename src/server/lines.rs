//! Where a head or a chunked body may end.
//!
//! This decides nothing about framing: it says where hyper *may* find an end, so that hyper is not
//! given what follows before it has been asked whether it did.

use super::framing::{Flaw, Framing};

/// How many bytes of empty lines there are in front.
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    2 * bytes.chunks_exact(2).take_while(|line| line == b"\r\n").count()
}

/// Where in the lines of a head or of a chunked body the last handed byte was.
#[derive(Clone, Copy, Default)]
pub(super) struct Lines {
    /// The current line's length so far.
    len: usize,
    ends_in_cr: bool,
    /// The line's first bytes, in lower case: enough to tell the framing headers.
    start: [u8; Lines::START],
    /// What earlier lines of the same head or body began with.
    seen: u8,
}

impl Lines {
    const START: usize = b"transfer-encoding:".len();
    const CONTENT_LENGTH: u8 = 1;
    const TRANSFER_ENCODING: u8 = 2;
    const LAST_CHUNK: u8 = 4;

    /// Moves through `bytes` up to and including the first line at which hyper may find an end;
    /// returns how far, and whether there was one. In a head, flaws are told to `framing`.
    ///
    /// A head ends at an empty line. A chunked body does too, after a last chunk (RFC 9112 section
    /// 7.1), whose line begins with `0`; its lines end in CR LF for hyper.
    pub(super) fn advance(&mut self, bytes: &[u8], framing: Option<&Framing>) -> (usize, bool) {
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            self.take(&bytes[at..at + length]);
            at += length + 1;
            let is_empty = self.len == usize::from(self.ends_in_cr);
            let may_end = match framing {
                Some(framing) => {
                    self.judge(framing);
                    is_empty
                }
                None => is_empty && self.ends_in_cr && self.seen & Self::LAST_CHUNK != 0,
            };
            if framing.is_none() && self.len > 0 && self.start[0] == b'0' {
                self.seen |= Self::LAST_CHUNK;
            }
            *self = Self { seen: if may_end { 0 } else { self.seen }, ..Self::default() };
            if may_end {
                return (at, true);
            }
        }
        self.take(&bytes[at..]);
        (bytes.len(), false)
    }

    fn take(&mut self, part: &[u8]) {
        let Some(last) = part.last() else { return };
        for (to, from) in self.start.iter_mut().skip(self.len).zip(part) {
            *to = from.to_ascii_lowercase();
        }
        self.len += part.len();
        self.ends_in_cr = *last == b'\r';
    }

    fn judge(&mut self, framing: &Framing) {
        if !self.ends_in_cr {
            framing.saw(Flaw::BareLf);
        }
        if self.start.starts_with(b"content-length:") {
            self.seen |= Self::CONTENT_LENGTH;
        } else if self.start == *b"transfer-encoding:" {
            self.seen |= Self::TRANSFER_ENCODING;
        }
        if self.seen == Self::CONTENT_LENGTH | Self::TRANSFER_ENCODING {
            framing.saw(Flaw::TwoFramings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where chunked bodies are cut, in one piece and byte by byte.
    #[test]
    fn only_a_last_chunk_may_end_a_body() {
        for (body, cuts) in [
            ("0\r\n\r\n", &[5][..]),
            ("5\r\nhello\r\n0\r\n\r\nGET", &[15]),
            ("8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", &[18]),
            ("0;x=y\r\nTrailer: 1\r\n\r\n", &[21]),
            ("00\r\n\r\n", &[6]),
            // In doubt hyper is asked: this is a chunk's data.
            ("7\r\n0\r\n\r\nab\r\n0\r\n\r\n", &[8, 17]),
            ("2\r\n\n\n\r\n0\r\n\r\n", &[12]),
        ] {
            for step in [body.len(), 1] {
                let (mut lines, mut found, mut at) = (Lines::default(), Vec::new(), 0);
                while at < body.len() {
                    let piece = &body.as_bytes()[at..(at + step).min(body.len())];
                    let (n, may_end) = lines.advance(piece, None);
                    at += n;
                    if may_end {
                        found.push(at);
                    }
                }
                assert_eq!(found, cuts, "{body:?} by {step}");
            }
        }
    }
}
