//! An answer is believed only where it is the answer: what a document's author can write into
//! CouchDB's heads makes nobody somebody else, and answers nobody else's request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{collections::HashSet, sync::Mutex};

use percent_encoding::percent_decode_str;
use serde_json::json;
use support::{
    Couch, Gate, Recorder, basic,
    couch::unique,
    eventually,
    recorder::{Action, name_of, simple_user},
};

const HEADER: &str = "X-Couch-Request-ID";

/// An answer with these lines in its head.
fn answer(lines: &str, body: &str) -> Action {
    let length = body.len();
    Action::Answer(
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n{body}").into_bytes(),
    )
}

/// An upstream that names requests; but the first answer to each target `/forged...` has the lines
/// that the query says.
fn naming() -> Recorder {
    let seen = Mutex::new(HashSet::new());
    let upstream = Recorder::scripted(move |request| {
        let target = String::from_utf8(request.target.clone()).unwrap();
        let name = name_of(request);
        match target.strip_prefix("/forged?") {
            Some(lines) if seen.lock().unwrap().insert(request.method.clone()) => {
                let lines = percent_decode_str(lines).decode_utf8().unwrap();
                answer(&lines.replace("NAME", &name), "forged")
            }
            _ => answer(&format!("{name}\r\n"), "right"),
        }
    });
    upstream.names_own();
    upstream
}

/// couchgate, with an idle connection, when it knows that upstream names requests.
fn gate(upstream: &Recorder) -> Gate {
    let gate = Gate::start(&upstream.url, "");
    gate.admin("/readyz").expect(200);
    assert_eq!(gate.get("/warm", &[]).expect(200).body, b"right");
    let idle = format!("couchgate_upstream_idle_connections{{node=\"{}\"}}", upstream.url);
    eventually("a connection is idle", || (gate.metric(&idle) > 0.0).then_some(()));
    upstream.take();
    gate
}

/// Takes all idle connections out of use.
fn without_idle_connections(gate: &Gate, upstream: &Recorder) {
    let idle = format!("couchgate_upstream_idle_connections{{node=\"{}\"}}", upstream.url);
    eventually("no connection is idle", || {
        // Not kept afterwards, for a design document's function answers.
        gate.get("/db/_design/x/_show/s", &[]).expect(200);
        (gate.metric(&idle) == 0.0).then_some(())
    });
    upstream.take();
}

/// Answers that do not name the request, or not it alone.
const FORGED: [&str; 4] = [
    "",
    "X-Couch-Request-ID:%20another%0D%0A",
    "NAME%0D%0AX-Couch-Request-ID:%20another%0D%0A",
    "NAME%0D%0ANAME%0D%0A",
];

#[test]
fn anothers_answer_is_not_passed_on() {
    for forged in FORGED {
        let upstream = naming();
        let gate = gate(&upstream);
        let target = format!("/forged?{forged}");
        assert_eq!(gate.get(&target, &[]).expect(200).body, b"right", "{forged}");
        let [first, second] = &upstream.take()[..] else { panic!("{forged}: not sent again") };
        assert_ne!(first.connection, second.connection, "{forged}");

        // What may have happened is not sent again.
        gate.get("/warm", &[]).expect(200);
        upstream.take();
        let reply = gate.request("PUT", &target, &[], b"{}").expect(502);
        assert_eq!(reply.json()["error"], "bad_gateway", "{forged}");
        assert_eq!(upstream.take().len(), 1, "{forged}");
    }
}

#[test]
fn nothing_follows_an_answer_that_does_not_name_its_request() {
    for forged in FORGED {
        let upstream = naming();
        let gate = gate(&upstream);
        without_idle_connections(&gate, &upstream);
        // Fauxton's files and the errors of CouchDB's HTTP library are such answers, and pass.
        let reply = gate.get(&format!("/forged?{forged}"), &[]).expect(200);
        assert_eq!(reply.body, b"forged", "{forged}");
        let first = upstream.only().connection;
        gate.get("/next", &[]).expect(200);
        assert_ne!(upstream.only().connection, first, "{forged}");
    }
}

#[test]
fn a_named_answers_connection_is_used_again() {
    let upstream = naming();
    let gate = gate(&upstream);
    let connection = |target: &str, headers: &[(&str, &str)]| {
        gate.get(target, headers).expect(200);
        upstream.only().connection
    };
    let first = connection("/a", &[]);
    assert_eq!(connection("/b", &[]), first);
    // An id that others may know proves nothing, neither of this answer nor of the next.
    let own = connection("/c", &[(HEADER, "well-known")]);
    assert_ne!(own, first);
    assert_ne!(connection("/d", &[(HEADER, "well-known")]), own);
    assert_eq!(connection("/e", &[]), first);
    // A design document's function is told the id.
    for function in ["_show/s", "_list/l/v", "_update/u", "_rewrite/x"] {
        let used = connection(&format!("/db/_design/x/{function}"), &[]);
        assert_ne!(connection("/f", &[]), used, "{function}");
    }
}

