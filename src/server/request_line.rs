//! Request targets as people write them.
//!
//! CouchDB and nginx take `?startkey="a"`; the `http` crate's `Uri` does not. What it cannot carry
//! is percent-encoded in the request line before hyper reads it, everything else stays byte for
//! byte. No byte that could end a line or split it is ever touched or made.

use std::borrow::Cow;

/// The request line with a target that `http::Uri` carries. Not a request line: unchanged, for
/// hyper to refuse.
pub(super) fn carryable(line: &[u8]) -> Cow<'_, [u8]> {
    let Some((start, end)) = target(line) else { return Cow::Borrowed(line) };
    let target = &line[start..end];
    let is_utf8 = target.is_ascii() || std::str::from_utf8(target).is_ok();
    let query = memchr::memchr(b'?', target).unwrap_or(target.len());
    let path_is_fine = !target[..query].iter().any(|byte| breaks_path(*byte));
    let query_is_fine = !target[query..].iter().any(|byte| breaks_query(*byte));
    if is_utf8 && path_is_fine && query_is_fine {
        return Cow::Borrowed(line);
    }
    let mut carryable = Vec::with_capacity(line.len() + 32);
    carryable.extend_from_slice(&line[..start]);
    encode(&target[..query], breaks_path, &mut carryable);
    encode(&target[query..], breaks_query, &mut carryable);
    carryable.extend_from_slice(&line[end..]);
    Cow::Owned(carryable)
}

/// Whether more bytes could make this a request line. TLS on the plain port, say, is refused at
/// once instead of being waited for.
pub(super) fn may_begin(line: &[u8]) -> bool {
    let of_method = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    line.first().is_none_or(of_method)
}

/// Where the target begins and ends: between the first blank of the line and the last.
fn target(line: &[u8]) -> Option<(usize, usize)> {
    let start = memchr::memchr(b' ', line)? + 1;
    let end = memchr::memrchr(b' ', line)?;
    (line.get(start) == Some(&b'/') && start < end).then_some((start, end))
}

/// ASCII that `http::uri::PathAndQuery` refuses in a path, and `#`, at which it cuts.
fn breaks_path(byte: u8) -> bool {
    matches!(byte, b'#' | b'<' | b'>' | b'`')
}

/// The same in a query.
fn breaks_query(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>')
}

fn encode(part: &[u8], breaks: fn(u8) -> bool, into: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let percent = |byte: u8, into: &mut Vec<u8>| {
        into.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    };
    for chunk in part.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            if breaks(byte) {
                percent(byte, into);
            } else {
                into.push(byte);
            }
        }
        for byte in chunk.invalid() {
            percent(*byte, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    fn sent(target: &[u8]) -> Vec<u8> {
        let line = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
        let carried = carryable(&line);
        carried[4..carried.len() - b" HTTP/1.1\r\n".len()].to_vec()
    }

    /// Encoded exactly where `http` would refuse or cut, for every byte a target may have.
    #[test]
    fn all_bytes_in_path_and_query() {
        for byte in (0x21..=0x7e).chain(0x80..=0xff_u8) {
            for prefix in [&b"/db/x"[..], b"/db?x"] {
                if byte == b'?' && prefix == b"/db/x" {
                    continue;
                }
                let target = [prefix, &[byte], b"y"].concat();
                let parsed = PathAndQuery::try_from(&target[..]);
                let carried = parsed.is_ok_and(|parsed| *parsed.as_str().as_bytes() == *target);
                let encoded = [prefix, format!("%{byte:02X}y").as_bytes()].concat();
                let expected = if carried { target.clone() } else { encoded };
                assert_eq!(sent(&target), expected, "{byte:#04x} after {prefix:?}");
                assert!(PathAndQuery::try_from(expected).is_ok());
            }
        }
    }

    #[test]
    fn targets_as_people_write_them() {
        for (target, expected) in [
            (
                "/db/_all_docs?startkey=\"a\"&endkey=\"b\"",
                "/db/_all_docs?startkey=%22a%22&endkey=%22b%22",
            ),
            ("/db/_all_docs?keys=[\"ä\"]", "/db/_all_docs?keys=[%22ä%22]"),
            ("/db/{\"a\":1}|\\`<>", "/db/{\"a\":1}|\\%60%3C%3E"),
            ("/a%2Fb//_design%2Fx/+?a=%22", "/a%2Fb//_design%2Fx/+?a=%22"),
            ("/db?a#b", "/db?a%23b"),
        ] {
            assert_eq!(String::from_utf8(sent(target.as_bytes())).unwrap(), expected);
        }
        assert_eq!(sent(b"/\xff\xc3\xa4?\xc3"), "/%FFä?%C3".as_bytes());
    }

    #[test]
    fn what_is_no_request_line_stays() {
        for line in ["", "\r\n", "GET", "GET \"", "GET \" HTTP/1.1\r\n", "GET  HTTP/1.1\r\n"] {
            assert!(matches!(carryable(line.as_bytes()), Cow::Borrowed(_)), "{line:?}");
        }
    }
}
