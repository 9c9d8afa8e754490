//! The configuration: CouchDB's ini dialect in layers, made into typed settings. All faults are
//! reported together.
//!
//! ```
//! use couchgate::config::{Config, Sources};
//!
//! let faults = Config::load(&Sources::default()).unwrap_err();
//! assert!(faults[0].to_string().contains("[chttpd_auth] secret"));
//! ```

mod fields;
mod handlers;
pub mod ini;
mod network;
mod oauth;
pub mod oauth_edit;
mod read;
mod sharing;

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc};

use crate::{
    auth::{
        SessionCookies, authkey, download_token,
        oauth::{self as oauth_handler, credentials::IniCredentials},
    },
    couch, gateway,
    headers::HeaderLaw,
    passwords::{self, PasswordHash},
    secret::{HashAlgorithm, Secrets},
    server::Limits,
    telemetry::{Format, Level},
    upstream,
    user_ctx::HandlerName,
};
use fields::Fields;
use ini::{Fault, Ini};

/// Where the configuration comes from: the command line and environment win over the files.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files and directories, the later ones winning.
    pub files: Vec<PathBuf>,
    /// Instead of `[couchgate] upstream`.
    pub upstream: Option<String>,
    /// Instead of `[couchgate] bind_address` and `port`.
    pub bind: Option<SocketAddr>,
    /// Instead of `[chttpd_auth] secret`.
    pub secret_file: Option<PathBuf>,
}

/// Everything that was configured.
#[derive(Debug)]
pub struct Config {
    /// Where clients come in.
    pub bind: SocketAddr,
    /// Where they come in with TLS.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Where operators look.
    pub admin_bind: SocketAddr,
    /// What a client may use up.
    pub limits: Limits,
    /// The way to CouchDB.
    pub upstream: upstream::Settings,
    /// The identity headers.
    pub law: HeaderLaw,
    /// Who couchgate is to CouchDB.
    pub service_user: String,
    /// Shared with CouchDB.
    pub secrets: Secrets,
    /// What front ends sign with: `[couchgate] proxy_secret`, or else the shared secret.
    pub proxy_secrets: Secrets,
    /// The first signs, any verifies.
    pub hash_algorithms: Vec<HashAlgorithm>,
    /// The handlers, in order.
    pub handlers: Vec<HandlerName>,
    /// `proxy_use_secret`.
    pub proxy_use_secret: bool,
    /// The `oauth` handler.
    pub oauth: oauth_handler::Settings,
    /// OAuth credentials of the configuration.
    pub oauth_credentials: IniCredentials,
    /// The `authkey` handler.
    pub authkey: authkey::Settings,
    /// The `download_token` handler.
    pub download_token: download_token::Settings,
    /// The session cookies.
    pub cookies: SessionCookies,
    /// Users.
    pub users: couch::Settings,
    /// `authentication_db`, where it was written down: CouchDB shows it only then.
    pub authentication_db_shown: Option<String>,
    /// Server admins of couchgate's own.
    pub admins: HashMap<String, PasswordHash>,
    /// Whether CouchDB's admins are admins here.
    pub admins_from_upstream: bool,
    /// Passwords.
    pub passwords: passwords::Settings,
    /// Admitting requests.
    pub gateway: gateway::Settings,
    /// The least level that is logged.
    pub log_level: Level,
    /// How.
    pub log_format: Option<Format>,
    /// What works, but should not stay so.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// Every fault that was found, in the order in which settings are read.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let ini = Ini::load(&sources.files, &mut faults);
        let mut fields = Fields { ini: &ini, faults: &mut faults };
        let config = read::read(&mut fields, sources);
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }
}
