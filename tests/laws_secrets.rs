//! Secrets stay secret: nothing a client or an operator entrusts to couchgate turns up in its log,
//! its errors, its metrics or its command line.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "laws_secrets/oauth.rs"]
mod oauth;
mod support;

use serde_json::json;
use support::{
    Gate, Recorder, Reply, basic,
    recorder::{Action, answer, ok, simple_user},
    sign::{session_cookie, token},
};

/// Every secret of this test contains it, whatever it is encoded in.
const SECRET: &str = "canary-shared-secret";

const INI: &str = "[chttpd_auth]\nsecret = canary-shared-secret, canary-old-secret\n\
    [admins]\nroot = canary-admin-password\nother = -hashed-canary-admin-hash,canary-admin-salt\n\
    [jwt_keys]\nhmac:_default = canary-jwt-key\n\
    [oauth_consumer_secrets]\nkey = canary-consumer-secret\n\
    [oauth_token_secrets]\ntoken = canary-token-secret\n\
    [oauth_token_users]\ntoken = jan\n\
    [couch_httpd_oauth]\nallow_plaintext = true\n\
    [log]\nlevel = debug\n";

fn upstream() -> Recorder {
    let upstream = Recorder::scripted(|request| match request.target.as_slice() {
        b"/closed" => Action::Close,
        b"/half" => {
            Action::AnswerAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1".to_vec())
        }
        b"/garbage" => Action::AnswerAndClose(b"garbage\r\n".to_vec()),
        b"/refused" => Action::Answer(answer("401 Unauthorized", b"{\"error\":\"unauthorized\"}")),
        _ => Action::Answer(ok(b"{}")),
    });
    upstream
        .user("jan", "canary-password", &["dev"])
        .user("unrepresentable", "canary-password", &["x,_admin"])
        .user_document(
            "hard",
            json!({
                "roles": [], "password_scheme": "pbkdf2", "iterations": 0,
                "derived_key": "canary-derived-key", "salt": "canary-salt",
            }),
        )
        // Nothing that couchgate can make sense of; what it holds is secret all the same.
        .user_document("text", json!({ "roles": "canary-text" }))
        .user_document("number", json!({ "salt": 7_700_770_077_007_i64, "roles": [] }))
        .user_document("iterations", json!({ "iterations": "canary-iterations", "roles": [] }))
        .user_document("scheme", json!({ "password_scheme": "canary-scheme", "roles": [] }))
        .admins(
            json!({ "upstreams": "-pbkdf2-canary-hash,canary-salt,10", "plain": "canary-plain" }),
        );
    upstream
}

/// All that clients entrust, and some of what they should not have said.
fn entrust(gate: &Gate, secrets: &mut Vec<String>) -> Vec<Reply> {
    let mut replies = Vec::new();
    let salt = "salt";
    let cookie = session_cookie(SECRET, salt, "jan", 5, "sha256");
    let due = session_cookie(SECRET, salt, "jan", 300, "sha256");
    let expired = session_cookie(SECRET, salt, "jan", 700, "sha256");
    let signed = token(SECRET, "front");
    secrets.extend([cookie.clone(), due.clone(), expired.clone(), signed.clone()]);
    let mut authorizations = Vec::new();
    for name in [
        "jan",
        "nobody",
        "root",
        "upstreams",
        "plain",
        "unrepresentable",
        "hard",
        "text",
        "number",
        "iterations",
        "scheme",
    ] {
        for password in ["canary-password", "canary-wrong", "canary-admin-password"] {
            let authorization = basic(name, password);
            secrets.push(authorization["Basic ".len()..].trim_end_matches('=').to_owned());
            authorizations.push(authorization);
            let form = format!("name={name}&password={password}&token=canary-second-factor");
            for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json"] {
                let headers = [("Content-Type", kind)];
                replies.push(gate.request("POST", "/_session", &headers, form.as_bytes()));
            }
        }
    }
    authorizations.extend(
        ["Basic canary!", "Basic", "Bearer canary.canary.canary", "OAuth key=\"canary\"", "canary"]
            .map(str::to_owned),
    );
    for authorization in &authorizations {
        for target in ["/_session", "/db", "/closed", "/half", "/garbage", "/refused"] {
            let mut connection = gate.connect();
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"
            );
            connection.write(head.as_bytes()).unwrap();
            replies.extend(connection.reply(false));
        }
    }
    for cookie in [&cookie, &due, &expired, "canary@@@", "Y2FuYXJ5"] {
        let cookie = format!("AuthSession={cookie}; other=canary-other-cookie");
        replies.push(gate.get("/db", &[("Cookie", &cookie)]));
        replies.push(gate.request("DELETE", "/_session", &[("Cookie", &cookie)], b""));
    }
    for token in [&signed, "canary-token"] {
        let headers = [("X-Auth-CouchDB-UserName", "front"), ("X-Auth-CouchDB-Token", token)];
        replies.push(gate.get("/db", &headers));
    }
    for target in [
        "/db/doc/file?token=canary-download-token",
        "/closed?auth_key=db,canary-auth-key",
        "/db?oauth_token=canary-oauth-token&oauth_signature=canary-signature",
        "/_session?basic=true&password=canary-query",
    ] {
        replies.push(gate.get(target, &[]));
    }
    // What couchgate cannot even read.
    for head in [
        "GET /db?token=canary-token HTTP/1.1\r\nAuthorization: Basic canary\0\r\n\r\n",
        "GET /db HTTP/1.1\r\nHost: a\r\nAuthorization: Basic Y2FuYXJ5\r\nAuthorization: canary\r\n\r\n",
        "GET /db HTTP/1.1\r\nHost: a\r\nX-Auth-CouchDB-Token : canary\r\n\r\n",
        "CONNECT canary:canary@couch HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://jan:canary-password@couch/ HTTP/1.1\r\nHost: jan:canary@couch\r\n\r\n",
        "canary\r\n\r\n",
    ] {
        let mut connection = gate.connect();
        connection.write(head.as_bytes()).unwrap();
        replies.push(connection.reply(false).unwrap().expect(400));
    }
    let json = [("Content-Type", "application/json")];
    for body in [
        r#"{"name":"jan","password":"canary-json","#,
        r#"{"name":"jan","password":["canary-json"]}"#,
        r#"{"name":"jan","username":"canary-name","password":"canary-json"}"#,
        r#"["canary-json"]"#,
        r#""canary-json""#,
    ] {
        replies.push(gate.request("POST", "/_session", &json, body.as_bytes()));
    }
    replies
}

