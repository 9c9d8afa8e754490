//! The metrics in Prometheus' form.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::user_ctx::HandlerName;

/// Upper bounds in seconds.
const BUCKETS: [f64; 12] =
    [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Samples are folded into buckets this often, so that they do not pile up where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder; what was counted before is lost.
///
/// # Errors
///
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    let handle = builder.install_recorder()?;
    describe();
    Ok(handle)
}

/// Folds samples for as long as it is polled.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// Says what each metric means.
fn describe() {
    describe_counter!("couchgate_requests_total", "Answered requests by handler and status class.");
    describe_gauge!("couchgate_requests_in_flight", "Requests whose answer has not ended.");
    describe_gauge!("couchgate_client_connections", "Open client connections.");
    describe_histogram!("couchgate_chain_seconds", "Time to decide who is asking, in seconds.");
    describe_histogram!(
        "couchgate_upstream_seconds",
        "Time until the head of CouchDB's answer arrives, in seconds."
    );
    describe_gauge!("couchgate_hashing_queue", "Logins that wait for a hashing thread.");
    describe_counter!("couchgate_password_cache_hits_total", "Passwords found verified.");
    describe_counter!("couchgate_password_cache_misses_total", "Passwords that had to be hashed.");
    describe_counter!("couchgate_user_cache_hits_total", "Users found remembered.");
    describe_counter!("couchgate_user_cache_misses_total", "Users read from CouchDB.");
    describe_gauge!("couchgate_users_feed_connected", "1 while users' changes are followed.");
    describe_counter!("couchgate_upstream_connects_total", "Connections made, by node.");
    describe_counter!(
        "couchgate_upstream_connect_failures_total",
        "Connections that could not be made, by node."
    );
    describe_gauge!("couchgate_upstream_idle_connections", "Idle pooled connections, by node.");
    describe_counter!(
        "couchgate_upstream_resent_total",
        "Requests sent again because a pooled connection was closed, or had another's answer on it."
    );
}

/// Handles of what every request counts.
#[derive(Debug)]
pub struct Metrics {
    requests: [[Counter; CLASSES.len()]; HandlerName::ALL.len() + 1],
    pub(super) in_flight: Gauge,
    pub(super) chain: Histogram,
    pub(super) upstream: Histogram,
    /// Open client connections.
    pub connections: Gauge,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Handles for the installed recorder.
    #[must_use]
    pub fn new() -> Self {
        let of = |handler: Option<HandlerName>| {
            let handler = handler.map_or("none", HandlerName::as_str);
            CLASSES.map(|class| {
                counter!("couchgate_requests_total", "handler" => handler, "status" => class)
            })
        };
        let [oauth, cookie, proxy, authkey, download_token, default] =
            HandlerName::ALL.map(Some).map(of);
        Self {
            requests: [of(None), oauth, cookie, proxy, authkey, download_token, default],
            in_flight: gauge!("couchgate_requests_in_flight"),
            chain: histogram!("couchgate_chain_seconds"),
            upstream: histogram!("couchgate_upstream_seconds"),
            connections: gauge!("couchgate_client_connections"),
        }
    }

    pub(super) fn count(&self, handler: Option<HandlerName>, status: http::StatusCode) {
        let row = handler
            .and_then(|handler| HandlerName::ALL.iter().position(|name| *name == handler))
            .map_or(0, |position| position + 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[row][class].increment(1);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
