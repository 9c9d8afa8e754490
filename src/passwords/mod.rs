//! Verifying passwords: CouchDB's schemes, a bounded pool that hashes, and a memory of what it
//! verified.
//!
//! A verified password is remembered under a keyed hash of everything that went into it (user,
//! password, scheme, salt, stored hash), so an entry can only be found again with the same credential
//! against the same user document. Failures are never remembered. Identical logins that arrive
//! together share one computation, and an unknown user costs what a wrong password costs.

mod scheme;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use metrics::{Counter, Gauge, counter, gauge};
use moka::future::Cache;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::secret::{HashAlgorithm, Secret};
pub use scheme::{PasswordHash, Pbkdf2, Scheme};

/// What an unknown user costs before any other was read: CouchDB 3.4 and later hash so.
const UNSEEN: Scheme = Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha256, iterations: 600_000 });

/// Iterations that an unknown user costs at most.
const MAX_REFERENCE: u32 = 1_000_000;

/// What `[couchgate]` and `[chttpd_auth]` say about passwords.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that may hash at the same time.
    pub hashing_threads: usize,
    /// Logins that may wait for one of them.
    pub hashing_queue: usize,
    /// How long a verified password is remembered.
    pub cache_ttl: Duration,
    /// Fewer PBKDF2 iterations than this are refused.
    pub min_iterations: u32,
    /// More PBKDF2 iterations than this are refused.
    pub max_iterations: u32,
}

/// Why a password was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong, or nobody's.
    Wrong,
    /// The stored hash has fewer iterations than `min_iterations`.
    TooFewIterations,
    /// The stored hash has more iterations than `max_iterations`.
    TooManyIterations,
    /// More logins are waiting than `hashing_queue`.
    Overloaded,
}

/// The passwords' room: see the [module](self).
#[derive(Debug)]
pub struct Passwords {
    settings: Settings,
    cache_key: Secret,
    verified: Cache<[u8; 32], ()>,
    permits: Arc<Semaphore>,
    queued: Arc<AtomicUsize>,
    /// The costliest scheme of the users read so far: what an unknown user is made to cost.
    reference: ArcSwapOption<Scheme>,
    hits: Counter,
    misses: Counter,
    waiting: Gauge,
}

impl Passwords {
    /// Remembers at most this many verified passwords.
    const CAPACITY: u64 = 100_000;

    /// # Errors
    ///
    /// When the operating system has no randomness for the cache's key.
    pub fn new(settings: Settings) -> Result<Self, getrandom::Error> {
        let verified =
            Cache::builder().max_capacity(Self::CAPACITY).time_to_live(settings.cache_ttl).build();
        Ok(Self {
            permits: Arc::new(Semaphore::new(settings.hashing_threads)),
            settings,
            cache_key: Secret::random()?,
            verified,
            queued: Arc::default(),
            reference: ArcSwapOption::empty(),
            hits: counter!("couchgate_password_cache_hits_total"),
            misses: counter!("couchgate_password_cache_misses_total"),
            waiting: gauge!("couchgate_hashing_queue"),
        })
    }

    /// Tells what verifying a real user costs here, so that an unknown one costs the same. Where
    /// users differ it is the costliest that counts, up to a million iterations: one document must
    /// not make every unknown name expensive.
    pub fn observe(&self, stored: &PasswordHash) {
        let cost = stored.scheme.iterations();
        let known = self.reference.load().as_deref().map(|scheme| scheme.iterations());
        if cost <= MAX_REFERENCE && known.is_none_or(|known| cost > known) {
            self.reference.store(Some(Arc::new(stored.scheme)));
        }
    }

    /// Checks `password` against a user's stored hash; `None` is a user that does not exist.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why the password was not accepted.
    pub async fn verify(
        &self,
        name: &str,
        password: &[u8],
        stored: Option<&PasswordHash>,
    ) -> Result<(), Refusal> {
        if let Some(stored) = stored {
            self.check_iterations(stored.scheme)?;
        }
        let key = self.cache_key(name, password, stored);
        if self.verified.get(&key).await.is_some() {
            self.hits.increment(1);
            return Ok(());
        }
        self.misses.increment(1);
        self.verified
            .try_get_with(key, self.compute(password, stored))
            .await
            .map_err(|refusal| *refusal)
    }

    /// The same, every time anew: where more than the password is needed, a quick answer must not
    /// tell that the password was right.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`].
    pub async fn verify_anew(&self, password: &[u8], stored: &PasswordHash) -> Result<(), Refusal> {
        self.check_iterations(stored.scheme)?;
        self.compute(password, Some(stored)).await
    }

    fn check_iterations(&self, scheme: Scheme) -> Result<(), Refusal> {
        let iterations = scheme.iterations();
        if scheme == Scheme::Simple {
            Ok(())
        } else if iterations < self.settings.min_iterations {
            Err(Refusal::TooFewIterations)
        } else if iterations > self.settings.max_iterations {
            Err(Refusal::TooManyIterations)
        } else {
            Ok(())
        }
    }

