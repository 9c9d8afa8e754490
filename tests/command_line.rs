//! The command line: what it prints, what it refuses, and how it ends.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::json;
use support::{Couch, Gate, Recorder, SECRET, basic};
use tempfile::NamedTempFile;

fn couchgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couchgate"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that ends at once may not have read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// What a command prints that succeeds.
#[track_caller]
fn success(arguments: &[&str], input: &str) -> String {
    let output = run(&mut couchgate(arguments), input.as_bytes());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complains of that fails.
#[track_caller]
fn failure(arguments: &[&str], input: &[u8]) -> String {
    let output = run(&mut couchgate(arguments), input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code().is_some_and(|code| code == 1 || code == 2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
    said
}

fn ini(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".ini").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn help_names_every_command_and_option() {
    let help = success(&["--help"], "");
    for word in [
        "run",
        "check",
        "hash-password",
        "--config",
        "--upstream",
        "--bind",
        "--secret-file",
        "COUCHGATE_CONFIG",
        "COUCHGATE_UPSTREAM",
        "COUCHGATE_BIND",
        "COUCHGATE_SECRET_FILE",
    ] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    for command in ["run", "check", "hash-password"] {
        assert!(success(&[command, "--help"], "").contains("Usage: couchgate"));
    }
    let version = format!("couchgate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(success(&["--version"], ""), version);
}

#[test]
fn an_argument_that_means_nothing_is_refused() {
    for arguments in [
        &["--confg", "x.ini"][..],
        &["serve"],
        &["--bind", "localhost"],
        &["--bind", "127.0.0.1:99999"],
        &["--config", "x.ini", "check"],
        &["check", "x.ini"],
        &["hash-password", "--prf", "md5"],
        &["hash-password", "--iterations", "many"],
        &["hash-password", "--iterations", "0"],
        &["hash-password", "--iterations", "4294967296"],
        &["hash-password", "apple"],
    ] {
        let said = failure(arguments, b"apple\n");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
}

#[test]
fn a_hashed_password_lets_the_admin_in() {
    let upstream = Recorder::start();
    for (arguments, prefix, suffix) in [
        (&["--iterations", "7"][..], "-pbkdf2:sha256-", ",7\n"),
        (&["--iterations", "1", "--prf", "sha512"], "-pbkdf2:sha512-", ",1\n"),
        // CouchDB before 3.4 knows no other digest and no name for it.
        (&["--iterations", "10", "--prf", "sha"], "-pbkdf2-", ",10\n"),
    ] {
        let arguments = [&["hash-password"], arguments].concat();
        // With and without the line's end, and that of another system.
        for input in ["äpfel = gut; \t!", "äpfel = gut; \t!\n", "äpfel = gut; \t!\r\nmore"] {
            let value = success(&arguments, input);
            assert!(value.starts_with(prefix) && value.ends_with(suffix), "{value}");
            assert_ne!(value, success(&arguments, input), "the salt is new");
            let gate = Gate::start(&upstream.url, &format!("[admins]\nada = {value}"));
            let ask =
                |password| gate.get("/_session", &[("Authorization", &basic("ada", password))]);
            let session = ask("äpfel = gut; \t!").expect(200).json();
            assert_eq!(session["userCtx"]["roles"], json!(["_admin"]));
            ask("äpfel = gut;").expect(401);
        }
    }
}

#[test]
fn a_hash_costs_by_default_what_couchdbs_does() {
    let value = success(&["hash-password"], "apple\n");
    assert!(value.starts_with("-pbkdf2:sha256-") && value.ends_with(",600000\n"), "{value}");
}

#[test]
fn without_a_password_there_is_nothing_to_hash() {
    for input in ["", "\n", "\r\n", "\napple\n"] {
        let said = failure(&["hash-password", "--iterations", "1"], input.as_bytes());
        assert_eq!(said, "couchgate: no password on standard input\n", "{input:?}");
    }
    let said = failure(&["hash-password", "--iterations", "1"], b"\xff\xfe\n");
    assert!(said.starts_with("couchgate: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn check_is_content_with_a_couchdb_that_believes_couchgate_alone() {
    let couch = Couch::shared();
    let file =
        ini(&format!("[chttpd_auth]\nsecret = {}\n[chttpd_auth]\ntimeout = 60", couch.secret));
    let file = file.path().to_str().unwrap();
    let said = success(&["check", "--config", file, "--upstream", &couch.url], "");
    assert_eq!(said, "configuration and upstream are in order\n");
}

#[test]
fn check_warns_of_what_works_and_should_not_stay() {
    let upstream = Recorder::start();
    let text = format!("[chttpd_auth]\nsecret = {SECRET}\n\n[admins]\nada = apple\n");
    let file = ini(&text);
    let path = file.path().to_str().unwrap();
    let said = success(&["check", "--config", path, "--upstream", &upstream.url], "");
    let warning = format!(
        "warning: {path}:5: the password of admin \"ada\" stands in the clear, \
         `couchgate hash-password` makes a hash\nconfiguration and upstream are in order\n"
    );
    assert_eq!(said, warning);
}

#[test]
fn check_says_what_is_wrong_with_the_upstream() {
    let couch = Couch::shared();
    let nothing = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
    let other_json = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"ok\": true }\n";
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let refused = "upstream does not accept couchgate's service user: [chttpd_auth] secret must be \
                   the same in CouchDB and couchgate, hash_algorithms must share its first entry, \
                   and x_auth_username, x_auth_roles and x_auth_token must be equal";
    for (secret, url, expected) in [
        ("wrong", &*couch.url, refused),
        (SECRET, &nothing, "upstream cannot be asked: no upstream node accepts connections"),
        (
            SECRET,
            &answering(page),
            "upstream is not a CouchDB: GET /_session answers no session: expected",
        ),
        (
            SECRET,
            &answering(other_json),
            "upstream is not a CouchDB: GET /_session answers no session: missing",
        ),
        (SECRET, &answering(missing), "upstream is not a CouchDB: GET /_session answers 404"),
        (SECRET, &answering("SSH-2.0-OpenSSH_9.6\r\n"), "upstream cannot be asked: "),
        (SECRET, &answering(""), "upstream cannot be asked: "),
    ] {
        let file = ini(&format!("[chttpd_auth]\nsecret = {secret}\n"));
        let file = file.path().to_str().unwrap();
        let said = failure(&["check", "--config", file, "--upstream", url], b"");
        assert!(said.starts_with(&format!("couchgate: {expected}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}

/// The URL of something that answers every connection's first request so.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn check_says_which_setting_of_couchdb_is_missing_or_open() {
    let couch = Couch::embedded(&["--proxy-use-secret", "false"]);
    let file = ini(&format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let file = file.path().to_str().unwrap();
    let check = || failure(&["check", "--config", file, "--upstream", &couch.url], b"");
    let said = check();
    assert!(said.contains("set [chttpd_auth] proxy_use_secret = true in CouchDB"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let handlers = "{chttpd_auth, default_authentication_handler}";
    couch.put("/_node/_local/_config/chttpd/authentication_handlers", &json!(handlers));
    let said = check();
    assert!(said.contains("lacks {chttpd_auth, proxy_authentication_handler}"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
