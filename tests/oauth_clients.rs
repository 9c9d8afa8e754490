//! Clients with OAuth libraries of their own: what they sign, couchgate verifies.
//!
//! What a library reads otherwise than CouchDB will is refused; such a row says who keeps to
//! RFC 5849.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "oauth_clients/couchdb_1x.rs"]
mod couchdb_1x;
#[path = "oauth_clients/documents.rs"]
mod documents;
#[path = "oauth_clients/hosts.rs"]
mod hosts;
#[path = "oauth_clients/programs.rs"]
mod programs;
mod support;

use programs::{ALL, Answer, Client, ini};
use serde_json::{Value, json};
use support::{Gate, Recorder};

const PYTHON: &[Client] = &[Client::Requests, Client::Oauthlib];
const SIGNATURES: [&str; 3] = ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"];
const DB: &str = "http://couch.example:5984/db";

/// An upstream that records for the user jan, and couchgate before it.
struct Jan {
    upstream: Recorder,
    gate: Gate,
}

impl Jan {
    fn start(settings: &str) -> Self {
        let upstream = Recorder::start();
        upstream.user("jan", "apple", &["dev"]);
        let gate = Gate::start(&upstream.url, &format!("{}{settings}", ini("jan")));
        Self { upstream, gate }
    }

    /// The request is jan's, and goes on as it was sent but for what is OAuth's in its query.
    #[track_caller]
    fn is_believed(&self, client: Client, method: &str, url: &str, fields: &Value) -> Answer {
        let answer = client.send(self.gate.address, method, url, fields);
        assert_eq!(answer.status, 200, "{client}: {method} {url} {fields}: {answer:?}");
        let request = self.upstream.only();
        let target = String::from_utf8_lossy(&request.target);
        assert_eq!(target, answer.target_without_oauth(), "{client}: {url} {fields}");
        assert_eq!(request.method, method);
        assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"], "{client}: {url}");
        assert!(request.folded("authorization").is_empty(), "{request:?}");
        answer
    }

    /// The signature does not hold, and nothing goes on.
    #[track_caller]
    fn is_refused(&self, client: Client, method: &str, url: &str, fields: &Value) {
        let answer = client.send(self.gate.address, method, url, fields);
        assert_eq!(answer.status, 401, "{client}: {method} {url} {fields}: {answer:?}");
        assert_eq!(answer.json()["reason"], "Invalid OAuth signature.", "{client}: {url}");
        assert_eq!(self.upstream.take().len(), 0);
    }
}

const QUERIES: &[&str] = &[
    "",
    "?rev=1-a&attachments=true",
    // Repeated, and in an order that is not the sorted one.
    "?b=2&a=10&a=9&a=10&B=1&a0=1",
    // Empty, with and without `=`.
    "?a=&b&c=1",
    "?startkey=%5B%22a%22%2C%7B%7D%5D&endkey=%22%EF%BF%B0%22",
    "?k=%C3%A4%E2%82%AC%F0%9F%9B%8B",
    "?k=%20%2B%26%3D%3B%23%25%2541",
    // Encoded needlessly, and in lower-case hex.
    "?k=%61%7e%2d&l=%c3%a4",
    "?k=!*'()~-._:@/,$",
];

#[test]
fn a_query_holds_however_it_is_written() {
    let jan = Jan::start("[couch_httpd_oauth]\nallow_plaintext = true\n");
    for client in ALL {
        for query in QUERIES {
            for signature in SIGNATURES {
                for place in ["header", "query"] {
                    let fields = json!({ "signature": signature, "place": place });
                    jan.is_believed(client, "GET", &format!("{DB}/doc{query}"), &fields);
                }
            }
        }
    }
}

#[test]
fn what_a_dictionary_holds_is_signed_as_it_is_sent() {
    let jan = Jan::start("");
    let rows = [
        (&ALL[..], json!([["key", "\"a b\""], ["limit", "1"]])),
        (&ALL, json!([["a", "2"], ["a", "1"], ["b", ""]])),
        (&ALL, json!([["reserved", "!*'();:@&=+$,/?#[]%"], ["kept", "~-._"]])),
        (&ALL, json!([["non-ASCII", "ä€🛋"], ["encoded", "%2F+%20"]])),
        // oauth-1.0a encodes the names of a query without having decoded them.
        (PYTHON, json!([["a b", "1"], ["ä&=", "2"], ["a+b[]", "3"]])),
    ];
    for (clients, params) in &rows {
        for client in *clients {
            for signature in ["HMAC-SHA1", "HMAC-SHA256"] {
                let fields = json!({ "params": params, "signature": signature });
                let answer = jan.is_believed(*client, "GET", &format!("{DB}/doc"), &fields);
                assert!(answer.sent.contains('?'), "{answer:?}");
            }
        }
    }
}