    /// Each part is preceded by its length, so that no two credentials give the same bytes.
    fn cache_key(&self, name: &str, password: &[u8], stored: Option<&PasswordHash>) -> [u8; 32] {
        let (salt, expected) =
            stored.map_or((&[][..], &[][..]), |hash| (&hash.salt, &hash.expected));
        let scheme = stored.map(|hash| hash.scheme.to_bytes()).unwrap_or_default();
        let parts = [name.as_bytes(), password, &scheme, salt, expected];
        let mut message =
            Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum()));
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        let mac = HashAlgorithm::Sha256.hmac(&[self.cache_key.as_bytes()], &message);
        let mut key = [0; 32];
        key.copy_from_slice(mac.as_bytes());
        key
    }

    async fn compute(&self, password: &[u8], stored: Option<&PasswordHash>) -> Result<(), Refusal> {
        let place = Place::take(&self.queued, self.settings.hashing_queue, &self.waiting)
            .ok_or(Refusal::Overloaded)?;
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Refusal::Overloaded)?;
        drop(place);
        let password = Zeroizing::new(password.to_vec());
        let exists = stored.is_some();
        let stored = stored.cloned().unwrap_or_else(|| PasswordHash {
            scheme: self.reference.load().as_deref().copied().unwrap_or(UNSEEN),
            salt: b"00000000000000000000000000000000".to_vec(),
            expected: Vec::new(),
        });
        let verifies = tokio::task::spawn_blocking(move || {
            let verifies = stored.verifies(&password);
            drop(permit);
            verifies
        })
        .await
        // The computation cannot panic; a runtime that is shutting down cancels it.
        .map_err(|_| Refusal::Overloaded)?;
        if exists && verifies { Ok(()) } else { Err(Refusal::Wrong) }
    }
}

/// A place in the queue of logins that wait for a hashing thread, given back when dropped.
struct Place<'a> {
    queued: &'a AtomicUsize,
    waiting: &'a Gauge,
}

impl<'a> Place<'a> {
    fn take(queued: &'a AtomicUsize, limit: usize, waiting: &'a Gauge) -> Option<Self> {
        queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1))
            .ok()?;
        waiting.increment(1.0);
        Some(Self { queued, waiting })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.waiting.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(hashing_queue: usize) -> Passwords {
        Passwords::new(Settings {
            hashing_threads: 1,
            hashing_queue,
            cache_ttl: Duration::from_secs(60),
            min_iterations: 2,
            max_iterations: 1_000_000,
        })
        .unwrap()
    }

    fn stored(password: &str, iterations: u32) -> PasswordHash {
        let scheme = Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha256, iterations });
        let expected = scheme.hash(password.as_bytes(), b"salt").into_bytes();
        PasswordHash { scheme, salt: b"salt".to_vec(), expected }
    }

    #[tokio::test]
    async fn a_remembered_password_opens_nothing_else() {
        let passwords = passwords(8);
        let apple = stored("apple", 10);
        assert_eq!(passwords.verify("jan", b"apple", Some(&apple)).await, Ok(()));
        assert_eq!(passwords.verify("jan", b"apple", Some(&apple)).await, Ok(()));
        let wrong = Err(Refusal::Wrong);
        assert_eq!(passwords.verify("jan", b"pear", Some(&apple)).await, wrong);
        assert_eq!(passwords.verify("jan", b"apple", Some(&stored("pear", 10))).await, wrong);
        assert_eq!(passwords.verify("jan", b"apple", None).await, wrong);
    }

    #[tokio::test]
    async fn iterations_outside_the_limits_are_refused() {
        let passwords = passwords(8);
        let verify = async |iterations| {
            let hash = PasswordHash {
                scheme: Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha, iterations }),
                ..stored("apple", 10)
            };
            passwords.verify("jan", b"apple", Some(&hash)).await
        };
        assert_eq!(verify(1).await, Err(Refusal::TooFewIterations));
        assert_eq!(verify(1_000_001).await, Err(Refusal::TooManyIterations));
    }

    #[tokio::test]
    async fn unknown_users_cost_what_the_costliest_does_within_reason() {
        let passwords = passwords(8);
        let reference = || passwords.reference.load().as_deref().map(|scheme| scheme.iterations());
        let observe = |iterations| {
            let scheme = Scheme::Pbkdf2(Pbkdf2 { prf: HashAlgorithm::Sha256, iterations });
            passwords.observe(&PasswordHash { scheme, ..stored("apple", 1) });
        };
        assert_eq!(reference(), None);
        observe(10);
        assert_eq!(reference(), Some(10));
        observe(1000);
        observe(20);
        assert_eq!(reference(), Some(1000));
        // A document that would take minutes.
        observe(MAX_REFERENCE + 1);
        assert_eq!(reference(), Some(1000));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing() {
        let passwords = passwords(1);
        let slow = stored("apple", 200_000);
        let (a, b, c, d) = tokio::join!(
            passwords.verify("a", b"apple", Some(&slow)),
            passwords.verify("b", b"apple", Some(&slow)),
            passwords.verify("c", b"apple", Some(&slow)),
            passwords.verify("d", b"apple", Some(&slow)),
        );
        let overloaded =
            [a, b, c, d].into_iter().filter(|r| *r == Err(Refusal::Overloaded)).count();
        assert!((1..4).contains(&overloaded), "{overloaded} of 4 refused");
    }

    #[tokio::test]
    async fn identical_logins_share_one_computation() {
        // A queue of one would refuse all but two of them if each computed for itself.
        let passwords = passwords(1);
        let slow = stored("apple", 200_000);
        let same = || passwords.verify("jan", b"apple", Some(&slow));
        let results = tokio::join!(same(), same(), same(), same());
        assert_eq!(results, (Ok(()), Ok(()), Ok(()), Ok(())));
    }
}
