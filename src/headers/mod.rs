//! The header law: what is taken out of a request, and what couchgate puts in.
//!
//! Laws 1 and 2 of the design live here and nowhere else: a client's identity headers never pass,
//! in no spelling; credentials stop at couchgate; upstream sees each identity header at most once.
//!
//! ```
//! use couchgate::{headers::HeaderLaw, target::Target};
//!
//! let request = http::Request::get("/db?oauth_token=t&limit=1").header("x_auth_couchdb_roles", "_admin");
//! let (mut head, ()) = request.body(()).unwrap().into_parts();
//! let target = Target::new(head.uri.path_and_query().unwrap().clone());
//! HeaderLaw::default().scrub(&mut head, &target).unwrap();
//! assert!(head.headers.is_empty());
//! assert_eq!(head.uri, "/db?limit=1");
//! ```

mod download;
mod session_cookie;

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request, uri::InvalidUri};

use download::OF_A_DOWNLOAD;
pub use download::{keep_for_download, open_to_any_origin};

use crate::{
    auth::{Presented, ProxyHeaders, oauth::parameters::is_protocol},
    secret::{HashAlgorithm, Secret, Secrets},
    target::Target,
    user_ctx::Identity,
};

/// What CouchDB believes of whoever sends it (`chttpd:handle_request_int`, `absolute_uri`;
/// mochiweb takes the peer's address from `X-Forwarded-For` on private networks): a front end
/// may say such things, a client may not.
const TRUSTED_BY_COUCHDB: [HeaderName; 7] = [
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-couchdb-vhost-path"),
    HeaderName::from_static("x-couchdb-requested-path"),
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that concern one connection only (RFC 9110 section 7.6.1, RFC 2616 section 13.5.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What `Connection` cannot name: CouchDB needs the host and the framing, operators the request id.
const NOT_OF_A_HOP: [HeaderName; 3] =
    [header::HOST, header::CONTENT_LENGTH, HeaderName::from_static("x-couch-request-id")];

/// What else clients say in headers, to couchgate or CouchDB.
const OF_CLIENTS: [HeaderName; 8] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::ORIGIN,
    HeaderName::from_static("destination"),
];

/// The names of the three identity headers, as configured on both sides, and those of credentials
/// that may have others.
#[derive(Clone, Debug)]
pub struct HeaderLaw {
    /// `x_auth_username`.
    pub username: HeaderName,
    /// `x_auth_roles`.
    pub roles: HeaderName,
    /// `x_auth_token`.
    pub token: HeaderName,
    /// `[couch_authkey] x_auth_key`.
    pub auth_key: HeaderName,
    /// `[couch_authkey] auth_key_param`.
    pub auth_key_param: String,
    /// `[download_token] param`, where that handler is configured: its name is a common one, and
    /// design functions may have such a parameter.
    pub download_token_param: Option<String>,
}

impl Default for HeaderLaw {
    fn default() -> Self {
        Self {
            username: HeaderName::from_static("x-auth-couchdb-username"),
            roles: HeaderName::from_static("x-auth-couchdb-roles"),
            token: HeaderName::from_static("x-auth-couchdb-token"),
            auth_key: HeaderName::from_static("x-auth-key"),
            auth_key_param: "auth_key".to_owned(),
            download_token_param: None,
        }
    }
}

/// What a front end said of its client; only a trusted proxy's word counts.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    /// The values of `X-Forwarded-For`, one after the other.
    pub for_: Vec<HeaderValue>,
    /// `X-Forwarded-Proto`.
    pub proto: Option<HeaderValue>,
    /// `X-Forwarded-Host`.
    pub host: Option<HeaderValue>,
}

/// What [`HeaderLaw::scrub`] took out.
#[derive(Debug, Default)]
pub struct Taken {
    /// What the handlers look at.
    pub presented: Presented,
    /// What a front end said.
    pub forwarded: Forwarded,
}

impl HeaderLaw {
    /// Takes identity, credentials, what CouchDB would believe and hop-by-hop headers out of a
    /// request, whether or not a handler looks for them.
    ///
    /// # Errors
    ///
    /// When nothing that can be requested is left of the target.
    pub fn scrub(&self, head: &mut request::Parts, target: &Target) -> Result<Taken, InvalidUri> {
        let scrubbed = target.without(|name| self.is_credential(name))?;
        // A target that has nothing to scrub need not be searched again.
        let searched = scrubbed.as_ref().map(|_| target);
        let headers = &mut head.headers;
        let taken = Taken {
            presented: Presented {
                authorization: headers.remove(header::AUTHORIZATION),
                oauth_in_query: searched
                    .is_some_and(|target| target.query_names().any(|name| is_protocol(&name))),
                auth_key: searched
                    .and_then(|target| target.query(&self.auth_key_param).map(Cow::into_owned))
                    .or_else(|| joined(headers, &self.auth_key))
                    .map(Secret::new),
                download_token: searched.and_then(|target| self.download_token(target)),
                session_cookie: session_cookie::take(headers),
                proxy: ProxyHeaders {
                    username: only(headers, &self.username),
                    roles: only(headers, &self.roles),
                    token: only(headers, &self.token),
                },
            },
            forwarded: Forwarded {
                for_: headers.get_all(X_FORWARDED_FOR).iter().cloned().collect(),
                proto: only(headers, &X_FORWARDED_PROTO),
                host: only(headers, &X_FORWARDED_HOST),
            },
        };
        remove_hop_by_hop(headers);
        let forbidden: Vec<HeaderName> =
            headers.keys().filter(|name| self.forbids(name)).cloned().collect();
        for name in forbidden {
            headers.remove(name);
        }
        if let Some(scrubbed) = scrubbed {
            head.uri = Uri::from(scrubbed);
        }
        Ok(taken)
    }

