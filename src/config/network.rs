//! Where couchgate listens, what a client may use up, and the way to CouchDB.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Sources,
    fields::{self, Fields, Sections},
    read::COUCHGATE,
};
use crate::{
    server::{Limits, TlsServerFiles, tls_server},
    upstream::{self, Node, TlsFiles, tls_client},
};

const SSL: Sections = &["ssl"];
const UPSTREAM_SSL: Sections = &["upstream_ssl"];

/// `trusted_proxies`.
pub(super) fn trusted_proxies(fields: &mut Fields<'_>) -> Vec<IpNet> {
    let networks = fields.list(COUCHGATE, "trusted_proxies", "");
    networks.into_iter().map(|Network(network)| network).collect()
}

pub(super) fn bind(fields: &mut Fields<'_>, sources: &Sources) -> SocketAddr {
    let port = fields.number(COUCHGATE, "port", 5994, 0..=65535);
    let address = match fields.text(COUCHGATE, "bind_address") {
        // CouchDB's word.
        Some("any") => Ipv4Addr::UNSPECIFIED.into(),
        _ => fields.parsed(COUCHGATE, "bind_address", IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    let port = u16::try_from(port).unwrap_or(5994);
    sources.bind.unwrap_or(SocketAddr::new(address, port))
}

pub(super) fn tls(
    fields: &mut Fields<'_>,
    address: IpAddr,
) -> Option<(SocketAddr, Arc<rustls::ServerConfig>)> {
    // CouchDB's own switch, in a file of its own that is layered in.
    if !fields.boolean(SSL, "enable", true) {
        return None;
    }
    let (cert_file, key_file) = match (fields.path(SSL, "cert_file"), fields.path(SSL, "key_file"))
    {
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        (None, None) => return None,
        _ => {
            fields.fault("[ssl] needs both cert_file and key_file");
            return None;
        }
    };
    let port = fields.number(SSL, "port", 6994, 0..=65535);
    match tls_server(TlsServerFiles { cert_file, key_file }) {
        Ok(config) => Some((SocketAddr::new(address, u16::try_from(port).ok()?), config)),
        Err(message) => {
            fields.fault(format!("[ssl] {message}"));
            None
        }
    }
}

pub(super) fn limits(fields: &mut Fields<'_>) -> Limits {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        max_connections: count(fields.number(COUCHGATE, "max_connections", 16_384, 1..=1 << 24)),
        // hyper's smallest buffer is 8 KiB.
        max_head_size: count(fields.number(COUCHGATE, "max_head_size", 65_536, 8_192..=1 << 20)),
        max_headers: count(fields.number(COUCHGATE, "max_headers", 100, 1..=10_000)),
        head_timeout: fields.seconds(COUCHGATE, "head_timeout", 30),
        idle_timeout: fields.seconds(COUCHGATE, "idle_timeout", 75),
        body_timeout: fields.seconds(COUCHGATE, "body_timeout", 60),
        shutdown_timeout: fields.seconds(COUCHGATE, "shutdown_timeout", 30),
    }
}

pub(super) fn upstream(fields: &mut Fields<'_>, sources: &Sources) -> Option<upstream::Settings> {
    const DEFAULT: &str = "http://127.0.0.1:5984";
    let faults = fields.faults.len();
    let nodes: Vec<Node> = match &sources.upstream {
        None => fields.list(COUCHGATE, "upstream", DEFAULT),
        Some(urls) => {
            let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
            let mut nodes = Vec::new();
            for url in urls {
                match url.parse() {
                    Ok(node) => nodes.push(node),
                    Err(error) => {
                        fields.fault(format!("upstream: {}: {error}", fields::quoted(url)));
                    }
                }
            }
            nodes
        }
    };
    if nodes.is_empty() && fields.faults.len() == faults {
        fields.fault("[couchgate] upstream names no node");
    }
    let client =
        match (fields.path(UPSTREAM_SSL, "cert_file"), fields.path(UPSTREAM_SSL, "key_file")) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => {
                fields.fault("[upstream_ssl] needs both cert_file and key_file, or neither");
                None
            }
        };
    let files = TlsFiles { ca_file: fields.path(UPSTREAM_SSL, "ca_file"), client };
    let tls = tls_client(&files)
        .map_err(|message| fields.fault(format!("[upstream_ssl] {message}")))
        .ok()?;
    Some(upstream::Settings {
        nodes,
        connect_timeout: fields.seconds(COUCHGATE, "connect_timeout", 5),
        idle_timeout: fields.seconds(COUCHGATE, "upstream_idle_timeout", 60),
        tls,
    })
}

/// A CIDR, or an address alone.
struct Network(IpNet);

impl std::str::FromStr for Network {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, ipnet::AddrParseError> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map(Self)
    }
}
