//! `couchgate oauth`: what it prints, writes and signs is believed, and what it refuses stays as it
//! was.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "oauth_command_line/documents.rs"]
mod documents;
#[path = "oauth_command_line/files.rs"]
mod files;
#[path = "oauth_command_line/pages.rs"]
mod pages;
#[path = "oauth_command_line/signing.rs"]
mod signing;
mod support;
#[path = "oauth_command_line/written.rs"]
mod written;

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use support::{Gate, Recorder, SECRET, place::Place};

/// A configuration with two consumers and two tokens, whose secrets say what they are.
const CREDENTIALS: &str = "[oauth_consumer_secrets]\napp = canary-app\nother = canary-other\n\
    [oauth_token_secrets]\nt1 = canary-t1\nt2 = canary-t2\n\
    [oauth_token_users]\nt1 = jan\nt2 = pomme\n";

/// A directory with `couchgate.ini`.
fn place(ini: &str) -> Place {
    let base = "[chttpd]\nauthentication_handlers = oauth, default\n[chttpd_auth]\nsecret = ";
    let place = Place::with(&[("couchgate.ini", &format!("{base}{SECRET}\n{ini}"))]);
    let file = place.path().join("couchgate.ini");
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    place
}

fn read(place: &Place, file: &str) -> String {
    fs::read_to_string(place.path().join(file)).unwrap()
}

/// `couchgate oauth WORDS... --config couchgate.ini`.
fn oauth(place: &Place, words: &[&str]) -> Command {
    let mut command = place.couchgate("oauth", &[]);
    command.args(words).args(["--config", "couchgate.ini"]);
    command
}

/// What a command prints that succeeds.
#[track_caller]
fn success(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that a command complains of.
#[track_caller]
fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.strip_prefix("couchgate: ").and_then(|said| said.strip_suffix('\n'));
    let line = line.filter(|line| !line.contains('\n'));
    line.unwrap_or_else(|| panic!("not one line: {said}")).to_owned()
}

#[track_caller]
fn add(place: &Place, words: &[&str]) -> Added {
    let said = success(oauth(place, &["add"]).args(words));
    let (client, note) = said.split_once("token_secret = ").unwrap();
    let (token_secret, note) = note.split_once('\n').unwrap();
    let pairs = client.lines().map(|line| line.split_once(" = ").unwrap());
    let pairs: HashMap<&str, &str> = pairs.collect();
    assert_eq!(pairs.len(), 3, "{said}");
    Added {
        consumer_key: pairs["consumer_key"].to_owned(),
        consumer_secret: pairs["consumer_secret"].to_owned(),
        token: pairs["token"].to_owned(),
        token_secret: token_secret.to_owned(),
        note: note.to_owned(),
    }
}

/// What the client needs, and what the operator is told.
#[derive(Debug)]
struct Added {
    consumer_key: String,
    consumer_secret: String,
    token: String,
    token_secret: String,
    note: String,
}

/// The Authorization header that `oauth sign WORDS...` prints.
#[track_caller]
fn sign(place: &Place, words: &[&str]) -> String {
    let said = success(oauth(place, &["sign"]).args(words));
    let line = said.strip_suffix('\n').filter(|line| !line.contains('\n'));
    let value = line.and_then(|line| line.strip_prefix("Authorization: "));
    value.unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// couchgate with the configuration that is in the place, and an upstream that knows jan.
fn gate(place: &Place) -> (Recorder, Gate) {
    gate_of(&read(place, "couchgate.ini"))
}

fn gate_of(ini: &str) -> (Recorder, Gate) {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]).user("pomme", "pear", &[]);
    let gate = Gate::start(&upstream.url, ini);
    (upstream, gate)
}

/// Who is asking, as `/_session` says it to whoever signs with these.
#[track_caller]
fn who(gate: &Gate, place: &Place, words: &[&str]) -> serde_json::Value {
    let url = format!("http://{}/_session", gate.address);
    let authorization = sign(place, &[&["GET", &url], words].concat());
    let host = gate.address.to_string();
    let headers = [("Host", host.as_str()), ("Authorization", &authorization)];
    let session = gate.get("/_session", &headers).expect(200).json();
    assert_eq!(session["info"]["authenticated"], "oauth", "{session}");
    session["userCtx"]["name"].clone()
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
}

