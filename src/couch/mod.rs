//! What couchgate itself asks CouchDB, as its service user: users, server admins, OAuth
//! credentials, auth keys, download tokens, and whether the two servers are set up to work together.
//!
//! The shared secret is enough: the service user is signed like any other user, so no admin
//! password stands in couchgate's configuration.

mod admins;
mod arrangement;
mod auth_key_view;
mod auth_keys;
mod client;
mod databases;
mod download_tokens;
mod feed;
mod json;
mod oauth_documents;
mod oauth_rows;
mod oauth_view;
mod recent;
mod user;
mod users;

pub use admins::Admins;
pub use arrangement::{Arrangement, Finding, probe};
pub use auth_keys::{AuthKey, AuthKeys, FoundKey};
pub use client::{Couch, CouchError, Reply};
pub use databases::{Databases, is_database_name};
pub use download_tokens::{Digest, DownloadTokens, TokenDocument};
pub use feed::follow;
pub use oauth_documents::{DocumentError, OauthDocuments, Removed};
pub use oauth_rows::{OAUTH_PAGE, OauthRow, oauth_rows};
pub use oauth_view::OauthView;
pub use user::{Password, User};
pub use users::{Settings, Users, login};
