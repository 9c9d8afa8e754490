//! OAuth 1.0 signatures (RFC 5849): parameters, base string, signing and verifying, without I/O.
//!
//! ```
//! use couchgate::auth::oauth::signature::{Credentials, SignatureMethod, Signable, Signer};
//!
//! let credentials = Credentials {
//!     consumer_key: "consumer1".to_owned(),
//!     consumer_secret: "sekr1t".into(),
//!     token: "token1".to_owned(),
//!     token_secret: "tokensekr1t".into(),
//! };
//! let request = Signable {
//!     method: "GET",
//!     https: false,
//!     host: "localhost:5994",
//!     path: "/_session",
//! };
//! let signer =
//!     Signer { method: SignatureMethod::HmacSha1, timestamp: 1_374_561_749, nonce: "81430018" };
//! let authorization = signer.authorization(&request, b"", b"", &credentials);
//! assert!(authorization.starts_with("OAuth oauth_consumer_key=\"consumer1\", "));
//! ```

use std::{borrow::Cow, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use percent_encoding::percent_encode;
use zeroize::Zeroizing;

use super::parameters::Parameter;
use crate::{
    secret::{HashAlgorithm, Secret, equal},
    target::{RESERVED, form_pairs},
};

/// What a signature covers of a request beside its parameters (RFC 5849 section 3.4.1), as the
/// client sends it.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// Its method, which is case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// Whether its scheme is `https`.
    pub https: bool,
    /// Its `Host`: a name and perhaps a port.
    pub host: &'a str,
    /// Its path, encoded.
    pub path: &'a str,
}

/// A consumer's key and a user's token, with their secrets (RFC 5849's client and token
/// credentials).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `oauth_consumer_key`.
    pub consumer_key: String,
    /// The consumer's secret.
    pub consumer_secret: Secret,
    /// `oauth_token`.
    pub token: String,
    /// The token's secret.
    pub token_secret: Secret,
}

/// How a request is signed: `oauth_signature_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureMethod {
    /// `HMAC-SHA1` (RFC 5849 section 3.4.2).
    HmacSha1,
    /// `HMAC-SHA256`: the same with SHA-256.
    HmacSha256,
    /// `PLAINTEXT` (RFC 5849 section 3.4.4): the secrets themselves.
    Plaintext,
}

/// A name that is none of [`SignatureMethod`]'s.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("unknown signature method, expected HMAC-SHA1, HMAC-SHA256 or PLAINTEXT")]
pub struct UnknownSignatureMethod;

impl FromStr for SignatureMethod {
    type Err = UnknownSignatureMethod;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "HMAC-SHA1" => Ok(Self::HmacSha1),
            "HMAC-SHA256" => Ok(Self::HmacSha256),
            "PLAINTEXT" => Ok(Self::Plaintext),
            _ => Err(UnknownSignatureMethod),
        }
    }
}

impl SignatureMethod {
    /// The name as it stands in `oauth_signature_method`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::Plaintext => "PLAINTEXT",
        }
    }

    /// The signature of `parameters`, which are all of the request's but `oauth_signature` and
    /// `realm`.
    #[must_use]
    pub fn sign(
        self,
        request: &Signable<'_>,
        parameters: &[Parameter<'_>],
        consumer_secret: &Secret,
        token_secret: &Secret,
    ) -> Zeroizing<String> {
        let key = key(consumer_secret, token_secret);
        let hmac = |algorithm: HashAlgorithm| {
            let mac =
                algorithm.hmac(&[key.as_bytes()], base_string(request, parameters).as_bytes());
            Zeroizing::new(BASE64.encode(mac.as_bytes()))
        };
        match self {
            Self::HmacSha1 => hmac(HashAlgorithm::Sha),
            Self::HmacSha256 => hmac(HashAlgorithm::Sha256),
            Self::Plaintext => key,
        }
    }

    /// Whether `signature` is that of `parameters`, in time that does not depend on how much of
    /// it is right.
    #[must_use]
    pub fn verifies(
        self,
        signature: &[u8],
        request: &Signable<'_>,
        parameters: &[Parameter<'_>],
        consumer_secret: &Secret,
        token_secret: &Secret,
    ) -> bool {
        let expected = self.sign(request, parameters, consumer_secret, token_secret);
        equal(expected.as_bytes(), signature)
    }
}

/// The key of an HMAC, and the whole of a plaintext signature (RFC 5849 sections 3.4.2 and 3.4.4).
fn key(consumer_secret: &Secret, token_secret: &Secret) -> Zeroizing<String> {
    let mut key = Zeroizing::new(String::with_capacity(
        3 * (consumer_secret.as_bytes().len() + token_secret.as_bytes().len()) + 1,
    ));
    key.extend(percent_encode(consumer_secret.as_bytes(), RESERVED));
    key.push('&');
    key.extend(percent_encode(token_secret.as_bytes(), RESERVED));
    key
}

/// The signature base string (RFC 5849 section 3.4.1.1).
#[must_use]
pub fn base_string(request: &Signable<'_>, parameters: &[Parameter<'_>]) -> String {
    let (uri, parameters) = (base_string_uri(request), normalized(parameters));
    // Encoding what is encoded already makes it half as long again, more or less.
    let mut text = String::with_capacity(2 * (uri.len() + parameters.len()));
    for part in [request.method, &uri, &parameters] {
        text.extend(percent_encode(part.as_bytes(), RESERVED));
        text.push('&');
    }
    text.pop();
    text
}

