//! What operators see: access logs, health, readiness, metrics, and whether CouchDB is set up for
//! couchgate.

#![allow(clippy::float_cmp, reason = "metrics are counts")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::HashSet, process::Command};

use serde_json::{Value, json};
use support::{Couch, Gate, Recorder, StreamUpstream, basic, eventually, http::request};

/// The access log line of a request.
#[track_caller]
fn line(gate: &Gate, request_id: &str) -> Value {
    eventually("a line for the request", || {
        gate.log().into_iter().find(|line| line["request_id"] == request_id)
    })
}

#[test]
fn every_request_has_a_line_in_the_log() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, "[chttpd]\nrequire_valid_user_except_for_up = true");
    let (jan, wrong) = (basic("jan", "apple"), basic("jan", "pear"));
    let ok = b"{\"ok\":true}\n".len();
    for (id, method, target, authorization, expected) in [
        ("up", "GET", "/_up", None, json!(["/_up", "-", "-", 200, ok])),
        (
            "doc",
            "PUT",
            "/db/doc?rev=1-a&secret=x",
            Some(&jan),
            json!(["/db/doc", "jan", "default", 200, ok]),
        ),
        ("head", "HEAD", "/db", Some(&jan), json!(["/db", "jan", "default", 200, 0])),
        ("wrong", "GET", "/db", Some(&wrong), json!(["/db", "-", "-", 401, 67])),
        ("nobody", "GET", "/db", None, json!(["/db", "-", "-", 401, 61])),
        ("name", "GET", "/_session", Some(&jan), json!(["/_session", "jan", "default", 200, null])),
    ] {
        let mut headers = vec![("X-Couch-Request-ID", id)];
        headers.extend(authorization.map(|value| ("Authorization", value.as_str())));
        gate.request(method, target, &headers, b"");
        let line = line(&gate, id);
        assert_eq!(line["method"], method);
        assert_eq!(line["client"], "127.0.0.1");
        assert_eq!(line["level"], "INFO");
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| (0.0..10_000.0).contains(&ms)));
        for (key, expected) in
            ["path", "user", "handler", "status", "bytes"].iter().zip(expected.as_array().unwrap())
        {
            if !expected.is_null() {
                assert_eq!(line[key], *expected, "{key} in {line}");
            }
        }
        assert!(!line.to_string().contains("secret"), "{line}");
    }
}

#[test]
fn a_request_has_one_id_in_the_log_upstream_and_in_the_answer() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    let mut seen = HashSet::new();
    for (sent, is_kept) in [
        (&[][..], false),
        (&["abc-DEF_123"], true),
        (&["with blank"], false),
        (&["\"quoted\""], false),
        (&["a-very-long-id-that-couchdb-would-not-take"], false),
        (&["first", "second"], false),
    ] {
        let headers: Vec<_> = sent.iter().map(|id| ("X-Couch-Request-ID", *id)).collect();
        let reply = gate.get("/db/doc", &headers).expect(200);
        let id = reply.header("x-couch-request-id").unwrap();
        assert_eq!(upstream.only().all("x-couch-request-id"), [id.as_bytes()]);
        assert_eq!(line(&gate, id)["path"], "/db/doc");
        assert_eq!(sent.contains(&id), is_kept, "{sent:?} became {id}");
        assert!(seen.insert(id.to_owned()), "{id} came twice");
    }
}

#[test]
fn a_client_that_goes_away_is_logged_as_incomplete() {
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, "");
    let mut client = gate.connect();
    client.write(&request("GET", "/db/doc", &[("X-Couch-Request-ID", "gone")], b"")).unwrap();
    let mut exchange = upstream.next();
    exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").unwrap();
    client.head().unwrap().expect(200);
    assert_eq!(gate.metric("couchgate_requests_in_flight"), 1.0);
    drop(client);
    let line = line(&gate, "gone");
    assert_eq!((&line["status"], &line["complete"]), (&json!(200), &json!(false)));
    assert_eq!(gate.metric("couchgate_requests_in_flight"), 0.0);
}

#[test]
fn ready_means_that_couchdb_believes_couchgate() {
    let couch = Couch::embedded(&[]);
    let gate = Gate::start(&couch.url, "");
    let ready = |expected: u16| {
        let reply = gate.admin("/readyz").expect(expected).json();
        assert_eq!(reply["status"], if expected == 200 { "ready" } else { "not ready" });
        reply["findings"].to_string()
    };
    let configure = |key: &str, value: Value| {
        let path = format!("/_node/_local/_config/{key}");
        couch.request("PUT", &path, &[], value.to_string().as_bytes()).expect(200).json()
    };
    assert_eq!(ready(200), "[]");

    let secret = configure("chttpd_auth/secret", json!("another"));
    assert!(ready(503).contains("[chttpd_auth] secret"));
    configure("chttpd_auth/secret", secret);
    assert_eq!(ready(200), "[]");

    let without_proxy = json!("{chttpd_auth, default_authentication_handler}");
    let handlers = configure("chttpd/authentication_handlers", without_proxy);
    assert!(ready(503).contains("{chttpd_auth, proxy_authentication_handler}"));
    configure("chttpd/authentication_handlers", handlers);
    assert_eq!(ready(200), "[]");

    let (address, arguments) = (couch.address, ["--port", &couch.address.port().to_string()]);
    drop(couch);
    let findings = eventually("CouchDB is gone", || {
        let reply = gate.admin("/readyz");
        (reply.status == 503).then(|| reply.json()["findings"].to_string())
    });
    assert!(findings.contains("cannot be asked"), "{findings}");
    // Alive is alive all the same.
    assert_eq!(gate.admin("/healthz").expect(200).json(), json!({ "status": "ok" }));

    let couch = Couch::embedded(&arguments);
    assert_eq!(couch.address, address);
    gate.admin("/readyz").expect(200);
}

