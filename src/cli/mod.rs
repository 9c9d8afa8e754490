//! The command line.

pub mod oauth;

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::{
    auth::oauth::signature::{SignatureMethod, UnknownSignatureMethod},
    config::{Config, Sources, ini::Fault},
    secret::{HashAlgorithm, UnknownHashAlgorithm},
};

/// What to tell the operator, a line each.
pub type Lines = Vec<String>;

/// An authenticating reverse proxy for CouchDB.
///
/// couchgate stands in front of CouchDB, forwards all traffic and decides who is asking: Basic,
/// session cookies, OAuth 1.0 signatures, or the headers of a trusted front end. CouchDB needs
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
    #[command(long_about = OAUTH)]
    Oauth(OauthArgs),
}

const OAUTH: &str = "\
OAuth 1.0: clients sign their requests with the secrets of a consumer, which is an application, and
of a token, which stands for a user. Put oauth first in [chttpd] authentication_handlers.

  couchgate oauth add jan --config couchgate.ini --file couchgate.ini
      makes a consumer and a token and writes them into the file; then restart couchgate
  couchgate oauth list --config couchgate.ini
      shows tokens, users and consumers, and no secrets
  curl -H \"$(couchgate oauth sign GET URL --config couchgate.ini)\" URL
      sends one signed request
  couchgate oauth remove --token TOKEN --config couchgate.ini --file couchgate.ini
      takes the token away; then restart couchgate

With [couch_httpd_oauth] use_users_db = true credentials stand in user documents: then there is no
--file, couchgate writes through CouchDB, and nothing needs a restart.";

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
    /// All of its faults.
    pub fn load(&self) -> Result<Config, Vec<Fault>> {
        Config::load(&Sources {
            files: self.config.clone(),
            upstream: self.upstream.clone(),
            bind: self.bind,
            secret_file: self.secret_file.clone(),
        })
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

/// What to do with OAuth credentials.
#[derive(Args, Debug)]
pub struct OauthArgs {
    #[command(subcommand)]
    command: OauthCommand,
}

#[derive(Debug, Subcommand)]
enum OauthCommand {
    /// Make a token, and a consumer where there is none of that key
    ///
    /// Prints the lines to add to couchgate's configuration, or writes them into the ini file that
    /// --file names. With `use_users_db`, writes them into the user's document. A consumer that exists
    /// keeps its secret; secrets are random.
    Add(AddArgs),
    /// Show tokens with their users and consumer keys, tab-separated
    ///
    /// In an ini file any consumer may use any token.
    List(SourceArgs),
    /// Remove a consumer, a token, or both
    ///
    /// From the ini file that --file names, or with `use_users_db` from all user documents that have
    /// them; given both, from those that have both.
    Remove(RemoveArgs),
    /// Sign a request: print its Authorization header
    ///
    /// To use at once: the header is believed once, and within `timestamp_window` only.
    ///
    /// curl -H "$(couchgate oauth sign GET URL --config couchgate.ini)" URL
    Sign(SignArgs),
}

/// Whose credentials, and where they go.
#[derive(Args, Debug)]
struct AddArgs {
    /// The user for whom the token stands
    user: String,
    /// The consumer; a new one with a random key if not given
    #[arg(long, value_name = "KEY")]
    consumer: Option<String>,
    /// The token, which must not exist; random if not given
    #[arg(long)]
    token: Option<String>,
    /// The ini file to write them into; it may be new
    #[arg(long, value_name = "INI")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
}

/// What is removed, and from where.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("names").args(["consumer", "token"]).required(true).multiple(true))]
struct RemoveArgs {
    /// The consumer
    #[arg(long, value_name = "KEY")]
    consumer: Option<String>,
    /// The token
    #[arg(long)]
    token: Option<String>,
    /// The ini file from which they are removed
    #[arg(long, value_name = "INI")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
}

/// What is signed, and how.
#[derive(Args, Debug)]
struct SignArgs {
    /// The request's method, as it is sent
    method: String,
    /// Its URL, as the client knows it
    url: String,
    /// The consumer; the only one there is if not given
    #[arg(long, value_name = "KEY")]
    consumer: Option<String>,
    /// The token; the only one there is if not given
    #[arg(long)]
    token: Option<String>,
    /// The signature method: HMAC-SHA1, HMAC-SHA256 or PLAINTEXT
    #[arg(
        long = "method",
        id = "signature_method",
        value_name = "METHOD",
        default_value = "HMAC-SHA1",
        value_parser = signature_method
    )]
    signature_method: SignatureMethod,
    /// A form that is the request's body, as curl's -d takes it: @FILE is a file, @- standard input
    #[arg(long, value_name = "FORM")]
    data: Option<String>,
    #[command(flatten)]
    sources: SourceArgs,
}

fn signature_method(name: &str) -> Result<SignatureMethod, String> {
    name.parse().map_err(|error: UnknownSignatureMethod| error.to_string())
}
