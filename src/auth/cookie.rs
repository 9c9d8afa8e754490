//! The `cookie` handler: CouchDB's session cookie `AuthSession`.
//!
//! Its value is base64url without padding of `NAME:HEXTIME:HMAC`; the HMAC over `NAME:HEXTIME` is
//! keyed by the server's secret followed by the user's salt, so it dies with the password.
//! (CouchDB 3.5, `couch_httpd_auth:cookie_auth_cookie`.)

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderValue;

use super::{Client, Outcome, Presented, now};
use crate::{
    couch::{User, Users},
    error::Error,
    secret::{HashAlgorithm, Secrets},
    user_ctx::{HandlerName, UserCtx},
};

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// `same_site`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `SameSite=None`.
    None,
    /// `SameSite=Lax`.
    Lax,
    /// `SameSite=Strict`.
    Strict,
}

/// Makes and checks session cookies.
#[derive(Clone, Debug)]
pub struct SessionCookies {
    /// The first signs, any verifies.
    pub secrets: Secrets,
    /// The first signs, any verifies.
    pub hash_algorithms: Vec<HashAlgorithm>,
    /// How long a cookie is valid.
    pub timeout: Duration,
    /// `allow_persistent_cookies`: the browser keeps it when it is closed.
    pub persistent: bool,
    /// `same_site`.
    pub same_site: Option<SameSite>,
    /// `cookie_domain`.
    pub domain: Option<String>,
}

impl SessionCookies {
    /// A `Set-Cookie` value that logs the user in.
    #[must_use]
    pub fn make(&self, name: &str, salt: &[u8], https: bool) -> HeaderValue {
        let signed = format!("{name}:{:X}", now().as_secs());
        let algorithm = self.hash_algorithms.first().copied().unwrap_or(HashAlgorithm::Sha256);
        let key = [self.secrets.current().as_bytes(), salt];
        let mac = algorithm.hmac(&key, signed.as_bytes());
        let mut value = signed.into_bytes();
        value.push(b':');
        value.extend_from_slice(mac.as_bytes());
        self.set_cookie(&BASE64URL.encode(value), https)
    }

    /// A `Set-Cookie` value that logs out.
    #[must_use]
    pub fn clear(&self, https: bool) -> HeaderValue {
        self.set_cookie("", https)
    }

    /// Attributes in mochiweb's order (`mochiweb_cookies:cookie`).
    fn set_cookie(&self, value: &str, https: bool) -> HeaderValue {
        let mut cookie = format!("AuthSession={value}; Version=1");
        if self.persistent {
            let expires = httpdate::fmt_http_date(SystemTime::now() + self.timeout);
            let _ = write!(cookie, "; Expires={expires}; Max-Age={}", self.timeout.as_secs());
        }
        if https {
            cookie.push_str("; Secure");
        }
        if let Some(domain) = &self.domain {
            let _ = write!(cookie, "; Domain={domain}");
        }
        cookie.push_str("; Path=/; HttpOnly");
        cookie.push_str(match self.same_site {
            Some(SameSite::None) => "; SameSite=None",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::Strict) => "; SameSite=Strict",
            None => "",
        });
        // The configuration has refused a domain that no header can carry.
        HeaderValue::from_maybe_shared(cookie)
            .unwrap_or_else(|_| HeaderValue::from_static("AuthSession=; Path=/; HttpOnly"))
    }

    fn verifies(&self, cookie: &Cookie<'_>, salt: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            self.hash_algorithms.iter().any(|algorithm| {
                algorithm.hmac(&[secret.as_bytes(), salt], cookie.signed).verifies(cookie.mac)
            })
        })
    }
}

/// Recognises users by their session cookies.
#[derive(Debug)]
pub struct CookieHandler {
    /// Who exists.
    pub users: Arc<Users>,
    /// Checks and refreshes cookies.
    pub cookies: SessionCookies,
}

impl CookieHandler {
    pub(super) async fn authenticate(
        &self,
        presented: &Presented,
        client: Client,
    ) -> Result<Outcome, Error> {
        let Some(value) = presented.session_cookie.as_deref().filter(|value| !value.is_empty())
        else {
            return Ok(Outcome::NotMine);
        };
        let decoded = BASE64URL.decode(value).map_err(|_| malformed())?;
        let cookie = Cookie::parse(&decoded).ok_or_else(malformed)?;
        let (Some(made), Some(name)) = (cookie.made(), cookie.name()) else {
            return Ok(Outcome::NotMine);
        };
        // A cookie from the future is one of a node whose clock is ahead; CouchDB takes it too.
        let age = now().saturating_sub(made);
        if age >= self.cookies.timeout {
            return Ok(Outcome::NotMine);
        }
        let Some(user) = self.users.find(name).await? else { return Ok(Outcome::NotMine) };
        if !self.cookies.verifies(&cookie, &user.salt) {
            return Ok(Outcome::NotMine);
        }
        self.known(&user, age, client)
    }

    fn known(&self, user: &User, age: Duration, client: Client) -> Result<Outcome, Error> {
        if user.conflicted {
            return Err(Error::ConflictedUser);
        }
        let identity = Arc::clone(user.identity.as_ref().map_err(|error| *error)?);
        let is_due = age > self.cookies.timeout / 10;
        let refresh = is_due.then(|| self.cookies.make(identity.name(), &user.salt, client.https));
        let user = UserCtx { identity, handler: HandlerName::Cookie };
        Ok(Outcome::User { user, refresh })
    }
}

fn malformed() -> Error {
    Error::bad_request("Malformed AuthSession cookie. Please clear your cookies.")
}

/// A decoded cookie: three fields, the last of which may contain any byte.
struct Cookie<'a> {
    name: &'a [u8],
    time: &'a [u8],
    signed: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Cookie<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = bytes.splitn(3, |byte| *byte == b':');
        let (name, time, mac) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name, time, signed: &bytes[..name.len() + 1 + time.len()], mac })
    }

    fn name(&self) -> Option<&'a str> {
        std::str::from_utf8(self.name).ok()
    }

    fn made(&self) -> Option<Duration> {
        let time = std::str::from_utf8(self.time).ok()?;
        Some(Duration::from_secs(u64::from_str_radix(time, 16).ok()?))
    }
}
