//! The view that finds keys is couchgate's, whatever else somebody has put in its place.

use serde_json::{Value, json};

use super::{
    AMBIGUOUS, INVALID,
    own::Own,
    played::{Played, Question},
    support::{
        eventually,
        recorder::{Action, answer, ok},
    },
};

const DESIGN: &str = "_design/_auth_keys";

#[test]
fn the_view_is_written_on_first_need_and_once() {
    let own = Own::start("");
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    let is_there = || own.couch.request("GET", &own.path(DESIGN), &[], b"").status == 200;
    own.gate.get("/_session", &[]).expect(200);
    own.gate.get("/_session", &[("X-Auth-Key", "no,key")]).expect(401);
    assert!(!is_there(), "nobody has needed it");
    assert_eq!(own.says("nobody"), INVALID);
    let written = own.read(DESIGN);
    assert!(written["views"]["by_key"]["map"].is_string(), "{written}");
    assert_eq!(own.says("k"), json!(["dev"]));
    // It is looked at again, and found to be what it should be.
    own.keys("holder", &json!([{ "id": "k", "roles": ["changed"] }]));
    own.becomes("k", &json!(["changed"]));
    assert_eq!(own.read(DESIGN), written);
}

#[test]
fn another_design_document_is_put_right() {
    let own = Own::start("");
    assert_eq!(own.says("nobody"), INVALID);
    let right = own.read(DESIGN)["views"]["by_key"].clone();
    let mine = json!({ "map": "function (doc) { emit(doc._id, 1); }", "reduce": "_count" });
    let view = |map: &str| json!({ "map": map });
    // Emits every document for the victim's key, with what an attacker would like.
    let forged = view("function (doc) { emit('victim', {roles: ['_admin']}); }");
    // As couch_authkey's own, whose rows said what a key gives.
    let original = view(
        "function(doc) { if (!doc.auth_keys) return; for (var i in doc.auth_keys) { \
         var key = doc.auth_keys[i]; emit(key.id, {roles: key.roles, expires: key.expires}); } }",
    );
    let views = |by_key: &Value| json!({ "by_key": by_key, "mine": mine });
    let with_reduce = json!({ "map": right["map"], "reduce": "function () { return 'x'; }" });
    for document in [
        json!({ "language": "javascript", "views": views(&forged) }),
        json!({ "language": "javascript", "views": views(&original) }),
        json!({ "views": views(&view("function (doc) {}")) }),
        json!({ "views": views(&with_reduce) }),
        json!({ "views": views(&right) }),
        json!({ "language": "javascript", "views": { "mine": mine } }),
        json!({ "language": "javascript", "views": {} }),
        json!({ "note": "nothing else", "filters": { "f": "function () { return true; }" } }),
    ] {
        let own = Own::start("allow_system_roles = true\n");
        own.keys("victim", &json!([{ "id": "victim", "roles": ["dev"] }]));
        own.keys("attacker", &json!([{ "id": "mine", "roles": ["attacker"] }]));
        own.write(DESIGN, document.clone());
        assert_eq!(own.says("victim"), json!(["dev"]), "{document}");
        assert_eq!(own.says("mine"), json!(["attacker"]), "{document}");
        let corrected = own.read(DESIGN);
        assert_eq!(corrected["views"]["by_key"], right, "{document}");
        assert_eq!(corrected["language"], "javascript", "{document}");
        for part in ["/views/mine", "/note", "/filters"] {
            assert_eq!(corrected.pointer(part), document.pointer(part), "{part} of {document}");
        }
    }
}

#[test]
fn a_design_document_that_is_changed_or_deleted_later_is_put_right_too() {
    let own = Own::start("");
    own.keys("victim", &json!([{ "id": "victim", "roles": ["dev"] }]));
    assert_eq!(own.says("victim"), json!(["dev"]));
    let right = own.read(DESIGN);
    let mut forged = right.clone();
    forged["views"]["by_key"]["map"] = json!("function (doc) { emit('victim', null); }");
    own.write(DESIGN, forged);
    // Whichever key is asked for.
    let mut unknown = 0;
    eventually("the view is put right", || {
        unknown += 1;
        assert_eq!(own.says(&format!("unknown{unknown}")), INVALID);
        (own.read(DESIGN)["views"] == right["views"]).then_some(())
    });
    own.becomes("victim", &json!(["dev"]));

    // Deleted, while couchgate believes that it is there.
    own.keys("late", &json!([{ "id": "late", "roles": ["dev"] }]));
    own.delete(DESIGN);
    assert_eq!(own.says("late"), json!(["dev"]));
    assert_eq!(own.read(DESIGN)["views"], right["views"]);
}

