//! The command line.

pub mod link;
pub mod oauth;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, Sources, ini::Fault},
    secret::{HashAlgorithm, UnknownHashAlgorithm},
};

/// What to tell the operator, a line each.
pub type Lines = Vec<String>;

/// What is told in one line.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub fn line(what: impl ToString) -> Lines {
    vec![what.to_string()]
}

/// An authenticating reverse proxy for CouchDB.
///
/// couchgate stands in front of CouchDB, forwards all traffic and decides who is asking: Basic,
/// session cookies, OAuth 1.0 signatures, auth keys, download tokens, or the headers of a trusted front end. CouchDB needs
/// `{chttpd_auth, proxy_authentication_handler}` in its `authentication_handlers`,
/// `proxy_use_secret = true`, and the same `secret`.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; to run is the default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`.
    #[command(flatten)]
    pub sources: SourceArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy (the default)
    Run(SourceArgs),
    /// Check the configuration, and whether CouchDB is set up for it
    Check(SourceArgs),
    /// Read a password from standard input, print its hash for a server admin
    HashPassword(HashArgs),
    /// OAuth 1.0: make, list and remove credentials, sign a request
    #[command(long_about = oauth::ABOUT)]
    Oauth(oauth::OauthArgs),
    /// Sign a link that opens one attachment until it expires
    #[command(long_about = link::ABOUT)]
    Link(link::LinkArgs),
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// An ini file, or a directory of them; repeatable, the later wins key by key
    #[arg(long = "config", value_name = "FILE", env = "COUCHGATE_CONFIG", value_delimiter = ':')]
    pub config: Vec<PathBuf>,
    /// CouchDB's URL; several, separated by commas, for the nodes of one cluster
    #[arg(long, value_name = "URL", env = "COUCHGATE_UPSTREAM")]
    pub upstream: Option<String>,
    /// Where clients come in
    #[arg(long, value_name = "ADDRESS:PORT", env = "COUCHGATE_BIND")]
    pub bind: Option<SocketAddr>,
    /// A file with the secret shared with CouchDB; further lines hold secrets it replaces
    #[arg(long, value_name = "FILE", env = "COUCHGATE_SECRET_FILE")]
    pub secret_file: Option<PathBuf>,
}

impl SourceArgs {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// All of its faults, a line each.
    pub fn load(&self) -> Result<Config, Lines> {
        let sources = Sources {
            files: self.config.clone(),
            upstream: self.upstream.clone(),
            bind: self.bind,
            secret_file: self.secret_file.clone(),
        };
        Config::load(&sources).map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }
}

/// How a password is hashed.
#[derive(Args, Clone, Debug)]
pub struct HashArgs {
    /// PBKDF2 iterations
    #[arg(long, default_value_t = 600_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: u32,
    /// The digest: sha (which CouchDB before 3.4 needs), sha224, sha256, sha384 or sha512
    #[arg(long, default_value = "sha256", value_parser = prf)]
    pub prf: HashAlgorithm,
}

fn prf(name: &str) -> Result<HashAlgorithm, String> {
    name.parse().map_err(|error: UnknownHashAlgorithm| error.to_string())
}
