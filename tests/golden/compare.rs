//! What is the same about two answers.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{
    UPSTREAMS, name,
    replay::{HOST, configured_handlers},
};
use crate::support::Reply;

/// Fields of CouchDB's own answers that vary from server to server.
const VARYING: &[&str] = &["version", "git_sha", "uuid", "features", "vendor", "seeds", "_rev"];

/// Headers whose absence is an answer too.
const SPEAKING: &[&str] = &["www-authenticate", "set-cookie", "location", "allow"];

/// Whether couchgate's answer is the one that a case expects; if not, what differs.
pub(super) fn compare(answer: &Reply, case: &Value) -> Result<(), String> {
    if let Some(expect) = case.get("expect") {
        let body = answer.json();
        let same = expect["status"] == answer.status && expect["error"] == body["error"];
        return if same && body["reason"].is_string() {
            Ok(())
        } else {
            Err(format!("{} {body} instead of {expect}", answer.status))
        };
    }
    let recorded = &case["response"];
    if recorded["status"] != answer.status {
        return Err(format!("{} instead of {}", answer.status, recorded["status"]));
    }
    let is_upstreams = UPSTREAMS.contains(&name(case));
    if !is_upstreams {
        compare_headers(answer, &recorded["headers"])?;
    }
    let expected = match &recorded["body"] {
        Value::Null => return compare_with("body", &answer.body.is_empty(), &true),
        body => with_handlers(body.clone(), &case["config"]),
    };
    let body = serde_json::from_slice::<Value>(&answer.body).map_err(|error| error.to_string())?;
    if is_upstreams && answer.status == 200 {
        return compare_with("body", &without_varying(body), &without_varying(expected));
    }
    compare_with("body", &body, &expected)
}

fn compare_with<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, was: &T) -> Result<(), String> {
    if is == was { Ok(()) } else { Err(format!("{what}: {is:?} instead of {was:?}")) }
}

fn compare_headers(answer: &Reply, recorded: &Value) -> Result<(), String> {
    let pair =
        |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    let recorded: Vec<(String, String)> = recorded.as_array().unwrap().iter().map(pair).collect();
    let names = recorded.iter().map(|(name, _)| name.as_str());
    for name in names.chain(SPEAKING.iter().copied()) {
        let was: Vec<&str> = recorded
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let is: Vec<String> =
            answer.all(name).into_iter().map(|value| with_placeholders(name, value)).collect();
        compare_with(name, &is.iter().map(String::as_str).collect(), &was)?;
    }
    Ok(())
}

/// A header's value with what varies replaced as in the recording.
fn with_placeholders(name: &str, value: &str) -> String {
    match name {
        "location" => value.replace(HOST, "<host>"),
        "set-cookie" => {
            let attributes = value.split("; ").map(|attribute| match attribute.split_once('=') {
                Some(("AuthSession", cookie)) if is_cookie(cookie) => "AuthSession=<cookie>",
                Some(("Expires", date)) if is_soon(date) => "Expires=<date>",
                _ => attribute,
            });
            attributes.collect::<Vec<_>>().join("; ")
        }
        _ => value.to_owned(),
    }
}

fn is_cookie(value: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !value.is_empty() && value.bytes().all(is_base64url)
}

/// No recorded timeout is longer than ten minutes.
fn is_soon(date: &str) -> bool {
    let date = httpdate::parse_http_date(date).unwrap();
    date.duration_since(SystemTime::now()).is_ok_and(|wait| wait.as_secs() <= 600)
}

fn with_handlers(mut body: Value, config: &Value) -> Value {
    if let Some(handlers) = body.pointer_mut("/info/authentication_handlers") {
        *handlers = json!(configured_handlers(&config["authentication_handlers"]));
    }
    body
}

fn without_varying(mut body: Value) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.retain(|key, _| !VARYING.contains(&key.as_str()));
    }
    body
}
