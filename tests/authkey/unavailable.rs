//! Keys that cannot be read are 503: never nobody's, and never wrong.

use serde_json::{Value, json};

use super::{
    own::Own,
    played::{NEEDED, Played, Question},
    support::{
        Couch, Gate, Link, Reply, basic,
        recorder::{Action, answer, ok},
    },
};

#[track_caller]
fn assert_unavailable(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 503, "{what}: {reply:?}");
    let reason = "The documents that hold credentials cannot be read.";
    let expected: Value = json!({ "error": "service_unavailable", "reason": reason });
    assert_eq!(reply.json(), expected, "{what}");
    assert_eq!(reply.header("retry-after"), Some("1"), "{what}");
    assert!(reply.header("www-authenticate").is_none(), "{what}");
}

fn failures() -> Vec<(&'static str, Vec<u8>)> {
    let huge = [b"[\"", vec![b'x'; 9 * 1024 * 1024].as_slice(), b"\"]"].concat();
    vec![
        ("500", answer("500 Internal Server Error", b"{\"error\":\"x\"}")),
        ("503", answer("503 Service Unavailable", b"{}")),
        ("401", answer("401 Unauthorized", b"{}")),
        ("403", answer("403 Forbidden", b"{}")),
        ("400", answer("400 Bad Request", b"{}")),
        ("a redirect", b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("closed", Vec::new()),
        ("broken off", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"rows\":[]".to_vec()),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("huge", ok(&huge)),
    ]
}

/// Answers that only where something is read say nothing.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("not JSON", ok(b"<html>")),
        ("no object", ok(b"[]")),
    ]
}

#[test]
fn what_cannot_be_read_is_503_and_never_anonymous() {
    for question in NEEDED {
        let mut failures = failures();
        if question != Question::WriteDesign {
            failures.extend(nonsense());
        }
        if question == Question::Document {
            failures.retain(|(failure, _)| !matches!(*failure, "huge" | "no object"));
        }
        if question == Question::View {
            failures.push(("no rows", ok(b"{}")));
            failures.push(("rows of another kind", ok(b"{\"rows\":{}}")));
            failures.push(("rows without ids", ok(b"{\"rows\":[{\"key\":\"k\"}]}")));
        }
        for (failure, bytes) in failures {
            let what = format!("{question:?}: {failure}");
            let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
            played.instead(move |asked| {
                (asked == question).then(|| Action::AnswerAndClose(bytes.clone()))
            });
            let gate = played.gate("cache_ttl = 600\n");
            let key = ("X-Auth-Key", "keys,k");
            assert_unavailable(&gate.get("/db?auth_key=keys,k", &[]), &what);
            assert_unavailable(&gate.get("/db", &[key]), &what);
            let jan = basic("jan", "apple");
            assert_unavailable(&gate.get("/db", &[key, ("Authorization", &jan)]), &what);
            assert_unavailable(&gate.get("/_session", &[key]), &what);
            assert_eq!(played.upstream.take().len(), 0, "{what}: it reached CouchDB");
            // Others are not concerned.
            gate.get("/db", &[]).expect(200);
            gate.get("/db", &[("Authorization", &jan)]).expect(200);
            gate.get("/db", &[("X-Auth-Key", "other,k")]).expect(401);
            played.upstream.take();

            // A failure is not remembered.
            played.instead(|_| None);
            gate.get("/db", &[key]).expect(200);
            assert_eq!(played.user().as_deref(), Some("keys,k"), "{what}");
        }
    }
}

/// A document that nobody can make sense of holds no key, and is not read for each request.
#[test]
fn a_document_that_makes_no_sense_holds_no_key() {
    let huge = [b"[\"", vec![b'x'; 9 * 1024 * 1024].as_slice(), b"\"]"].concat();
    for (failure, bytes) in [("huge", ok(&huge)), ("no object", ok(b"[]"))] {
        let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
        played.instead(move |question| {
            (question == Question::Document).then(|| Action::AnswerAndClose(bytes.clone()))
        });
        let gate = played.gate("cache_ttl = 600\n");
        for _ in 0..3 {
            gate.get("/db", &[("X-Auth-Key", "keys,k")]).expect(401);
        }
        assert_eq!(played.upstream.take().len(), 0, "{failure}");
        let asked = played.asked().into_iter().filter(|(asked, _)| *asked == Question::Document);
        assert_eq!(asked.count(), 1, "{failure}");
    }
}

#[test]
fn a_view_that_never_comes_opens_nothing() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let missing = answer("404 Object Not Found", b"{\"error\":\"not_found\"}");
    played.instead(move |question| {
        (question == Question::View).then(|| Action::Answer(missing.clone()))
    });
    played.gate("").get("/db", &[("X-Auth-Key", "keys,k")]).expect(401);
    assert_eq!(played.upstream.take().len(), 0);
    assert!(played.asked().len() <= 6, "it does not try for ever");
}

#[test]
fn keys_are_found_again_when_couchdb_is_back() {
    let couch = Couch::shared();
    let mut link = Link::to(couch.address);
    let db = couch.database();
    let ini = format!(
        "[couch_authkey]\ndatabases = {db}\ncache_ttl = 1\n[chttpd_auth]\nsecret = {}\n",
        couch.secret
    );
    let own = Own { couch, gate: Gate::start(&link.url, &ini), db };
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    for key in ["k", "unknown", "k"] {
        assert_unavailable(&own.ask(key), "down");
    }
    link.up();
    assert_eq!(own.says("k"), json!(["dev"]));
    link.down();
    super::support::eventually("what was remembered is forgotten", || {
        let reply = own.ask("k");
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        (reply.status == 503).then_some(())
    });
    link.up();
    assert_eq!(own.says("k"), json!(["dev"]));
}
