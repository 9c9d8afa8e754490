//! Credentials in ini files.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

use serde_json::json;

use super::{
    CREDENTIALS, add, failure, gate, gate_of, is_hex, oauth, place, read, sign, success, who,
};
use crate::support::Gate;

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn an_edited_file_keeps_the_rest_byte_for_byte() {
    let ini = "\r\n; the consumers\r\n[oauth_consumer_secrets]\r\n  app = canary-app ; since 2012\r\n\
               \r\n[oauth_token_users]\r\n; token = user\r\n\r\n[log]\r\nlevel = info";
    let place = place(ini);
    let before = read(&place, "couchgate.ini");
    let words = ["jan", "--consumer", "a=b", "--token", "t", "--file", "couchgate.ini"];
    let added = add(&place, &words);
    assert_eq!((&*added.consumer_key, &*added.token), ("a=b", "t"));
    assert!(is_hex(&added.consumer_secret, 32) && is_hex(&added.token_secret, 32), "{added:?}");
    assert_eq!(
        added.note,
        "written to couchgate.ini: restart couchgate, which reads it when it starts\n"
    );
    let app = "  app = canary-app ; since 2012\r\n";
    let comment = "; token = user\r\n";
    let (consumer, token) = (&added.consumer_secret, &added.token_secret);
    // The file begins with lines of the other kind, which are those of its first line.
    let expected = before
        .replace(app, &format!("{app}a=b = {consumer}\n"))
        .replace(comment, &format!("{comment}t = jan\n"));
    assert_eq!(
        read(&place, "couchgate.ini"),
        format!("{expected}\n\n[oauth_token_secrets]\nt = {token}\n")
    );

    let (_upstream, gate) = gate(&place);
    assert_eq!(who(&gate, &place, &["--consumer", "a=b"]), "jan");
    let words = ["remove", "--consumer", "a=b", "--token", "t", "--file", "couchgate.ini"];
    let said = success(&mut oauth(&place, &words));
    let expected = "removed consumer key \"a=b\" and token \"t\" from couchgate.ini\n\
                    restart couchgate: until then they are believed\n";
    assert_eq!(said, expected);
    let left = read(&place, "couchgate.ini");
    assert_eq!(left, format!("{before}\n\n[oauth_token_secrets]\n"));
}

#[test]
fn a_removed_token_is_believed_until_the_restart() {
    let (place, client) = (place(CREDENTIALS), place(CREDENTIALS));
    let words = ["--consumer", "app", "--token", "t1"];
    let (upstream, running) = gate(&place);
    success(&mut oauth(&place, &["remove", "--token", "t1", "--file", "couchgate.ini"]));
    let text = read(&place, "couchgate.ini");
    assert!(!text.contains("t1"), "{text}");
    let said = failure(oauth(&place, &["sign", "GET", "http://h/"]).args(words));
    assert_eq!(said, "there is no consumer key \"app\" with a token \"t1\"");

    assert_eq!(who(&running, &client, &words), "jan");
    let restarted = Gate::start(&upstream.url, &text);
    let authorization = sign(&client, &[&["GET", "http://h/_session"], &words[..]].concat());
    let headers = [("Host", "h"), ("Authorization", authorization.as_str())];
    let reply = restarted.get("/_session", &headers).expect(400);
    assert_eq!(reply.json()["error"], "invalid_consumer_token_pair");
}

#[test]
fn what_is_left_elsewhere_is_said() {
    let place = place(CREDENTIALS);
    fs::write(place.path().join("more.ini"), CREDENTIALS).unwrap();
    let words = ["remove", "--consumer", "app", "--token", "t1", "--file", "more.ini"];
    let said = success(oauth(&place, &words).args(["--config", "more.ini"]));
    let still = |name: &str| {
        format!("{name:?} is still in another file of the configuration: remove it there, too\n")
    };
    assert!(said.contains(&still("app")) && said.contains(&still("t1")), "{said}");
}

