//! The `oauth` handler: two-legged OAuth 1.0 (RFC 5849; CouchDB 0.10 to 2.0).
//!
//! A client signs each request with a consumer's and a token's secret; the token stands for a user.
//! CouchDB 1.x took a wrong signature for nobody's request and looked at neither timestamp nor
//! nonce; here a wrong signature is refused, and a signed request is carried out once.

pub mod credentials;
pub mod nonce;
pub mod parameters;
pub mod signature;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};

use super::{Asking, Client, Outcome, Presented, now};
use crate::{
    client_body::ReadError,
    couch::Users,
    error::{Error, OauthError},
    secret::Secret,
    user_ctx::{HandlerName, Identity, UserCtx},
};
use credentials::{KnownPair, Source};
use nonce::{Nonces, Refused};
use parameters::{Parameters, oauth_parameters};
use signature::{Signable, SignatureMethod};

/// A form that was signed is no larger, in bytes.
const MAX_FORM: usize = 64 * 1024;

/// Believes signed requests.
#[derive(Debug)]
pub struct OauthHandler {
    users: Arc<Users>,
    credentials: Source,
    nonces: Nonces,
    allow_plaintext: bool,
    /// An unknown pair's signature is computed with these.
    nobody: KnownPair,
}

/// What `[couch_httpd_oauth]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `use_users_db`: credentials are in user documents, not in the configuration.
    pub use_users_db: bool,
    /// `timestamp_window`: how far a timestamp may be from now.
    pub timestamp_window: Duration,
    /// `allow_plaintext`: PLAINTEXT signatures are accepted without TLS.
    pub allow_plaintext: bool,
}

impl OauthHandler {
    /// A handler that has seen no nonce yet.
    #[must_use]
    pub fn new(users: Arc<Users>, credentials: Source, settings: &Settings) -> Self {
        Self {
            users,
            credentials,
            nonces: Nonces::new(settings.timestamp_window),
            allow_plaintext: settings.allow_plaintext,
            nobody: KnownPair {
                consumer_secret: Secret::from("nobody's consumer secret"),
                token_secret: Secret::from("nobody's token secret"),
                username: String::new(),
            },
        }
    }

    pub(super) async fn authenticate(&self, asking: &mut Asking<'_>) -> Result<Outcome, Error> {
        let names_oauth = header(asking.presented).is_some() || asking.presented.oauth_in_query;
        if !names_oauth && !is_form(asking.headers) {
            return Ok(Outcome::NotMine);
        }
        // Boxed: few requests are signed, but the futures of all would hold it.
        Box::pin(self.authenticate_signed(asking, names_oauth)).await
    }

    /// `names_oauth`: header or query have parameters of OAuth's.
    async fn authenticate_signed(
        &self,
        asking: &mut Asking<'_>,
        names_oauth: bool,
    ) -> Result<Outcome, Error> {
        let mut form = Bytes::new();
        if is_form(asking.headers) {
            form = match asking.body.read(MAX_FORM).await {
                Ok(form) => form,
                // curl calls everything a form; who says in another way who he is goes on.
                Err(ReadError::TooLarge(_)) if !names_oauth && asking.presented.is_something() => {
                    return Ok(Outcome::NotMine);
                }
                Err(error) => return Err(error.into()),
            };
        }
        let header = header(asking.presented).unwrap_or_default();
        let parameters = Parameters::collect(header, asking.target.query_bytes(), &form)
            .map_err(|malformed| Error::bad_request(malformed.to_string()))?;
        let Some(consumer) = parameters.get("oauth_consumer_key") else {
            return Ok(Outcome::NotMine);
        };
        if parameters.get("oauth_version").is_some_and(|version| version != b"1.0") {
            return Err(OauthError::Version.into());
        }
        let token = parameters.get("oauth_token").unwrap_or_default();
        let method = self.signature_method(&parameters, asking.client)?;
        let request = Signable {
            method: asking.method.as_str(),
            https: asking.client.https,
            host: asking.host,
            path: asking.target.path(),
        };
        let username = self.verified(&request, &parameters, method, [consumer, token]).await?;
        let identity = self.identity(&username).await?;
        // Last, for a client that is told to try again may do so with the same signature.
        self.use_once(&parameters, method, [consumer, token])?;
        Ok(UserCtx { identity, handler: HandlerName::Oauth }.into())
    }

