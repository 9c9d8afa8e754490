//! From a configuration to a running program: makes the rooms and connects them.

use std::{io, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    auth::{
        AuthenticationHandler, AuthkeyHandler, BasicHandler, Chain, CookieHandler,
        DownloadTokenHandler, OauthHandler, ProxyHandler, authkey, oauth::credentials::Source,
    },
    config::Config,
    couch::{Admins, Arrangement, AuthKeys, Couch, OauthView, Users, follow, probe},
    gateway::Gateway,
    passwords::Passwords,
    secret::HashAlgorithm,
    server::{Listeners, Server, listen, run},
    session::Session,
    telemetry::{self, Metrics},
    upstream::Upstream,
    user_ctx::HandlerName,
};

/// The arrangement is proved again this often.
const PROBE_EVERY: Duration = Duration::from_secs(60);

/// While something is wrong, this often.
const PROBE_AGAIN: Duration = Duration::from_secs(5);

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// The operating system has no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// The service user cannot travel in a header.
    #[error("[couchgate] service_user: {0}")]
    ServiceUser(#[from] crate::user_ctx::InvalidIdentity),
}

/// A program that listens, and can be run.
#[derive(Debug)]
pub struct App {
    server: Server,
    listeners: Listeners,
    users: Arc<Users>,
}

/// Ready when the operator or the system asks the program to stop.
///
/// # Errors
///
/// When signals cannot be listened for.
pub fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The couch module's client for a configuration.
///
/// # Errors
///
/// When the service user's name cannot travel in a header.
pub fn couch(config: &Config) -> Result<(Arc<Upstream>, Arc<Couch>), StartError> {
    let upstream = Arc::new(Upstream::new(&config.upstream));
    let couch = Couch::new(
        Arc::clone(&upstream),
        config.law.clone(),
        &config.service_user,
        &config.secrets,
        token_algorithm(config),
    )?;
    Ok((upstream, Arc::new(couch)))
}

/// Who is a server admin, by a configuration and, unless that says no, by CouchDB's.
#[must_use]
pub fn admins(config: &Config, couch: &Arc<Couch>) -> Admins {
    let upstream = config.admins_from_upstream.then(|| Arc::clone(couch));
    Admins::new(config.admins.clone(), upstream)
}

fn token_algorithm(config: &Config) -> HashAlgorithm {
    config.hash_algorithms.first().copied().unwrap_or(HashAlgorithm::Sha256)
}

impl App {
    /// Builds everything and listens; nothing is served yet.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on.
    pub fn new(config: &Config, prometheus: Option<PrometheusHandle>) -> Result<Self, StartError> {
        let listen =
            |address| listen(address).map_err(|error| StartError::Listen { address, error });
        let tls = match &config.tls {
            Some((address, tls)) => Some((listen(*address)?, Arc::clone(tls))),
            None => None,
        };
        let listeners =
            Listeners { plain: listen(config.bind)?, tls, admin: listen(config.admin_bind)? };
        let (upstream, couch) = couch(config)?;
        let passwords = Arc::new(Passwords::new(config.passwords.clone())?);
        let users = Arc::new(Users::new(
            Arc::clone(&couch),
            config.users.clone(),
            admins(config, &couch),
            Arc::clone(&passwords),
        ));
        let gateway = Gateway {
            settings: config.gateway.clone(),
            law: config.law.clone(),
            chain: chain(config, &couch, &users, &passwords)?,
            session: Session {
                users: Arc::clone(&users),
                passwords,
                cookies: config.cookies.clone(),
                handlers: config.handlers.iter().map(|name| name.as_str().to_owned()).collect(),
                authentication_db: config.authentication_db_shown.clone(),
            },
            secrets: config.secrets.clone(),
            token_algorithm: token_algorithm(config),
            upstream,
        };
        let server = Server {
            gateway: Arc::new(gateway),
            couch,
            metrics: Arc::new(Metrics::new()),
            prometheus,
            limits: config.limits,
        };
        Ok(Self { server, listeners, users })
    }

    /// What is listened on, with the ports that the operating system chose.
    #[must_use]
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Serves until `stop` is ready and the requests in flight have been finished.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut background = tokio::task::JoinSet::new();
        background.spawn(follow(self.users));
        background.spawn(watch_arrangement(Arc::clone(&self.server.couch)));
        if let Some(prometheus) = self.server.prometheus.clone() {
            background.spawn(telemetry::upkeep(prometheus));
        }
        run(self.server, self.listeners, stop).await;
    }
}

fn chain(
    config: &Config,
    couch: &Arc<Couch>,
    users: &Arc<Users>,
    passwords: &Arc<Passwords>,
) -> Result<Chain, getrandom::Error> {
    let credentials = || {
        if config.oauth.use_users_db {
            Source::UsersDb(Arc::new(OauthView::new(Arc::clone(users))))
        } else {
            Source::Ini(config.oauth_credentials.clone())
        }
    };
    let auth_keys = || {
        let authkey::Settings { databases, cache_ttl, .. } = config.authkey.clone();
        AuthKeys::new(Arc::clone(users), databases, cache_ttl)
    };
    let handler = |name: &HandlerName| {
        Ok(match name {
            HandlerName::Oauth => AuthenticationHandler::Oauth(Arc::new(OauthHandler::new(
                Arc::clone(users),
                credentials(),
                &config.oauth,
            ))),
            HandlerName::Cookie => AuthenticationHandler::Cookie(Arc::new(CookieHandler {
                users: Arc::clone(users),
                cookies: config.cookies.clone(),
            })),
            HandlerName::Proxy => AuthenticationHandler::Proxy(Arc::new(ProxyHandler {
                secrets: config.proxy_secrets.clone(),
                hash_algorithms: config.hash_algorithms.clone(),
                use_secret: config.proxy_use_secret,
            })),
            HandlerName::Authkey => AuthenticationHandler::Authkey(Arc::new(AuthkeyHandler {
                keys: auth_keys(),
                allow_system_roles: config.authkey.allow_system_roles,
            })),
            HandlerName::DownloadToken => AuthenticationHandler::DownloadToken(Arc::new(
                DownloadTokenHandler::new(Arc::clone(couch), &config.download_token)?,
            )),
            HandlerName::Default => AuthenticationHandler::Default(Arc::new(BasicHandler {
                users: Arc::clone(users),
                passwords: Arc::clone(passwords),
            })),
        })
    };
    Ok(Chain::new(config.handlers.iter().map(handler).collect::<Result<_, _>>()?))
}

/// Proves at the start and on a timer that CouchDB believes couchgate and nobody else, and says so
/// when that changes.
async fn watch_arrangement(couch: Arc<Couch>) {
    let mut last: Option<Arrangement> = None;
    loop {
        let arrangement = probe(&couch).await;
        if last.as_ref() != Some(&arrangement) {
            for finding in &arrangement.findings {
                tracing::error!("{finding}");
            }
            if arrangement.findings.is_empty() {
                tracing::info!("upstream accepts couchgate's service user, and no forged one");
            }
        }
        let pause = if arrangement.findings.is_empty() { PROBE_EVERY } else { PROBE_AGAIN };
        last = Some(arrangement);
        tokio::time::sleep(pause).await;
    }
}
