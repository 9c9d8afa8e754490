//! What clients of CouchDB 1.x send: the requests of its own tests (`oauth.js` and
//! `oauth_users_db.js` of 1.7.1), and those of its documentation.
//!
//! Its tests sent an HMAC without timestamp and nonce, which it did not look at. Here both are
//! needed, and are added as `completeRequest` of the tests' own OAuth library does. They called
//! `/_oauth/request_token` too, which gave everybody the same token; that is gone.

use serde_json::{Value, json};

use super::{
    ALL, Answer, Client,
    programs::ini,
    support::{Couch, Gate, Recorder, couch::unique},
};

/// 64 characters of base64, as the tests made them.
const CONSUMER_SECRET: &str = "q/U+2mQk0Zr5vTgX8b1sYd7HnLcE4wJfA9pRoVtKuM6iGhBzSxNyDqWaCeFjP+/l";
const TOKEN_SECRET: &str = "Jf/9pRoVtKuM6iGhBzSxNyDqWaCeFjPl+q/U2mQk0Zr5vTgX8b1sYd7HnLcE4w+A";
const ADMIN_TOKEN_SECRET: &str = "yDqWaCeFjPl+q/U2mQk0Zr5vTgX8b1sYd7HnLcE4w+AJf/9pRoVtKuM6iGhBzSxN";

/// With PLAINTEXT the requests are just what the tests sent.
const SIGNATURES: [(&str, bool); 2] = [("PLAINTEXT", true), ("HMAC-SHA1", false)];

/// couchgate before the shared server.
fn gate(couch: &Couch, settings: &str) -> Gate {
    let ini = format!("[chttpd_auth]\nsecret = {}\n{settings}", couch.secret);
    Gate::start(&couch.url, &ini)
}