    /// The name of the token's user, if the signature holds. For an unknown pair one is computed
    /// all the same.
    async fn verified(
        &self,
        request: &Signable<'_>,
        parameters: &Parameters<'_>,
        method: SignatureMethod,
        [consumer, token]: [&[u8]; 2],
    ) -> Result<String, Error> {
        let found = self.credentials.find(consumer, token).await?;
        let secrets = found.as_ref().unwrap_or(&self.nobody);
        let verified = method.verifies(
            parameters.signature().unwrap_or_default(),
            request,
            parameters.signed(),
            &secrets.consumer_secret,
            &secrets.token_secret,
        );
        let found = found.ok_or(OauthError::UnknownPair)?;
        if !verified {
            // Mostly it is another host or scheme than the client's. The query may hold secrets.
            tracing::debug!(token_of = found.username, ?request, "an OAuth signature is wrong");
            return Err(OauthError::Signature.into());
        }
        Ok(found.username)
    }

    async fn identity(&self, username: &str) -> Result<Arc<Identity>, Error> {
        let user = self.users.find(username).await?.ok_or(OauthError::NoUser)?;
        if user.conflicted {
            return Err(Error::ConflictedUser);
        }
        let identity = user.identity.as_ref().map_err(|error| *error)?;
        if !self.credentials.may_name_server_admins()
            && identity.roles().any(|role| role == "_admin")
        {
            return Err(OauthError::ServerAdmin.into());
        }
        Ok(Arc::clone(identity))
    }

    fn signature_method(
        &self,
        parameters: &Parameters<'_>,
        client: Client,
    ) -> Result<SignatureMethod, Error> {
        let name = parameters.get("oauth_signature_method").unwrap_or_default();
        let method: SignatureMethod = str::from_utf8(name).unwrap_or_default().parse().map_err(
            |error: signature::UnknownSignatureMethod| {
                Error::bad_request(format!("oauth_signature_method: {error}."))
            },
        )?;
        if method == SignatureMethod::Plaintext && !client.https && !self.allow_plaintext {
            return Err(Error::bad_request("PLAINTEXT signatures are accepted over TLS only."));
        }
        Ok(method)
    }

    /// A timestamp near now and a nonce that is new. PLAINTEXT signs neither, and may leave both
    /// out (RFC 5849 section 3.1).
    fn use_once(
        &self,
        parameters: &Parameters<'_>,
        method: SignatureMethod,
        [consumer, token]: [&[u8]; 2],
    ) -> Result<(), OauthError> {
        let (timestamp, nonce) = (parameters.get("oauth_timestamp"), parameters.get("oauth_nonce"));
        if method == SignatureMethod::Plaintext && timestamp.is_none() && nonce.is_none() {
            return Ok(());
        }
        let refused = |refused| match refused {
            Refused::Stale => OauthError::Timestamp(self.nonces.window()),
            Refused::Replayed => OauthError::Nonce,
            Refused::Full => OauthError::Overloaded,
        };
        let timestamp = timestamp.and_then(seconds).ok_or_else(|| refused(Refused::Stale))?;
        let now = now();
        self.nonces.check(now.as_secs(), timestamp).map_err(refused)?;
        let nonce = nonce.filter(|nonce| !nonce.is_empty()).ok_or(OauthError::Nonce)?;
        let used = self.nonces.remember(now.as_secs(), timestamp, [consumer, token, nonce]);
        if used == Err(Refused::Stale) {
            tracing::warn!(
                "the clock was set back: what was signed before the time that couchgate has seen is \
                 refused until that time has come, or couchgate is restarted"
            );
        }
        used.map_err(refused)
    }
}

/// A timestamp is a positive integer (RFC 5849 section 3.3), and only digits are one.
fn seconds(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// The parameters of an `Authorization: OAuth` header.
fn header(presented: &Presented) -> Option<&[u8]> {
    presented.authorization.as_ref().and_then(|header| oauth_parameters(header.as_bytes()))
}

/// Whether the body is a form, and one part of it at that (RFC 5849 section 3.4.1.3.1).
fn is_form(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    let media_type = content_type.as_bytes().split(|byte| *byte == b';').next();
    media_type.is_some_and(|media_type| {
        media_type.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}
