//! What a login costs tells nothing about who exists, and hashing stands in nobody's way.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use couchgate::{
    passwords::{Pbkdf2, Scheme},
    secret::HashAlgorithm,
};
use serde_json::{Value, json};
use support::{Connection, Gate, Recorder, Reply, basic, eventually};

const QUEUE: &str = "couchgate_hashing_queue";
const MISSES: &str = "couchgate_password_cache_misses_total";

/// These tests measure, and use up processors: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many iterations take about as long, on this machine and as this program was compiled.
fn iterations_for(time: Duration) -> u32 {
    const TRIED: u32 = 2_000;
    let scheme = Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha256, iterations: TRIED });
    let began = Instant::now();
    std::hint::black_box(scheme.hash(b"apple", b"salt"));
    let times = time.as_nanos() / began.elapsed().as_nanos().max(1);
    TRIED * (1 + u32::try_from(times).unwrap())
}

/// A user with the password `apple`.
fn pbkdf2_user(iterations: u32) -> Value {
    let scheme = Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha256, iterations });
    json!({
        "roles": [], "password_scheme": "pbkdf2", "pbkdf2_prf": "sha256", "salt": "salt",
        "iterations": iterations, "derived_key": scheme.hash(b"apple", b"salt"),
    })
}

/// A user nobody logs in as; his hash is never computed to its end.
fn slow_user(iterations: u32) -> Value {
    json!({
        "roles": [], "password_scheme": "pbkdf2", "pbkdf2_prf": "sha256", "salt": "salt",
        "iterations": iterations, "derived_key": "00".repeat(32),
    })
}

/// Logs in from a thread of its own; no answer where couchgate ends first.
fn log_in_meanwhile(address: SocketAddr, name: &str, password: &str) -> JoinHandle<Option<Reply>> {
    let authorization = basic(name, password);
    thread::spawn(move || {
        let mut connection = Connection::open(address);
        let head =
            format!("GET /_session HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n");
        connection.write(head.as_bytes()).ok()?;
        connection.reply(false).ok()
    })
}

#[test]
fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let _alone = alone();
    let iterations = iterations_for(Duration::from_millis(15));
    let upstream = Recorder::start();
    upstream
        .user_document("jan", pbkdf2_user(iterations))
        .user_document("without", json!({ "roles": [] }))
        .user_document("second-factor", {
            let mut user = pbkdf2_user(iterations);
            user["totp"] = json!({ "key": "GEZDGNBVGY3TQOJQ" });
            user
        });
    let gate = Gate::start(&upstream.url, "");
    let mut connection = gate.connect();
    let mut log_in = |name: &str, password: &str| {
        let authorization = basic(name, password);
        let began = Instant::now();
        let reply =
            connection.request("GET", "/_session", &[("Authorization", &authorization)], b"");
        let took = began.elapsed();
        assert_eq!((reply.status, reply.header("set-cookie")), (401, None), "{name}");
        (took, reply.body)
    };
    // From now on couchgate knows what its users cost.
    let (_, wrong) = log_in("jan", "wrong");

    let kinds = ["jan", "nobody", "without", "second-factor", " no name", "org.couchdb.user:jan"];
    let mut took = kinds.map(|_| Vec::new());
    for round in 0..15 {
        for (kind, took) in kinds.iter().zip(&mut took) {
            // Names and passwords that were never seen before: nothing is remembered.
            let name =
                if *kind == "nobody" { format!("nobody{round}") } else { (*kind).to_owned() };
            let (time, body) = log_in(&name, &format!("wrong{round}"));
            assert_eq!(body, wrong, "{name}");
            took.push(time);
        }
    }
    let medians = took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    });
    assert!(medians[0] > Duration::from_millis(4), "hashing must dominate: {medians:?}");
    for (kind, median) in kinds.iter().zip(&medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{kind}: {ratio} of {medians:?}");
    }
}

#[test]
fn hashing_does_not_stand_in_the_way_of_traffic() {
    let _alone = alone();
    let upstream = Recorder::start();
    upstream.user_document("slow", slow_user(iterations_for(Duration::from_secs(1))));
    // More hashing threads than there are threads that carry traffic.
    let ini = "[couchgate]\nhashing_threads = 8\nhashing_queue = 64\n";
    let gate = Gate::start(&upstream.url, ini);
    let logins: Vec<_> = (0..16)
        .map(|login| log_in_meanwhile(gate.address, "slow", &format!("wrong{login}")))
        .collect();
    eventually("all hashing threads are busy", || (gate.metric(QUEUE) >= 8.0).then_some(()));
    for _ in 0..50 {
        gate.get("/db", &[]).expect(200);
    }
    assert!(gate.metric(QUEUE) >= 8.0, "the hashing was over too soon to have been in the way");
    drop(gate);
    for login in logins {
        assert!(login.join().unwrap().is_none(), "no hash was finished");
    }
}

#[test]
fn identical_logins_share_a_computation_and_a_full_queue_refuses() {
    let _alone = alone();
    let upstream = Recorder::start();
    upstream
        .user_document("slow", slow_user(iterations_for(Duration::from_millis(1_500))))
        .user_document("jan", pbkdf2_user(1_000))
        .user_document("pomme", pbkdf2_user(1_000));
    let ini = "[couchgate]\nhashing_threads = 1\nhashing_queue = 2\n";
    let gate = Gate::start(&upstream.url, ini);
    let busy = log_in_meanwhile(gate.address, "slow", "wrong");
    eventually("the only hashing thread is busy", || {
        (gate.metric(MISSES) >= 1.0 && gate.metric(QUEUE) == 0.0).then_some(())
    });

    let same: Vec<_> = (0..6).map(|_| log_in_meanwhile(gate.address, "jan", "apple")).collect();
    eventually("all six are in flight", || (gate.metric(MISSES) >= 7.0).then_some(()));
    eventually("they wait as one", || (gate.metric(QUEUE) >= 1.0).then_some(()));
    let other = log_in_meanwhile(gate.address, "pomme", "apple");
    eventually("the queue is full", || (gate.metric(QUEUE) >= 2.0).then_some(()));

    for (name, password) in [("jan", "wrong"), ("pomme", "pear"), ("nobody", "apple")] {
        let reply = gate.get("/db", &[("Authorization", &basic(name, password))]).expect(503);
        assert_eq!(reply.json()["error"], "service_unavailable");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert_eq!(upstream.take().len(), 0, "whoever could not be checked is not anonymous");

    assert_eq!(busy.join().unwrap().unwrap().status, 401);
    for login in same.into_iter().chain([other]) {
        assert_eq!(login.join().unwrap().unwrap().status, 200);
    }
}
