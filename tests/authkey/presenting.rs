//! How a key is presented: in the query or in a header, under names that can be configured.

use serde_json::json;

use super::{
    INVALID,
    played::Played,
    support::{Gate, oauth::encode},
};

fn played() -> Played {
    let ids = ["a", "b", "a b", "a,b", "ä", "", "\u{fffd}", &"x".repeat(507), &"x".repeat(508)];
    Played::with(&ids.iter().map(|id| json!({ "id": id, "roles": ["dev"] })).collect())
}

/// Whom CouchDB hears of, or nobody; a refused request does not arrive.
#[track_caller]
fn user(played: &Played, gate: &Gate, query: &str, headers: &[(&str, &str)]) -> String {
    let reply = gate.get(&format!("/db{query}"), headers);
    if reply.status == 200 {
        return played.user().unwrap_or_else(|| "nobody".to_owned());
    }
    assert_eq!(reply.status, 401, "{query} {headers:?}: {reply:?}");
    assert_eq!(played.upstream.take().len(), 0, "{query} {headers:?}");
    let json = reply.json();
    assert_eq!(json["error"], "unauthorized");
    json["reason"].as_str().unwrap().to_owned()
}

/// A query, headers, and who that is or why he is refused.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn the_query_is_looked_at_before_the_header() {
    let played = played();
    let gate = played.gate("");
    let (a, b, wrong) = (("X-Auth-Key", "keys,a"), ("X-Auth-Key", "keys,b"), ("X-Auth-Key", "x,y"));
    let rows: &[Row<'_>] = &[
        ("?auth_key=keys,a", &[], "keys,a"),
        ("", &[a], "keys,a"),
        ("?auth_key=keys,a", &[b], "keys,a"),
        ("?auth_key=keys,a", &[wrong], "keys,a"),
        ("?auth_key=keys,wrong", &[a], INVALID),
        ("?auth_key=", &[a], INVALID),
        ("?auth_key", &[a], INVALID),
        // The first of several, as CouchDB's functions take a parameter.
        ("?auth_key=keys,a&auth_key=keys,b", &[], "keys,a"),
        ("?auth_key=keys,b&auth_key=keys,a", &[], "keys,b"),
        ("?auth_key=keys,wrong&auth_key=keys,a", &[], INVALID),
        // Several headers are joined, and the whole is no key.
        ("", &[a, a], INVALID),
        ("", &[a, b], INVALID),
        ("", &[("x-auth-key", "keys,a")], "keys,a"),
        ("", &[("X-AUTH-KEY", "keys,a")], "keys,a"),
        ("", &[("X-Auth-Key", " \tkeys,a ")], "keys,a"),
        ("", &[("X-Auth-Key", "")], INVALID),
        ("", &[("X-Auth-Key", "keys,ä")], "keys,ä"),
        ("?limit=1;%61uth_key=%6beys%2Ca;x", &[], "keys,a"),
        ("?auth_key=keys,%C3%A4", &[], "keys,ä"),
        ("?auth_key=keys,a+b", &[], "keys,a b"),
        ("?auth_key=keys,a,b", &[], "keys,a,b"),
        // Nothing of these is a key.
        ("?AUTH_KEY=keys,a", &[], "nobody"),
        ("?auth-key=keys,a", &[], "nobody"),
        ("?xauth_key=keys,a", &[], "nobody"),
        ("?auth%255Fkey=keys,a", &[], "nobody"),
        ("?x=auth_key=keys,a", &[], "nobody"),
        ("", &[("X_Auth_Key", "keys,a")], "nobody"),
        ("", &[("X-Auth_Key", "keys,a")], "nobody"),
        ("", &[("Auth-Key", "keys,a")], "nobody"),
        ("", &[("Cookie", "auth_key=keys,a")], "nobody"),
    ];
    for (query, headers, expected) in rows {
        assert_eq!(user(&played, &gate, query, headers), *expected, "{query} {headers:?}");
    }
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    gate.request("POST", "/db", &[form], b"auth_key=keys,a").expect(200);
    assert_eq!(played.user(), None, "a body holds no key");
}

