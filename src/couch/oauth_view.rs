//! OAuth credentials of user documents, remembered while they hold.

use std::{sync::Arc, time::Instant};

use moka::future::Cache;

use super::{
    client::CouchError,
    oauth_rows::{OauthRow, of_pair},
    users::{Users, unavailable},
};
use crate::error::{Error, OauthError};

/// Pairs, known or not, are remembered in about this much memory, in bytes.
const CAPACITY: u64 = 32 * 1024 * 1024;

/// What remembering a pair costs beside names and secrets, in bytes, roughly.
const WEIGHT: usize = 512;

/// Nobody's consumer key or token is longer, in bytes.
const MAX_NAME: usize = 1024;

/// The credentials of user documents, remembered until any user changes.
#[derive(Debug)]
pub struct OauthView {
    users: Arc<Users>,
    cache: Cache<(String, String), Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    rows: Arc<[OauthRow]>,
    read_at: Instant,
    /// What had changed when the reading began.
    as_of: u64,
}

impl OauthRow {
    fn weight(&self) -> usize {
        let names = [&self.consumer_key, &self.token, &self.username];
        let secrets = [&self.consumer_secret, &self.token_secret];
        WEIGHT
            + names.map(String::len).iter().sum::<usize>()
            + secrets.map(|secret| secret.as_bytes().len()).iter().sum::<usize>()
    }
}

impl OauthView {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(users: Arc<Users>) -> Self {
        let weigher = |(consumer, token): &(String, String), remembered: &Remembered| {
            let rows: usize = remembered.rows.iter().map(OauthRow::weight).sum();
            u32::try_from(consumer.len() + token.len() + rows + WEIGHT).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(weigher)
            .time_to_live(users.longest_ttl())
            .build();
        Self { users, cache }
    }

    /// The credentials of a consumer key and a token; `None` where no user has both.
    ///
    /// # Errors
    ///
    /// 503 where the view cannot be read, 400 where several users have both.
    pub async fn find(&self, consumer: &str, token: &str) -> Result<Option<OauthRow>, Error> {
        if consumer.len() > MAX_NAME || token.len() > MAX_NAME {
            return Ok(None);
        }
        let rows = self.remembered(consumer, token).await.map_err(|error| unavailable(&error))?;
        match &*rows {
            [] => Ok(None),
            [row] => Ok(Some(row.clone())),
            _ => Err(OauthError::AmbiguousPair.into()),
        }
    }

    async fn remembered(
        &self,
        consumer: &str,
        token: &str,
    ) -> Result<Arc<[OauthRow]>, Arc<CouchError>> {
        let key = (consumer.to_owned(), token.to_owned());
        if let Some(remembered) = self.cache.get(&key).await {
            if self.holds(&remembered) {
                return Ok(remembered.rows);
            }
            self.cache.invalidate(&key).await;
        }
        let read = self.cache.try_get_with(key, self.read(consumer, token)).await?;
        if self.holds(&read) {
            return Ok(read.rows);
        }
        // It shared a reading that began before a change.
        Ok(self.read(consumer, token).await?.rows)
    }

    fn holds(&self, remembered: &Remembered) -> bool {
        remembered.as_of == self.users.changes() && remembered.read_at.elapsed() < self.users.ttl()
    }

    async fn read(&self, consumer: &str, token: &str) -> Result<Remembered, CouchError> {
        let (read_at, as_of) = (Instant::now(), self.users.changes());
        let (couch, db) = (self.users.couch(), self.users.authentication_db());
        let rows = of_pair(couch, db, consumer, token).await?.into();
        Ok(Remembered { rows, read_at, as_of })
    }
}
