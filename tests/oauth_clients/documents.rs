//! Documents, logins and replications of users who sign.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ALL, Client,
    programs::{CONSUMER, ini},
    support::{Couch, Gate, couch::unique},
};

/// A user, a database that only the role `dev` may use, and couchgate.
struct User {
    couch: &'static Couch,
    gate: Gate,
    name: String,
    db: String,
}

impl User {
    fn start(role: &str) -> Self {
        let couch = Couch::shared();
        let name = couch.user("apple", &[role]);
        let settings = format!("[chttpd_auth]\nsecret = {}\n{}", couch.secret, ini(&name));
        let gate = Gate::start(&couch.url, &settings);
        Self { couch, gate, name, db: couch.database() }
    }

    fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.gate.address)
    }

    /// What PouchDB says of a replication that this user signs.
    fn replicate(&self, source: &str, target: &str, signature: &str) -> Value {
        let [source, target] = [source, target].map(|db| self.url(&format!("/{db}")));
        let ends = json!({ "source": source, "target": target });
        Client::Oauth10a.ask(&json!({ "replicate": ends, "signature": signature }))
    }
}

/// Ids as a client writes them in a path.
const IDS: &[(&str, &str)] = &[
    ("plain", "plain"),
    ("a%2Fb", "a/b"),
    ("a%2fc", "a/c"),
    ("%C3%A4%E2%82%AC%F0%9F%9B%8B", "ä€🛋"),
    ("a%20b%2Bc", "a b+c"),
    ("100%25%3F%23", "100%?#"),
    ("!*'()~:@,;=&$", "!*'()~:@,;=&$"),
];

/// oauthlib signs a digest of the document too (`oauth_body_hash`), which nobody else does.
#[test]
fn documents_are_written_and_read_back() {
    let user = User::start("dev");
    for client in ALL {
        for signature in ["HMAC-SHA1", "HMAC-SHA256"] {
            let db = user.couch.database();
            for (path, id) in IDS {
                let url = user.url(&format!("/{db}/{path}"));
                let document = json!({ "text": "ä&b=c", "by": client.to_string() });
                let fields = json!({ "json": document, "signature": signature });
                let put = client.send(user.gate.address, "PUT", &url, &fields);
                assert_eq!(put.status, 201, "{client}: {path}: {put:?}");
                assert_eq!(put.json()["id"], *id, "{client}: {put:?}");
                let fields = json!({ "signature": signature, "place": "query" });
                let read = client.send(user.gate.address, "GET", &url, &fields).json();
                assert_eq!((&read["_id"], &read["text"]), (&json!(id), &document["text"]));
            }
            let fields = json!({ "json": { "posted": [1, 2] }, "signature": signature });
            let post =
                client.send(user.gate.address, "POST", &user.url(&format!("/{db}")), &fields);
            assert_eq!(post.status, 201, "{client}: {post:?}");
            let target = format!("/{db}/{}", post.json()["id"].as_str().unwrap());
            let stored = user.couch.request("GET", &target, &[], b"").expect(200).json();
            assert_eq!(stored["posted"], json!([1, 2]));
        }
    }
}

#[test]
fn couchdb_decides_by_the_users_roles() {
    let (dev, other) = (User::start("dev"), User::start("other"));
    for client in ALL {
        for (user, status) in [(&dev, 201), (&other, 403)] {
            let url = user.url(&format!("/{}/{}", dev.db, unique("doc")));
            let fields = json!({ "json": { "a": 1 } });
            let answer = client.send(user.gate.address, "PUT", &url, &fields);
            assert_eq!(answer.status, status, "{client}: {}: {answer:?}", user.name);
        }
    }
}

#[test]
fn a_signed_form_logs_in() {
    let user = User::start("dev");
    let form = json!([["name", user.name], ["password", "apple"]]);
    let wrong = json!([["name", user.name], ["password", "pear"]]);
    for client in ALL {
        for place in ["header", "query", "body"] {
            let send = |form: &Value, consumer: [&str; 2]| {
                let fields = json!({ "form": form, "place": place, "consumer": consumer });
                client.send(user.gate.address, "POST", &user.url("/_session"), &fields)
            };
            let login = send(&form, CONSUMER);
            assert_eq!(login.status, 200, "{client}: {place}: {login:?}");
            assert_eq!(login.json()["name"], user.name.as_str());
            let refused = send(&wrong, CONSUMER);
            assert_eq!(refused.json()["reason"], "Name or password is incorrect.", "{client}");
            let unsigned = send(&form, ["consumer1", "another secret"]);
            assert_eq!(unsigned.status, 401, "{client}: {place}: {unsigned:?}");
            assert_eq!(unsigned.json()["reason"], "Invalid OAuth signature.");
        }
    }
}

#[test]
fn pouchdb_replicates_with_signed_requests() {
    let user = User::start("dev");
    let (source, target) = (&user.db, user.couch.database());
    for (path, id) in IDS {
        user.couch.put(&format!("/{source}/{path}"), &json!({ "text": id }));
    }
    let attachment = json!({ "content_type": "text/plain", "data": "YXR0YWNoZWQ=" });
    let document = json!({ "_attachments": { "a/ä.txt": attachment } });
    user.couch.put(&format!("/{source}/attached"), &document);

    let written = IDS.len() + 1;
    for signature in ["HMAC-SHA256", "HMAC-SHA1"] {
        let result = user.replicate(source, &target, signature);
        // The second time the target has everything.
        let pushed = if signature == "HMAC-SHA256" { written } else { 0 };
        assert_eq!(result, json!({ "pulled": written, "pushed": pushed }), "{signature}");
    }
    assert_eq!(revisions(user.couch, &target), revisions(user.couch, source));
    let path = format!("/{target}/attached/a%2F%C3%A4.txt");
    assert_eq!(user.couch.request("GET", &path, &[], b"").expect(200).body, b"attached");

    let stranger = User::start("other");
    let refused = stranger.replicate(source, &target, "HMAC-SHA1");
    let error = refused["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("forbidden: "), "{refused}");
}

fn revisions(couch: &Couch, db: &str) -> BTreeMap<String, Value> {
    let all = couch.request("GET", &format!("/{db}/_all_docs"), &[], b"").expect(200).json();
    let rows = all["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["id"].to_string(), row["value"]["rev"].clone())).collect()
}
