//! The configuration of OAuth: what is read, what is doubtful and what is wrong.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use support::{Gate, Recorder, SECRET, place::Place};

/// What `couchgate check` prints of a configuration that it accepts, but for its last line.
#[track_caller]
fn warnings(place: &Place, arguments: &str) -> Vec<String> {
    let upstream = Recorder::start();
    let arguments = format!("check --upstream {} {arguments}", upstream.url);
    let output = place.couchgate(&arguments, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("canary"), "{said}");
    let warnings = said.strip_suffix("configuration and upstream are in order\n");
    let warnings = warnings.unwrap_or_else(|| panic!("{said}")).lines();
    warnings.map(|line| line.strip_prefix("warning: ").unwrap().to_owned()).collect()
}

/// A configuration whose handlers are these; `ini` begins in its line 5.
fn with_handlers(handlers: &str, ini: &str) -> String {
    format!(
        "[chttpd]\nauthentication_handlers = {handlers}\n[chttpd_auth]\nsecret = {SECRET}\n{ini}\n"
    )
}

const CONSUMER: &str = "[oauth_consumer_secrets]\napp = canary-app\n";
const TOKEN: &str = "[oauth_token_secrets]\nt = canary-t\n[oauth_token_users]\nt = jan\n";
const USERS_DB: &str = "[couch_httpd_oauth]\nuse_users_db = true\n";

#[test]
fn what_lets_nobody_in_is_doubtful() {
    let both = format!("{CONSUMER}{TOKEN}");
    let lacks = "OAuth is configured, but authentication_handlers lacks oauth";
    let no_effect = |section: &str| format!("[{section}] has no effect with use_users_db = true");
    let place = Place::with(&[("t.secret", "canary-of-t\n")]);
    let file = format!("t_file = {}\n", place.path().join("t.secret").display());
    for (handlers, ini, expected) in [
        ("oauth, default", both.as_str(), &[][..]),
        ("oauth", "", &[]),
        ("oauth", USERS_DB, &[]),
        ("default", "", &[]),
        // Without the handler, once.
        ("default", CONSUMER, &[format!("a.ini:6: {lacks}")]),
        ("default", TOKEN, &[format!("a.ini:6: {lacks}")]),
        ("default", USERS_DB, &[format!("a.ini:6: {lacks}")]),
        ("cookie", &format!("{both}{USERS_DB}"), &[format!("a.ini:12: {lacks}")]),
        ("default", "[couch_httpd_oauth]\ntimestamp_window = 60\n", &[format!("a.ini:6: {lacks}")]),
        // Beside user documents.
        (
            "oauth",
            &format!("{USERS_DB}{both}"),
            &[
                format!("a.ini:8: {}", no_effect("oauth_consumer_secrets")),
                format!("a.ini:10: {}", no_effect("oauth_token_secrets")),
                format!("a.ini:12: {}", no_effect("oauth_token_users")),
            ],
        ),
        // Half a token.
        (
            "oauth",
            "[oauth_token_secrets]\nt = canary-t\nu = canary-u\n[oauth_token_users]\nu = jan\n",
            &["a.ini:6: [oauth_token_users] has no user for this token".to_owned()],
        ),
        (
            "oauth",
            "[oauth_token_users]\nt = jan\nu = jan\n[oauth_token_secrets]\nt = canary-t\n",
            &["a.ini:7: [oauth_token_secrets] has no secret for this token".to_owned()],
        ),
        (
            "oauth",
            "[oauth_token_users]\nt = jan\n[oauth_token_secrets]\nt =\n",
            &["a.ini:6: [oauth_token_secrets] has no secret for this token".to_owned()],
        ),
        // A secret in a file of its own is one.
        ("oauth", &format!("[oauth_token_users]\nt = jan\n[oauth_token_secrets]\n{file}"), &[]),
        (
            "oauth",
            &format!("[oauth_token_secrets]\n{file}"),
            &["a.ini:6: [oauth_token_users] has no user for this token".to_owned()],
        ),
        // What CouchDB 1.x took for a name is one.
        (
            "oauth",
            "[oauth_token_users]\nt_file = jan\n[oauth_token_secrets]\nt_file = canary-t\n",
            &[],
        ),
    ] {
        fs::write(place.path().join("a.ini"), with_handlers(handlers, ini)).unwrap();
        assert_eq!(warnings(&place, "--config a.ini"), expected, "{handlers}: {ini}");
    }
}

