//! Users who change behind couchgate's back: what it remembers of them never outlives the change
//! for long.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Couch, Gate, Relay, Reply, basic, couch::unique, eventually};

/// couchgate in front of the shared server, or of what stands in front of that.
fn gate(upstream: &str, ini: &str) -> Gate {
    let secret = &Couch::shared().secret;
    Gate::start(upstream, &format!("[chttpd_auth]\nsecret = {secret}\n{ini}"))
}

fn gate_that_follows(upstream: &str, ini: &str) -> Gate {
    let gate = gate(upstream, ini);
    feed_is(&gate, 1.0);
    gate
}

#[track_caller]
fn feed_is(gate: &Gate, connected: f64) {
    #[expect(clippy::float_cmp, reason = "a gauge that is set to 0 or 1")]
    let is_so = || gate.metric("couchgate_users_feed_connected") == connected;
    eventually("the state of the users' feed", || is_so().then_some(()));
}

/// A request as somebody.
#[track_caller]
fn ask(gate: &Gate, name: &str, password: &str) -> Reply {
    gate.get("/_session", &[("Authorization", &basic(name, password))])
}

#[track_caller]
fn may_log_in(gate: &Gate, name: &str, password: &str) -> bool {
    let reply = ask(gate, name, password);
    match reply.status {
        200 => {
            assert_eq!(reply.json()["userCtx"]["name"], name);
            true
        }
        401 => {
            assert_eq!(reply.json()["reason"], "Name or password is incorrect.");
            false
        }
        _ => panic!("{reply:?}"),
    }
}

#[track_caller]
fn roles(gate: &Gate, name: &str, password: &str) -> Value {
    ask(gate, name, password).expect(200).json()["userCtx"]["roles"].clone()
}

/// What has changed just now is seen in time.
#[track_caller]
fn within(limit: Duration, what: &str, mut is_seen: impl FnMut() -> bool) {
    let changed = Instant::now();
    eventually(what, || is_seen().then_some(()));
    let waited = changed.elapsed();
    assert!(waited < limit, "{what} after {waited:?}");
}

const ONE_SECOND: Duration = Duration::from_secs(1);

fn delete_user(couch: &Couch, name: &str) {
    let path = format!("/_users/org.couchdb.user:{name}");
    let document = couch.request("GET", &path, &[], b"").expect(200).json();
    let revision = document["_rev"].as_str().unwrap();
    couch.request("DELETE", &format!("{path}?rev={revision}"), &[], b"").expect(200);
}

#[test]
fn a_change_is_heard_of_within_a_second() {
    let couch = Couch::shared();
    let gate = gate_that_follows(&couch.url, "");

    let name = couch.user("apple", &["dev"]);
    assert_eq!(roles(&gate, &name, "apple"), json!(["dev"]));
    couch.change_user(&name, &json!({ "roles": ["dev", "ops"] }));
    within(ONE_SECOND, "a new role", || roles(&gate, &name, "apple") == json!(["dev", "ops"]));

    couch.change_user(&name, &json!({ "password": "pear" }));
    within(ONE_SECOND, "a new password", || !may_log_in(&gate, &name, "apple"));
    assert!(may_log_in(&gate, &name, "pear"));

    delete_user(couch, &name);
    within(ONE_SECOND, "a deletion", || !may_log_in(&gate, &name, "pear"));

    let document = json!({ "name": name, "type": "user", "roles": [], "password": "plum" });
    couch.put(&format!("/_users/org.couchdb.user:{name}"), &document);
    within(ONE_SECOND, "a new user of an old name", || may_log_in(&gate, &name, "plum"));
    assert_eq!(roles(&gate, &name, "plum"), json!([]));
}

#[test]
fn a_user_made_after_his_first_failed_login_is_known_within_a_second() {
    let couch = Couch::shared();
    let gate = gate_that_follows(&couch.url, "");
    let name = unique("user-ä");
    assert!(!may_log_in(&gate, &name, "apple"));
    let document = json!({ "name": name, "type": "user", "roles": [], "password": "apple" });
    couch.put(&format!("/_users/org.couchdb.user:{}", name.replace('ä', "%C3%A4")), &document);
    within(ONE_SECOND, "a new user", || may_log_in(&gate, &name, "apple"));
}

#[test]
fn a_session_ends_with_its_user() {
    let couch = Couch::shared();
    let gate = gate_that_follows(&couch.url, "");
    let name = couch.user("apple", &["dev"]);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("name={name}&password=apple");
    let login = gate.request("POST", "/_session", &form, body.as_bytes()).expect(200);
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let who = || {
        let session = gate.get("/_session", &[("Cookie", &cookie)]).expect(200).json();
        session["userCtx"]["name"].clone()
    };
    assert_eq!(who(), json!(name));
    delete_user(couch, &name);
    within(ONE_SECOND, "a deletion", || who() == json!(null));
}

