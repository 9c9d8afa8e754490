//! What CouchDB stores of passwords, and who may not use one. The same documents let the same
//! people in at CouchDB itself.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{
    Connection, Couch, Gate, Recorder, Reply, basic, couch::unique, eventually,
    recorder::simple_user, sign::session_cookie,
};

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];

/// couchgate in front of the shared server.
fn gate(ini: &str) -> Gate {
    let couch = Couch::shared();
    let secret = &couch.secret;
    Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {secret}\n{ini}"))
}

fn user(fields: &Value) -> String {
    let name = unique("user");
    let mut document = json!({ "name": name, "type": "user", "roles": ["dev"] });
    for (key, value) in fields.as_object().unwrap() {
        document[key] = value.clone();
    }
    Couch::shared().put(&format!("/_users/org.couchdb.user:{name}"), &document);
    name
}

#[track_caller]
fn ask(gate: &Gate, name: &str, password: &str) -> Reply {
    gate.get("/_session", &[("Authorization", &basic(name, password))])
}

#[track_caller]
fn log_in(gate: &Gate, name: &str, password: &str) -> Reply {
    let body = format!("name={name}&password={password}");
    gate.request("POST", "/_session", &FORM, body.as_bytes())
}

/// Nobody costs as much as somebody, and he costs little.
fn seen_a_cheap_hash(gate: &Gate, upstream: &Recorder) {
    upstream.user("somebody", "apple", &[]);
    ask(gate, "somebody", "apple").expect(200);
}

/// Made by Python's hashlib, for the password `pässwörd` and the salt `a-salt`.
#[test]
fn every_password_scheme_is_couchdbs() {
    let sha = "6abe7c5595f0a4e9776fd22c7dcb68a1f41932a6";
    let sha384 = "c60a566b2e243541ee6de4636cf674f18e12c77329ff6c2f4f61e0175028f73b\
                  fc1205ac0fa0c9250e4825ceb6fb36f0";
    let sha512 = "df9e864a2976a546405705739632939fa0e76ced66e048335e4507e16312892f\
                  ec2d7902f73ddea1f3d85d4707cfd43a656db626274e483a3561e324be5e3375";
    let sha224 = "454f50ac9c37528d6a3451430b0ca721cf8aaf3d2fedea1a8069b11c";
    let sha256 = "772e4b8fc5ab0bd867699943d8548d511fd919e4be37354b5feff2982e4e8903";
    let upgraded = "e4b1aac95e00a8b4369ea7efd47ebcd429ed5b3ce234b446027b2d60f2265901";
    let sha_10_000 = "21cafa528452e850214bdd394df1887c1e9ce7d2";
    let simple = "b952b0b0f52a8d07e9d66f22fbef668678b0dac5";
    let gate = gate("");
    for fields in [
        json!({ "password_scheme": "simple", "password_sha": simple }),
        // As CouchDB 1.2 and earlier wrote it.
        json!({ "password_sha": simple }),
        json!({ "password_scheme": "pbkdf2", "iterations": 10_000, "derived_key": sha_10_000 }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha, "pbkdf2_prf": "sha" }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha224, "pbkdf2_prf": "sha224" }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha256, "pbkdf2_prf": "sha256" }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha384, "pbkdf2_prf": "sha384" }),
        json!({ "password_scheme": "pbkdf2", "iterations": 7, "derived_key": sha512, "pbkdf2_prf": "sha512" }),
        json!({ "password_scheme": "simple+pbkdf2", "iterations": 7, "derived_key": upgraded, "pbkdf2_prf": "sha256" }),
    ] {
        let mut document = fields.clone();
        document["salt"] = json!("a-salt");
        let name = user(&document);
        for (password, status) in [("pässwörd", 200), ("passwörd", 401), ("", 401), (simple, 401)]
        {
            assert_eq!(ask(&gate, &name, password).status, status, "{password} for {fields}");
            let authorization = [("Authorization", &*basic(&name, password))];
            let mut couch = Connection::open(Couch::shared().address);
            let direct = couch.request("GET", "/_session", &authorization, b"");
            assert_eq!(direct.status, status, "{password} for {fields} at CouchDB");
        }
        assert_eq!(log_in(&gate, &name, "p%C3%A4ssw%C3%B6rd").status, 200, "{fields}");
    }
}

/// Without `iterations`, a hash is one of 10000. (CouchDB refuses to store such a document.)
#[test]
fn iterations_default_to_couchdbs() {
    let upstream = Recorder::start();
    let derived_key = "21cafa528452e850214bdd394df1887c1e9ce7d2";
    let document = json!({
        "name": "jan", "type": "user", "roles": [], "salt": "a-salt",
        "password_scheme": "pbkdf2", "derived_key": derived_key,
    });
    upstream.user_document("jan", document);
    let gate = Gate::start(&upstream.url, "");
    ask(&gate, "jan", "pässwörd").expect(200);
    ask(&gate, "jan", "password").expect(401);
}

