//! Links that no longer open: they have expired, or their key is gone.

use super::{APP, OLD, REFUSAL, attach, ini, ini_for, link, now, place, printed, target, token};
use crate::support::{Couch, Gate, Recorder, eventually};

#[test]
fn a_link_opens_until_it_expires_and_no_second_longer() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, &ini(""));
    let expires = now() + 2;
    let target = format!("/db/doc/a?token={}", token(APP, ["db", "doc", "a"], expires));
    let mut opened = 0;
    eventually("the link has expired", || {
        let before = now();
        let reply = gate.get(&target, &[]);
        match reply.status {
            200 => assert!(before < expires, "{before} {expires}"),
            403 => assert!(now() >= expires, "{expires}"),
            _ => panic!("{reply:?}"),
        }
        opened += usize::from(reply.status == 200);
        (reply.status == 403).then_some(())
    });
    assert_eq!(upstream.take().len(), opened);
    assert_eq!(String::from_utf8(gate.get(&target, &[]).body).unwrap(), REFUSAL);
}

#[test]
fn a_link_lasts_as_long_as_was_said() {
    let place = place(&ini(""));
    for (said, seconds) in [
        ("1s", 1),
        ("90s", 90),
        ("15m", 15 * 60),
        ("1h", 3600),
        ("1h30m", 5400),
        ("7days", 7 * 86_400),
        ("2500ms", 2),
    ] {
        let before = now();
        let url = printed(&mut link(&place, &format!("--expires {said}"), &["db", "doc", "a"]));
        let until = url.split('.').rev().nth(1).unwrap().parse::<u64>().unwrap();
        assert!((before + seconds..=now() + seconds).contains(&until), "{said}: {url}");
    }
}

#[test]
fn a_printed_link_expires() {
    let couch = Couch::shared();
    let db = couch.database();
    attach(couch, &db, ["doc", "a"], b"a");
    let gate = Gate::start(&couch.url, &ini_for(couch));
    let base = format!("http://{}", gate.address);
    let options = format!("--expires 1s --base {base}");
    let url = printed(&mut link(&place(&ini_for(couch)), &options, &[&db, "doc", "a"]));
    let target = target(&url, &base);
    eventually("the link has expired", || (gate.get(target, &[]).status == 403).then_some(()));
}

#[test]
fn without_its_key_a_link_is_revoked() {
    let upstream = Recorder::start();
    let target = format!("/db/doc/a?token={}", token(OLD, ["db", "doc", "a"], now() + 600));
    let secret = OLD.split_once(':').unwrap().1;
    for (keys, expected) in [
        (format!("{APP}, {OLD}"), 200),
        (format!("{OLD}, {APP}"), 200),
        (OLD.to_owned(), 200),
        (APP.to_owned(), 403),
        (format!("app:{secret}"), 403),
        (format!("old-1:{secret}0"), 403),
        (format!("old:{secret}"), 403),
        (format!("OLD-1:{secret}"), 403),
        (",".to_owned(), 403),
    ] {
        let gate = Gate::start(&upstream.url, &format!("[download_token]\nsigning_keys = {keys}"));
        let reply = gate.get(&target, &[]);
        assert_eq!(reply.status, expected, "{keys}: {reply:?}");
        assert_eq!(upstream.take().len(), usize::from(expected == 200), "{keys}");
    }
}
