//! The session cookie: who makes it, who accepts it, when it is renewed.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::{
    Connection, Couch, Gate, Recorder, Reply, SECRET, basic,
    recorder::{Action, ok},
    sign,
};

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];

/// An upstream with the user jan, whose salt is `salt`, and couchgate before it.
fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, ini);
    (upstream, gate)
}

/// A cookie of jan's.
fn cookie(secret: &str, age: i64, algorithm: &str) -> String {
    format!("AuthSession={}", sign::session_cookie(secret, "salt", "jan", age, algorithm))
}

fn log_in(connection: &mut Connection, name: &str, headers: &[(&str, &str)]) -> Reply {
    let body = format!("name={name}&password=apple");
    let headers = [&FORM, headers].concat();
    connection.request("POST", "/_session", &headers, body.as_bytes()).expect(200)
}

/// `AuthSession=VALUE` of the only cookie that an answer sets.
#[track_caller]
fn set_cookie(reply: &Reply) -> String {
    let [cookie] = reply.all("set-cookie")[..] else { panic!("{reply:?}") };
    cookie.split(';').next().unwrap().to_owned()
}

#[track_caller]
fn name_at(connection: &mut Connection, cookie: &str) -> Value {
    let session = connection.request("GET", "/_session", &[("Cookie", cookie)], b"");
    session.expect(200).json()["userCtx"]["name"].clone()
}

/// Whether couchgate knows jan by a cookie; else nobody is asking.
#[track_caller]
fn knows_jan(gate: &Gate, cookie: &str) -> bool {
    let name = name_at(&mut gate.connect(), cookie);
    assert!(name == "jan" || name.is_null(), "{name}");
    name == "jan"
}

#[test]
fn a_session_begun_here_or_at_couchdb_holds_at_both() {
    let couch = Couch::shared();
    let secret = &couch.secret;
    let gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {secret}"));
    let user = couch.user("apple", &["dev"]);
    let mut ends = [gate.connect(), Connection::open(couch.address)];
    for made_at in 0..2 {
        let cookie = set_cookie(&log_in(&mut ends[made_at], &user, &[]));
        for end in &mut ends {
            assert_eq!(name_at(end, &cookie), json!(user), "made at {made_at}");
        }
    }
}

#[test]
fn a_cookie_is_renewed_after_a_tenth_of_its_time() {
    let (upstream, gate) = jan("[chttpd_auth]\ntimeout = 100\n");
    for (age, is_known, is_renewed) in [
        (-30, true, false),
        (0, true, false),
        (8, true, false),
        (15, true, true),
        (95, true, true),
        (101, false, false),
        (1_000_000_000, false, false),
    ] {
        let old = cookie(SECRET, age, "sha256");
        for target in ["/_session", "/db/doc"] {
            let reply = gate.get(target, &[("Cookie", &old)]).expect(200);
            if target == "/db/doc" {
                let name: &[&[u8]] = if is_known { &[b"jan"] } else { &[] };
                assert_eq!(upstream.only().all("x-auth-couchdb-username"), name, "{age}");
            }
            if is_renewed {
                let fresh = set_cookie(&reply);
                assert!(made(&fresh) >= made(&old) + age, "{age}");
                assert!(knows_jan(&gate, &fresh), "{age}");
            } else {
                assert!(reply.all("set-cookie").is_empty(), "{age}: {reply:?}");
            }
        }
    }
}

/// The seconds in a cookie.
fn made(cookie: &str) -> i64 {
    let value = URL_SAFE_NO_PAD.decode(cookie.strip_prefix("AuthSession=").unwrap()).unwrap();
    let hex = value.split(|byte| *byte == b':').nth(1).unwrap();
    i64::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap()
}

#[test]
fn upstreams_own_session_cookie_is_not_doubled() {
    let upstream = Recorder::scripted(|request| {
        let cookie = if request.target == b"/db/own" { "AuthSession=upstreams" } else { "other=1" };
        let mut answer = ok(b"{}");
        let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}; Path=/\r\n");
        answer.splice(.."HTTP/1.1 200 OK\r\n".len(), head.into_bytes());
        Action::Answer(answer)
    });
    upstream.user("jan", "apple", &[]);
    let gate = Gate::start(&upstream.url, "");
    let due = [("Cookie", &*cookie(SECRET, 300, "sha256"))];
    assert_eq!(set_cookie(&gate.get("/db/own", &due)), "AuthSession=upstreams");
    let reply = gate.get("/db/other", &due);
    let [others, ours] = reply.all("set-cookie")[..] else { panic!("{reply:?}") };
    assert_eq!(others, "other=1; Path=/");
    assert!(ours.starts_with("AuthSession=") && ours.contains("; Max-Age=600; "), "{ours}");
}

#[test]
fn logging_in_and_out_sets_one_cookie_whatever_came_in() {
    let (_upstream, gate) = jan("");
    let due = cookie(SECRET, 300, "sha256");
    let login = log_in(&mut gate.connect(), "jan", &[("Cookie", &due)]);
    assert!(made(&set_cookie(&login)) >= made(&due) + 300);
    let logout = gate.request("DELETE", "/_session", &[("Cookie", &due)], b"").expect(200);
    assert_eq!(set_cookie(&logout), "AuthSession=");
}

