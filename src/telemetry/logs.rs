//! Logs on standard error: text for people, JSON for machines.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// `[log] format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log] level`, with CouchDB's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl std::str::FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Ok(Self(match name {
            "debug" | "1" => LevelFilter::DEBUG,
            "info" | "2" | "notice" | "3" => LevelFilter::INFO,
            "warning" | "warn" | "4" => LevelFilter::WARN,
            "error" | "err" | "5" | "critical" | "crit" | "6" | "alert" | "7" | "emergency"
            | "emerg" | "8" => LevelFilter::ERROR,
            "none" | "9" => LevelFilter::OFF,
            _ => return Err(UnknownLevel),
        }))
    }
}

/// A level that is none of CouchDB's.
#[derive(Debug, thiserror::Error)]
#[error("expected debug, info, notice, warning, error, critical, alert, emergency or none")]
pub struct UnknownLevel;

/// Begins to log; `format` defaults to text on a terminal and JSON elsewhere. A second call
/// changes nothing.
pub fn init(level: Level, format: Option<Format>) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal { Format::Text } else { Format::Json });
    let subscriber = fmt().with_max_level(level.0).with_writer(std::io::stderr);
    let _ = match format {
        Format::Text => subscriber.with_ansi(is_terminal).try_init(),
        Format::Json => subscriber.json().flatten_event(true).with_current_span(false).try_init(),
    };
}
