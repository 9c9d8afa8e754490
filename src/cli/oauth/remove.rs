//! `couchgate oauth remove`.

use std::{collections::BTreeSet, path::Path};

use zeroize::Zeroizing;

use super::{
    super::{Lines, RemoveArgs},
    NO_FILE, cannot_edit, couch, line, load, rows,
};
use crate::{
    config::{
        Config,
        ini::replace::Edited,
        oauth_edit::{without_consumer, without_token},
    },
    couch::OauthDocuments,
};

pub(super) async fn remove(arguments: &RemoveArgs) -> Result<Lines, Lines> {
    let config = load(&arguments.sources)?;
    match &arguments.file {
        Some(_) if config.oauth.use_users_db => Err(line(NO_FILE)),
        None if config.oauth.use_users_db => from_documents(&config, arguments).await,
        Some(file) => from_file(arguments, file),
        None => Err(line("name the ini file that has the credentials by --file")),
    }
}

fn from_file(arguments: &RemoveArgs, file: &Path) -> Result<Lines, Lines> {
    let edited = Edited::open(file).map_err(|error| cannot_edit(file, &error))?;
    let missing =
        |what: &str, name: &str| line(format!("{} has no {what} {name:?}", file.display()));
    let mut text = Zeroizing::new(edited.text().to_vec());
    if let Some(name) = &arguments.consumer {
        text = without_consumer(&text, name).ok_or_else(|| missing("consumer key", name))?;
    }
    if let Some(name) = &arguments.token {
        text = without_token(&text, name).ok_or_else(|| missing("token", name))?;
    }
    edited.replace(&text).map_err(|error| cannot_edit(file, &error))?;

    let mut lines = vec![format!("removed {} from {}", what(arguments), file.display())];
    let left = load(&arguments.sources)?.oauth_credentials;
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
    let rows = rows(config).await?;
    let of_them = |(consumer_key, of): &(String, String)| {
        consumer.is_none_or(|name| name == consumer_key) && token.is_none_or(|name| name == of)
    };
    let users: BTreeSet<&str> = rows
        .iter()
        .filter(|(names, _)| of_them(names))
        .map(|(_, row)| row.username.as_str())
        .collect();
    let couch = couch(config)?;
    let documents = OauthDocuments { couch: &couch, db: &config.users.authentication_db };
    let mut lines = Lines::new();
    for user in users {
        match documents.remove(user, consumer, token).await {
            Ok(true) => lines.push(format!("removed {what} from user {user:?}")),
            Ok(false) => {}
            Err(error) => {
                lines.push(format!("user {user:?}: {error}"));
                return Err(lines);
            }
        }
    }
    if lines.is_empty() {
        return Err(line(format!("no user has {what}")));
    }
    Ok(lines)
}

fn what(arguments: &RemoveArgs) -> String {
    let consumer = arguments.consumer.as_ref().map(|name| format!("consumer key {name:?}"));
    let token = arguments.token.as_ref().map(|name| format!("token {name:?}"));
    consumer.into_iter().chain(token).collect::<Vec<_>>().join(" and ")
}
