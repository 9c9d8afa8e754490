//! The recorded users, database, configurations and requests.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use couchgate::{passwords::PasswordHash, secret::HashAlgorithm, user_ctx::HandlerName};
use serde_json::{Value, json};

use crate::support::{
    Couch, Gate, Reply,
    recorder::simple_user,
    sign::{session_cookie, totp},
};

/// What the requests are sent to.
pub(super) const HOST: &str = "couch.example:5984";

/// The users and the database of the recording, where they are not there yet.
pub(super) fn set_up(couch: &Couch) {
    let user = |name: &str, fields: Value| {
        let path = format!("/_users/org.couchdb.user:{name}");
        if couch.request("GET", &path, &[], b"").status == 200 {
            return;
        }
        let mut document =
            json!({ "name": name, "type": "user", "roles": [], "password": "apple" });
        for (key, value) in fields.as_object().unwrap() {
            document[key] = value.clone();
        }
        couch.put(&path, &document);
    };
    user("jan", json!({ "roles": ["dev"] }));
    user("pomme", json!({ "roles": ["dev", "ops"], "password": "päss:wörd" }));
    user("lock", json!({}));
    // The base32 of 12345678901234567890.
    user("totp", json!({ "totp": { "key": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" } }));
    conflicted_user(couch);

    if couch.request("GET", "/golden", &[], b"").status == 404 {
        couch.request("PUT", "/golden", &[], b"").expect(201);
    }
    couch.put("/golden/_security", &json!({ "members": { "roles": ["dev"] } }));
    if couch.request("GET", "/golden/doc", &[], b"").status == 404 {
        couch.put("/golden/doc", &json!({ "a": 1 }));
    }
}

/// The user `clash` twice, as replication leaves him behind.
fn conflicted_user(couch: &Couch) {
    let revision = |number: u32| {
        let mut document = simple_user("clash", "apple", &[]);
        document["password_scheme"] = json!("simple");
        document["_rev"] = json!(format!("1-{number:032}"));
        document
    };
    let body = json!({ "new_edits": false, "docs": [revision(1), revision(2)] });
    let json = [("Content-Type", "application/json")];
    couch.request("POST", "/_users/_bulk_docs", &json, body.to_string().as_bytes()).expect(201);
}

/// couchgate's configuration for a recorded one.
pub(super) fn ini(config: &Value, couch: &Couch, secret: &str) -> String {
    // The recorded tokens need the recorded secret, CouchDB needs its own.
    let mut lines = vec![format!("[chttpd_auth]\nsecret = {}, {secret}", couch.secret)];
    for (key, value) in config.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(match key.as_str() {
            "authentication_handlers" => {
                format!("[chttpd]\n{key} = {}", configured_handlers(value).join(", "))
            }
            "require_valid_user" | "require_valid_user_except_for_up" => {
                format!("[chttpd]\n{key} = {text}")
            }
            // Without a token couchgate believes only those it was told to trust.
            "proxy_use_secret" => {
                format!(
                    "[chttpd_auth]\n{key} = {text}\n[couchgate]\ntrusted_proxies = 127.0.0.1/32"
                )
            }
            "same_site" | "cookie_domain" | "timeout" => format!("[chttpd_auth]\n{key} = {text}"),
            "jwt_keys" => section(key, value),
            "cors" => format!("[chttpd]\nenable_cors = true\n{}", section(key, value)),
            "lockout" => {
                assert_eq!(text, "enforce, threshold 5");
                "[chttpd_auth_lockout]\nmode = enforce\nthreshold = 5".to_owned()
            }
            other => panic!("{other} = {text} cannot be configured"),
        });
    }
    if config.get("lockout").is_none() {
        lines.push("[chttpd_auth_lockout]\nmode = off".to_owned());
    }
    // An operator's server has an admin of this name with a password of his own.
    let admin = PasswordHash::pbkdf2("secretpw", "salt", HashAlgorithm::Sha256, 10);
    lines.push(format!(
        "[couchgate]\nadmins_from_upstream = false\n[admins]\nadmin = {}",
        admin.to_admin_value()
    ));
    lines.join("\n")
}

fn section(name: &str, values: &Value) -> String {
    let values = values.as_object().unwrap().iter();
    let lines = values.map(|(key, value)| format!("\n{key} = {}", value.as_str().unwrap()));
    format!("[{name}]{}", lines.collect::<String>())
}

/// The recorded handlers that couchgate has: a new one is configured as soon as there is one.
pub(super) fn configured_handlers(recorded: &Value) -> Vec<&str> {
    let recorded = recorded.as_array().unwrap().iter().map(|handler| handler.as_str().unwrap());
    recorded.filter(|name| HandlerName::ALL.iter().any(|ours| ours.as_str() == *name)).collect()
}

pub(super) fn ask(gate: &Gate, request: &Value, couch: &Couch, secret: &str) -> Reply {
    let fill = |text: &Value| filled(text.as_str().unwrap(), couch, secret);
    let headers = request["headers"].as_object().unwrap();
    let headers: Vec<(&str, String)> =
        headers.iter().map(|(name, value)| (name.as_str(), fill(value))).collect();
    let mut headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("Host", HOST));
    let body = if request["body"].is_null() { String::new() } else { fill(&request["body"]) };
    let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
    gate.request(method, path, &headers, body.as_bytes())
}

/// A text with its `{{...}}` replaced.
fn filled(text: &str, couch: &Couch, secret: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
    let (template, after) = rest.split_once("}}").unwrap();
    let (kind, parameters) = template.split_once(' ').unwrap();
    let parameters: BTreeMap<&str, &str> =
        parameters.split(' ').map(|parameter| parameter.split_once('=').unwrap()).collect();
    let value = match kind {
        "cookie" => {
            let name = parameters["name"];
            let path = format!("/_users/org.couchdb.user:{name}");
            let user = couch.request("GET", &path, &[], b"").json();
            let salt = user["salt"].as_str().unwrap_or_default();
            let secret = parameters.get("secret").unwrap_or(&secret);
            let age = parameters["age"].parse().unwrap();
            session_cookie(secret, salt, name, age, parameters["alg"])
        }
        "totp" => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            totp(parameters["key"], now.as_secs())
        }
        other => panic!("what is {other}?"),
    };
    format!("{before}{value}{}", filled(after, couch, secret))
}
