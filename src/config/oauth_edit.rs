//! OAuth credentials in the text of an ini file.

use std::path::Path;

use zeroize::Zeroizing;

use super::{
    ini::{
        Ini,
        edit::{remove, set},
    },
    oauth::{CONSUMER_SECRETS, TOKEN_SECRETS, TOKEN_USERS, name_of_file},
};
use crate::{auth::oauth::signature::Credentials, secret::Secret};

/// A name that cannot be written so that it is read back as it was.
#[derive(Debug, thiserror::Error)]
#[error("an ini file cannot hold {0:?}: it would be read as another name")]
pub struct UnwritableName(String);

/// Adds a token of a user's and, unless it is known elsewhere, its consumer.
///
/// # Errors
///
/// [`UnwritableName`].
pub fn with(
    text: &[u8],
    credentials: &Credentials,
    user: &str,
    consumer_is_known: bool,
) -> Result<Zeroizing<Vec<u8>>, UnwritableName> {
    let Credentials { consumer_key, consumer_secret, token, token_secret } = credentials;
    let mut text = Zeroizing::new(text.to_vec());
    if !consumer_is_known {
        text = set_secret(&text, CONSUMER_SECRETS, consumer_key, consumer_secret)?;
    }
    text = set_secret(&text, TOKEN_SECRETS, token, token_secret)?;
    set(&text, TOKEN_USERS, token, user).map_err(|_| UnwritableName(user.to_owned()))
}

fn set_secret(
    text: &[u8],
    section: &str,
    name: &str,
    secret: &Secret,
) -> Result<Zeroizing<Vec<u8>>, UnwritableName> {
    let secret = str::from_utf8(secret.as_bytes()).ok();
    secret
        .and_then(|secret| set(text, section, name, secret).ok())
        .ok_or_else(|| UnwritableName(name.to_owned()))
}

/// Removes a consumer; `None` where the text has none of that name.
#[must_use]
pub fn without_consumer(text: &[u8], consumer_key: &str) -> Option<Zeroizing<Vec<u8>>> {
    changed(text, remove_secret(text, CONSUMER_SECRETS, consumer_key))
}

/// Removes a token; `None` where the text has none of that name.
#[must_use]
pub fn without_token(text: &[u8], token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let left = remove_secret(text, TOKEN_SECRETS, token);
    changed(text, remove(&left, TOKEN_USERS, token))
}

/// The secret may stand in a file of its own, which is left to the operator.
fn remove_secret(text: &[u8], section: &str, name: &str) -> Zeroizing<Vec<u8>> {
    let mut ini = Ini::default();
    ini.parse_layer(Path::new(""), text, &mut Vec::new());
    let file_key = format!("{name}_file");
    let left = remove(text, section, name);
    match ini.get(section, &file_key) {
        Some(entry) if name_of_file(&file_key, &entry.value).is_some() => {
            remove(&left, section, &file_key)
        }
        _ => left,
    }
}

fn changed(text: &[u8], left: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    (*left != *text).then_some(left)
}
