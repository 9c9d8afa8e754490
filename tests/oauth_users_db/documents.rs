//! What users write in their documents, which is anything at all.

use serde_json::{Value, json};

use super::{Own, UNKNOWN, oauth};

#[test]
fn what_is_malformed_is_unknown_and_disturbs_nobody() {
    let own = Own::new();
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    let rows = [
        json!(null),
        json!(1),
        json!("c"),
        json!(["c"]),
        json!({}),
        json!({ "consumer_keys": { "c": "s" } }),
        json!({ "tokens": { "t": "u" } }),
        json!({ "consumer_keys": null, "tokens": { "t": "u" } }),
        json!({ "consumer_keys": { "c": "s" }, "tokens": null }),
        json!({ "consumer_keys": "c", "tokens": "t" }),
        json!({ "consumer_keys": 7, "tokens": 7 }),
        json!({ "consumer_keys": true, "tokens": true }),
        json!({ "consumer_keys": ["c"], "tokens": ["t"] }),
        json!({ "consumer_keys": {}, "tokens": {} }),
        json!({ "consumer_keys": { "c": null }, "tokens": { "t": null } }),
        json!({ "consumer_keys": { "c": 1 }, "tokens": { "t": 2 } }),
        json!({ "consumer_keys": { "c": ["s"] }, "tokens": { "t": ["u"] } }),
        json!({ "consumer_keys": { "c": { "s": 1 } }, "tokens": { "t": { "u": 1 } } }),
        json!({ "consumer_keys": { "c": true }, "tokens": { "t": "u" } }),
        json!({ "consumer_keys": { "c": "s" }, "tokens": { "t": false } }),
        json!({ "consumer_keys": { "__proto__": "s" }, "tokens": { "constructor": "u" } }),
    ];
    for (row, malformed) in rows.iter().enumerate() {
        // What is asked for is what this user has, in names of his own.
        let [consumer, token] = ["c", "t"].map(|name| format!("{name}{row}"));
        let text = malformed.to_string();
        let text = text.replace("\"c\"", &json!(consumer).to_string());
        let text = text.replace("\"t\"", &json!(token).to_string());
        own.user(
            &format!("user{row}"),
            &json!({ "oauth": serde_json::from_str::<Value>(&text).unwrap() }),
        );
        for [consumer_secret, token_secret] in
            [["s", "u"], ["", ""], ["null", "null"], ["1", "2"], ["true", "u"], ["s", "false"]]
        {
            let who = own.who([&consumer, consumer_secret], [&token, token_secret]);
            assert_eq!(who, UNKNOWN, "{malformed}");
        }
        for name in ["0", "__proto__", "constructor", ""] {
            assert_eq!(own.who([name, "s"], [name, "u"]), UNKNOWN, "{malformed}");
        }
        assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan", "{malformed}");
    }
    // jan's own pair, in documents that mean nothing.
    for (row, malformed) in rows.iter().skip(14).take(4).enumerate() {
        own.user(&format!("user{row}"), &json!({ "oauth": malformed }));
        own.user("written", &oauth(["c", &row.to_string()], ["own", "u"]));
        own.becomes(["c", &row.to_string()], ["own", "u"], "written");
        assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan", "{malformed}");
    }
    // An empty secret is none, and everybody could sign with it.
    for (name, oauth) in [
        ("empty1", oauth(["e1", ""], ["t", "u"])),
        ("empty2", oauth(["e2", "s"], ["t", ""])),
        ("empty3", oauth(["e3", ""], ["t", ""])),
    ] {
        own.user(name, &oauth);
    }
    for consumer in ["e1", "e2", "e3"] {
        for (consumer_secret, token_secret) in [("", ""), ("s", ""), ("", "u")] {
            assert_eq!(own.who([consumer, consumer_secret], ["t", token_secret]), UNKNOWN);
        }
    }
    own.user(
        "other type",
        &json!({ "type": "users", "oauth": oauth(["o", "s"], ["t", "u"])["oauth"] }),
    );
    assert_eq!(own.who(["o", "s"], ["t", "u"]), UNKNOWN);
}

#[test]
fn only_a_users_own_document_speaks_for_him() {
    let own = Own::new();
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    let pretending = |name: &Value, row: usize| json!({ "name": name, "oauth": oauth([&format!("c{row}"), "s"], ["t", "u"])["oauth"] });
    let names = [
        json!("jan"),
        json!(""),
        json!(null),
        json!(["jan"]),
        json!({ "jan": 1 }),
        json!("mallory "),
    ];
    for (row, name) in names.iter().enumerate() {
        own.user("mallory", &pretending(name, row));
        own.becomes([&format!("c{row}"), "s"], ["t", "u"], UNKNOWN);
        let pair = pretending(name, 0)["oauth"].to_string().replace("c0", "c");
        let document =
            json!({ "name": name, "oauth": serde_json::from_str::<Value>(&pair).unwrap() });
        own.user("mallory", &document);
        assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan", "{name}");
    }
    // A document that is nobody's user document.
    let mut document = oauth(["c9", "s"], ["t", "u"]);
    document["name"] = json!("jan");
    document["type"] = json!("user");
    own.couch.put(&format!("/{}/jan", own.db), &document);
    own.user("mallory", &oauth(["c8", "s"], ["t", "u"]));
    own.becomes(["c8", "s"], ["t", "u"], "mallory");
    assert_eq!(own.who(["c9", "s"], ["t", "u"]), UNKNOWN);
}

