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
use serde::Deserialize;

use super::{
    admins::Admins,
    client::{Couch, CouchError, encode},
};
use crate::{
    error::Error,
    passwords::{PasswordHash, Passwords, Pbkdf2, Refusal, Scheme},
    secret::HashAlgorithm,
    user_ctx::{Identity, InvalidIdentity},
};

/// User documents' ids begin so.
pub(super) const ID_PREFIX: &str = "org.couchdb.user:";

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

/// A user or server admin.
#[derive(Clone, Debug)]
pub struct User {
    /// Name and roles, where they can be told to CouchDB.
    pub identity: Result<Arc<Identity>, InvalidIdentity>,
    /// What the password is checked against.
    pub password: Password,
    /// Keys the user's session cookies.
    pub salt: Vec<u8>,
    /// Whether a second factor is needed.
    pub totp: bool,
    /// Whether the document has conflicts: then CouchDB lets nobody in with it.
    pub conflicted: bool,
}

/// A stored password.
#[derive(Clone, Debug)]
pub enum Password {
    /// None: nobody can log in with one.
    None,
    /// A hash.
    Hash(PasswordHash),
    /// A hash that this server does not compute, and why.
    Unacceptable(&'static str),
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
        if !Identity::could_be_named(name) {
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

    fn ttl(&self) -> Duration {
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

fn unavailable(error: &CouchError) -> Error {
    tracing::error!(%error, "users cannot be read");
    Error::UsersUnavailable
}

fn as_admin(name: &str, password: PasswordHash, user: Option<&User>) -> User {
    let roles = user.and_then(|user| user.identity.as_ref().ok());
    let roles = roles.into_iter().flat_map(|identity| identity.roles());
    User {
        identity: Identity::new(name, std::iter::once("_admin").chain(roles)).map(Arc::new),
        salt: password.salt.clone(),
        password: Password::Hash(password),
        totp: false,
        conflicted: false,
    }
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
    passwords.verify(name, password, hash).await.map_err(|refusal| match refusal {
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

/// What couchgate reads of a user document. A key that comes twice is an error of serde's.
#[derive(Deserialize)]
pub(super) struct UserDocument {
    #[serde(default)]
    roles: Vec<String>,
    password_scheme: Option<String>,
    password_sha: Option<String>,
    derived_key: Option<String>,
    salt: Option<String>,
    iterations: Option<u32>,
    pbkdf2_prf: Option<String>,
    totp: Option<serde_json::Value>,
    #[serde(rename = "_conflicts")]
    conflicts: Option<Vec<String>>,
}

impl UserDocument {
    fn into_user(self, name: &str) -> User {
        let salt = self.salt.clone().unwrap_or_default().into_bytes();
        User {
            identity: Identity::new(name, &self.roles).map(Arc::new),
            totp: self.totp.is_some(),
            conflicted: self.conflicts.is_some(),
            password: self.password(&salt),
            salt,
        }
    }

    fn password(&self, salt: &[u8]) -> Password {
        let (scheme, expected) = match self.password_scheme.as_deref().unwrap_or("simple") {
            "simple" => (Scheme::Simple, &self.password_sha),
            name @ ("pbkdf2" | "simple+pbkdf2") => {
                let Ok(prf) = self.pbkdf2_prf.as_deref().unwrap_or("sha").parse::<HashAlgorithm>()
                else {
                    return Password::Unacceptable("PRF is invalid");
                };
                let parameters = Pbkdf2 { prf, iterations: self.iterations.unwrap_or(10_000) };
                let scheme = match name {
                    "pbkdf2" => Scheme::Pbkdf2(parameters),
                    _ => Scheme::SimplePbkdf2(parameters),
                };
                (scheme, &self.derived_key)
            }
            _ => return Password::Unacceptable("Password scheme is invalid"),
        };
        match expected {
            Some(expected) if !expected.is_empty() => Password::Hash(PasswordHash {
                scheme,
                salt: salt.to_vec(),
                expected: expected.clone().into_bytes(),
            }),
            _ => Password::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(json: &str) -> Result<User, serde_json::Error> {
        serde_json::from_str::<UserDocument>(json).map(|document| document.into_user("jan"))
    }

    #[test]
    fn password_schemes_are_read_as_couchdb_reads_them() {
        let sha = Pbkdf2 { prf: HashAlgorithm::Sha, iterations: 10_000 };
        let sha512 = Pbkdf2 { prf: HashAlgorithm::Sha512, iterations: 7 };
        for (json, expected) in [
            (r#"{"password_sha":"aa","salt":"s"}"#, Some(Scheme::Simple)),
            (r#"{"password_scheme":"simple","password_sha":"aa"}"#, Some(Scheme::Simple)),
            (r#"{"password_scheme":"pbkdf2","derived_key":"aa"}"#, Some(Scheme::Pbkdf2(sha))),
            (
                r#"{"password_scheme":"simple+pbkdf2","derived_key":"aa","iterations":7,"pbkdf2_prf":"sha512"}"#,
                Some(Scheme::SimplePbkdf2(sha512)),
            ),
            (r#"{"password_scheme":"pbkdf2","password_sha":"aa"}"#, None),
            (r#"{"password_scheme":"pbkdf2","derived_key":""}"#, None),
            (r#"{"password_scheme":"bcrypt","derived_key":"aa"}"#, None),
            (r#"{"password_scheme":"pbkdf2","derived_key":"aa","pbkdf2_prf":"md5"}"#, None),
            ("{}", None),
        ] {
            let scheme = match user(json).unwrap().password {
                Password::Hash(hash) => Some(hash.scheme),
                Password::None | Password::Unacceptable(_) => None,
            };
            assert_eq!(scheme, expected, "{json}");
        }
    }

    #[test]
    fn a_document_that_says_something_twice_is_nobodys() {
        assert!(user(r#"{"roles":["a"]}"#).is_ok());
        assert!(user(r#"{"roles":["_admin"],"roles":[]}"#).is_err());
        assert!(user(r#"{"salt":"a","salt":"b"}"#).is_err());
        assert!(user(r#"{"roles":"_admin"}"#).is_err());
    }

    #[test]
    fn an_admin_keeps_the_roles_of_his_document() {
        let jan = user(r#"{"roles":["dev"],"salt":"s","totp":{"key":"k"}}"#).unwrap();
        let hash = PasswordHash {
            scheme: Scheme::Simple,
            salt: b"admin's".to_vec(),
            expected: b"aa".to_vec(),
        };
        let admin = as_admin("jan", hash, Some(&jan));
        assert_eq!(admin.identity.unwrap().roles().collect::<Vec<_>>(), ["_admin", "dev"]);
        assert_eq!(admin.salt, b"admin's");
    }
}
