//! Whatever stands in a signed request: it is refused, or its base string is one.

#![no_main]

use arbitrary::Arbitrary;
use couchgate::{
    auth::oauth::{
        parameters::{Parameters, oauth_parameters},
        signature::{Signable, base_string},
    },
    target::form_pairs,
};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;

#[derive(Arbitrary, Debug)]
struct Sent<'a> {
    https: bool,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    authorization: &'a [u8],
    query: &'a [u8],
    form: &'a [u8],
}

fuzz_target!(|sent: Sent<'_>| {
    let Sent { https, method, host, path, authorization, query, form } = sent;
    let header = oauth_parameters(authorization).unwrap_or(authorization);
    let Ok(parameters) = Parameters::collect(header, query, form) else { return };
    let text = base_string(&Signable { method, https, host, path }, parameters.signed());
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%&".contains(&byte)));
    assert_eq!(text.matches('&').count(), 2);

    // What is signed says the same when it is read again.
    let signed: Vec<_> = text.splitn(3, '&').map(decoded).collect();
    assert_eq!(signed[0], method);
    let mut again: Vec<_> = form_pairs(signed[2].as_bytes()).collect();
    let mut pairs = parameters.signed().to_vec();
    again.sort();
    pairs.sort();
    assert_eq!(again, pairs);
});

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
