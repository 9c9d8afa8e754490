//! A token opens its own document, as that is now or was at most `cache_ttl` ago.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Own;
use crate::support::{Gate, eventually};

const BRIEFLY: &str = "[download_token]\ncache_ttl = 1\n";

/// `cache_ttl` of [`BRIEFLY`] and what a busy machine takes, but less than the default.
const SOON: Duration = Duration::from_secs(4);

/// An attachment of one byte.
#[track_caller]
fn attached(own: &Own, doc: &str, fields: &Value, contents: &[u8]) {
    own.document(doc, fields);
    own.attach(doc, "a.bin", "application/octet-stream", contents);
}

/// Waits for a token to be worth `status`, asking all the time: that keeps nothing alive.
#[track_caller]
fn soon(own: &Own, path: &str, token: &str, status: u16) {
    let began = Instant::now();
    eventually(&format!("{path} with {token} is {status}"), || {
        (own.download(path, token).status == status).then_some(())
    });
    let took = began.elapsed();
    assert!(took < SOON, "{path} with {token} is {status} only after {took:?}");
}

#[test]
fn the_token_of_one_document_opens_no_other() {
    let (own, other) = (Own::new(""), Own::new(""));
    let mut doors = Vec::new();
    for own in [&own, &other] {
        for doc in ["a", "b", "a%2Fb", "A"] {
            let token = format!("token{}", doors.len());
            attached(own, doc, &json!({ "download_token": token }), token.as_bytes());
            own.attach(doc, "b/a.bin", "application/octet-stream", token.as_bytes());
            doors.push((format!("/{}/{doc}", own.db), token));
        }
    }
    let opens = |(path, token): &(String, String), presented: &str| {
        for attachment in ["a.bin", "b/a.bin"] {
            let reply = own.gate.get(&format!("{path}/{attachment}?token={presented}"), &[]);
            if presented == token {
                assert_eq!(reply.expect(200).body, token.as_bytes(), "{path}/{attachment}");
            } else {
                assert_eq!(reply.status, 403, "{path}/{attachment} with {presented}");
            }
        }
    };
    // Both ways: each is asked for when others are remembered, and when they are not.
    for presented in doors.iter().chain(doors.iter().rev()) {
        for door in &doors {
            opens(door, &presented.1);
        }
    }
}

#[test]
fn taking_the_token_out_locks_within_the_cache_ttl() {
    let own = Own::new(BRIEFLY);
    attached(&own, "doc", &json!({ "download_token": "old" }), b"a");
    own.download("doc/a.bin", "old").expect(200);

    own.document("doc", &json!({ "download_token": "new" }));
    soon(&own, "doc/a.bin", "old", 403);
    own.download("doc/a.bin", "new").expect(200);
    own.document("doc", &json!({ "info": "no token" }));
    soon(&own, "doc/a.bin", "new", 403);
    own.document("doc", &json!({ "download_token": "again" }));
    soon(&own, "doc/a.bin", "again", 200);

    let deleted = format!("/{}/doc?rev={}", own.db, own.rev("doc"));
    own.couch.request("DELETE", &deleted, &[], b"").expect(200);
    soon(&own, "doc/a.bin", "again", 404);
    // What is not there is no longer remembered than what is.
    own.couch.put(&format!("/{}/doc", own.db), &json!({ "download_token": "back" }));
    own.attach("doc", "a.bin", "application/octet-stream", b"a");
    soon(&own, "doc/a.bin", "back", 200);
}

#[test]
fn the_default_cache_ttl_is_five_seconds() {
    let own = Own::new("");
    attached(&own, "doc", &json!({ "download_token": "old" }), b"a");
    own.download("doc/a.bin", "old").expect(200);
    let remembered = Instant::now();
    own.document("doc", &json!({ "download_token": "new" }));
    let reply = own.download("doc/a.bin", "old");
    assert!(reply.status == 200 || remembered.elapsed() > Duration::from_secs(4), "{reply:?}");
    eventually("the old token is forgotten", || {
        (own.download("doc/a.bin", "old").status == 403).then_some(())
    });
    let took = remembered.elapsed();
    assert!(took < Duration::from_secs(7), "only after {took:?}");
}

/// Between looking at the token and fetching the attachment the document may become another.
#[test]
fn what_is_opened_is_of_the_revision_whose_token_was_looked_at() {
    let own = Own::new("[download_token]\ncache_ttl = 3600\n");
    attached(&own, "doc", &json!({ "download_token": "public" }), b"for all");
    own.download("doc/a.bin", "public").expect(200);

    own.document("doc", &json!({ "download_token": "private" }));
    own.attach("doc", "a.bin", "application/octet-stream", b"for some");
    own.attach("doc", "b.bin", "application/octet-stream", b"for some");
    assert_eq!(own.download("doc/a.bin", "public").expect(200).body, b"for all");
    assert_eq!(own.download("doc/b.bin", "public").status, 404);
    own.assert_refused("doc/a.bin", "private");

    let ini = format!("[chttpd_auth]\nsecret = {}", own.couch.secret);
    let fresh = Gate::start(&own.couch.url, &ini);
    for (token, expected) in [("private", 200), ("public", 403)] {
        let target = format!("/{}/doc/a.bin?token={token}", own.db);
        let reply = fresh.get(&target, &[]).expect(expected);
        assert_eq!(reply.body == b"for some", expected == 200);
    }
}
