//! What operators see: logs and metrics.

mod access;
mod logs;
mod metrics;

pub use access::{Record, Recorded};
pub use logs::{Format, Level, init as init_logs};
pub use metrics::{Metrics, install, upkeep};
