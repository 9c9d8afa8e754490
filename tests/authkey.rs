//! Auth keys: whoever knows a key of a document has the roles that the document gives it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "authkey/chain.rs"]
mod chain;
#[path = "authkey/databases.rs"]
mod databases;
#[path = "authkey/documents.rs"]
mod documents;
#[path = "authkey/own.rs"]
mod own;
#[path = "authkey/played.rs"]
mod played;
#[path = "authkey/pouchdb.rs"]
mod pouchdb;
#[path = "authkey/presenting.rs"]
mod presenting;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "oauth_clients/programs.rs"]
mod programs;
#[path = "authkey/remembering.rs"]
mod remembering;
#[path = "authkey/sameness.rs"]
mod sameness;
mod support;
#[path = "authkey/transcript.rs"]
mod transcript;
#[path = "authkey/unavailable.rs"]
mod unavailable;
#[path = "authkey/views.rs"]
mod views;

const INVALID: &str = "invalid key";
const EXPIRED: &str = "key expired";
const AMBIGUOUS: &str = "The key is not the only one of its name.";
const SYSTEM_ROLE: &str = "A key may not have roles that begin with `_`.";
const CONFLICTED: &str = "Key document conflicts must be resolved before the document is used \
                          for authentication purposes.";