    /// Whether a query parameter of this name is something that a handler consumes.
    fn is_credential(&self, name: &[u8]) -> bool {
        let is = |param: &String| param.as_bytes() == name;
        is_protocol(name)
            || is(&self.auth_key_param)
            || self.download_token_param.as_ref().is_some_and(is)
    }

    fn download_token(&self, target: &Target) -> Option<Secret> {
        let param = self.download_token_param.as_ref()?;
        let mut tokens = target.query_pairs().filter(|(name, _)| **name == *param.as_bytes());
        let (_, token) = tokens.next()?;
        Some(Secret::new(if tokens.next().is_some() { Vec::new() } else { token.into_owned() }))
    }

    /// Whether a client's header may not pass, whatever its case and whether it writes `_` or
    /// `-`: some servers read the one as the other (CVE-2025-64484 in oauth2-proxy).
    fn forbids(&self, name: &HeaderName) -> bool {
        [&self.username, &self.roles, &self.token, &self.auth_key]
            .into_iter()
            .chain(&TRUSTED_BY_COUCHDB)
            .any(|forbidden| same_when_folded(name.as_str(), forbidden.as_str()))
    }

    /// Whether a header of this name says something else than an auth key.
    #[must_use]
    pub fn has_meaning(&self, name: &HeaderName) -> bool {
        [&self.username, &self.roles, &self.token]
            .into_iter()
            .chain(&TRUSTED_BY_COUCHDB)
            .chain(&HOP_BY_HOP)
            .chain(&NOT_OF_A_HOP)
            .chain(&OF_A_DOWNLOAD)
            .chain(&OF_CLIENTS)
            .any(|other| same_when_folded(name.as_str(), other.as_str()))
    }

    /// Sets the identity headers, after all removal. Without a token CouchDB must not believe
    /// them, which is what probing it wants to see.
    pub fn inject(&self, headers: &mut HeaderMap, identity: &Identity, token: Option<HeaderValue>) {
        headers.insert(self.username.clone(), identity.name_header().clone());
        if let Some(roles) = identity.roles_header() {
            headers.insert(self.roles.clone(), roles.clone());
        }
        if let Some(token) = token {
            headers.insert(self.token.clone(), token);
        }
    }
}

/// The token that proves a user name to CouchDB: lower-case hex HMAC of the name keyed by the
/// secret (CouchDB 3.5, `couch_httpd_auth:proxy_auth_user`).
#[must_use]
pub fn token_for(identity: &Identity, secrets: &Secrets, algorithm: HashAlgorithm) -> HeaderValue {
    let mac = algorithm.hmac(&[secrets.current().as_bytes()], identity.name().as_bytes());
    // Hex digits always make a header value.
    HeaderValue::from_maybe_shared(mac.to_hex()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Says to CouchDB who the client is, and that it came by TLS: `Location` headers and CouchDB's
/// log depend on it.
pub fn set_forwarded(headers: &mut HeaderMap, address: IpAddr, https: bool) {
    if let Ok(address) = HeaderValue::from_maybe_shared(address.to_string()) {
        headers.insert(X_FORWARDED_FOR, address);
    }
    if https {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
}

/// Takes out what concerns one connection only, and what `Connection` names (RFC 9110 section
/// 7.6.1).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !NOT_OF_A_HOP.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The value of a header that was sent once. Of several, none: which of them a front end meant
/// cannot be known.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.clone())
}

/// The value of a header; several are joined as CouchDB's HTTP parser joins them.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

fn same_when_folded(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect()
    }

    /// What is taken, and what is left.
    fn scrub(law: &HeaderLaw, lines: &[(&str, &str)]) -> (Taken, HeaderMap) {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers = headers(lines);
        let taken = law.scrub(&mut head, &Target::new("/".parse().unwrap())).unwrap();
        (taken, head.headers)
    }

    #[test]
    fn an_identity_header_sent_twice_is_nobodys() {
        let twice = [
            ("x-auth-couchdb-username", "jan"),
            ("x-auth-couchdb-username", "admin"),
            ("x-auth-couchdb-token", "t"),
        ];
        let (taken, left) = scrub(&HeaderLaw::default(), &twice);
        assert!(taken.presented.proxy.username.is_none());
        assert!(taken.presented.proxy.token.is_some());
        assert!(left.is_empty());
    }

    #[test]
    fn configured_names_are_folded_too() {
        let law = HeaderLaw { roles: HeaderName::from_static("x_my-roles"), ..Default::default() };
        let (_, left) = scrub(&law, &[("X-My_Roles", "_admin"), ("x-my-roles-2", "stays")]);
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-my-roles-2"]);
    }

    #[test]
    fn connection_cannot_name_the_framing() {
        let mut headers = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "content-length, host"),
            ("x-mine", "1"),
            ("content-length", "3"),
            ("host", "couch"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["content-length", "host"]
        );
    }
}