#[test]
fn a_user_in_conflict_signs_nothing() {
    let own = Own::new();
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    let mut other = oauth(["c", "s"], ["t", "u"]);
    for (key, value) in [
        ("_id", json!("org.couchdb.user:jan")),
        ("_rev", json!("1-00000000000000000000000000000000")),
        ("name", json!("jan")),
        ("type", json!("user")),
        ("roles", json!([])),
    ] {
        other[key] = value;
    }
    let body = json!({ "new_edits": false, "docs": [other] }).to_string();
    let json = [("Content-Type", "application/json")];
    let bulk = format!("/{}/_bulk_docs", own.db);
    own.couch.request("POST", &bulk, &json, body.as_bytes()).expect(201);
    let reason = own.ask(["c", "s"], ["t", "u"]).expect(401).json()["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("User document conflicts"), "{reason}");
}

/// CouchDB gives its view server seconds for a document; millions of pairs would take longer, and
/// the view would be nobody's.
#[test]
fn a_user_with_too_many_pairs_has_none() {
    let own = Own::new();
    let map = |name: &str, count: usize| -> Value {
        (0..count).map(|number| (format!("{name}{number}"), json!("s"))).collect()
    };
    let many = |count: usize| json!({ "oauth": { "consumer_keys": map("c", count), "tokens": map("t", count) } });
    own.user("jan", &oauth(["c", "s"], ["t", "u"]));
    own.user("mallory", &many(2500));
    own.user("kim", &many(10));
    own.becomes(["c0", "s"], ["t9", "s"], "kim");
    own.user("kim", &many(11));
    own.becomes(["c0", "s"], ["t9", "s"], UNKNOWN);
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan");
    // Nor are secrets as large as a document may be.
    let long = "s".repeat(1_000_000);
    own.user(
        "mallory",
        &json!({ "oauth": { "consumer_keys": { "long": long }, "tokens": map("t", 900) } }),
    );
    own.user("kim", &oauth(["c", "s2"], ["t2", "u"]));
    own.becomes(["c", "s2"], ["t2", "u"], "kim");
    assert_eq!(own.who(["long", "s"], ["t1", "s"]), UNKNOWN);
    assert_eq!(own.who(["c", "s"], ["t", "u"]), "jan");
}

/// CouchDB takes nothing but roles from a server admin's user document, for who may write one need
/// not be the admin.
#[test]
fn a_user_document_does_not_speak_for_a_server_admin() {
    let own = Own::new();
    let admin = own.couch.admin.0.clone();
    own.user(&admin, &oauth(["c", "s"], ["t", "u"]));
    own.user("jan", &oauth(["c2", "s"], ["t", "u"]));
    own.becomes(["c2", "s"], ["t", "u"], "jan");
    let reply = own.ask(["c", "s"], ["t", "u"]).expect(401);
    assert_eq!(reply.json()["error"], "unauthorized");
}

#[test]
fn names_may_have_any_characters() {
    let own = Own::new();
    let long = "n".repeat(250);
    for (row, name) in [
        "a b",
        "a+b",
        "a%2Bb",
        "\"quoted\"",
        "back\\slash",
        "a&b=c;d",
        "a/b?c#d",
        "[\"a\",\"b\"]",
        "j\u{fc}rgen",
        "\u{540d}\u{524d}",
        "\u{1f427}",
        "e\u{301}",
        "null",
        "a'b",
        "a,b",
        "{}",
        "%00",
        "~-._",
        &long,
    ]
    .into_iter()
    .enumerate()
    {
        let secret = format!("s{row}&{name}");
        own.user(name, &oauth([name, &secret], [name, &secret]));
        own.becomes([name, &secret], [name, &secret], name);
        assert_eq!(own.who([name, &secret], [name, "s"]), "unauthorized");
        let other = format!("{name}x");
        assert_eq!(own.who([&other, &secret], [name, &secret]), UNKNOWN);
    }
    for length in [1024, 1025, 2000, 8000] {
        for letter in ["x", "\"", "\u{fc}", "\u{540d}"] {
            let long = letter.repeat(length / letter.len());
            assert_eq!(own.who([&long, "s"], ["a b", "s"]), UNKNOWN, "{length} of {letter}");
            assert_eq!(own.who([&long, "s"], [&long, "s"]), UNKNOWN, "{length} of {letter}");
        }
    }
}
