//! Writing OAuth credentials into user documents, all else of which stays as it is.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{
    client::{Couch, CouchError, encode},
    user::UserDocument,
    users::ID_PREFIX,
};
use crate::secret::Secret;

type Object = Map<String, Value>;

/// A document whose fields are text, for a number may be one that no type of Rust's holds.
type Document = BTreeMap<String, Box<RawValue>>;

/// User documents of a database.
#[derive(Clone, Copy, Debug)]
pub struct OauthDocuments<'a> {
    /// CouchDB.
    pub couch: &'a Couch,
    /// Its authentication database.
    pub db: &'a str,
}

/// What a document has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// What was named.
    Named,
    /// All consumer keys besides, for no token is left.
    ConsumersToo,
    /// All tokens besides, for no consumer key is left.
    TokensToo,
}

/// Why a user document is not changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// CouchDB does not answer, or refuses.
    #[error(transparent)]
    Couch(#[from] CouchError),
    /// There is none.
    #[error("there is no such user")]
    NoUser,
    /// It is not what CouchDB takes for a user.
    #[error("the user document cannot be understood")]
    NotAUser,
    /// Nobody is let in with it.
    #[error("the user document has conflicts, which must be resolved first")]
    Conflicted,
    /// Somebody else changes it.
    #[error("the user document was changed by somebody else at the same time, try again")]
    Changed,
    /// `oauth`, or what stands there, is not an object.
    #[error("the user document's `{0}` is not an object")]
    NotAnObject(&'static str),
    /// The consumer's secret is missing or no text.
    #[error("the user document's consumer key {0:?} has no secret that can be used")]
    NoConsumerSecret(String),
    /// A token keeps its secret.
    #[error("the token {0:?} exists")]
    TokenExists(String),
}

impl OauthDocuments<'_> {
    /// Adds a token and, where the document does not have it, its consumer; the consumer's secret
    /// in force.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]; then the document is as it was.
    pub async fn add(
        &self,
        user: &str,
        (consumer_key, consumer_secret): (&str, &Secret),
        (token, token_secret): (&str, &Secret),
    ) -> Result<Secret, DocumentError> {
        self.change(user, |oauth| {
            let tokens = object(oauth, "tokens")?;
            if tokens.contains_key(token) {
                return Err(DocumentError::TokenExists(token.to_owned()));
            }
            tokens.insert(token.to_owned(), text(token_secret));
            let consumers = object(oauth, "consumer_keys")?;
            let consumer = consumers.entry(consumer_key).or_insert_with(|| text(consumer_secret));
            match consumer.as_str() {
                // The terminal that shows it must not be told what to do.
                Some(secret) if !secret.is_empty() && !secret.contains(char::is_control) => {
                    Ok(Some(Secret::from(secret)))
                }
                _ => Err(DocumentError::NoConsumerSecret(consumer_key.to_owned())),
            }
        })
        .await
        .map(|in_force| in_force.unwrap_or_else(|| consumer_secret.clone()))
    }

    /// Removes a consumer, a token, or both; `None` where there was neither.
    ///
    /// A consumer without a token, or a token without a consumer, does not stay: the view does not
    /// show it, and it would come to life with what is added next.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]; then the document is as it was.
    pub async fn remove(
        &self,
        user: &str,
        consumer_key: Option<&str>,
        token: Option<&str>,
    ) -> Result<Option<Removed>, DocumentError> {
        self.change(user, |oauth| {
            let mut remove = |names: &'static str, name: Option<&str>| {
                let names = object(oauth, names)?;
                let removed = name.is_some_and(|name| names.remove(name).is_some());
                Ok::<_, DocumentError>((removed, names.values().any(Value::is_string)))
            };
            let (consumer_removed, consumer_left) = remove("consumer_keys", consumer_key)?;
            let (token_removed, token_left) = remove("tokens", token)?;
            if !consumer_removed && !token_removed {
                return Ok(None);
            }
            Ok(Some(match (consumer_left, token_left) {
                (true, false) => {
                    object(oauth, "consumer_keys")?.clear();
                    Removed::ConsumersToo
                }
                (false, true) => {
                    object(oauth, "tokens")?.clear();
                    Removed::TokensToo
                }
                (true, true) | (false, false) => Removed::Named,
            }))
        })
        .await
    }

    /// Changes a document's `oauth`, once more where the document has changed meanwhile; not at
    /// all where `change` has nothing to change.
    async fn change<T>(
        &self,
        user: &str,
        change: impl Fn(&mut Object) -> Result<Option<T>, DocumentError>,
    ) -> Result<Option<T>, DocumentError> {
        let path = format!("/{}/{ID_PREFIX}{}", encode(self.db), encode(user));
        for _ in 0..2 {
            let mut document = self.read(user, &path).await?;
            let mut oauth = match document.get("oauth").map(|oauth| oauth.get()) {
                None | Some("null") => Object::new(),
                Some(oauth) => {
                    serde_json::from_str(oauth).map_err(|_| DocumentError::NotAnObject("oauth"))?
                }
            };
            let Some(done) = change(&mut oauth)? else { return Ok(None) };
            let oauth = to_raw_value(&oauth).map_err(CouchError::from)?;
            document.insert("oauth".to_owned(), oauth);
            match self.couch.put(&path, &document).await?.status {
                status if status.is_success() => return Ok(Some(done)),
                StatusCode::CONFLICT => {}
                status => return Err(CouchError::Status(status).into()),
            }
        }
        Err(DocumentError::Changed)
    }

    async fn read(&self, user: &str, path: &str) -> Result<Document, DocumentError> {
        let reply = self.couch.get(&format!("{path}?conflicts=true")).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(DocumentError::NoUser),
            status => return Err(CouchError::Status(status).into()),
        }
        // What says something twice would say it once when it has been written back.
        let understood = reply.json::<UserDocument>().map_err(|_| DocumentError::NotAUser)?;
        if understood.into_user("anybody").conflicted {
            return Err(DocumentError::Conflicted);
        }
        let document: Document = reply.json().map_err(|_| DocumentError::NotAUser)?;
        let is = |key, value: &str| {
            let text = document.get(key).map(|text| serde_json::from_str::<String>(text.get()));
            text.is_some_and(|text| text.is_ok_and(|text| text == value))
        };
        if is("type", "user") && is("name", user) {
            Ok(document)
        } else {
            Err(DocumentError::NotAUser)
        }
    }
}

/// The object of that name, made where there is none.
fn object<'a>(parent: &'a mut Object, name: &'static str) -> Result<&'a mut Object, DocumentError> {
    let value = parent.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Object::new());
    }
    value.as_object_mut().ok_or(DocumentError::NotAnObject(name))
}

/// Secrets are made of text, and none is lost.
fn text(secret: &Secret) -> Value {
    String::from_utf8_lossy(secret.as_bytes()).into()
}
