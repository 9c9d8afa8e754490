//! From the ini to typed settings, section by section. Everything is read even where something is
//! wrong, so that all faults are found.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::{HeaderName, HeaderValue};

use super::{
    Config, Sources,
    fields::{self, Fields, Sections},
    handlers,
    ini::Fault,
    network, oauth, sharing,
};
use crate::{
    auth::{SessionCookies, cookie::SameSite},
    couch, gateway,
    headers::HeaderLaw,
    passwords::{self, PasswordHash},
    secret::{HashAlgorithm, Secret, Secrets},
    telemetry::{Format, Level},
    user_ctx::{HandlerName, Identity},
};

pub(super) const COUCHGATE: Sections = &["couchgate"];
pub(super) const CHTTPD: Sections = &["chttpd", "httpd"];
const AUTH: Sections = &["chttpd_auth", "couch_httpd_auth"];
const LOG: Sections = &["log"];
/// CouchDB 1.x had `require_valid_user` among the settings of authentication.
const REQUIRE_VALID_USER: Sections = &["chttpd", "httpd", "couch_httpd_auth"];

/// The keys of `[couchgate]`.
const COUCHGATE_KEYS: &[&str] = &[
    "admin_bind",
    "admins_from_upstream",
    "bind_address",
    "body_timeout",
    "connect_timeout",
    "hashing_queue",
    "hashing_threads",
    "head_timeout",
    "idle_timeout",
    "max_connections",
    "max_head_size",
    "max_headers",
    "password_cache_ttl",
    "port",
    "proxy_secret",
    "proxy_secret_file",
    "service_user",
    "shutdown_timeout",
    "trusted_proxies",
    "upstream",
    "upstream_idle_timeout",
    "user_cache_ttl",
    "user_cache_ttl_without_feed",
];

/// The configuration, unless something without which there is none is missing.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources) -> Option<Config> {
    let mut warnings = Vec::new();
    fields.known_keys("couchgate", COUCHGATE_KEYS);
    fields.known_keys("upstream_ssl", &["ca_file", "cert_file", "key_file"]);
    not_yet(fields, &mut warnings);

    // A missing one is a fault, and the others are still to be found.
    let configured = secrets(fields, sources);
    let secrets = configured.clone().unwrap_or_else(|| Secrets::new(Secret::from(""), Vec::new()));
    let upstream = network::upstream(fields, sources);
    let hash_algorithms = fields.list(AUTH, "hash_algorithms", "sha256, sha");
    if hash_algorithms.is_empty() {
        fields.fault("[chttpd_auth] hash_algorithms names no algorithm");
    }
    let handlers = handlers::read(fields);
    let bind = network::bind(fields, sources);
    let trusted_proxies = network::trusted_proxies(fields);
    let proxy_use_secret = fields.boolean(AUTH, "proxy_use_secret", true);
    if !proxy_use_secret && trusted_proxies.is_empty() && handlers.contains(&HandlerName::Proxy) {
        fields.fault(
            "[chttpd_auth] proxy_use_secret = false needs [couchgate] trusted_proxies: without a \
             token only they may say who is asking",
        );
    }
    let proxy_secrets = proxy_secrets(fields, &secrets);
    let law = law(fields);
    let law = sharing::law(fields, law, &handlers);
    if handlers.contains(&HandlerName::Proxy)
        && law.token != HeaderLaw::default().token
        && proxy_secrets.is_none()
    {
        warnings.push(Fault {
            place: fields.entry(AUTH, "x_auth_token").map(|entry| entry.place.clone()),
            message:
                "CouchDB hides only X-Auth-CouchDB-Token from design functions: their authors \
                      can read users' tokens under another x_auth_token and replay them to the \
                      proxy handler; keep the name, or give front ends a [couchgate] proxy_secret"
                    .to_owned(),
        });
    }
    let oauth = oauth::settings(fields);
    let oauth_credentials = oauth::credentials(fields);
    let signs = handlers.contains(&HandlerName::Oauth);
    warnings.extend(oauth::doubts(fields, &oauth, &oauth_credentials, signs));
    let authentication_db = fields.text(AUTH, "authentication_db").unwrap_or("_users").to_owned();
    let authkey = sharing::authkey(fields, &authentication_db);
    let download_token = sharing::download_token(fields, &authentication_db);
    warnings.extend(sharing::doubts(fields, &authkey, &download_token, &handlers));
    let service_user = fields.text(COUCHGATE, "service_user").unwrap_or("couchgate").to_owned();
    if !Identity::could_be_named(&service_user) {
        fields.fault("[couchgate] service_user: this name cannot travel in a header");
    }
    let config = Config {
        bind,
        tls: network::tls(fields, bind.ip()),
        admin_bind: fields.parsed(
            COUCHGATE,
            "admin_bind",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 5995)),
        ),
        limits: network::limits(fields),
        law,
        proxy_secrets: proxy_secrets.unwrap_or_else(|| secrets.clone()),
        service_user,
        cookies: cookies(fields, &secrets, &hash_algorithms),
        hash_algorithms,
        handlers,
        proxy_use_secret,
        oauth,
        oauth_credentials,
        authkey,
        download_token,
        users: couch::Settings {
            authentication_db,
            ttl: fields.seconds(COUCHGATE, "user_cache_ttl", 300),
            ttl_without_feed: fields.seconds(COUCHGATE, "user_cache_ttl_without_feed", 5),
        },
        authentication_db_shown: fields.text(AUTH, "authentication_db").map(str::to_owned),
        admins: admins(fields, &secrets, &mut warnings),
        admins_from_upstream: fields.boolean(COUCHGATE, "admins_from_upstream", true),
        passwords: passwords(fields),
        gateway: gateway::Settings {
            require_valid_user: fields.boolean(REQUIRE_VALID_USER, "require_valid_user", false),
            require_valid_user_except_for_up: fields.boolean(
                CHTTPD,
                "require_valid_user_except_for_up",
                false,
            ),
            www_authenticate: www_authenticate(fields),
            trusted_proxies,
        },
        log_level: fields.parsed(LOG, "level", Level::default()),
        log_format: log_format(fields),
        warnings,
        // Last, after all other faults have been found.
        upstream: upstream?,
        secrets: configured?,
    };
    Some(config)
}

