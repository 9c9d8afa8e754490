//! One table: what went wrong, and what CouchDB would answer.
//!
//! ```
//! use couchgate::error::Error;
//!
//! let response = Error::WrongPassword.response();
//! assert_eq!(response.status(), 401);
//! assert_eq!(
//!     response.body(),
//!     "{\"error\":\"unauthorized\",\"reason\":\"Name or password is incorrect.\"}\n"
//! );
//! ```

use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};

use crate::{client_body::ReadError, user_ctx::InvalidIdentity};

/// Everything that ends a request with an error of couchgate's own.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be understood, or must not be carried.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// Unknown user or wrong password: deliberately the same answer.
    #[error("Name or password is incorrect.")]
    WrongPassword,
    /// The user document has conflicts (CouchDB: `couch_auth_cache:validate_user_creds`).
    #[error(
        "User document conflicts must be resolved before the document is used for authentication purposes."
    )]
    ConflictedUser,
    /// Nobody authenticated where somebody must be.
    #[error("Authentication required.")]
    AuthenticationRequired,
    /// `GET /_session?basic=true` by nobody.
    #[error("Please login.")]
    PleaseLogin,
    /// The password hash is outside what this server computes (CouchDB: `verify_iterations`).
    #[error("{0}")]
    UnacceptableHash(&'static str),
    /// The user is who he says, but cannot be named to CouchDB in a header.
    #[error("This user cannot be represented in a header: {0}.")]
    Unrepresentable(#[from] InvalidIdentity),
    /// The method is none of those allowed here.
    #[error("Only {0} allowed")]
    MethodNotAllowed(&'static str),
    /// A login body that is neither a form nor JSON.
    #[error("Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'")]
    BadContentType,
    /// What the `oauth` handler refuses.
    #[error(transparent)]
    Oauth(#[from] OauthError),
    /// What the `authkey` handler refuses.
    #[error("{0}")]
    Authkey(#[from] AuthkeyError),
    /// A download token or a signed link that does not open what it came for, whatever is wrong.
    #[error("Incorrect download token.")]
    WrongDownloadToken,
    /// The document whose download token was to be looked at.
    #[error("missing")]
    NoDocument,
    /// CouchDB 1.x's `/_oauth/*` handed out made-up tokens, which opened nothing.
    #[error("There is no three-legged OAuth here: tokens are given out by the operator.")]
    ThreeLeggedOauth,
    /// A body that couchgate has to read exceeds its limit, in bytes.
    #[error("The request body exceeds {0} bytes.")]
    TooLarge(usize),
    /// The client did not send its body in time.
    #[error("The request body did not arrive in time.")]
    RequestTimeout,
    /// The client's body broke off or is malformed.
    #[error("The request body is malformed or broke off.")]
    BrokenBody,
    /// No upstream node accepts connections.
    #[error("CouchDB cannot be reached.")]
    UpstreamUnreachable,
    /// Upstream broke off, or answered what is not HTTP.
    #[error("CouchDB closed the connection or sent an invalid answer.")]
    UpstreamBroken,
    /// Users or server admins cannot be read: an unknown state is nobody's identity.
    #[error("The authentication database cannot be read.")]
    UsersUnavailable,
    /// The documents that hold auth keys or download tokens cannot be read.
    #[error("The documents that hold credentials cannot be read.")]
    CredentialsUnavailable,
    /// More password hashes are waiting than `hashing_queue` allows.
    #[error("Too many logins are being checked, try again.")]
    HashingOverloaded,
}

impl Error {
    /// A malformed request.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(reason.into())
    }

    /// Status and CouchDB's error word.
    #[must_use]
    pub fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) | Self::BrokenBody => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Oauth(error) => error.code(),
            Self::WrongPassword
            | Self::ConflictedUser
            | Self::AuthenticationRequired
            | Self::PleaseLogin
            | Self::Authkey(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::UnacceptableHash(_) | Self::Unrepresentable(_) | Self::WrongDownloadToken => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            Self::ThreeLeggedOauth | Self::NoDocument => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BadContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::UpstreamUnreachable | Self::UpstreamBroken => {
                (StatusCode::BAD_GATEWAY, "bad_gateway")
            }
            Self::UsersUnavailable | Self::CredentialsUnavailable | Self::HashingOverloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable")
            }
        }
    }

    /// The answer, without `WWW-Authenticate`: whether that is due depends on the request.
    #[must_use]
    pub fn response(&self) -> Response<String> {
        let (status, error) = self.code();
        let mut response = json_response(status, &error_body(error, &self.to_string()));
        match self {
            Self::MethodNotAllowed(methods) => {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            // A page of another origin may read what was downloaded, and why it was not.
            Self::WrongDownloadToken | Self::NoDocument => {
                let any = HeaderValue::from_static("*");
                response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            }
            _ if self.code().0 == StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// What ends a request that was signed with OAuth 1.0. The words are those of CouchDB 1.7's
/// `couch_httpd_oauth` where it had any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OauthError {
    /// `oauth_version` is not 1.0.
    #[error("Invalid OAuth version.")]
    Version,
    /// There is no such consumer, or it has no such token.
    #[error("Invalid consumer and token pair.")]
    UnknownPair,
    /// Several user documents have this consumer key and token.
    #[error("Several users have this consumer key and token.")]
    AmbiguousPair,
    /// The signature is missing or wrong.
    #[error("Invalid OAuth signature.")]
    Signature,
    /// The timestamp is missing, or further from now than the window, in seconds.
    #[error("The OAuth timestamp is not within {0} seconds of the server's time.")]
    Timestamp(u64),
    /// The nonce is missing or was used before.
    #[error("The OAuth nonce is missing or was used before.")]
    Nonce,
    /// The token's user does not exist.
    #[error("The user of this OAuth token does not exist.")]
    NoUser,
    /// The token is a server admin's, and its secret is in a user document.
    #[error("A user document does not speak for a server admin.")]
    ServerAdmin,
    /// More requests were signed in one second than are remembered.
    #[error("Too many requests are signed in one second, sign again.")]
    Overloaded,
}

impl OauthError {
    fn code(self) -> (StatusCode, &'static str) {
        match self {
            Self::Version => (StatusCode::BAD_REQUEST, "invalid_oauth_version"),
            Self::UnknownPair => (StatusCode::BAD_REQUEST, "invalid_consumer_token_pair"),
            Self::AmbiguousPair => (StatusCode::BAD_REQUEST, "oauth_token_consumer_key_pair"),
            Self::Signature
            | Self::Timestamp(_)
            | Self::Nonce
            | Self::NoUser
            | Self::ServerAdmin => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable"),
        }
    }
}

/// What ends a request with an auth key; the words are `couch_authkey`'s where it had any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthkeyError {
    /// There is no such key, or none that can be understood.
    #[error("invalid key")]
    Unknown,
    /// It was good until a time that has passed.
    #[error("key expired")]
    Expired,
    /// Which of the document's revisions counts is not settled.
    #[error(
        "Key document conflicts must be resolved before the document is used for authentication purposes."
    )]
    Conflicted,
    /// The key is in several documents, or several times in one.
    #[error("The key is not the only one of its name.")]
    Ambiguous,
    /// The name that its holder would have is a user's or a server admin's.
    #[error("The key's name is a user's.")]
    NameTaken,
    /// `allow_system_roles` is false.
    #[error("A key may not have roles that begin with `_`.")]
    SystemRole,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge(limit) => Self::TooLarge(limit),
            ReadError::Slow => Self::RequestTimeout,
            ReadError::Broken => Self::BrokenBody,
        }
    }
}

/// An answer of couchgate's own with the headers CouchDB gives its JSON answers.
#[must_use]
pub fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<String> {
    let mut response = Response::new(format!("{body}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("must-revalidate"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::SERVER, HeaderValue::from_static("couchgate"));
    response
}

/// CouchDB's error object.
#[must_use]
pub fn error_body(error: &str, reason: &str) -> serde_json::Value {
    serde_json::json!({ "error": error, "reason": reason })
}
