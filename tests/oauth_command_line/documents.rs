//! Credentials in user documents.

use serde_json::{Value, json};

use super::{add, failure, is_hex, oauth, place, sign, success, who, written::writing};
use crate::support::{
    Couch, Gate, Recorder, Reply, SECRET,
    couch::unique,
    eventually,
    place::Place,
    recorder::{Action, answer, ok},
};

const USERS_DB: &str = "[couch_httpd_oauth]\nuse_users_db = true\n";

/// A place whose couchgate.ini names an upstream.
pub(super) fn place_before(upstream: &str, secret: &str) -> Place {
    place(&format!(
        "[couchgate]\nupstream = {upstream}\n[chttpd_auth]\nsecret = {secret}\n{USERS_DB}"
    ))
}

/// The shared CouchDB, couchgate before it, and a place to command it from.
fn start() -> (&'static Couch, Gate, Place) {
    let couch = Couch::shared();
    let place = place_before(&couch.url, &couch.secret);
    let gate = Gate::start(&couch.url, &super::read(&place, "couchgate.ini"));
    (couch, gate, place)
}

fn document(couch: &Couch, user: &str) -> Value {
    couch.request("GET", &format!("/_users/org.couchdb.user:{user}"), &[], b"").expect(200).json()
}

/// The answer to a request that was signed so.
#[track_caller]
fn ask(gate: &Gate, authorization: &str) -> Reply {
    gate.get("/_session", &[("Host", "h"), ("Authorization", authorization)])
}

/// A header that the consumer and the token sign, made of an ini of their own.
fn signed_with(credentials: &super::Added) -> String {
    let super::Added { consumer_key, consumer_secret, token, token_secret, .. } = credentials;
    let own = place(&format!(
        "[oauth_consumer_secrets]\n{consumer_key} = {consumer_secret}\n\
         [oauth_token_secrets]\n{token} = {token_secret}\n[oauth_token_users]\n{token} = x\n"
    ));
    sign(&own, &["GET", "http://h/_session"])
}

#[test]
fn a_user_document_gets_credentials_and_loses_them_at_once() {
    let (couch, gate, place) = start();
    let user = couch.user("apple", &["dev"]);
    let before = document(couch, &user);

    let added = add(&place, &[&user]);
    assert!(is_hex(&added.consumer_key, 8) && is_hex(&added.token, 8), "{added:?}");
    assert!(is_hex(&added.consumer_secret, 32) && is_hex(&added.token_secret, 32), "{added:?}");
    assert_eq!(added.note, "");
    // The whole document stays.
    let after = document(couch, &user);
    for (key, value) in before.as_object().unwrap().iter().filter(|(key, _)| *key != "_rev") {
        assert_eq!(after[key], *value, "{key}");
    }
    assert_eq!(after.as_object().unwrap().len(), before.as_object().unwrap().len() + 1);
    let oauth = json!({
        "consumer_keys": { &*added.consumer_key: added.consumer_secret },
        "tokens": { &*added.token: added.token_secret },
    });
    assert_eq!(after["oauth"], oauth);

    let words = ["--consumer", &added.consumer_key];
    assert_eq!(who(&gate, &place, &words), *user);
    ask(&gate, &signed_with(&added)).expect(200);

    let second = add(&place, &[&user, words[0], words[1]]);
    assert_eq!(second.consumer_secret, added.consumer_secret);
    eventually("the second token is known", || {
        (ask(&gate, &signed_with(&second)).status == 200).then_some(())
    });
    let list = success(&mut super::oauth(&place, &["list"]));
    for token in [&added.token, &second.token] {
        let line = format!("{token}\t{user}\t{}", added.consumer_key);
        assert!(list.lines().any(|of| of == line), "no {line} in {list}");
    }
    for secret in [&added.consumer_secret, &added.token_secret, &second.token_secret] {
        assert!(!list.contains(secret.as_str()), "{list}");
    }

    let said = success(&mut super::oauth(&place, &["remove", "--token", &second.token]));
    assert_eq!(said, format!("removed token {:?} from user {user:?}\n", second.token));
    eventually("the token is removed", || {
        let reply = ask(&gate, &signed_with(&second));
        (reply.status == 400 && reply.json()["error"] == "invalid_consumer_token_pair")
            .then_some(())
    });
    ask(&gate, &signed_with(&added)).expect(200);
    let said = success(super::oauth(&place, &["remove"]).args(words));
    let removed = format!("removed consumer key {:?} from user {user:?}", added.consumer_key);
    assert_eq!(said, format!("{removed}, and the tokens, for no consumer key is left\n"));
    eventually("the consumer is removed", || {
        (ask(&gate, &signed_with(&added)).status == 400).then_some(())
    });
    assert_eq!(document(couch, &user)["oauth"], json!({ "consumer_keys": {}, "tokens": {} }));
}

/// A user who has copied another's pair could keep it from being removed by what else is in his
/// document.
#[test]
fn a_document_that_cannot_be_written_keeps_no_others_credentials() {
    let (couch, _gate, place) = start();
    let (first, second) = (couch.user("apple", &[]), couch.user("apple", &[]));
    let added = add(&place, &[&second]);
    let mut copied = document(couch, &second)["oauth"].clone();
    copied["tokens"]["more"] = json!("s");
    couch.change_user(&first, &json!({ "oauth": copied, "pbkdf2_prf": 5 }));
    assert!(first < second, "the copy comes first");
    let output = super::oauth(&place, &["remove", "--token", &added.token]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("removed token {:?} from user {second:?}", added.token)),
        "{said}"
    );
    assert!(said.contains(&format!("user {first:?}: the user document cannot")), "{said}");
    assert_eq!(document(couch, &second)["oauth"]["tokens"], json!({}));
}

