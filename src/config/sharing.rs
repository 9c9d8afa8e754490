//! `[couch_authkey]` and `[download_token]`.

use std::collections::BTreeSet;

use http::HeaderName;

use super::{
    fields::{Fields, Sections},
    ini::{Entry, Fault},
};
use crate::{
    auth::{
        authkey,
        download_token::{self, SigningKey, SigningKeys},
        oauth::parameters::is_protocol,
    },
    couch::{Databases, is_database_name},
    headers::HeaderLaw,
    user_ctx::HandlerName,
};

const AUTHKEY: Sections = &["couch_authkey"];
const DOWNLOAD: Sections = &["download_token"];

/// What CouchDB is asked with most; a credential's parameter never reaches it.
const OF_COUCHDB: [&str; 16] = [
    "attachments",
    "conflicts",
    "descending",
    "endkey",
    "feed",
    "filter",
    "group",
    "include_docs",
    "key",
    "keys",
    "limit",
    "open_revs",
    "rev",
    "since",
    "skip",
    "startkey",
];

/// What is read seldom enough, in seconds.
const MAX_TTL: u32 = 3600;

/// The names under which credentials come in, taken out of every request.
pub(super) fn law(fields: &mut Fields<'_>, law: HeaderLaw, handlers: &[HandlerName]) -> HeaderLaw {
    let auth_key_param = param(fields, AUTHKEY, "auth_key_param", &law.auth_key_param);
    let token_param = param(fields, DOWNLOAD, "param", "token");
    let opens = handlers.contains(&HandlerName::DownloadToken);
    if opens && auth_key_param == token_param {
        let entry = fields.entry(DOWNLOAD, "param");
        let entry = entry.or_else(|| fields.entry(AUTHKEY, "auth_key_param"));
        let message = "[couch_authkey] auth_key_param and [download_token] param must differ";
        fault_at(fields, entry, message);
    }
    let auth_key = fields.parsed::<HeaderName>(AUTHKEY, "x_auth_key", law.auth_key.clone());
    if law.has_meaning(&auth_key) {
        let entry = fields.entry(AUTHKEY, "x_auth_key");
        let message = format!("[couch_authkey] x_auth_key: {auth_key} has another meaning");
        fault_at(fields, entry, &message);
    }
    let download_token_param = opens.then_some(token_param);
    HeaderLaw { auth_key, auth_key_param, download_token_param, ..law }
}

fn param(fields: &mut Fields<'_>, sections: Sections, key: &str, default: &str) -> String {
    let Some(entry) = fields.entry(sections, key) else { return default.to_owned() };
    if is_protocol(entry.value.as_bytes()) {
        fields.fault_at(entry, &format!("{key}: what begins with oauth_ is OAuth's"));
    }
    entry.value.clone()
}

pub(super) fn authkey(fields: &mut Fields<'_>, authentication_db: &str) -> authkey::Settings {
    let keys = ["allow_system_roles", "auth_key_param", "cache_ttl", "databases", "x_auth_key"];
    fields.known_keys(AUTHKEY[0], &keys);
    let databases = databases(fields, AUTHKEY, "", authentication_db);
    authkey::Settings {
        databases,
        allow_system_roles: fields.boolean(AUTHKEY, "allow_system_roles", false),
        cache_ttl: cache_ttl(fields, AUTHKEY),
    }
}

pub(super) fn download_token(
    fields: &mut Fields<'_>,
    authentication_db: &str,
) -> download_token::Settings {
    let keys = ["cache_ttl", "databases", "key_name", "param", "signing_keys", "signing_keys_file"];
    fields.known_keys(DOWNLOAD[0], &keys);
    let key_name = fields.text(DOWNLOAD, "key_name").unwrap_or("download_token");
    let key_name: Vec<String> = key_name.split('.').map(str::to_owned).collect();
    if key_name.iter().any(String::is_empty) {
        let entry = fields.entry(DOWNLOAD, "key_name");
        fault_at(fields, entry, "key_name: expected a field's name, or names with dots");
    }
    download_token::Settings {
        key_name,
        databases: databases(fields, DOWNLOAD, "*", authentication_db),
        cache_ttl: cache_ttl(fields, DOWNLOAD),
        signing_keys: signing_keys(fields),
    }
}

fn cache_ttl(fields: &mut Fields<'_>, sections: Sections) -> std::time::Duration {
    let seconds = fields.number(sections, "cache_ttl", 5, 1..=MAX_TTL);
    std::time::Duration::from_secs(seconds.into())
}