#[test]
fn without_the_feed_a_change_is_seen_within_the_short_ttl() {
    let couch = Couch::shared();
    let relay = Relay::start(couch.address);
    relay.refuse_feeds();
    let gate = gate(&relay.url, "[couchgate]\nuser_cache_ttl_without_feed = 1\n");
    let name = couch.user("apple", &["dev"]);
    assert!(may_log_in(&gate, &name, "apple"));
    couch.change_user(&name, &json!({ "password": "pear" }));
    within(2 * ONE_SECOND, "a new password", || !may_log_in(&gate, &name, "apple"));
    assert!(may_log_in(&gate, &name, "pear"));
    feed_is(&gate, 0.0);
}

#[test]
fn what_was_remembered_while_the_feed_was_lost_is_forgotten_when_it_is_found() {
    let couch = Couch::shared();
    let relay = Relay::start(couch.address);
    let gate = gate_that_follows(&relay.url, "[couchgate]\nuser_cache_ttl_without_feed = 300\n");
    let name = couch.user("apple", &["dev"]);

    relay.refuse_feeds();
    feed_is(&gate, 0.0);
    assert!(may_log_in(&gate, &name, "apple"));
    couch.change_user(&name, &json!({ "password": "pear", "roles": ["ops"] }));
    assert!(may_log_in(&gate, &name, "apple"), "nothing has told couchgate, nor has time");

    relay.accept_feeds();
    feed_is(&gate, 1.0);
    assert!(!may_log_in(&gate, &name, "apple"));
    assert_eq!(roles(&gate, &name, "pear"), json!(["ops"]));
    couch.change_user(&name, &json!({ "roles": [] }));
    within(ONE_SECOND, "a new role", || roles(&gate, &name, "pear") == json!([]));
}

/// Logins that arrive while a user is being read share the reading; those that arrive after a
/// change must not share one that began before it.
#[test]
fn a_login_after_a_change_does_not_share_an_older_reading() {
    let couch = Couch::shared();
    let relay = Relay::start(couch.address);
    let gate = gate_that_follows(&relay.url, "");
    let (name, other) = (couch.user("apple", &[]), couch.user("apple", &[]));
    assert!(may_log_in(&gate, &other, "apple"));

    relay.hold(&name);
    thread::scope(|scope| {
        let before = scope.spawn(|| may_log_in(&gate, &name, "apple"));
        eventually("the reading of the user", || (relay.held() == 1).then_some(()));
        couch.change_user(&name, &json!({ "password": "pear" }));
        // The feed keeps its order: who hears of this change has heard of the one before.
        couch.change_user(&other, &json!({ "password": "pear" }));
        eventually("the later change", || (!may_log_in(&gate, &other, "apple")).then_some(()));

        let after = scope.spawn(|| may_log_in(&gate, &name, "apple"));
        let both = || gate.metric("couchgate_requests_in_flight") >= 2.0;
        eventually("both logins", || both().then_some(()));
        relay.release();
        assert!(before.join().unwrap(), "this one asked before the change");
        assert!(!after.join().unwrap());
    });
    assert!(!may_log_in(&gate, &name, "apple"));
    assert!(may_log_in(&gate, &name, "pear"));
}

#[test]
fn no_login_gets_by_with_a_password_that_changed_a_second_ago() {
    let couch = Couch::shared();
    let gate = gate_that_follows(&couch.url, "");
    let name = couch.user("password-0", &[]);
    let current = Mutex::new((0, Instant::now()));
    let late_attempts = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (generation, since) = *current.lock().unwrap();
                    let is_late = since.elapsed() > ONE_SECOND;
                    let previous = format!("password-{}", generation - 1);
                    let admitted = may_log_in(&gate, &name, &previous);
                    assert!(!(admitted && is_late), "{previous} after {:?}", since.elapsed());
                    late_attempts.fetch_add(is_late.into(), Ordering::Relaxed);
                    may_log_in(&gate, &name, &format!("password-{generation}"));
                }
            });
        }
        for generation in 1..=3 {
            let password = format!("password-{generation}");
            couch.change_user(&name, &json!({ "password": password }));
            *current.lock().unwrap() = (generation, Instant::now());
            within(ONE_SECOND, "a new password", || may_log_in(&gate, &name, &password));
            late_attempts.store(0, Ordering::Relaxed);
            let enough = || late_attempts.load(Ordering::Relaxed) >= 8;
            eventually("late attempts", || enough().then_some(()));
        }
    });
}

/// Lets the threads of a test end, also when it fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
