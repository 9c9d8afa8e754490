//! TLS from clients and towards CouchDB.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
};

use rustls::{ServerConfig, crypto::ring::default_provider, server::WebPkiClientVerifier};
use support::{Authority, Gate, Recorder, StreamUpstream, basic, http::request};

/// Sends a request that is the last, and reads to the end of the connection.
fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<String> {
    let headers = [headers, &[("Connection", "close")]].concat();
    stream.write_all(&request(method, target, &headers, body))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn clients_come_in_with_tls() {
    const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
    let authority = Authority::new();
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &authority.ssl());
    let jan = basic("jan", "apple");
    for version in rustls::ALL_VERSIONS {
        let connect = || authority.connect(gate.tls.unwrap(), version);
        let answer = exchange(connect(), "PUT", "/db", &[("Authorization", &jan)], b"{}").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let request = upstream.only();
        assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
        assert_eq!(request.all("x-forwarded-proto"), [b"https"]);
        assert_eq!(request.body, b"{}");

        let login = b"name=jan&password=apple";
        let answer = exchange(connect(), "POST", "/_session", &[FORM], login).unwrap();
        assert!(answer.contains("; Secure"), "{answer}");
    }
    // What is not TLS is closed, and the plain listener is as it was.
    let plain = TcpStream::connect(gate.tls.unwrap()).unwrap();
    let answer = exchange(plain, "GET", "/db", &[], b"");
    assert!(!answer.unwrap_or_default().contains("HTTP"));
    let login = gate.request("POST", "/_session", &[FORM], b"name=jan&password=apple");
    assert!(!login.expect(200).header("set-cookie").unwrap().contains("Secure"));
    gate.get("/db", &[]).expect(200);
    assert!(upstream.only().all("x-forwarded-proto").is_empty());
}

/// Without a proper end (`close_notify`) a client knows that something is missing.
#[test]
fn a_broken_answer_breaks_the_tls_connection() {
    let authority = Authority::new();
    let upstream = StreamUpstream::start();
    let gate = Gate::start(&upstream.url, &authority.ssl());
    let mut client = authority.connect(gate.tls.unwrap(), &rustls::version::TLS13);
    client.write_all(b"GET /db/_changes HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = upstream.next();
    answer.begin_chunks();
    answer.chunk(b"half").unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"half") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    drop(answer);
    assert!(client.read_to_end(&mut read).is_err(), "the answer looks whole");
}

/// TLS in front of a server.
struct TlsFront {
    url: String,
    _runtime: tokio::runtime::Runtime,
}

impl TlsFront {
    fn start(config: ServerConfig, server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = tokio::net::TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { url, _runtime: runtime }
    }
}

/// A server's certificate for `host`; with `clients`, theirs are demanded.
fn server_config(authority: &Authority, host: &str, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let (certificate, key) = authority.issue("couchdb", host);
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(vec![certificate], key).unwrap()
}

