//! What a document says of a key is what the key gives.

use serde_json::{Value, json};

use super::{
    AMBIGUOUS, CONFLICTED, EXPIRED, INVALID, SYSTEM_ROLE,
    own::Own,
    support::{eventually, oauth::now},
};

#[test]
fn a_key_ends_when_its_document_says() {
    let own = Own::start("");
    let (now, dev) = (now(), json!(["dev"]));
    let rows = [
        (json!(now + 3600), &dev),
        (json!(f64::from(u32::try_from(now).unwrap()) + 600.5), &dev),
        (json!(null), &dev),
        (json!(now + 60 * 60 * 24 * 365 * 50), &dev),
        (json!(now - 1), &json!(EXPIRED)),
        (json!(f64::from(u32::try_from(now).unwrap()) - 0.5), &json!(EXPIRED)),
        (json!(1), &json!(EXPIRED)),
        (json!(0), &json!(EXPIRED)),
        (json!(-1), &json!(EXPIRED)),
        (json!(-1e300), &json!(EXPIRED)),
        // What cannot be understood does not open.
        (json!((now + 3600).to_string()), &json!(INVALID)),
        (json!("2099-01-01T00:00:00Z"), &json!(INVALID)),
        (json!(""), &json!(INVALID)),
        (json!(true), &json!(INVALID)),
        (json!(false), &json!(INVALID)),
        (json!([now + 3600]), &json!(INVALID)),
        (json!({}), &json!(INVALID)),
    ];
    let key = |row: usize, expires: &Value| json!({ "id": format!("k{row}"), "roles": ["dev"], "expires": expires });
    let keys = rows.iter().enumerate().map(|(row, (expires, _))| key(row, expires)).collect();
    own.keys("holder", &keys);
    for (row, (expires, expected)) in rows.iter().enumerate() {
        assert_eq!(own.says(&format!("k{row}")), **expected, "{expires}");
    }
    assert_eq!(own.ask("k4").status, 401);
    let warned = |gate: &super::support::Gate| {
        gate.log().iter().any(|line| line.to_string().contains("not in seconds"))
    };
    assert!(!warned(&own.gate));

    // A key of the distant future is one whose owner counts milliseconds.
    own.keys("milliseconds", &json!([{ "id": "ms", "roles": ["dev"], "expires": now * 1000 }]));
    assert_eq!(own.says("ms"), dev);
    eventually("a warning", || warned(&own.gate).then_some(()));
}

#[test]
fn a_key_ends_in_time_however_long_it_is_remembered() {
    let own = Own::start("cache_ttl = 600\n");
    let expires = now() + 2;
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"], "expires": expires }]));
    let mut was_open = false;
    eventually("the key ends", || {
        let (before, said) = (now(), own.says("k"));
        was_open |= said == json!(["dev"]);
        assert!(said == EXPIRED || before <= expires, "it outlives its end: {said}");
        (said == EXPIRED).then_some(())
    });
    assert!(was_open && now() >= expires);
}

#[test]
fn a_document_in_conflict_opens_nothing() {
    let own = Own::start("");
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    own.keys("other", &json!([{ "id": "j", "roles": ["dev"] }]));
    let digest = "f".repeat(32);
    let key = json!({ "id": "k", "roles": ["dev", "others"] });
    let conflict = json!({
        "_id": "holder", "_revisions": { "start": 1, "ids": [digest] }, "auth_keys": [key],
    });
    let body = json!({ "new_edits": false, "docs": [conflict] }).to_string();
    let json = [("Content-Type", "application/json")];
    let path = format!("/{}/_bulk_docs", own.db);
    own.couch.request("POST", &path, &json, body.as_bytes()).expect(201);
    assert_eq!(own.says("k"), CONFLICTED);
    assert_eq!(own.ask("k").expect(401).json()["error"], "unauthorized");
    assert_eq!(own.says("j"), json!(["dev"]));

    // Whoever settles it opens the door again.
    let path = format!("/{}/holder?rev=1-{digest}", own.db);
    own.couch.request("DELETE", &path, &[], b"").expect(200);
    own.becomes("k", &json!(["dev"]));
}