#[test]
fn a_secret_in_a_file_of_its_own_goes_with_its_name() {
    let place = place("");
    let secret = place.path().join("secret");
    fs::write(&secret, "canary\n").unwrap();
    let file = format!("_file = {}\n", secret.display());
    let ini = format!(
        "[oauth_consumer_secrets]\napp{file}app_file_file = x\n[oauth_token_secrets]\nt{file}\
         u_file = no path\n[oauth_token_users]\nt = jan\n"
    );
    fs::write(place.path().join("more.ini"), &ini).unwrap();
    let remove = |words: &[&str]| {
        let mut command = oauth(&place, &["remove", "--file", "more.ini", "--config", "more.ini"]);
        command.args(words);
        command
    };
    assert_eq!(failure(&mut remove(&["--token", "u"])), "more.ini has no token \"u\"");
    success(&mut remove(&["--consumer", "app", "--token", "t"]));
    let left = "[oauth_consumer_secrets]\napp_file_file = x\n[oauth_token_secrets]\n\
                u_file = no path\n[oauth_token_users]\n";
    assert_eq!(read(&place, "more.ini"), left);
    assert_eq!(fs::read_to_string(secret).unwrap(), "canary\n");
}

#[test]
fn a_new_file_is_its_owners_alone() {
    let place = place("");
    let added = add(&place, &["jan", "--file", "oauth.ini"]);
    let expected = "written to oauth.ini, which is not in force: name it by --config before the \
                    others, restart couchgate\n";
    assert_eq!(added.note, expected);
    let metadata = fs::metadata(place.path().join("oauth.ini")).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    let text = read(&place, "oauth.ini");
    assert!(text.starts_with("[oauth_consumer_secrets]\n"), "{text}");
    // What it has counts, although the configuration does not name it.
    let words = ["jan", "--consumer", &added.consumer_key, "--file", "oauth.ini"];
    assert_eq!(add(&place, &words).consumer_secret, added.consumer_secret);
    let words = ["add", "jan", "--token", &added.token, "--file", "oauth.ini"];
    assert!(failure(&mut oauth(&place, &words)).contains("exists"));
    // And now it names it.
    let words = ["jan", "--config", "oauth.ini", "--file", "oauth.ini"];
    assert!(add(&place, &words).note.starts_with("written to oauth.ini: restart"));
}

#[test]
fn a_file_keeps_its_mode_its_owner_and_its_link() {
    let place = place("");
    let real = place.path().join("real.ini");
    for mode in [0o600, 0o640, 0o444] {
        fs::rename(place.path().join("couchgate.ini"), &real).unwrap();
        symlink("real.ini", place.path().join("couchgate.ini")).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(mode)).unwrap();
        if is_root() {
            chown(&real, Some(NOBODY), Some(NOBODY - 1)).unwrap();
        }
        let before = fs::metadata(&real).unwrap();
        let added = add(&place, &["jan", "--file", "couchgate.ini"]);
        assert!(fs::read_to_string(&real).unwrap().contains(&added.token_secret));
        let after = fs::metadata(&real).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "replaced as a whole");
        let link = place.path().join("couchgate.ini");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_file(link).unwrap();
        fs::rename(&real, place.path().join("couchgate.ini")).unwrap();
    }
}

#[test]
fn a_file_that_others_may_read_is_warned_of() {
    let place = place("");
    let file = place.path().join("couchgate.ini");
    let mode = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let note = || add(&place, &["jan", "--file", "couchgate.ini"]).note;
    let written = "written to couchgate.ini: restart couchgate, which reads it when it starts\n";
    for (bits, shown) in [(0o640, "640"), (0o644, "644"), (0o604, "604")] {
        mode(bits);
        let warning = format!(
            "others on this machine may be able to read the secrets in couchgate.ini: its mode is \
             {shown}\n"
        );
        assert_eq!(note(), format!("{written}{warning}"));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, bits);
    }
    mode(0o600);
    assert_eq!(note(), written);
}