#[test]
fn lines_to_paste_are_three_sections() {
    let place = place("");
    let before = read(&place, "couchgate.ini");
    let lines = success(&mut oauth(&place, &["add", "jan"]));
    assert_eq!(read(&place, "couchgate.ini"), before);
    let words: Vec<&str> = lines.split('\n').collect();
    let [
        "[oauth_consumer_secrets]",
        consumer,
        "",
        "[oauth_token_secrets]",
        secret,
        "",
        "[oauth_token_users]",
        user,
        "",
    ] = words[..]
    else {
        panic!("{lines}")
    };
    let (consumer, consumer_secret) = consumer.split_once(" = ").unwrap();
    let (token, token_secret) = secret.split_once(" = ").unwrap();
    assert_eq!(user, format!("{token} = jan"));
    assert!(is_hex(consumer, 8) && is_hex(token, 8), "{lines}");
    assert!(is_hex(consumer_secret, 32) && is_hex(token_secret, 32), "{lines}");
    assert_ne!(success(&mut oauth(&place, &["add", "jan"])), lines);

    fs::write(place.path().join("couchgate.ini"), format!("{before}\n{lines}")).unwrap();
    let (_upstream, gate) = gate(&place);
    assert_eq!(who(&gate, &place, &[]), "jan");
}

#[test]
fn a_consumer_that_exists_keeps_its_secret() {
    let place = place(CREDENTIALS);
    let lines = success(&mut oauth(&place, &["add", "jan", "--consumer", "app", "--token", "t3"]));
    assert!(lines.contains("\napp = canary-app\n"), "{lines}");
    let added = add(&place, &["jan", "--consumer", "app", "--file", "couchgate.ini"]);
    assert_eq!((&*added.consumer_key, &*added.consumer_secret), ("app", "canary-app"));
    assert_eq!(read(&place, "couchgate.ini").matches("canary-app").count(), 1);
    let (_upstream, gate) = gate(&place);
    assert_eq!(who(&gate, &place, &["--consumer", "app", "--token", &added.token]), "jan");
}

#[test]
fn a_consumer_that_is_known_by_a_file_stays_there() {
    let place = place("");
    let secret = place.path().join("app.secret");
    fs::write(&secret, "canary-in-a-file\n").unwrap();
    let ini = format!("[oauth_consumer_secrets]\napp_file = {}\n", secret.display());
    fs::write(place.path().join("app.ini"), &ini).unwrap();
    let words = ["add", "jan", "--consumer", "app", "--config", "app.ini"];
    let lines = success(&mut oauth(&place, &words));
    assert!(lines.contains("\napp = canary-in-a-file\n"), "{lines}");
    let added = add(&place, &["jan", "--consumer", "app", "--file", "app.ini"]);
    assert_eq!(added.consumer_secret, "canary-in-a-file");
    let text = read(&place, "app.ini");
    assert!(text.starts_with(&ini) && !text.contains("canary-in-a-file"), "{text}");
}

#[test]
fn a_list_shows_no_secret() {
    let place = place(CREDENTIALS);
    let list = || success(&mut oauth(&place, &["list"]));
    assert_eq!(list(), "t1\tjan\tapp, other\nt2\tpomme\tapp, other\n");
    let more = "[oauth_token_secrets]\na = canary-a\n[oauth_token_users]\nz = zoe\nt2 =\n";
    fs::write(place.path().join("more.ini"), more).unwrap();
    let lines = success(oauth(&place, &["list"]).args(["--config", "more.ini"]));
    let expected = "a\t(no user)\tapp, other\nt1\tjan\tapp, other\nt2\t(no user)\tapp, other\n\
                    z\tzoe\t(no secret)\n";
    assert_eq!(lines, expected);
    let empty = self::place("");
    assert_eq!(success(&mut oauth(&empty, &["list"])), "");
}

