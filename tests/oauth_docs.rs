//! docs/oauth.md, where it can be held to its word.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod support;

use couchgate::error::{Error, OauthError};
use support::{
    Gate, Recorder,
    docs::{blocks, has_row, only_couchdb_is_missing},
    place::Place,
};

const DOCUMENT: &str = include_str!("../docs/oauth.md");

#[test]
fn every_configuration_in_the_document_is_right() {
    let blocks = blocks(DOCUMENT, "ini");
    assert!(blocks.len() > 1, "{blocks:#?}");
    for block in &blocks {
        // The first is of use to all others.
        only_couchdb_is_missing(&format!("{}\n{block}", blocks[0]));
    }
}

#[test]
fn every_option_in_the_document_exists() {
    let place = Place::with(&[]);
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `couchgate oauth "));
    let mut commands = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.split(['`', ' ', '[', ']']).collect();
        let output = place.couchgate(&format!("oauth {} --help", words[0]), &[]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{option} <")), "{option} in {row}\n{help}");
        }
        commands.push(words[0]);
    }
    assert_eq!(commands, ["add", "list", "remove", "sign"]);
}

#[test]
fn every_refusal_is_in_the_document() {
    for error in [
        OauthError::Version,
        OauthError::UnknownPair,
        OauthError::AmbiguousPair,
        OauthError::Signature,
        OauthError::Timestamp(300),
        OauthError::Nonce,
        OauthError::NoUser,
        OauthError::ServerAdmin,
        OauthError::Overloaded,
    ] {
        has_row(DOCUMENT, &Error::from(error));
    }
}

#[test]
fn the_clients_have_the_quickstarts_credentials() {
    let quickstart = include_str!("../examples/quickstart/demo.rs");
    for client in [
        include_str!("../examples/clients/oauth.py"),
        include_str!("../examples/clients/oauth.mjs"),
        include_str!("../examples/clients/oauth.rb"),
    ] {
        for value in ["consumer1", "sekr1t", "token1", "tokensekr1t"] {
            let value = format!("\"{value}\"");
            assert!(quickstart.contains(&value) && client.contains(&value), "{value} in {client}");
        }
        assert!(client.contains("\"http://127.0.0.1:5994\""), "{client}");
    }
}

/// The sections and spellings that CouchDB 1.7.1's own files have, as far as couchgate knows them.
#[test]
fn a_configuration_of_couchdb_1_is_right_as_it_is() {
    only_couchdb_is_missing(
        "[couchdb]\ndatabase_dir = /var/lib/couchdb\nmax_dbs_open = 100\n\
         [httpd]\nport = 5984\nbind_address = 127.0.0.1\n\
         authentication_handlers = {couch_httpd_oauth, oauth_authentication_handler}, \
         {couch_httpd_auth, cookie_authentication_handler}, \
         {couch_httpd_auth, default_authentication_handler}\n\
         vhost_global_handlers = _utils, _uuids, _session, _oauth, _users\n\
         socket_options = [{recbuf, 262144}, {sndbuf, 262144}, {nodelay, true}]\n\
         [ssl]\nport = 6984\nverify_ssl_certificates = false\n\
         [couch_httpd_auth]\nauthentication_db = _users\nrequire_valid_user = false\n\
         authentication_redirect = /_utils/session.html\ntimeout = 600 ; number of seconds\n\
         auth_cache_size = 50 ; size is number of cache entries\niterations = 10\n\
         [couch_httpd_oauth]\n; comment\nuse_users_db = false\n\
         [httpd_global_handlers]\n_oauth = {couch_httpd_oauth, handle_oauth_req}\n\
         [oauth_consumer_secrets]\nexample.org = sekr1t\n\
         [oauth_token_secrets]\ntoken1 = tokensekr1t\n\
         [oauth_token_users]\ntoken1 = jan\n",
    );
}

#[test]
fn couchdb_1_kept_nobody_out_elsewhere() {
    let upstream = Recorder::start();
    for (ini, status) in [
        ("[couch_httpd_auth]\nrequire_valid_user = true", 401),
        (
            "[couch_httpd_auth]\nrequire_valid_user = true\n[chttpd]\nrequire_valid_user = false",
            200,
        ),
        ("", 200),
    ] {
        let gate = Gate::start(&upstream.url, ini);
        assert_eq!(gate.get("/db", &[]).status, status, "{ini}");
    }
}
