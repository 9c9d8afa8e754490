//! PLAINTEXT, which is no signature but the secrets themselves: for TLS only, where nobody else
//! reads them; and what it costs to be unknown.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read, Write};

use serde_json::json;
use support::{
    Authority, Gate, Recorder, Reply,
    http::request,
    oauth::{FORM, INI, Request, now},
};

const ALLOWED: &str = "[couch_httpd_oauth]\nallow_plaintext = true\n";

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

/// Without a timestamp and a nonce, which PLAINTEXT may leave out (RFC 5849 section 3.1).
fn plain() -> Request {
    let plain = Request::get("/db").set("oauth_signature_method", "PLAINTEXT");
    plain.without("oauth_timestamp").without("oauth_nonce")
}

fn send(gate: &Gate, signed: &Request, headers: &[(&str, &str)]) -> Reply {
    let authorization = signed.header();
    gate.get("/db", &[headers, &[("Authorization", authorization.as_str())]].concat())
}

#[test]
fn plaintext_is_for_tls() {
    let trusting = "[couchgate]\ntrusted_proxies = 127.0.0.0/8\n";
    let https = &[("X-Forwarded-Proto", "https")][..];
    for (ini, headers, passes) in [
        ("", &[][..], false),
        ("", https, false),
        (trusting, &[], false),
        (trusting, &[("X-Forwarded-Proto", "http")], false),
        (trusting, https, true),
        (ALLOWED, &[], true),
        ("[couch_httpd_oauth]\nallow_plaintext = false\n", &[], false),
    ] {
        let (upstream, gate) = jan(ini);
        let mut guessed = plain();
        "guessed".clone_into(&mut guessed.token_secret);
        for (signed, status) in [(plain(), 200), (guessed, 401)] {
            let reply = send(&gate, &signed, headers);
            if passes {
                assert_eq!(reply.status, status, "{ini} {headers:?}: {reply:?}");
            } else {
                // Whether the secrets are right is not said.
                let reason = "PLAINTEXT signatures are accepted over TLS only.";
                let expected = json!({ "error": "bad_request", "reason": reason });
                assert_eq!(reply.expect(400).json(), expected, "{ini} {headers:?}");
            }
        }
        assert_eq!(upstream.take().len(), usize::from(passes), "{ini} {headers:?}");
    }
}

#[test]
fn plaintext_passes_over_couchgates_own_tls() {
    let authority = Authority::new();
    let (upstream, gate) = jan(&authority.ssl());
    for (signed, status) in [(plain(), "200"), (plain().set("oauth_token", "token2"), "401")] {
        let authorization = signed.header();
        let headers = [("Authorization", authorization.as_str()), ("Connection", "close")];
        let mut stream = authority.connect(gate.tls.unwrap(), &rustls::version::TLS13);
        stream.write_all(&request("GET", "/db", &headers, b"")).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
    send(&gate, &plain(), &[]).expect(400);
}

#[test]
fn plaintext_is_both_secrets_encoded() {
    let (upstream, gate) = jan(ALLOWED);
    for (signature, passes) in [
        ("consumer%26secret&token%2Bsecret", true),
        ("consumer&secret&token+secret", false),
        ("consumer%2526secret%26token%252Bsecret", false),
        ("consumer%26secret&", false),
        ("&token%2Bsecret", false),
        ("&", false),
        ("", false),
        ("consumer%26secret&token%2Bsecret&", false),
        ("CONSUMER%26secret&token%2Bsecret", false),
        ("consumer%26secret&token%2bsecret", false),
        ("nobody%27s%20consumer%20secret&nobody%27s%20token%20secret", false),
    ] {
        let mut pairs = plain().protocol;
        pairs.push(("oauth_signature".to_owned(), signature.to_owned()));
        let header = support::oauth::header(&pairs);
        let reply = gate.get("/db", &[("Authorization", &header)]);
        assert_eq!(reply.status, if passes { 200 } else { 401 }, "{signature}: {reply:?}");
        assert_eq!(upstream.take().len(), usize::from(passes), "{signature}");
    }
}

/// It signs neither, and so may be repeated; but what is said is checked.
#[test]
fn plaintext_leaves_out_timestamp_and_nonce_together() {
    let (upstream, gate) = jan(ALLOWED);
    for _ in 0..2 {
        send(&gate, &plain(), &[]).expect(200);
    }
    let both = plain().set("oauth_timestamp", &now().to_string()).set("oauth_nonce", "once");
    send(&gate, &both, &[]).expect(200);
    assert_eq!(upstream.take().len(), 3);
    let (nonce, timestamp) = ("The OAuth nonce ", "The OAuth timestamp ");
    for (signed, reason) in [
        (both.clone(), nonce),
        (both.clone().without("oauth_nonce"), nonce),
        (both.clone().set("oauth_nonce", ""), nonce),
        (both.clone().without("oauth_timestamp"), timestamp),
        (both.clone().set("oauth_timestamp", ""), timestamp),
        (both.at(-301), timestamp),
    ] {
        let reply = send(&gate, &signed, &[]).expect(401);
        let said = reply.json()["reason"].as_str().unwrap().to_owned();
        assert!(said.starts_with(reason), "{signed:?}: {said}");
    }
    assert_eq!(upstream.take().len(), 0);
}

/// A form of many parameters takes long to sign, and so would tell. Measured in the time that
/// couchgate computes, which does not depend on what else the machine does.
#[test]
fn an_unknown_pair_costs_what_a_wrong_signature_costs() {
    let (upstream, gate) = jan("");
    let form = "\u{fc}&".repeat(20_000);
    let mut connection = gate.connect();
    let mut computed = |consumer: &str, token: &str, status| {
        let before = gate.processor_ticks();
        for _ in 0..20 {
            let signed = Request::new("POST", "/db").of([consumer, "x"], [token, "x"]).header();
            let headers = [FORM, ("Authorization", signed.as_str())];
            connection.request("POST", "/db", &headers, form.as_bytes()).expect(status);
        }
        gate.processor_ticks() - before
    };
    let mut ticks = [0; 3];
    // Until there is enough to compare.
    for _ in 0..50 {
        ticks[0] += computed("key", "token", 401);
        ticks[1] += computed("unknown", "token", 400);
        ticks[2] += computed("key", "unknown", 400);
        if ticks[0] >= 40 {
            break;
        }
    }
    assert_eq!(upstream.take().len(), 0);
    let [wrong, consumer, token] = ticks;
    assert!(wrong >= 40, "a form of many parameters takes no time: {ticks:?}");
    assert!(consumer * 4 > wrong * 3, "for an unknown consumer less is computed: {ticks:?}");
    assert!(token * 4 > wrong * 3, "for an unknown token less is computed: {ticks:?}");
}
