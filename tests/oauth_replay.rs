//! A request signed with OAuth 1.0 is carried out once, and only near the time at which it was
//! signed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{sync::Barrier, thread};

use serde_json::json;
use support::{
    Connection, Gate, Recorder, Reply,
    http::request,
    oauth::{self, FORM, INI, Request, encode, now, respelt},
    recorder::{Action, answer},
};

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]).user("pomme", "pear", &[]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

#[track_caller]
fn assert_unauthorized(reply: &Reply, reason: &str, what: &str) {
    assert_eq!(reply.status, 401, "{what}: {reply:?}");
    let expected = json!({ "error": "unauthorized", "reason": reason });
    assert_eq!(reply.json(), expected, "{what}");
    assert!(reply.header("www-authenticate").is_none(), "{what}: {reply:?}");
}

#[track_caller]
fn assert_replayed(reply: &Reply, what: &str) {
    assert_unauthorized(reply, "The OAuth nonce is missing or was used before.", what);
}

fn send(connection: &mut Connection, authorization: &str) -> Reply {
    connection.request("GET", "/db", &[("Authorization", authorization)], b"")
}

#[test]
fn a_signed_request_is_carried_out_once() {
    let (upstream, gate) = jan("");
    for method in ["HMAC-SHA1", "HMAC-SHA256"] {
        let signed = Request::get("/db").set("oauth_signature_method", method).header();
        let mut connection = gate.connect();
        send(&mut connection, &signed).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
        assert_replayed(&send(&mut connection, &signed), "on the same connection");
        assert_replayed(&send(&mut gate.connect(), &signed), "on another connection");
        // The connection is none the worse.
        send(&mut connection, &Request::get("/db").header()).expect(200);
        upstream.only();
    }
    let post = Request::post("/db", "a=b").in_form();
    gate.request("POST", "/db", &[FORM], post.as_bytes()).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
    assert_replayed(&gate.request("POST", "/db", &[FORM], post.as_bytes()), "in a form");
    // couchgate's own answers are no exception.
    let session = Request::get("/_session").in_query();
    assert_eq!(gate.get(&session, &[]).expect(200).json()["info"]["authenticated"], "oauth");
    assert_replayed(&gate.get(&session, &[]), "asking who is asking");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn of_fifty_at_once_exactly_one_passes() {
    const COPIES: usize = 50;
    let (upstream, gate) = jan("");
    for _ in 0..3 {
        let signed = Request::get("/db").header();
        let bytes = request("GET", "/db", &[("Authorization", &signed)], b"");
        let barrier = Barrier::new(COPIES);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let senders: Vec<_> = (0..COPIES)
                .map(|_| {
                    scope.spawn(|| {
                        let mut connection = gate.connect();
                        barrier.wait();
                        connection.write(&bytes).unwrap();
                        connection.reply(false).unwrap().status
                    })
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        let count = |status| statuses.iter().filter(|&&one| one == status).count();
        assert_eq!((count(200), count(401)), (1, COPIES - 1), "{statuses:?}");
        assert_eq!(upstream.take().len(), 1);
    }
}

#[test]
fn a_nonce_is_the_same_however_and_wherever_it_is_spelt() {
    let (upstream, gate) = jan("");
    for row in 0..9 {
        let nonce = format!("a nonce-\u{fc}+~{row}");
        let usual = encode(&nonce);
        // Each spelling decodes to the nonce, so the signature holds for all of them.
        let in_header = [usual.clone(), respelt(&nonce), usual.replace('~', "%7E")];
        let in_query = [usual.clone(), respelt(&nonce), usual.replace("%20", "+").to_lowercase()];
        let signed = Request::new("POST", "/db").set("oauth_nonce", &nonce);
        let header = |spelling: &String| {
            let header = oauth::header(&signed.pairs()).replace(&usual, spelling);
            gate.request("POST", "/db", &[("Authorization", &header)], b"")
        };
        let query = |spelling: &String| {
            let query = oauth::form(&signed.pairs()).replace(&usual, spelling);
            gate.request("POST", &format!("/db?{query}"), &[], b"")
        };
        let form = |spelling: &String| {
            let form = oauth::form(&signed.pairs()).replace(&usual, spelling);
            gate.request("POST", "/db", &[FORM], form.as_bytes())
        };
        let reply = match row {
            0..3 => header(&in_header[row]),
            3..6 => query(&in_query[row - 3]),
            _ => form(&in_query[row - 6]),
        };
        assert_eq!(reply.status, 200, "{row}: {reply:?}");
        upstream.only();
        for again in &in_header {
            assert_replayed(&header(again), again);
        }
        for again in &in_query {
            assert_replayed(&query(again), again);
        }
        for again in &in_query {
            assert_replayed(&form(again), again);
        }
        assert_eq!(upstream.take().len(), 0);
    }
}

#[test]
fn a_nonce_belongs_to_its_consumer_token_and_timestamp() {
    let (upstream, gate) = jan("");
    let signed = Request::get("/db");
    let nonce = |request: Request| {
        let (_, nonce) = signed.protocol.iter().find(|(name, _)| name == "oauth_nonce").unwrap();
        request.set("oauth_nonce", nonce)
    };
    let requests = [
        (signed.clone(), "jan"),
        (signed.clone().of(["key2", "consumer secret 2"], ["token", "token+secret"]), "jan"),
        (signed.clone().of(["key", "consumer&secret"], ["token2", "tokensecret2"]), "pomme"),
        (nonce(Request::get("/db").at(-7)), "jan"),
        (nonce(Request::get("/db").at(7)), "jan"),
    ];
    for (request, user) in &requests {
        gate.get("/db", &[("Authorization", &request.header())]).expect(200);
        assert_eq!(upstream.only().all("x-auth-couchdb-username"), [user.as_bytes()]);
    }
    for (request, _) in &requests {
        let reply = gate.get("/db", &[("Authorization", &request.header())]);
        assert_replayed(&reply, &format!("{request:?}"));
    }
    // Another request with a nonce that was used is none the better for being another.
    let mut other = signed.clone();
    "/other".clone_into(&mut other.target);
    assert_replayed(&gate.get("/other", &[("Authorization", &other.header())]), "another target");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn a_timestamp_is_within_the_window() {
    for (ini, window) in [
        ("", 300),
        ("[couch_httpd_oauth]\ntimestamp_window = 20\n", 20),
        ("[couch_httpd_oauth]\ntimestamp_window = 3600\n", 3600),
    ] {
        let (upstream, gate) = jan(ini);
        let reason =
            format!("The OAuth timestamp is not within {window} seconds of the server's time.");
        // The test's clock may be a second behind the server's, never before it.
        for offset in [-(window - 3), -1, 0, 1, window] {
            let signed = Request::get("/db").at(offset).header();
            gate.get("/db", &[("Authorization", &signed)]).expect(200);
            upstream.only();
            assert_replayed(&gate.get("/db", &[("Authorization", &signed)]), &offset.to_string());
        }
        for offset in [-(window + 1), window + 3, -(2 * window + 1), 2 * window + 1, 1 << 40] {
            for method in ["HMAC-SHA1", "HMAC-SHA256"] {
                let signed = Request::get("/db").at(offset).set("oauth_signature_method", method);
                let reply = gate.get("/db", &[("Authorization", &signed.header())]);
                assert_unauthorized(&reply, &reason, &offset.to_string());
            }
        }
        assert_eq!(upstream.take().len(), 0);
    }
}

#[test]
fn a_timestamp_is_a_number_of_seconds() {
    let (upstream, gate) = jan("");
    let reason = "The OAuth timestamp is not within 300 seconds of the server's time.";
    let now = now();
    for wrong in [
        String::new(),
        "0".to_owned(),
        "-1".to_owned(),
        format!("-{now}"),
        format!("+{now}"),
        format!(" {now}"),
        format!("{now} "),
        format!("{now}.0"),
        format!("{now}s"),
        format!("{now}\n"),
        format!("{now},{now}"),
        format!("{now}000"),
        format!("0x{now:x}"),
        "1e9".to_owned(),
        "now".to_owned(),
        "\u{663}\u{664}".to_owned(),
        u64::MAX.to_string(),
        "18446744073709551616".to_owned(),
        i64::MAX.to_string(),
        "9".repeat(1000),
    ] {
        let signed = Request::get("/db").set("oauth_timestamp", &wrong);
        let reply = gate.get("/db", &[("Authorization", &signed.header())]);
        assert_unauthorized(&reply, reason, &wrong);
        assert_unauthorized(&gate.get(&signed.in_query(), &[]), reason, &wrong);
    }
    let missing = Request::get("/db").without("oauth_timestamp");
    let reply = gate.get("/db", &[("Authorization", &missing.header())]);
    assert_unauthorized(&reply, reason, "no timestamp");
    assert_eq!(upstream.take().len(), 0);
    // Zeros before it do not make it another number, nor its nonce a new one.
    let zeros = Request::get("/db").set("oauth_timestamp", &format!("000{now}"));
    let plain = zeros.clone().set("oauth_timestamp", &now.to_string());
    gate.get("/db", &[("Authorization", &zeros.header())]).expect(200);
    assert_replayed(&gate.get("/db", &[("Authorization", &plain.header())]), "the same number");
}

#[test]
fn a_nonce_is_not_left_out() {
    let (upstream, gate) = jan("");
    for signed in
        [Request::get("/db").without("oauth_nonce"), Request::get("/db").set("oauth_nonce", "")]
    {
        assert_replayed(&gate.get("/db", &[("Authorization", &signed.header())]), "header");
        assert_replayed(&gate.get(&signed.in_query(), &[]), "query");
    }
    assert_eq!(upstream.take().len(), 0);
}

/// Else whoever hears of a nonce could use it up before its owner, or a client's own mistake.
#[test]
fn a_refused_request_uses_no_nonce_up() {
    let (upstream, gate) = jan("");
    let right = Request::get("/db");
    let mut wrong = right.clone();
    "guessed".clone_into(&mut wrong.token_secret);
    gate.get("/db", &[("Authorization", &wrong.header())]).expect(401);
    let mut unknown = right.clone().set("oauth_consumer_key", "nobody's");
    gate.get("/db", &[("Authorization", &unknown.header())]).expect(400);
    unknown = right.clone().set("oauth_version", "2.0");
    gate.get("/db", &[("Authorization", &unknown.header())]).expect(400);
    assert_eq!(upstream.take().len(), 0);
    gate.get("/db", &[("Authorization", &right.header())]).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
}

/// A client that is told to try again may do so with the same signature.
#[test]
fn a_signature_is_good_again_after_503() {
    let (upstream, gate) = jan("");
    upstream.own(|request| {
        let is_user = request.target.starts_with(b"/_users/org.couchdb.user:");
        is_user.then(|| Action::Answer(answer("500 Internal Server Error", b"{}")))
    });
    let signed = Request::get("/db").header();
    for _ in 0..2 {
        let reply = gate.get("/db", &[("Authorization", &signed)]).expect(503);
        assert_eq!(reply.json()["error"], "service_unavailable");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert_eq!(upstream.take().len(), 0);
    upstream.own(|_| None);
    gate.get("/db", &[("Authorization", &signed)]).expect(200);
    assert_eq!(upstream.only().all("x-auth-couchdb-username"), [b"jan"]);
    assert_replayed(&gate.get("/db", &[("Authorization", &signed)]), "afterwards");
}
