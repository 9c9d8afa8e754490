//! Signatures: the worked examples of RFC 5849, those of OAuth Core 1.0, and what holds for all requests.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "oauth_signature/other_clients.rs"]
mod other_clients;
#[path = "oauth_signature/reading.rs"]
mod reading;
#[path = "oauth_signature/rfc5849.rs"]
mod rfc5849;
#[path = "oauth_signature/tampering.rs"]
mod tampering;

use couchgate::{
    auth::oauth::{
        parameters::{Malformed, Parameters, oauth_parameters},
        signature::{Signable, SignatureMethod, base_string},
    },
    secret::Secret,
};

/// A request as a server reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Vec<u8>,
    pub(crate) authorization: String,
    pub(crate) form: Vec<u8>,
}

impl Sent {
    /// A request for a URL as one writes it into a client, with a request line's method before it.
    pub(crate) fn new(request: &str, authorization: &str, form: &str) -> Self {
        let (method, url) = request.split_once(' ').unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, target) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            https: scheme == "https",
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.into(),
            authorization: authorization.to_owned(),
            form: form.into(),
        }
    }

    pub(crate) fn signable(&self) -> Signable<'_> {
        let Self { method, https, host, path, .. } = self;
        Signable { method, https: *https, host, path }
    }

    pub(crate) fn parameters(&self) -> Result<Parameters<'_>, Malformed> {
        let header = oauth_parameters(self.authorization.as_bytes()).unwrap_or_default();
        Parameters::collect(header, &self.query, &self.form)
    }

    pub(crate) fn base_string(&self) -> String {
        base_string(&self.signable(), self.parameters().unwrap().signed())
    }

    /// Whether the signature is that of the consumer's and the token's secret.
    pub(crate) fn verifies(&self, secrets: [&str; 2]) -> bool {
        let Ok(parameters) = self.parameters() else { return false };
        let method = str::from_utf8(parameters.get("oauth_signature_method").unwrap()).unwrap();
        let [consumer, token] = secrets.map(Secret::from);
        let signature = parameters.signature().unwrap();
        let method: SignatureMethod = method.parse().unwrap();
        method.verifies(signature, &self.signable(), parameters.signed(), &consumer, &token)
    }
}

/// `PLAINTEXT` is the encoded secrets and nothing else.
pub(crate) fn plaintext(consumer: &[u8], token: &[u8]) -> String {
    let [consumer, token] = [consumer, token].map(|secret| Secret::new(secret.to_vec()));
    let request = Signable { method: "GET", https: true, host: "couch.example", path: "/" };
    SignatureMethod::Plaintext.sign(&request, &[], &consumer, &token).to_string()
}
