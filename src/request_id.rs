//! A request's id: it names a request in the logs of couchgate and CouchDB, and its answer among
//! other answers.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::secret::hex;

/// The bytes of an id of couchgate's own: nobody hits it by trying.
const RANDOM: usize = 10;

/// An id as CouchDB takes it (CouchDB 3.5, `chttpd:nonce`); CouchDB puts it into its answer.
#[derive(Clone, Debug)]
pub struct RequestId {
    id: HeaderValue,
    random: bool,
}

impl RequestId {
    /// `X-Couch-Request-ID`.
    pub const HEADER: HeaderName = HeaderName::from_static("x-couch-request-id");

    /// An id of couchgate's own.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; RANDOM];
        let random = getrandom::fill(&mut bytes).is_ok();
        let id = HeaderValue::from_maybe_shared(hex(&bytes));
        Self { id: id.unwrap_or_else(|_| HeaderValue::from_static("0")), random }
    }

    /// The client's id where CouchDB would take it, else a new one; either way it stands in the
    /// headers afterwards, once.
    pub fn of(headers: &mut HeaderMap) -> Self {
        let mut sent = headers.get_all(Self::HEADER).iter();
        let id = match (sent.next(), sent.next()) {
            (Some(id), None) if is_acceptable(id.as_bytes()) => {
                Self { id: id.clone(), random: false }
            }
            _ => Self::random(),
        };
        headers.insert(Self::HEADER, id.id.clone());
        id
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The value of the header.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.id
    }

    /// Whether nobody could know it before the request was sent.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// Whether an answer names this request, and no other.
    #[must_use]
    pub fn is_named_in(&self, answer: &HeaderMap) -> bool {
        let mut named = answer.get_all(Self::HEADER).iter();
        named.next() == Some(&self.id) && named.next().is_none()
    }
}

fn is_acceptable(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !id.is_empty() && id.len() <= 36 && id.iter().all(fits)
}
