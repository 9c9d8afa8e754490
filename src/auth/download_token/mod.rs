//! The `download_token` handler: `couchdb_download_token`, and links that expire.
//!
//! A token opens one attachment to GET and HEAD. What goes to CouchDB is a request of couchgate's
//! own, made from the names that the client's path has, for it goes there as a server admin.

mod attachment;
mod link;

use std::{sync::Arc, time::Duration};

use http::Method;

use super::{Outcome, Presented, now};
use crate::{
    couch::{Couch, Databases, DownloadTokens},
    error::Error,
    target::Target,
    user_ctx::{HandlerName, UserCtx},
};
pub use attachment::AttachmentPath;
pub use link::{InvalidSigningKey, SigningKey, SigningKeys};

/// Believes who has a token.
#[derive(Debug)]
pub struct DownloadTokenHandler {
    couch: Arc<Couch>,
    tokens: DownloadTokens,
    databases: Databases,
    signing_keys: SigningKeys,
}

/// What `[download_token]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `key_name`: the field of a document that holds its token, and before it the objects in
    /// which it is.
    pub key_name: Vec<String>,
    /// `databases`: whose attachments can be opened.
    pub databases: Databases,
    /// `cache_ttl`: how long a token is believed before it is looked up again.
    pub cache_ttl: Duration,
    /// `signing_keys`: who may sign links.
    pub signing_keys: SigningKeys,
}

impl DownloadTokenHandler {
    /// A handler that has read no document yet.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn new(couch: Arc<Couch>, settings: &Settings) -> Result<Self, getrandom::Error> {
        let Settings { key_name, databases, cache_ttl, signing_keys } = settings.clone();
        let tokens = DownloadTokens::new(Arc::clone(&couch), key_name, cache_ttl)?;
        Ok(Self { couch, tokens, databases, signing_keys })
    }

    pub(super) async fn authenticate(
        &self,
        presented: &Presented,
        method: &Method,
        target: &Target,
    ) -> Result<Outcome, Error> {
        let Some(token) = &presented.download_token else { return Ok(Outcome::NotMine) };
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Ok(Outcome::NotMine);
        }
        match AttachmentPath::of(target) {
            Some(path) if self.databases.contains(path.db()) => {
                // Boxed: few requests have a token, but the futures of all would hold this.
                Box::pin(self.open(&path, token.as_bytes())).await
            }
            _ => Ok(Outcome::NotMine),
        }
    }

    async fn open(&self, path: &AttachmentPath, token: &[u8]) -> Result<Outcome, Error> {
        let target = if link::is_link(token) {
            // Before CouchDB is asked anything: a link that does not hold says nothing about it.
            if !self.signing_keys.opens(token, path, now().as_secs()) {
                return Err(Error::WrongDownloadToken);
            }
            path.target(None)
        } else {
            let presented = self.tokens.digest(token);
            let document = self.tokens.find(path.db(), path.doc()).await?;
            let document = document.ok_or(Error::NoDocument)?;
            if !document.is_opened_by(&presented) {
                return Err(Error::WrongDownloadToken);
            }
            path.target(Some(document.rev()))
        };
        let target = target.map_err(|_| Error::NoDocument)?;
        let identity = Arc::clone(self.couch.service_user());
        Ok(Outcome::Download {
            user: UserCtx { identity, handler: HandlerName::DownloadToken },
            target,
        })
    }
}
