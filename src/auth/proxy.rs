//! The `proxy` handler: a front end that has authenticated its user says so in headers.
//!
//! CouchDB takes these headers from anyone unless `proxy_use_secret` is set. Here the token is
//! required, unless it was switched off in writing *and* the peer is one of `trusted_proxies`.

use std::sync::Arc;

use super::{Client, Outcome, ProxyHeaders};
use crate::{
    error::Error,
    secret::{HashAlgorithm, Secrets},
    user_ctx::{HandlerName, Identity, UserCtx},
};

/// Believes signed headers.
#[derive(Debug)]
pub struct ProxyHandler {
    /// Sign the user name.
    pub secrets: Secrets,
    /// Any of these digests is accepted in a token.
    pub hash_algorithms: Vec<HashAlgorithm>,
    /// `proxy_use_secret`: the token is required of everyone.
    pub use_secret: bool,
}

impl ProxyHandler {
    pub(super) fn authenticate(
        &self,
        headers: &ProxyHeaders,
        client: Client,
    ) -> Result<Outcome, Error> {
        let Some(username) = &headers.username else { return Ok(Outcome::NotMine) };
        let needs_token = self.use_secret || !client.through_trusted_proxy;
        if needs_token {
            let Some(token) = &headers.token else { return Ok(Outcome::NotMine) };
            if !self.verifies(username.as_bytes(), token.as_bytes()) {
                return Ok(Outcome::NotMine);
            }
        }
        let username = utf8(username.as_bytes())?;
        let roles = match &headers.roles {
            Some(roles) => split_roles(utf8(roles.as_bytes())?),
            None => Vec::new(),
        };
        let identity = Arc::new(Identity::new(username, roles)?);
        Ok(UserCtx { identity, handler: HandlerName::Proxy }.into())
    }

    fn verifies(&self, username: &[u8], token: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            self.hash_algorithms.iter().any(|algorithm| {
                let expected = algorithm.hmac(&[secret.as_bytes()], username).to_hex();
                crate::secret::equal(expected.as_bytes(), token)
            })
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes)
        .map_err(|_| Error::bad_request("The proxy authentication headers must be UTF-8."))
}

/// CouchDB's `re:split(Roles, "\\s*,\\s*", [trim])`: blanks around commas go, empty roles at the
/// end too, and an empty header is one empty role.
fn split_roles(header: &str) -> Vec<&str> {
    let mut roles: Vec<&str> = header.split(',').map(str::trim_ascii).collect();
    while roles.len() > 1 && roles.last().is_some_and(|role| role.is_empty()) {
        roles.pop();
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_split_as_couchdb_does() {
        for (header, roles) in [
            ("users,blogger", &["users", "blogger"][..]),
            ("users , blogger,", &["users", "blogger"]),
            ("users", &["users"]),
            ("a,,b", &["a", "", "b"]),
            ("", &[""]),
            // A blank, but none of CouchDB's: it is part of the role's name.
            ("a,\u{a0}b", &["a", "\u{a0}b"]),
        ] {
            assert_eq!(split_roles(header), roles, "{header:?}");
        }
    }
}
