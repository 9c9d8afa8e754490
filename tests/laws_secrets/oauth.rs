//! The secrets with which requests are signed.

use serde_json::json;

use super::support::{
    Gate, Recorder, Reply, eventually,
    http::request,
    oauth::{FORM, Request, encode},
    recorder::{Action, answer, ok},
};

/// A target, the secrets of consumer and token, and what else is special.
type Row = (&'static str, [&'static str; 2], &'static [(&'static str, &'static str)]);

/// Requests signed by jan, right and wrong.
pub(super) fn sign(gate: &Gate, secrets: &mut Vec<String>) -> Vec<Reply> {
    let mut replies = Vec::new();
    let right = ["canary-consumer-secret", "canary-token-secret"];
    let rows: &[Row] = &[
        ("/db", right, &[]),
        ("/_session", right, &[]),
        ("/closed", right, &[]),
        ("/half", right, &[]),
        ("/db", right, &[("oauth_timestamp", "1")]),
        ("/db", right, &[("oauth_nonce", "")]),
        ("/db", right, &[("oauth_version", "2.0")]),
        ("/db", right, &[("oauth_token", "canary-unknown-token")]),
        ("/db", right, &[("oauth_consumer_key", "canary-unknown-key")]),
        ("/db", ["canary-guessed", "canary-guessed"], &[]),
    ];
    for (target, [consumer_secret, token_secret], parameters) in rows {
        for method in ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT", "canary-method"] {
            let signed = |http_method: &str| {
                let signed = Request::new(http_method, target)
                    .of(["key", consumer_secret], ["token", token_secret])
                    .set("oauth_signature_method", method);
                parameters.iter().fold(signed, |signed, (name, value)| signed.set(name, value))
            };
            let (header, query, form) = (signed("GET"), signed("GET"), signed("POST"));
            for signature in [&header, &query, &form].map(Request::signature) {
                secrets.extend([encode(&signature), signature]);
            }
            // The second time it is a replay.
            for _ in 0..2 {
                let mut send =
                    |method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]| {
                        let mut connection = gate.connect();
                        let bytes = request(method, target, headers, body);
                        connection.write(&bytes).unwrap();
                        replies.extend(connection.reply(false));
                    };
                send("GET", target, &[("Authorization", &header.header())], b"");
                send("GET", &query.in_query(), &[], b"");
                send("POST", target, &[FORM], form.in_form().as_bytes());
                let twice = format!("{}, oauth_token=\"canary\"", header.header());
                send("GET", target, &[("Authorization", &twice)], b"");
                let broken = format!("{}, canary", header.header());
                send("GET", target, &[("Authorization", &broken)], b"");
            }
        }
    }
    replies
}

/// A user writes in his document what he likes, and CouchDB may answer anything.
#[test]
fn no_secret_of_a_user_document_turns_up() {
    let value = |secret: &str| json!({ "username": "jan", "consumer_secret": secret, "token_secret": "canary-token" });
    let row =
        |value| json!({ "id": "org.couchdb.user:jan", "key": ["key", "token"], "value": value });
    let right = row(value("canary-consumer"));
    let rows = [
        json!([right]),
        json!([right, right]),
        json!([row(json!("canary-text")), right]),
        json!([
            row(json!({ "username": "jan", "consumer_secret": ["canary"] })),
            "canary",
            ["canary"]
        ]),
        json!("canary-rows"),
        json!({ "canary-key": "canary-value" }),
    ];
    let mut answers: Vec<Vec<u8>> =
        rows.iter().map(|rows| ok(json!({ "rows": rows }).to_string().as_bytes())).collect();
    answers.extend([
        ok(b"\"canary\""),
        ok(b"{\"rows\":[{\"value\":\"canary"),
        answer("500 Internal Server Error", b"{\"error\":\"canary\",\"reason\":\"canary\"}"),
        answer("404 Object Not Found", b"{\"error\":\"canary\"}"),
    ]);
    let ini = "[couch_httpd_oauth]\nuse_users_db = true\nallow_plaintext = true\n\
               [log]\nlevel = debug\n";
    let mut statuses = Vec::new();
    for answer in answers {
        let upstream = Recorder::start();
        upstream.user("jan", "apple", &[]);
        upstream.own(move |request| {
            let is_view = request.target.starts_with(b"/_users/_design/oauth");
            is_view.then(|| Action::Answer(answer.clone()))
        });
        let gate = Gate::start(&upstream.url, ini);
        for method in ["HMAC-SHA1", "PLAINTEXT"] {
            for consumer_secret in ["canary-consumer", "canary-guessed"] {
                let signed = Request::get("/db")
                    .of(["key", consumer_secret], ["token", "canary-token"])
                    .set("oauth_signature_method", method);
                let reply = gate.get(&signed.in_query(), &[]);
                let said = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
                assert!(!said.contains("canary"), "{said}");
                statuses.push(reply.status);
            }
        }
        let metrics = String::from_utf8(gate.admin("/metrics").expect(200).body).unwrap();
        assert!(!metrics.contains("canary"), "{metrics}");
        let log = eventually("every request's line", || {
            let log = gate.log();
            (log.iter().filter(|line| line["path"] == "/db").count() == 4).then_some(log)
        });
        for line in log {
            assert!(!line.to_string().contains("canary"), "{line}");
        }
    }
    for status in [200, 400, 401, 503] {
        assert!(statuses.contains(&status), "no request is {status}");
    }
}
