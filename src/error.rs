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

use crate::user_ctx::InvalidIdentity;

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
    /// A body that couchgate has to read exceeds its limit, in bytes.
    #[error("The request body exceeds {0} bytes.")]
    TooLarge(usize),
    /// The client did not send its body in time.
    #[error("The request body did not arrive in time.")]
    RequestTimeout,
    /// No upstream node accepts connections.
    #[error("CouchDB cannot be reached.")]
    UpstreamUnreachable,
    /// Upstream broke off, or answered what is not HTTP.
    #[error("CouchDB closed the connection or sent an invalid answer.")]
    UpstreamBroken,
    /// Users or server admins cannot be read: an unknown state is nobody's identity.
    #[error("The authentication database cannot be read.")]
    UsersUnavailable,
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
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::WrongPassword
            | Self::ConflictedUser
            | Self::AuthenticationRequired
            | Self::PleaseLogin => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::UnacceptableHash(_) | Self::Unrepresentable(_) => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BadContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::UpstreamUnreachable | Self::UpstreamBroken => {
                (StatusCode::BAD_GATEWAY, "bad_gateway")
            }
            Self::UsersUnavailable | Self::HashingOverloaded => {
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
            Self::UsersUnavailable | Self::HashingOverloaded => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
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
