//! couchgate
mod answer;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod couch;
pub mod error;
pub mod gateway;
pub mod headers;
pub mod passwords;
mod pem;
pub mod secret;
pub mod server;
pub mod session;
pub mod target;
pub mod telemetry;
pub mod upstream;
pub mod user_ctx;
