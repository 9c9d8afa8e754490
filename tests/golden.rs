//! What a real CouchDB 3.5.0 answered, asked again through couchgate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "golden/compare.rs"]
mod compare;
#[path = "golden/replay.rs"]
mod replay;
mod support;

use std::collections::BTreeMap;

use compare::compare;
use replay::{ask, ini, set_up};
use serde_json::{Value, json};
use support::{Couch, Gate};

/// What couchgate does not do yet, and why some of it comes out right all the same. A case that
/// comes out right without such a reason has to leave this list.
const NOT_YET: &[(&str, Option<&str>)] = &[
    ("jwt: valid", None),
    ("jwt: no roles", None),
    ("jwt: user not in _users", None),
    ("jwt: expired", None),
    ("jwt: no exp", None),
    ("jwt: bad signature", None),
    ("jwt: alg none", None),
    ("jwt: not a token", None),
    ("totp: login with the current token", None),
    ("lockout: failure 1", Some("the lockout begins later")),
    ("lockout: failure 2", Some("the lockout begins later")),
    ("lockout: failure 3", Some("the lockout begins later")),
    ("lockout: failure 4", Some("the lockout begins later")),
    ("lockout: failure 5", Some("the lockout begins later")),
    ("lockout: failure 6", None),
    ("lockout: right password while locked out", None),
    ("cors: preflight", None),
    ("cors: preflight, other origin", Some("CouchDB answers it, without any CORS policy")),
];

/// The case, what couchgate answers instead, and the reason.
type Departure = (&'static str, fn() -> Value, &'static str);

/// What couchgate answers otherwise on purpose.
const DEPARTURES: &[Departure] = &[
    (
        "basic: lower-case scheme",
        || {
            json!({ "status": 200, "body": {
                "ok": true,
                "userCtx": { "name": "jan", "roles": ["dev"] },
                "info": { "authentication_handlers": [], "authenticated": "default" },
            } })
        },
        "the scheme's name is case-insensitive (RFC 7617 section 2)",
    ),
    (
        "conflicted user document: basic",
        || {
            json!({ "status": 401, "body": {
                "error": "unauthorized",
                "reason": "User document conflicts must be resolved before the document is used \
                           for authentication purposes.",
            } })
        },
        "CouchDB 3.5.0 refuses a document in conflict with these words, whatever was recorded here",
    ),
];

/// Answered by CouchDB itself: the headers are its own.
const UPSTREAMS: &[&str] = &[
    "basic: member reads",
    "anonymous: document in a database with members",
    "require_valid_user: basic",
    "require_valid_user_except_for_up: /_up",
    "cors: preflight, other origin",
];

struct Golden {
    secret: String,
    cases: Vec<Value>,
}

fn golden() -> Golden {
    let file: Value = serde_json::from_str(include_str!("golden/couchdb-3.5.0.json")).unwrap();
    Golden {
        secret: file["secret"].as_str().unwrap().to_owned(),
        cases: file["cases"].as_array().unwrap().clone(),
    }
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

#[test]
fn couchgate_answers_as_couchdb_did() {
    let golden = golden();
    let couch = Couch::shared();
    set_up(couch);
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for case in &golden.cases {
        groups.entry(case["config"].to_string()).or_default().push(case);
    }
    let mut faults = Vec::new();
    for cases in groups.values() {
        let config = &cases[0]["config"];
        let gate = Gate::start(&couch.url, &ini(config, couch, &golden.secret));
        for case in cases {
            let answer = ask(&gate, &case["request"], couch, &golden.secret);
            let departure = DEPARTURES.iter().find(|(listed, _, _)| *listed == name(case));
            let compared = match departure {
                Some((_, expected, _)) => {
                    // A departure that is none any more is not worth a line.
                    assert!(compare(&answer, case).is_err(), "{} is as recorded", name(case));
                    let mut changed = (*case).clone();
                    for (key, value) in expected().as_object().unwrap() {
                        changed["response"][key] = value.clone();
                    }
                    compare(&answer, &changed)
                }
                None => compare(&answer, case),
            };
            let not_yet = NOT_YET.iter().find(|(listed, _)| *listed == name(case));
            match (compared, not_yet) {
                (Err(fault), None) => faults.push(format!("{}: {fault}", name(case))),
                (Ok(()), Some((listed, None))) => {
                    faults.push(format!("{listed} works: switch it on"));
                }
                (Ok(()), _) | (Err(_), Some(_)) => {}
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        golden.cases.len(),
        faults.join("\n")
    );
}

/// The vector of RFC 6238, appendix B.
#[test]
fn the_second_factor_is_the_one_couchdb_asks_for() {
    assert_eq!(support::sign::totp("12345678901234567890", 59), "287082");
}

#[test]
fn every_listed_case_was_recorded_once() {
    let golden = golden();
    let departures = DEPARTURES.iter().map(|(listed, _, _)| *listed);
    let not_yet = NOT_YET.iter().map(|(listed, _)| *listed);
    let mut listed: Vec<&str> = departures.chain(not_yet).collect();
    for listed in listed.iter().chain(UPSTREAMS) {
        let count = golden.cases.iter().filter(|case| name(case) == *listed).count();
        assert_eq!(count, 1, "{listed:?}");
    }
    listed.sort_unstable();
    let count = listed.len();
    listed.dedup();
    assert_eq!(listed.len(), count, "listed twice");
}
