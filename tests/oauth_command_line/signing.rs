//! Requests that `couchgate oauth sign` signs.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::{CREDENTIALS, failure, gate, oauth, place, sign, success};
use crate::support::{Couch, Gate, Recorder};

const JAN: [&str; 4] = ["--consumer", "app", "--token", "t1"];

/// The one-liner of the documentation, as a shell runs it.
#[test]
fn curl_sends_what_was_signed() {
    let place = place("");
    super::add(&place, &["jan", "--file", "couchgate.ini"]);
    let (upstream, gate) = gate(&place);
    let program = Path::new(env!("CARGO_BIN_EXE_couchgate")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
    let curl = |script: &str| {
        let script = script.replace("ADDRESS", &gate.address.to_string());
        let mut command = Command::new("sh");
        command.current_dir(place.path()).env_clear().env("PATH", &path).args(["-c", &script]);
        success(&mut command)
    };
    let session = curl(
        "curl -sS -H \"$(couchgate oauth sign GET http://ADDRESS/_session --config couchgate.ini)\" \
         http://ADDRESS/_session",
    );
    assert!(session.contains("\"name\":\"jan\""), "{session}");
    assert!(session.contains("\"authenticated\":\"oauth\""), "{session}");

    let signed = |method: &str, url: &str, options: &str, data: &str| {
        let data = if data.is_empty() { String::new() } else { format!("--data '{data}'") };
        curl(&format!(
            "curl -sS -f {options} {data} -H \"$(couchgate oauth sign {method} '{url}' \
             --config couchgate.ini {data})\" '{url}'"
        ));
        let request = upstream.only();
        assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"], "{url}");
        assert_eq!(request.method, method, "{url}");
        String::from_utf8(request.target).unwrap()
    };
    let query = "startkey=%22a%20b%22&x=1&x=&y&%C3%A4=+~*'(),;:@%3B".replace('\'', "");
    let target = format!("/db/a%2Fb//c?{query}");
    let url = format!("http://ADDRESS{target}");
    assert_eq!(signed("GET", &url, "", ""), target);
    assert_eq!(signed("HEAD", &url, "-I", ""), target);
    assert_eq!(signed("DELETE", &url, "-X DELETE", ""), target);
    assert_eq!(signed("POST", &url, "", "a=1&b=%2B+c&a=&x=2"), target);
    assert_eq!(signed("GET", "http://ADDRESS/db?k=\u{f6}", "", ""), "/db?k=\u{f6}");
    assert_eq!(signed("GET", "http://ADDRESS", "", ""), "/");
    assert_eq!(signed("GET", "http://ADDRESS?a=b", "", ""), "/?a=b");
    fs::write(place.path().join("form"), "a=1&b=\n2\r\n").unwrap();
    assert_eq!(signed("PUT", "http://ADDRESS/db", "-X PUT", "@form"), "/db");
}

/// What is sent, with which `Host`, after which URL was signed.
#[test]
fn every_spelling_of_host_and_scheme_is_signed_as_clients_send_it() {
    let place = place(&format!("{CREDENTIALS}[couchgate]\ntrusted_proxies = 127.0.0.1\n"));
    let (upstream, gate) = gate(&place);
    for (url, host, scheme) in [
        ("http://couch.example/db", "couch.example", "http"),
        ("http://couch.example:80/db", "couch.example", "http"),
        ("http://couch.example/db", "couch.example:80", "http"),
        ("http://Couch.Example:5984/db", "couch.example:5984", "http"),
        ("HTTP://couch.example/db", "couch.example", "http"),
        ("https://couch.example/db", "couch.example", "https"),
        ("https://couch.example:443/db", "couch.example", "https"),
        ("https://couch.example:6984/db", "couch.example:6984", "https"),
        ("http://[::1]:5984/db", "[::1]:5984", "http"),
        ("http://127.0.0.1/db", "127.0.0.1", "http"),
    ] {
        for method in ["HMAC-SHA1", "HMAC-SHA256"] {
            let words = [&["GET", url, "--method", method], &JAN[..]].concat();
            let authorization = sign(&place, &words);
            assert!(authorization.contains(&format!("_method=\"{method}\"")), "{authorization}");
            let headers =
                [("Host", host), ("X-Forwarded-Proto", scheme), ("Authorization", &authorization)];
            gate.get("/db", &headers).expect(200);
            assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"], "{url}");
            // Once.
            gate.get("/db", &headers).expect(401);
        }
        let other = if scheme == "http" { "https" } else { "http" };
        let authorization = sign(&place, &[&["GET", url], &JAN[..]].concat());
        let headers =
            [("Host", host), ("X-Forwarded-Proto", other), ("Authorization", &authorization)];
        gate.get("/db", &headers).expect(401);
    }
    let words = [&["GET", "https://h/db", "--method", "PLAINTEXT"], &JAN[..]].concat();
    let authorization = sign(&place, &words);
    let headers =
        [("Host", "h"), ("X-Forwarded-Proto", "https"), ("Authorization", &authorization)];
    gate.get("/db", &headers).expect(200);
}

#[test]
fn a_form_is_signed_as_it_is_sent() {
    let place = place(CREDENTIALS);
    let (_upstream, gate) = gate(&place);
    let url = "http://couch.example:5984/db/_x?a=1";
    let post = |authorization: &str, body: &str| {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [("Authorization", authorization), form];
        gate.request("POST", "/db/_x?a=1", &headers, body.as_bytes()).status
    };
    for form in ["a=1", "b=%20+%2B;c&a=2", "=x&&y="] {
        let words = [&["POST", url, "--data", form], &JAN[..]].concat();
        assert_eq!(post(&sign(&place, &words), form), 200, "{form}");
        assert_eq!(post(&sign(&place, &words), &format!("{form}&z=1")), 401, "{form}");
        assert_eq!(post(&sign(&place, &[&["POST", url], &JAN[..]].concat()), form), 401, "{form}");
    }
    // As curl's `-d @-` reads standard input.
    let mut command = oauth(&place, &["sign", "POST", url, "--data", "@-"]);
    command.args(JAN).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a=1\r\n&b=2\n").unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let authorization = said.trim_end().strip_prefix("Authorization: ").unwrap();
    assert_eq!(post(authorization, "a=1&b=2"), 200);
}

#[test]
fn every_signature_is_new() {
    let place = place(CREDENTIALS);
    let words = [&["GET", "http://h/"], &JAN[..]].concat();
    let nonce = || {
        let authorization = sign(&place, &words);
        let nonce = authorization.split("oauth_nonce=\"").nth(1).unwrap();
        nonce.split('"').next().unwrap().to_owned()
    };
    let nonces = [nonce(), nonce(), nonce()];
    assert!(nonces.iter().all(|nonce| super::is_hex(nonce, 16)), "{nonces:?}");
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "{nonces:?}");
}

