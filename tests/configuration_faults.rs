//! The faults of a configuration: one line each, all at once.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, net::TcpListener};

use support::{SECRET, place::Place};

/// One fault a file, as `run` and `check` report it.
#[test]
fn a_fault_is_one_line_that_names_its_place() {
    let place = Place::with(&[("pem", "no pem\n"), ("empty", "\n\n"), ("binary", "\u{fffd}")]);
    fs::write(place.path().join("binary"), b"\xff").unwrap();
    let secret = format!("[chttpd_auth]\nsecret = {SECRET}\n");
    for (text, expected) in [
        ("[couchgate]\nprot = 1\n", "a.ini:4: [couchgate] has no key \"prot\""),
        ("[upstream_ssl]\nverify = no\n", "a.ini:4: [upstream_ssl] has no key \"verify\""),
        ("[couchgate]\nport = 65536\n", "a.ini:4: port: expected a whole number from 0 to 65535"),
        ("[couchgate]\nbind_address = host\n", "a.ini:4: bind_address: invalid IP address syntax"),
        ("[couchgate]\nadmin_bind = 5995\n", "a.ini:4: admin_bind: invalid socket address syntax"),
        (
            "[couchgate]\ntrusted_proxies = 10.0.0.0/8, 10.0.0.0/33\n",
            "a.ini:4: trusted_proxies: \"10.0.0.0/33\": invalid IP address syntax",
        ),
        ("[couchgate]\nservice_user = a\tb\n", "[couchgate] service_user: "),
        (
            "[couchgate]\nidle_timeout = 0\n",
            "a.ini:4: idle_timeout: expected a whole number from 1",
        ),
        (
            "[couchgate]\nupstream = localhost:5984\n",
            "a.ini:4: upstream: \"localhost:5984\": expected http://HOST[:PORT]",
        ),
        ("[couchgate]\nupstream = http://h/db\n", "a.ini:4: upstream: \"http://h/db\": expected"),
        ("[couchgate]\nupstream = ftp://h\n", "a.ini:4: upstream: \"ftp://h\": expected"),
        ("[couchgate]\nupstream = ,\n", "[couchgate] upstream names no node"),
        (
            "[chttpd]\nauthentication_handlers = cookie, hawk\n",
            "a.ini:4: authentication_handlers: hawk is unknown",
        ),
        (
            "[chttpd]\nauthentication_handlers = {chttpd_auth, jwt_authentication_handler}\n",
            "a.ini:4: authentication_handlers: {chttpd_auth, jwt_authentication_handler} is not",
        ),
        (
            "[chttpd]\nrequire_valid_user = yes\n",
            "a.ini:4: require_valid_user: expected true or false",
        ),
        (
            "[chttpd_auth]\nhash_algorithms = sha256, md5\n",
            "a.ini:4: hash_algorithms: \"md5\": unknown hash algorithm, expected sha, ",
        ),
        (
            "[chttpd_auth]\nhash_algorithms = ,\n",
            "[chttpd_auth] hash_algorithms names no algorithm",
        ),
        ("[chttpd_auth]\nsame_site = maybe\n", "a.ini:4: same_site: expected none, lax or strict"),
        (
            "[chttpd_auth]\ncookie_domain = a; Path=/x\n",
            "a.ini:4: cookie_domain: expected a domain",
        ),
        (
            "[chttpd_auth]\nx_auth_roles = X Auth\n",
            "a.ini:4: x_auth_roles: invalid HTTP header name",
        ),
        (
            "[chttpd_auth]\nproxy_use_secret = false\n[chttpd]\nauthentication_handlers = proxy\n",
            "[chttpd_auth] proxy_use_secret = false needs [couchgate] trusted_proxies",
        ),
        (
            "[chttpd_auth]\nsecret_file = none\n",
            "a.ini:4: secret_file: cannot read none: No such file",
        ),
        ("[chttpd_auth]\nsecret_file = .\n", "a.ini:4: secret_file: cannot read .: Is a directory"),
        ("[chttpd_auth]\nsecret_file = binary\n", "a.ini:4: secret_file: cannot read binary: "),
        (
            "[chttpd_auth]\nsecret_file = empty\n",
            "a.ini:4: secret_file: there is no secret in empty",
        ),
        ("[chttpd_auth]\nsecret =\n", "[chttpd_auth] secret is not set"),
        ("[ssl]\ncert_file = pem\n", "[ssl] needs both cert_file and key_file"),
        ("[ssl]\ncert_file = none\nkey_file = none\n", "[ssl] none: "),
        ("[ssl]\ncert_file = pem\nkey_file = pem\n", "[ssl] pem: no certificate in it"),
        ("[upstream_ssl]\nca_file = none\n", "[upstream_ssl] none: "),
        ("[upstream_ssl]\nca_file = pem\n", "[upstream_ssl] pem: no certificate in it"),
        ("[upstream_ssl]\nkey_file = pem\n", "[upstream_ssl] needs both cert_file and key_file"),
        ("[log]\nlevel = loud\n", "a.ini:4: level: expected debug, info, "),
        ("[log]\nformat = xml\n", "a.ini:4: format: expected text or json"),
        ("nonsense\n", "a.ini:3: a line without `=` that continues no value"),
        ("[couchgate\nport = 1\n", "a.ini:3: a section header without its closing `]`"),
    ] {
        fs::write(place.path().join("a.ini"), format!("{secret}{text}")).unwrap();
        for command in ["check", "run", ""] {
            let faults = place.faults(&format!("{command} --config a.ini"));
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert!(faults[0].starts_with(expected), "{text}: {faults:?}");
            assert!(!faults[0].contains(SECRET), "{faults:?}");
        }
    }
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_a_fault() {
    let certificate = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (ours, others) = (certificate("couch.example"), certificate("other.example"));
    let place = Place::with(&[
        ("cert.pem", &ours.cert.pem()),
        ("key.pem", &others.signing_key.serialize_pem()),
        ("a.ini", "[ssl]\ncert_file = cert.pem\nkey_file = key.pem\n[chttpd_auth]\nsecret = s\n"),
        (
            "b.ini",
            "[upstream_ssl]\ncert_file = cert.pem\nkey_file = key.pem\n[chttpd_auth]\nsecret = s\n",
        ),
    ]);
    for (file, section) in [("a.ini", "[ssl]"), ("b.ini", "[upstream_ssl]")] {
        let faults = place.faults(&format!("--config {file}"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(&format!("{section} cert.pem: ")), "{faults:?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let place = Place::with(&[
        ("a.ini", "[couchgate]\nnonsense\nprot = 5994\nport = many\nupstream = ,\n"),
        (
            "b.ini",
            "[chttpd]\nauthentication_handlers = hawk\nrequire_valid_user = perhaps\n\
             [chttpd_auth]\nsecret_file = none\nsame_site = perhaps\ntimeout = long\n\
             [ssl]\nkey_file = none\n[upstream_ssl]\nca_file = none\n[log]\nlevel = loud\n",
        ),
    ]);
    let faults = place.faults("--config a.ini --config none.ini --config b.ini");
    for expected in [
        "a.ini:2: ",
        "a.ini:3: [couchgate] has no key",
        "a.ini:4: port: ",
        "[couchgate] upstream names no node",
        "cannot read none.ini: ",
        "b.ini:2: authentication_handlers: ",
        "b.ini:3: require_valid_user: ",
        "b.ini:5: secret_file: ",
        "b.ini:6: same_site: ",
        "b.ini:7: timeout: ",
        "[ssl] ",
        "[upstream_ssl] ",
        "b.ini:13: level: ",
    ] {
        let count = faults.iter().filter(|fault| fault.starts_with(expected)).count();
        assert_eq!(count, 1, "{expected} in {faults:#?}");
    }
    assert_eq!(faults.len(), 13, "{faults:#?}");
}

#[test]
fn a_fault_shows_no_password() {
    let place = Place::with(&[("a.ini", "[couchgate]\nupstream = http://admin:canary@h:5984\n")]);
    for arguments in ["--config a.ini", "--upstream https://admin:canary@h", "--upstream canary@h"]
    {
        let faults = place.faults(arguments);
        assert!(faults.iter().any(|fault| fault.contains("upstream: ")), "{faults:?}");
        assert!(!faults.concat().contains("canary"), "{faults:?}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let base = "[couchgate]\nport = 0\nadmin_bind = 127.0.0.1:0\n[chttpd_auth]\nsecret = s\n";
    let admin = format!("{base}[couchgate]\nadmin_bind = {address}\n");
    let place = Place::with(&[("clients.ini", base), ("admin.ini", &admin)]);
    for arguments in [&format!("--config clients.ini --bind {address}"), "--config admin.ini"] {
        let faults = place.faults(arguments);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let expected = format!("cannot listen on {address}: Address already in use");
        assert!(faults[0].starts_with(&expected), "{faults:?}");
    }
}
