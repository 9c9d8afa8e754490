//! TLS for clients.

use std::{path::Path, sync::Arc};

use rustls::ServerConfig;

use crate::pem::{certificates, private_key};

/// The files that `[ssl]` names.
#[derive(Clone, Copy, Debug)]
pub struct TlsServerFiles<'a> {
    /// The certificate chain.
    pub cert_file: &'a Path,
    /// Its private key.
    pub key_file: &'a Path,
}

/// TLS 1.2 and 1.3 with a certificate chain and its key.
///
/// # Errors
///
/// One line that names the file at fault.
pub fn tls_server(files: TlsServerFiles<'_>) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(certificates(files.cert_file)?, private_key(files.key_file)?)
        .map_err(|error| format!("{}: {error}", files.cert_file.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
