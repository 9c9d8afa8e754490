//! User documents that are written, and those that are not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{add, documents::place_before, failure, oauth, success};
use crate::support::{
    Couch, Recorder, SECRET,
    recorder::{Action, answer, ok},
};

/// An upstream with jan's document, which is written with these answers.
pub(super) fn writing(
    document: &str,
    answers: &'static [&'static str],
) -> (Recorder, Arc<Mutex<Vec<Value>>>) {
    writing_token("t\u{1b}[2J", document, answers)
}

/// The view says that it has this token.
fn writing_token(
    token: &'static str,
    document: &str,
    answers: &'static [&'static str],
) -> (Recorder, Arc<Mutex<Vec<Value>>>) {
    let upstream = Recorder::start();
    let written = Arc::new(Mutex::new(Vec::new()));
    let document = document.to_owned();
    let writes = Arc::clone(&written);
    upstream.own(move |request| {
        let target = String::from_utf8_lossy(&request.target);
        if target.starts_with("/_users/_design/oauth/") {
            let value = json!({ "username": "jan", "consumer_secret": "c", "token_secret": "t" });
            let row =
                json!({ "id": "org.couchdb.user:jan", "key": ["app", token], "value": value });
            return Some(Action::Answer(ok(json!({ "rows": [row] }).to_string().as_bytes())));
        }
        if !target.starts_with("/_users/org.couchdb.user:jan") {
            return None;
        }
        if request.method == "GET" {
            // Every reading finds a revision of its own.
            let revision = format!("{}-x", writes.lock().unwrap().len() + 1);
            return Some(Action::Answer(ok(document.replace("REVISION", &revision).as_bytes())));
        }
        let mut writes = writes.lock().unwrap();
        writes.push(serde_json::from_slice(&request.body).unwrap());
        Some(Action::Answer(answer(answers[(writes.len() - 1).min(answers.len() - 1)], b"{}")))
    });
    (upstream, written)
}

#[test]
fn a_document_that_changes_meanwhile_is_read_again_once() {
    let document = json!({
        "_id": "org.couchdb.user:jan", "_rev": "REVISION", "type": "user", "name": "jan", "roles": ["dev"],
        "salt": "s", "oauth": { "x": [null, 1.5], "consumer_keys": { "app": "canary-app" } },
        "\u{e4}": { "_deep": [{}, "\u{1f600}\u{0}"] }, "_attachments": { "a": { "stub": true } },
    });
    let (upstream, written) = writing(&document.to_string(), &["409 Conflict", "201 Created"]);
    let place = place_before(&upstream.url, SECRET);
    let added = add(&place, &["jan", "--consumer", "app", "--token", "t"]);
    assert_eq!(added.consumer_secret, "canary-app");
    let written = std::mem::take(&mut *written.lock().unwrap());
    assert_eq!(written.len(), 2);
    let mut expected = document.clone();
    expected["oauth"]["tokens"] = json!({ "t": added.token_secret });
    for (rev, written) in ["1-x", "2-x"].iter().zip(written) {
        expected["_rev"] = json!(rev);
        assert_eq!(written, expected);
    }

    let (upstream, written) = writing(&document.to_string(), &["409 Conflict"]);
    let place = place_before(&upstream.url, SECRET);
    let said = failure(&mut oauth(&place, &["add", "jan"]));
    let expected = "user \"jan\": the user document was changed by somebody else at the same time, \
                    try again";
    assert_eq!(said, expected);
    assert_eq!(written.lock().unwrap().len(), 2);
}

