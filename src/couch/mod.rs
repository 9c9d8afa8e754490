//! What couchgate itself asks CouchDB, as its service user: users, server admins, OAuth
//! credentials, and whether the two servers are set up to work together.
//!
//! The shared secret is enough: the service user is signed like any other user, so no admin
//! password stands in couchgate's configuration.

mod admins;
mod arrangement;
mod client;
mod feed;
mod oauth_documents;
mod oauth_rows;
mod oauth_view;
mod user;
mod users;

pub use admins::Admins;
pub use arrangement::{Arrangement, Finding, probe};
pub use client::{Couch, CouchError, Reply};
pub use feed::follow;
pub use oauth_documents::{DocumentError, OauthDocuments, Removed};
pub use oauth_rows::{OAUTH_PAGE, OauthRow, oauth_rows};
pub use oauth_view::OauthView;
pub use user::{Password, User};
pub use users::{Settings, Users, login};
