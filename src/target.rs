//! The request target, read once as CouchDB will read it.
//!
//! ```
//! use couchgate::target::Target;
//!
//! let target = Target::new("/db//_design%2Fx/?startkey=%22a%22".parse().unwrap());
//! let segments: Vec<_> = target.segments().collect();
//! assert_eq!(segments, [&b"db"[..], b"_design/x"]);
//! assert_eq!(target.query("startkey").unwrap(), &b"\"a\""[..]);
//! ```

use std::borrow::Cow;

use http::uri::{InvalidUri, PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode};

/// All but the unreserved characters (RFC 3986 section 2.3, RFC 5849 section 3.6).
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The target of a request: its bytes as received, and CouchDB's view of them.
#[derive(Clone, Debug)]
pub struct Target(PathAndQuery);

impl Target {
    /// A target in origin form (RFC 9112 section 3.2.1).
    #[must_use]
    pub fn new(path_and_query: PathAndQuery) -> Self {
        Self(path_and_query)
    }

    /// The bytes that go upstream.
    #[must_use]
    pub fn raw(&self) -> &PathAndQuery {
        &self.0
    }

    /// The path's bytes.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The path as CouchDB 3.5 takes it apart (`chttpd:handle_request_int`): split at `/`, empty
    /// segments dropped, `+` read as a blank, each percent-decoded.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.path().split('/').map(str::as_bytes).filter(|part| !part.is_empty()).map(decode)
    }

    /// Whether the first segment is `name`: CouchDB chooses its handler by this one alone.
    #[must_use]
    pub fn is_under(&self, name: &str) -> bool {
        self.segments().next().is_some_and(|first| *first == *name.as_bytes())
    }

    /// Whether `name` is the only segment.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.is_under(name) && self.segments().count() == 1
    }

    /// Whether a design document's function answers: then no method can be trusted to be what it
    /// says, for `_update` writes and `_rewrite` goes anywhere.
    #[must_use]
    pub fn runs_design_function(&self) -> bool {
        let functions = [&b"_list"[..], b"_rewrite", b"_show", b"_update"];
        self.segments().any(|segment| functions.contains(&&*segment))
    }

    /// The query as CouchDB takes it apart (`mochiweb_util:parse_qs`): pairs end at `&` or `;`.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
        form_pairs(self.query_bytes())
    }

    /// The names of the query's parameters.
    pub fn query_names(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        pairs(self.query_bytes()).map(|(name, _)| decode(name))
    }

    /// The query's bytes; none where there is no query.
    #[must_use]
    pub fn query_bytes(&self) -> &[u8] {
        self.0.query().unwrap_or_default().as_bytes()
    }

    /// The target without the query parameters whose decoded names `unwanted` picks; the rest is
    /// byte for byte what it was. `None` where nothing was picked.
    ///
    /// # Errors
    ///
    /// None is known: what is left of a target is one.
    pub fn without(
        &self,
        unwanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<PathAndQuery>, InvalidUri> {
        if !self.query_names().any(|name| unwanted(&name)) {
            return Ok(None);
        }
        let query = self.0.query().unwrap_or_default();
        let mut kept = String::with_capacity(query.len());
        let mut last_goes = false;
        for pair in query.split_inclusive(['&', ';']) {
            let name = pairs(pair.as_bytes()).next().map(|(name, _)| decode(name));
            last_goes = name.is_some_and(|name| unwanted(&name));
            if !last_goes {
                kept.push_str(pair);
            }
        }
        // What ended the last pair that stays led to one that goes.
        if last_goes && !query.ends_with(['&', ';']) {
            kept.pop();
        }
        let path = self.path();
        let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") };
        target.try_into().map(Some)
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.query_pairs().find(|(key, _)| **key == *name.as_bytes()).map(|(_, value)| value)
    }
}

/// The pairs of a query or a form body, decoded.
pub fn form_pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    pairs(text).map(|(name, value)| (decode(name), decode(value)))
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| matches!(byte, b'&' | b';')).filter(|pair| !pair.is_empty()).map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (&pair[..end], pair.get(end + 1..).unwrap_or_default())
    })
}

fn decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let blanks: Vec<u8> = bytes.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&blanks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::new(text.parse().unwrap())
    }

    #[test]
    fn segments_are_couchdbs() {
        for (path, expected) in [
            ("/", &[][..]),
            ("//", &[]),
            ("/db/doc", &["db", "doc"]),
            ("//db///doc/", &["db", "doc"]),
            ("/db/a%2Fb", &["db", "a/b"]),
            ("/%5Fsession", &["_session"]),
            ("/a+b/%2B", &["a b", "+"]),
            ("/100%/%zz", &["100%", "%zz"]),
            ("/../%2e%2e", &["..", ".."]),
            ("/db?x=/y/z", &["db"]),
        ] {
            let target = target(path);
            let segments: Vec<_> = target
                .segments()
                .map(|segment| String::from_utf8(segment.into_owned()).unwrap())
                .collect();
            assert_eq!(segments, expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_recognised_however_it_is_written() {
        for path in ["/_session", "//_session", "/_session/", "/%5fsession", "/_sessio%6e?x"] {
            assert!(target(path).is("_session"), "{path}");
        }
        assert!(target("/_session/x").is_under("_session"));
        assert!(!target("/_session/x").is("_session"));
        assert!(!target("/db/_session").is_under("_session"));
        assert!(!target("/_session%2Fx").is_under("_session"));
    }

    #[test]
    fn design_functions_are_recognised_however_they_are_written() {
        for path in
            ["/db/_design/x/_update/u", "/db/_design%2Fx/_%73how/s", "/db/_design/x/_rewrite"]
        {
            assert!(target(path).runs_design_function(), "{path}");
        }
        assert!(!target("/db/_design/x/_view/v?_show").runs_design_function());
    }

    #[test]
    fn only_unwanted_parameters_go() {
        for (query, left) in [
            ("?a=1", None),
            ("?a=1&x=2", Some("?a=1")),
            ("?x=2&a=1", Some("?a=1")),
            ("?a=1;x=2;b=3&c", Some("?a=1;b=3&c")),
            ("?a=%61+&&x&b=%22", Some("?a=%61+&&b=%22")),
            ("?a=1&&x=2", Some("?a=1&")),
            ("?a=1&x=2&", Some("?a=1&")),
            ("?a=x&ax=1&%78x=1&+x=2&b", Some("?a=x&ax=1&+x=2&b")),
            ("?x", Some("")),
            ("?x=1;x=2", Some("")),
            ("?", None),
            ("", None),
        ] {
            let target = target(&format!("/db/a%2fb{query}"));
            let left_over = target.without(|name| name.starts_with(b"x")).unwrap();
            let expected = left.map(|left| format!("/db/a%2fb{left}"));
            assert_eq!(left_over.map(|target| target.to_string()), expected, "{query}");
        }
    }

    #[test]
    fn query_pairs_are_couchdbs() {
        let target = target("/?a=1&b;c=%26+&a=2&=x");
        let pairs: Vec<_> = target
            .query_pairs()
            .map(|(k, v)| {
                format!("{}={}", String::from_utf8_lossy(&k), String::from_utf8_lossy(&v))
            })
            .collect();
        assert_eq!(pairs, ["a=1", "b=", "c=& ", "a=2", "=x"]);
        assert_eq!(*target.query("a").unwrap(), *b"1");
    }
}
