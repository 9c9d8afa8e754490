//! couchgate is an authenticating reverse proxy for CouchDB.
//!
//! It stands in front of CouchDB, forwards all traffic, and decides who is asking: a chain of
//! authentication handlers is tried until one knows the user, whom couchgate then names to CouchDB
//! in the `X-Auth-CouchDB-*` headers of CouchDB's proxy authentication, signed with a secret that
//! the two share. What that user may do, CouchDB decides as ever.
//!
//! ```no_run
//! use couchgate::{
//!     app::App,
//!     config::{Config, Sources},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sources = Sources { files: vec!["couchgate.ini".into()], ..Sources::default() };
//! let config = Config::load(&sources).map_err(|faults| faults[0].to_string())?;
//! tokio::runtime::Runtime::new()?.block_on(async {
//!     let app = App::new(&config, None)?;
//!     println!("clients come in at {}", app.listeners().plain.local_addr()?);
//!     app.run(async { _ = tokio::signal::ctrl_c().await }).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Layout
//!
//! From the door to CouchDB:
//!
//! * [`cli`], [`config`], [`app`]: arguments, CouchDB's ini dialect, and the rooms made from them.
//! * [`server`]: listeners, connections, limits, draining; health and metrics pages.
//! * [`gateway`]: the way of a request, in one function.
//! * [`target`]: the request target, read once as CouchDB reads it.
//! * [`client_body`]: the request body, streamed, or read whole where it is signed.
//! * [`headers`]: what is taken out of a request and put into it, here and nowhere else.
//! * [`auth`]: the handlers, and the chain that tries them.
//! * [`session`]: who am I, log in, log out: `/_session`.
//! * [`user_ctx`]: who is asking, in a form that can always travel in a header.
//! * [`passwords`]: CouchDB's password schemes, hashing in bounds, what was verified.
//! * [`couch`]: what couchgate itself asks CouchDB: users, server admins, their changes, and the
//!   documents that hold credentials.
//! * [`upstream`]: forwarding over pooled connections.
//! * [`error`]: one table of errors and CouchDB's words for them.
//! * [`request_id`]: what names a request, and tells its answer from another's.
//! * [`secret`]: secrets, HMAC, comparison in constant time.
//! * [`telemetry`]: logs and metrics.
//!
//! # The way of a request
//!
//! [`gateway::Gateway`] reads like this list:
//!
//! 1. **Receive.** hyper has parsed a head; what a proxy must not carry is refused: CONNECT, a
//!    target that is no path, a doubtful `Host`, framing that two servers could read differently.
//! 2. **Scrub.** Credentials, in the query too, identity headers in any spelling, what CouchDB
//!    believes of a front end, and hop-by-hop headers are taken out. What was taken is kept for the
//!    handlers.
//! 3. **Authenticate.** The chain is tried: *not mine*, *this user*, or an error that ends the
//!    request. That users cannot be read is such an error, and never *not mine*.
//! 4. **Admit.** `require_valid_user` and its exceptions.
//! 5. **Answer** `/_session` here, and that `/_oauth` is not there; everything else goes on
//!    untouched, but for a download: whoever may have an attachment and nothing else gets it by a
//!    request of couchgate's own.
//! 6. **Identify.** The user's headers and token are set, after everything that a client could
//!    have said is gone; none for nobody.
//! 7. **Forward** over a pooled connection, streaming, the target byte for byte.
//! 8. **Give back** the response, streaming, without hop-by-hop headers and with a fresh session
//!    cookie where one is due.
//!
//! # Who may import whom
//!
//! * `user_ctx`, `secret`, `target` and `client_body` import nothing of ours; `error` imports
//!   `user_ctx`, and why a body cannot be read.
//! * `passwords` imports `secret`; `upstream` imports `client_body`, `target` and the reading of
//!   certificates.
//! * `auth` imports `client_body`, `couch`, `error`, `passwords`, `secret`, `target` and
//!   `user_ctx`: never `gateway`, `config` or `headers`, and no handler imports another.
//! * `headers` fills the types in which `auth` takes credentials, and asks
//!   `auth::oauth::parameters` which of a query's parameters are some.
//! * `couch` reaches CouchDB through `upstream`, and names its service user by `headers`.
//! * Each room owns its typed settings; `config` builds them all, and only [`app`] and [`cli`] know
//!   `config`.
//! * `gateway` may import everything but `server`, `config` and `app`; `server` imports `gateway`;
//!   `cli` may import everything.

mod answer;
pub mod app;
pub mod auth;
pub mod cli;
pub mod client_body;
pub mod config;
pub mod couch;
pub mod error;
pub mod gateway;
pub mod headers;
pub mod passwords;
mod pem;
pub mod request_id;
pub mod secret;
pub mod server;
pub mod session;
pub mod target;
pub mod telemetry;
pub mod upstream;
pub mod user_ctx;

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_example_configuration() {
        let readme = include_str!("../README.md");
        let example = include_str!("../examples/couchgate.ini");
        assert!(readme.contains(&format!("```ini\n{example}```")));
    }
}
