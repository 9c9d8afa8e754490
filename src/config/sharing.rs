//! `[couch_authkey]` and `[download_token]`.

use std::collections::BTreeSet;

use http::{HeaderName, header};

use super::{
    fields::{Fields, Sections},
    ini::Fault,
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

/// What is read seldom enough, in seconds.
const MAX_TTL: u32 = 3600;

/// The names under which credentials come in, taken out of every request.
pub(super) fn law(fields: &mut Fields<'_>, law: HeaderLaw, handlers: &[HandlerName]) -> HeaderLaw {
    let auth_key_param = param(fields, AUTHKEY, "auth_key_param", &law.auth_key_param);
    let token_param = param(fields, DOWNLOAD, "param", "token");
    let opens = handlers.contains(&HandlerName::DownloadToken);
    if opens && auth_key_param == token_param {
        fields.fault("[couch_authkey] auth_key_param and [download_token] param must differ");
    }
    let auth_key = fields.parsed::<HeaderName>(AUTHKEY, "x_auth_key", law.auth_key.clone());
    let taken = [&law.username, &law.roles, &law.token];
    let needed = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::CONTENT_LENGTH];
    if taken.into_iter().chain(&needed).any(|name| *name == auth_key) {
        fields.fault(format!("[couch_authkey] x_auth_key: {auth_key} has another meaning"));
    }
    let download_token_param = opens.then_some(token_param);
    HeaderLaw { auth_key, auth_key_param, download_token_param, ..law }
}

fn param(fields: &mut Fields<'_>, sections: Sections, key: &str, default: &str) -> String {
    let Some(entry) = fields.entry(sections, key) else { return default.to_owned() };
    if entry.value.is_empty() || is_protocol(entry.value.as_bytes()) {
        fields.fault_at(entry, &format!("{key}: expected the name of a query parameter"));
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
        fields.fault("[download_token] key_name: expected a field's name, or names with dots");
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
    let mut keys: Vec<SigningKey> = Vec::new();
    for secret in fields.secrets(DOWNLOAD, "signing_keys") {
        // From a file or the ini, both of which are text.
        match str::from_utf8(secret.as_bytes()).unwrap_or_default().parse() {
            Ok(key) => keys.push(key),
            Err(error) => fields.fault(format!("[download_token] signing_keys: {error}")),
        }
    }
    SigningKeys::new(keys).unwrap_or_else(|| {
        fields.fault("[download_token] signing_keys: two keys have the same id");
        SigningKeys::default()
    })
}

/// What does nothing although somebody wrote it down, and what opens more than he may have meant.
pub(super) fn doubts(
    fields: &Fields<'_>,
    authkey: &authkey::Settings,
    handlers: &[HandlerName],
) -> Vec<Fault> {
    let mut doubts = Vec::new();
    let mut doubt = |section: &str, key: Option<&str>, message: String| {
        let first = || fields.ini.section(section).next().map(|(_, entry)| entry);
        let entry = key.map_or_else(first, |key| fields.ini.get(section, key));
        doubts.push(Fault { place: entry.map(|entry| entry.place.clone()), message });
    };
    for (sections, handler) in
        [(AUTHKEY, HandlerName::Authkey), (DOWNLOAD, HandlerName::DownloadToken)]
    {
        let (section, name) = (sections[0], handler.as_str());
        if fields.ini.section(section).next().is_some() && !handlers.contains(&handler) {
            let message =
                format!("[{section}] has no effect: authentication_handlers lacks {name}");
            doubt(section, None, message);
        }
    }
    if !handlers.contains(&HandlerName::Authkey) {
        return doubts;
    }
    let section = AUTHKEY[0];
    match &authkey.databases {
        Databases::Only(names) if names.is_empty() => doubt(
            section,
            None,
            "[couch_authkey] databases names none: no auth key is accepted".to_owned(),
        ),
        Databases::Only(_) => {}
        Databases::AllBut(_) => doubt(
            section,
            Some("databases"),
            "whoever may write a document in any database can give himself any role by a key in it"
                .to_owned(),
        ),
    }
    if authkey.allow_system_roles {
        doubt(
            section,
            Some("allow_system_roles"),
            "whoever may write a document in one of the databases with auth keys can make himself \
             a server admin by a key in it"
                .to_owned(),
        );
    }
    doubts
}
