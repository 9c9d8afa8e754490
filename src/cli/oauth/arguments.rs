//! The arguments of `couchgate oauth`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::{
    auth::oauth::signature::{SignatureMethod, UnknownSignatureMethod},
    cli::SourceArgs,
};

/// What the command is for.
pub const ABOUT: &str = "\
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

/// What to do with OAuth credentials.
#[derive(Args, Debug)]
pub struct OauthArgs {
    #[command(subcommand)]
    pub(super) command: OauthCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum OauthCommand {
    /// Make a token, and a consumer where there is none of that key
    ///
    /// Prints the lines to add to couchgate's configuration, or writes them into the ini file that
    /// --file names. With `use_users_db`, writes them into the user's document. A consumer that exists
    /// keeps its secret; in user documents each user has his own. Secrets are random.
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
pub(super) struct AddArgs {
    /// The user for whom the token stands
    pub(super) user: String,
    /// The consumer; a new one with a random key if not given
    #[arg(long, value_name = "KEY")]
    pub(super) consumer: Option<String>,
    /// The token, which must not exist; random if not given
    #[arg(long)]
    pub(super) token: Option<String>,
    /// The ini file to write them into; it may be new
    #[arg(long, value_name = "INI")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
}

/// What is removed, and from where.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("names").args(["consumer", "token"]).required(true).multiple(true))]
pub(super) struct RemoveArgs {
    /// The consumer
    #[arg(long, value_name = "KEY")]
    pub(super) consumer: Option<String>,
    /// The token
    #[arg(long)]
    pub(super) token: Option<String>,
    /// The ini file from which they are removed
    #[arg(long, value_name = "INI")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
}

/// What is signed, and how.
#[derive(Args, Debug)]
pub(super) struct SignArgs {
    /// The request's method, as it is sent
    pub(super) method: String,
    /// Its URL, as the client knows it
    pub(super) url: String,
    /// The consumer; the only one there is if not given
    #[arg(long, value_name = "KEY")]
    pub(super) consumer: Option<String>,
    /// The token; the only one there is if not given
    #[arg(long)]
    pub(super) token: Option<String>,
    /// The signature method: HMAC-SHA1, HMAC-SHA256 or PLAINTEXT
    #[arg(
        long = "method",
        id = "signature_method",
        value_name = "METHOD",
        default_value = "HMAC-SHA1",
        value_parser = signature_method
    )]
    pub(super) signature_method: SignatureMethod,
    /// A form that is the request's body, as curl's -d takes it: @FILE is a file, @- standard input
    #[arg(long, value_name = "FORM")]
    pub(super) data: Option<String>,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
}

fn signature_method(name: &str) -> Result<SignatureMethod, String> {
    name.parse().map_err(|error: UnknownSignatureMethod| error.to_string())
}
