//! What CouchDB said a moment ago.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::future::Cache;

use super::client::CouchError;

/// Answers that are read once for all who ask at once, and believed for a bounded time, counted
/// from when their reading began.
#[derive(Debug)]
pub(super) struct Recent<T: Clone + Send + Sync + 'static> {
    cache: Cache<String, (Instant, T)>,
    ttl: Duration,
}

impl<T: Clone + Send + Sync + 'static> Recent<T> {
    /// Remembers answers in about `capacity` bytes; `weight` says what one takes.
    pub(super) fn new(
        ttl: Duration,
        capacity: u64,
        weight: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        let weigher = move |key: &String, (_, answer): &(Instant, T)| {
            u32::try_from(key.len() + weight(answer)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(capacity).weigher(weigher).time_to_live(ttl);
        Self { cache: cache.build(), ttl }
    }

    /// The answer for `key`. Where none is remembered, `read` reads it, and says when that began.
    pub(super) async fn get<F>(
        &self,
        key: &str,
        read: impl Fn() -> F + Send,
    ) -> Result<T, Arc<CouchError>>
    where
        F: Future<Output = Result<(Instant, T), CouchError>> + Send,
    {
        let asked_at = Instant::now();
        // A reading that took long may have been wrong when this one asked.
        let holds = |read_at: Instant| read_at >= asked_at || read_at.elapsed() < self.ttl;
        loop {
            if let Some((read_at, answer)) = self.cache.get(key).await {
                if holds(read_at) {
                    return Ok(answer);
                }
                self.cache.invalidate(key).await;
            }
            let (read_at, answer) = self.cache.try_get_with_by_ref(key, read()).await?;
            if holds(read_at) {
                return Ok(answer);
            }
        }
    }

    /// Asks anew next time.
    pub(super) async fn forget(&self, key: &str) {
        self.cache.invalidate(key).await;
    }
}
