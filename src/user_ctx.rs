//! The user context: who is asking, in CouchDB's sense (`userCtx`).
//!
//! An [`Identity`] that cannot travel exactly in a header cannot be built, so nobody downstream
//! has to check again.
//!
//! ```
//! use couchgate::user_ctx::Identity;
//!
//! let jan = Identity::new("jan", ["dev", "ops"]).unwrap();
//! assert_eq!(jan.roles_header().unwrap(), "dev,ops");
//! // CouchDB would split this one into two roles.
//! assert!(Identity::new("jan", ["dev,_admin"]).is_err());
//! ```

use std::{borrow::Cow, sync::Arc};

use http::HeaderValue;

/// The authentication handlers, by the names `GET /_session` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlerName {
    /// OAuth 1.0 (RFC 5849).
    Oauth,
    /// The session cookie `AuthSession`.
    Cookie,
    /// `X-Auth-CouchDB-*` headers of a trusted front end.
    Proxy,
    /// A key that is kept in a document (rcouch's `couch_authkey`).
    Authkey,
    /// A token that opens an attachment.
    DownloadToken,
    /// HTTP Basic (RFC 7617).
    Default,
}

impl HandlerName {
    /// All handlers.
    pub const ALL: [Self; 6] =
        [Self::Oauth, Self::Cookie, Self::Proxy, Self::Authkey, Self::DownloadToken, Self::Default];

    /// The name as CouchDB shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oauth => "oauth",
            Self::Cookie => "cookie",
            Self::Proxy => "proxy",
            Self::Authkey => "authkey",
            Self::DownloadToken => "download_token",
            Self::Default => "default",
        }
    }
}

/// An authenticated user and the handler that vouched for him.
#[derive(Clone, Debug)]
pub struct UserCtx {
    /// Name and roles.
    pub identity: Arc<Identity>,
    /// Who authenticated the user.
    pub handler: HandlerName,
}

impl UserCtx {
    /// The user's name as a log may show it: an auth key is the name of whoever has it, and a
    /// download makes nobody somebody.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        let name = self.identity.name();
        match (self.handler, name.split_once(',')) {
            (HandlerName::Authkey, Some((db, _))) => format!("{db},...").into(),
            (HandlerName::DownloadToken, _) => "-".into(),
            _ => name.into(),
        }
    }
}

/// Why a name or role was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrepresentable {
    /// Empty.
    #[error("is empty")]
    Empty,
    /// A header's outer blanks are not part of its value (RFC 9110 section 5.5).
    #[error("begins or ends with a blank")]
    Blank,
    /// No control character is allowed in a header (RFC 9110 section 5.5).
    #[error("contains a control character")]
    Control,
    /// CouchDB splits the roles header at commas.
    #[error("contains a comma")]
    Comma,
}

/// A user name that cannot travel, or one of the roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// The user name.
    #[error("the user name {0}")]
    Name(Unrepresentable),
    /// A role.
    #[error("a role {0}")]
    Role(Unrepresentable),
}

/// A user name and its roles, rendered once as the headers that carry them upstream.
#[derive(Debug)]
pub struct Identity {
    name: Box<str>,
    roles: Box<[Box<str>]>,
    name_header: HeaderValue,
    roles_header: Option<HeaderValue>,
}

impl Identity {
    /// Checks the name and each role.
    ///
    /// A role must not be empty, with one exception: a list that is one empty role, which is how
    /// CouchDB 3.5 reads an empty roles header, and which an empty header carries back exactly.
    ///
    /// # Errors
    ///
    /// When the name or a role cannot travel exactly in CouchDB's proxy authentication headers.
    pub fn new<R: AsRef<str>>(
        name: &str,
        roles: impl IntoIterator<Item = R>,
    ) -> Result<Self, InvalidIdentity> {
        check(name).map_err(InvalidIdentity::Name)?;
        let roles: Box<[Box<str>]> = roles.into_iter().map(|role| role.as_ref().into()).collect();
        if !matches!(&*roles, [only] if only.is_empty()) {
            for role in &roles {
                check_role(role).map_err(InvalidIdentity::Role)?;
            }
        }
        let roles_header = (!roles.is_empty())
            .then(|| HeaderValue::from_maybe_shared(roles.join(",")))
            .transpose()
            .map_err(|_| InvalidIdentity::Role(Unrepresentable::Control))?;
        Ok(Self {
            name_header: HeaderValue::from_bytes(name.as_bytes())
                .map_err(|_| InvalidIdentity::Name(Unrepresentable::Control))?,
            name: name.into(),
            roles,
            roles_header,
        })
    }

    /// Whether somebody of this name could be told to CouchDB.
    #[must_use]
    pub fn could_be_named(name: &str) -> bool {
        check(name).is_ok()
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's roles, in order.
    pub fn roles(&self) -> impl ExactSizeIterator<Item = &str> {
        self.roles.iter().map(AsRef::as_ref)
    }

    /// The value of `X-Auth-CouchDB-UserName`.
    #[must_use]
    pub fn name_header(&self) -> &HeaderValue {
        &self.name_header
    }

    /// The value of `X-Auth-CouchDB-Roles`; no header at all says no roles.
    #[must_use]
    pub fn roles_header(&self) -> Option<&HeaderValue> {
        self.roles_header.as_ref()
    }
}

fn check_role(role: &str) -> Result<(), Unrepresentable> {
    if role.contains(',') {
        return Err(Unrepresentable::Comma);
    }
    check(role)
}

fn check(text: &str) -> Result<(), Unrepresentable> {
    if text.is_empty() {
        Err(Unrepresentable::Empty)
    } else if text.chars().any(char::is_control) {
        Err(Unrepresentable::Control)
    } else if text.trim() != text {
        Err(Unrepresentable::Blank)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_representable_names_are_built() {
        for (name, expected) in [
            ("jan", None),
            ("pömme de terre", None),
            ("a,b", None),
            ("", Some(Unrepresentable::Empty)),
            (" jan", Some(Unrepresentable::Blank)),
            ("jan\u{a0}", Some(Unrepresentable::Blank)),
            ("ja\nn", Some(Unrepresentable::Control)),
            ("jan\0", Some(Unrepresentable::Control)),
            ("ja\u{85}n", Some(Unrepresentable::Control)),
        ] {
            let built = Identity::new(name, ["r"]).err();
            assert_eq!(built, expected.map(InvalidIdentity::Name), "{name:?}");
        }
    }

    #[test]
    fn only_representable_roles_are_built() {
        for (roles, header) in [
            (&[][..], Ok(None)),
            (&["dev"], Ok(Some("dev"))),
            (&["dev", "blog er"], Ok(Some("dev,blog er"))),
            (&[""], Ok(Some(""))),
            (&["dev", ""], Err(Unrepresentable::Empty)),
            (&["", "dev"], Err(Unrepresentable::Empty)),
            (&["x,_admin"], Err(Unrepresentable::Comma)),
            (&["x\r\nX-Auth-CouchDB-Roles: _admin"], Err(Unrepresentable::Control)),
            (&["dev "], Err(Unrepresentable::Blank)),
        ] {
            let built = Identity::new("jan", roles);
            let built = built
                .as_ref()
                .map(|identity| identity.roles_header().map(|value| value.to_str().unwrap()))
                .map_err(|error| *error);
            assert_eq!(built, header.map_err(InvalidIdentity::Role), "{roles:?}");
        }
    }
}
