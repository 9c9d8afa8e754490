//! Front ends: what a trusted proxy says of its client is believed, what anybody else says is not.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{process::Command, thread, time::Duration};

use support::{Gate, Recorder, basic, eventually};

#[test]
fn only_a_trusted_proxy_says_where_a_client_is() {
    let upstream = Recorder::start();
    let trusting = "[couchgate]\ntrusted_proxies = 127.0.0.0/8, 10.0.0.0/8";
    for (ini, forwarded_for, expected) in [
        ("", "192.0.2.1", "127.0.0.1"),
        ("[couchgate]\ntrusted_proxies = 10.0.0.0/8", "192.0.2.1", "127.0.0.1"),
        (trusting, "192.0.2.1", "192.0.2.1"),
        (trusting, "2001:db8::1", "2001:db8::1"),
        // The last hop that is not trusted is the client; what it says itself is hearsay.
        (trusting, "198.51.100.7, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
        (trusting, "198.51.100.7, nonsense, 10.1.1.1", "10.1.1.1"),
        (trusting, "", "127.0.0.1"),
    ] {
        let gate = Gate::start(&upstream.url, ini);
        let headers = [("X-Forwarded-For", forwarded_for), ("X-Couch-Request-ID", "it")];
        gate.get("/db", &headers).expect(200);
        let line =
            eventually("a line", || gate.log().into_iter().find(|line| line["request_id"] == "it"));
        assert_eq!(line["client"], expected, "{forwarded_for} with {ini:?}");
        // CouchDB hears it from couchgate.
        assert_eq!(upstream.only().all("x-forwarded-for"), [expected.as_bytes()]);
    }
}

#[test]
fn only_a_trusted_proxy_makes_cookies_secure() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let trusting = "[couchgate]\ntrusted_proxies = 127.0.0.1";
    for (ini, proto, is_https) in [
        ("", Some("https"), false),
        (trusting, Some("https"), true),
        (trusting, Some("http"), false),
        (trusting, None, false),
    ] {
        let gate = Gate::start(&upstream.url, ini);
        let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend(proto.map(|proto| ("X-Forwarded-Proto", proto)));
        let reply = gate.request("POST", "/_session", &headers, b"name=jan&password=apple");
        let reply = reply.expect(200);
        let cookie = reply.header("set-cookie").unwrap();
        assert_eq!(cookie.contains("; Secure"), is_https, "{cookie} for {proto:?} with {ini:?}");
        gate.get("/db", &headers[1..]).expect(200);
        let told = &[&b"https"[..]][..usize::from(is_https)];
        assert_eq!(upstream.only().all("x-forwarded-proto"), *told);
    }
}

#[test]
fn a_name_without_a_token_counts_only_from_a_trusted_proxy() {
    let upstream = Recorder::start();
    let tokenless = "[chttpd_auth]\nproxy_use_secret = false\n[couchgate]\ntrusted_proxies =";
    for (proxies, is_believed) in [("127.0.0.1", true), ("10.0.0.0/8", false)] {
        let gate = Gate::start(&upstream.url, &format!("{tokenless} {proxies}"));
        let headers = [("X-Auth-CouchDB-UserName", "jan"), ("X-Auth-CouchDB-Roles", "dev")];
        gate.get("/db", &headers).expect(200);
        let name = &[&b"jan"[..]][..usize::from(is_believed)];
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), *name, "from {proxies}");
    }
}

#[test]
fn without_trusted_proxies_a_token_cannot_be_waived() {
    let output = Command::new(env!("CARGO_BIN_EXE_couchgate"))
        .env_clear()
        .args(["check", "--config", "/dev/stdin"])
        .stdin(ini("[chttpd]\nauthentication_handlers = proxy\n[chttpd_auth]\nsecret = s\nproxy_use_secret = false\n"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("proxy_use_secret = false needs [couchgate] trusted_proxies"), "{said}");
}

fn ini(text: &str) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn connections_beyond_the_limit_wait() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, "[couchgate]\nmax_connections = 2");
    let jan = basic("jan", "apple");
    let headers = [("Authorization", jan.as_str())];
    let mut first = gate.connect();
    let mut second = gate.connect();
    first.request("GET", "/db", &headers, b"").expect(200);
    second.request("GET", "/db", &headers, b"").expect(200);
    let mut third = gate.connect();
    let waiting = thread::spawn(move || third.request("GET", "/third", &[], b""));
    thread::sleep(Duration::from_millis(200));
    assert!(!waiting.is_finished(), "a third connection is served");
    assert_eq!(upstream.take().len(), 2);
    drop(first);
    waiting.join().unwrap().expect(200);
    assert_eq!(upstream.only().target, b"/third");
    second.request("GET", "/db", &headers, b"").expect(200);
}
