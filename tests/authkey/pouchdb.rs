//! PouchDB with an auth key in the headers it sends.

use serde_json::{Value, json};

use super::{own::Own, programs::Client};

#[test]
fn pouchdb_replicates_with_a_key() {
    let own = Own::start("");
    let keys = json!([{ "id": "dev", "roles": ["dev"] }, { "id": "none", "roles": ["others"] }]);
    own.keys("holder", &keys);
    own.couch.put(&own.path("a/ä"), &json!({ "text": "one" }));
    let target = own.couch.database();
    let replicate = |key: &str| -> Value {
        let [source, target] =
            [&own.db, &target].map(|db| format!("http://{}/{db}", own.gate.address));
        let ends = json!({ "source": source, "target": target });
        let key = format!("{},{key}", own.db);
        Client::Oauth10a.ask(&json!({ "replicate": ends, "auth_key": key }))
    };
    // The first request has couchgate write its design document, which is replicated too but may
    // not be written by whoever is no admin.
    assert_eq!(replicate("dev"), json!({ "pulled": 3, "pushed": 2 }));
    let copied = own.couch.request("GET", &format!("/{target}/a%2F%C3%A4"), &[], b"");
    assert_eq!(copied.expect(200).json()["text"], "one");
    for (key, error) in [("none", "forbidden: "), ("unknown", "unauthorized: invalid key")] {
        let refused = replicate(key);
        assert!(refused["error"].as_str().unwrap_or_default().starts_with(error), "{refused}");
    }
}
