//! The headers of a download: the request goes to CouchDB as a server admin, so nothing of the
//! client's goes with it but what a download needs.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What chooses among an attachment's bytes (RFC 9110 sections 12.5, 13.1 and 14.2), and what
/// names the client and the request in logs.
pub(super) const OF_A_DOWNLOAD: [HeaderName; 9] = [
    header::ACCEPT_ENCODING,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("x-couch-request-id"),
];

/// Takes out all else.
pub fn keep_for_download(headers: &mut HeaderMap) {
    let mut kept = HeaderMap::with_capacity(OF_A_DOWNLOAD.len());
    for name in OF_A_DOWNLOAD {
        if let header::Entry::Occupied(entry) = headers.entry(&name) {
            let (_, values) = entry.remove_entry_mult();
            for value in values {
                kept.append(&name, value);
            }
        }
    }
    *headers = kept;
}

/// Lets pages of any origin read a response, and has it leave no cookie.
pub fn open_to_any_origin(headers: &mut HeaderMap) {
    headers.remove(header::SET_COOKIE);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}
