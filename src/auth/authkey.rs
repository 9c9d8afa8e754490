//! The `authkey` handler: rcouch's `couch_authkey`. A document holds keys, and whoever knows one has
//! the roles that the document gives it.

use std::{collections::BTreeSet, time::Duration};

use super::{Outcome, Presented, now};
use crate::{
    couch::{AuthKeys, Databases, FoundKey},
    error::{AuthkeyError, Error},
    user_ctx::{HandlerName, UserCtx},
};

/// Believes who knows a key.
#[derive(Debug)]
pub struct AuthkeyHandler {
    /// Where keys are found.
    pub keys: AuthKeys,
    /// `allow_system_roles`: keys may have roles that begin with `_`.
    pub allow_system_roles: bool,
}

/// What `[couch_authkey]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `databases`: whose documents hold keys.
    pub databases: Databases,
    /// `allow_system_roles`: keys may have roles that begin with `_`.
    pub allow_system_roles: bool,
    /// `cache_ttl`: how long a key is believed before it is looked up again.
    pub cache_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            databases: Databases::Only(BTreeSet::new()),
            allow_system_roles: false,
            cache_ttl: Duration::from_secs(5),
        }
    }
}

impl AuthkeyHandler {
    pub(super) async fn authenticate(&self, presented: &Presented) -> Result<Outcome, Error> {
        let Some(presented) = &presented.auth_key else { return Ok(Outcome::NotMine) };
        // What is not UTF-8 is in no document.
        let presented = str::from_utf8(presented.as_bytes()).unwrap_or_default();
        // Boxed: few requests have a key, but the futures of all would hold what finding it needs.
        let key = match Box::pin(self.keys.find(presented)).await? {
            FoundKey::One(key) => key,
            FoundKey::None => return Err(AuthkeyError::Unknown.into()),
            FoundKey::Conflicted => return Err(AuthkeyError::Conflicted.into()),
            FoundKey::Ambiguous => return Err(AuthkeyError::Ambiguous.into()),
            FoundKey::NameTaken => return Err(AuthkeyError::NameTaken.into()),
        };
        if key.expires.is_some_and(|expires| now().as_secs_f64() > expires) {
            return Err(AuthkeyError::Expired.into());
        }
        let identity = key.identity.as_ref().map_err(|error| *error)?;
        if !self.allow_system_roles && identity.roles().any(|role| role.starts_with('_')) {
            return Err(AuthkeyError::SystemRole.into());
        }
        Ok(UserCtx { identity: identity.clone(), handler: HandlerName::Authkey }.into())
    }
}
