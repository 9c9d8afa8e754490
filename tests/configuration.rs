//! The configuration: files, environment and command line, one over the other.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, net::TcpListener};

use support::{Couch, Recorder, place::Place};

fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_files() {
    let upstream = Recorder::start();
    let (open, closed) = (&*upstream.url, &*closed());
    let with = |url: &str| format!("[couchgate]\nupstream = {url}\n[chttpd_auth]\nsecret = s\n");
    let (good, bad) = (with(open), with(closed));
    let place = Place::with(&[("good.ini", &good), ("bad.ini", &bad)]);
    let environment = |url| [("COUCHGATE_UPSTREAM", url)];
    assert!(place.is_in_order("--config good.ini", &[]));
    assert!(!place.is_in_order("--config bad.ini", &[]));
    assert!(place.is_in_order("--config bad.ini", &environment(open)));
    assert!(!place.is_in_order("--config good.ini", &environment(closed)));
    let flag = |url| format!("--config bad.ini --upstream {url}");
    assert!(place.is_in_order(&flag(open), &environment(closed)));
    assert!(!place.is_in_order(&flag(closed), &environment(open)));
    // Every node is tried.
    assert!(place.is_in_order(&format!("--config bad.ini --upstream {closed},{open}"), &[]));
    assert!(place.is_in_order("", &[("COUCHGATE_CONFIG", "bad.ini:good.ini")]));
    assert!(place.is_in_order("--config good.ini", &[("COUCHGATE_CONFIG", "bad.ini")]));
}

#[test]
fn where_clients_come_in_is_told_the_same_way() {
    let text = format!(
        "[couchgate]\nbind_address = 127.0.0.2\nport = 0\nadmin_bind = 127.0.0.1:0\nupstream = {}\n\
         [chttpd_auth]\nsecret = s\n[log]\nformat = json\n",
        closed()
    );
    let place = Place::with(&[("couchgate.ini", &text)]);
    let environment = [("COUCHGATE_BIND", "127.0.0.3:0"), ("COUCHGATE_CONFIG", "couchgate.ini")];
    for (arguments, environment, expected) in [
        ("--config couchgate.ini", &[][..], "127.0.0.2:"),
        ("run --config couchgate.ini", &[], "127.0.0.2:"),
        ("", &environment, "127.0.0.3:"),
        ("run", &environment, "127.0.0.3:"),
        ("--bind 127.0.0.4:0", &environment, "127.0.0.4:"),
        ("run --bind [::1]:0", &environment, "[::1]:"),
    ] {
        let line = place.first_line(arguments, environment);
        assert_eq!(line["message"], "couchgate listens", "{line}");
        let clients = line["clients"].as_str().unwrap();
        assert!(clients.starts_with(expected), "{clients} with {arguments:?}");
    }
}

#[test]
fn the_secret_may_be_in_a_file_of_its_own() {
    let couch = Couch::shared();
    let secret = &*format!("{}\nan older one\n", couch.secret);
    let place = Place::with(&[
        ("right", secret),
        ("wrong", "wrong\n"),
        ("none.ini", ""),
        ("right.ini", "[chttpd_auth]\nsecret = wrong\nsecret_file = right\n"),
        ("wrong.ini", "[chttpd_auth]\nsecret_file = wrong\n"),
    ]);
    let check = |arguments: &str, environment: &[(&str, &str)]| {
        let arguments = format!("check --upstream {} {arguments}", couch.url);
        place.couchgate(&arguments, environment).output().unwrap().status.success()
    };
    let environment = |file| [("COUCHGATE_SECRET_FILE", file)];
    assert!(check("--config right.ini", &[]));
    assert!(!check("--config wrong.ini", &[]));
    assert!(check("--config wrong.ini", &environment("right")));
    assert!(!check("--config right.ini", &environment("wrong")));
    assert!(check("--secret-file right --config wrong.ini", &environment("wrong")));
    assert!(check("--secret-file right", &[]));
}

#[test]
fn later_layers_win_key_by_key() {
    let upstream = Recorder::start();
    let (open, closed) = (&upstream.url, closed());
    let place = Place::with(&[
        ("default.ini", &format!("[couchgate]\nupstream = {closed}\n[chttpd_auth]\nsecret = a\n")),
        (
            "local.d/10.ini",
            &format!("[couchgate]\nupstream = {open}\n[chttpd_auth]\ntimeout = no\n"),
        ),
        ("local.d/20.ini", "[chttpd_auth]\ntimeout = 60\n"),
        ("local.d/30.ini.off", "[chttpd_auth]\ntimeout = no\n"),
        ("last.ini", "[chttpd_auth]\nsecret =\n"),
    ]);
    assert!(place.is_in_order("--config default.ini --config local.d", &[]));
    assert!(!place.is_in_order("--config local.d --config default.ini", &[]));
    let faults = place.faults("check --config default.ini --config local.d/10.ini");
    assert_eq!(faults, ["local.d/10.ini:4: timeout: expected a whole number from 1 to 4294967295"]);
    let faults = place.faults("check --config default.ini --config local.d --config last.ini");
    assert!(faults[0].starts_with("[chttpd_auth] secret is not set"), "{faults:?}");
}

#[test]
fn couchdbs_own_files_may_come_first() {
    let upstream = Recorder::start();
    let couchdbs = "\
[couchdb]
uuid =
database_dir = ./data
[chttpd]
port = 5984
bind_address = 0.0.0.0
authentication_handlers = {chttpd_auth, cookie_authentication_handler}, \
    {chttpd_auth, proxy_authentication_handler}, {chttpd_auth, default_authentication_handler}
require_valid_user = false
;max_http_request_size = 4294967296 ; 4GB
[httpd]
port = 5986
[couch_httpd_auth]
secret = an old one
[chttpd_auth]
hash_algorithms = sha256, sha
same_site =
public_fields =
[ssl]
;cert_file = /full/path/to/server_cert.pem
[feature_flags]
partitioned||* = true
[log]
writer = file
level = crit
[admins]
ada = -pbkdf2-6abe7c5595f0a4e9776fd22c7dcb68a1f41932a6,a-salt,7
";
    let own = format!("[couchgate]\nupstream = {}\n[chttpd_auth]\nsecret = s\n", upstream.url);
    let place = Place::with(&[("default.ini", couchdbs), ("couchgate.ini", &own)]);
    assert!(place.is_in_order("--config default.ini --config couchgate.ini", &[]));
    for level in ["debug", "notice", "warn", "err", "crit", "alert", "emerg", "none", "1", "9"] {
        let log = format!("{own}[log]\nlevel = {level}\n");
        fs::write(place.path().join("log.ini"), log).unwrap();
        assert!(place.is_in_order("--config log.ini", &[]), "{level}");
    }
}