#[test]
fn what_is_wrong_is_said_in_one_line_without_a_secret() {
    let place = place(CREDENTIALS);
    fs::write(place.path().join("faulty.ini"), "[s]\ncanary-nonsense\n").unwrap();
    fs::create_dir(place.path().join("directory")).unwrap();
    let long = "x".repeat(1025);
    let file = &["--file", "couchgate.ini"][..];
    let before = read(&place, "couchgate.ini");
    for (words, expected) in [
        (
            &["add", "jan", "--token", "t1"][..],
            "the token \"t1\" exists: remove it first, or choose another name",
        ),
        (&["add", ""], "the user name \"\" cannot travel in a header"),
        (&["add", "a\tb"], "the user name \"a\\tb\" cannot travel in a header"),
        (&["add", "jan", "--consumer", ""], "--consumer: the name is empty"),
        (&["add", "jan", "--token", &long], "--token: the name is too long"),
        (
            &["add", "jan", "--token", " t"],
            "--token: the name has outer blanks or control characters",
        ),
        (
            &["add", "jan", "--consumer", "a\nb"],
            "--consumer: the name has outer blanks or control characters",
        ),
        (
            &["add", "jan", "--consumer", "[a]"],
            "an ini file cannot hold \"[a]\": it would be read as another name",
        ),
        (
            &["add", "jan", "--token", "a = b"],
            "an ini file cannot hold \"a = b\": it would be read as another name",
        ),
        (
            &["add", "jan ;x", file[0], file[1]],
            "an ini file cannot hold \"jan ;x\": it would be read as another name",
        ),
        (
            &["add", "jan", "--file", "none/x.ini"],
            "cannot edit none/x.ini: No such file or directory (os error 2)",
        ),
        (&["add", "jan", "--file", "directory"], "cannot edit directory: it is not a regular file"),
        (
            &["add", "jan", "--file", "faulty.ini"],
            "faulty.ini:2: a line without `=` that continues no value",
        ),
        (&["remove", "--token", "t1"], "name the ini file that has the credentials by --file"),
        (&["remove", "--token", "t3", file[0], file[1]], "couchgate.ini has no token \"t3\""),
        (
            &["remove", "--consumer", "t1", file[0], file[1]],
            "couchgate.ini has no consumer key \"t1\"",
        ),
        // Both or neither.
        (
            &["remove", "--consumer", "app", "--token", "t3", file[0], file[1]],
            "couchgate.ini has no token \"t3\"",
        ),
        (&["remove", "--token", "t1", "--file", "none.ini"], "none.ini has no token \"t1\""),
        (&["list", "--config", "none.ini"], "cannot read none.ini: No such file or directory"),
    ] {
        let said = failure(&mut oauth(&place, words));
        assert!(said.starts_with(expected), "{words:?}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert_eq!(read(&place, "couchgate.ini"), before);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "nothing is left behind");
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    let place = place(CREDENTIALS);
    for words in [
        &[][..],
        &["add"],
        &["add", "jan", "pomme"],
        &["remove"],
        &["remove", "t1"],
        &["sign", "GET"],
        &["sign", "GET", "http://h/", "--method", "hmac-sha1"],
        &["list", "--file", "couchgate.ini"],
        // A secret would be seen by whoever sees the processes.
        &["add", "jan", "--consumer-secret", "x"],
        &["add", "jan", "--token-secret", "x"],
        &["sign", "GET", "http://h/", "--token-secret", "x"],
    ] {
        let output = place.couchgate("oauth", &[]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{words:?}: {output:?}");
    }
}

#[test]
fn help_tells_the_whole_story() {
    let place = place("");
    let help = |words: &str| success(&mut place.couchgate(&format!("{words} --help"), &[]));
    let story = help("oauth");
    for word in ["oauth add", "oauth list", "oauth sign", "oauth remove", "--file", "use_users_db"]
    {
        assert!(story.contains(word), "no {word} in {story}");
    }
    assert!(story.lines().count() < 40, "{story}");
    assert!(help("oauth add").contains("in user documents each user has his own"));
    for command in ["add", "list", "remove", "sign"] {
        let said = help(&format!("oauth {command}"));
        assert!(said.contains(&format!("Usage: couchgate oauth {command}")), "{said}");
    }
    assert!(help("").contains("OAuth 1.0 signatures"));
}

#[test]
fn without_the_handler_that_is_said() {
    let place = place("[chttpd]\nauthentication_handlers = default\n");
    let said = "[chttpd] authentication_handlers lacks oauth: until it is there, signed requests \
                are not believed\n";
    let lines = success(&mut oauth(&place, &["add", "jan"]));
    assert!(lines.starts_with(&format!("; {said}[oauth_consumer_secrets]\n")), "{lines}");
    let added = add(&place, &["jan", "--file", "couchgate.ini"]);
    assert!(added.note.ends_with(said), "{}", added.note);
}
