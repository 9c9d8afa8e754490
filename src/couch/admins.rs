//! Server admins: those of couchgate's own `[admins]` and those of CouchDB's configuration.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::sync::Mutex;

use super::client::{Couch, CouchError};
use crate::passwords::PasswordHash;

/// CouchDB's configuration has no changes feed, so it is read again after this long.
const TTL: Duration = Duration::from_secs(5);

const CONFIG_ADMINS: &str = "/_node/_local/_config/admins";

type ByName = HashMap<String, PasswordHash>;

/// Who is a server admin.
#[derive(Debug)]
pub struct Admins {
    own: ByName,
    /// `None` with `admins_from_upstream = false`.
    upstream: Option<Arc<Couch>>,
    read: ArcSwapOption<(Instant, ByName)>,
    reading: Mutex<()>,
}

impl Admins {
    /// The admins of couchgate's configuration, and where to read CouchDB's.
    #[must_use]
    pub fn new(own: HashMap<String, PasswordHash>, upstream: Option<Arc<Couch>>) -> Self {
        Self { own, upstream, read: ArcSwapOption::empty(), reading: Mutex::new(()) }
    }

    /// The stored password of a server admin. CouchDB's own word comes first.
    ///
    /// # Errors
    ///
    /// When CouchDB's admins cannot be read: then nobody can tell who is one.
    pub async fn find(&self, name: &str) -> Result<Option<PasswordHash>, CouchError> {
        if let Some(couch) = &self.upstream
            && let Some(admin) = self.read_from(couch).await?.1.get(name)
        {
            return Ok(Some(admin.clone()));
        }
        Ok(self.own.get(name).cloned())
    }

    async fn read_from(&self, couch: &Couch) -> Result<Arc<(Instant, ByName)>, CouchError> {
        if let Some(read) = self.fresh() {
            return Ok(read);
        }
        let _reading = self.reading.lock().await;
        if let Some(read) = self.fresh() {
            return Ok(read);
        }
        let asked = Instant::now();
        let reply = couch.get(CONFIG_ADMINS).await?;
        if reply.status != StatusCode::OK {
            return Err(CouchError::Status(reply.status));
        }
        // A plain password is there for an instant only, until CouchDB has hashed it.
        let admins = reply
            .json::<HashMap<String, String>>()?
            .into_iter()
            .filter_map(|(name, value)| Some((name, PasswordHash::from_admin_value(&value)?)))
            .collect();
        let read = Arc::new((asked, admins));
        self.read.store(Some(Arc::clone(&read)));
        Ok(read)
    }

    fn fresh(&self) -> Option<Arc<(Instant, ByName)>> {
        self.read.load_full().filter(|read| read.0.elapsed() < TTL)
    }
}
