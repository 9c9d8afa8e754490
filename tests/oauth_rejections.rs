//! What is wrong with a request that says it is signed with OAuth 1.0 is told exactly, and nothing
//! of it reaches CouchDB.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "oauth_rejections/parameters.rs"]
mod parameters;
mod support;

use serde_json::json;
use support::{
    Gate, Recorder, Reply,
    oauth::{self, INI, Request, encode},
};

type Refusal = (u16, &'static str, &'static str);

const SIGNATURE: Refusal = (401, "unauthorized", "Invalid OAuth signature.");
const PAIR: Refusal = (400, "invalid_consumer_token_pair", "Invalid consumer and token pair.");

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

#[track_caller]
fn assert_refused(upstream: &Recorder, reply: &Reply, refusal: Refusal, what: &str) {
    let (status, error, reason) = refusal;
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert_eq!(reply.json(), json!({ "error": error, "reason": reason }), "{what}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(upstream.take().len(), 0, "{what}: it reached CouchDB");
}

/// Sends what was signed, in the header and in the query.
#[track_caller]
fn assert_both_refused(
    (upstream, gate): &(Recorder, Gate),
    signed: &Request,
    refusal: Refusal,
    what: &str,
) {
    let reply =
        gate.request(&signed.method, &signed.target, &[("Authorization", &signed.header())], b"");
    assert_refused(upstream, &reply, refusal, what);
    let reply = gate.request(&signed.method, &signed.in_query(), &[], b"");
    assert_refused(upstream, &reply, refusal, what);
}

#[test]
fn a_signature_is_that_of_the_request_it_comes_with() {
    const SENT: &str = "/db/a%2Fb?x=1&y=%20z&x=0";
    let (upstream, gate) = jan("");
    let signed = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::get(SENT);
        change(&mut request);
        request
    };
    let method = |method: &'static str| signed(&|request| method.clone_into(&mut request.method));
    let host = |host: &'static str| signed(&|request| host.clone_into(&mut request.host));
    let target = |target: &'static str| signed(&|request| target.clone_into(&mut request.target));
    for (what, request, holds) in [
        ("itself", Request::get(SENT), true),
        ("POST", method("POST"), false),
        ("HEAD", method("HEAD"), false),
        ("get", method("get"), false),
        ("https", signed(&|request| request.https = true), false),
        ("another host", host("couch.example.org:5984"), false),
        ("an address", host("127.0.0.1:5984"), false),
        ("the host in capitals", host("COUCH.example:5984"), true),
        ("another port", host("couch.example:5985"), false),
        ("no port", host("couch.example"), false),
        ("another path", target("/db/a%2Fc?x=1&y=%20z&x=0"), false),
        ("a decoded path", target("/db/a/b?x=1&y=%20z&x=0"), false),
        ("a path in other hex digits", target("/db/a%2fb?x=1&y=%20z&x=0"), false),
        ("a longer path", target("/db/a%2Fb/?x=1&y=%20z&x=0"), false),
        ("a shorter path", target("/db?x=1&y=%20z&x=0"), false),
        ("two slashes", target("//db/a%2Fb?x=1&y=%20z&x=0"), false),
        ("another value", target("/db/a%2Fb?x=2&y=%20z&x=0"), false),
        ("another name", target("/db/a%2Fb?X=1&y=%20z&x=0"), false),
        ("no query", target("/db/a%2Fb"), false),
        ("a pair less", target("/db/a%2Fb?x=1&y=%20z"), false),
        ("a pair more", target("/db/a%2Fb?x=1&y=%20z&x=0&x=1"), false),
        ("an empty pair more", target("/db/a%2Fb?x=1&y=%20z&x=0&="), false),
        ("values exchanged", target("/db/a%2Fb?x=%20z&y=1&x=0"), false),
        ("another order", target("/db/a%2Fb?x=0&y=+z&x=1"), true),
        ("a form", signed(&|request| "a=b".clone_into(&mut request.form)), false),
    ] {
        for algorithm in ["HMAC-SHA1", "HMAC-SHA256"] {
            let nonce = support::couch::unique("nonce");
            let request =
                request.clone().set("oauth_signature_method", algorithm).set("oauth_nonce", &nonce);
            let query = format!("{SENT}&{}", oauth::form(&request.pairs()));
            let in_header = gate.get(SENT, &[("Authorization", &request.header())]);
            if holds {
                in_header.expect(200);
                let again = request.set("oauth_nonce", &support::couch::unique("again"));
                gate.get(&format!("{SENT}&{}", oauth::form(&again.pairs())), &[]).expect(200);
                let users = upstream.take();
                assert!(users.iter().all(|r| r.all("x-auth-couchdb-username") == [b"jan"]));
                assert_eq!(users.len(), 2);
            } else {
                assert_refused(&upstream, &in_header, SIGNATURE, what);
                assert_refused(&upstream, &gate.get(&query, &[]), SIGNATURE, what);
            }
        }
    }
}

