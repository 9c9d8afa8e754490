//! `couchgate oauth`: making, showing and removing credentials, and signing with them.
//!
//! Every function says what it did in lines to print, or in lines of what went wrong. Secrets are
//! in the former only.

mod add;
mod arguments;
mod remove;
mod sign;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use crate::{
    app,
    auth::oauth::credentials::IniCredentials,
    cli::{Lines, SourceArgs, line},
    config::Config,
    couch::{Couch, OAUTH_PAGE, OauthRow, oauth_rows},
};
use arguments::OauthCommand;
pub use arguments::{ABOUT, OauthArgs};

/// Does what was asked for.
///
/// # Errors
///
/// What went wrong, for the operator; then nothing has been changed unless the lines say so.
pub async fn run(arguments: &OauthArgs) -> Result<Lines, Lines> {
    match &arguments.command {
        OauthCommand::Add(arguments) => add::add(arguments).await,
        OauthCommand::List(sources) => list(sources).await,
        OauthCommand::Remove(arguments) => remove::remove(arguments).await,
        OauthCommand::Sign(arguments) => sign::sign(arguments).await,
    }
}

async fn list(sources: &SourceArgs) -> Result<Lines, Lines> {
    let config = sources.load()?;
    let line = |token: &str, user: &str, consumers: &BTreeSet<&str>| {
        let consumers: Vec<String> = consumers.iter().map(|name| shown(name)).collect();
        format!("{}\t{}\t{}", shown(token), shown(user), consumers.join(", "))
    };
    if config.oauth.use_users_db {
        let rows = rows(&config, None, None).await?;
        let mut tokens: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for row in &rows {
            tokens.entry((&row.token, &row.username)).or_default().insert(&row.consumer_key);
        }
        let lines = tokens.iter().map(|((token, user), consumers)| line(token, user, consumers));
        return Ok(lines.collect());
    }
    let IniCredentials { consumer_secrets, token_secrets, token_users } = &config.oauth_credentials;
    let consumers = consumer_secrets.keys().map(String::as_str).collect();
    let no_secret = BTreeSet::from(["(no secret)"]);
    let tokens: BTreeSet<&String> = token_secrets.keys().chain(token_users.keys()).collect();
    let lines = tokens.into_iter().map(|token| {
        let user = token_users.get(token).map_or("(no user)", String::as_str);
        let has_secret = token_secrets.contains_key(token);
        line(token, user, if has_secret { &consumers } else { &no_secret })
    });
    Ok(lines.collect())
}

/// The credentials of user documents that have these names.
async fn rows(
    config: &Config,
    consumer: Option<&str>,
    token: Option<&str>,
) -> Result<Vec<OauthRow>, Lines> {
    let (couch, db) = (couch(config)?, &config.users.authentication_db);
    let rows = oauth_rows(&couch, db, consumer, token, OAUTH_PAGE).await;
    rows.map_err(|error| line(format!("users' OAuth credentials cannot be read: {error}")))
}

fn couch(config: &Config) -> Result<Arc<Couch>, Lines> {
    let (_, couch) = app::couch(config).map_err(line)?;
    Ok(couch)
}

fn cannot_edit(file: &Path, error: &std::io::Error) -> Lines {
    line(format!("cannot edit {}: {error}", file.display()))
}

const NO_FILE: &str = "--file: with [couch_httpd_oauth] use_users_db = true credentials stand in user \
                       documents, not in an ini file";

/// What was named, for a message.
fn named(consumer: Option<&str>, token: Option<&str>, between: &str) -> String {
    let consumer = consumer.map(|name| format!("consumer key {name:?}"));
    let token = token.map(|name| format!("token {name:?}"));
    consumer.into_iter().chain(token).collect::<Vec<_>>().join(between)
}

/// A name as a terminal may show it: users write theirs into their documents as they like.
fn shown(name: &str) -> String {
    let shown = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    name.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_moves_no_cursor() {
        for (name, shown) in [
            ("jan", "jan"),
            ("J\u{e4}n \"O'Neil\" \\", "J\u{e4}n \"O'Neil\" \\"),
            ("a\tb\nc\u{1b}[2J\u{202e}", "a\\tb\\nc\\u{1b}[2J\\u{202e}"),
        ] {
            assert_eq!(super::shown(name), shown);
        }
    }
}
