//! Where consumers' and tokens' secrets come from.

use std::{collections::HashMap, sync::Arc};

use crate::{couch::OauthView, error::Error, secret::Secret};

/// The source of credentials: `[couch_httpd_oauth] use_users_db` chooses.
#[derive(Clone, Debug)]
pub enum Source {
    /// The configuration.
    Ini(IniCredentials),
    /// User documents.
    UsersDb(Arc<OauthView>),
}

/// Credentials of the configuration.
#[derive(Clone, Debug, Default)]
pub struct IniCredentials {
    /// `[oauth_consumer_secrets]`: consumer keys and their secrets.
    pub consumer_secrets: HashMap<String, Secret>,
    /// `[oauth_token_secrets]`: tokens and their secrets.
    pub token_secrets: HashMap<String, Secret>,
    /// `[oauth_token_users]`: tokens and the names of their users.
    pub token_users: HashMap<String, String>,
}

/// What a consumer key and a token stand for.
#[derive(Clone, Debug)]
pub struct KnownPair {
    /// The consumer's secret.
    pub consumer_secret: Secret,
    /// The token's secret.
    pub token_secret: Secret,
    /// The user's name.
    pub username: String,
}

impl Source {
    /// Whether a server admin's credentials may be here. Where users may sign up, anybody may write
    /// a user document of an admin's name; CouchDB takes nothing but roles from it.
    #[must_use]
    pub fn may_name_server_admins(&self) -> bool {
        matches!(self, Self::Ini(_))
    }

    /// Finds credentials; as in CouchDB 1.x (`couch_httpd_oauth:get_callback_params`), an empty
    /// secret or name is none.
    ///
    /// # Errors
    ///
    /// Where user documents cannot be read, or several have this consumer key and token.
    pub async fn find(&self, consumer: &[u8], token: &[u8]) -> Result<Option<KnownPair>, Error> {
        // What is not UTF-8 stands in no configuration and no document.
        let (Ok(consumer), Ok(token)) = (str::from_utf8(consumer), str::from_utf8(token)) else {
            return Ok(None);
        };
        let found = match self {
            Self::Ini(ini) => ini.find(consumer, token),
            Self::UsersDb(view) => view.find(consumer, token).await?.map(|row| KnownPair {
                consumer_secret: row.consumer_secret,
                token_secret: row.token_secret,
                username: row.username,
            }),
        };
        Ok(found.filter(|found| {
            !found.consumer_secret.as_bytes().is_empty()
                && !found.token_secret.as_bytes().is_empty()
                && !found.username.is_empty()
        }))
    }
}

impl IniCredentials {
    /// Any consumer may use any token, as in CouchDB 1.x.
    fn find(&self, consumer: &str, token: &str) -> Option<KnownPair> {
        Some(KnownPair {
            consumer_secret: self.consumer_secrets.get(consumer)?.clone(),
            token_secret: self.token_secrets.get(token)?.clone(),
            username: self.token_users.get(token)?.clone(),
        })
    }
}
