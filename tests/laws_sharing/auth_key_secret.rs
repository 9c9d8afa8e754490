//! An auth key is in no log line, no metric and no error.

use serde_json::json;

use super::{
    played::{NEEDED, Played, Question},
    support::{
        Gate, Recorder, Reply, eventually,
        recorder::{Action, answer, ok},
    },
};

/// Every key of this test contains it.
const KEY: &str = "canary";

fn played() -> Played {
    let key =
        |name: &str, roles: &[&str]| json!({ "id": format!("canary-{name}"), "roles": roles });
    let mut expired = key("expired", &[]);
    expired["expires"] = json!(1);
    let mut milliseconds = key("milliseconds", &["dev"]);
    milliseconds["expires"] = json!(2e12);
    let mut malformed = key("malformed", &[]);
    malformed["roles"] = json!("canary-roles");
    let mut text = key("text", &[]);
    text["expires"] = json!("canary-expires");
    Played::holding(vec![
        json!({ "_id": "a", "auth_keys": [
            key("right", &["dev"]), key("comma", &["x,_admin"]), key("system", &["_admin"]),
            key("twice", &[]), expired, milliseconds, malformed, text,
        ] }),
        json!({ "_id": "b", "auth_keys": [key("twice", &[])] }),
        json!({ "_id": "c", "_conflicts": ["1-a"], "auth_keys": [key("conflict", &[])] }),
        json!({ "_id": "d", "auth_keys": [key("garbage", &[])], "_conflicts": "canary-conflicts" }),
    ])
}

const NAMES: [&str; 11] = [
    "right",
    "comma",
    "system",
    "twice",
    "expired",
    "milliseconds",
    "malformed",
    "text",
    "conflict",
    "garbage",
    "unknown",
];

/// Presents each key in each way, well and badly.
fn present(gate: &Gate, replies: &mut Vec<Reply>) {
    for name in NAMES {
        let key = format!("keys,canary-{name}");
        for headers in [
            &[("X-Auth-Key", key.as_str())][..],
            &[("X-Auth-Key", &key), ("X-Auth-Key", &key)],
            &[("X_Auth_Key", &key)],
        ] {
            replies.push(gate.get("/db/doc", headers));
        }
        for query in ["auth_key=@", "auth_key=@&auth_key=@", "%61uth_key=@%00", "auth_key=@%FF"] {
            replies.push(gate.get(&format!("/db/doc?{}", query.replace('@', &key)), &[]));
        }
    }
    for key in ["canary", "canary,canary", ",canary", "_users,canary", "missing,canary"] {
        replies.push(gate.get(&format!("/db/doc?auth_key={key}"), &[]));
    }
    replies.push(gate.get(&format!("/db?auth_key=keys,{}", KEY.repeat(200)), &[]));
}

#[test]
fn a_key_turns_up_nowhere() {
    let played = played();
    let ini = "databases = keys, missing\ncache_ttl = 1\n[log]\nlevel = debug\n";
    let gate = played.gate(ini);
    let mut replies = Vec::new();
    present(&gate, &mut replies);
    // And where what is read for it fails, quoting what it likes.
    for question in NEEDED {
        for bytes in [
            answer("500 Internal Server Error", b"{\"reason\":\"canary-reason\"}"),
            ok(b"{\"rows\":[{\"id\":\"canary-id\",\"key\":7}],\"views\":\"canary-views\",\"auth_keys\":\"canary\"}"),
            ok(b"\"canary-text\""),
            b"canary\r\n\r\n".to_vec(),
            Vec::new(),
        ] {
            played.instead(move |asked| {
                (asked == question).then(|| Action::AnswerAndClose(bytes.clone()))
            });
            let gate = played.gate(ini);
            present(&gate, &mut replies);
            assert_silent(&gate, &[]);
        }
    }
    // Where CouchDB goes away under it.
    let closing = Recorder::scripted(|_| Action::Close);
    closing.own(|request| {
        let is_design = request.target.ends_with(b"/_auth_keys");
        is_design.then(|| Action::Answer(answer("404 Object Not Found", b"{}")))
    });
    let unreachable = Gate::start(&closing.url, &format!("[couch_authkey]\n{ini}"));
    present(&unreachable, &mut replies);
    assert_silent(&unreachable, &[]);

    for status in [200, 401, 403, 502, 503] {
        assert!(replies.iter().any(|reply| reply.status == status), "no answer is {status}");
    }
    assert_silent(&gate, &replies);
    let log = gate.log();
    assert!(log.iter().any(|line| line["level"] == "WARN"), "warnings are logged");
}

#[track_caller]
fn assert_silent(gate: &Gate, replies: &[Reply]) {
    let metrics = String::from_utf8(gate.admin("/metrics").expect(200).body).unwrap();
    let log = gate.log();
    assert!(log.iter().any(|line| line["path"] == "/db/doc"), "requests are logged");
    let mut places = vec![metrics, String::from_utf8(gate.admin("/readyz").body).unwrap()];
    places.extend(log.iter().map(ToString::to_string));
    places.extend(
        replies
            .iter()
            .map(|reply| format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body))),
    );
    for place in &places {
        assert!(!place.contains(KEY), "{place}");
    }
}

#[test]
fn the_access_log_says_whose_database_it_was() {
    let played = played();
    let gate = played.gate("");
    let line = |path: &str| {
        eventually("the line", || gate.log().into_iter().find(|line| line["path"] == path))
    };
    gate.get("/db/right?auth_key=keys,canary-right&limit=1", &[]).expect(200);
    let right = line("/db/right");
    assert_eq!(right["user"], "keys,...", "{right}");
    assert_eq!(right["handler"], "authkey", "{right}");
    gate.get("/db/wrong", &[("X-Auth-Key", "keys,canary-unknown")]).expect(401);
    let wrong = line("/db/wrong");
    assert_eq!((&wrong["user"], &wrong["handler"]), (&json!("-"), &json!("-")), "{wrong}");
    assert_eq!(wrong["status"], 401, "{wrong}");
    assert!(played.asked().iter().any(|(question, _)| *question == Question::Document));
}
