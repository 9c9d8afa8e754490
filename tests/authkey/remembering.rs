//! What documents say is read seldom, and forgotten soon.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    INVALID,
    own::Own,
    played::{NEEDED, Played, Question},
    support::{
        eventually,
        recorder::{Action, ok},
    },
};

#[test]
fn a_key_is_gone_soon_after_its_removal() {
    let own = Own::start("");
    let key = |roles: &[&str]| json!([{ "id": "k", "roles": roles }]);
    let open = || {
        own.keys("holder", &key(&["dev"]));
        own.becomes("k", &json!(["dev"]));
    };
    open();
    own.delete("holder");
    own.becomes("k", &json!(INVALID));
    open();
    own.keys("holder", &json!([{ "id": "j", "roles": ["dev"] }]));
    own.becomes("k", &json!(INVALID));
    open();
    own.write("holder", json!({ "auth_keys_": key(&["dev"]) }));
    own.becomes("k", &json!(INVALID));
    open();
    own.keys("holder", &key(&["others"]));
    own.becomes("k", &json!(["others"]));
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"], "expires": 1 }]));
    own.becomes("k", &json!(super::EXPIRED));
    open();
    // Moved to another document.
    own.delete("holder");
    own.keys("another", &key(&["moved"]));
    own.becomes("k", &json!(["moved"]));
}

#[test]
fn a_key_opens_soon_after_it_was_unknown() {
    let own = Own::start("");
    assert_eq!(own.says("k"), INVALID);
    own.keys("holder", &json!([{ "id": "k", "roles": ["dev"] }]));
    own.becomes("k", &json!(["dev"]));
}

fn questions(played: &Played) -> Vec<Question> {
    played.asked().into_iter().map(|(question, _)| question).collect()
}

#[test]
fn what_was_read_is_not_read_again_at_once() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let gate = played.gate("cache_ttl = 600\n");
    let mut client = gate.connect();
    for (key, status, expected) in [
        ("keys,k", 200, &NEEDED[..]),
        // The view is known to be there.
        ("keys,unknown", 401, &[Question::View]),
        ("keys,another", 401, &[Question::View]),
    ] {
        let mut send = || client.request("GET", "/db", &[("X-Auth-Key", key)], b"").expect(status);
        send();
        assert_eq!(questions(&played), expected, "{key}");
        (0..50).for_each(|_| drop(send()));
        assert_eq!(questions(&played), [], "{key}");
    }
}

#[test]
fn what_was_read_is_read_again_in_time() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let gate = played.gate("cache_ttl = 1\n");
    let send = || gate.get("/db", &[("X-Auth-Key", "keys,k")]).expect(200);
    send();
    assert_eq!(questions(&played), NEEDED);
    // Looked at anew, the design document too.
    let again = eventually("the key is read again", || {
        send();
        Some(questions(&played)).filter(|asked| !asked.is_empty())
    });
    let all = eventually("the design document is read again", || {
        send();
        let asked = [again.clone(), questions(&played)].concat();
        asked.contains(&Question::Design).then_some(asked)
    });
    assert!(all.contains(&Question::View) && all.contains(&Question::Document), "{all:?}");
}

#[test]
fn those_who_come_at_once_share_one_reading() {
    const CLIENTS: u32 = 8;
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let released = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&released);
    played.instead(move |_| {
        eventually("the test lets it go", || open.load(Ordering::SeqCst).then_some(()));
        None
    });
    let gate = played.gate("cache_ttl = 600\n");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| gate.get("/db", &[("X-Auth-Key", "keys,k")]).status))
            .collect();
        eventually("all of them wait", || {
            let waiting = gate.metric("couchgate_requests_in_flight");
            (waiting >= f64::from(CLIENTS)).then_some(())
        });
        released.store(true, Ordering::SeqCst);
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
    });
    assert_eq!(questions(&played), NEEDED);
    assert_eq!(played.upstream.take().len(), CLIENTS as usize);
}

/// Whoever asks while an old reading is still under way is not told what was true before he asked.
#[test]
fn a_reading_that_takes_long_is_not_believed_by_late_comers() {
    let played = Played::with(&json!([{ "id": "k", "roles": ["dev"] }]));
    let released = Arc::new(AtomicBool::new(false));
    let (open, first) = (Arc::clone(&released), AtomicBool::new(true));
    let old = json!({ "_id": "holder", "auth_keys": [{ "id": "k", "roles": ["dev"] }] });
    played.instead(move |question| {
        if question != Question::Document || !first.swap(false, Ordering::SeqCst) {
            return None;
        }
        eventually("the test lets it go", || open.load(Ordering::SeqCst).then_some(()));
        Some(Action::Answer(ok(old.to_string().as_bytes())))
    });
    let gate = played.gate("cache_ttl = 1\n");
    let ask = || gate.get("/db", &[("X-Auth-Key", "keys,k")]).status;
    let wait_for = |number: f64| {
        eventually("they wait", || {
            (gate.metric("couchgate_requests_in_flight") >= number).then_some(())
        });
    };
    std::thread::scope(|scope| {
        let early = scope.spawn(ask);
        eventually("the document is asked for", || {
            questions(&played).contains(&Question::Document).then_some(())
        });
        let asked = Instant::now();
        played.holds(Vec::new());
        eventually("the reading is old", || {
            (asked.elapsed() > Duration::from_millis(1100)).then_some(())
        });
        let late = scope.spawn(ask);
        wait_for(2.0);
        released.store(true, Ordering::SeqCst);
        assert_eq!((early.join().unwrap(), late.join().unwrap()), (200, 401));
    });
    assert_eq!(ask(), 401, "what took long is not remembered");
}
