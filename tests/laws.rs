//! The laws of the header: who a client says he is never reaches CouchDB.

mod support;

use support::{Gate, Recorder, basic};

#[test]
fn a_user_is_told_to_couchdb_once() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev", "ops"]);
    let gate = Gate::start(&upstream.url, "");
    gate.get("/db/doc?x=1", &[("Authorization", &basic("jan", "apple"))]).expect(200);
    let request = upstream.only();
    assert_eq!(request.target, b"/db/doc?x=1");
    assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
    assert_eq!(request.all("x-auth-couchdb-roles"), [b"dev,ops"]);
    assert_eq!(request.all("x-auth-couchdb-token").len(), 1);
    assert!(request.all("authorization").is_empty());
}