#[test]
fn only_a_trusted_proxy_says_how_a_request_was_made() {
    let forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "couch.example.org")];
    let inside = Request::get("/db");
    let mut outside = Request { https: true, ..Request::get("/db") };
    "couch.example.org".clone_into(&mut outside.host);
    for (ini, right, wrong) in [
        ("", &inside, &outside),
        ("[couchgate]\ntrusted_proxies = 127.0.0.0/8\n", &outside, &inside),
        ("[couchgate]\ntrusted_proxies = 192.0.2.0/24\n", &inside, &outside),
    ] {
        let (upstream, gate) = jan(ini);
        let send = |signed: &Request| {
            let authorization = signed.header();
            let own = [("Authorization", authorization.as_str())];
            gate.get("/db", &[&forwarded[..], &own].concat())
        };
        assert_refused(&upstream, &send(wrong), SIGNATURE, ini);
        send(right).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"], "{ini}");
    }
}

#[test]
fn a_signature_is_made_with_both_secrets() {
    let both = jan("");
    let signed =
        |secrets: [&str; 2]| Request::get("/db").of(["key", secrets[0]], ["token", secrets[1]]);
    for secrets in [
        ["consumer&secret", "token+secre"],
        ["consumer&secret", "token+secrets"],
        ["consumer&secret", "Token+secret"],
        ["consumer&secret", "token secret"],
        ["consumer&secret", "tokensecret2"],
        ["consumer&secret", ""],
        ["consumer secret 2", "token+secret"],
        ["consumer", "secret&token+secret"],
        ["token+secret", "consumer&secret"],
        ["", "token+secret"],
        ["", ""],
        ["nobody's consumer secret", "nobody's token secret"],
    ] {
        for algorithm in ["HMAC-SHA1", "HMAC-SHA256"] {
            let signed = signed(secrets).set("oauth_signature_method", algorithm);
            assert_both_refused(&both, &signed, SIGNATURE, &format!("{secrets:?}"));
        }
    }
    both.1.get("/db", &[("Authorization", &Request::get("/db").header())]).expect(200);
}

#[test]
fn a_signature_is_there_and_whole() {
    let (upstream, gate) = jan("");
    let signed = Request::get("/db");
    let right = signed.signature();
    let key = "consumer%26secret&token%2Bsecret";
    let sha256 = signed.clone().set("oauth_signature_method", "HMAC-SHA256").signature();
    for wrong in [
        "",
        "=",
        &right[..right.len() - 1],
        &right[1..],
        &format!("{right} "),
        &format!(" {right}"),
        &format!("{right}="),
        &format!("{right}\0"),
        &right.to_lowercase(),
        &encode(&right),
        &right.replace('=', ""),
        &format!("{right},{right}"),
        &"A".repeat(28).replace("AA=", "="),
        &sha256,
        key,
    ] {
        let with = |wrong: &str| {
            let wrong = [("oauth_signature".to_owned(), wrong.to_owned())];
            signed.protocol.iter().cloned().chain(wrong).collect()
        };
        let header = oauth::header(&with(wrong));
        let reply = gate.get("/db", &[("Authorization", &header)]);
        assert_refused(&upstream, &reply, SIGNATURE, wrong);
        let query = oauth::form(&with(wrong));
        assert_refused(&upstream, &gate.get(&format!("/db?{query}"), &[]), SIGNATURE, wrong);
    }
    let reply = gate.get("/db", &[("Authorization", &oauth::header(&signed.protocol))]);
    assert_refused(&upstream, &reply, SIGNATURE, "no signature");
    let reply = gate.get(&format!("/db?{}", oauth::form(&signed.protocol)), &[]);
    assert_refused(&upstream, &reply, SIGNATURE, "no signature");
    gate.get("/db", &[("Authorization", &signed.header())]).expect(200);
}

#[test]
fn unknown_consumers_and_tokens_are_told_alike() {
    let half = "[oauth_consumer_secrets]\nempty =\n\
        [oauth_token_secrets]\nunowned = s\nempty =\n[oauth_token_users]\nsecretless = jan\nempty = jan\n";
    let both = jan(half);
    let long = "k".repeat(8000);
    for name in [
        "", "nobody", "KEY", "Token", "key ", " token", "key\0", "\u{fc}", "unowned", "empty",
        &long,
    ] {
        let [consumer, token] = [["key", "consumer&secret"], ["token", "token+secret"]];
        for (signed, what) in [
            (Request::get("/db").of([name, "s"], token), "consumer"),
            (Request::get("/db").of(consumer, [name, "s"]), "token"),
            (Request::get("/db").of([name, ""], [name, ""]), "both"),
        ] {
            assert_both_refused(&both, &signed, PAIR, &format!("{what} {name:?}"));
        }
    }
    for signed in [
        Request::get("/db").without("oauth_token"),
        Request::get("/db").set("oauth_token", "secretless"),
        Request::get("/db").set("oauth_token", "key"),
        Request::get("/db").set("oauth_consumer_key", "token"),
        Request::get("/db").set("oauth_consumer_key", "jan"),
        // What an unknown pair's signature is computed with opens nothing.
        Request::get("/db")
            .of(["unknown", "nobody's consumer secret"], ["unknown", "nobody's token secret"]),
    ] {
        assert_both_refused(&both, &signed, PAIR, &format!("{signed:?}"));
    }
    // Bytes that are no text.
    let (upstream, gate) = both;
    for name in ["%FF", "%C3", "key%80"] {
        let query =
            oauth::form(&Request::get("/db").pairs()).replace("=key&", &format!("={name}&"));
        assert_refused(&upstream, &gate.get(&format!("/db?{query}"), &[]), PAIR, name);
    }
}
