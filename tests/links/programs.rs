//! The programs in `examples/clients/` that sign links: what they sign is what couchgate signs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{APP, NAMES, attach, ini_for, now, path, target, token};
use crate::support::{Couch, Gate};

const PROGRAMS: [[&str; 2]; 3] = [["python3", "link.py"], ["node", "link.mjs"], ["sh", "link.sh"]];

const NEEDED: &str = "Python 3.10, Node.js 18 and openssl are needed: apt-get install python3 \
                      nodejs openssl";

fn command([interpreter, file]: [&str; 2], key: &str, base: &str, words: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients");
    command.arg(clients.join(file)).args(words).stdin(Stdio::null());
    command.env("COUCHGATE_SIGNING_KEY", key).env("COUCHGATE_URL", base);
    command
}

/// The URL that a program prints.
#[track_caller]
fn url(command: &mut Command) -> String {
    let output = command.output().expect(NEEDED);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}. {NEEDED}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.strip_suffix('\n').unwrap().to_owned()
}

/// Checks that a URL's token is couchgate's own for these names and this key, and lasts as long as
/// it was asked for since `before`.
#[track_caller]
fn is_couchgates(url: &str, key: &str, names: [&str; 3], seconds: u64, before: u64) {
    let (_, presented) = url.split_once("?token=").unwrap();
    let expires = presented.split('.').nth(2).unwrap().parse().unwrap();
    assert!((before + seconds..=now() + seconds).contains(&expires), "{url}");
    assert_eq!(presented, token(key, names, expires), "{names:?}");
}

#[test]
fn what_they_sign_couchgate_signs_and_opens() {
    let couch = Couch::shared();
    let db = couch.database();
    let gate = Gate::start(&couch.url, &ini_for(couch));
    let base = format!("http://{}", gate.address);
    for [doc, attachment] in NAMES {
        let bytes = format!("{doc} {attachment}").into_bytes();
        attach(couch, &db, [doc, attachment], &bytes);
        for program in PROGRAMS {
            let (names, before) = ([&*db, doc, attachment], now());
            let words = [&names[..], &["3600"]].concat();
            let url = url(&mut command(program, APP, &format!("{base}/"), &words));
            is_couchgates(&url, APP, names, 3600, before);
            let target = target(&url, &base);
            assert_eq!(target.split('?').next().unwrap().matches('/').count(), 3, "{url}");
            let opened = gate.get(target, &[]);
            assert_eq!((opened.status, &opened.body), (200, &bytes), "{program:?}: {url}");
        }
    }
    // Another's key.
    let words = [&*db, NAMES[0][0], NAMES[0][1], "3600"];
    for program in PROGRAMS {
        let url = url(&mut command(program, &format!("{APP}0"), &base, &words));
        gate.get(target(&url, &base), &[]).expect(403);
    }
}

#[test]
fn any_secret_will_do() {
    let secret = |length: usize| "0123456789abcdef".repeat(9)[..length].to_owned();
    for key in [
        format!("k:{}", secret(32)),
        format!("K-2_:{}", secret(64)),
        // An HMAC key longer than a block is hashed.
        format!("k:{}", secret(65)),
        format!("k:{}", secret(144)),
        format!("k:a b:%s\\n$x`\"'*  ?[~]{}", secret(32)),
        format!("k:{}", "\u{e9}\u{1f6cb}".repeat(12)),
    ] {
        for program in PROGRAMS {
            let (names, before) = (["photos", "p1", "front.jpg"], now());
            let words = [&names[..], &["60"]].concat();
            let url = url(&mut command(program, &key, "https://couch.example/x", &words));
            assert!(url.starts_with("https://couch.example/x/photos/p1/front.jpg?token="), "{url}");
            is_couchgates(&url, &key, names, 60, before);
        }
    }
}

#[test]
fn without_a_key_or_a_lifetime_they_say_what_is_missing() {
    for program in PROGRAMS {
        let fails = |key: &str, words: &[&str]| -> String {
            let output: Output = command(program, key, "http://h", words).output().expect(NEEDED);
            assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.lines().count() == 1 && !said.contains("canary"), "{program:?}: {said}");
            said
        };
        for key in ["", "canary"] {
            let said = fails(key, &["db", "doc", "a", "60"]);
            assert_eq!(said, "COUCHGATE_SIGNING_KEY must be ID:SECRET\n", "{program:?}");
        }
        let usage = format!("{} DATABASE DOCUMENT ATTACHMENT SECONDS\n", program[1]);
        for words in [
            &[][..],
            &["db", "doc", "a"],
            &["db", "doc", "a", ""],
            &["db", "doc", "a", "1h"],
            &["db", "doc", "a", "-60"],
            &["db", "doc", "a", "60", "60"],
        ] {
            assert_eq!(fails(APP, words), usage, "{program:?} {words:?}");
        }
    }
}

/// Whoever can list processes sees the arguments of all of them.
#[test]
fn the_shells_secret_is_no_programs_argument() {
    let bin = TempDir::new().unwrap();
    let seen = bin.path().join("seen");
    let path_of_programs = std::env::var("PATH").unwrap();
    for name in ["openssl", "od", "tr", "date", "cat"] {
        let found = std::env::split_paths(&path_of_programs).map(|directory| directory.join(name));
        let real = found.into_iter().find(|file| file.is_file()).expect(NEEDED);
        let script = format!(
            "#!/bin/sh\nfor word; do echo \"$word\" >> {}; done\nexec {} \"$@\"\n",
            seen.display(),
            real.display()
        );
        fs::write(bin.path().join(name), script).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.path().join(name), executable).unwrap();
    }
    let mut command = command(PROGRAMS[2], APP, "http://h", &["db", "doc", "a", "60"]);
    command.env("PATH", format!("{}:{path_of_programs}", bin.path().display()));
    let url = url(&mut command);
    assert!(url.starts_with(&format!("http://h{}?token=", path(&["db", "doc", "a"]))), "{url}");
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("-sha256") && seen.contains("base64"), "{seen}");
    // Nor its bytes as numbers: 99 97 110 97 is `cana`.
    for secret in ["canary", "63616e", "99 97 110 97"] {
        assert!(!seen.replace('\n', " ").contains(secret), "{seen}");
    }
}
