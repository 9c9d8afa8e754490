//! `couchgate oauth add`.

use std::path::Path;

use super::{NO_FILE, arguments::AddArgs, cannot_edit, couch, named, rows};
use crate::{
    app,
    auth::oauth::{credentials::IniCredentials, signature::Credentials},
    cli::{Lines, line},
    config::{Config, ini::replace::Edited, oauth_edit},
    couch::OauthDocuments,
    secret::{Secret, equal, hex},
    user_ctx::{HandlerName, Identity},
};

/// No name is longer, in characters: couchgate's view takes no more.
const MAX_NAME: usize = 256;

const NO_HANDLER: &str = "[chttpd] authentication_handlers lacks oauth: until it is there, signed \
                          requests are not believed";

pub(super) async fn add(arguments: &AddArgs) -> Result<Lines, Lines> {
    let config = arguments.sources.load()?;
    let user = &*arguments.user;
    if !Identity::could_be_named(user) {
        return Err(line(format!("the user name {user:?} cannot travel in a header")));
    }
    let fresh = Credentials {
        consumer_key: name("--consumer", arguments.consumer.as_deref())?,
        consumer_secret: secret()?,
        token: name("--token", arguments.token.as_deref())?,
        token_secret: secret()?,
    };
    let is_handler = config.handlers.contains(&HandlerName::Oauth);
    let mut lines = match &arguments.file {
        Some(_) if config.oauth.use_users_db => return Err(line(NO_FILE)),
        None if config.oauth.use_users_db => {
            refuse_server_admin(&config, user).await?;
            // A random one is nobody's.
            if arguments.token.is_some() {
                refuse_anybodys(&config, &fresh.token).await?;
            }
            in_document(&config, user, fresh).await?
        }
        Some(file) => in_file(arguments, file, fresh)?,
        None => {
            let mut lines = to_paste(&config.oauth_credentials, user, fresh)?;
            if !is_handler {
                lines.insert(0, format!("; {NO_HANDLER}"));
            }
            return Ok(lines);
        }
    };
    if !is_handler {
        lines.push(NO_HANDLER.to_owned());
    }
    Ok(lines)
}

fn to_paste(known: &IniCredentials, user: &str, fresh: Credentials) -> Result<Lines, Lines> {
    let credentials = beside(known, fresh)?;
    let text = oauth_edit::with(b"", &credentials, user, false).map_err(line)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

fn in_file(arguments: &AddArgs, file: &Path, fresh: Credentials) -> Result<Lines, Lines> {
    let edited = Edited::open(file).map_err(|error| cannot_edit(file, &error))?;
    // What it has counts, even if it is no part of the configuration; where it is, later files win.
    let mut sources = arguments.sources.clone();
    if file.exists() {
        sources.config.insert(0, file.to_owned());
    }
    let known = sources.load()?.oauth_credentials;
    let is_known = known.consumer_secrets.contains_key(&fresh.consumer_key);
    let credentials = beside(&known, fresh)?;
    let user = &arguments.user;
    let text = oauth_edit::with(edited.text(), &credentials, user, is_known);
    let text = text.map_err(line)?;
    edited.replace(&text).map_err(|error| cannot_edit(file, &error))?;

    let mut lines = for_the_client(&credentials);
    let in_force = arguments.sources.load()?.oauth_credentials;
    lines.push(format!("written to {}{}", file.display(), fate(&in_force, &credentials, user)));
    if let Some(mode) = edited.mode().filter(|mode| mode & 0o077 != 0) {
        lines.push(format!(
            "others on this machine may be able to read the secrets in {}: its mode is {mode:o}",
            file.display()
        ));
    }
    Ok(lines)
}

/// What becomes of what was written: files of the configuration may say otherwise, or it may be in
/// none.
fn fate(in_force: &IniCredentials, credentials: &Credentials, user: &str) -> String {
    let Credentials { consumer_key, consumer_secret, token, token_secret } = credentials;
    let is = |known: Option<&Secret>, secret: &Secret| {
        known.is_some_and(|known| equal(known.as_bytes(), secret.as_bytes()))
    };
    if in_force.token_users.get(token).is_none_or(|of| of != user)
        || !is(in_force.token_secrets.get(token), token_secret)
    {
        ", which is not in force: name it by --config before the others, restart couchgate".into()
    } else if !is(in_force.consumer_secrets.get(consumer_key), consumer_secret) {
        let consumer = named(Some(consumer_key), None, "");
        format!(", but a later file takes {consumer} back: it is not believed")
    } else {
        ": restart couchgate, which reads it when it starts".into()
    }
}

/// A consumer that is known keeps its secret.
fn beside(known: &IniCredentials, fresh: Credentials) -> Result<Credentials, Lines> {
    let token = &fresh.token;
    if known.token_secrets.contains_key(token) || known.token_users.contains_key(token) {
        return Err(token_exists(token));
    }
    let consumer_secret = known.consumer_secrets.get(&fresh.consumer_key).cloned();
    Ok(Credentials { consumer_secret: consumer_secret.unwrap_or(fresh.consumer_secret), ..fresh })
}

/// Signatures of theirs would be refused (`OauthError::ServerAdmin`).
async fn refuse_server_admin(config: &Config, user: &str) -> Result<(), Lines> {
    match app::admins(config, &couch(config)?).find(user).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(line(format!(
            "user {user:?}: a server admin cannot sign this way, credentials for admins stand in \
             the configuration"
        ))),
        Err(error) => Err(line(format!("server admins cannot be read: {error}"))),
    }
}

