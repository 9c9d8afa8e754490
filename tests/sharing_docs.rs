//! docs/auth-keys.md, docs/download-tokens.md and what the quickstart says, where they can be held
//! to their word.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "../examples/quickstart/demo.rs"]
mod demo;
#[path = "../examples/quickstart/guide.rs"]
#[allow(dead_code, reason = "what it says of a CouchDB of the operator's own is not tried here")]
mod guide;
#[path = "sharing_docs/quickstart.rs"]
mod quickstart;
mod support;

/// What the quickstart's files expect of its embedded server.
mod couchdb {
    pub(crate) use crate::support::SECRET;
    pub(crate) const ADMIN: &str = "admin:secretpw";
}

use couchgate::error::{AuthkeyError, Error};
use support::docs::{blocks, has_row, only_couchdb_is_missing, said_of};

use quickstart::Quickstart;

const KEYS: &str = include_str!("../docs/auth-keys.md");
const TOKENS: &str = include_str!("../docs/download-tokens.md");
const SETTINGS: &str = include_str!("../docs/configuration.md");

#[test]
fn every_configuration_in_the_documents_is_right() {
    let blocks = [blocks(KEYS, "ini"), blocks(TOKENS, "ini")].concat();
    assert_eq!(blocks.len(), 3, "{blocks:#?}");
    for block in blocks {
        if block.contains("allow_system_roles = true") {
            let said = said_of(block);
            assert!(said.len() == 1 && said[0].contains("a server admin"), "{said:#?}");
        } else {
            only_couchdb_is_missing(block);
        }
    }
}

/// The rows of the table that follows a heading, by their cells.
fn rows<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) = document.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let table = rest.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect();
    table.map(cells).collect()
}

#[test]
fn every_setting_is_in_both_documents_with_its_default() {
    for (section, document, handler) in
        [("couch_authkey", KEYS, "authkey"), ("download_token", TOKENS, "download_token")]
    {
        let mut ini = format!("[chttpd]\nauthentication_handlers = {handler}\n[{section}]\n");
        let settings = rows(SETTINGS, &format!("## `[{section}]`\n"));
        let own = rows(document, "## Settings\n");
        for row in &settings {
            let (key, default) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
            let explained = own.iter().find(|other| other[0].contains(row[0]));
            let explained = explained.unwrap_or_else(|| panic!("no {key} in {own:#?}"));
            assert!(row[1].is_empty() || explained[1] == row[1], "{row:?} {explained:?}");
            if !["", "none"].contains(&default) {
                ini.extend([key, " = ", default, "\n"]);
            }
        }
        assert!(settings.len() >= 5, "{settings:#?}");
        // What the tables call a default is one, and every key is known.
        let said = said_of(&ini);
        let names_none = |line: &String| line.contains("databases names none");
        assert!(said.iter().all(names_none), "{ini}\n{said:#?}");
    }
}

#[test]
fn every_refusal_is_in_its_document() {
    for error in [
        AuthkeyError::Unknown,
        AuthkeyError::Expired,
        AuthkeyError::Conflicted,
        AuthkeyError::Ambiguous,
        AuthkeyError::SystemRole,
    ] {
        has_row(KEYS, &error.into());
    }
    has_row(KEYS, &Error::CredentialsUnavailable);
    for error in [Error::WrongDownloadToken, Error::NoDocument, Error::CredentialsUnavailable] {
        has_row(TOKENS, &error);
    }
}

/// Every command that stands in a document runs, and prints what stands below it.
#[test]
fn every_command_in_the_documents_does_what_they_say() {
    let quickstart = Quickstart::start();
    for (document, least) in [(KEYS, 5), (TOKENS, 6)] {
        let mut commands = 0;
        for part in document.split("\n```sh\n").skip(1) {
            let (script, rest) = part.split_once("\n```").unwrap();
            let said = quickstart.run(script);
            if let Some(expected) = rest.trim_start().strip_prefix("```text\n") {
                let expected = expected.split("\n```").next().unwrap();
                assert_lines(&said, &quickstart.here(expected), script);
            } else {
                assert!(said.contains("\"ok\":true"), "{script}\n{said}");
            }
            commands += 1;
        }
        assert!(commands >= least, "{commands}");
    }
}

/// Whether lines are as expected.
#[track_caller]
fn assert_lines(said: &str, expected: &str, script: &str) {
    let lines: Vec<_> = said.lines().collect();
    let wanted: Vec<_> = expected.lines().collect();
    let equal = lines.iter().zip(&wanted).all(|(line, wanted)| is(line, wanted));
    assert!(equal && lines.len() == wanted.len(), "{script}\n{said}\nis not\n{expected}");
}

/// Whether a line is as expected, where `...` stands for anything.
fn is(line: &str, expected: &str) -> bool {
    let Some((first, rest)) = expected.split_once("...") else { return line == expected };
    let Some(line) = line.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once("...").unwrap_or(("", rest));
    line.strip_suffix(last).is_some_and(|line| line.contains(middle))
}

/// What the quickstart prints to try, and what each prints then.
#[test]
fn every_line_of_the_quickstart_does_what_it_says() {
    let quickstart = Quickstart::start();
    let guide = quickstart.guide();
    let mut checked = 0;
    for paragraph in guide.split("\n\n") {
        let (what, commands) = paragraph.split_once('\n').unwrap_or_default();
        let commands: Vec<_> = commands.lines().collect();
        let expected: &[&str] = match what.trim() {
            what if what.starts_with("Refused without a name") => &["\"unauthorized\""],
            what if what.starts_with("With name and password") => &["\"Welcome\""],
            what if what.starts_with("Log in once") => &["\"ok\":true", "\"jan\""],
            what if what.starts_with("A front end") => {
                &["\"jan\"", "\"name\":null", "\"name\":null"]
            }
            what if what.starts_with("A client that signs") => &["\"Welcome\""],
            what if what.starts_with("couchgate signs for you") => &["\"jan\""],
            what if what.starts_with("A key instead") => {
                &["\"keys,demo-key\"", "\"Welcome\"", "\"invalid key\""]
            }
            what if what.starts_with("An attachment") => &["Hello from an attachment."],
            what if what.starts_with("The same for nobody") => {
                &["Hello from an attachment.", "\"forbidden\""]
            }
            what if what.starts_with("A link that opens it") => {
                &["Hello from an attachment.", "Hello from an attachment."]
            }
            // One stays open, the other changes what the first shows.
            what if what.starts_with("A feed") => &["", ""],
            what if what.starts_with("For operators") => &["\"ready\"", "couchgate_"],
            _ => continue,
        };
        assert_eq!(commands.len(), expected.len(), "{paragraph}");
        for (command, expected) in commands.iter().zip(expected) {
            if !command.contains("feed=continuous") {
                let said = quickstart.run(command.trim());
                assert!(said.contains(expected), "{command}\n{said}");
            }
        }
        checked += 1;
    }
    assert_eq!(checked, 12, "{guide}");
}
