//! `couchgate link`: the URL it prints, and what it refuses.

use std::fs;

use super::{APP, NAMES, OLD, ini, link, place, printed};
use crate::support::{Recorder, SECRET, place::Place};

/// The one line that a command complains of.
#[track_caller]
fn failure(place: &Place, options: &str, words: &[&str]) -> String {
    let output = link(place, options, words).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{options} {words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("canary"), "{said}");
    let line = said.strip_prefix("couchgate: ").and_then(|said| said.strip_suffix('\n'));
    let line = line.filter(|line| !line.contains('\n'));
    line.unwrap_or_else(|| panic!("not one line: {said}")).to_owned()
}

const DOC: &[&str] = &["db", "doc", "dir/a b"];

#[test]
fn the_url_begins_where_clients_reach_couchgate() {
    for (ini_of_couchgate, options, expected) in [
        ("", "", "http://127.0.0.1:5994"),
        ("port = 80", "", "http://127.0.0.1:80"),
        ("bind_address = 0.0.0.0", "", "http://localhost:5994"),
        ("bind_address = ::", "", "http://localhost:5994"),
        ("bind_address = ::1", "", "http://[::1]:5994"),
        ("", "--bind 10.0.0.1:81", "http://10.0.0.1:81"),
        ("", "--base http://couch.example", "http://couch.example"),
        ("", "--base https://couch.example/", "https://couch.example"),
        ("", "--base https://couch.example:8443", "https://couch.example:8443"),
        ("", "--base https://couch.example/a/b%20c", "https://couch.example/a/b%20c"),
        ("", "--base https://couch.example/a/b//", "https://couch.example/a/b"),
        ("", "--base http://[2001:db8::1]:80/x/", "http://[2001:db8::1]:80/x"),
        ("port = 80", "--base https://couch.example", "https://couch.example"),
    ] {
        let place = place(&format!("[couchgate]\n{ini_of_couchgate}\n{}", ini("")));
        let url = printed(&mut link(&place, &format!("--expires 1h {options}"), DOC));
        let expected = format!("{expected}/db/doc/dir%2Fa%20b?token=couchgate1.app.");
        assert!(url.starts_with(&expected), "{url} {expected}");
    }
}

#[test]
fn a_url_is_of_unreserved_characters_and_escapes() {
    let place = place(&ini("param = a b&"));
    for [doc, attachment] in NAMES {
        let url = printed(&mut link(&place, "--expires 1h", &["a/b+c", doc, attachment]));
        let rest = url.strip_prefix("http://127.0.0.1:5994/a%2Fb%2Bc/").unwrap();
        let (path, token) = rest.split_once("?a%20b%26=couchgate1.app.").unwrap();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(path.replacen('/', "", 1).bytes().all(plain), "{url}");
        let signed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(token.bytes().all(signed), "{url}");
    }
}

#[test]
fn the_first_key_signs_unless_another_is_named() {
    for (keys, options, expected) in [
        (format!("{APP}, {OLD}"), "", "app"),
        (format!("{OLD}, {APP}"), "", "old-1"),
        (format!("{OLD}, {APP}"), "--key app", "app"),
        (format!(" {APP} ,, {OLD} "), "--key old-1", "old-1"),
    ] {
        let place = place(&format!("[download_token]\nsigning_keys = {keys}\n"));
        let url = printed(&mut link(&place, &format!("--expires 1h {options}"), DOC));
        assert!(url.contains(&format!("?token=couchgate1.{expected}.")), "{url}");
    }
}

#[test]
fn keys_may_be_in_a_file() {
    let place = place("[download_token]\nsigning_keys_file = keys\n");
    fs::write(place.path().join("keys"), format!("\n  {OLD}\r\n\n{APP}\n")).unwrap();
    let sign = |options: &str| printed(&mut link(&place, &format!("--expires 1h {options}"), DOC));
    assert!(sign("").contains("?token=couchgate1.old-1."));
    assert!(sign("--key app").contains("?token=couchgate1.app."));
}

