//! Which nonces were used: a signed request is carried out once (RFC 5849 section 3.3).
//!
//! A nonce is remembered for as long as its timestamp could be accepted again, never shorter:
//! where there is no room, a request is refused rather than a nonce forgotten.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Sets in which the nonces of one second are kept, each behind a lock of its own.
const SHARDS: usize = 8;

/// No set holds more: 14,336 requests signed in one second, in tables of 18.4 KB each.
const SHARD_CAPACITY: usize = 1792;

/// Nonces used, by the second in which their requests were signed.
///
/// Only a keyed hash of 64 bits is kept of each. With a window of `w` seconds there are
/// `2 * w + 1` seconds whose timestamps are accepted, so at most `(2 * w + 1)` times 147 KB are in
/// use: 89 MB for the default of 300 s however clients behave, and half of it when their clocks
/// are right, for what is out of the window is forgotten with the next request.
#[derive(Debug)]
pub struct Nonces {
    window: u64,
    /// The latest second in which a request was accepted: what is out of its window is forgotten.
    latest: AtomicU64,
    seconds: Box<[[Mutex<Used>; SHARDS]]>,
    hash: RandomState,
}

#[derive(Debug, Default)]
struct Used {
    timestamp: u64,
    nonces: HashSet<u64>,
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Signed outside the window.
    Stale,
    /// Seen before.
    Replayed,
    /// There is no room for more requests signed in that second.
    Full,
}

