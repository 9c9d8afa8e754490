//! The example of `couch_authkey`'s README, line by line.
//!
//! It was written for rcouch, where everybody is a server admin until one is named. CouchDB 3 has
//! no such party, and makes new databases for server admins only: here its admin creates the
//! database and opens it to all, which the anonymous lines need.

use serde_json::{Value, json};

use super::{
    own::gate,
    support::{Couch, Gate, Reply, basic, couch::unique},
};

/// curl sends documents as forms where nobody tells it otherwise.
fn curl(gate: &Gate, method: &str, target: &str, user: Option<&str>, data: &str) -> Reply {
    let mut headers = vec![("User-Agent", "curl/7.29.0"), ("Accept", "*/*")];
    if !data.is_empty() {
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
    }
    headers.extend(user.map(|user| ("Authorization", user)));
    gate.request(method, target, &headers, data.as_bytes())
}

/// The README's JSON with the name of the test's database; revisions are the server's affair.
#[track_caller]
fn assert_says(reply: &Reply, status: u16, readme: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let expected: Value = serde_json::from_str(readme).unwrap();
    assert_eq!(without_revisions(reply.json()), without_revisions(expected));
}

fn without_revisions(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                *value =
                    if name == "rev" { revision(value) } else { without_revisions(value.take()) };
            }
        }
        Value::Array(list) => {
            for value in list {
                *value = without_revisions(value.take());
            }
        }
        _ => {}
    }
    value
}

fn revision(value: &Value) -> Value {
    let (number, digest) = value.as_str().and_then(|rev| rev.split_once('-')).unwrap();
    let is_hex = digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(number.parse::<u32>().is_ok() && is_hex, "{value}");
    json!("a revision")
}

const ALL_DOCS: &str = r#"{"total_rows":3,"offset":0,"rows":[
{"id":"_design\/_auth_keys","key":"_design\/_auth_keys","value":{"rev":"1-a2956efbf41d393bd82e3796e7ecac57"}},
{"id":"test","key":"test","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
{"id":"testkey","key":"testkey","value":{"rev":"2-3ce4765efaba9a3d2f2fb2b2e31ad5a6"}}
]}"#;

#[test]
fn the_readmes_example_works_as_written() {
    let couch = Couch::shared();
    let testdb = unique("testdb");
    // The README's key is a server admin's, and any document of any database could hold one.
    let settings = format!("databases = {testdb}\nallow_system_roles = true\n");
    let open = gate(couch, &settings);
    let admin = basic(&couch.admin.0, &couch.admin.1);
    let target = |rest: &str| format!("/{testdb}{rest}");

    let created = curl(&open, "PUT", &target(""), Some(&admin), "");
    assert_says(&created, 201, r#"{"ok":true}"#);
    couch.put(&target("/_security"), &json!({ "admins": {}, "members": {} }));
    let put = curl(&open, "PUT", &target("/test"), None, "{}");
    let written = r#"{"ok":true,"id":"test","rev":"1-967a00dff5e02add41819138abb3284d"}"#;
    assert_says(&put, 201, written);
    let key = "{\n\"auth_keys\": [\n{\n  \"id\": \"some\",\n  \"roles\": [\"_admin\"]\n}]}";
    let put = curl(&open, "PUT", &target("/testkey"), None, key);
    let written = r#"{"ok":true,"id":"testkey","rev":"1-3aef7395bef669f548d0c5c7cf850515"}"#;
    assert_says(&put, 201, written);

    let with_key = target(&format!("/_all_docs?auth_key={testdb},some"));
    let wrong_key = target(&format!("/_all_docs?auth_key={testdb},som"));
    let invalid = r#"{"error":"unauthorized","reason":"invalid key"}"#;
    assert_says(&curl(&open, "GET", &with_key, None, ""), 200, ALL_DOCS);
    assert_says(&curl(&open, "GET", &target("/_all_docs"), None, ""), 200, ALL_DOCS);
    assert_says(&curl(&open, "GET", &wrong_key, None, ""), 401, invalid);

    // With `require_valid_user = true`.
    let closed = gate(couch, &format!("{settings}[chttpd]\nrequire_valid_user = true\n"));
    let anonymous = curl(&closed, "GET", &target("/_all_docs"), None, "");
    let required = r#"{"error":"unauthorized","reason":"Authentication required."}"#;
    assert_says(&anonymous, 401, required);
    assert_says(&curl(&closed, "GET", &with_key, None, ""), 200, ALL_DOCS);
    assert_says(&curl(&closed, "GET", &target("/_all_docs"), Some(&admin), ""), 200, ALL_DOCS);
    assert_says(&curl(&closed, "GET", &wrong_key, None, ""), 401, invalid);
}

#[test]
fn a_key_does_what_its_roles_may_do_and_no_more() {
    let couch = Couch::shared();
    let (db, other) = (couch.database(), couch.database());
    let keys = json!([{ "id": "dev", "roles": ["dev"] }, { "id": "none", "roles": [] }]);
    couch.put(&format!("/{db}/holder"), &json!({ "auth_keys": keys }));
    couch.put(&format!("/{other}/_security"), &json!({ "members": { "roles": ["others"] } }));
    let gate = gate(couch, &format!("databases = {db}\n"));
    for (key, method, target, status) in [
        ("dev", "GET", format!("/{db}/holder"), 200),
        ("dev", "PUT", format!("/{db}/written"), 201),
        // Design documents are for admins of the database.
        ("dev", "PUT", format!("/{db}/_design/written"), 403),
        ("dev", "GET", format!("/{other}/_all_docs"), 403),
        ("dev", "DELETE", format!("/{db}"), 401),
        ("none", "GET", format!("/{db}/holder"), 403),
        ("none", "PUT", format!("/{db}/again"), 403),
    ] {
        let key = format!("{db},{key}");
        let reply = gate.request(method, &target, &[("X-Auth-Key", &key)], b"{}");
        assert_eq!(reply.status, status, "{key}: {method} {target}: {reply:?}");
    }
}
