//! Requests signed with OAuth 1.0 by couchgate's own code, right or wrong in any part.

use std::time::{SystemTime, UNIX_EPOCH};

use couchgate::{
    auth::oauth::{
        parameters::Parameter,
        signature::{Signable, SignatureMethod},
    },
    secret::Secret,
    target::form_pairs,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::couch::{Couch, unique};

/// Credentials of jan's and pomme's, for the configuration.
pub const INI: &str = "[oauth_consumer_secrets]\nkey = consumer&secret\nkey2 = consumer secret 2\n\
    [oauth_token_secrets]\ntoken = token+secret\ntoken2 = tokensecret2\n\
    [oauth_token_users]\ntoken = jan\ntoken2 = pomme\n";

/// For couchgate before a server with an authentication database of a test's own, whose documents
/// have credentials.
pub fn users_db(couch: &Couch, db: &str) -> String {
    format!(
        "[chttpd_auth]\nsecret = {}\nauthentication_db = {db}\n\
         [couch_httpd_oauth]\nuse_users_db = true\n",
        couch.secret
    )
}

/// The media type whose parameters are signed.
pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// All but the unreserved characters (RFC 5849 section 3.6).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names and values, decoded.
pub type Pairs = Vec<(String, String)>;

/// A request as its signer sees it. Whatever is set wrong here is signed wrong.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub https: bool,
    pub host: String,
    /// Path and query as they are sent, without protocol parameters.
    pub target: String,
    /// The form body as it is sent, without protocol parameters.
    pub form: String,
    /// Protocol parameters, without the signature.
    pub protocol: Pairs,
    pub consumer_secret: String,
    pub token_secret: String,
}

impl Request {
    /// jan's, signed now with HMAC-SHA1 and a nonce of its own.
    pub fn new(method: &str, target: &str) -> Self {
        let protocol = [
            ("oauth_consumer_key", "key"),
            ("oauth_token", "token"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", &now().to_string()),
            ("oauth_nonce", &unique("nonce")),
            ("oauth_version", "1.0"),
        ];
        Self {
            method: method.to_owned(),
            https: false,
            host: "couch.example:5984".to_owned(),
            target: target.to_owned(),
            form: String::new(),
            protocol: protocol.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            consumer_secret: "consumer&secret".to_owned(),
            token_secret: "token+secret".to_owned(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, form: &str) -> Self {
        Self { form: form.to_owned(), ..Self::new("POST", target) }
    }

    /// Whose it is.
    #[must_use]
    pub fn of(self, consumer: [&str; 2], token: [&str; 2]) -> Self {
        let mut this = self.set("oauth_consumer_key", consumer[0]).set("oauth_token", token[0]);
        consumer[1].clone_into(&mut this.consumer_secret);
        token[1].clone_into(&mut this.token_secret);
        this
    }

    /// Sets a protocol parameter.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        let mut this = self.without(name);
        this.protocol.push((name.to_owned(), value.to_owned()));
        this
    }

    /// Takes a protocol parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.protocol.retain(|(key, _)| key != name);
        self
    }

    /// Signed so many seconds from now.
    #[must_use]
    pub fn at(self, seconds: i64) -> Self {
        let timestamp = i64::try_from(now()).unwrap() + seconds;
        self.set("oauth_timestamp", &timestamp.to_string())
    }

    /// Signed by HMAC-SHA1 whenever the method is unknown.
    pub fn signature(&self) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let sent = form_pairs(query.as_bytes()).chain(form_pairs(self.form.as_bytes()));
        let own = self.protocol.iter();
        let own = own.map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()));
        let parameters: Vec<Parameter<'_>> = own.chain(sent).collect();
        let method = self.protocol.iter().find(|(name, _)| name == "oauth_signature_method");
        let method = method.and_then(|(_, value)| value.parse().ok());
        let request = Signable { method: &self.method, https: self.https, host: &self.host, path };
        let [consumer, token] =
            [&self.consumer_secret, &self.token_secret].map(|secret| Secret::from(secret.as_str()));
        let method: SignatureMethod = method.unwrap_or(SignatureMethod::HmacSha1);
        method.sign(&request, &parameters, &consumer, &token).to_string()
    }

    /// The protocol parameters and their signature.
    pub fn pairs(&self) -> Pairs {
        let signature = ("oauth_signature".to_owned(), self.signature());
        self.protocol.iter().cloned().chain([signature]).collect()
    }

    /// The value of an `Authorization` header.
    pub fn header(&self) -> String {
        header(&self.pairs())
    }

    /// The target with the protocol parameters at the end of its query.
    pub fn in_query(&self) -> String {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.target, form(&self.pairs()))
    }

    /// The form body with the protocol parameters at its end.
    pub fn in_form(&self) -> String {
        let separator = if self.form.is_empty() { "" } else { "&" };
        format!("{}{separator}{}", self.form, form(&self.pairs()))
    }
}

/// An `Authorization` header with these parameters.
pub fn header(pairs: &Pairs) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{}=\"{}\"", encode(name), encode(value)));
    format!("OAuth {}", pairs.collect::<Vec<_>>().join(", "))
}

/// A query or form with these parameters.
pub fn form(pairs: &Pairs) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Every character as a percent-encoded one.
pub fn respelt(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
