//! Signed links: what `couchgate link` prints opens one attachment until it expires, and nothing
//! else does.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "links/command_line.rs"]
mod command_line;
#[path = "links/expiry.rs"]
mod expiry;
#[path = "links/opened.rs"]
mod opened;
#[path = "links/programs.rs"]
mod programs;
#[path = "links/refused.rs"]
mod refused;
mod support;

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use couchgate::auth::download_token::{AttachmentPath, SigningKey};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use support::{Couch, SECRET, place::Place};

const APP: &str = "app:canary-of-app-0123456789abcdef01";
const OLD: &str = "old-1:canary:of:old:0123456789abcdef01";

/// What everyone is told whose link does not open.
const REFUSAL: &str = "{\"error\":\"forbidden\",\"reason\":\"Incorrect download token.\"}\n";

/// Names that mean something else where they are not encoded, or encoded twice.
const NAMES: &[[&str; 2]] = &[
    ["doc", "a.txt"],
    ["p1", "front page.bin"],
    ["org.couchdb.user:jan", "dir/sub/a b.bin"],
    ["a/b:c", "x"],
    ["a//b/", "/x//y/"],
    ["50% + tax?", "100%25.bin#top"],
    ["a&token=b;c=d", "?token=x&rev=1-a"],
    ["+", "a+b%2Bc"],
    ["caf\u{e9} \u{1f6cb}", "\u{fc}ber/\u{f1}.bin"],
    ["-d", "--base"],
    ["...", "..."],
    ["%2e%2e", "%2E%2E/%2F"],
    ["\"'<>[]{}|\\^`", "!*'();:@&=$,~"],
];

/// `[download_token]` with both keys, and the rest of the section.
fn ini(rest: &str) -> String {
    format!("[download_token]\nsigning_keys = {APP}, {OLD}\n{rest}\n")
}

/// The same in front of a CouchDB.
fn ini_for(couch: &Couch) -> String {
    format!("[chttpd_auth]\nsecret = {}\n{}", couch.secret, ini(""))
}

/// A directory with `couchgate.ini`.
fn place(ini: &str) -> Place {
    let base = "[chttpd]\nauthentication_handlers = download_token, default\n";
    let text = format!("{base}[chttpd_auth]\nsecret = {SECRET}\n{ini}");
    Place::with(&[("couchgate.ini", &text)])
}

/// `couchgate link OPTIONS... --config couchgate.ini -- WORDS...`.
fn link(place: &Place, options: &str, words: &[&str]) -> Command {
    let mut command = place.couchgate(&format!("link {options} --config couchgate.ini --"), &[]);
    command.args(words);
    command
}

/// The one line that a command prints that succeeds.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.strip_suffix('\n').filter(|line| !line.contains('\n'));
    line.unwrap_or_else(|| panic!("not one line: {said}")).to_owned()
}

/// The path and query of a URL that begins with `base`.
#[track_caller]
fn target<'a>(url: &'a str, base: &str) -> &'a str {
    let target = url.strip_prefix(base).filter(|target| target.starts_with('/'));
    target.unwrap_or_else(|| panic!("{url}"))
}

fn token(key: &str, names: [&str; 3], expires: u64) -> String {
    let [db, doc, attachment] = names;
    let path = AttachmentPath::new(db, doc, attachment).unwrap();
    key.parse::<SigningKey>().unwrap().sign(&path, expires)
}

/// A path of which each name is one segment.
fn path(names: &[&str]) -> String {
    names.iter().fold(String::new(), |path, name| {
        format!("{path}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Puts an attachment into a document of its own, past couchgate.
#[track_caller]
fn attach(couch: &Couch, db: &str, [doc, attachment]: [&str; 2], bytes: &[u8]) {
    let headers = [("Content-Type", "application/x-test")];
    couch.request("PUT", &path(&[db, doc, attachment]), &headers, bytes).expect(201);
}
