//! Protocol parameters: each once, of a kind that is known, and readable.

use super::{
    PAIR, Refusal, SIGNATURE, assert_both_refused, assert_refused, jan,
    support::oauth::{FORM, Request, encode, respelt},
};

const VERSION: Refusal = (400, "invalid_oauth_version", "Invalid OAuth version.");
const METHOD: Refusal = (
    400,
    "bad_request",
    "oauth_signature_method: unknown signature method, expected HMAC-SHA1, HMAC-SHA256 or PLAINTEXT.",
);
const TWICE: Refusal = (400, "bad_request", "An OAuth parameter comes twice.");
const HEADER: Refusal = (400, "bad_request", "The OAuth Authorization header is malformed.");

#[test]
fn the_version_is_1_0_or_left_out() {
    let both = jan("");
    for version in ["", "1", "1.0a", "1.1", "2.0", "1.0 ", "01.0", "1,0"] {
        let signed = Request::get("/db").set("oauth_version", version);
        assert_both_refused(&both, &signed, VERSION, version);
    }
    let without = Request::get("/db").without("oauth_version");
    both.1.get("/db", &[("Authorization", &without.header())]).expect(200);
}

#[test]
fn only_signature_methods_that_are_known_are_tried() {
    let both = jan("[couch_httpd_oauth]\nallow_plaintext = true\n");
    for method in [
        "",
        "hmac-sha1",
        "HMAC-SHA1 ",
        "HMAC_SHA1",
        "HMAC-MD5",
        "HMAC-SHA512",
        "RSA-SHA1",
        "none",
        "plaintext",
    ] {
        let signed = Request::get("/db").set("oauth_signature_method", method);
        assert_both_refused(&both, &signed, METHOD, method);
    }
    let signed = Request::get("/db").without("oauth_signature_method");
    assert_both_refused(&both, &signed, METHOD, "none");
}

#[test]
fn a_protocol_parameter_stands_once() {
    let (upstream, gate) = jan("");
    let signed = Request::new("POST", "/db");
    for (name, value) in signed.pairs().into_iter().chain([("oauth_x".to_owned(), String::new())]) {
        let signed =
            if name == "oauth_x" { signed.clone().set("oauth_x", "") } else { signed.clone() };
        // The usual spelling, others, and another value.
        for again in [
            format!("{name}={}", encode(&value)),
            format!("{}={}", respelt(&name), respelt(&value)),
            format!("{}=", name.replace('_', "%5F")),
            format!("a=b;{name}=other&c"),
            name.clone(),
        ] {
            let what = format!("{name} and {again}");
            let header = signed.header();
            let own = ("Authorization", header.as_str());
            let reply = gate.request("POST", &format!("/db?{again}"), &[own], b"");
            assert_refused(&upstream, &reply, TWICE, &format!("{what}: header and query"));
            let reply = gate.request("POST", "/db", &[own, FORM], again.as_bytes());
            assert_refused(&upstream, &reply, TWICE, &format!("{what}: header and form"));
            let query = signed.in_query();
            let reply = gate.request("POST", &query, &[FORM], again.as_bytes());
            assert_refused(&upstream, &reply, TWICE, &format!("{what}: query and form"));
            let reply = gate.request("POST", &format!("{query}&{again}"), &[], b"");
            assert_refused(&upstream, &reply, TWICE, &format!("{what}: query"));
            let form = format!("{again}&{}", signed.in_form());
            let reply = gate.request("POST", "/db", &[FORM], form.as_bytes());
            assert_refused(&upstream, &reply, TWICE, &format!("{what}: form"));
        }
        for again in [name.clone(), respelt(&name), name.replace('u', "%75")] {
            for header in [
                format!("{}, {again}=\"{}\"", signed.header(), encode(&value)),
                format!("OAuth {again}=\"\", {}", &signed.header()["OAuth ".len()..]),
            ] {
                let reply = gate.request("POST", "/db", &[("Authorization", &header)], b"");
                assert_refused(&upstream, &reply, TWICE, &format!("{name} and {again}: header"));
            }
        }
    }
    // Others may come as often as they like.
    let signed = Request::get("/db?a=1&a=1&xoauth_token=2&xoauth_token=2&OAUTH_TOKEN");
    gate.get(&signed.target, &[("Authorization", &signed.header())]).expect(200);
    assert_eq!(upstream.only().target, signed.target.as_bytes());
}

#[test]
fn a_header_that_cannot_be_read_is_no_header_of_nobodys() {
    let (upstream, gate) = jan("");
    let right = Request::get("/db").header();
    for wrong in [
        "OAuth oauth_consumer_key",
        "OAuth oauth_consumer_key=",
        "OAuth oauth_consumer_key=key",
        "OAuth oauth_consumer_key='key'",
        "OAuth oauth_consumer_key=\"key",
        "OAuth =\"key\"",
        "OAuth \"oauth_consumer_key\"=\"key\"",
        "OAuth oauth_consumer_key =\"key\"",
        "OAuth oauth_consumer_key= \"key\"",
        "OAuth oauth_consumer_key=\"key\" oauth_token=\"token\"",
        "OAuth oauth_consumer_key=\"key\"; oauth_token=\"token\"",
        "OAuth oauth_consumer_key=\"key\"x",
        "OAuth realm=\"x",
        "OAuth realm=\"x\\\"",
        "OAuth amFuOmFwcGxl",
        &right.replace(", ", "; "),
        &right.replace(", ", "&"),
        &right.replace('"', ""),
        &format!("{right} x"),
        &right[..right.len() - 1],
    ] {
        let reply = gate.get("/db", &[("Authorization", wrong)]);
        assert_refused(&upstream, &reply, HEADER, wrong);
    }
    let spaced = right.replace(", ", "\t,, ").replace("OAuth ", "oAuTh\t realm=\"a \\\", b\",");
    gate.get("/db", &[("Authorization", &spaced)]).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
}

#[test]
fn of_several_faults_the_first_is_told() {
    let both = jan("");
    let mut signed = Request::get("/db")
        .set("oauth_nonce", "")
        .at(-1000)
        .of(["nobody", "wrong"], ["token", "wrong"])
        .set("oauth_signature_method", "MD5")
        .set("oauth_version", "2");
    signed.protocol.push(("oauth_version".to_owned(), "2".to_owned()));
    let reason = "The OAuth timestamp is not within 300 seconds of the server's time.";
    assert_both_refused(&both, &signed, TWICE, "everything");
    signed.protocol.pop();
    assert_both_refused(&both, &signed, VERSION, "all but a parameter that comes twice");
    signed = signed.set("oauth_version", "1.0");
    assert_both_refused(&both, &signed, METHOD, "all but the version");
    signed = signed.set("oauth_signature_method", "HMAC-SHA1");
    assert_both_refused(&both, &signed, PAIR, "all but the method");
    signed = signed.set("oauth_consumer_key", "key");
    assert_both_refused(&both, &signed, SIGNATURE, "all but the pair");
    signed = signed.of(["key", "consumer&secret"], ["token", "token+secret"]);
    assert_both_refused(&both, &signed, (401, "unauthorized", reason), "time and nonce");
}
