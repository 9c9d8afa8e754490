//! `[couch_httpd_oauth]` and the three sections of credentials, as CouchDB 1.x had them.

use std::collections::HashMap;

use super::{
    fields::{Fields, Sections, read_secrets},
    ini::Fault,
};
use crate::{
    auth::oauth::{Settings, credentials::IniCredentials},
    secret::Secret,
};

const OAUTH: Sections = &["couch_httpd_oauth"];
pub(super) const CONSUMER_SECRETS: &str = "oauth_consumer_secrets";
pub(super) const TOKEN_SECRETS: &str = "oauth_token_secrets";
pub(super) const TOKEN_USERS: &str = "oauth_token_users";

/// The longest window, in seconds: nonces are remembered for twice as long.
const MAX_WINDOW: u32 = 3600;

pub(super) fn settings(fields: &mut Fields<'_>) -> Settings {
    let window = fields.number(OAUTH, "timestamp_window", 300, 1..=MAX_WINDOW);
    Settings {
        use_users_db: fields.boolean(OAUTH, "use_users_db", false),
        timestamp_window: std::time::Duration::from_secs(window.into()),
        allow_plaintext: fields.boolean(OAUTH, "allow_plaintext", false),
    }
}

pub(super) fn credentials(fields: &mut Fields<'_>) -> IniCredentials {
    let users = fields.ini.section(TOKEN_USERS);
    IniCredentials {
        consumer_secrets: secrets(fields, CONSUMER_SECRETS),
        token_secrets: secrets(fields, TOKEN_SECRETS),
        token_users: users.map(|(token, user)| (token.to_owned(), user.value.clone())).collect(),
    }
}

/// Names and their secrets; `NAME_file` is a file that holds the secret of NAME.
fn secrets(fields: &mut Fields<'_>, section: &str) -> HashMap<String, Secret> {
    let mut secrets = HashMap::new();
    for (key, entry) in fields.ini.section(section) {
        let (name, secret) = match name_of_file(key, &entry.value) {
            None => (key, Ok(Secret::from(entry.value.as_str()))),
            Some(name) => (name, secret_in(&entry.value)),
        };
        match secret.map(|secret| secrets.insert(name.to_owned(), secret)) {
            Ok(None) => {}
            Ok(Some(_)) => fields.fault_at(entry, &format!("{name} and {name}_file are both set")),
            Err(message) => fields.fault_at(entry, &format!("{key}: {message}")),
        }
    }
    secrets
}

fn secret_in(file: &str) -> Result<Secret, String> {
    match &*read_secrets(file.as_ref())? {
        [secret] => Ok(secret.clone()),
        _ => Err(format!("there is more than one secret in {file}")),
    }
}

/// The name whose secret is in a file. CouchDB 1.x may have had a key of such a name, with a secret
/// that is no path.
pub(super) fn name_of_file<'a>(key: &'a str, value: &str) -> Option<&'a str> {
    key.strip_suffix("_file").filter(|_| value.starts_with('/'))
}

/// What lets nobody in although somebody wrote it down.
pub(super) fn doubts(
    fields: &Fields<'_>,
    settings: &Settings,
    credentials: &IniCredentials,
    is_handler: bool,
) -> Vec<Fault> {
    let places = [OAUTH[0], CONSUMER_SECRETS, TOKEN_SECRETS, TOKEN_USERS];
    let configured = places.iter().find_map(|section| fields.ini.section(section).next());
    let Some((_, first)) = configured else { return Vec::new() };
    let mut doubts = Vec::new();
    let mut doubt = |entry: &super::ini::Entry, message: String| {
        doubts.push(Fault { place: Some(entry.place.clone()), message });
    };
    if !is_handler {
        doubt(first, "OAuth is configured, but authentication_handlers lacks oauth".to_owned());
    } else if settings.use_users_db {
        for section in &places[1..] {
            if let Some((_, entry)) = fields.ini.section(section).next() {
                doubt(entry, format!("[{section}] has no effect with use_users_db = true"));
            }
        }
    } else {
        for (token, entry) in fields.ini.section(TOKEN_USERS) {
            if !credentials.token_secrets.contains_key(token) {
                doubt(entry, format!("[{TOKEN_SECRETS}] has no secret for this token"));
            }
        }
        for (token, entry) in fields.ini.section(TOKEN_SECRETS) {
            let name = name_of_file(token, &entry.value).unwrap_or(token);
            if !credentials.token_users.contains_key(name) {
                doubt(entry, format!("[{TOKEN_USERS}] has no user for this token"));
            }
        }
    }
    doubts
}
