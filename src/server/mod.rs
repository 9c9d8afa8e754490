//! Listeners: accepting, limits, and stopping in good order.

mod admin;
mod client_io;
mod connection;
mod framing;
mod lines;
mod malformed;
mod request_line;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use crate::{
    couch::Couch,
    gateway::{Gateway, Peer},
    telemetry::Metrics,
};
use connection::{Shared, serve};
pub use tls::{TlsServerFiles, tls_server};

/// What a client may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open client connections; more wait in the listener's backlog.
    pub max_connections: usize,
    /// Bytes of a request head.
    pub max_head_size: usize,
    /// Headers of a request.
    pub max_headers: usize,
    /// For a whole head, from its first byte.
    pub head_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// For the next bytes of a body, and for taking the next bytes of an answer. A feed that has
    /// nothing to say is not waiting.
    pub body_timeout: Duration,
    /// For requests in flight when the server stops.
    pub shutdown_timeout: Duration,
}

/// What is listened on.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub plain: TcpListener,
    /// For clients, with TLS.
    pub tls: Option<(TcpListener, Arc<rustls::ServerConfig>)>,
    /// For operators.
    pub admin: TcpListener,
}

/// Everything the listeners serve.
#[derive(Debug)]
pub struct Server {
    /// The way of a request.
    pub gateway: Arc<Gateway>,
    /// CouchDB, for `/readyz`.
    pub couch: Arc<Couch>,
    /// The request counters.
    pub metrics: Arc<Metrics>,
    /// `/metrics`.
    pub prometheus: Option<PrometheusHandle>,
    /// What a client may use up.
    pub limits: Limits,
}

/// Listens on an address.
///
/// # Errors
///
/// When the address is in use, or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop` is ready, then drains: no new connections, requests in flight are finished,
/// feeds end at a boundary, and after `shutdown_timeout` what is left is cut off.
pub async fn run(server: Server, listeners: Listeners, stop: impl Future<Output = ()>) {
    let Listeners { plain, tls, admin } = listeners;
    let clients = ClientListeners { plain, tls };
    let (stage, drain) = watch::channel(Stage::Serving);
    let drain = Drain(drain);
    let admin = tokio::spawn(admin::serve(
        admin,
        Arc::clone(&server.couch),
        server.prometheus,
        drain.clone(),
    ));
    let accepting = Accepting {
        shared: Arc::new(Shared {
            gateway: server.gateway,
            metrics: server.metrics,
            limits: server.limits,
        }),
        places: Arc::new(Semaphore::new(server.limits.max_connections)),
        drain,
    };
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            (accepted, tls) = accepting.next(&clients) => match tls {
                None => accepting.plain(accepted, &mut connections),
                Some(config) => accepting.tls(accepted, config, &mut connections),
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(clients);
    let _ = stage.send(Stage::Draining);
    tracing::info!(connections = connections.len(), "stopping: requests in flight are finished");
    if !ended_within(server.limits.shutdown_timeout, &mut connections).await {
        tracing::warn!(connections = connections.len(), "stopping: the rest is cut off");
        let _ = stage.send(Stage::Cut);
        ended_within(CUT, &mut connections).await;
    }
    admin.abort();
}

/// Cutting off takes no longer.
const CUT: Duration = Duration::from_secs(1);

async fn ended_within(limit: Duration, connections: &mut JoinSet<()>) -> bool {
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(limit, ended).await.is_ok()
}

/// The listeners that close when the server stops.
struct ClientListeners {
    plain: TcpListener,
    tls: Option<(TcpListener, Arc<rustls::ServerConfig>)>,
}

/// What every accepted connection needs.
struct Accepting {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    drain: Drain,
}

/// A connection and its place among `max_connections`.
struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
}

impl Accepting {
    /// Waits for a place, then for a connection: the others stay in the listeners' backlog.
    async fn next<'a>(
        &self,
        listeners: &'a ClientListeners,
    ) -> (Accepted, Option<&'a Arc<rustls::ServerConfig>>) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return std::future::pending().await;
        };
        let accept_tls = async {
            match &listeners.tls {
                Some((listener, config)) => (accept(listener).await, config),
                None => std::future::pending().await,
            }
        };
        let ((stream, address), tls) = tokio::select! {
            accepted = accept(&listeners.plain) => (accepted, None),
            (accepted, config) = accept_tls => (accepted, Some(config)),
        };
        (Accepted { stream, address, place }, tls)
    }

    fn plain(&self, accepted: Accepted, into: &mut JoinSet<()>) {
        let (shared, drain) = (Arc::clone(&self.shared), self.drain.clone());
        into.spawn(async move {
            let Accepted { stream, address, place } = accepted;
            let open = Open::new(&shared.metrics);
            serve(stream, Peer { address, tls: false }, Arc::clone(&shared), drain).await;
            drop((open, place));
        });
    }

    fn tls(&self, accepted: Accepted, config: &Arc<rustls::ServerConfig>, into: &mut JoinSet<()>) {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
        let (shared, drain) = (Arc::clone(&self.shared), self.drain.clone());
        into.spawn(async move {
            let Accepted { stream, address, place } = accepted;
            let open = Open::new(&shared.metrics);
            let handshake = acceptor.accept(stream);
            match tokio::time::timeout(shared.limits.head_timeout, handshake).await {
                Ok(Ok(stream)) => {
                    serve(stream, Peer { address, tls: true }, Arc::clone(&shared), drain).await;
                }
                Ok(Err(error)) => tracing::debug!(client = %address, %error, "TLS handshake"),
                Err(_) => tracing::debug!(client = %address, "TLS handshake takes too long"),
            }
            drop((open, place));
        });
    }
}

/// Counts an open connection while it lives.
struct Open(metrics::Gauge);

impl Open {
    fn new(metrics: &Metrics) -> Self {
        metrics.connections.increment(1.0);
        Self(metrics.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The next connection. Running out of file descriptors passes when connections close.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    const RETRY: Duration = Duration::from_millis(100);
    const KEEPALIVE: Duration = Duration::from_secs(60);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                let probes = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&probes);
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Requests in flight are finished.
    Draining,
    /// What is still in flight breaks off, visibly.
    Cut,
}

/// Tells connections and feeds that the server is stopping.
#[derive(Clone, Debug)]
struct Drain(watch::Receiver<Stage>);

impl Drain {
    /// Ready once, when draining begins; after that it stays pending.
    async fn begins(&mut self) {
        while self.0.changed().await.is_ok() {
            if *self.0.borrow_and_update() == Stage::Draining {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Ready when what is in flight must break off.
    async fn is_due(&mut self) {
        if self.0.wait_for(|stage| *stage == Stage::Cut).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn has_begun(&self) -> bool {
        *self.0.borrow() != Stage::Serving
    }
}