/// The base string URI (RFC 5849 section 3.4.1.2): scheme and host in lower case, without the
/// scheme's default port, the path as it is.
fn base_string_uri(request: &Signable<'_>) -> String {
    let (scheme, default_port) = if request.https { ("https", "443") } else { ("http", "80") };
    let host = request.host.to_ascii_lowercase();
    // The colons of an IPv6 address stand before its bracket.
    let name_end = host.find(']').unwrap_or_default();
    let without_port = match host[name_end..].split_once(':') {
        Some((_, port)) if port.is_empty() || port.trim_start_matches('0') == default_port => {
            &host[..host.len() - port.len() - 1]
        }
        _ => &host,
    };
    let path = if request.path.is_empty() { "/" } else { request.path };
    format!("{scheme}://{without_port}{path}")
}

/// The parameters encoded, sorted by name and then by value, and joined (RFC 5849 section
/// 3.4.1.3.2).
fn normalized(parameters: &[Parameter<'_>]) -> String {
    let mut encoded: Vec<(Cow<'_, str>, Cow<'_, str>)> = parameters
        .iter()
        .map(|(name, value)| {
            (percent_encode(name, RESERVED).into(), percent_encode(value, RESERVED).into())
        })
        .collect();
    encoded.sort_unstable();
    let mut text = String::with_capacity(
        encoded.iter().map(|(name, value)| name.len() + value.len() + 2).sum(),
    );
    for (name, value) in &encoded {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

/// What a signature is made with beside the credentials.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// How to sign.
    pub method: SignatureMethod,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Never the same for one timestamp.
    pub nonce: &'a str,
}

impl Signer<'_> {
    /// The value of an `Authorization` header that signs a request with this query and, where its
    /// body is a form, this form, both encoded (RFC 5849 section 3.5.1).
    #[must_use]
    pub fn authorization(
        &self,
        request: &Signable<'_>,
        query: &[u8],
        form: &[u8],
        credentials: &Credentials,
    ) -> String {
        let timestamp = self.timestamp.to_string();
        let protocol = [
            ("oauth_consumer_key", credentials.consumer_key.as_str()),
            ("oauth_token", &credentials.token),
            ("oauth_signature_method", self.method.as_str()),
            ("oauth_timestamp", &timestamp),
            ("oauth_nonce", self.nonce),
            ("oauth_version", "1.0"),
        ];
        let own = protocol
            .iter()
            .map(|(name, value)| (Cow::Borrowed(name.as_bytes()), Cow::Borrowed(value.as_bytes())));
        let sent = form_pairs(query).chain(form_pairs(form));
        let parameters: Vec<Parameter<'_>> = own.chain(sent).collect();
        let Credentials { consumer_secret, token_secret, .. } = credentials;
        let signature = self.method.sign(request, &parameters, consumer_secret, token_secret);
        let all = protocol.into_iter().chain([("oauth_signature", signature.as_str())]);
        let all = all.map(|(name, value)| {
            format!("{name}=\"{}\"", percent_encode(value.as_bytes(), RESERVED))
        });
        format!("OAuth {}", all.collect::<Vec<_>>().join(", "))
    }
}
