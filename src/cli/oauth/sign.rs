//! `couchgate oauth sign`.

use std::{
    collections::BTreeSet,
    io::{Read, stdin},
};

use http::{Method, Uri};
use zeroize::Zeroizing;

use super::{arguments::SignArgs, named, rows};
use crate::{
    auth::{
        now,
        oauth::{
            credentials::IniCredentials,
            parameters::is_protocol,
            signature::{Credentials, Signable, Signer},
        },
    },
    cli::{Lines, line},
    config::Config,
    couch::OauthRow,
    secret::{Secret, hex},
    target::form_pairs,
};

pub(super) async fn sign(arguments: &SignArgs) -> Result<Lines, Lines> {
    let config = arguments.sources.load()?;
    if Method::from_bytes(arguments.method.as_bytes()).is_err() {
        return Err(line("this is not a request's method"));
    }
    let uri = uri(&arguments.url).map_err(line)?;
    let query = uri.query().unwrap_or_default().as_bytes();
    let form = form(arguments.data.as_deref().unwrap_or_default())?;
    if form_pairs(query).chain(form_pairs(&form)).any(|(name, _)| is_protocol(&name)) {
        return Err(line("URL and form must hold no oauth_ parameters: they go into the header"));
    }
    let credentials = the_only_one(candidates(&config, arguments).await?, arguments)?;
    let random = Secret::random().map_err(line)?;
    let signer = Signer {
        method: arguments.signature_method,
        timestamp: now().as_secs(),
        nonce: &hex(&random.as_bytes()[..16]),
    };
    let request = Signable {
        method: &arguments.method,
        https: uri.scheme_str() == Some("https"),
        host: uri.authority().map_or("", |authority| authority.as_str()),
        path: uri.path(),
    };
    let authorization = signer.authorization(&request, query, &form, &credentials);
    Ok(line(format!("Authorization: {authorization}")))
}

/// A URL that every client sends as it is written here.
fn uri(url: &str) -> Result<Uri, &'static str> {
    if url.contains('#') {
        return Err("the URL must have no fragment: clients do not send it");
    }
    let uri: Uri =
        url.parse().map_err(|_| "this is not a URL, perhaps something must be encoded")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL must begin with http:// or https://");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("the URL must name a host");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the URL must name no user: the signature says who is asking");
    }
    if !uri.path().is_ascii() {
        return Err("the URL's path must be percent-encoded: clients do it in ways of their own");
    }
    let is_dots = |segment: &str| matches!(&*segment.replace("%2e", "."), "." | "..");
    if uri.path().to_ascii_lowercase().split('/').any(is_dots) {
        return Err("the URL's path must be without `.` and `..`: clients resolve them");
    }
    Ok(uri)
}

/// The form as curl's `-d` sends it: without the line ends of a file.
fn form(data: &str) -> Result<Zeroizing<Vec<u8>>, Lines> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(Zeroizing::new(data.as_bytes().to_vec()));
    };
    let mut form = Zeroizing::new(Vec::new());
    let read = match file {
        "-" => stdin().lock().read_to_end(&mut form),
        _ => std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut form)),
    };
    read.map_err(|error| line(format!("--data: cannot read {file}: {error}")))?;
    form.retain(|byte| !matches!(byte, b'\r' | b'\n' | b'\0'));
    Ok(form)
}

/// Credentials and whose they are.
type Candidate = (Credentials, String);

/// The credentials that fit the names given.
async fn candidates(config: &Config, arguments: &SignArgs) -> Result<Vec<Candidate>, Lines> {
    let (consumer, token_given) = (arguments.consumer.as_deref(), arguments.token.as_deref());
    if config.oauth.use_users_db {
        let candidate = |row: OauthRow| {
            let OauthRow { consumer_key, token, username, consumer_secret, token_secret } = row;
            let credentials = Credentials { consumer_key, consumer_secret, token, token_secret };
            (credentials, username)
        };
        return Ok(rows(config, consumer, token_given).await?.into_iter().map(candidate).collect());
    }
    let fits = |given: Option<&str>, name: &str| given.is_none_or(|given| given == name);
    let mut candidates = Vec::new();
    let IniCredentials { consumer_secrets, token_secrets, token_users } = &config.oauth_credentials;
    for (consumer_key, consumer_secret) in consumer_secrets {
        for (token, user) in token_users {
            let Some(token_secret) = token_secrets.get(token) else { continue };
            if fits(consumer, consumer_key) && fits(token_given, token) {
                let credentials = Credentials {
                    consumer_key: consumer_key.clone(),
                    consumer_secret: consumer_secret.clone(),
                    token: token.clone(),
                    token_secret: token_secret.clone(),
                };
                candidates.push((credentials, user.clone()));
            }
        }
    }
    Ok(candidates)
}

fn the_only_one(
    mut candidates: Vec<Candidate>,
    arguments: &SignArgs,
) -> Result<Credentials, Lines> {
    if candidates.len() > 1 {
        return Err(several(&candidates));
    }
    if let Some((credentials, _)) = candidates.pop() {
        return Ok(credentials);
    }
    let (consumer, token) = (arguments.consumer.as_deref(), arguments.token.as_deref());
    if consumer.is_none() && token.is_none() {
        return Err(line(
            "there is no consumer key with a token: `couchgate oauth add` makes them",
        ));
    }
    Err(line(format!("there is no {}", named(consumer, token, " with a "))))
}

fn several(candidates: &[Candidate]) -> Lines {
    let choose = |option: &str, name: fn(&Candidate) -> &str| {
        let names: BTreeSet<&str> = candidates.iter().map(name).collect();
        let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
        (names.len() > 1).then(|| format!("{option}: {}", names.join(", ")))
    };
    let consumers = choose("choose by --consumer", |(credentials, _)| &credentials.consumer_key);
    let tokens = choose("choose by --token", |(credentials, _)| &credentials.token);
    let users = choose("several users have them, and nobody is let in", |(_, user)| user);
    let choices: Vec<String> = match consumers.into_iter().chain(tokens).collect::<Vec<_>>() {
        choices if choices.is_empty() => users.into_iter().collect(),
        choices => choices,
    };
    line(choices.join("; "))
}
