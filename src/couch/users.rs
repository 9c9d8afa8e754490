//! Users as CouchDB stores them, remembered until they change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use metrics::{Counter, Gauge, counter, gauge};
use moka::future::Cache;

use super::{
    admins::Admins,
    client::{Couch, CouchError, encode},
    user::{Password, User, UserDocument, as_admin},
};
use crate::{
    error::Error,
    passwords::{Passwords, Refusal},
    user_ctx::Identity,
};

/// User documents' ids begin so.
pub(super) const ID_PREFIX: &str = "org.couchdb.user:";

/// Nobody's name is longer, in bytes: CouchDB takes request lines of 8 KiB, in which a byte of a
/// name may need three.
const MAX_NAME: usize = 2048;

/// Users and the names of nobody are remembered in about this much memory, in bytes.
const CAPACITY: u64 = 64 * 1024 * 1024;

/// What remembering somebody costs beside his name, in bytes, roughly.
const WEIGHT: usize = 1024;

/// What `[couchgate]` and `[chttpd_auth]` say about users.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `authentication_db`.
    pub authentication_db: String,
    /// How long a user is remembered while the changes feed is followed.
    pub ttl: Duration,
    /// How long while it is not.
    pub ttl_without_feed: Duration,
}

/// The users' room.
#[derive(Debug)]
pub struct Users {
    couch: Arc<Couch>,
    settings: Settings,
    admins: Admins,
    passwords: Arc<Passwords>,
    cache: Cache<String, Remembered>,
    /// Counts what was forgotten, so that a read that began before is not remembered after.
    forgotten: AtomicU64,
    feed_connected: AtomicBool,
    hits: Counter,
    misses: Counter,
    feed_gauge: Gauge,
}

#[derive(Clone, Debug)]
struct Remembered {
    user: Option<Arc<User>>,
    read_at: Instant,
    /// What had been forgotten when the reading began.
    as_of: u64,
}

impl Users {
    /// Remembers nobody yet.
    #[must_use]
    pub fn new(
        couch: Arc<Couch>,
        settings: Settings,
        admins: Admins,
        passwords: Arc<Passwords>,
    ) -> Self {
        Self {
            cache: Cache::builder()
                .max_capacity(CAPACITY)
                .weigher(|name: &String, _| u32::try_from(name.len() + WEIGHT).unwrap_or(u32::MAX))
                .time_to_live(settings.ttl)
                .build(),
            couch,
            settings,
            admins,
            passwords,
            forgotten: AtomicU64::new(0),
            feed_connected: AtomicBool::new(false),
            hits: counter!("couchgate_user_cache_hits_total"),
            misses: counter!("couchgate_user_cache_misses_total"),
            feed_gauge: gauge!("couchgate_users_feed_connected"),
        }
    }

