//! The operators' documents, which are held to their word.

use super::{SECRET, place::Place};

/// The blocks of a document in a language, in their order.
pub fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// What `couchgate check` says of a configuration, beside that CouchDB is missing: its faults and
/// warnings.
#[track_caller]
pub fn said_of(text: &str) -> Vec<String> {
    let base = format!(
        "[couchgate]\nupstream = http://127.0.0.1:1\ntrusted_proxies = 127.0.0.1\n\
         [chttpd_auth]\nsecret = {SECRET}\n"
    );
    let place = Place::with(&[("base.ini", &base), ("docs.ini", text)]);
    let check = place.couchgate("check --config docs.ini --config base.ini", &[]).output().unwrap();
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let mut said: Vec<_> =
        said.lines().map(|line| line.trim_start_matches("couchgate: ").to_owned()).collect();
    let probed = said.iter().position(|line| line.starts_with("upstream cannot be asked"));
    said.remove(probed.unwrap_or_else(|| panic!("{text}\n{said:#?}")));
    said
}

/// Whether the configuration is right, so that only CouchDB is missing, and without a warning.
#[track_caller]
pub fn only_couchdb_is_missing(text: &str) {
    assert_eq!(said_of(text), [""; 0], "{text}");
}

/// Whether a row of a document's tables has this status, and the error's word or its reason.
#[track_caller]
pub fn has_row(document: &str, error: &couchgate::error::Error) {
    let reason = format!("\"{error}\"");
    let (status, word) = error.code();
    let (row, word) = (format!("| {} ", status.as_u16()), format!("`{word}` |"));
    let explains = |line: &str| line.contains(&reason) || line.contains(&word);
    let mut rows = document.lines().filter(|line| line.starts_with(&row));
    assert!(rows.any(explains), "{row}{word} {reason}");
}
