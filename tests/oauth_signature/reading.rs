//! What clients send is read as it was written, and whatever it is, it is read or refused.

use couchgate::{
    auth::oauth::{
        parameters::{Parameters, oauth_parameters},
        signature::{Signable, base_string},
    },
    target::Target,
};
use http::uri::PathAndQuery;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode, percent_encode_byte};
use proptest::{collection::vec, prelude::*, sample::select};

use super::tampering::{config, pairs, text};

/// Almost a header.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec!["OAuth ", "realm=", "oauth_a=", "\"", "\"", "\\", ",", ", ", "=", "%", "%2B"];
    let piece = prop_oneof![
        4 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => "oauth_[a-c]=\"[a%2 ]{0,3}\"[, ]{0,2}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..3),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A name or a value of a header, and one of the ways to write it.
fn written() -> impl Strategy<Value = (Vec<u8>, String)> {
    vec((prop_oneof![any::<u8>(), Just(b'+')], 0..4_u8), 1..6).prop_map(|bytes| {
        let write = |(byte, how): &(u8, u8)| match how {
            0 => percent_encode(&[*byte], NON_ALPHANUMERIC).to_string(),
            1 => percent_encode_byte(*byte).to_owned(),
            2 if b"+-._~;&".contains(byte) => char::from(*byte).to_string(),
            _ => percent_encode_byte(*byte).to_ascii_lowercase(),
        };
        (bytes.iter().map(|(byte, _)| *byte).collect(), bytes.iter().map(write).collect())
    })
}

/// Query texts with names that go.
fn target() -> impl Strategy<Value = String> {
    let pieces = vec!["x", "%78", "%7", "+", "&", "&", ";", "=", "a", "b=%26", "%3B", "?", "/"];
    let piece = prop_oneof![4 => select(pieces).prop_map(str::to_owned), 1 => "\\PC"];
    vec(piece, 0..12).prop_map(|pieces| format!("/db/a%2fb?{}", pieces.concat()))
}

/// The pairs of a query as they are written.
fn raw(query: &str) -> Vec<&str> {
    query.split(['&', ';']).filter(|pair| !pair.is_empty()).collect()
}

fn is_unwanted(name: &[u8]) -> bool {
    name.starts_with(b"x")
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn anything_is_read_or_refused(header in header(), query in text(), form in text()) {
        let header = oauth_parameters(&header).unwrap_or(&header);
        let host = String::from_utf8_lossy(header);
        let request = Signable { method: "a&b", https: true, host: &host, path: "/&" };
        let Ok(parameters) = Parameters::collect(header, &query, &form) else { return Ok(()) };
        // Only the separators are ampersands, whatever was sent.
        let base_string = base_string(&request, parameters.signed());
        prop_assert_eq!(base_string.matches('&').count(), 2);
        let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&".contains(&byte);
        prop_assert!(base_string.bytes().all(is_encoded));
        prop_assert!(parameters.signed().len() >= pairs(&query).chain(pairs(&form)).count());
    }

    #[test]
    fn a_header_is_read_as_it_was_written(
        sent in vec((written(), written(), "[ \\t]{0,2},[ \\t,]{0,2}"), 0..5),
        realm in select(vec!["", " realm=\"\",", "ReAlm=\"a, b=\\\"\\\\\" ,"]),
    ) {
        let mut header = format!("oAuth {realm}");
        for ((_, name), (_, value), separator) in &sent {
            header.extend(["oauth_", name, "=\"", value, "\"", separator]);
        }
        let parameters = Parameters::collect(oauth_parameters(header.as_bytes()).unwrap(), b"", b"");
        let read: Vec<_> = parameters
            .unwrap()
            .signed()
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        let written: Vec<_> =
            sent.into_iter().map(|((name, _), (value, _), _)| ([&b"oauth_"[..], &name].concat(), value)).collect();
        prop_assert_eq!(read, written, "{}", header);
    }

    #[test]
    fn the_parameters_that_stay_are_not_touched(target in target()) {
        let Ok(target) = PathAndQuery::try_from(target) else { return Ok(()) };
        let query = target.query().unwrap_or_default();
        let is_kept = |pair: &&str| pairs(pair.as_bytes()).all(|(name, _)| !is_unwanted(&name));
        let kept: Vec<_> = raw(query).into_iter().filter(is_kept).collect();
        match Target::new(target.clone()).without(is_unwanted).unwrap() {
            None => prop_assert_eq!(raw(query), kept),
            Some(left) => {
                prop_assert!(kept.len() < raw(query).len());
                prop_assert_eq!(raw(left.query().unwrap_or_default()), kept);
                prop_assert_eq!(left.path(), target.path());
                prop_assert!(left.query().is_none_or(|query| !query.is_empty()));
            }
        }
    }
}
