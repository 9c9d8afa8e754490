//! Only databases that were named hold keys; none is created, and others are not even read.

use serde_json::{Value, json};

use super::{
    INVALID,
    own::{Own, gate},
    played::{Played, Question},
    support::{Couch, couch::unique, oauth::encode},
};

#[test]
fn a_database_that_was_not_named_is_never_asked_for() {
    let played = Played::with(&json!([{ "id": "a", "roles": ["dev"] }]));
    for databases in ["", "other", "other, more", "key, keys2"] {
        let gate = played.gate(&format!("databases = {databases}\n"));
        for key in ["keys,a", "keys,b"] {
            let reply = gate.get("/db", &[("X-Auth-Key", key)]).expect(401);
            assert_eq!(reply.json()["reason"], INVALID, "{databases}: {key}");
        }
        assert_eq!(played.asked(), [], "{databases}");
        assert_eq!(played.upstream.take().len(), 0);
    }
    let gate = played.gate("databases = other,keys\n");
    gate.get("/db", &[("X-Auth-Key", "keys,a")]).expect(200);
    assert_eq!(played.user().as_deref(), Some("keys,a"));
}

#[test]
fn a_database_that_was_not_named_is_neither_opened_nor_created() {
    let (couch, own) = (Couch::shared(), Own::start(""));
    own.keys("holder", &json!([{ "id": "a", "roles": ["dev"] }]));
    let (unlisted, missing) = (couch.database(), unique("missing"));
    let keys = json!({ "auth_keys": [{ "id": "a", "roles": ["dev"] }] });
    couch.put(&format!("/{unlisted}/holder"), &keys);
    for db in [&unlisted, &missing] {
        for key in ["a", "b"] {
            let key = format!("{db},{key}");
            own.gate.get("/_session", &[("X-Auth-Key", &key)]).expect(401);
            own.gate.get(&format!("/_session?auth_key={key}"), &[]).expect(401);
        }
    }
    couch.request("GET", &format!("/{missing}"), &[], b"").expect(404);
    let design = format!("/{unlisted}/_design/_auth_keys");
    couch.request("GET", &design, &[], b"").expect(404);
    assert_eq!(own.says("a"), json!(["dev"]));
}

#[test]
fn a_missing_database_is_not_created_and_opens_when_it_comes() {
    let (couch, db) = (Couch::shared(), unique("late"));
    let own = Own { couch, gate: gate(couch, &format!("databases = {db}\n")), db };
    for key in ["a", "b", "a"] {
        assert_eq!(own.says(key), INVALID);
        couch.request("GET", &format!("/{}", own.db), &[], b"").expect(404);
    }
    couch.request("PUT", &format!("/{}", own.db), &[], b"").expect(201);
    own.keys("holder", &json!([{ "id": "a", "roles": ["dev"] }]));
    own.becomes("a", &json!(["dev"]));
    assert_eq!(own.read("_design/_auth_keys")["language"], "javascript");
    couch.request("DELETE", &format!("/{}", own.db), &[], b"").expect(200);
    own.becomes("a", &json!(INVALID));
    couch.request("GET", &format!("/{}", own.db), &[], b"").expect(404);

    // Reading and trying to write in it are all that is tried.
    let played = Played::with(&json!([]));
    let gate = played.gate("databases = gone\n");
    gate.get("/db", &[("X-Auth-Key", "gone,a")]).expect(401);
    let asked: Vec<_> = played.asked().into_iter().map(|(question, _)| question).collect();
    assert_eq!(asked, [Question::Design, Question::WriteDesign]);
}

#[test]
fn a_star_stands_for_all_but_those_of_the_system() {
    let played = Played::with(&json!([{ "id": "a", "roles": ["dev"] }]));
    let people = "[chttpd_auth]\nauthentication_db = people\n";
    let gate = played.gate(&format!("databases = *\n{people}"));
    gate.get("/db", &[("X-Auth-Key", "keys,a")]).expect(200);
    assert_eq!(played.user().as_deref(), Some("keys,a"));
    played.asked();
    for db in
        ["_users", "_replicator", "_global_changes", "_metadata", "_", "", "people", "*", "Keys"]
    {
        for target in [format!("/db?auth_key={db},a"), format!("/db?auth_key={}%2Ca", encode(db))] {
            let reply = gate.get(&target, &[]).expect(401);
            assert_eq!(reply.json()["reason"], INVALID, "{db:?}");
        }
    }
    assert!(played.asked().iter().all(|(question, target)| {
        *question == Question::Other || target.starts_with("/keys/")
    }));
    // Others that are missing are asked for, and no more.
    gate.get("/db", &[("X-Auth-Key", "a/b+(c)$,a")]).expect(401);
    let (question, target) = played.asked().remove(0);
    assert_eq!((question, &*target), (Question::Design, "/a%2Fb%2B%28c%29%24/_design/_auth_keys"));
}

#[test]
fn a_star_opens_real_databases_and_never_the_users() {
    let couch = Couch::shared();
    let gate = gate(couch, "databases = *\n");
    let user = couch.user("apple", &[]);
    let key = unique("key");
    let keys: Value = json!([{ "id": key, "roles": ["dev"] }]);
    couch.change_user(&user, &json!({ "auth_keys": keys }));
    let ask = |db: &str| {
        let key = format!("{db},{key}");
        gate.get("/_session", &[("X-Auth-Key", &key)])
    };
    ask("_users").expect(401);
    couch.request("GET", "/_users/_design/_auth_keys", &[], b"").expect(404);

    for db in [couch.database(), format!("{}/a+b", unique("with"))] {
        couch.request("PUT", &format!("/{}", encode(&db)), &[], b"");
        couch.put(&format!("/{}/holder", encode(&db)), &json!({ "auth_keys": keys }));
        let session = ask(&db).expect(200).json();
        let expected = json!({ "name": format!("{db},{key}"), "roles": ["dev"] });
        assert_eq!(session["userCtx"], expected, "{db}");
    }
}

/// A partitioned database's views are, too, unless their design document says no.
#[test]
fn a_partitioned_database_holds_keys() {
    let couch = Couch::shared();
    let db = unique("partitioned");
    couch.request("PUT", &format!("/{db}?partitioned=true"), &[], b"").expect(201);
    let gate = gate(couch, &format!("databases = {db}"));
    let own = Own { couch, db, gate };
    own.keys("part:holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    assert_eq!(own.says("k"), json!(["dev"]));
}