#[test]
fn what_cannot_be_signed_is_said_in_one_line() {
    let with_keys = place(&ini("databases = db, a/b"));
    let no_link = "no link opens this: a name is the system's, has `..` or control characters, or \
                   the database is not among [download_token] databases";
    for names in [
        ["other", "doc", "a"],
        ["_users", "org.couchdb.user:jan", "a"],
        ["Db", "doc", "a"],
        ["", "doc", "a"],
        ["db/", "doc", "a"],
        ["db", "", "a"],
        ["db", "doc", ""],
        ["db", "_design/x", "a"],
        ["db", "_local/x", "a"],
        ["db", "doc", "_a"],
        ["db", "..", "a"],
        ["db", ".", "a"],
        ["db", "doc", ".."],
        ["db", "doc", "a/../b"],
        ["db", "a/.", "b"],
        ["db", "doc", "a\nb"],
        ["db", "d\tc", "a"],
        ["db", "doc", "a\u{85}"],
    ] {
        assert_eq!(failure(&with_keys, "--expires 1h", &names), no_link, "{names:?}");
    }
    let base = "--base: expected http:// or https://, a host, and perhaps a path";
    for (options, expected) in [
        ("--expires 0s", "--expires: the link would have expired"),
        ("--expires 999ms", "--expires: the link would have expired"),
        ("--expires 18446744073709551615s", "--expires: there is no time that late"),
        ("--expires 1h --key none", "[download_token] signing_keys has no key \"none\""),
        ("--expires 1h --key APP", "[download_token] signing_keys has no key \"APP\""),
        ("--expires 1h --key app,old-1", "[download_token] signing_keys has no key \"app,old-1\""),
        ("--expires 1h --base couch.example", base),
        ("--expires 1h --base couch.example:80", base),
        ("--expires 1h --base /couch", base),
        ("--expires 1h --base ftp://couch.example", base),
        ("--expires 1h --base http://couch.example/?x", base),
        (
            "--expires 1h --base http://jan:canary@couch.example",
            "--base: the link needs no user, and would show the password",
        ),
    ] {
        assert_eq!(failure(&with_keys, options, DOC), expected, "{options}");
    }
    for (ini, expected) in [
        ("", "[download_token] signing_keys has no key"),
        ("[download_token]\nsigning_keys = ,\n", "[download_token] signing_keys has no key"),
        (
            "[download_token]\nsigning_keys = canary\n",
            "couchgate.ini:6: signing_keys: expected ID:SECRET",
        ),
        (
            &format!("[chttpd]\nauthentication_handlers = default\n{}", ini("")),
            "[chttpd] authentication_handlers lacks download_token",
        ),
    ] {
        let said = failure(&place(ini), "--expires 1h", DOC);
        assert_eq!(said, expected, "{ini}");
    }
}

/// What clap refuses it explains with the command's usage.
#[test]
fn arguments_that_cannot_be_read_are_explained() {
    let place = place(&ini(""));
    for (options, words, expected) in [
        ("", DOC, "--expires <DURATION>"),
        ("--expires 1h", &["db", "doc"], "<ATTACHMENT>"),
        ("--expires 1h", &["db", "doc", "a", "b"], "unexpected argument 'b'"),
        ("--expires soon", DOC, "invalid value 'soon' for '--expires <DURATION>'"),
        ("--expires 90", DOC, "invalid value '90' for '--expires <DURATION>'"),
        ("--expires -1h", DOC, "unexpected argument '-1'"),
        ("--expires=-1h", DOC, "invalid value '-1h' for '--expires <DURATION>'"),
        ("--expires 99999999999999999999s", DOC, "for '--expires <DURATION>'"),
        ("--expires 99999999999999999y", DOC, "for '--expires <DURATION>'"),
        ("--expires 1h --base http://", DOC, "invalid value 'http://' for '--base <URL>'"),
    ] {
        let output = link(&place, options, words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: ") && said.contains(expected), "{options}: {said}");
    }
}

#[test]
fn to_sign_asks_nobody_and_shows_no_secret() {
    let upstream = Recorder::start();
    upstream.own(|request| panic!("asked {request:?}"));
    let place = place(&ini(""));
    let options = format!("--expires 1h --upstream {}", upstream.url);
    let url = printed(&mut link(&place, &options, DOC));
    assert!(!url.contains("canary") && !url.contains(SECRET), "{url}");
    assert_eq!(upstream.take().len(), 0);
    let help = place.couchgate("link --help", &[]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for said in ["--expires <DURATION>", "--key <ID>", "--base <URL>", "--config <FILE>"] {
        assert!(help.contains(said), "{help}");
    }
    assert!(!help.to_lowercase().contains("--secret <"), "{help}");
}
