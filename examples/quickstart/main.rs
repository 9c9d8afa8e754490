//! couchgate to try out: `cargo run --release --example quickstart`.
//!
//! Starts a CouchDB-compatible server in memory with a few users and documents, couchgate in front
//! of it with the configuration of `examples/couchgate.ini`, and says what to try. With `--upstream`
//! and `--secret` your own CouchDB stands behind couchgate instead, and nothing is written to it.

#![allow(clippy::print_stderr, reason = "a command line talks")]

mod couchdb;
mod demo;
mod guide;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use couchgate::{
    app::{self, App, StartError},
    config::{Config, Sources},
    couch::{Finding, probe},
    telemetry,
};
use metrics_exporter_prometheus::PrometheusHandle;

/// What there is to try with a CouchDB of the operator's own: a front end, too.
const OWN: &str = "[chttpd]\nauthentication_handlers = cookie, proxy, default\n";

/// Tries couchgate out: a CouchDB in memory with some users and documents, couchgate in front of it,
/// and commands to try.
#[derive(Parser)]
struct Arguments {
    /// Your own CouchDB instead of the one in memory; nothing is written to it
    #[arg(long, value_name = "URL", requires = "secret")]
    upstream: Option<String>,
    /// The secret in your CouchDB's section `chttpd_auth`
    #[arg(long, requires = "upstream")]
    secret: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("quickstart: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let (embedded, ended) = match arguments.upstream {
        None => couchdb::start().map(|(server, ended)| (Some(server), Some(ended)))?,
        Some(_) => (None, None),
    };
    let url = embedded.as_ref().map(|server| &server.url).or(arguments.upstream.as_ref());
    let url = url.map(|url| url.trim_end_matches('/')).unwrap_or_default();
    let secret = arguments.secret.as_deref().unwrap_or(couchdb::SECRET);
    let scratch = tempfile::Builder::new().prefix("couchgate-").tempdir().map_err(line)?;
    let mut layers = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/couchgate.ini")];
    let ini = scratch.path().join("couchgate.ini");
    let added = if embedded.is_some() { demo::ini(url) } else { OWN.to_owned() };
    fs::write(&ini, added).map_err(line)?;
    layers.push(ini);
    let mut config = config(layers, url, secret)?;
    let prometheus = telemetry::install().map_err(line)?;
    let runtime = tokio::runtime::Runtime::new().map_err(line)?;
    runtime.block_on(async {
        let stopped = app::stopped().map_err(line)?;
        let (upstream, couch) = app::couch(&config).map_err(line)?;
        let findings = probe(&couch).await.findings;
        if embedded.is_some() {
            demo::fill(&upstream, &config).await?;
        }
        if let Some(fatal) = findings.iter().find(|finding| is_fatal(finding)) {
            return Err(fatal.to_string());
        }
        let app = listen(&mut config, &prometheus).map_err(line)?;
        let places = guide::Places {
            clients: app.listeners().plain.local_addr().map_err(line)?,
            admin: app.listeners().admin.local_addr().map_err(line)?,
            upstream: url,
            scratch: scratch.path(),
        };
        let text = match embedded {
            Some(_) => guide::embedded(&places, &config),
            None => guide::own(&places, &config, &findings),
        };
        io::stdout().write_all(text.as_bytes()).map_err(line)?;
        // Not before: what fails up to here is one line of our own.
        telemetry::init_logs(config.log_level, config.log_format);

        let mut has_ended = false;
        let stop = async {
            tokio::select! {
                () = stopped => {}
                () = gone(ended) => has_ended = true,
            }
        };
        app.run(stop).await;
        if has_ended { Err("the embedded CouchDB has stopped".to_owned()) } else { Ok(()) }
    })
}

/// The configuration of `layers`, for this upstream and secret.
fn config(layers: Vec<PathBuf>, upstream: &str, secret: &str) -> Result<Config, String> {
    let mut secret_file = tempfile::NamedTempFile::new().map_err(line)?;
    secret_file.write_all(secret.as_bytes()).map_err(line)?;
    let sources = Sources {
        files: layers,
        upstream: Some(upstream.to_owned()),
        secret_file: Some(secret_file.path().to_owned()),
        bind: None,
    };
    let mut config = Config::load(&sources)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    config.limits.shutdown_timeout = Duration::from_secs(3);
    Ok(config)
}

/// On the configured ports; where one is taken, on a port that the system chooses.
fn listen(config: &mut Config, prometheus: &PrometheusHandle) -> Result<App, StartError> {
    loop {
        let error = match App::new(config, Some(prometheus.clone())) {
            Ok(app) => return Ok(app),
            Err(error) => error,
        };
        let taken = match &error {
            StartError::Listen { address, .. } => [&mut config.bind, &mut config.admin_bind]
                .into_iter()
                .find(|wanted| *wanted == address && wanted.port() != 0),
            _ => None,
        };
        match taken {
            Some(wanted) => wanted.set_port(0),
            None => return Err(error),
        }
    }
}

/// There is no CouchDB to try anything with.
fn is_fatal(finding: &Finding) -> bool {
    matches!(finding, Finding::Unreachable(_) | Finding::NotCouch(_))
}

/// Ready when the embedded server has ended; never where there is none.
async fn gone(ended: Option<couchdb::Ended>) {
    match ended {
        Some(ended) => _ = ended.await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn line(error: impl ToString) -> String {
    error.to_string()
}