/// What is configured, but not in this version: saying nothing would let an operator believe that
/// it is in force.
fn not_yet(fields: &mut Fields<'_>, warnings: &mut Vec<Fault>) {
    const SECTIONS: [&str; 3] = ["chttpd_auth_lockout", "jwt_keys", "replication"];
    let mut warn = |message| warnings.push(Fault { place: None, message });
    for section in SECTIONS {
        if fields.ini.section(section).next().is_some() {
            warn(format!("[{section}] has no effect in this version"));
        }
    }
    if fields.boolean(CHTTPD, "enable_cors", false) {
        warn(
            "[chttpd] enable_cors has no effect in this version: CouchDB's own CORS headers pass, \
             couchgate's own answers have none"
                .to_owned(),
        );
    }
}

fn secrets(fields: &mut Fields<'_>, sources: &Sources) -> Option<Secrets> {
    let mut secrets: Vec<Secret> = match &sources.secret_file {
        Some(path) => match fields::read_secrets(path) {
            Ok(secrets) => secrets,
            Err(message) => {
                fields.fault(format!("secret file: {message}"));
                return None;
            }
        },
        None => fields.secrets(AUTH, "secret"),
    };
    if secrets.is_empty() {
        if fields.entry(AUTH, "secret_file").is_none() {
            fields.fault(
                "[chttpd_auth] secret is not set: it must be the one in CouchDB's configuration \
                 (or name a file: secret_file = PATH)",
            );
        }
        return None;
    }
    let current = secrets.remove(0);
    Some(Secrets::new(current, secrets))
}

fn law(fields: &mut Fields<'_>) -> HeaderLaw {
    let default = HeaderLaw::default();
    HeaderLaw {
        username: fields.parsed::<HeaderName>(AUTH, "x_auth_username", default.username),
        roles: fields.parsed(AUTH, "x_auth_roles", default.roles),
        token: fields.parsed(AUTH, "x_auth_token", default.token),
        ..default
    }
}

