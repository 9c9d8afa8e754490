//! `couchgate oauth remove`.

use std::{collections::BTreeSet, path::Path};

use zeroize::Zeroizing;

use super::{NO_FILE, arguments::RemoveArgs, cannot_edit, couch, named, rows};
use crate::{
    cli::{Lines, line},
    config::{
        Config,
        ini::replace::Edited,
        oauth_edit::{without_consumer, without_token},
    },
    couch::{OauthDocuments, Removed},
};

pub(super) async fn remove(arguments: &RemoveArgs) -> Result<Lines, Lines> {
    let config = arguments.sources.load()?;
    match &arguments.file {
        Some(_) if config.oauth.use_users_db => Err(line(NO_FILE)),
        None if config.oauth.use_users_db => from_documents(&config, arguments).await,
        Some(file) => from_file(arguments, file),
        None => Err(line("name the ini file that has the credentials by --file")),
    }
}

fn from_file(arguments: &RemoveArgs, file: &Path) -> Result<Lines, Lines> {
    let edited = Edited::open(file).map_err(|error| cannot_edit(file, &error))?;
    let missing = |what: String| line(format!("{} has no {what}", file.display()));
    let mut text = Zeroizing::new(edited.text().to_vec());
    if let Some(name) = &arguments.consumer {
        let missing = || missing(named(Some(name), None, ""));
        text = without_consumer(&text, name).ok_or_else(missing)?;
    }
    if let Some(name) = &arguments.token {
        let missing = || missing(named(None, Some(name), ""));
        text = without_token(&text, name).ok_or_else(missing)?;
    }
    edited.replace(&text).map_err(|error| cannot_edit(file, &error))?;

    let mut lines = vec![format!("removed {} from {}", what(arguments), file.display())];
    let left = arguments.sources.load()?.oauth_credentials;
    let has = |names: [bool; 2]| names.contains(&true);
    let consumer = arguments.consumer.as_ref();
    let consumer = consumer.filter(|name| left.consumer_secrets.contains_key(*name));
    let token = arguments.token.as_ref().filter(|name| {
        has([left.token_secrets.contains_key(*name), left.token_users.contains_key(*name)])
    });
    lines.extend(consumer.into_iter().chain(token).map(|name| {
        format!("{name:?} is still in another file of the configuration: remove it there, too")
    }));
    lines.push("restart couchgate: until then they are believed".to_owned());
    Ok(lines)
}

/// Of every user who has them; given both names, of every user who has both.
async fn from_documents(config: &Config, arguments: &RemoveArgs) -> Result<Lines, Lines> {
    let (consumer, token) = (arguments.consumer.as_deref(), arguments.token.as_deref());
    let what = what(arguments);
    let rows = rows(config, consumer, token).await?;
    let users: BTreeSet<&str> = rows.iter().map(|row| row.username.as_str()).collect();
    let couch = couch(config)?;
    let documents = OauthDocuments { couch: &couch, db: &config.users.authentication_db };
    let (mut lines, mut faults) = (Lines::new(), Lines::new());
    for user in users {
        match documents.remove(user, consumer, token).await {
            Ok(Some(removed)) => {
                let besides = match removed {
                    Removed::Named => "",
                    Removed::ConsumersToo => ", and the consumer keys, for no token is left",
                    Removed::TokensToo => ", and the tokens, for no consumer key is left",
                };
                lines.push(format!("removed {what} from user {user:?}{besides}"));
            }
            Ok(None) => {}
            // One user's document must not keep the others' credentials.
            Err(error) => faults.push(format!("user {user:?}: {error}")),
        }
    }
    if !faults.is_empty() {
        return Err([lines, faults].concat());
    }
    if lines.is_empty() {
        return Err(line(format!("no user has {what}")));
    }
    Ok(lines)
}

fn what(arguments: &RemoveArgs) -> String {
    named(arguments.consumer.as_deref(), arguments.token.as_deref(), " and ")
}