impl Nonces {
    /// Remembers nothing yet; timestamps may be `window` away from now, rounded down to seconds.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        let window = window.as_secs();
        // One for every second of the window, before and after now.
        let seconds = (0..=2 * window).map(|_| Default::default()).collect();
        Self { window, latest: 0.into(), seconds, hash: RandomState::new() }
    }

    /// The window in seconds.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether a request signed at `timestamp` may be accepted `now`, both in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Refused::Stale`].
    pub fn check(&self, now: u64, timestamp: u64) -> Result<(), Refused> {
        if now.abs_diff(timestamp) > self.window { Err(Refused::Stale) } else { Ok(()) }
    }

    /// Remembers the nonce of a request whose signature held, at most once.
    ///
    /// # Errors
    ///
    /// [`Refused`]: then the request must not be carried out.
    pub fn remember(
        &self,
        now: u64,
        timestamp: u64,
        [consumer, token, nonce]: [&[u8]; 3],
    ) -> Result<(), Refused> {
        self.check(now, timestamp)?;
        self.advance(now);
        let hash = self.hash.hash_one((consumer, token, nonce));
        // The lowest bits choose the place in the table.
        let shard = usize::from((hash >> 61) as u8);
        let mut used = self.shards(timestamp)[shard].lock().unwrap_or_else(PoisonError::into_inner);
        // Behind the lock: what is in the window of the latest second cannot be forgotten now. A
        // clock that is set back brings nothing back into the window.
        if timestamp < self.oldest() {
            return Err(Refused::Stale);
        }
        if used.timestamp != timestamp {
            *used = Used { timestamp, nonces: HashSet::new() };
        }
        if used.nonces.contains(&hash) {
            return Err(Refused::Replayed);
        }
        if used.nonces.len() == SHARD_CAPACITY {
            return Err(Refused::Full);
        }
        used.nonces.insert(hash);
        Ok(())
    }

    /// Forgets what is out of the window now.
    fn advance(&self, now: u64) {
        let before = self.latest.fetch_max(now, Ordering::SeqCst);
        let oldest = self.oldest();
        let passed = now.saturating_sub(before).min(self.seconds.len() as u64);
        for timestamp in oldest.saturating_sub(passed)..oldest {
            for used in self.shards(timestamp) {
                let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
                if used.timestamp < oldest {
                    *used = Used::default();
                }
            }
        }
    }

    /// The oldest timestamp whose nonces are remembered.
    fn oldest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst).saturating_sub(self.window)
    }

    fn shards(&self, timestamp: u64) -> &[Mutex<Used>; SHARDS] {
        let len = self.seconds.len() as u64;
        // There are fewer seconds than memory has places.
        &self.seconds[usize::try_from(timestamp % len).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn remember(nonces: &Nonces, now: u64, timestamp: u64, nonce: &str) -> Result<(), Refused> {
        nonces.remember(now, timestamp, [b"consumer", b"token", nonce.as_bytes()])
    }

    #[test]
    fn a_nonce_is_used_once_as_long_as_its_timestamp_is_accepted() {
        let nonces = Nonces::new(Duration::from_secs(300));
        for timestamp in [NOW - 300, NOW, NOW + 300] {
            assert_eq!(remember(&nonces, NOW, timestamp, "n"), Ok(()));
        }
        for later in 0..=300 {
            for timestamp in [NOW, NOW + 300] {
                let again = remember(&nonces, NOW + later, timestamp, "n");
                assert_eq!(again, Err(Refused::Replayed), "{later}");
            }
            assert_eq!(remember(&nonces, NOW + later, NOW + later, "other"), Ok(()));
        }
        assert_eq!(remember(&nonces, NOW + 1, NOW - 300, "n"), Err(Refused::Stale));
        assert_eq!(remember(&nonces, NOW + 600, NOW + 300, "n"), Err(Refused::Replayed));
        assert_eq!(remember(&nonces, NOW + 601, NOW + 300, "n"), Err(Refused::Stale));
        assert_eq!(remember(&nonces, NOW, NOW + 301, "n"), Err(Refused::Stale));
    }

    #[test]
    fn a_nonce_belongs_to_its_consumer_and_token() {
        let nonces = Nonces::new(Duration::from_secs(300));
        for key in [[&b"ab"[..], b"c", b"n"], [b"a", b"bc", b"n"], [b"a", b"b", b"cn"]] {
            assert_eq!(nonces.remember(NOW, NOW, key), Ok(()));
            assert_eq!(nonces.remember(NOW, NOW, key), Err(Refused::Replayed));
        }
    }

    /// Ten thousand requests a second, for as long as the first of them are remembered: all are
    /// taken, none is forgotten, and no table grows beyond its bound.
    #[test]
    fn ten_thousand_requests_a_second_are_remembered_in_bounds() {
        let window = 20;
        let nonces = Nonces::new(Duration::from_secs(window));
        let all = |second: u64| (0..10_000).map(move |n| format!("{second}-{n}"));
        for second in 0..2 * window {
            for nonce in all(second) {
                assert_eq!(remember(&nonces, NOW + second, NOW + second, &nonce), Ok(()));
            }
        }
        let now = NOW + 2 * window;
        for second in window..2 * window {
            for nonce in all(second) {
                let again = remember(&nonces, now, NOW + second, &nonce);
                assert_eq!(again, Err(Refused::Replayed));
            }
        }
        let tables: Vec<usize> = nonces
            .seconds
            .iter()
            .flatten()
            .map(|used| used.lock().unwrap().nonces.capacity())
            .collect();
        assert!(tables.iter().max() <= Some(&SHARD_CAPACITY), "{tables:?}");
        // What is out of the window takes no room.
        let in_use = tables.iter().filter(|capacity| **capacity > 0).count();
        assert_eq!(in_use, usize::try_from(window).unwrap() * SHARDS);
    }

    #[test]
    fn where_there_is_no_room_requests_are_refused_and_none_is_forgotten() {
        let nonces = Nonces::new(Duration::from_secs(300));
        let taken: Vec<String> = (0..40_000)
            .map(|n| n.to_string())
            .filter(|nonce| remember(&nonces, NOW, NOW, nonce) == Ok(()))
            .collect();
        assert_eq!(taken.len(), SHARDS * SHARD_CAPACITY);
        assert_eq!(remember(&nonces, NOW, NOW, "one more"), Err(Refused::Full));
        assert_eq!(remember(&nonces, NOW, NOW + 1, "one more"), Ok(()));
        for nonce in taken {
            assert_eq!(remember(&nonces, NOW, NOW, &nonce), Err(Refused::Replayed));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_admits_no_replay() {
        let nonces = Nonces::new(Duration::from_secs(300));
        assert_eq!(remember(&nonces, NOW, NOW, "n"), Ok(()));
        assert_eq!(remember(&nonces, NOW + 400, NOW + 400, "n"), Ok(()));
        // Forgotten, and therefore not believed; nor is its place in the ring given away.
        assert_eq!(remember(&nonces, NOW, NOW, "n"), Err(Refused::Stale));
        assert_eq!(remember(&nonces, NOW - 201, NOW - 201, "n"), Err(Refused::Stale));
        assert_eq!(remember(&nonces, NOW + 399, NOW + 399, "n"), Ok(()));
        assert_eq!(remember(&nonces, NOW + 400, NOW + 400, "n"), Err(Refused::Replayed));
    }
}