#[test]
fn the_names_are_configurable() {
    let played = played();
    let gate = played.gate("x_auth_key = X-My-Key\nauth_key_param = my key\n");
    let my = |key| [("x-my-key", key)];
    for (query, headers, expected) in [
        ("?my+key=keys,a", &my("keys,b")[..], "keys,a"),
        ("?m%79%20key=keys,a&x", &[], "keys,a"),
        ("", &my("keys,b"), "keys,b"),
        ("?auth_key=keys,a", &my("keys,b"), "keys,b"),
        ("?auth_key=keys,a", &[("X-Auth-Key", "keys,a")], "nobody"),
    ] {
        assert_eq!(user(&played, &gate, query, headers), expected, "{query} {headers:?}");
    }
    let headers = [("X_MY_KEY", "keys,a"), ("X-My-Key", "keys,b"), ("Connection", "x-my-key")];
    gate.get("/db?a=%20&auth_key=mine&my+key=keys,a;b", &headers).expect(200);
    let request = played.upstream.only();
    assert_eq!(request.target, b"/db?a=%20&auth_key=mine&b");
    assert_eq!(request.folded("x-my-key"), [b""; 0]);
}

/// Nobody has such a key, and CouchDB is not asked for it.
#[test]
fn what_can_be_no_key_is_refused_without_asking() {
    let played = played();
    let gate = played.gate("");
    let too_long = format!("keys,{}", "x".repeat(508));
    for key in [
        "",
        ",",
        "keys",
        "keys,",
        ",a",
        "a",
        "keys;a",
        "keys:a",
        " keys,a",
        "keys ,a",
        "keys,a ",
        "keys,a\u{a0}",
        "keys,a\n",
        "keys,\ta",
        "keys,\0",
        "keys,a\0",
        "keys,a\r\nX-Auth-CouchDB-Roles: _admin",
        "keys,a\u{7f}",
        "keys,a\u{85}",
        "Keys,a",
        "keys/,a",
        "/keys,a",
        "keys/../keys,a",
        "keys%2F,a",
        "keys?x=,a",
        "keys#,a",
        "[\"keys\",\"a\"]",
        &too_long,
        &format!("{too_long}{too_long}"),
    ] {
        let query = format!("?auth_key={}", encode(key));
        assert_eq!(user(&played, &gate, &query, &[]), INVALID, "{key:?}");
        if key.bytes().all(|byte| !byte.is_ascii_control()) {
            let trimmed = user(&played, &gate, "", &[("X-Auth-Key", key)]);
            // A header's outer blanks are not part of it.
            let is_key = key.trim_matches(' ') == "keys,a";
            assert_eq!(trimmed, if is_key { "keys,a" } else { INVALID }, "{key:?}");
        }
    }
    // What is not UTF-8 is not made so either.
    for query in ["?auth_key=keys,%FF", "?auth_key=keys,%C3", "?auth_key=%FFkeys,a"] {
        assert_eq!(user(&played, &gate, query, &[]), INVALID, "{query}");
    }
    let asked = played.asked();
    assert!(
        asked.iter().all(|(_, target)| !target.contains("_view") || target.ends_with(" {\"keys\":[\"a\"]}"))
    );
    assert!(asked.iter().all(|(_, target)| !target.contains("xxx")), "{asked:?}");

    // The longest there can be, and one that is only not there.
    let longest = format!("keys,{}", "x".repeat(507));
    assert_eq!(user(&played, &gate, "", &[("X-Auth-Key", &longest)]), longest);
    assert_eq!(user(&played, &gate, "", &[("X-Auth-Key", "keys,nobody")]), INVALID);
    let asked = played.asked();
    let (_, asked) = asked.iter().find(|(_, asked)| asked.contains("nobody")).unwrap();
    let (target, _) = asked.split_once(' ').unwrap();
    assert!(!target.contains("nobody"), "CouchDB's log shows a key: {target}");
}
