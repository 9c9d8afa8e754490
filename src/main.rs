//! The program: arguments, configuration, listeners, [`couchgate::app`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::{
    io::{BufRead, Write, stdin, stdout},
    process::ExitCode,
};

use clap::Parser;
use couchgate::{
    app::{self, App, StartError},
    cli::{
        Cli, Command, HashArgs, Lines, SourceArgs, line, link,
        oauth::{self as cli_oauth, OauthArgs},
    },
    couch::probe,
    passwords::PasswordHash,
    secret::{Secret, hex},
    telemetry,
};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run(&cli.sources),
        Some(Command::Run(sources)) => run(&sources),
        Some(Command::Check(sources)) => check(&sources),
        Some(Command::HashPassword(arguments)) => hash_password(&arguments),
        Some(Command::Oauth(arguments)) => oauth(&arguments),
        Some(Command::Link(arguments)) => link::link(&arguments).and_then(|lines| print(&lines)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(lines) => {
            for line in lines {
                eprintln!("couchgate: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(sources: &SourceArgs) -> Result<(), Lines> {
    let config = sources.load()?;
    telemetry::init_logs(config.log_level, config.log_format);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let prometheus = telemetry::install().map_err(line)?;
    runtime()?.block_on(async {
        let app = App::new(&config, Some(prometheus)).map_err(line)?;
        say_where(&app);
        app.run(app::stopped().map_err(line)?).await;
        Ok(())
    })
}

fn check(sources: &SourceArgs) -> Result<(), Lines> {
    let config = sources.load()?;
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    let arrangement = runtime()?.block_on(async {
        let (_, couch) = app::couch(&config)?;
        Ok::<_, StartError>(probe(&couch).await)
    });
    let findings = arrangement.map_err(line)?.findings;
    if findings.is_empty() {
        println!("configuration and upstream are in order");
        return Ok(());
    }
    Err(findings.iter().map(ToString::to_string).collect())
}

fn hash_password(arguments: &HashArgs) -> Result<(), Lines> {
    let mut password = Zeroizing::new(String::new());
    stdin().lock().read_line(&mut password).map_err(line)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(vec!["no password on standard input".to_owned()]);
    }
    let salt = hex(&Secret::random().map_err(line)?.as_bytes()[..16]);
    let hash = PasswordHash::pbkdf2(password, &salt, arguments.prf, arguments.iterations);
    println!("{}", hash.to_admin_value());
    Ok(())
}

fn oauth(arguments: &OauthArgs) -> Result<(), Lines> {
    print(&runtime()?.block_on(cli_oauth::run(arguments))?)
}

fn print(lines: &Lines) -> Result<(), Lines> {
    let mut out = stdout().lock();
    lines.iter().try_for_each(|text| writeln!(out, "{text}")).map_err(line)
}

fn runtime() -> Result<tokio::runtime::Runtime, Lines> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(line)
}

fn say_where(app: &App) {
    let listeners = app.listeners();
    let address = |listener: &tokio::net::TcpListener| {
        listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
    };
    tracing::info!(
        clients = address(&listeners.plain),
        tls = listeners.tls.as_ref().map(|(listener, _)| address(listener)),
        admin = address(&listeners.admin),
        version = env!("CARGO_PKG_VERSION"),
        "couchgate listens"
    );
}
