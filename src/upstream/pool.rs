//! Idle connections to one node, the most recently used first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge, counter, gauge};

use super::{
    Settings,
    connect::{ConnectError, Connector, Node},
    connection::Connection,
};

/// A node that refused a connection is asked last for this long.
const DOWN_FOR_MS: u64 = 2_000;

/// More idle connections than this are not worth their memory.
const MAX_IDLE: usize = 512;

/// The connections to one node.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<VecDeque<(Instant, Box<Connection>)>>,
    idle_timeout: Duration,
    started: Instant,
    /// Milliseconds since `started`; 0 when the node is not known to be down.
    down_until: AtomicU64,
    connects: Counter,
    failures: Counter,
    idle_gauge: Gauge,
}

impl Pool {
    pub(super) fn new(node: Node, settings: &Settings) -> Self {
        let label = node.to_string();
        Self {
            idle: Mutex::default(),
            idle_timeout: settings.idle_timeout,
            started: Instant::now(),
            down_until: AtomicU64::new(0),
            connects: counter!("couchgate_upstream_connects_total", "node" => label.clone()),
            failures: counter!("couchgate_upstream_connect_failures_total", "node" => label.clone()),
            idle_gauge: gauge!("couchgate_upstream_idle_connections", "node" => label),
            connector: Connector::new(node, settings),
        }
    }

    pub(super) fn node(&self) -> &Node {
        self.connector.node()
    }

    /// Whether the node refused a connection a moment ago.
    pub(super) fn is_down(&self) -> bool {
        let down_until = self.down_until.load(Ordering::Relaxed);
        down_until != 0 && self.elapsed_ms() < down_until
    }

    /// An idle connection that is still open.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.idle().pop_back()?;
            self.idle_gauge.decrement(1.0);
            if since.elapsed() < self.idle_timeout && connection.is_open() {
                connection.set_reused();
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request, and lets go of those that waited too long.
    pub(super) fn put(&self, connection: Box<Connection>) {
        let mut stale = Vec::new();
        let mut idle = self.idle();
        while idle.front().is_some_and(|(since, _)| since.elapsed() >= self.idle_timeout)
            || idle.len() >= MAX_IDLE
        {
            stale.extend(idle.pop_front());
        }
        idle.push_back((Instant::now(), connection));
        drop(idle);
        #[expect(clippy::cast_precision_loss, reason = "at most MAX_IDLE")]
        self.idle_gauge.increment(1.0 - stale.len() as f64);
    }

    /// A new connection.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Box<Connection>, ConnectError> {
        match self.connector.connect().await {
            Ok(stream) => {
                self.connects.increment(1);
                self.down_until.store(0, Ordering::Relaxed);
                Connection::handshake(stream, Arc::clone(self)).await
            }
            Err(error) => {
                self.failures.increment(1);
                let until = self.elapsed_ms() + DOWN_FOR_MS;
                self.down_until.store(until, Ordering::Relaxed);
                tracing::warn!(node = %self.node(), %error, "upstream cannot be reached");
                Err(error)
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Box<Connection>)>> {
        // A panic elsewhere cannot have left the queue half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