/// Whose secret is printed is the one that couchgate goes by.
#[test]
fn a_later_file_has_the_last_word() {
    let place = place("");
    let a = "[oauth_consumer_secrets]\napp = canary-a\n";
    let write = |file: &str, text: &str| fs::write(place.path().join(file), text).unwrap();
    write("a.ini", a);
    write("b.ini", "[oauth_consumer_secrets]\napp = canary-b\n");
    let layers = ["--config", "a.ini", "--config", "b.ini"];
    let words = [&["jan", "--consumer", "app", "--token", "t", "--file", "a.ini"], &layers[..]];
    let added = add(&place, &words.concat());
    assert_eq!(added.consumer_secret, "canary-b");
    assert!(added.note.starts_with("written to a.ini: restart couchgate"), "{added:?}");
    assert!(read(&place, "a.ini").starts_with(a));
    let config = [read(&place, "couchgate.ini"), read(&place, "a.ini"), read(&place, "b.ini")];
    let (_upstream, gate) = gate_of(&config.concat());
    let client = self::place(&format!(
        "[oauth_consumer_secrets]\napp = {}\n[oauth_token_secrets]\nt = {}\n\
         [oauth_token_users]\nt = jan\n",
        added.consumer_secret, added.token_secret
    ));
    assert_eq!(who(&gate, &client, &[]), "jan");

    write("b.ini", "[oauth_consumer_secrets]\napp =\n");
    let words = [&["jan", "--consumer", "app", "--file", "a.ini"], &layers[..]];
    let expected = "written to a.ini, but a later file takes consumer key \"app\" back: it is \
                    not believed\n";
    let added = add(&place, &words.concat());
    assert!(added.note.starts_with(expected), "{added:?}");
}

/// Everything in a directory.
fn files(directory: &std::path::Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_directory_that_cannot_be_written_keeps_its_file_as_it_was() {
    let place = place(CREDENTIALS);
    let before = files(place.path());
    let file = place.path().join("couchgate.ini");
    fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o555)).unwrap();
    for words in [&["add", "jan"][..], &["remove", "--token", "t1"]] {
        let mut command = oauth(&place, words);
        command.args(["--file", "couchgate.ini"]);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let said = failure(&mut command);
        assert_eq!(said, "cannot edit couchgate.ini: Permission denied (os error 13)");
    }
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(files(place.path()), before);
}

#[test]
fn a_full_disk_keeps_the_file_as_it_was() {
    let place = place(CREDENTIALS);
    let before = files(place.path());
    let couchgate = env!("CARGO_BIN_EXE_couchgate");
    for words in ["add jan", "remove --token t1"] {
        // Not a byte may be written to a file.
        let script = format!(
            "trap '' XFSZ; ulimit -f 0; \
             exec {couchgate} oauth {words} --config couchgate.ini --file couchgate.ini"
        );
        let mut command = Command::new("sh");
        command.current_dir(place.path()).args(["-c", &script]);
        let said = failure(&mut command);
        assert_eq!(said, "cannot edit couchgate.ini: File too large (os error 27)");
        assert_eq!(files(place.path()), before);
    }
}

#[test]
fn who_edits_at_the_same_time_loses_nothing() {
    let place = place("");
    let tokens: Vec<String> = (0..12).map(|n| format!("token{n}")).collect();
    let children: Vec<_> = tokens
        .iter()
        .map(|token| {
            let mut command = oauth(&place, &["add", "jan", "--consumer", "app", "--token", token]);
            command.args(["--file", "couchgate.ini"]).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let secret = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().nth(1).unwrap().to_owned()
    };
    let secrets: Vec<_> =
        children.into_iter().map(|child| secret(child.wait_with_output().unwrap())).collect();
    // One has made the consumer, and the others were told its secret.
    assert!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:?}");
    let mut expected: Vec<_> = tokens.iter().map(|token| format!("{token}\tjan\tapp\n")).collect();
    expected.sort();
    assert_eq!(success(&mut oauth(&place, &["list"])), expected.concat());
    let (_upstream, gate) = gate(&place);
    assert_eq!(who(&gate, &place, &["--token", "token7"]), json!("jan"));
}