#[test]
fn a_pair_that_was_unknown_is_believed_once_it_is_added() {
    let (couch, gate, place) = start();
    let user = couch.user("apple", &[]);
    let (consumer, token) = (unique("consumer"), unique("token"));
    let words = ["--consumer", &consumer, "--token", &token];
    let guess = super::Added {
        consumer_key: consumer.clone(),
        consumer_secret: "x".to_owned(),
        token: token.clone(),
        token_secret: "x".to_owned(),
        note: String::new(),
    };
    ask(&gate, &signed_with(&guess)).expect(400);
    let added = add(&place, &[&[&*user], &words[..]].concat());
    assert_eq!((&added.consumer_key, &added.token), (&consumer, &token));
    eventually("the pair is known", || {
        (ask(&gate, &signed_with(&added)).status == 200).then_some(())
    });
    // Nobody else gets a token of that name, and its owner no second one.
    let other = couch.user("pear", &[]);
    for user in [&user, &other] {
        let said = failure(oauth(&place, &["add", user]).args(words));
        let expected =
            format!("the token {token:?} exists: remove it first, or choose another name");
        assert_eq!(said, expected);
    }
    let said = failure(&mut oauth(&place, &["remove", "--consumer", &consumer, "--token", "none"]));
    assert_eq!(said, format!("no user has consumer key {consumer:?} and token \"none\""));
    success(oauth(&place, &["remove"]).args(words));
    assert_eq!(document(couch, &user)["oauth"], json!({ "consumer_keys": {}, "tokens": {} }));
    let said = failure(oauth(&place, &["remove"]).args(words));
    assert_eq!(said, format!("no user has consumer key {consumer:?} and token {token:?}"));
}

#[test]
fn user_documents_have_no_file() {
    let couch = Couch::shared();
    let place = place_before(&couch.url, &couch.secret);
    let before = super::read(&place, "couchgate.ini");
    let expected = "--file: with [couch_httpd_oauth] use_users_db = true credentials stand in user \
                    documents, not in an ini file";
    for words in [&["add", "jan"][..], &["remove", "--token", "t"]] {
        let said = failure(oauth(&place, words).args(["--file", "couchgate.ini"]));
        assert_eq!(said, expected);
    }
    assert_eq!(super::read(&place, "couchgate.ini"), before);
    let nobody = unique("nobody");
    let said = failure(&mut oauth(&place, &["add", &nobody]));
    assert_eq!(said, format!("user {nobody:?}: there is no such user"));
    let said = failure(&mut oauth(&place, &["remove", "--token", &nobody]));
    assert_eq!(said, format!("no user has token {nobody:?}"));
    let wrong = place_before(&couch.url, "wrong");
    for words in [&["add", "jan"][..], &["list"], &["remove", "--token", "t"]] {
        let said = failure(&mut oauth(&wrong, words));
        assert!(said.contains("CouchDB answered 40"), "{said}");
    }
}

#[test]
fn a_name_from_a_document_moves_no_cursor() {
    let (upstream, _) = writing("{}", &["201 Created"]);
    let place = place_before(&upstream.url, SECRET);
    let list = success(&mut oauth(&place, &["list"]));
    assert_eq!(list, "t\\u{1b}[2J\tjan\tapp\n");
}

#[test]
fn a_removal_that_fails_in_the_middle_says_what_was_done() {
    let upstream = Recorder::start();
    upstream.own(|request| {
        let target = String::from_utf8_lossy(&request.target);
        if target.starts_with("/_users/_design/oauth/") {
            let row = |user: &str| {
                let value = json!({ "username": user, "consumer_secret": "c", "token_secret": "t" });
                json!({ "id": format!("org.couchdb.user:{user}"), "key": ["app", user], "value": value })
            };
            let rows = json!({ "rows": [row("ada"), row("jan")] });
            return Some(Action::Answer(ok(rows.to_string().as_bytes())));
        }
        let user = target.strip_prefix("/_users/org.couchdb.user:")?.get(..3)?;
        let document = json!({
            "type": "user", "name": user, "roles": [],
            "oauth": { "consumer_keys": { "app": "c", "bpp": "c" }, "tokens": { user: "t" } },
        });
        Some(Action::Answer(match (request.method.as_str(), user) {
            ("GET", _) => ok(document.to_string().as_bytes()),
            (_, "ada") => answer("201 Created", b"{}"),
            _ => answer("500 Internal Server Error", b"{}"),
        }))
    });
    let place = place_before(&upstream.url, SECRET);
    let output = oauth(&place, &["remove", "--consumer", "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "couchgate: removed consumer key \"app\" from user \"ada\"\n\
                    couchgate: user \"jan\": CouchDB answered 500 Internal Server Error\n";
    assert_eq!(said, expected);
    let token = sign(&place, &["GET", "http://h/", "--token", "ada"]);
    assert!(token.contains("oauth_token=\"ada\""), "{token}");
    let said = failure(&mut oauth(&place, &["sign", "GET", "http://h/"]));
    assert_eq!(said, "choose by --token: \"ada\", \"jan\"");
}