#[test]
fn a_replaced_secret_still_opens_and_no_longer_signs() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"new secret\n\n  old secret  \n").unwrap();
    let path = file.path().display();
    for secrets in ["secret = new secret, old secret".to_owned(), format!("secret_file = {path}")] {
        let (_upstream, gate) = jan(&format!("[chttpd_auth]\n{secrets}\n"));
        for (secret, is_known) in [
            ("new secret", true),
            ("old secret", true),
            ("new secret, old secret", false),
            ("", false),
        ] {
            let known = knows_jan(&gate, &cookie(secret, 0, "sha256"));
            assert_eq!(known, is_known, "{secret:?} with {secrets}");
        }
        let (_upstream, after) = jan("[chttpd_auth]\nsecret = new secret\n");
        let due = cookie("old secret", 300, "sha256");
        let renewed = set_cookie(&gate.get("/db", &[("Cookie", &due)]));
        let made = set_cookie(&log_in(&mut gate.connect(), "jan", &[]));
        assert!(!knows_jan(&after, &due));
        assert!(knows_jan(&after, &renewed) && knows_jan(&after, &made));
    }
}

#[test]
fn the_first_hash_algorithm_signs_and_any_verifies() {
    for (configured, accepted, refused) in [
        ("sha256, sha", &["sha256", "sha"][..], &["sha512"][..]),
        ("sha512", &["sha512"], &["sha256", "sha"]),
        ("sha, sha512", &["sha", "sha512"], &["sha256"]),
    ] {
        let (_upstream, gate) = jan(&format!("[chttpd_auth]\nhash_algorithms = {configured}\n"));
        for algorithm in accepted {
            assert!(knows_jan(&gate, &cookie(SECRET, 0, algorithm)), "{algorithm} of {configured}");
        }
        for algorithm in refused {
            assert!(
                !knows_jan(&gate, &cookie(SECRET, 0, algorithm)),
                "{algorithm} of {configured}"
            );
        }
        let made = set_cookie(&log_in(&mut gate.connect(), "jan", &[]));
        let first = accepted[0];
        let (_upstream, only_first) = jan(&format!("[chttpd_auth]\nhash_algorithms = {first}\n"));
        assert!(knows_jan(&only_first, &made), "{first}");
    }
}

#[test]
fn a_signature_may_contain_colons() {
    let (_upstream, gate) = jan("");
    let with_colon = (0..50).map(|age| cookie(SECRET, age, "sha256")).find(|cookie| {
        let value = URL_SAFE_NO_PAD.decode(cookie.strip_prefix("AuthSession=").unwrap()).unwrap();
        value.split(|byte| *byte == b':').count() > 3
    });
    assert!(knows_jan(&gate, &with_colon.unwrap()));
}

#[test]
fn a_cookie_that_proves_nothing_does_not_block_another_credential() {
    let (_upstream, gate) = jan("");
    let changed = |at: usize| {
        let mut value = URL_SAFE_NO_PAD.decode(&cookie(SECRET, 0, "sha256")[12..]).unwrap();
        let at = if at == usize::MAX { value.len() - 1 } else { at };
        value[at] ^= 1;
        format!("AuthSession={}", URL_SAFE_NO_PAD.encode(value))
    };
    let of = |name: &str, salt: &str| {
        format!("AuthSession={}", sign::session_cookie(SECRET, salt, name, 0, "sha256"))
    };
    let encoded = |text: &str| format!("AuthSession={}", URL_SAFE_NO_PAD.encode(text));
    let basic = basic("jan", "apple");
    for cookie in [
        "AuthSession=".to_owned(),
        "AuthSession=\"\"".to_owned(),
        cookie(SECRET, 601, "sha256"),
        cookie("another secret", 0, "sha256"),
        cookie(SECRET, 0, "sha512"),
        of("jan", "another salt"),
        of("nobody", "salt"),
        of("", "salt"),
        changed(0),
        changed(4),
        changed(usize::MAX),
        encoded("jan:66666666:"),
        encoded("jan::"),
        encoded("jan:not hex:mac"),
        encoded("jan:-1:mac"),
        encoded("jan:FFFFFFFFFFFFFFFFFFFF:mac"),
    ] {
        assert!(!knows_jan(&gate, &cookie), "{cookie}");
        let both = [("Cookie", &*cookie), ("Authorization", &*basic)];
        let session = gate.get("/_session", &both).expect(200).json();
        assert_eq!(session["info"]["authenticated"], "default", "{cookie}");
        assert_eq!(session["userCtx"]["name"], "jan", "{cookie}");
    }
}

#[test]
fn a_cookie_is_secure_where_the_client_came_by_tls() {
    let trusting = "[couchgate]\ntrusted_proxies = 127.0.0.0/8\n";
    for (ini, proto, is_secure) in [
        ("", None, false),
        ("", Some("https"), false),
        (trusting, None, false),
        (trusting, Some("http"), false),
        (trusting, Some("https"), true),
    ] {
        let (_upstream, gate) = jan(ini);
        let forwarded: Vec<_> =
            proto.map(|proto| ("X-Forwarded-Proto", proto)).into_iter().collect();
        let due = cookie(SECRET, 300, "sha256");
        let with_cookie = [&forwarded[..], &[("Cookie", &due)]].concat();
        for reply in [
            log_in(&mut gate.connect(), "jan", &forwarded),
            gate.request("DELETE", "/_session", &forwarded, b""),
            gate.get("/db/doc", &with_cookie),
        ] {
            let cookie = reply.header("set-cookie").unwrap();
            assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie} for {proto:?}");
        }
    }
}

#[test]
fn a_cookie_that_must_not_persist_has_no_end_of_its_own() {
    let (_upstream, gate) = jan("[chttpd_auth]\nallow_persistent_cookies = false\n");
    let reply = log_in(&mut gate.connect(), "jan", &[]);
    let cookie = reply.header("set-cookie").unwrap();
    let (_, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes, " Version=1; Path=/; HttpOnly");
    assert!(!knows_jan(&gate, &self::cookie(SECRET, 601, "sha256")), "it ends all the same");
}
