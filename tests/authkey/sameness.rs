//! A key is its characters: what a dictionary, and so CouchDB's views, take for the same is another.

use serde_json::{Value, json};

use super::{
    AMBIGUOUS, INVALID,
    own::Own,
    played::{Played, Question},
    support::{
        basic,
        oauth::encode,
        recorder::{Action, ok},
    },
};

/// Pairs that ICU's collation does not tell apart, or hardly.
const PAIRS: &[(&str, &str)] = &[
    ("key", "Key"),
    ("key", "KEY"),
    ("key", "ke\u{200b}y"),
    ("key", "key\u{200b}"),
    ("key", "\u{200b}key"),
    ("key", "key\u{ad}"),
    ("key", "\u{2060}key"),
    ("caf\u{e9}", "cafe\u{301}"),
    ("caf\u{e9}", "cafe"),
    ("\u{212b}", "\u{c5}"),
    ("file", "\u{fb01}le"),
    ("stra\u{df}e", "strasse"),
    ("a1", "a\u{ff11}"),
    ("a-b", "a b"),
    ("7", "07"),
];

#[test]
fn a_key_is_not_another_that_looks_like_it() {
    let own = Own::start("");
    // No row meets another's keys.
    let named = |row: usize, key: &str| format!("r{row}x{key}");
    let pairs: Vec<_> = PAIRS.iter().enumerate().collect();
    let pairs: Vec<_> =
        pairs.iter().map(|(row, (one, other))| (named(*row, one), named(*row, other))).collect();
    let keys = |role: &str, pick: fn(&(String, String)) -> &String| -> Value {
        pairs.iter().map(|pair| json!({ "id": pick(pair), "roles": [role] })).collect()
    };
    own.keys("one", &keys("one", |pair| &pair.0));
    for (one, other) in &pairs {
        assert_eq!(own.says(other), INVALID, "{one:?} opens for {other:?}");
        assert_eq!(own.says(one), json!(["one"]), "{one:?}");
    }
    // Both, in documents of their own.
    own.keys("other", &keys("other", |pair| &pair.1));
    for (one, other) in &pairs {
        own.becomes(other, &json!(["other"]));
        assert_eq!(own.says(one), json!(["one"]), "{one:?} beside {other:?}");
    }
    // And in one.
    let all: Vec<_> = [keys("two", |pair| &pair.1), keys("three", |pair| &pair.0)]
        .iter()
        .flat_map(|keys| keys.as_array().cloned().unwrap())
        .collect();
    own.delete("one");
    own.keys("other", &json!(all));
    for (one, other) in &pairs {
        own.becomes(other, &json!(["two"]));
        own.becomes(one, &json!(["three"]));
    }
}

/// The rows of a view for the key `k`, as ids and keys.
fn rows(rows: &[(&str, &str)]) -> Vec<u8> {
    let rows: Value =
        rows.iter().map(|(id, key)| json!({ "id": id, "key": key, "value": null })).collect();
    ok(json!({ "total_rows": 100, "offset": 0, "rows": rows }).to_string().as_bytes())
}

#[test]
fn a_view_says_where_a_key_may_be_and_the_document_whether_it_is() {
    let holder =
        |id: &str, key: &str| json!({ "_id": id, "auth_keys": [{ "id": key, "roles": [id] }] });
    let documents = vec![holder("holder", "k"), holder("like", "K"), holder("a/b?c", "k")];
    for (what, found, expected) in [
        ("one", vec![("holder", "k")], Some("holder")),
        ("beside one that is like it", vec![("like", "K"), ("holder", "k")], Some("holder")),
        ("twice in one", vec![("holder", "k"), ("holder", "k")], Some("holder")),
        ("of a document with another key", vec![("like", "k")], None),
        ("of a document that is gone", vec![("gone", "k")], None),
        ("of a design document", vec![("_design/holder", "k")], None),
        ("with another key", vec![("holder", "K")], None),
        ("of an id that must be encoded", vec![("a/b?c", "k")], Some("a/b?c")),
    ] {
        let played = Played::holding(documents.clone());
        let answer = rows(&found);
        played.instead(move |question| {
            (question == Question::View).then(|| Action::Answer(answer.clone()))
        });
        let gate = played.gate("");
        let reply = gate.get("/db", &[("X-Auth-Key", "keys,k")]);
        let arrived = played.upstream.take();
        let Some(role) = expected else {
            assert_eq!(reply.expect(401).json()["reason"], INVALID, "{what}");
            assert_eq!(arrived.len(), 0, "{what}");
            continue;
        };
        reply.expect(200);
        assert_eq!(arrived[0].all("x-auth-couchdb-roles"), [role.as_bytes()], "{what}");
        assert_eq!(arrived[0].all("x-auth-couchdb-username"), [b"keys,k"], "{what}");
    }
    // As many as are read: more of the same name may be behind them.
    let (like, mine) = (vec![("like", "K"); 10], vec![("holder", "k"); 10]);
    for found in [like, mine, vec![("holder", "k"), ("like", "k")]] {
        let played = Played::holding(documents.clone());
        let answer = rows(&found);
        played.instead(move |question| {
            (question == Question::View).then(|| Action::Answer(answer.clone()))
        });
        let reply = played.gate("").get("/db", &[("X-Auth-Key", "keys,k")]).expect(401);
        assert_eq!(reply.json()["reason"], AMBIGUOUS, "{found:?}");
    }
}

/// Whoever may write in a database could otherwise become a user whose name begins with its name.
#[test]
fn a_users_name_is_no_keys_name() {
    let own = Own::start("");
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    assert_eq!(own.says("k"), json!(["dev"]));
    let name = format!("{},k", own.db);
    let user = format!("/_users/org.couchdb.user:{}", encode(&name));
    let document = json!({ "name": name, "type": "user", "roles": [], "password": "apple" });
    own.couch.put(&user, &document);
    own.becomes("k", &json!("The key's name is a user's."));
    // The user is who he was.
    let authorization = basic(&name, "apple");
    let session = own.gate.get("/_session", &[("Authorization", &authorization)]).expect(200);
    assert_eq!(session.json()["userCtx"], json!({ "name": name, "roles": [] }));
    let rev = own.couch.request("GET", &user, &[], b"").expect(200).json();
    let rev = rev["_rev"].as_str().unwrap();
    own.couch.request("DELETE", &format!("{user}?rev={rev}"), &[], b"").expect(200);
    own.becomes("k", &json!(["dev"]));
}