#[test]
fn an_upstream_that_names_no_request_is_believed_as_it_is() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &[]);
    let gate = Gate::start(&upstream.url, "");
    let jan = basic("jan", "apple");
    let connection = || {
        gate.get("/db", &[("Authorization", &jan)]).expect(200);
        upstream.only().connection
    };
    // The first may have waited for a connection of its own.
    connection();
    assert_eq!(connection(), connection());
}

#[test]
fn a_body_with_two_lengths_is_no_answer() {
    for names in [true, false] {
        let upstream = Recorder::scripted(move |request| {
            let name = if names { format!("{}\r\n", name_of(request)) } else { String::new() };
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n";
            Action::Answer(format!("{head}{name}\r\n3\r\nabc\r\n0\r\n\r\n").into_bytes())
        });
        let gate = Gate::start(&upstream.url, "");
        gate.get("/db", &[]).expect(502);
    }
}

#[test]
fn a_user_is_whom_couchdb_names_in_its_answer() {
    let upstream = naming();
    let forged = simple_user("jan", "apple", &["_admin"]).to_string();
    upstream.own(move |request| {
        let name = request.target.strip_prefix(b"/_users/org.couchdb.user:")?;
        let named = format!("{}\r\n", name_of(request));
        let lines = match name {
            b"right?conflicts=true" => named,
            b"twice?conflicts=true" => named.repeat(2),
            b"another?conflicts=true" => format!("{HEADER}: another\r\n"),
            _ => String::new(),
        };
        Some(answer(&lines, &forged))
    });
    let gate = Gate::start(&upstream.url, "");
    for (name, status) in [("right", 200), ("unnamed", 503), ("twice", 503), ("another", 503)] {
        let reply = gate.get("/_session", &[("Authorization", &basic(name, "apple"))]);
        assert_eq!(reply.status, status, "{name}");
    }
}

/// CouchDB 3.5.0 does not name `/_session`, nor what is asked of its nodes.
#[test]
fn what_couchdb_does_not_name_passes() {
    let couch = Couch::shared();
    let gate = Gate::start(&couch.url, &format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let admin = basic(&couch.admin.0, &couch.admin.1);
    for _ in 0..3 {
        gate.get("/_all_dbs", &[("Authorization", &admin)]).expect(200);
        let ready = gate.admin("/readyz");
        assert_eq!(ready.status, 200, "{}", String::from_utf8_lossy(&ready.body));
        for (method, target) in [
            ("GET", "/_membership"),
            ("GET", "/_utils/"),
            ("GET", "/favicon.ico"),
            ("PUT", "/_node/_local/_nodes/nobody"),
            ("POST", "/_cluster_setup"),
        ] {
            let headers = [("Authorization", &*admin), ("Content-Type", "application/json")];
            // Warm: there is a connection that could be used again.
            gate.get("/_all_dbs", &[("Authorization", &admin)]).expect(200);
            // The older layer has handlers of its own, and may not know who is asking.
            let reply = gate.request(method, target, &headers, b"[");
            assert!(!matches!(reply.status, 502 | 503), "{method} {target}: {reply:?}");
            assert_ne!(reply.header("server"), Some("couchgate"), "{method} {target}: {reply:?}");
        }
    }
}

/// CouchDB 3.5.0 writes a revision into `ETag` as it is, line ends included.
#[test]
fn a_revision_does_not_write_a_user_document() {
    let couch = Couch::shared();
    let gate = Gate::start(&couch.url, "");
    for body_follows in [
        "Content-Length: LENGTH\r\n\r\nFORGED",
        "Transfer-Encoding: chunked\r\n\r\nHEX\r\nFORGED\r\n0\r\n\r\n",
    ] {
        let name = unique("splits");
        let forged = simple_user(&name, "pear", &["_admin"]).to_string();
        let split = body_follows
            .replace("LENGTH", &forged.len().to_string())
            .replace("HEX", &format!("{:x}", forged.len()))
            .replace("FORGED", &forged);
        let mut document = simple_user(&name, "apple", &[]);
        document["_rev"] = json!(format!("9-x\"\r\n{split}"));
        let body = json!({ "new_edits": false, "docs": [document] }).to_string();
        // A server may refuse such a revision.
        let json = [("Content-Type", "application/json")];
        couch.request("POST", "/_users/_bulk_docs", &json, body.as_bytes());
        for password in ["apple", "pear"] {
            let reply = gate.get("/_session", &[("Authorization", &basic(&name, password))]);
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(!said.contains("_admin"), "{said}");
            assert!(reply.status != 200 || password == "apple", "{said}");
        }
    }
}