#[test]
fn a_document_without_a_password_lets_nobody_in() {
    let upstream = Recorder::start();
    for (name, fields) in [
        ("none", json!({})),
        ("null", json!({ "password_sha": null, "salt": null })),
        ("empty", json!({ "password_sha": "", "salt": "" })),
        (
            "emptykey",
            json!({ "password_scheme": "pbkdf2", "derived_key": "", "salt": "s", "iterations": 1 }),
        ),
        ("nokey", json!({ "password_scheme": "pbkdf2", "salt": "s", "iterations": 1 })),
        ("plain", json!({ "password": "", "salt": "s" })),
    ] {
        let mut document = json!({ "name": name, "type": "user", "roles": ["_admin"] });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        upstream.user_document(name, document);
    }
    let gate = Gate::start(&upstream.url, "");
    seen_a_cheap_hash(&gate, &upstream);
    for name in ["none", "null", "empty", "emptykey", "nokey", "plain"] {
        assert_eq!(ask(&gate, name, "").status, 401, "{name}");
        assert_eq!(log_in(&gate, name, "").status, 401, "{name}");
    }
}

#[test]
fn hashes_outside_the_limits_are_refused_as_couchdb_refuses_them() {
    let limits = "[chttpd_auth]\nmin_iterations = 5\nmax_iterations = 10\n";
    let gate = gate(limits);
    let of = |iterations: u32| {
        let sha = "6abe7c5595f0a4e9776fd22c7dcb68a1f41932a6";
        user(&json!({
            "password_scheme": "pbkdf2", "iterations": iterations, "derived_key": sha, "salt": "a-salt",
        }))
    };
    ask(&gate, &of(7), "pässwörd").expect(200);
    ask(&gate, &of(5), "pässwörd").expect(401);
    ask(&gate, &of(10), "pässwörd").expect(401);
    for (iterations, reason) in [
        (4, "Iteration count is too low for this server"),
        (11, "Iteration count is too high for this server"),
    ] {
        let name = of(iterations);
        for reply in [ask(&gate, &name, "pässwörd"), log_in(&gate, &name, "apple")] {
            let expected = json!({ "error": "forbidden", "reason": reason });
            assert_eq!(reply.expect(403).json(), expected);
        }
    }
}

#[test]
fn nobody_gets_in_with_a_user_document_in_conflict() {
    let couch = Couch::shared();
    let gate = gate("");
    let name = unique("user");
    let revision = |revision: &str, roles: &[&str]| {
        let mut document = simple_user(&name, "apple", roles);
        document["_rev"] = json!(revision);
        document
    };
    let losing = "1-11111111111111111111111111111111";
    let winning = "1-99999999999999999999999999999999";
    let both = [revision(losing, &["dev"]), revision(winning, &["dev", "ops"])];
    let body = json!({ "docs": both, "new_edits": false }).to_string();
    let json_type = [("Content-Type", "application/json")];
    couch.request("POST", "/_users/_bulk_docs", &json_type, body.as_bytes()).expect(201);

    let refused = json!({
        "error": "unauthorized",
        "reason": "User document conflicts must be resolved before the document is used for \
                   authentication purposes.",
    });
    assert_eq!(ask(&gate, &name, "apple").expect(401).json(), refused);
    assert_eq!(ask(&gate, &name, "wrong").expect(401).json(), refused);
    assert_eq!(log_in(&gate, &name, "apple").expect(401).json(), refused);
    let cookie = session_cookie(&couch.secret, "salt", &name, 0, "sha256");
    let with_cookie = [("Cookie", &*format!("AuthSession={cookie}"))];
    assert_eq!(gate.get("/_session", &with_cookie).expect(401).json(), refused);

    let path = format!("/_users/org.couchdb.user:{name}?rev={losing}");
    couch.request("DELETE", &path, &[], b"").expect(200);
    eventually("the resolution", || (ask(&gate, &name, "apple").status == 200).then_some(()));
    gate.get("/_session", &with_cookie).expect(200);
}

#[test]
fn who_needs_a_second_factor_cannot_use_basic() {
    let couch = Couch::shared();
    let gate = gate("");
    let name = couch.user("apple", &["dev"]);
    ask(&gate, &name, "apple").expect(200);
    couch.change_user(&name, &json!({ "totp": { "key": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" } }));
    eventually("the second factor", || (ask(&gate, &name, "apple").status == 401).then_some(()));
    let reason = ask(&gate, &name, "apple").json()["reason"].clone();
    assert_eq!(reason, "Name or password is incorrect.");
    log_in(&gate, &name, "apple").expect(401);
}