#[test]
fn only_what_is_the_only_one_is_chosen() {
    let both = place(CREDENTIALS);
    let choose = |words: &[&str]| failure(oauth(&both, &["sign", "GET", "http://h/"]).args(words));
    let consumers = "choose by --consumer: \"app\", \"other\"";
    let tokens = "choose by --token: \"t1\", \"t2\"";
    for (words, expected) in [
        (&[][..], &*format!("{consumers}; {tokens}")),
        (&["--token", "t1"], consumers),
        (&["--consumer", "app"], tokens),
        (&["--consumer", "t1"], "there is no consumer key \"t1\""),
        (&["--token", "t3"], "there is no token \"t3\""),
        (
            &["--consumer", "app", "--token", "t3"],
            "there is no consumer key \"app\" with a token \"t3\"",
        ),
    ] {
        assert_eq!(choose(words), expected);
    }
    let none = "there is no consumer key with a token: `couchgate oauth add` makes them";
    for ini in ["", "[oauth_consumer_secrets]\na = b\n[oauth_token_secrets]\nt = s\n"] {
        assert_eq!(failure(&mut oauth(&place(ini), &["sign", "GET", "http://h/"])), none);
    }
}

#[test]
fn what_no_client_would_send_so_is_not_signed() {
    let place = place(CREDENTIALS);
    for (method, url, data, expected) in [
        ("GET", "http://h/#x", "", "the URL must have no fragment: clients do not send it"),
        ("GET", "ftp://h/", "", "the URL must begin with http:// or https://"),
        ("GET", "/db", "", "the URL must begin with http:// or https://"),
        ("GET", "h:5984", "", "the URL must begin with http:// or https://"),
        ("GET", "http://:80/", "", "the URL must name a host"),
        ("GET", "http:///db", "", "this is not a URL, perhaps something must be encoded"),
        (
            "GET",
            "http://h/\u{e4}",
            "",
            "the URL's path must be percent-encoded: clients do it in ways of their own",
        ),
        ("GET", "http://", "", "this is not a URL, perhaps something must be encoded"),
        ("GET", "http://h/a b", "", "this is not a URL, perhaps something must be encoded"),
        (
            "GET",
            "http://jan:canary@h/",
            "",
            "the URL must name no user: the signature says who is asking",
        ),
        (
            "GET",
            "http://h/a/../b",
            "",
            "the URL's path must be without `.` and `..`: clients resolve them",
        ),
        (
            "GET",
            "http://h/%2E%2e",
            "",
            "the URL's path must be without `.` and `..`: clients resolve them",
        ),
        ("G T", "http://h/", "", "this is not a request's method"),
        ("", "http://h/", "", "this is not a request's method"),
        (
            "GET",
            "http://h/?x&oauth%5Ftoken=canary",
            "",
            "URL and form must hold no oauth_ parameters: they go into the header",
        ),
        (
            "POST",
            "http://h/",
            "a=b;oauth_x=canary",
            "URL and form must hold no oauth_ parameters: they go into the header",
        ),
        ("POST", "http://h/", "@none", "--data: cannot read none: No such file or directory"),
    ] {
        let words = ["sign", method, url, "--data", data];
        let said = failure(oauth(&place, &words).args(JAN));
        assert!(said.starts_with(expected), "{url}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_real_couchdb_knows_who_signed() {
    let couch = Couch::shared();
    let user = couch.user("apple", &["dev"]);
    let secret = &couch.secret;
    let place = place(&format!("[chttpd_auth]\nsecret = {secret}\n"));
    super::add(&place, &[&user, "--file", "couchgate.ini"]);
    let gate = Gate::start(&couch.url, &super::read(&place, "couchgate.ini"));
    assert_eq!(super::who(&gate, &place, &[]), *user);
    let db = couch.database();
    let target = format!("/{db}/doc");
    let url = format!("http://couch.example:5984{target}");
    let authorization = sign(&place, &["PUT", &url]);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    gate.request("PUT", &target, &headers, b"{}").expect(201);
}

#[test]
fn signing_from_the_configuration_asks_nobody() {
    let upstream = Recorder::start();
    let place = place(CREDENTIALS);
    let words = [&["sign", "GET", "http://h/", "--upstream", &upstream.url], &JAN[..]].concat();
    upstream.own(|request| panic!("asked {request:?}"));
    success(&mut oauth(&place, &words));
    assert_eq!(upstream.take().len(), 0);
}