/// While nobody has looked yet, a forged view names another document: it opens what that one
/// holds, and nothing of the victim's name.
#[test]
fn a_forged_view_opens_nothing() {
    let own = Own::start("cache_ttl = 600\n");
    own.keys("victim", &json!([{ "id": "victim", "roles": ["dev"] }]));
    own.keys("attacker", &json!([{ "id": "mine", "roles": ["attacker"] }]));
    assert_eq!(own.says("mine"), json!(["attacker"]));
    let mut forged = own.read(DESIGN);
    for (map, expected) in [
        ("function (doc) { if (doc._id == 'attacker') emit('victim', null); }", INVALID),
        ("function (doc) { if (doc._id == 'victim') emit('guess', null); }", INVALID),
        ("function (doc) { if (doc.auth_keys) emit('both', null); }", AMBIGUOUS),
    ] {
        forged["views"]["by_key"]["map"] = json!(map);
        own.write(DESIGN, forged.clone());
        let key = map.split('\'').rev().nth(1).unwrap();
        assert_eq!(own.says(key), expected, "{map}");
    }
}

#[test]
fn somebody_elses_writing_of_the_view_is_no_fault() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let conflict = answer("409 Conflict", b"{\"error\":\"conflict\"}");
    played.instead(move |question| {
        (question == Question::WriteDesign).then(|| Action::Answer(conflict.clone()))
    });
    let gate = played.gate("");
    gate.get("/db", &[("X-Auth-Key", "keys,k")]).expect(200);
    assert_eq!(played.user().as_deref(), Some("keys,k"));
}

#[test]
fn several_instances_write_the_view_together() {
    let own = Own::start("");
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    let settings = format!("databases = {}\n", own.db);
    let gates: Vec<_> = (0..4).map(|_| super::own::gate(own.couch, &settings)).collect();
    let key = format!("{},k", own.db);
    std::thread::scope(|scope| {
        for gate in &gates {
            for _ in 0..3 {
                scope.spawn(|| gate.get("/_session", &[("X-Auth-Key", &key)]).expect(200));
            }
        }
    });
    assert!(own.read(DESIGN)["_rev"].as_str().unwrap().starts_with("1-"));
}

/// Numbers that few languages can hold, and names said twice: they are their owner's affair.
#[test]
fn what_else_is_in_the_design_document_stays_as_it_is_written() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let kept = [
        r#""_rev":"3-c""#,
        r#""number":123456789012345678901.50"#,
        r#""mine":{"map":"m","map":"n"}"#,
    ];
    let design = format!(r#"{{{},{},"views":{{{}}}}}"#, kept[0], kept[1], kept[2]);
    played.instead(move |question| {
        (question == Question::Design).then(|| Action::Answer(ok(design.as_bytes())))
    });
    played.gate("").get("/db", &[("X-Auth-Key", "keys,k")]).expect(200);
    let written = played.written();
    for part in kept {
        assert!(written.contains(part), "{part} is not in {written}");
    }
    assert!(written.contains("by_key"), "{written}");
}

/// What is in the design document's place may be anything that CouchDB once took.
#[test]
fn views_that_are_no_views_are_replaced() {
    for design in [
        json!({ "views": "text" }),
        json!({ "views": null }),
        json!({ "views": ["by_key"] }),
        json!({ "views": { "by_key": "text" }, "language": 5 }),
        json!({ "views": { "by_key": null } }),
    ] {
        let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
        let text = ok(design.to_string().as_bytes());
        played.instead(move |question| {
            (question == Question::Design).then(|| Action::Answer(text.clone()))
        });
        let gate = played.gate("");
        gate.get("/db", &[("X-Auth-Key", "keys,k")]).expect(200);
        let asked: Vec<_> = played.asked().into_iter().map(|(question, _)| question).collect();
        assert_eq!(asked, super::played::NEEDED, "{design}");
    }
}
