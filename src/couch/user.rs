//! A user as CouchDB stores him: the document, and what it says about logging in.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    passwords::{PasswordHash, Pbkdf2, Scheme},
    secret::HashAlgorithm,
    user_ctx::{Identity, InvalidIdentity},
};

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

/// A server admin, and the user document of the same name, from which CouchDB takes the roles.
pub(super) fn as_admin(name: &str, password: PasswordHash, user: Option<&User>) -> User {
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
    pub(super) fn into_user(self, name: &str) -> User {
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
