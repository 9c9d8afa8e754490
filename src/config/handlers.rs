//! `authentication_handlers`, in CouchDB's spelling and in ours.

use super::{fields::Fields, read::CHTTPD};
use crate::user_ctx::HandlerName;

/// Handlers that are named in the design but that this version does not have.
const NOT_YET: [&str; 1] = ["jwt"];

/// The configured handlers, in order: `cookie, default` where nothing is configured.
pub(super) fn read(fields: &mut Fields<'_>) -> Vec<HandlerName> {
    let Some(entry) = fields.entry(CHTTPD, "authentication_handlers") else {
        return vec![HandlerName::Cookie, HandlerName::Default];
    };
    let mut handlers = Vec::new();
    for item in items(&entry.value) {
        match named(item) {
            Some(handler) if handlers.contains(&handler) => {
                fields.fault_at(entry, &format!("authentication_handlers: {item} comes twice"));
            }
            Some(handler) => handlers.push(handler),
            None => {
                let what =
                    if NOT_YET.contains(&short(item)) { "not in this version" } else { "unknown" };
                fields.fault_at(entry, &format!("authentication_handlers: {item} is {what}"));
            }
        }
    }
    handlers
}

/// The items of `{module, function}, name, ...`.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('{') {
            Some(inner) => inner.find('}').map_or(rest.len(), |at| at + 2),
            None => rest.find(',').unwrap_or(rest.len()),
        };
        items.push(rest[..end].trim());
        rest = rest[end..].trim_start().trim_start_matches(',').trim_start();
    }
    items.retain(|item| !item.is_empty());
    items
}

fn named(item: &str) -> Option<HandlerName> {
    HandlerName::ALL.into_iter().find(|handler| handler.as_str() == short(item))
}

/// The short name of a handler: `{chttpd_auth, cookie_authentication_handler}`, CouchDB 1.x's
/// `couch_httpd_auth`, and the names `GET /_session` shows.
fn short(item: &str) -> &str {
    let Some(pair) = item.strip_prefix('{').and_then(|item| item.strip_suffix('}')) else {
        return item;
    };
    let (module, function) = pair.split_once(',').unwrap_or((pair, ""));
    match (module.trim(), function.trim()) {
        ("chttpd_auth" | "couch_httpd_auth", function) => match function {
            "cookie_authentication_handler" => "cookie",
            "proxy_authentication_handler" | "proxy_authentification_handler" => "proxy",
            "jwt_authentication_handler" => "jwt",
            "default_authentication_handler" => "default",
            _ => "",
        },
        ("couch_httpd_oauth", "oauth_authentication_handler") => "oauth",
        ("couch_authkey_handler", "key_authentification_handler") => "authkey",
        ("couchgate", "download_token_authentication_handler") => "download_token",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ini::Ini;

    fn configured(value: &str) -> Result<Vec<&'static str>, String> {
        let (mut ini, mut faults) = (Ini::default(), Vec::new());
        let text = format!("[chttpd]\nauthentication_handlers = {value}\n");
        ini.parse_layer(Path::new("couchgate.ini"), text.as_bytes(), &mut faults);
        let handlers = read(&mut Fields { ini: &ini, faults: &mut faults });
        match faults.first() {
            None => Ok(handlers.into_iter().map(HandlerName::as_str).collect()),
            Some(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn all_spellings_are_read() {
        for value in [
            "oauth, download_token, authkey, cookie, proxy, default",
            "{couch_httpd_oauth, oauth_authentication_handler}, {couchgate, download_token_authentication_handler}, {couch_authkey_handler, key_authentification_handler}, {chttpd_auth, cookie_authentication_handler}, {chttpd_auth, proxy_authentication_handler}, {chttpd_auth, default_authentication_handler}",
            "{couch_httpd_oauth,oauth_authentication_handler},download_token,{couch_authkey_handler,key_authentification_handler},{couch_httpd_auth,cookie_authentication_handler},{couch_httpd_auth, proxy_authentification_handler},default",
            "oauth, download_token, authkey, {chttpd_auth, cookie_authentication_handler},\n    {chttpd_auth, proxy_authentication_handler},\n    default",
        ] {
            assert_eq!(
                configured(value),
                Ok(vec!["oauth", "download_token", "authkey", "cookie", "proxy", "default"]),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_no_handler_is_a_fault() {
        for (value, fault) in [
            ("cooky", "couchgate.ini:2: authentication_handlers: cooky is unknown"),
            (
                "{chttpd_auth, x}",
                "couchgate.ini:2: authentication_handlers: {chttpd_auth, x} is unknown",
            ),
            (
                "default, jwt",
                "couchgate.ini:2: authentication_handlers: jwt is not in this version",
            ),
            ("default, default", "couchgate.ini:2: authentication_handlers: default comes twice"),
            ("{chttpd_auth", "couchgate.ini:2: authentication_handlers: {chttpd_auth is unknown"),
        ] {
            assert_eq!(configured(value), Err(fault.to_owned()));
        }
    }
}
