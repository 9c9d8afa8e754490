//! Server admins: those of CouchDB's configuration and those of couchgate's own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{Couch, Gate, Recorder, Reply, basic, couch::unique, eventually};

/// A server admin of the test's own, who does not outlive it.
struct Admin(String);

impl Admin {
    fn named(name: String, password: &str) -> Self {
        let admin = Self(name);
        admin.set_password(password);
        admin
    }

    fn path(&self) -> String {
        format!("/_node/_local/_config/admins/{}", self.0)
    }

    fn set_password(&self, password: &str) {
        Couch::shared().put(&self.path(), &json!(password));
    }

    fn remove(&self) {
        Couch::shared().request("DELETE", &self.path(), &[], b"").expect(200);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        Couch::shared().request("DELETE", &self.path(), &[], b"");
    }
}

fn gate(ini: &str) -> Gate {
    let couch = Couch::shared();
    let secret = &couch.secret;
    Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {secret}\n{ini}"))
}

#[track_caller]
fn ask(gate: &Gate, name: &str, password: &str) -> Reply {
    gate.get("/_session", &[("Authorization", &basic(name, password))])
}

/// The roles of whoever gets in; `None` for who does not.
#[track_caller]
fn roles(gate: &Gate, name: &str, password: &str) -> Option<Value> {
    let reply = ask(gate, name, password);
    match reply.status {
        200 => Some(reply.json()["userCtx"]["roles"].clone()),
        401 => None,
        _ => panic!("{reply:?}"),
    }
}

#[test]
fn a_server_admin_who_comes_changes_or_goes_is_noticed() {
    let gate = gate("");
    // Nobody costs as much as somebody, and he costs little.
    ask(&gate, &Couch::shared().user("apple", &[]), "apple").expect(200);
    let name = unique("admin");
    assert_eq!(roles(&gate, &name, "apple"), None);

    let admin = Admin::named(name.clone(), "apple");
    let is = |password: &str, expected: Option<Value>| {
        let as_expected = || roles(&gate, &name, password) == expected;
        eventually("a change of server admins", || as_expected().then_some(()));
    };
    is("apple", Some(json!(["_admin"])));
    gate.get("/_all_dbs", &[("Authorization", &basic(&name, "apple"))]).expect(200);

    admin.set_password("pear");
    is("apple", None);
    is("pear", Some(json!(["_admin"])));

    admin.remove();
    is("pear", None);
}

#[test]
fn a_server_admin_has_the_roles_of_his_user_document_and_nothing_else_of_it() {
    let couch = Couch::shared();
    let gate = gate("");
    let name = couch.user("apple", &["dev", "ops"]);
    let _admin = Admin::named(name.clone(), "pear");
    let expected = Some(json!(["_admin", "dev", "ops"]));
    eventually("the server admin", || (roles(&gate, &name, "pear") == expected).then_some(()));
    assert_eq!(roles(&gate, &name, "apple"), None, "the password of the document");
    couch.change_user(&name, &json!({ "roles": ["dev"] }));
    let expected = Some(json!(["_admin", "dev"]));
    eventually("the new roles", || (roles(&gate, &name, "pear") == expected).then_some(()));
}

/// Made by Python's hashlib, for the password `pässwörd` and the salt `a-salt`.
#[test]
fn every_kind_of_admin_value_is_couchdbs() {
    let upstream = Recorder::start();
    let values = [
        ("hashed", "-hashed-b952b0b0f52a8d07e9d66f22fbef668678b0dac5,a-salt"),
        ("sha", "-pbkdf2-6abe7c5595f0a4e9776fd22c7dcb68a1f41932a6,a-salt,7"),
        (
            "sha224",
            "-pbkdf2:sha224-454f50ac9c37528d6a3451430b0ca721cf8aaf3d2fedea1a8069b11c,a-salt,7",
        ),
        (
            "sha256",
            "-pbkdf2:sha256-772e4b8fc5ab0bd867699943d8548d511fd919e4be37354b5feff2982e4e8903,a-salt,7",
        ),
        (
            "sha384",
            "-pbkdf2:sha384-c60a566b2e243541ee6de4636cf674f18e12c77329ff6c2f4f61e0175028f73bfc1205ac\
             0fa0c9250e4825ceb6fb36f0,a-salt,7",
        ),
        (
            "sha512",
            "-pbkdf2:sha512-df9e864a2976a546405705739632939fa0e76ced66e048335e4507e16312892fec2d7902\
             f73ddea1f3d85d4707cfd43a656db626274e483a3561e324be5e3375,a-salt,7",
        ),
    ];
    let lines = values.map(|(name, value)| format!("own-{name} = {value}\n")).concat();
    let ini = format!(
        "[couchgate]\nadmins_from_upstream = false\n[admins]\n{lines}own-plain = pässwörd\n"
    );
    let own = Gate::start(&upstream.url, &ini);
    let admins: serde_json::Map<_, _> =
        values.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    upstream.admins(admins.into());
    let upstreams = Gate::start(&upstream.url, "");

    upstream.user("somebody", "apple", &[]);
    for gate in [&own, &upstreams] {
        // Nobody costs as much as somebody, and he costs little.
        ask(gate, "somebody", "apple").expect(200);
    }
    for (name, _) in values.iter().copied().chain([("plain", "")]) {
        let own_name = format!("own-{name}");
        assert_eq!(roles(&own, &own_name, "pässwörd"), Some(json!(["_admin"])), "{name}");
        assert_eq!(roles(&own, &own_name, "passwörd"), None, "{name}");
        let expected = (name != "plain").then(|| json!(["_admin"]));
        assert_eq!(roles(&upstreams, name, "pässwörd"), expected, "{name}");
        assert_eq!(roles(&upstreams, name, "passwörd"), None, "{name}");
        assert_eq!(roles(&own, name, "pässwörd"), None, "{name} is CouchDB's, who is not asked");
    }
}

#[test]
fn couchdbs_word_on_a_server_admin_comes_before_couchgates() {
    let upstream = Recorder::start();
    let theirs = "-hashed-b952b0b0f52a8d07e9d66f22fbef668678b0dac5,a-salt";
    upstream.admins(json!({ "both": theirs }));
    let gate = Gate::start(&upstream.url, "[admins]\nboth = apple\nours = apple\n");
    assert_eq!(roles(&gate, "both", "pässwörd"), Some(json!(["_admin"])));
    assert_eq!(roles(&gate, "both", "apple"), None);
    assert_eq!(roles(&gate, "ours", "apple"), Some(json!(["_admin"])));
}