#[test]
fn no_secret_turns_up_anywhere() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, INI);
    let mut secrets: Vec<String> =
        ["canary", "Y2FuYXJ5", "7700770077007"].map(str::to_owned).to_vec();
    // What couchgate tells upstream is as good as a password to it.
    secrets.extend(["jan", "couchgate", "couchgate-forged-user"].map(|name| token(SECRET, name)));
    let mut replies = entrust(&gate, &mut secrets);
    let signed = oauth::sign(&gate, &mut secrets);
    for status in [200, 400, 401] {
        assert!(signed.iter().any(|reply| reply.status == status), "no signed request is {status}");
    }
    replies.extend(signed);
    secrets.extend(
        simple_user("", "canary-password", &[])["password_sha"].as_str().map(str::to_owned),
    );

    let mut places = vec![
        ("metrics", String::from_utf8(gate.admin("/metrics").expect(200).body).unwrap()),
        ("readiness", String::from_utf8(gate.admin("/readyz").body).unwrap()),
        ("command line", std::fs::read_to_string(format!("/proc/{}/cmdline", gate.pid())).unwrap()),
        ("environment", std::fs::read_to_string(format!("/proc/{}/environ", gate.pid())).unwrap()),
    ];
    let mut seen = [false; 4];
    for reply in &replies {
        let (set_cookie, other): (Vec<_>, Vec<_>) =
            reply.headers.iter().partition(|(name, _)| name == "set-cookie");
        for (_, cookie) in set_cookie {
            let value = cookie.split(['=', ';']).nth(1).unwrap();
            seen[0] |= !value.is_empty();
            secrets.extend((!value.is_empty()).then(|| value.to_owned()));
        }
        let body = String::from_utf8_lossy(&reply.body);
        places.push(("answer", format!("{} {other:?} {body}", reply.status)));
        seen[1] |= reply.status == 400;
        seen[2] |= reply.status == 401;
        seen[3] |= reply.status == 502;
    }
    assert_eq!(seen, [true; 4], "these requests do not try what they are meant to");

    let log = gate.log();
    assert!(log.iter().any(|line| line["path"] == "/db/doc/file"), "requests are logged");
    assert!(log.iter().any(|line| line["level"] == "WARN"), "warnings are logged");
    places.extend(log.iter().map(|line| ("log", line.to_string())));
    for (place, text) in &places {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret:?} in {place}: {text}");
        }
    }
}

#[test]
fn no_secret_turns_up_in_what_is_wrong_with_the_configuration() {
    let upstream = Recorder::start();
    let dir = tempfile::tempdir().unwrap();
    for (row, text) in [
        "[chttpd_auth]\nsecret canary\n",
        "canary\n[chttpd_auth]\nsecret = x\n",
        "[chttpd_auth]\nsecret = canary\nsecret_file = /nonexistent\n",
        "[chttpd_auth]\nsecret = canary\n[couchgate]\nnonsense = 1\nupstream = http://a:canary@couch:5984\n",
        "[chttpd_auth]\nsecret = canary\ntimeout = soon\n[admins]\nroot canary\n",
        "[admins]\nroot = canary\n[jwt_keys]\nhmac:_default canary\n",
        "[oauth_consumer_secrets]\nkey = canary\n[oauth_token_secrets]\ntoken canary\n",
        "[oauth_token_secrets]\ntoken = canary\nother_file = /nonexistent\n[chttpd_auth]\ntimeout = x\n",
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("{row}.ini"));
        std::fs::write(&path, text).unwrap();
        for command in ["run", "check"] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_couchgate"))
                .env_clear()
                .args([command, "--config"])
                .arg(&path)
                .args(["--bind", "127.0.0.1:0"])
                .output()
                .unwrap();
            assert!(!output.status.success(), "{text:?}");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains("couchgate: "), "{text:?}: {said}");
            assert!(!said.contains("canary"), "{text:?}: {said}");
        }
    }
    assert_eq!(upstream.take().len(), 0);
}