/// What was signed must be what is carried out.
#[test]
fn what_a_library_reads_otherwise_than_couchdb_is_refused() {
    use Client::{Oauth10a, Oauthlib, Requests};
    let jan = Jan::start("");
    let rows: &[(&str, &[Client], &[Client])] = &[
        // CouchDB ends a parameter at `;` too. The libraries keep to the RFC, which has only `&`
        // (section 3.4.1.3.1, by HTML 4.01 section 17.13.4).
        ("?a=1;b=2", &[], &ALL),
        ("?k=%3B", &ALL, &[]),
        // Not in the RFC, but in oauth-1.0a: `+` is no blank, a value ends at `=` or `?`, names are
        // not decoded, an empty value makes room for the next of its name.
        ("?k=a+b", PYTHON, &[Oauth10a]),
        ("?k=a=b", PYTHON, &[Oauth10a]),
        ("?k=a?b", PYTHON, &[Oauth10a]),
        ("?k=a%2Bb%3D%3F", &ALL, &[]),
        ("?a%20b=1", PYTHON, &[Oauth10a]),
        ("?k=&k=1", PYTHON, &[Oauth10a]),
        // Nothing is no parameter; the RFC does not say.
        ("?a=1&&b=2", PYTHON, &[Oauth10a]),
        // Octets that are not UTF-8 are signed as they are (section 3.6), in Python as U+FFFD.
        ("?k=%FF", &[], &[Requests, Oauthlib]),
    ];
    for (query, believed, refused) in rows {
        let url = format!("{DB}/doc{query}");
        for client in *believed {
            jan.is_believed(*client, "GET", &url, &json!({}));
        }
        for client in *refused {
            jan.is_refused(*client, "GET", &url, &json!({}));
        }
    }
    // A name of both query and form has two values, for oauth-1.0a one.
    let (url, form) = (format!("{DB}?a=1"), json!({ "form": [["a", "2"]] }));
    for client in PYTHON {
        jan.is_believed(*client, "POST", &url, &form);
    }
    jan.is_refused(Oauth10a, "POST", &url, &form);
}

#[test]
fn a_form_is_signed_and_goes_on_unchanged() {
    let jan = Jan::start("[couch_httpd_oauth]\nallow_plaintext = true\n");
    let form = json!([["name", "a b"], ["b", ""], ["a", "2"], ["a", "1"], ["k", "ä&=+%2F;~*"]]);
    let encoded = "name=a+b&b=&a=2&a=1&k=%C3%A4%26%3D%2B%252F%3B";
    for client in ALL {
        for signature in SIGNATURES {
            for (place, has_oauth) in [("header", false), ("query", false), ("body", true)] {
                let fields = json!({ "form": form, "place": place, "signature": signature });
                let url = format!("{DB}/_design/d/_update/u?new=1");
                let answer = client.send(jan.gate.address, "POST", &url, &fields);
                assert_eq!(answer.status, 200, "{client}: {fields}: {answer:?}");
                let request = jan.upstream.only();
                assert_eq!(request.target, b"/db/_design/d/_update/u?new=1");
                assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
                let body = String::from_utf8(request.body).unwrap();
                // CouchDB gets the form as it came, and so what is OAuth's in it.
                assert!(body.starts_with(encoded), "{client}: {body}");
                assert_eq!(body.contains("oauth_signature="), has_oauth, "{client}: {body}");
            }
        }
    }
}

#[test]
fn every_method_is_signed() {
    let jan = Jan::start("");
    for client in ALL {
        for place in ["header", "query"] {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"] {
                let url = format!("{DB}/doc?rev=1-a");
                let answer = jan.is_believed(client, method, &url, &json!({ "place": place }));
                assert_eq!(answer.body.is_empty(), method == "HEAD", "{answer:?}");
            }
        }
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    let jan = Jan::start("[couch_httpd_oauth]\nallow_plaintext = true\n");
    for client in ALL {
        for signature in SIGNATURES {
            for (field, value) in
                [("consumer", ["consumer1", "secret"]), ("token", ["token1", "sekr1t"])]
            {
                let fields = json!({ "signature": signature, field: value });
                jan.is_refused(client, "GET", &format!("{DB}/doc"), &fields);
            }
        }
    }
}
