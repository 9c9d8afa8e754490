//! The laws, for download tokens: they stop at couchgate, they stay secret, and a download leaves
//! nothing behind with the client but the attachment.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{
    Gate, Recorder, eventually,
    recorder::{Action, answer, ok},
};

fn upstream() -> Recorder {
    let upstream = Recorder::scripted(|request| match &*request.target {
        b"/db/doc/closed?rev=1-a" => Action::Close,
        b"/db/doc/missing?rev=1-a" => Action::Answer(answer(
            "404 Object Not Found",
            b"{\"error\":\"not_found\",\"reason\":\"Document is missing attachment\"}",
        )),
        _ => Action::Answer(ok(b"{}")),
    });
    upstream.own(|request| match &*request.target {
        b"/db/doc" | b"/db2/doc" => {
            Some(Action::Answer(ok(br#"{"_rev":"1-a","download_token":"canary-token"}"#)))
        }
        b"/db/strange" => {
            Some(Action::Answer(ok(br#"{"download_token":"canary-token","_rev":7}"#)))
        }
        b"/db/broken" => Some(Action::Answer(ok(br#"{"download_token":"canary-token"#))),
        _ => None,
    });
    upstream
}

/// The targets that arrived.
fn targets(upstream: &Recorder) -> Vec<String> {
    let targets = upstream.take().into_iter().map(|request| request.target);
    targets.map(|target| String::from_utf8(target).unwrap()).collect()
}

#[test]
fn the_parameter_stops_at_couchgate_on_every_path() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for path in
        ["/", "/_up", "/_users/x/y", "/db/_all_docs", "/db/_design/d/_show/s", "//a", "/%zz"]
    {
        for (query, left) in [
            ("?token=canary-token", ""),
            ("?token", ""),
            ("?token=1&token=2;token=3", ""),
            ("?a=%41&%74oken=x&b=[1]", "?a=%41&b=[1]"),
            ("?a=1;token=2;b=3", "?a=1;b=3"),
            ("?tokens=1&atoken=2&x=token", "?tokens=1&atoken=2&x=token"),
        ] {
            for method in ["GET", "PUT", "POST", "DELETE", "OPTIONS"] {
                gate.request(method, &format!("{path}{query}"), &[], b"").expect(200);
                assert_eq!(targets(&upstream), [format!("{path}{left}")], "{method} {path}{query}");
            }
        }
    }
}

#[test]
fn the_parameter_has_the_name_that_is_configured() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "[download_token]\nparam = door key\n");
    gate.get("/db/doc/a?token=x&door+key=canary-token&door=y", &[]).expect(200);
    assert_eq!(targets(&upstream), ["/db/doc/a?rev=1-a"]);
    gate.get("/db?token=x&door%20key=canary-token&door=y", &[]).expect(200);
    assert_eq!(targets(&upstream), ["/db?token=x&door=y"]);
}

/// `token` is a common name: it is taken only from those who have given it this meaning.
#[test]
fn without_the_handler_the_parameter_is_somebody_elses() {
    let upstream = upstream();
    let ini = "[chttpd]\nauthentication_handlers = oauth, cookie, proxy, authkey, default\n";
    let gate = Gate::start(&upstream.url, ini);
    for target in
        ["/db/doc/a?token=canary-token", "/db/_design/d/_show/s?token=x&token=y", "/?token"]
    {
        gate.get(target, &[]).expect(200);
        let request = upstream.only();
        assert_eq!(request.target, target.as_bytes());
        assert!(request.folded("x-auth-couchdb-username").is_empty());
    }
}

#[test]
fn only_the_databases_configured_are_opened() {
    let upstream = upstream();
    for (ini, opens_db, opens_db2) in [
        ("[download_token]\ndatabases = db\n", true, false),
        ("[download_token]\ndatabases = db2, db3\n", false, true),
        // To CouchDB's dialect that is no value, and the default is all.
        ("[download_token]\ndatabases =\n", true, true),
        ("[chttpd_auth]\nauthentication_db = db2\n", true, false),
        ("", true, true),
    ] {
        let gate = Gate::start(&upstream.url, ini);
        for (db, opens) in [("db", opens_db), ("db2", opens_db2)] {
            gate.get(&format!("/{db}/doc/a?token=canary-token"), &[]).expect(200);
            let expected = if opens { "?rev=1-a" } else { "" };
            let mut arrived = targets(&upstream);
            // What couchgate wants to know of the authentication database arrives too.
            arrived.retain(|target| target.contains("/doc/"));
            assert_eq!(arrived, [format!("/{db}/doc/a{expected}")], "{ini:?}");
        }
    }
}

/// Somebody whom CouchDB would let in otherwise needs no user for a download, and a token that is
/// wrong is not made up for.
#[test]
fn require_valid_user_does_not_stand_in_the_way() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "[chttpd]\nrequire_valid_user = true\n");
    gate.get("/db/doc/a?token=canary-token", &[]).expect(200);
    assert_eq!(targets(&upstream), ["/db/doc/a?rev=1-a"]);
    gate.get("/db/doc/a?token=x", &[]).expect(403);
    for target in ["/db/doc?token=canary-token", "/db/doc/a", "/_users/doc/a?token=canary-token"] {
        gate.get(target, &[]).expect(401);
    }
    gate.request("PUT", "/db/doc/a?token=canary-token", &[], b"x").expect(401);
    assert!(targets(&upstream).is_empty());
}

#[test]
fn a_download_is_couchdbs_answer_but_for_two_headers() {
    let upstream = Recorder::scripted(|_| {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nETag: \"x\"\r\n\
            Set-Cookie: AuthSession=admin; Path=/\r\nSet-Cookie: other=1\r\n\
            Access-Control-Allow-Origin: https://one.example\r\n\
            Access-Control-Allow-Origin: https://two.example\r\n\
            Connection: X-Hop\r\nX-Hop: 1\r\nX-CouchDB-Body-Time: 0\r\n\
            Content-Security-Policy: sandbox\r\nContent-Length: 1\r\n\r\na";
        Action::Answer(answer.as_bytes().to_vec())
    });
    upstream.own(|request| {
        let document = br#"{"_rev":"1-a","download_token":"t"}"#;
        (request.target == b"/db/doc").then(|| Action::Answer(ok(document)))
    });
    let gate = Gate::start(&upstream.url, "");
    let mut reply =
        gate.get("/db/doc/a?token=t", &[("X-Couch-Request-ID", "0123456789")]).expect(200);
    reply.headers.retain(|(name, _)| name != "date");
    reply.headers.sort();
    let expected = [
        ("access-control-allow-origin", "*"),
        ("content-length", "1"),
        ("content-security-policy", "sandbox"),
        ("content-type", "image/png"),
        ("etag", "\"x\""),
        ("x-couch-request-id", "0123456789"),
        ("x-couchdb-body-time", "0"),
    ];
    assert_eq!(reply.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(upstream.only().all("x-couch-request-id"), [b"0123456789"]);
}

#[test]
fn logs_and_metrics_tell_of_downloads_and_keep_their_tokens() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "[log]\nlevel = debug\n");
    for (target, status) in [
        ("/db/doc/open?token=canary-token", 200),
        ("/db/doc/wrong?token=canary-wrong", 403),
        ("/db/doc/twice?token=canary-token&token=canary-token", 403),
        ("/db/doc/missing?token=canary-token", 404),
        ("/db/doc/closed?token=canary-token", 502),
        ("/db/strange/unreadable?token=canary-token", 503),
        ("/db/broken/unreadable?token=canary-token", 503),
        ("/db/doc/link?token=couchgate1.canary.1900000000.canary", 403),
        ("/db?token=canary-token", 200),
    ] {
        let reply = gate.get(target, &[]);
        assert_eq!(reply.status, status, "{target}");
        let said = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
        assert!(!said.contains("canary"), "{target}: {said}");
    }
    let line = |path: &str| {
        eventually("the access log", || gate.log().into_iter().find(|line| line["path"] == path))
    };
    let open = line("/db/doc/open");
    assert_eq!(open["handler"], "download_token", "{open}");
    assert_eq!((&open["user"], &open["status"]), (&"-".into(), &200.into()), "{open}");
    let wrong = line("/db/doc/wrong");
    assert_eq!((&wrong["handler"], &wrong["status"]), (&"-".into(), &403.into()), "{wrong}");
    line("/db");
    let metric = |labels: &str| gate.metric(&format!("couchgate_requests_total{{{labels}}}"));
    for (class, count) in [("2xx", 1.0), ("4xx", 1.0), ("5xx", 1.0)] {
        let labels = format!("handler=\"download_token\",status=\"{class}\"");
        assert!((metric(&labels) - count).abs() < 0.5, "{labels}");
    }
    let answered = gate.metric("couchgate_upstream_seconds_count");
    assert!((answered - 3.0).abs() < 0.5, "CouchDB answered {answered} times");
    let log = gate.log();
    let unreadable = log.iter().find(|line| line["level"] == "ERROR" && line["db"] == "db");
    assert!(unreadable.is_some(), "{log:?}");
    let metrics = String::from_utf8(gate.admin("/metrics").expect(200).body).unwrap();
    for said in log.iter().map(ToString::to_string).chain([metrics]) {
        assert!(!said.contains("canary"), "{said}");
    }
}