/// What front ends sign with, where it is not the secret shared with CouchDB.
fn proxy_secrets(fields: &mut Fields<'_>, shared: &Secrets) -> Option<Secrets> {
    let mut secrets = fields.secrets(COUCHGATE, "proxy_secret");
    if secrets.iter().any(|own| shared.iter().any(|shared| own.as_bytes() == shared.as_bytes())) {
        fields.fault("[couchgate] proxy_secret must differ from [chttpd_auth] secret");
    }
    if secrets.is_empty() {
        return None;
    }
    let current = secrets.remove(0);
    Some(Secrets::new(current, secrets))
}

fn cookies(
    fields: &mut Fields<'_>,
    secrets: &Secrets,
    hash_algorithms: &[HashAlgorithm],
) -> SessionCookies {
    let same_site = fields.entry(AUTH, "same_site");
    let same_site = same_site.and_then(|entry| match entry.value.to_ascii_lowercase().as_str() {
        "none" => Some(SameSite::None),
        "lax" => Some(SameSite::Lax),
        "strict" => Some(SameSite::Strict),
        _ => {
            fields.fault_at(entry, "same_site: expected none, lax or strict");
            None
        }
    });
    let domain = fields.entry(AUTH, "cookie_domain").and_then(|entry| {
        let of_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if entry.value.chars().all(of_domain) {
            return Some(entry.value.clone());
        }
        fields.fault_at(entry, "cookie_domain: expected a domain");
        None
    });
    SessionCookies {
        secrets: secrets.clone(),
        hash_algorithms: hash_algorithms.to_vec(),
        timeout: fields.seconds(AUTH, "timeout", 600),
        persistent: fields.boolean(AUTH, "allow_persistent_cookies", true),
        same_site,
        domain,
    }
}

fn admins(
    fields: &Fields<'_>,
    secrets: &Secrets,
    warnings: &mut Vec<Fault>,
) -> HashMap<String, PasswordHash> {
    let mut admins = HashMap::new();
    for (name, entry) in fields.ini.section("admins") {
        let hash = PasswordHash::from_admin_value(&entry.value).unwrap_or_else(|| {
            warnings.push(Fault {
                place: Some(entry.place.clone()),
                message: format!(
                    "the password of admin {name:?} stands in the clear, `couchgate hash-password` \
                     makes a hash"
                ),
            });
            PasswordHash::from_plain(&entry.value, name, secrets.current())
        });
        admins.insert(name.to_owned(), hash);
    }
    admins
}

fn passwords(fields: &mut Fields<'_>) -> passwords::Settings {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Half of the cores stay for traffic.
    let threads = u32::try_from(cores.div_ceil(2)).unwrap_or(1);
    passwords::Settings {
        hashing_threads: fields.number(COUCHGATE, "hashing_threads", threads, 1..=1024) as usize,
        hashing_queue: fields.number(COUCHGATE, "hashing_queue", 256, 1..=1 << 20) as usize,
        cache_ttl: Duration::max(
            fields.seconds(COUCHGATE, "password_cache_ttl", 600),
            Duration::from_secs(1),
        ),
        min_iterations: fields.number(AUTH, "min_iterations", 1, 1..=1_000_000_000),
        max_iterations: fields.number(AUTH, "max_iterations", 10_000_000, 1..=1_000_000_000),
    }
}

fn www_authenticate(fields: &mut Fields<'_>) -> Option<HeaderValue> {
    let entry = fields.entry(CHTTPD, "WWW-Authenticate")?;
    let value = HeaderValue::from_str(&entry.value).ok();
    if value.is_none() {
        fields.fault_at(entry, "WWW-Authenticate: not a header's value");
    }
    value
}

fn log_format(fields: &mut Fields<'_>) -> Option<Format> {
    let entry = fields.entry(LOG, "format")?;
    match entry.value.as_str() {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => {
            fields.fault_at(entry, "format: expected text or json");
            None
        }
    }
}
