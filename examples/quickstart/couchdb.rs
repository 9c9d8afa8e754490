//! The embedded CouchDB-compatible server: `tests/pouchdb`, in a process of its own.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use serde::Deserialize;
use tokio::sync::oneshot;

/// What the server shares with couchgate. It holds nothing but the demo, and nobody else reaches it.
pub(crate) const SECRET: &str = "couchsecret0123456789";

/// Its server admin.
pub(crate) const ADMIN: &str = "admin:secretpw";

const INSTALL: &str = "install Node.js 18 or later with npm (Debian: apt-get install nodejs npm; \
                       elsewhere: https://nodejs.org)";

/// A running server; it ends when this is dropped, or when this process ends, however it does.
pub(crate) struct Embedded {
    pub(crate) url: String,
    process: Child,
    /// The server exits when this is closed.
    _stdin: ChildStdin,
}

/// Ready when the server has ended by itself.
pub(crate) type Ended = oneshot::Receiver<()>;

#[derive(Deserialize)]
struct Ready {
    url: String,
}

/// Starts the server on a free port.
///
/// # Errors
///
/// One line: what is missing, or what failed.
pub(crate) fn start() -> Result<(Embedded, Ended), String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pouchdb");
    require_node()?;
    install_packages(&directory)?;
    let mut process = Command::new("node")
        .current_dir(&directory)
        .args(["server.js", "--exit-on-stdin-close", "--secret", SECRET, "--admin", ADMIN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for couchgate, which finishes what it is doing first.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("node does not start: {error}"))?;
    let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
        return Err("node has no standard input and output".to_owned());
    };
    let mut server = Embedded { url: String::new(), process, _stdin: stdin };
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    let ready = stdout.read_line(&mut line).map(|_| serde_json::from_str::<Ready>(&line));
    let Ok(Ok(ready)) = ready else {
        return Err("the embedded CouchDB did not start, see above".to_owned());
    };
    server.url = ready.url;
    Ok((server, ended(stdout)))
}

/// The server says no more on its standard output until it ends.
fn ended(mut stdout: BufReader<ChildStdout>) -> Ended {
    let (tell, ended) = oneshot::channel();
    thread::spawn(move || {
        let _ = stdout.read_to_end(&mut Vec::new());
        let _ = tell.send(());
    });
    ended
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // All it has is in memory.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn require_node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("Node.js is missing: {INSTALL}"),
        _ => format!("node does not start: {error}"),
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major =
        version.strip_prefix('v').and_then(|version| version.split('.').next()?.parse().ok());
    match major {
        Some(18u32..) => Ok(()),
        _ => Err(format!("Node.js {version} is too old: {INSTALL}")),
    }
}

/// Installs the packages as the lockfile has them, where that has not been done yet.
fn install_packages(directory: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", directory.display());
    // The tests install them too, perhaps at this moment.
    let lock = File::create(directory.join(".install.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if is_newer(
        directory.join("node_modules/.package-lock.json"),
        directory.join("package-lock.json"),
    ) {
        return Ok(());
    }
    eprintln!("installing npm packages in {}", directory.display());
    let status = Command::new("npm")
        .current_dir(directory)
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("npm ci failed in {}, see above", directory.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("npm is missing: {INSTALL}"))
        }
        Err(error) => Err(format!("npm does not start: {error}")),
    }
}

/// npm writes the first file when it is done.
fn is_newer(installed: PathBuf, wanted: PathBuf) -> bool {
    let modified = |path: PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    modified(installed) >= modified(wanted).max(Some(std::time::UNIX_EPOCH))
}