/// Whose a token is must be clear.
async fn refuse_anybodys(config: &Config, token: &str) -> Result<(), Lines> {
    let rows = rows(config, None, Some(token)).await?;
    if rows.is_empty() { Ok(()) } else { Err(token_exists(token)) }
}

async fn in_document(config: &Config, user: &str, fresh: Credentials) -> Result<Lines, Lines> {
    let couch = couch(config)?;
    let documents = OauthDocuments { couch: &couch, db: &config.users.authentication_db };
    let Credentials { consumer_key, consumer_secret, token, token_secret } = &fresh;
    let consumer_secret = documents
        .add(user, (consumer_key, consumer_secret), (token, token_secret))
        .await
        .map_err(|error| line(format!("user {user:?}: {error}")))?;
    Ok(for_the_client(&Credentials { consumer_secret, ..fresh }))
}

fn for_the_client(credentials: &Credentials) -> Lines {
    let Credentials { consumer_key, consumer_secret, token, token_secret } = credentials;
    let text = |secret: &Secret| String::from_utf8_lossy(secret.as_bytes()).into_owned();
    vec![
        format!("consumer_key = {consumer_key}"),
        format!("consumer_secret = {}", text(consumer_secret)),
        format!("token = {token}"),
        format!("token_secret = {}", text(token_secret)),
    ]
}

fn token_exists(token: &str) -> Lines {
    line(format!("the token {token:?} exists: remove it first, or choose another name"))
}

/// The name that was given, or a random one.
fn name(option: &str, given: Option<&str>) -> Result<String, Lines> {
    let Some(name) = given else { return Ok(hex(&random()?.as_bytes()[..8])) };
    let faulty = if name.is_empty() {
        "is empty"
    } else if name.chars().count() > MAX_NAME {
        "is too long"
    } else if name.trim() != name || name.contains(char::is_control) {
        "has outer blanks or control characters"
    } else {
        return Ok(name.to_owned());
    };
    Err(line(format!("{option}: the name {faulty}")))
}

fn secret() -> Result<Secret, Lines> {
    Ok(Secret::new(hex(random()?.as_bytes()).into_bytes()))
}

fn random() -> Result<Secret, Lines> {
    Secret::random().map_err(line)
}