#[test]
fn a_doubt_is_logged_at_the_start() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "[oauth_token_users]\ncanary = jan\n");
    let log = gate.log();
    let warned = log.iter().any(|line| {
        let said = line["message"].as_str().unwrap_or_default();
        said.ends_with("[oauth_token_secrets] has no secret for this token")
    });
    assert!(warned, "{log:?}");
}

#[test]
fn a_fault_is_one_line_that_names_its_place() {
    let place = Place::with(&[
        ("empty", "\n\n"),
        ("binary", ""),
        ("one", "canary-1\n"),
        ("two", "canary-1\ncanary-2\n"),
    ]);
    fs::write(place.path().join("binary"), b"canary\xff\n").unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let number = "expected a whole number from 1 to 3600";
    for (ini, expected) in [
        (
            "[couch_httpd_oauth]\nuse_users_db = yes",
            "use_users_db: expected true or false".to_owned(),
        ),
        (
            "[couch_httpd_oauth]\nallow_plaintext = 1",
            "allow_plaintext: expected true or false".to_owned(),
        ),
        ("[couch_httpd_oauth]\ntimestamp_window = 0", format!("timestamp_window: {number}")),
        ("[couch_httpd_oauth]\ntimestamp_window = 3601", format!("timestamp_window: {number}")),
        ("[couch_httpd_oauth]\ntimestamp_window = canary", format!("timestamp_window: {number}")),
        (
            &format!("[oauth_consumer_secrets]\na_file = {}", path("none")),
            format!("a_file: cannot read {}: No such file", path("none")),
        ),
        (
            &format!("[oauth_token_secrets]\nt_file = {}", path("")),
            format!("t_file: cannot read {}: Is a directory", path("")),
        ),
        (
            &format!("[oauth_token_secrets]\nt_file = {}", path("binary")),
            format!("t_file: cannot read {}: stream did not contain valid UTF-8", path("binary")),
        ),
        (
            &format!("[oauth_token_secrets]\nt_file = {}", path("empty")),
            format!("t_file: there is no secret in {}", path("empty")),
        ),
        (
            &format!("[oauth_token_secrets]\nt_file = {}", path("two")),
            format!("t_file: there is more than one secret in {}", path("two")),
        ),
    ] {
        fs::write(place.path().join("a.ini"), with_handlers("oauth", ini)).unwrap();
        for command in ["check", "run", "oauth list", "oauth add jan"] {
            let faults = place.faults(&format!("{command} --config a.ini"));
            assert_eq!(faults.len(), 1, "{ini}: {faults:?}");
            assert!(faults[0].starts_with(&format!("a.ini:6: {expected}")), "{ini}: {faults:?}");
            assert!(!faults[0].contains("canary"), "{faults:?}");
        }
    }
}

/// Asks as jan, with the secrets that the configuration should have.
#[track_caller]
fn status(gate: &Gate, consumer: (&str, &str), token: (&str, &str)) -> u16 {
    let client = Place::with(&[(
        "a.ini",
        &with_handlers(
            "oauth",
            &format!(
                "[oauth_consumer_secrets]\n{} = {}\n[oauth_token_secrets]\n{} = {}\n\
                 [oauth_token_users]\n{} = jan\n",
                consumer.0, consumer.1, token.0, token.1, token.0
            ),
        ),
    )]);
    let mut sign = client.couchgate("oauth sign GET http://h/_session --config a.ini", &[]);
    let output = sign.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let authorization = said.trim_end().strip_prefix("Authorization: ").unwrap();
    gate.get("/_session", &[("Host", "h"), ("Authorization", authorization)]).status
}

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let place = Place::with(&[("app", "  the app's secret \n"), ("t", "\n\u{e4}=;x # y\r\n")]);
    let path = |name: &str| place.path().join(name).display().to_string();
    let ini = format!(
        "[oauth_consumer_secrets]\napp_file = {}\nb_file = canary\n\
         [oauth_token_secrets]\nt_file = {}\nu = v\n[oauth_token_users]\nt = jan\nu = jan\n",
        path("app"),
        path("t")
    );
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &[]);
    let gate = Gate::start(&upstream.url, &ini);
    let (app, t) = (("app", "the app's secret"), ("t", "\u{e4}=;x # y"));
    assert_eq!(status(&gate, app, t), 200);
    assert_eq!(status(&gate, ("app", &path("app")), t), 401);
    assert_eq!(status(&gate, ("app_file", "the app's secret"), t), 400);
    // What is no path is a secret, as in CouchDB 1.x.
    assert_eq!(status(&gate, ("b_file", "canary"), ("u", "v")), 200);
    assert_eq!(status(&gate, ("b", "canary"), ("u", "v")), 400);
}