/// A request of the tests: GET is signed in the query, others in a header, and the token's secret
/// is sent along where `oauth.js` did it.
struct Message<'a> {
    consumer: [&'a str; 2],
    token: [&'a str; 2],
    signature: (&'a str, bool),
    sends_secret: bool,
}

impl Message<'_> {
    fn send(&self, gate: &Gate, method: &str, target: &str) -> Answer {
        let (signature, bare) = self.signature;
        let extra = json!({ "oauth_token_secret": self.token[1] });
        let fields = json!({
            "consumer": self.consumer, "token": self.token, "signature": signature, "bare": bare,
            "place": if method == "GET" { "query" } else { "header" }, "realm": "",
            "extra": if self.sends_secret { extra } else { json!({}) },
        });
        let url = format!("http://{}{target}", gate.address);
        let answer = Client::Oauth10a.send(gate.address, method, &url, &fields);
        assert_eq!(answer.sent.contains("oauth_signature="), method == "GET", "{answer:?}");
        assert_eq!(
            answer.sent.contains("oauth_token_secret="),
            self.sends_secret && method == "GET",
            "{answer:?}"
        );
        answer
    }
}

#[track_caller]
fn is(answer: &Answer, name: &str, role: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.json();
    assert_eq!(session["ok"], true);
    assert_eq!(session["userCtx"]["name"], name, "{session}");
    assert_eq!(session["userCtx"]["roles"][0], role, "{session}");
    assert_eq!(session["info"]["authenticated"], "oauth", "{session}");
}

#[track_caller]
fn is_unknown(answer: &Answer, method: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    if method != "HEAD" {
        let expected = json!({
            "error": "invalid_consumer_token_pair", "reason": "Invalid consumer and token pair.",
        });
        assert_eq!(answer.json(), expected);
    }
}

#[test]
fn credentials_of_the_ini_work_as_in_its_tests() {
    let couch = Couch::shared();
    let jason = couch.user("testpassword", &["test"]);
    // One admin of couchgate's configuration, and one of CouchDB's.
    let (testadmin, admin) = (unique("testadmin"), &couch.admin.0);
    let gate = gate(
        couch,
        &format!(
            "require_valid_user = true\n[admins]\n{testadmin} = ohsosecret\n\
             [oauth_consumer_secrets]\nkey = {CONSUMER_SECRET}\n\
             [oauth_token_secrets]\nfoo = {TOKEN_SECRET}\nbar = {ADMIN_TOKEN_SECRET}\n\
             baz = {ADMIN_TOKEN_SECRET}\n\
             [oauth_token_users]\nfoo = {jason}\nbar = {testadmin}\nbaz = {admin}\n\
             [couch_httpd_oauth]\nauthorization_url = /_oauth/authorize\nuse_users_db = false\n\
             allow_plaintext = true\n"
        ),
    );
    for signature in SIGNATURES {
        for (consumer, is_known) in [("key", true), ("nonexistent_key", false)] {
            let consumer = [consumer, CONSUMER_SECRET];
            let message = |token| Message { consumer, token, signature, sends_secret: true };
            let users = message(["foo", TOKEN_SECRET]);
            for (method, target) in [
                ("GET", "/_session"),
                ("GET", "/_session?foo=bar"),
                ("HEAD", "/_session"),
                ("HEAD", "/_session?foo=bar"),
            ] {
                let answer = users.send(&gate, method, target);
                if !is_known {
                    is_unknown(&answer, method);
                } else if method == "GET" {
                    is(&answer, &jason, "test");
                } else {
                    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
                }
            }
            for (token, name) in [("bar", &testadmin), ("baz", admin)] {
                let message = message([token, ADMIN_TOKEN_SECRET]);
                let answer = message.send(&gate, "GET", "/_session?foo=bar");
                if !is_known {
                    is_unknown(&answer, "GET");
                    continue;
                }
                is(&answer, name, "_admin");
                // CouchDB believes it: nobody else may read these.
                let users = message.send(&gate, "GET", "/_users/_all_docs?limit=1");
                assert_eq!(users.status, 200, "{users:?}");
            }
            let nobodys = message(["not a token!", ADMIN_TOKEN_SECRET]);
            is_unknown(&nobodys.send(&gate, "GET", "/_session?foo=bar"), "GET");
        }
    }
}

#[test]
fn credentials_of_user_documents_work_as_in_its_tests() {
    let couch = Couch::shared();
    let gate = gate(couch, "[couch_httpd_oauth]\nuse_users_db = true\nallow_plaintext = true\n");
    let fdmanana = couch.user("qwerty", &["dev"]);
    // An earlier run may have left its own.
    let [key_foo, key_xpto, salut, tok1] = ["key_foo", "key_xpto", "salut", "tok1"].map(unique);
    let oauth = json!({
        "consumer_keys": { &key_foo: "bar", &key_xpto: "mars" },
        "tokens": { &salut: "ola", &tok1: "123" },
    });
    couch.change_user(&fdmanana, &json!({ "oauth": oauth }));
    for signature in SIGNATURES {
        let message = |consumer, token| Message { consumer, token, signature, sends_secret: false };
        for consumer in [[key_foo.as_str(), "bar"], [&key_xpto, "mars"]] {
            for token in [[tok1.as_str(), "123"], [&salut, "ola"]] {
                let answer = message(consumer, token).send(&gate, "GET", "/_session");
                is(&answer, &fdmanana, "dev");
            }
        }
        let consumer = [key_foo.as_str(), "bar"];
        let nobodys = message(consumer, ["not a token!", "123"]);
        is_unknown(&nobodys.send(&gate, "GET", "/_session"), "GET");
        // There a wrong secret made the request nobody's.
        let wrong = message(consumer, [&tok1, "badone"]).send(&gate, "GET", "/_session");
        assert_eq!(wrong.status, 401, "{wrong:?}");
        assert_eq!(wrong.json()["reason"], "Invalid OAuth signature.");
    }
}

/// In 1.x the path that was signed had to be handed on (COUCHDB-1321).
#[test]
fn a_rewritten_path_is_signed_as_the_client_asked_for_it() {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &ini("jan"));
    let url = format!("http://{}/db/_design/0key/_rewrite/foo/bar", gate.address);
    for client in ALL {
        let answer = client.send(gate.address, "GET", &url, &json!({ "place": "query" }));
        assert_eq!(answer.status, 200, "{answer:?}");
        let request = upstream.only();
        assert_eq!(request.target, b"/db/_design/0key/_rewrite/foo/bar");
        assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
    }
}

#[test]
fn the_example_of_its_documentation_works() {
    let couch = Couch::shared();
    let user = couch.user("apple", &["blogger"]);
    let handlers = "{couch_httpd_oauth, oauth_authentication_handler}, \
                    {couch_httpd_auth, cookie_authentication_handler}, \
                    {couch_httpd_auth, default_authentication_handler}";
    let settings = format!("[chttpd]\nauthentication_handlers = {handlers}\n{}", ini(&user));
    let gate = gate(couch, &settings);
    let url = format!("http://localhost:{}/_session", gate.address.port());
    for client in ALL {
        let fields = json!({ "headers": { "Accept": "application/json" }, "realm": "" });
        let answer = client.send(gate.address, "GET", &url, &fields);
        is(&answer, &user, "blogger");
        let expected: Value = json!(["oauth", "cookie", "default"]);
        assert_eq!(answer.json()["info"]["authentication_handlers"], expected);
    }
}