#[test]
fn a_couchdb_that_believes_anyone_is_reported() {
    let couch = Couch::embedded(&["--proxy-use-secret=false"]);
    let gate = Gate::start(&couch.url, "");
    let open = "set [chttpd_auth] proxy_use_secret = true in CouchDB";
    eventually("a warning in the log", || {
        let says = |line: &Value| line["message"].as_str().is_some_and(|m| m.contains(open));
        gate.log().into_iter().find(|line| line["level"] == "ERROR" && says(line))
    });
    // It is an open door, but not a reason to serve nobody.
    let ready = gate.admin("/readyz").expect(200).json();
    assert!(ready["findings"].to_string().contains(open));

    let (code, lines) = check(&couch.url);
    assert_eq!(code, Some(1));
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains(open), "{lines}");
}

#[test]
fn check_names_what_is_wrong_with_couchdb() {
    let couch = Couch::embedded(&[]);
    assert_eq!(check(&couch.url), (Some(0), "configuration and upstream are in order\n".into()));

    let other_secret = Couch::embedded(&["--secret", "another"]);
    let not_couchdb = StreamUpstream::start();
    for (url, expected) in [
        (&other_secret.url, "does not accept couchgate's service user: [chttpd_auth] secret"),
        (&not_couchdb.url, "is not a CouchDB"),
        (&"http://127.0.0.1:1".to_owned(), "cannot be asked"),
    ] {
        let (code, lines) = check(url);
        assert_eq!((code, lines.lines().count()), (Some(1), 1), "{lines}");
        assert!(lines.contains(expected), "{lines}");
    }
}

/// The exit code of `couchgate check`, and what it says.
fn check(upstream: &str) -> (Option<i32>, String) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), support::SECRET).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_couchgate"))
        .env_clear()
        .args(["check", "--upstream", upstream, "--secret-file"])
        .arg(secret.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn metrics_count_what_happened() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, "");
    let count = |handler: &str, class: &str| {
        gate.metric(&format!(
            "couchgate_requests_total{{handler=\"{handler}\",status=\"{class}\"}}"
        ))
    };
    let mut client = gate.connect();
    let (jan, wrong) = (basic("jan", "apple"), basic("jan", "pear"));
    for authorization in [&jan, &jan, &jan, &wrong] {
        client.request("GET", "/db", &[("Authorization", authorization)], b"");
    }
    client.request("GET", "/db", &[], b"").expect(200);
    assert_eq!(count("default", "2xx"), 3.0);
    assert_eq!(count("none", "4xx"), 1.0);
    assert_eq!(count("none", "2xx"), 1.0);
    assert_eq!(count("cookie", "2xx"), 0.0);
    assert_eq!(gate.metric("couchgate_client_connections"), 1.0);
    assert_eq!(gate.metric("couchgate_chain_seconds_count"), 5.0);
    assert_eq!(gate.metric("couchgate_upstream_seconds_count"), 4.0);
    assert_eq!(gate.metric("couchgate_password_cache_hits_total"), 2.0);
    assert_eq!(gate.metric("couchgate_hashing_queue"), 0.0);
    let node = |name: &str| gate.metric(&format!("{name}{{node=\"{}\"}}", upstream.url));
    assert!(node("couchgate_upstream_connects_total") >= 1.0);
    assert!(node("couchgate_upstream_idle_connections") >= 1.0);
    eventually("the users' feed", || {
        (gate.metric("couchgate_users_feed_connected") == 1.0).then_some(())
    });
    drop(client);
    eventually("no connection", || {
        (gate.metric("couchgate_client_connections") == 0.0).then_some(())
    });
    let page = gate.admin("/metrics").expect(200);
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!String::from_utf8(page.body).unwrap().contains("jan"), "a user in the metrics");
}

#[test]
fn the_admin_listener_has_its_pages_and_no_others() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "");
    assert_eq!(gate.admin("/db").expect(404).json()["error"], "not_found");
    let mut admin = support::Connection::open(gate.admin);
    admin.request("POST", "/healthz", &[], b"").expect(405);
    // And clients do not come to them.
    gate.get("/metrics", &[]).expect(200);
    assert_eq!(upstream.only().target, b"/metrics");
}