    /// A user or server admin by name; `None` where there is none. A server admin has the role
    /// `_admin` and those of a user document of the same name, from which CouchDB takes nothing else
    /// (CouchDB 3.5, `chttpd_auth_cache:get_user_creds`).
    ///
    /// # Errors
    ///
    /// 503 where users or server admins cannot be read.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<User>>, Error> {
        if !Identity::could_be_named(name) || name.len() > MAX_NAME {
            return Ok(None);
        }
        let admin = self.admins.find(name).await.map_err(|error| unavailable(&error))?;
        let user = self.document(name).await?;
        Ok(match admin {
            None => user,
            Some(admin) => Some(Arc::new(as_admin(name, admin, user.as_deref()))),
        })
    }

    async fn document(&self, name: &str) -> Result<Option<Arc<User>>, Error> {
        if let Some(remembered) = self.cache.get(name).await {
            if remembered.read_at.elapsed() < self.ttl() {
                self.hits.increment(1);
                return Ok(remembered.user);
            }
            self.cache.invalidate(name).await;
        }
        self.misses.increment(1);
        let before = self.forgotten.load(Ordering::SeqCst);
        let remembered = self
            .cache
            .try_get_with(name.to_owned(), self.read(name))
            .await
            .map_err(|error| unavailable(&error))?;
        if self.forgotten.load(Ordering::SeqCst) != remembered.as_of {
            self.cache.invalidate(name).await;
        }
        // It shared a reading that began before a change that was known already.
        if remembered.as_of < before {
            return Ok(self.read(name).await.map_err(|error| unavailable(&error))?.user);
        }
        Ok(remembered.user)
    }

    /// The longest that anything which was read in the authentication database is remembered.
    pub(super) fn longest_ttl(&self) -> Duration {
        self.settings.ttl
    }

    /// How long what was read in the authentication database may be believed, unless something
    /// in it changes.
    pub(super) fn ttl(&self) -> Duration {
        if self.feed_connected.load(Ordering::Relaxed) {
            self.settings.ttl
        } else {
            self.settings.ttl_without_feed
        }
    }

    async fn read(&self, name: &str) -> Result<Remembered, CouchError> {
        let (read_at, as_of) = (Instant::now(), self.forgotten.load(Ordering::SeqCst));
        let db = encode(&self.settings.authentication_db);
        let id = encode(name);
        let reply = self.couch.get(&format!("/{db}/{ID_PREFIX}{id}?conflicts=true")).await?;
        let user = match reply.status {
            StatusCode::OK => self.parse(name, &reply.body),
            // No such user, or no authentication database at all.
            StatusCode::NOT_FOUND => None,
            status => return Err(CouchError::Status(status)),
        };
        Ok(Remembered { user: user.map(Arc::new), read_at, as_of })
    }

    /// A document that cannot be understood is nobody's: what it says twice (CVE-2017-12635) or in
    /// another shape could be read differently by CouchDB.
    fn parse(&self, name: &str, body: &[u8]) -> Option<User> {
        match serde_json::from_slice::<UserDocument>(body) {
            Ok(document) => {
                let user = document.into_user(name);
                if let Password::Hash(hash) = &user.password {
                    self.passwords.observe(hash);
                }
                Some(user)
            }
            Err(error) => {
                // Only where: serde would quote from the document.
                let column = error.column();
                tracing::warn!(user = name, column, "user document cannot be understood");
                None
            }
        }
    }

    /// How often users have been forgotten: what was read at one count of it holds until the next.
    pub(super) fn changes(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    pub(super) fn couch(&self) -> &Couch {
        &self.couch
    }

    pub(super) fn authentication_db(&self) -> &str {
        &self.settings.authentication_db
    }

    /// Learns from documents read in passing what verifying a real user costs.
    pub(super) fn observe(&self, document: UserDocument) {
        if let Password::Hash(hash) = document.into_user("anybody").password {
            self.passwords.observe(&hash);
        }
    }

    /// Forgets one user, who has changed.
    pub(super) async fn forget(&self, name: &str) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(name).await;
    }

    /// From now on every change is heard of; what was remembered before may be out of date.
    pub(super) fn feed_is_connected(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate_all();
        self.feed_connected.store(true, Ordering::SeqCst);
        self.feed_gauge.set(1.0);
    }

    /// From now on changes are missed.
    pub(super) fn feed_is_lost(&self) {
        self.feed_connected.store(false, Ordering::SeqCst);
        self.feed_gauge.set(0.0);
    }
}

pub(super) fn unavailable(error: &CouchError) -> Error {
    tracing::error!(%error, "users cannot be read");
    Error::UsersUnavailable
}

/// Checks a name and password.
///
/// # Errors
///
/// An unknown user and a wrong password are the same 401; the others as CouchDB.
pub async fn login(
    users: &Users,
    passwords: &Passwords,
    name: &[u8],
    password: &[u8],
) -> Result<Arc<User>, Error> {
    // A name that is not UTF-8 is nobody's.
    let name = std::str::from_utf8(name).unwrap_or_default();
    let user = users.find(name).await?;
    let hash = match user.as_deref() {
        Some(User { conflicted: true, .. }) => return Err(Error::ConflictedUser),
        Some(User { password: Password::Unacceptable(reason), .. }) => {
            return Err(Error::UnacceptableHash(reason));
        }
        Some(User { password: Password::Hash(hash), .. }) => Some(hash),
        Some(User { password: Password::None, .. }) | None => None,
    };
    let verified = match (hash, user.as_deref()) {
        (Some(hash), Some(User { totp: true, .. })) => passwords.verify_anew(password, hash).await,
        _ => passwords.verify(name, password, hash).await,
    };
    verified.map_err(|refusal| match refusal {
        Refusal::Wrong => Error::WrongPassword,
        Refusal::TooFewIterations => {
            Error::UnacceptableHash("Iteration count is too low for this server")
        }
        Refusal::TooManyIterations => {
            Error::UnacceptableHash("Iteration count is too high for this server")
        }
        Refusal::Overloaded => Error::HashingOverloaded,
    })?;
    user.ok_or(Error::WrongPassword)
}
