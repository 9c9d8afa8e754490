//! The configuration of `[couch_authkey]` and `[download_token]`: what is read, what is doubtful
//! and what is wrong.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, time::Duration};

use couchgate::{
    auth::download_token::SigningKey,
    config::{Config, Sources},
    couch::Databases,
};
use support::{Gate, Recorder, SECRET, place::Place};

const BOTH: &str = "authkey, download_token, default";
const KEY: &str = "app:canary-of-app-0123456789abcdef01";

/// A configuration whose handlers are these; `ini` begins in its line 5.
fn with_handlers(handlers: &str, ini: &str) -> String {
    format!(
        "[chttpd]\nauthentication_handlers = {handlers}\n[chttpd_auth]\nsecret = {SECRET}\n{ini}\n"
    )
}

#[track_caller]
fn load(handlers: &str, ini: &str) -> Config {
    let place = Place::with(&[("a.ini", &with_handlers(handlers, ini))]);
    let files = vec![place.path().join("a.ini")];
    Config::load(&Sources { files, ..Sources::default() }).unwrap_or_else(|faults| {
        panic!("{faults:?}");
    })
}

fn only(names: &[&str]) -> Databases {
    Databases::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn all_but(name: &str) -> Databases {
    Databases::AllBut([name.to_owned()].into())
}

#[test]
fn without_a_setting_keys_open_nothing_and_tokens_what_has_one() {
    let config = load(BOTH, "");
    assert_eq!(config.authkey.databases, only(&[]));
    assert!(!config.authkey.allow_system_roles);
    assert_eq!(config.authkey.cache_ttl, Duration::from_secs(5));
    assert_eq!(config.law.auth_key, "x-auth-key");
    assert_eq!(config.law.auth_key_param, "auth_key");

    assert_eq!(config.download_token.key_name, ["download_token"]);
    assert_eq!(config.download_token.databases, all_but("_users"));
    assert_eq!(config.download_token.cache_ttl, Duration::from_secs(5));
    assert_eq!(config.download_token.signing_keys.iter().count(), 0);
    assert_eq!(config.law.download_token_param.as_deref(), Some("token"));

    // Without the handler its parameter is anybody's.
    assert_eq!(load("authkey", "").law.download_token_param, None);
    assert_eq!(load("authkey", "[download_token]\nparam = t").law.download_token_param, None);
}

#[test]
fn every_setting_is_read() {
    let config = load(
        BOTH,
        &format!(
            "[couch_authkey]\ndatabases = testdb, a/b ,, c$()+-_0\nallow_system_roles = TRUE\n\
             cache_ttl = 3600\nauth_key_param = k y\nx_auth_key = X-My_Key\n\
             [download_token]\ndatabases = photos\nkey_name = a.b c.d\ncache_ttl = 1\nparam = t\n\
             signing_keys = {KEY} , old_1-B:canary:of:old:0123456789abcdef01,"
        ),
    );
    assert_eq!(config.authkey.databases, only(&["testdb", "a/b", "c$()+-_0"]));
    assert!(config.authkey.allow_system_roles);
    assert_eq!(config.authkey.cache_ttl, Duration::from_secs(3600));
    assert_eq!(config.law.auth_key, "x-my_key");
    assert_eq!(config.law.auth_key_param, "k y");
    assert_eq!(config.download_token.databases, only(&["photos"]));
    assert_eq!(config.download_token.key_name, ["a", "b c", "d"]);
    assert_eq!(config.download_token.cache_ttl, Duration::from_secs(1));
    assert_eq!(config.law.download_token_param.as_deref(), Some("t"));
    let ids: Vec<&str> = config.download_token.signing_keys.iter().map(SigningKey::id).collect();
    assert_eq!(ids, ["app", "old_1-B"]);
    assert!(!format!("{config:?}").contains("canary"));

    let people = "[chttpd_auth]\nauthentication_db = people\n";
    for section in ["couch_authkey", "download_token"] {
        let config = load(BOTH, &format!("{people}[{section}]\ndatabases = *\n"));
        let databases = match section {
            "couch_authkey" => config.authkey.databases,
            _ => config.download_token.databases,
        };
        assert_eq!(databases, all_but("people"));
    }
    // What the one has, the other need not have.
    let config = load("authkey", "[couch_authkey]\nauth_key_param = token\n");
    assert_eq!(config.law.auth_key_param, "token");
}

/// What `couchgate check` prints of a configuration that it accepts, but for its last line.
#[track_caller]
fn warnings(handlers: &str, ini: &str) -> Vec<String> {
    let upstream = Recorder::start();
    let place = Place::with(&[("a.ini", &with_handlers(handlers, ini))]);
    let arguments = format!("check --upstream {} --config a.ini", upstream.url);
    let output = place.couchgate(&arguments, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("canary"), "{said}");
    let warnings = said.strip_suffix("configuration and upstream are in order\n");
    let warnings = warnings.unwrap_or_else(|| panic!("{said}")).lines();
    warnings.map(|line| line.strip_prefix("warning: ").unwrap().to_owned()).collect()
}

#[test]
fn what_opens_nothing_or_too_much_is_doubtful() {
    let key_lacks = "[couch_authkey] has no effect: authentication_handlers lacks authkey";
    let token_lacks =
        "[download_token] has no effect: authentication_handlers lacks download_token";
    let no_keys = "[couch_authkey] databases names none: authkey lets nobody in";
    let no_tokens = "[download_token] databases names none: download_token lets nobody in";
    let never = "is a parameter of CouchDB's, which never gets it";
    let anywhere = "[download_token] databases is not set: strangers can find out of every database \
                    which documents there are";
    let any_role =
        "whoever may write a document in any database can give himself any role by a key in it";
    let an_admin = "whoever may write a document in one of the databases with auth keys can make \
                    himself a server admin by a key in it";
    let signing = format!("[download_token]\nsigning_keys = {KEY}\n");
    for (handlers, ini, expected) in [
        ("default", "", &[][..]),
        ("download_token", "[download_token]\ndatabases = a, b\n", &[]),
        ("download_token", "", &[anywhere.to_owned()]),
        ("download_token", &signing, &[anywhere.to_owned()]),
        ("download_token", "[download_token]\ndatabases =\n", &[anywhere.to_owned()]),
        (BOTH, "[couch_authkey]\ndatabases = a\n[download_token]\ndatabases = *\n", &[]),
        // Without the handler.
        (
            "default",
            "[couch_authkey]\ncache_ttl = 1\ndatabases = a",
            &[format!("a.ini:6: {key_lacks}")],
        ),
        (
            "authkey",
            &format!("[couch_authkey]\ndatabases = a\n{signing}"),
            &[format!("a.ini:8: {token_lacks}")],
        ),
        (
            "default",
            "[download_token]\nparam = t\n[couch_authkey]\ndatabases = *\nallow_system_roles = true\n",
            &[format!("a.ini:8: {key_lacks}"), format!("a.ini:6: {token_lacks}")],
        ),
        // Without databases.
        ("authkey", "", &[no_keys.to_owned()]),
        (
            "authkey",
            "[couch_authkey]\ncache_ttl = 1\ndatabases =\n",
            &[format!("a.ini:6: {no_keys}")],
        ),
        ("authkey", "[couch_authkey]\ndatabases = ,\n", &[format!("a.ini:6: {no_keys}")]),
        ("download_token", "[download_token]\ndatabases = ,\n", &[format!("a.ini:6: {no_tokens}")]),
        // Named as what CouchDB needs.
        (
            BOTH,
            "[couch_authkey]\nauth_key_param = key\ndatabases = a\n\
             [download_token]\nparam = rev\ndatabases = a\n",
            &[
                format!("a.ini:6: auth_key_param: key {never}"),
                format!("a.ini:9: param: rev {never}"),
            ],
        ),
        // With many, and with power.
        (
            "authkey",
            "[couch_authkey]\ncache_ttl = 1\ndatabases = *\n",
            &[format!("a.ini:7: {any_role}")],
        ),
        (
            "authkey",
            "[couch_authkey]\ndatabases = a\nallow_system_roles = true\n",
            &[format!("a.ini:7: {an_admin}")],
        ),
        (
            "authkey",
            "[couch_authkey]\ndatabases = *\nallow_system_roles = true\n",
            &[format!("a.ini:6: {any_role}"), format!("a.ini:7: {an_admin}")],
        ),
        ("authkey", "[couch_authkey]\ndatabases = a\nallow_system_roles = false\n", &[]),
    ] {
        assert_eq!(warnings(handlers, ini), expected, "{handlers}: {ini}");
    }
}

#[test]
fn a_doubt_is_logged_at_the_start() {
    let upstream = Recorder::start();
    let gate = Gate::start(&upstream.url, "[couch_authkey]\ndatabases = *\n");
    let log = gate.log();
    let warned = log.iter().any(|line| {
        let said = line["message"].as_str().unwrap_or_default();
        said.contains("can give himself any role") && line["level"] == "WARN"
    });
    assert!(warned, "{log:?}");
}

/// Checks that each of these, in line 6, is the one fault of `check` and `run`.
#[track_caller]
fn are_faults(place: &Place, rows: &[(&str, &str)]) {
    for (ini, expected) in rows {
        fs::write(place.path().join("a.ini"), with_handlers(BOTH, ini)).unwrap();
        for command in ["check", "run"] {
            let faults = place.faults(&format!("{command} --config a.ini"));
            assert_eq!(faults, [format!("a.ini:6: {expected}")], "{ini}");
            assert!(!faults[0].contains("canary"), "{faults:?}");
        }
    }
}

#[test]
fn a_fault_is_one_line_that_names_its_place() {
    let place = Place::with(&[]);
    let number = "cache_ttl: expected a whole number from 1 to 3600";
    are_faults(
        &place,
        &[
            ("[couch_authkey]\ndatabase = a", "[couch_authkey] has no key \"database\""),
            ("[couch_authkey]\nparam = t", "[couch_authkey] has no key \"param\""),
            ("[couch_authkey]\nDatabases = a", "[couch_authkey] has no such key"),
            (
                "[download_token]\nsigning_key = canary",
                "[download_token] has no key \"signing_key\"",
            ),
            (
                "[download_token]\nallow_system_roles = true",
                "[download_token] has no key \"allow_system_roles\"",
            ),
            // A key that was to continue a line, and is base64.
            ("[download_token]\napp:canary+/canary==", "[download_token] has no such key"),
            (
                "[couch_authkey]\nallow_system_roles = yes",
                "allow_system_roles: expected true or false",
            ),
            ("[couch_authkey]\ncache_ttl = 0", number),
            ("[couch_authkey]\ncache_ttl = 3601", number),
            ("[couch_authkey]\ncache_ttl = 5s", number),
            ("[download_token]\ncache_ttl = 0", number),
            ("[download_token]\ncache_ttl = 3601", number),
            ("[download_token]\ncache_ttl = -1", number),
            ("[couch_authkey]\nx_auth_key = X Auth", "x_auth_key: invalid HTTP header name"),
            ("[couch_authkey]\nx_auth_key = X-\u{c4}", "x_auth_key: invalid HTTP header name"),
            (
                "[couch_authkey]\nauth_key_param = oauth_token",
                "auth_key_param: what begins with oauth_ is OAuth's",
            ),
            ("[download_token]\nparam = oauth_x", "param: what begins with oauth_ is OAuth's"),
            (
                "[download_token]\nkey_name = .",
                "key_name: expected a field's name, or names with dots",
            ),
            (
                "[download_token]\nkey_name = a..b",
                "key_name: expected a field's name, or names with dots",
            ),
            (
                "[download_token]\nkey_name = .a",
                "key_name: expected a field's name, or names with dots",
            ),
            (
                "[download_token]\nkey_name = a.",
                "key_name: expected a field's name, or names with dots",
            ),
        ],
    );
    let differ = "[couch_authkey] auth_key_param and [download_token] param must differ";
    are_faults(
        &place,
        &[
            ("[couch_authkey]\nauth_key_param = token", differ),
            ("[download_token]\nparam = auth_key", differ),
            ("[download_token]\nparam = k\n[couch_authkey]\nauth_key_param = k", differ),
        ],
    );
}

#[test]
fn a_database_is_named_as_it_is_or_all_are() {
    let place = Place::with(&[]);
    let no = |name: &str| format!("databases: {name:?} is no database that could be opened so");
    for section in ["couch_authkey", "download_token"] {
        for (databases, expected) in [
            ("_users", no("_users")),
            ("a, _replicator", no("_replicator")),
            ("A", no("A")),
            ("a.b", no("a.b")),
            ("1a", no("1a")),
            ("a b", no("a b")),
            ("/a", no("/a")),
            ("\u{e9}", no("\u{e9}")),
            ("\"a\"", no("\"a\"")),
            ("**", no("**")),
            ("a*", no("a*")),
            ("a, *", "databases: expected names, or * alone".to_owned()),
            ("*, _users", "databases: expected names, or * alone".to_owned()),
        ] {
            are_faults(&place, &[(&format!("[{section}]\ndatabases = {databases}"), &expected)]);
        }
        // The authentication database, whatever its name.
        let ini = format!(
            "[{section}]\ndatabases = a, people\n[chttpd_auth]\nauthentication_db = people"
        );
        are_faults(&place, &[(&ini, &no("people"))]);
        // Each of them.
        let ini = with_handlers(BOTH, &format!("[{section}]\ndatabases = B, a, C"));
        fs::write(place.path().join("a.ini"), ini).unwrap();
        let expected = ["B", "C"].map(|name| format!("a.ini:6: {}", no(name)));
        assert_eq!(place.faults("check --config a.ini"), expected);
    }
}

#[test]
fn an_auth_key_comes_in_no_header_that_says_something_else() {
    let place = Place::with(&[]);
    for name in [
        "X-Auth-CouchDB-UserName",
        "X-Auth-CouchDB-Roles",
        "X-Auth-CouchDB-Token",
        "X_Auth_CouchDB_Token",
        "x-auth_couchdb-roles",
        "Authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Content_Length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Expect",
        "Accept",
        "Range",
        "If-None-Match",
        "Destination",
        "Origin",
        "User-Agent",
        "X-Forwarded-For",
        "X_Forwarded_Proto",
        "X-HTTP-Method-Override",
        "X-Couch-Request-ID",
    ] {
        let meaning = format!(
            "[couch_authkey] x_auth_key: {} has another meaning",
            name.to_ascii_lowercase()
        );
        are_faults(&place, &[(&format!("[couch_authkey]\nx_auth_key = {name}"), &meaning)]);
    }
    // One that is configured.
    let meaning = "[couch_authkey] x_auth_key: x_mine has another meaning";
    for key in ["x_auth_username", "x_auth_roles", "x_auth_token"] {
        let ini = format!("[couch_authkey]\nx_auth_key = X_Mine\n[chttpd_auth]\n{key} = X-Mine");
        are_faults(&place, &[(&ini, meaning)]);
    }
    // The default is a name too.
    let ini = with_handlers(BOTH, "[chttpd_auth]\nx_auth_roles = X-Auth_Key");
    fs::write(place.path().join("a.ini"), ini).unwrap();
    let meaning = "[couch_authkey] x_auth_key: x-auth-key has another meaning";
    assert_eq!(place.faults("check --config a.ini"), [meaning]);
}

#[test]
fn a_signing_key_has_an_id_of_its_own_and_a_long_secret() {
    let place = Place::with(&[
        ("empty", "\n \n"),
        ("short", "app:canary\n"),
        ("twice", &format!("{KEY}\n{KEY}\n")),
        ("binary", ""),
    ]);
    fs::write(place.path().join("binary"), b"app:canary\xff\n").unwrap();
    let id = "signing_keys: a key's id has letters, digits, `-` and `_` only";
    let short = "signing_keys: a key's secret has at least 32 characters (`openssl rand -hex 32` \
                 makes one)";
    let (secret, almost) = (&KEY[4..], &KEY[4..35]);
    assert_eq!((secret.len(), almost.len()), (32, 31));
    for (keys, expected) in [
        (secret.to_owned(), "signing_keys: expected ID:SECRET"),
        (format!("{KEY}, canary"), "signing_keys: expected ID:SECRET"),
        (format!(":{secret}"), id),
        (format!("a.b:{secret}"), id),
        (format!("a b:{secret}"), id),
        (format!("caf\u{e9}:{secret}"), id),
        (format!("a/b:{secret}"), id),
        (format!("app:{almost}"), short),
        ("app:".to_owned(), short),
        (format!("{KEY}, {KEY}"), "signing_keys: two keys have the same id"),
        (format!("{KEY}, b:{secret}, app:{secret}0"), "signing_keys: two keys have the same id"),
    ] {
        are_faults(&place, &[(&format!("[download_token]\nsigning_keys = {keys}"), expected)]);
    }
    fs::write(place.path().join("good"), KEY).unwrap();
    let both = format!("[download_token]\nsigning_keys = {KEY}\nsigning_keys_file = good");
    are_faults(&place, &[(&both, "signing_keys and signing_keys_file are both set")]);
    for (file, expected) in [
        ("none", "signing_keys_file: cannot read none: No such file or directory (os error 2)"),
        (".", "signing_keys_file: cannot read .: Is a directory (os error 21)"),
        ("binary", "signing_keys_file: cannot read binary: stream did not contain valid UTF-8"),
        ("empty", "signing_keys_file: there is no secret in empty"),
        ("short", short),
        ("twice", "signing_keys: two keys have the same id"),
    ] {
        are_faults(&place, &[(&format!("[download_token]\nsigning_keys_file = {file}"), expected)]);
    }
}

#[test]
fn all_faults_are_told_together() {
    let ini = "[couch_authkey]\ndatabases = _users\ncache_ttl = 0\nx_auth_key = Host\n\
               [download_token]\nparam = auth_key\nkey_name = .\nsigning_keys = a:canary, b:canary";
    let place = Place::with(&[("a.ini", &with_handlers(BOTH, ini))]);
    let faults = place.faults("check --config a.ini");
    let mut lines: Vec<&str> =
        faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    lines.sort_unstable();
    let [six, seven, eight] = ["a.ini:6", "a.ini:7", "a.ini:8"];
    let expected = ["a.ini:10", "a.ini:11", "a.ini:12", "a.ini:12", six, seven, eight];
    assert_eq!(lines, expected, "{faults:?}");
}

#[test]
fn both_spellings_of_the_handlers_start() {
    let upstream = Recorder::start();
    for handlers in [
        "authkey, download_token",
        "{couch_authkey_handler, key_authentification_handler}, \
         {couchgate, download_token_authentication_handler}",
        "{couch_authkey_handler,key_authentification_handler},download_token",
    ] {
        let ini = format!("[chttpd]\nauthentication_handlers = {handlers}\n");
        let gate = Gate::start(&upstream.url, &ini);
        let session = gate.get("/_session", &[]).expect(200).json();
        let named = &session["info"]["authentication_handlers"];
        assert_eq!(*named, serde_json::json!(["authkey", "download_token"]), "{handlers}");
        // Both are there: the one refuses, the other takes its parameter out.
        gate.get("/db?auth_key=db,x", &[]).expect(401);
        assert_eq!(upstream.take().len(), 0);
        gate.get("/db?token=x", &[]).expect(200);
        assert_eq!(upstream.only().target, b"/db");
    }
}
