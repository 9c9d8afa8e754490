//! What the whole-program tests stand on: couchgate as a process of its own, a CouchDB-compatible
//! server behind it, an upstream that records what arrives, and a client that sends exact bytes.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its part")]
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]
#![allow(clippy::must_use_candidate, clippy::missing_panics_doc, reason = "tests")]

pub mod authority;
pub mod couch;
pub mod docs;
pub mod gate;
pub mod http;
pub mod link;
pub mod oauth;
pub mod place;
pub mod recorder;
pub mod relay;
pub mod sign;
pub mod stream;

pub use authority::Authority;
pub use couch::Couch;
pub use gate::Gate;
pub use http::{Connection, Reply, basic};
pub use link::Link;
pub use recorder::Recorder;
pub use relay::Relay;
pub use stream::StreamUpstream;

use std::time::{Duration, Instant};

/// The secret that couchgate and the embedded servers share, and that of the golden answers.
pub const SECRET: &str = "couchsecret0123456789";

/// Waits until `check` says something, and fails after ten seconds.
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