#[test]
fn couchdb_is_reached_with_tls_only_where_it_can_be_verified() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.issue("client", "couchgate");
    theirs.issue("client", "couchgate");
    let ca = |authority: &Authority| format!("ca_file = {}\n", authority.file("ca.pem"));
    let client = |authority: &Authority| {
        let (cert, key) = (authority.file("client.pem"), authority.file("client-key.pem"));
        format!("cert_file = {cert}\nkey_file = {key}\n")
    };
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    for (what, config, settings, is_reached) in [
        ("ca_file", server_config(&ours, "127.0.0.1", None), ca(&ours), true),
        ("another authority", server_config(&ours, "127.0.0.1", None), ca(&theirs), false),
        ("the system's authorities", server_config(&ours, "127.0.0.1", None), String::new(), false),
        (
            "another host's certificate",
            server_config(&ours, "other.example", None),
            ca(&ours),
            false,
        ),
        (
            "a client certificate",
            server_config(&ours, "127.0.0.1", Some(&ours)),
            ca(&ours) + &client(&ours),
            true,
        ),
        ("none", server_config(&ours, "127.0.0.1", Some(&ours)), ca(&ours), false),
        (
            "another's client certificate",
            server_config(&ours, "127.0.0.1", Some(&ours)),
            ca(&ours) + &client(&theirs),
            false,
        ),
    ] {
        let front = TlsFront::start(config, upstream.address);
        let gate = Gate::start(&front.url, &format!("[upstream_ssl]\n{settings}"));
        let jan = basic("jan", "apple");
        let authenticated = gate.get("/db", &[("Authorization", &jan)]).status;
        let anonymous = gate.get("/db", &[]).status;
        let ready = gate.admin("/readyz").status;
        let expected = if is_reached { (200, 200, 200) } else { (503, 502, 503) };
        assert_eq!((authenticated, anonymous, ready), expected, "{what}");
        assert_eq!(upstream.take().len(), if is_reached { 2 } else { 0 }, "{what}");
    }
}

#[test]
fn a_bad_file_is_one_clear_line() {
    let authority = Authority::new();
    authority.issue("one", "127.0.0.1");
    authority.issue("two", "127.0.0.1");
    fs::write(authority.file("text.pem"), "no certificate").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(authority.file("broken.pem"), broken).unwrap();
    for (section, settings, named) in [
        ("ssl", &[("cert_file", "missing.pem"), ("key_file", "one-key.pem")][..], "missing.pem"),
        ("ssl", &[("cert_file", "one.pem"), ("key_file", "missing.pem")], "missing.pem"),
        ("ssl", &[("cert_file", "text.pem"), ("key_file", "one-key.pem")], "text.pem"),
        ("ssl", &[("cert_file", "one-key.pem"), ("key_file", "one-key.pem")], "one-key.pem"),
        ("ssl", &[("cert_file", "broken.pem"), ("key_file", "one-key.pem")], "broken.pem"),
        ("ssl", &[("cert_file", "one.pem"), ("key_file", "one.pem")], "one.pem"),
        ("ssl", &[("cert_file", "one.pem"), ("key_file", "two-key.pem")], "one.pem"),
        ("ssl", &[("cert_file", "one.pem")], "needs both cert_file and key_file"),
        ("ssl", &[("key_file", "one-key.pem")], "needs both cert_file and key_file"),
        ("upstream_ssl", &[("ca_file", "missing.pem")], "missing.pem"),
        ("upstream_ssl", &[("ca_file", "text.pem")], "text.pem"),
        ("upstream_ssl", &[("ca_file", "broken.pem")], "broken.pem"),
        ("upstream_ssl", &[("cert_file", "one.pem")], "needs both cert_file and key_file"),
        ("upstream_ssl", &[("cert_file", "one.pem"), ("key_file", "text.pem")], "text.pem"),
        ("upstream_ssl", &[("cert_file", "one.pem"), ("key_file", "two-key.pem")], "one.pem"),
    ] {
        let line = |(key, file): &(&str, &str)| format!("{key} = {}\n", authority.file(file));
        let settings: String = settings.iter().map(line).collect();
        let said = refusal(authority.files.path(), &format!("[{section}]\n{settings}"));
        assert_eq!(said.lines().count(), 1, "{settings}: {said}");
        assert!(said.starts_with("couchgate: ") && said.contains(named), "{settings}: {said}");
        assert!(said.contains(&format!("[{section}]")), "{settings}: {said}");
    }
}

/// What couchgate says when it does not start.
fn refusal(directory: &Path, ini: &str) -> String {
    let config = directory.join("couchgate.ini");
    let base = "[couchgate]\nport = 0\nadmin_bind = 127.0.0.1:0\n[chttpd_auth]\nsecret = s\n";
    fs::write(&config, format!("{base}{ini}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_couchgate"))
        .env_clear()
        .arg("check")
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}