#[test]
fn a_key_that_is_not_the_only_one_of_its_name_opens_nothing() {
    let own = Own::start("");
    let key = |roles: &[&str]| json!({ "id": "k", "roles": roles });
    let many: Value = (0..15).map(|_| key(&["dev"])).collect();
    let rows = [
        json!([[key(&["dev"])], [key(&["others"])]]),
        json!([[key(&["dev"])], [key(&["dev"])], [key(&["dev"])]]),
        json!([[key(&["dev"])], [key(&["dev"]), key(&["dev"])]]),
        json!([[key(&["dev"])], [key(&["dev"]), { "id": "j", "roles": [] }, key(&["others"])]]),
        json!([[key(&["dev"])], many]),
        json!([[key(&["dev"])], many, many]),
    ];
    let holder = |row: usize, number: usize| format!("holder{row}-{number}");
    for (row, holders) in rows.iter().enumerate() {
        let holders = holders.to_string().replace("\"k\"", &format!("\"k{row}\""));
        let holders: Vec<Value> = serde_json::from_str(&holders).unwrap();
        for (number, keys) in holders.iter().enumerate().skip(1) {
            own.keys(&holder(row, number), keys);
        }
        if row > 1 && holders.len() == 2 {
            assert_eq!(own.says(&format!("k{row}")), AMBIGUOUS, "several times in one document");
        }
        own.keys(&holder(row, 0), &holders[0]);
        own.becomes(&format!("k{row}"), &json!(AMBIGUOUS));
    }
    // The one that is left opens.
    for (row, holders) in rows.iter().enumerate() {
        for number in 1..holders.as_array().unwrap().len() {
            own.keys(&holder(row, number), &json!([]));
        }
    }
    for row in 0..rows.len() {
        own.becomes(&format!("k{row}"), &json!(["dev"]));
    }
}

#[test]
fn roles_of_the_system_must_be_allowed() {
    let (strict, lax) = (Own::start(""), Own::start("allow_system_roles = true\n"));
    for (row, roles) in [json!(["_admin"]), json!(["dev", "_admin"]), json!(["_x"]), json!(["_"])]
        .iter()
        .enumerate()
    {
        let (key, beside) = (format!("k{row}"), format!("j{row}"));
        let keys = json!([{ "id": key, "roles": roles }, { "id": beside, "roles": ["a_", "dev"] }]);
        for own in [&strict, &lax] {
            own.keys(&format!("holder{row}"), &keys);
            assert_eq!(own.says(&beside), json!(["a_", "dev"]), "{roles}");
        }
        assert_eq!(strict.says(&key), SYSTEM_ROLE, "{roles}");
        assert_eq!(strict.ask(&key).status, 401);
        assert_eq!(lax.says(&key), *roles);
    }
}

#[test]
fn what_is_malformed_opens_nothing_and_disturbs_nobody() {
    let own = Own::start("allow_system_roles = true\n");
    own.keys("right", &json!([{ "id": "right", "roles": ["dev"] }]));
    let key = |roles: Value| json!([{ "id": "k", "roles": roles }]);
    let rows = [
        json!(null),
        json!("k"),
        json!(7),
        json!({}),
        json!({ "id": "k", "roles": ["_admin"] }),
        json!({ "k": { "roles": ["_admin"] } }),
        json!([]),
        json!(["k"]),
        json!([["k"]]),
        json!([null, 1, "k", ["k"], { "ID": "k" }, { "key": "k" }]),
        json!([{ "id": ["k"], "roles": ["_admin"] }]),
        json!([{ "id": { "k": 1 }, "roles": ["_admin"] }]),
        json!([[{ "id": "k", "roles": ["_admin"] }]]),
        json!([{ "id": "kk", "roles": ["_admin"] }, { "id": "", "roles": ["_admin"] }]),
        key(json!("_admin")),
        key(json!(null)),
        key(json!({ "_admin": true })),
        key(json!(["dev", 5])),
        key(json!(["dev", null])),
        key(json!([["dev"]])),
        key(json!(true)),
    ];
    for (row, keys) in rows.iter().enumerate() {
        let id = format!("k{row}");
        let text = keys.to_string().replace("\"k\"", &format!("\"{id}\""));
        own.keys(&format!("holder{row}"), &serde_json::from_str(&text).unwrap());
        assert_eq!(own.says(&id), INVALID, "{keys}");
        assert_eq!(own.says("right"), json!(["dev"]), "{keys}");
    }
    // Whoever says nothing of roles gives none.
    own.keys("bare", &json!([{ "id": "bare" }, { "id": "none", "roles": [] }, 5, null]));
    assert_eq!((own.says("bare"), own.says("none")), (json!([]), json!([])));
}
