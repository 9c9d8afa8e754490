//! Certificates for TLS in tests.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rcgen::{CertificateParams, DnType, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;

/// A certificate authority, and the files of what it has issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub files: TempDir,
}

impl Authority {
    /// Its certificate is in `ca.pem`.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // Python 3.13 demands what RFC 5280 does: this, and the authority's key identifier.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { certificate: certificate.der().clone(), issuer: Issuer::new(params, key), files }
    }

    /// Issues a certificate to `NAME.pem`, with its key in `NAME-key.pem`.
    pub fn issue(
        &self,
        name: &str,
        host: &str,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        // OpenSSL takes a certificate whose subject is its issuer's for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.files.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.files.path().join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// The `[ssl]` section for a certificate of this machine's.
    pub fn ssl(&self) -> String {
        self.issue("server", "127.0.0.1");
        let (cert, key) = (self.file("server.pem"), self.file("server-key.pem"));
        format!("[ssl]\ncert_file = {cert}\nkey_file = {key}\nport = 0\n")
    }

    /// A connection to couchgate that trusts this authority alone.
    pub fn connect(
        &self,
        address: SocketAddr,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        let name = address.ip().into();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, TcpStream::connect(address).unwrap())
    }
}
