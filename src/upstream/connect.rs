//! Making connections: TCP, and TLS where the node's URL says `https`.

use std::{fmt, io, path::Path, str::FromStr, sync::Arc, time::Duration};

use http::HeaderValue;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Settings;
use crate::pem::{certificates, private_key};

/// Probes find out that a silent peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What a connection to a node is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How to speak to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

/// A CouchDB node: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: HeaderValue,
}

/// A URL that does not name a node.
#[derive(Debug, thiserror::Error)]
#[error("expected http://HOST[:PORT] or https://HOST[:PORT], without path, user or password")]
pub struct InvalidNode;

impl Node {
    /// The value of `Host` for requests of couchgate's own.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl FromStr for Node {
    type Err = InvalidNode;

    fn from_str(url: &str) -> Result<Self, InvalidNode> {
        let uri: http::Uri = url.parse().map_err(|_| InvalidNode)?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 5984),
            Some("https") => (Scheme::Https, 6984),
            _ => return Err(InvalidNode),
        };
        let authority = uri.authority().ok_or(InvalidNode)?;
        if authority.as_str().contains('@')
            || uri.query().is_some()
            || !matches!(uri.path(), "" | "/")
        {
            return Err(InvalidNode);
        }
        Ok(Self {
            scheme,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidNode)?,
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no connection after {0:?}")]
    Timeout(Duration),
    #[error("the host is not a name that TLS can verify")]
    ServerName,
    #[error("the HTTP connection could not be set up")]
    Handshake,
}

/// Connects to one node.
pub(super) struct Connector {
    node: Node,
    timeout: Duration,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(node: Node, settings: &Settings) -> Self {
        Self {
            node,
            timeout: settings.connect_timeout,
            tls: TlsConnector::from(Arc::clone(&settings.tls)),
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, ConnectError> {
        tokio::time::timeout(self.timeout, self.dial())
            .await
            .map_err(|_| ConnectError::Timeout(self.timeout))?
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let tcp = TcpStream::connect((self.node.host.as_str(), self.node.port)).await?;
        tcp.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
        if self.node.scheme == Scheme::Http {
            return Ok(Box::new(tcp));
        }
        let name =
            ServerName::try_from(self.node.host.clone()).map_err(|_| ConnectError::ServerName)?;
        Ok(Box::new(self.tls.connect(name, tcp).await?))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The files that `[upstream_ssl]` names.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles<'a> {
    /// Certificate authorities to trust instead of the operating system's.
    pub ca_file: Option<&'a Path>,
    /// The client's certificate chain and its private key.
    pub client: Option<(&'a Path, &'a Path)>,
}

/// TLS towards the upstream, with verified certificates.
///
/// # Errors
///
/// One line that names the file or setting at fault.
pub fn tls_client(files: &TlsFiles<'_>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = files.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    } else {
        // A machine without certificate authorities can still reach http nodes; https ones then
        // fail to verify and say so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match files.client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(certificates(chain)?, private_key(key)?)
            .map_err(|error| format!("{}: {error}", chain.display()))?,
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_urls_of_a_server_alone() {
        for (url, expected) in [
            ("http://127.0.0.1:5984", Some("http://127.0.0.1:5984")),
            ("http://couch/", Some("http://couch:5984")),
            ("https://[::1]:6984", Some("https://[::1]:6984")),
            ("http://admin:pw@couch:5984", None),
            ("http://couch:5984/db", None),
            ("http://couch?x", None),
            ("couch:5984", None),
            ("ftp://couch", None),
            ("", None),
        ] {
            let node = url.parse::<Node>().ok().map(|node| node.to_string());
            assert_eq!(node.as_deref(), expected, "{url}");
        }
    }
}
