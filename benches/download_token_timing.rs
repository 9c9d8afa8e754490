//! Whether the time of a refusal tells a document that has no download token from one that has
//! another: `cargo bench --bench download_token_timing [TRIES]`.
//!
//! Both are asked for in turn over one connection, with requests of the same length. The two-sided
//! statistic is the rank sum's (Mann and Whitney), which outliers do not bend: its z is beyond 2 in
//! one of twenty runs where there is no difference at all, beyond 4 in hardly any. What else the machine
//! does makes it larger, this way or that: a difference that is there comes again with the same sign.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{
    Connection, Gate, Recorder,
    recorder::{Action, ok},
};

const TRIES: usize = 10_000;

/// Not counted: caches fill, and processors find their speed.
const WARM_UP: usize = 1_000;

/// The token of the document that has one.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn main() {
    let tries = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let tries = tries.unwrap_or(TRIES);
    let upstream = Recorder::start();
    upstream.own(|request| {
        let fields = match &*request.target {
            b"/db/absent" => r#""other_field_":"#,
            b"/db/tokens" => r#""download_token":"#,
            _ => return None,
        };
        let document = format!(r#"{{"_id":"doc","_rev":"1-a",{fields}"{TOKEN}"}}"#);
        Some(Action::Answer(ok(document.as_bytes())))
    });
    let gate = Gate::start(&upstream.url, "[download_token]\ncache_ttl = 3600\n");
    let mut connection = gate.connect();
    println!("{tries} tries each; microseconds at the quartiles, and z");
    for (what, token) in [
        ("as long, first character wrong", format!("x{}", &TOKEN[1..])),
        ("as long, last character wrong", format!("{}x", &TOKEN[..31])),
        ("one character", "0".to_owned()),
        ("the first half", TOKEN[..16].to_owned()),
        ("twice as long", TOKEN.repeat(2)),
        ("a thousand characters", "0".repeat(1000)),
        ("none", String::new()),
    ] {
        compare(&mut connection, what, &token, tries);
    }
    assert!(upstream.take().is_empty(), "something was opened");
}

fn compare(connection: &mut Connection, what: &str, token: &str, tries: usize) {
    let requests = ["absent", "tokens"].map(|doc| {
        support::http::request("GET", &format!("/db/{doc}/a.bin?token={token}"), &[], b"")
    });
    let mut times = [Vec::with_capacity(tries), Vec::with_capacity(tries)];
    // Any odd number; which of the two is first is drawn by Marsaglia's xorshift, so that nothing
    // that happens regularly happens to one of them.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..WARM_UP + tries {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let order = if random & 1 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let time = time(connection, &requests[which]);
            if number >= WARM_UP {
                times[which].push(time);
            }
        }
    }
    let z = rank_sum(&times[0], &times[1]);
    let [absent, mismatch] = times.map(quartiles);
    println!("{what:32} no field {absent}   mismatch {mismatch}   z {z:+.2}");
}

fn time(connection: &mut Connection, request: &[u8]) -> Duration {
    let began = Instant::now();
    connection.write(request).unwrap();
    let reply = connection.reply(false).unwrap();
    let time = began.elapsed();
    assert_eq!(reply.status, 403);
    time
}

fn quartiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |quarter: usize| times[times.len() * quarter / 4].as_nanos() as f64 / 1000.0;
    format!("{:6.1} {:6.1} {:6.1}", at(1), at(2), at(3))
}

/// How far the sum of the first's ranks is from what chance lets expect, in standard deviations.
/// Equal times share their ranks.
fn rank_sum(first: &[Duration], second: &[Duration]) -> f64 {
    let tagged = first.iter().map(|time| (*time, true));
    let mut all: Vec<_> = tagged.chain(second.iter().map(|time| (*time, false))).collect();
    all.sort();
    let mut sum = 0.0;
    let mut below = 0;
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let rank = below as f64 + f64::midpoint(equal.len() as f64, 1.0);
        sum += rank * equal.iter().filter(|(_, of_first)| *of_first).count() as f64;
        below += equal.len();
    }
    let (n, m) = (first.len() as f64, second.len() as f64);
    let expected = n * (n + m + 1.0) / 2.0;
    (sum - expected) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}