#[test]
fn a_document_that_could_be_read_otherwise_is_not_written() {
    let jan = |fields: &str| format!("{{\"type\":\"user\",\"name\":\"jan\",\"roles\":[]{fields}}}");
    let no_object = |what: &str| format!("the user document's `{what}` is not an object");
    let no_secret =
        "the user document's consumer key \"app\" has no secret that can be used".to_owned();
    let not_understood = "the user document cannot be understood".to_owned();
    for (document, expected) in [
        (jan(r#","oauth":"canary""#), no_object("oauth")),
        (jan(r#","oauth":{"tokens":["canary"]}"#), no_object("tokens")),
        (jan(r#","oauth":{"consumer_keys":1}"#), no_object("consumer_keys")),
        (jan(r#","oauth":{"consumer_keys":{"app":1}}"#), no_secret.clone()),
        (jan(r#","oauth":{"consumer_keys":{"app":""}}"#), no_secret.clone()),
        // It would be shown to a terminal.
        (jan(r#","oauth":{"consumer_keys":{"app":"canary\ntoken_secret = x"}}"#), no_secret),
        (jan(r#","oauth":{"tokens":{"t":"canary"}}"#), "the token \"t\" exists".to_owned()),
        (
            jan(r#","_conflicts":["1-a"]"#),
            "the user document has conflicts, which must be resolved first".to_owned(),
        ),
        // Two readers could take either.
        (jan(r#","roles":["_admin"]"#), not_understood.clone()),
        (jan(r#","salt":7"#), not_understood.clone()),
        (jan("").replace("jan", "canary"), not_understood.clone()),
        (jan("").replace("user", "canary"), not_understood.clone()),
        ("\"canary\"".to_owned(), not_understood.clone()),
        ("canary".to_owned(), not_understood),
    ] {
        let (upstream, written) = writing(&document, &["201 Created"]);
        let place = place_before(&upstream.url, SECRET);
        let words = ["add", "jan", "--consumer", "app", "--token", "t"];
        let said = failure(&mut oauth(&place, &words));
        assert_eq!(said, format!("user \"jan\": {expected}"), "{document}");
        assert!(written.lock().unwrap().is_empty(), "{document}");
    }
    let (upstream, _) = writing(&jan(""), &["403 Forbidden"]);
    let place = place_before(&upstream.url, SECRET);
    let said = failure(&mut oauth(&place, &["add", "jan"]));
    assert_eq!(said, "user \"jan\": CouchDB answered 403 Forbidden");
}

#[test]
fn a_number_is_written_back_as_it_was() {
    const NUMBERS: &str = "[18446744073709551616,-9223372036854775809,1.10,0.1e1]";
    let document = format!(
        "{{\"type\":\"user\",\"name\":\"jan\",\"roles\":[],\"n\":{NUMBERS},\"oauth\":null}}"
    );
    let (upstream, bodies) = bodies(document);
    let place = place_before(&upstream.url, SECRET);
    add(&place, &["jan"]);
    let bodies = bodies.lock().unwrap();
    assert!(bodies[0].contains(&format!("\"n\":{NUMBERS}")), "{bodies:?}");
}

/// An upstream with a document of jan's, and the texts that are written in its place.
fn bodies(document: String) -> (Recorder, Arc<Mutex<Vec<String>>>) {
    let upstream = Recorder::start();
    let written = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&written);
    upstream.own(move |request| {
        let target = String::from_utf8_lossy(&request.target);
        target.strip_prefix("/_users/org.couchdb.user:jan")?;
        if request.method == "PUT" {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            writes.lock().unwrap().push(text);
        }
        Some(Action::Answer(ok(document.as_bytes())))
    });
    (upstream, written)
}

/// What the other half would be left for: the view has pairs only.
#[test]
fn what_is_left_without_a_partner_is_removed_too() {
    let two = json!({ "app": "c", "bpp": "d" });
    let one = json!({ "app": "c" });
    let malformed = json!({ "app": "c", "bpp": 1 });
    let (tokens, t) = (json!({ "t": "s", "u": "v" }), json!({ "t": "s" }));
    let of_jan = "from user \"jan\"";
    let keys_too = ", and the consumer keys, for no token is left";
    let tokens_too = ", and the tokens, for no consumer key is left";
    for (consumers, tokens, words, left, said) in [
        (&two, &t, "--token t", json!([{}, {}]), format!("token \"t\" {of_jan}{keys_too}")),
        (&one, &t, "--token t", json!([{}, {}]), format!("token \"t\" {of_jan}{keys_too}")),
        (&one, &tokens, "--token t", json!([one, { "u": "v" }]), format!("token \"t\" {of_jan}")),
        (
            &one,
            &tokens,
            "--consumer app",
            json!([{}, {}]),
            format!("consumer key \"app\" {of_jan}{tokens_too}"),
        ),
        (
            &malformed,
            &t,
            "--consumer app",
            json!([{ "bpp": 1 }, {}]),
            format!("consumer key \"app\" {of_jan}{tokens_too}"),
        ),
        (
            &two,
            &tokens,
            "--consumer app",
            json!([{ "bpp": "d" }, tokens]),
            format!("consumer key \"app\" {of_jan}"),
        ),
        (
            &one,
            &t,
            "--consumer app --token t",
            json!([{}, {}]),
            format!("consumer key \"app\" and token \"t\" {of_jan}"),
        ),
        (
            &two,
            &t,
            "--consumer app --token t",
            json!([{}, {}]),
            format!("consumer key \"app\" and token \"t\" {of_jan}{keys_too}"),
        ),
    ] {
        let document = json!({
            "type": "user", "name": "jan", "roles": [],
            "oauth": { "consumer_keys": consumers, "tokens": tokens },
        });
        let (upstream, written) = writing_token("t", &document.to_string(), &["201 Created"]);
        let place = place_before(&upstream.url, SECRET);
        let words: Vec<&str> = ["remove"].into_iter().chain(words.split(' ')).collect();
        assert_eq!(success(&mut oauth(&place, &words)), format!("removed {said}\n"), "{words:?}");
        let oauth = &written.lock().unwrap()[0]["oauth"];
        assert_eq!(json!([oauth["consumer_keys"], oauth["tokens"]]), left, "{words:?}");
    }
}

#[test]
fn a_server_admin_gets_no_credentials_in_a_document() {
    let refusal = |user: &str| {
        format!(
            "user {user:?}: a server admin cannot sign this way, credentials for admins stand in \
             the configuration"
        )
    };
    let document = json!({ "type": "user", "name": "jan", "roles": [] }).to_string();
    let (upstream, written) = writing(&document, &["201 Created"]);
    let place = place_before(&upstream.url, SECRET);
    upstream.admins(json!({ "jan": "-pbkdf2-aa,bb,10" }));
    assert_eq!(failure(&mut oauth(&place, &["add", "jan"])), refusal("jan"));

    upstream.admins(json!({}));
    let admins = "[admins]\njan = -pbkdf2-aa,bb,10\n";
    std::fs::write(place.path().join("admins.ini"), admins).unwrap();
    let mut command = oauth(&place, &["add", "jan", "--config", "admins.ini"]);
    assert_eq!(failure(&mut command), refusal("jan"));
    assert!(written.lock().unwrap().is_empty());
    success(&mut oauth(&place, &["add", "jan"]));

    // Whose admins are not admins here.
    upstream.admins(json!({ "jan": "-pbkdf2-aa,bb,10" }));
    let own = "[couchgate]\nadmins_from_upstream = false\n";
    std::fs::write(place.path().join("own.ini"), own).unwrap();
    success(&mut oauth(&place, &["add", "jan", "--config", "own.ini"]));

    let couch = Couch::shared();
    let place = place_before(&couch.url, &couch.secret);
    let admin = &couch.admin.0;
    assert_eq!(failure(&mut oauth(&place, &["add", admin])), refusal(admin));
}
