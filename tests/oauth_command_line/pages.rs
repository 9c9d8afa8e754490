//! Many credentials in user documents, which no single answer holds.

use std::sync::{Arc, Mutex};

use couchgate::{
    app,
    cli::SourceArgs,
    couch::{OAUTH_PAGE, OauthRow, oauth_rows},
};
use serde_json::{Value, json};

use super::{documents::place_before, oauth, sign, success};
use crate::support::{
    Couch, Recorder, SECRET,
    couch::unique,
    place::Place,
    recorder::{Action, ok},
};

/// An authentication database of a test's own, and a place that has it in its configuration.
fn start() -> (&'static Couch, String, Place) {
    let (couch, db) = (Couch::shared(), unique("users"));
    couch.request("PUT", &format!("/{db}"), &[], b"").expect(201);
    let place = place_before(&couch.url, &couch.secret);
    let ini = super::read(&place, "couchgate.ini");
    let ini = format!("{ini}[chttpd_auth]\nauthentication_db = {db}\n");
    std::fs::write(place.path().join("couchgate.ini"), ini).unwrap();
    (couch, db, place)
}

fn user(couch: &Couch, db: &str, name: &str, consumers: &Value, tokens: &Value) {
    let document = json!({
        "name": name, "type": "user", "roles": [],
        "oauth": { "consumer_keys": consumers, "tokens": tokens },
    });
    couch.put(&format!("/{db}/org.couchdb.user:{name}"), &document);
}

/// More than 8 MiB, which is more than couchgate takes in one answer.
#[test]
fn more_than_one_answer_holds_is_read() {
    let (couch, db, place) = start();
    let long = "x".repeat(240);
    let names = |what: &str| -> Value {
        (0..10).map(|n| (format!("{what}{n}{long}"), json!(long))).collect()
    };
    for number in 0..90 {
        let name = format!("u{number}");
        user(couch, &db, &name, &names(&format!("{name}-c")), &names(&format!("{name}-t")));
    }
    user(couch, &db, "kim", &json!({ "kim-c": "s" }), &json!({ "kim-t": "u" }));
    let list = success(&mut oauth(&place, &["list"]));
    assert_eq!(list.lines().count(), 90 * 10 + 1);
    assert!(list.contains("kim-t\tkim\tkim-c\n"));
    let signed = sign(&place, &["GET", "http://h/", "--token", "kim-t"]);
    assert!(signed.contains("oauth_consumer_key=\"kim-c\""), "{signed}");
    success(&mut oauth(&place, &["remove", "--token", "kim-t"]));
    success(&mut oauth(&place, &["add", "kim", "--token", "kim-t"]));
}

/// Where a page begins does not matter, nor how many rows have a key.
#[tokio::test]
async fn pages_lose_no_row_and_give_none_twice() {
    let (couch, db, place) = start();
    let secrets = |names: &[&str]| -> Value { names.iter().map(|name| (*name, "s")).collect() };
    let long = "\u{20ac}".repeat(250);
    // To CouchDB, the second is written as the first.
    let odd = ["app", "app\u{1}", "APP", "a\u{e4}", "\"\\&=#", "", long.as_str()];
    user(couch, &db, "ada", &secrets(&odd), &secrets(&["t1", "t2", "t2\u{1}", long.as_str()]));
    for name in ["b1", "b2", "b3", "b4", "b5"] {
        user(couch, &db, name, &secrets(&["app", "bpp"]), &secrets(&["t1", &format!("t-{name}")]));
    }
    let config = SourceArgs {
        config: vec![place.path().join("couchgate.ini")],
        upstream: None,
        bind: None,
        secret_file: None,
    };
    let (_, client) = app::couch(&config.load().unwrap()).unwrap();
    let names = |row: OauthRow| (row.consumer_key, row.token, row.username);
    let all = oauth_rows(&client, &db, None, None, OAUTH_PAGE).await.unwrap();
    let mut all: Vec<_> = all.into_iter().map(names).collect();
    all.sort();
    assert_eq!(all.len(), 7 * 4 + 5 * 4);
    let pairs = [
        (None, None),
        (Some("app"), None),
        (None, Some("t1")),
        (Some("app"), Some("t1")),
        (Some("app\u{1}"), None),
        (Some(&long), None),
        (Some(&long), Some(&*long)),
        (Some(""), None),
        (Some("none"), None),
    ];
    for page in 1..=12 {
        for (consumer, token) in pairs {
            let rows = oauth_rows(&client, &db, consumer, token, page).await.unwrap();
            let mut rows: Vec<_> = rows.into_iter().map(names).collect();
            rows.sort();
            let mut expected = all.clone();
            expected.retain(|(of, _, _)| consumer.is_none_or(|name| name == of));
            expected.retain(|(_, of, _)| token.is_none_or(|name| name == of));
            assert_eq!(rows, expected, "{consumer:?} {token:?}, {page} rows a page");
        }
    }
}

/// Of a view that holds everybody's, only what is named is read.
#[test]
fn what_is_named_is_asked_for() {
    let upstream = Recorder::start();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let targets = Arc::clone(&asked);
    upstream.own(move |request| {
        let target = String::from_utf8_lossy(&request.target).into_owned();
        let query = target.strip_prefix("/_users/_design/oauth/_view/oauth_credentials?")?;
        targets.lock().unwrap().push(query.to_owned());
        let value = json!({ "username": "jan", "consumer_secret": "c", "token_secret": "t" });
        let row = json!({ "id": "org.couchdb.user:jan", "key": ["c", "t"], "value": value });
        Some(Action::Answer(ok(json!({ "rows": [row] }).to_string().as_bytes())))
    });
    let place = place_before(&upstream.url, SECRET);
    for (words, range) in [
        (
            &["--consumer", "c", "--token", "t"][..],
            "startkey=%5B%22c%22%2C%22t%22%5D&endkey=%5B%22c%22%2C%22t%22%5D&",
        ),
        (&["--consumer", "c"], "startkey=%5B%22c%22%5D&endkey=%5B%22c%22%2C%7B%7D%5D&"),
        (&["--token", "t"], ""),
    ] {
        sign(&place, &[&["GET", "http://h/"], words].concat());
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert_eq!(asked, [format!("{range}limit=129&skip=0")]);
    }
}
