//! `couchgate link`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::Uri;
use percent_encoding::utf8_percent_encode;

use super::{Lines, SourceArgs, line};
use crate::{
    auth::{
        download_token::{AttachmentPath, SigningKey},
        now,
    },
    config::Config,
    target::RESERVED,
};

/// What the command is for.
pub const ABOUT: &str = "\
Sign a link that opens one attachment until it expires: print its URL.

  couchgate link photos holiday beach.jpg --expires 1h --config couchgate.ini

The configuration must have download_token in [chttpd] authentication_handlers, and a key in
[download_token] signing_keys. CouchDB is not asked: whether there is such an attachment shows when
the link is opened. Taking the key out of the configuration, and restarting couchgate, revokes all
links that it has signed.";

/// What the link opens, and for how long.
#[derive(Args, Clone, Debug)]
pub struct LinkArgs {
    /// The database
    db: String,
    /// The document's id
    doc: String,
    /// The attachment's name, which may have slashes
    attachment: String,
    /// How long the link opens it: 90s, 15m, 1h, 7days
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// The id of the key that signs; the first one configured if not given
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Where clients reach couchgate, if not at the address it listens on
    #[arg(long, value_name = "URL")]
    base: Option<Uri>,
    #[command(flatten)]
    sources: SourceArgs,
}

/// The link.
///
/// # Errors
///
/// What is wrong with the configuration or the arguments.
pub fn link(arguments: &LinkArgs) -> Result<Lines, Lines> {
    let config = arguments.sources.load()?;
    let LinkArgs { db, doc, attachment, expires, .. } = arguments;
    let Some(param) = &config.law.download_token_param else {
        return Err(line("[chttpd] authentication_handlers lacks download_token"));
    };
    let path = AttachmentPath::new(db, doc, attachment)
        .filter(|path| config.download_token.databases.contains(path.db()));
    let path = path.ok_or_else(|| {
        line(
            "no link opens this: a name is the system's, has `..` or \
        control characters, or the database is not among [download_token] databases",
        )
    })?;
    if expires.as_secs() == 0 {
        return Err(line("--expires: the link would have expired"));
    }
    let expires = now().as_secs().checked_add(expires.as_secs());
    let expires = expires.ok_or_else(|| line("--expires: there is no time that late"))?;
    let key = signing_key(&config, arguments.key.as_deref())?;
    let base = base(arguments.base.as_ref(), config.bind)?;
    let token = key.sign(&path, expires);
    let param = utf8_percent_encode(param, RESERVED);
    Ok(line(format!("{base}{}?{param}={token}", path.path())))
}

fn signing_key<'a>(config: &'a Config, id: Option<&str>) -> Result<&'a SigningKey, Lines> {
    let mut keys = config.download_token.signing_keys.iter();
    match id {
        None => keys.next().ok_or_else(|| line("[download_token] signing_keys has no key")),
        Some(id) => keys
            .find(|key| key.id() == id)
            .ok_or_else(|| line(format!("[download_token] signing_keys has no key {id:?}"))),
    }
}

/// What stands before the path.
fn base(base: Option<&Uri>, bind: SocketAddr) -> Result<String, Lines> {
    let Some(base) = base else {
        let port = bind.port();
        let local = bind.ip().is_unspecified();
        return Ok(if local {
            format!("http://localhost:{port}")
        } else {
            format!("http://{bind}")
        });
    };
    let is_web = matches!(base.scheme_str(), Some("http" | "https"));
    if !is_web || base.query().is_some() {
        return Err(line("--base: expected http:// or https://, a host, and perhaps a path"));
    }
    if base.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(line("--base: the link needs no user, and would show the password"));
    }
    Ok(base.to_string().trim_end_matches('/').to_owned())
}