#[test]
fn the_files_of_couchdb_1_load_unchanged() {
    let default = "\
; Upgrading CouchDB will overwrite this file.
[httpd]
port = 5984
bind_address = 127.0.0.1
authentication_handlers = {couch_httpd_oauth, oauth_authentication_handler}, \
    {couch_httpd_auth, cookie_authentication_handler}, \
    {couch_httpd_auth, default_authentication_handler}
default_handler = {couch_httpd_db, handle_request}
secure_rewrites = true
vhost_global_handlers = _utils, _uuids, _session, _oauth, _users
allow_jsonp = false
; Options for the MochiWeb HTTP server.
;server_options = [{backlog, 128}, {acceptor_pool_size, 16}]
socket_options = [{recbuf, 262144}, {sndbuf, 262144}, {nodelay, true}]
[couch_httpd_auth]
authentication_db = _users
authentication_redirect = /_utils/session.html
require_valid_user = false
timeout = 600 ; number of seconds before automatic logout
auth_cache_size = 50 ; size is number of cache entries
allow_persistent_cookies = false ; set to true to allow persistent cookies
iterations = 10 ; iterations for password hashing
; public_fields =
[couch_httpd_oauth]
; If set to 'true', oauth token and consumer secrets will be looked up
;     {
;         \"oauth\": { \"consumer_keys\": { \"consumerKey1\": \"key1Secret\" } }
;     }
use_users_db = false
authorization_url = /_utils/oauth.html
[httpd_global_handlers]
_oauth = {couch_httpd_oauth, handle_oauth_req}
[daemons]
index_server={couch_index_server, start_link, []}
[cors]
credentials = false
;origins = *
";
    let local = format!(
        "[couch_httpd_auth]\nsecret = {SECRET}\n[admins]\n\
         ada = -pbkdf2-6abe7c5595f0a4e9776fd22c7dcb68a1f41932a6,a-salt,7\n{CONSUMER}{TOKEN}"
    );
    let place = Place::with(&[("default.ini", default), ("local.ini", &local)]);
    assert_eq!(warnings(&place, "--config default.ini --config local.ini"), [""; 0]);
    let list = "oauth list --config default.ini --config local.ini";
    let output = place.couchgate(list, &[]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "t\tjan\tapp\n");

    let upstream = Recorder::start();
    upstream.user("jan", "apple", &[]);
    let own = "[httpd]\nport = 0\n[chttpd]\nauthentication_handlers =\n";
    let gate = Gate::start(&upstream.url, &format!("{default}{local}{own}"));
    assert_eq!(status(&gate, ("app", "canary-app"), ("t", "canary-t")), 200);
    let handlers = gate.get("/_session", &[]).expect(200).json();
    assert_eq!(
        handlers["info"]["authentication_handlers"],
        serde_json::json!(["oauth", "cookie", "default"])
    );
}

#[test]
fn a_secret_stands_in_one_place() {
    let place = Place::with(&[("secret", "canary-1\n")]);
    let file = format!("t_file = {}", place.path().join("secret").display());
    for lines in [format!("t = canary-2\n{file}"), format!("{file}\nt = canary-2")] {
        let ini = with_handlers("oauth", &format!("[oauth_token_secrets]\n{lines}"));
        fs::write(place.path().join("a.ini"), ini).unwrap();
        let faults = place.faults("check --config a.ini");
        assert_eq!(faults, ["a.ini:7: t and t_file are both set"]);
    }
}