/// Names or `*`. In the authentication database each user writes a document of his own, in which
/// he could give himself any role.
fn databases(
    fields: &mut Fields<'_>,
    sections: Sections,
    default: &str,
    authentication_db: &str,
) -> Databases {
    let entry = fields.entry(sections, "databases");
    let names = entry.map_or(default, |entry| &entry.value).split(',').map(str::trim);
    let names: BTreeSet<String> =
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.contains("*") {
        if let Some(entry) = entry.filter(|_| names.len() > 1) {
            fields.fault_at(entry, "databases: expected names, or * alone");
        }
        return Databases::AllBut([authentication_db.to_owned()].into());
    }
    for name in &names {
        if let Some(entry) = entry
            && (!is_database_name(name) || name == authentication_db)
        {
            let message = format!("databases: {name:?} is no database that could be opened so");
            fields.fault_at(entry, &message);
        }
    }
    Databases::Only(names)
}

fn signing_keys(fields: &mut Fields<'_>) -> SigningKeys {
    let (inline, file) =
        (fields.entry(DOWNLOAD, "signing_keys"), fields.entry(DOWNLOAD, "signing_keys_file"));
    if let (Some(inline), Some(_)) = (inline, file) {
        // Links that those left out have signed would be dead.
        fields.fault_at(inline, "signing_keys and signing_keys_file are both set");
    }
    let entry = file.or(inline);
    let mut keys: Vec<SigningKey> = Vec::new();
    for secret in fields.secrets(DOWNLOAD, "signing_keys") {
        // From a file or the ini, both of which are text.
        match str::from_utf8(secret.as_bytes()).unwrap_or_default().parse() {
            Ok(key) => keys.push(key),
            Err(error) => fault_at(fields, entry, &format!("signing_keys: {error}")),
        }
    }
    SigningKeys::new(keys).unwrap_or_else(|| {
        fault_at(fields, entry, "signing_keys: two keys have the same id");
        SigningKeys::default()
    })
}

fn fault_at(fields: &mut Fields<'_>, entry: Option<&Entry>, message: &str) {
    let place = entry.map(|entry| entry.place.clone());
    fields.faults.push(Fault { place, message: message.to_owned() });
}

/// What does nothing although somebody wrote it down, and what opens more than he may have meant.
pub(super) fn doubts(
    fields: &Fields<'_>,
    authkey: &authkey::Settings,
    download_token: &download_token::Settings,
    handlers: &[HandlerName],
) -> Vec<Fault> {
    let mut doubts = Vec::new();
    let mut doubt = |entry: Option<&Entry>, message: String| {
        doubts.push(Fault { place: entry.map(|entry| entry.place.clone()), message });
    };
    for (sections, handler, databases) in [
        (AUTHKEY, HandlerName::Authkey, &authkey.databases),
        (DOWNLOAD, HandlerName::DownloadToken, &download_token.databases),
    ] {
        let (section, name) = (sections[0], handler.as_str());
        let first = fields.ini.section(section).next().map(|(_, entry)| entry);
        if !handlers.contains(&handler) {
            if first.is_some() {
                let lacks = format!("authentication_handlers lacks {name}");
                doubt(first, format!("[{section}] has no effect: {lacks}"));
            }
        } else if matches!(databases, Databases::Only(names) if names.is_empty()) {
            doubt(first, format!("[{section}] databases names none: {name} lets nobody in"));
        }
    }
    for (sections, key) in [(AUTHKEY, "auth_key_param"), (DOWNLOAD, "param")] {
        let entry = fields.entry(sections, key);
        if let Some(name) = entry.map(|entry| &*entry.value)
            && OF_COUCHDB.contains(&name)
        {
            doubt(entry, format!("{key}: {name} is a parameter of CouchDB's, which never gets it"));
        }
    }
    if handlers.contains(&HandlerName::DownloadToken)
        && fields.entry(DOWNLOAD, "databases").is_none()
    {
        doubt(
            None,
            "[download_token] databases is not set: strangers can find out of every database which \
             documents there are"
                .to_owned(),
        );
    }
    if !handlers.contains(&HandlerName::Authkey) {
        return doubts;
    }
    if matches!(authkey.databases, Databases::AllBut(_)) {
        doubt(
            fields.entry(AUTHKEY, "databases"),
            "whoever may write a document in any database can give himself any role by a key in it"
                .to_owned(),
        );
    }
    if authkey.allow_system_roles {
        doubt(
            fields.entry(AUTHKEY, "allow_system_roles"),
            "whoever may write a document in one of the databases with auth keys can make himself \
             a server admin by a key in it"
                .to_owned(),
        );
    }
    doubts
}
