//! Authentication: the handlers and the chain that tries them in order.
//!
//! A handler says *not mine* (the next one is tried), *this user*, or ends the request with an
//! error: a credential that is wrong, or a state that cannot be known. Only *not mine* goes on.

pub mod authkey;
pub mod basic;
pub mod cookie;
pub mod download_token;
pub mod oauth;
pub mod proxy;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, Method, uri::PathAndQuery};

use crate::{
    client_body::ClientBody, error::Error, secret::Secret, target::Target, user_ctx::UserCtx,
};
pub use authkey::AuthkeyHandler;
pub use basic::BasicHandler;
pub use cookie::{CookieHandler, SessionCookies};
pub use download_token::DownloadTokenHandler;
pub use oauth::OauthHandler;
pub use proxy::ProxyHandler;

/// What the client presented; it has been taken out of the request.
#[derive(Debug, Default)]
pub struct Presented {
    /// `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Whether the query has parameters of OAuth's.
    pub oauth_in_query: bool,
    /// An auth key, from the query or else from its header. Several headers are joined, as CouchDB
    /// joins them: hardly a key.
    pub auth_key: Option<Secret>,
    /// A download token. Several are an empty one, which no document has.
    pub download_token: Option<Secret>,
    /// The value of the cookie `AuthSession`.
    pub session_cookie: Option<Vec<u8>>,
    /// The identity headers, under their configured names.
    pub proxy: ProxyHeaders,
}

impl Presented {
    /// Whether there is anything that a handler could look at.
    #[must_use]
    pub fn is_something(&self) -> bool {
        self.authorization.is_some()
            || self.oauth_in_query
            || self.auth_key.is_some()
            || self.download_token.is_some()
            || self.session_cookie.is_some()
            || self.proxy.username.is_some()
    }
}

/// The identity headers, each as it was sent exactly once.
#[derive(Debug, Default)]
pub struct ProxyHeaders {
    /// `X-Auth-CouchDB-UserName`.
    pub username: Option<HeaderValue>,
    /// `X-Auth-CouchDB-Roles`.
    pub roles: Option<HeaderValue>,
    /// `X-Auth-CouchDB-Token`.
    pub token: Option<HeaderValue>,
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The client's address, as seen through trusted proxies.
    pub address: IpAddr,
    /// Whether the client's connection is TLS, here or at a trusted proxy.
    pub https: bool,
    /// Whether the connection comes from one of `trusted_proxies`.
    pub through_trusted_proxy: bool,
}

/// A request as the handlers see it.
#[derive(Debug)]
pub struct Asking<'a> {
    /// What the client presented.
    pub presented: &'a Presented,
    /// Who it is.
    pub client: Client,
    /// Its method.
    pub method: &'a Method,
    /// Its target, credentials included.
    pub target: &'a Target,
    /// The host it was sent to, as the client knows it, and perhaps a port.
    pub host: &'a str,
    /// Its headers, credentials taken out.
    pub headers: &'a HeaderMap,
    /// Its body; who reads it must leave it to be forwarded.
    pub body: &'a mut ClientBody,
}

/// A handler's answer.
#[derive(Debug)]
pub enum Outcome {
    /// Another handler may know.
    NotMine,
    /// This user.
    User {
        /// The user context.
        user: UserCtx,
        /// A fresh session cookie, where one is due.
        refresh: Option<HeaderValue>,
    },
    /// Whoever it is, he may have this attachment, and nothing else.
    Download {
        /// The service user, who fetches it.
        user: UserCtx,
        /// The attachment.
        target: PathAndQuery,
    },
}

impl From<UserCtx> for Outcome {
    fn from(user: UserCtx) -> Self {
        Self::User { user, refresh: None }
    }
}

/// The authentication handlers.
#[derive(Clone, Debug)]
pub enum AuthenticationHandler {
    /// OAuth 1.0.
    Oauth(Arc<OauthHandler>),
    /// The session cookie.
    Cookie(Arc<CookieHandler>),
    /// Auth keys.
    Authkey(Arc<AuthkeyHandler>),
    /// Download tokens and signed links.
    DownloadToken(Arc<DownloadTokenHandler>),
    /// Headers of a trusted front end.
    Proxy(Arc<ProxyHandler>),
    /// HTTP Basic.
    Default(Arc<BasicHandler>),
}

impl AuthenticationHandler {
    async fn authenticate(&self, asking: &mut Asking<'_>) -> Result<Outcome, Error> {
        match self {
            Self::Oauth(handler) => handler.authenticate(asking).await,
            Self::Cookie(handler) => handler.authenticate(asking.presented, asking.client).await,
            Self::Proxy(handler) => handler.authenticate(&asking.presented.proxy, asking.client),
            Self::Authkey(handler) => handler.authenticate(asking.presented).await,
            Self::DownloadToken(handler) => {
                handler.authenticate(asking.presented, asking.method, asking.target).await
            }
            Self::Default(handler) => handler.authenticate(asking.presented).await,
        }
    }
}

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The configured handlers, in order.
#[derive(Clone, Debug)]
pub struct Chain(Vec<AuthenticationHandler>);

impl Chain {
    /// A chain that tries `handlers` in this order.
    #[must_use]
    pub fn new(handlers: Vec<AuthenticationHandler>) -> Self {
        Self(handlers)
    }

    /// Tries the handlers until one knows the user.
    ///
    /// # Errors
    ///
    /// A handler's refusal of a wrong credential, or 503 where users cannot be read.
    pub async fn authenticate(&self, mut asking: Asking<'_>) -> Result<Outcome, Error> {
        for handler in &self.0 {
            match handler.authenticate(&mut asking).await? {
                Outcome::NotMine => {}
                known => return Ok(known),
            }
        }
        Ok(Outcome::NotMine)
    }
}
