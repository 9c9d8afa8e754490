//! OAuth: what could be carried out that was not signed, and by whom.

use crate::support::{
    Gate, Recorder, eventually,
    oauth::{INI, Request},
    recorder::Action,
};

fn jan(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{INI}{ini}"));
    (upstream, gate)
}

/// `X-Forwarded-Host: couch.example/db` and `DELETE /doc` verified as `DELETE /db/doc`, and deleted
/// the database `doc`.
#[test]
fn a_forwarded_host_holds_no_part_of_the_path() {
    let (upstream, gate) = jan("[couchgate]\ntrusted_proxies = 127.0.0.1\n");
    for (said, target, status) in [
        ("couch.example:5984", "/db/doc", 200),
        ("couch.example:5984/db", "/doc", 401),
        ("couch.example:5984", "/doc", 401),
        ("couch.example:5984/db/doc", "/", 401),
    ] {
        let signed = Request::new("DELETE", "/db/doc").header();
        let headers =
            [("Host", "inner"), ("X-Forwarded-Host", said), ("Authorization", signed.as_str())];
        gate.request("DELETE", target, &headers, b"").expect(status);
        assert_eq!(upstream.take().len(), usize::from(status == 200), "{said} {target}");
    }
}

/// `/_all_docs?limit=1` was signed, `limit` put into the header, and `/_all_docs` carried out.
#[test]
fn a_parameter_of_the_query_cannot_stand_in_the_header() {
    let (upstream, gate) = jan("");
    let signed = Request::get("/db/_all_docs?limit=1").header();
    for stray in ["limit=\"1\"", "%6cimit=\"1\"", "LIMIT=\"1\""] {
        for header in
            [format!("{signed}, {stray}"), signed.replacen(' ', &format!(" {stray}, "), 1)]
        {
            let reply = gate.get("/db/_all_docs", &[("Authorization", &header)]).expect(400);
            assert_eq!(reply.json()["error"], "bad_request");
        }
    }
    assert!(upstream.take().is_empty());
    gate.get("/db/_all_docs?limit=1", &[("Authorization", &signed)]).expect(200);
}

/// Two huge user documents whose names sort first kept the changes feed from being followed, so
/// what was revoked held for seconds.
#[test]
fn documents_that_cannot_be_sampled_do_not_keep_the_feed_away() {
    let upstream = Recorder::start();
    upstream.own(|request| {
        let is_sample = request.target.windows(9).any(|part| part == b"_all_docs");
        is_sample.then_some(Action::Close)
    });
    let gate = Gate::start(&upstream.url, "");
    eventually("the feed is followed", || {
        (gate.metric("couchgate_users_feed_connected") > 0.0).then_some(())
    });
}
