//! The programs in `tests/clients/`, and what is asked of them.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use serde_json::{Value, json};

use super::support::couch::install;

/// The documentation of CouchDB 1.x has these.
pub(super) const CONSUMER: [&str; 2] = ["consumer1", "sekr1t"];
pub(super) const TOKEN: [&str; 2] = ["token1", "tokensekr1t"];

pub(super) const ALL: [Client; 3] = [Client::Requests, Client::Oauthlib, Client::Oauth10a];

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Python's requests with requests-oauthlib.
    Requests,
    /// Python's oauthlib alone, with http.client.
    Oauthlib,
    /// npm's oauth-1.0a, with Node's http.
    Oauth10a,
}

/// The `[oauth_*]` sections for a user.
pub(super) fn ini(user: &str) -> String {
    let ([consumer, consumer_secret], [token, token_secret]) = (CONSUMER, TOKEN);
    format!(
        "[oauth_consumer_secrets]\n{consumer} = {consumer_secret}\n\
         [oauth_token_secrets]\n{token} = {token_secret}\n[oauth_token_users]\n{token} = {user}\n"
    )
}

/// An answer, and the target to which the request was sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) sent: String,
    pub(super) body: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The target as it must go upstream.
    pub(super) fn target_without_oauth(&self) -> String {
        let Some((path, query)) = self.sent.split_once('?') else { return self.sent.clone() };
        let kept = query.split('&').filter(|pair| !pair.starts_with("oauth_"));
        let kept = kept.collect::<Vec<_>>().join("&");
        if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") }
    }
}

impl Client {
    /// Signs a request for `url` and sends it to `address`, in the header with HMAC-SHA1 where
    /// `fields` do not say otherwise.
    #[track_caller]
    pub(super) fn send(
        self,
        address: SocketAddr,
        method: &str,
        url: &str,
        fields: &Value,
    ) -> Answer {
        let mut job = json!({ "connect": address.to_string(), "method": method, "url": url });
        add(&mut job, fields);
        let answer = self.ask(&job);
        assert!(answer["error"].is_null(), "{self}: {method} {url} {fields}: {answer}");
        Answer {
            status: answer["status"].as_u64().unwrap().try_into().unwrap(),
            sent: answer["sent"].as_str().unwrap().to_owned(),
            body: answer["body"].as_str().unwrap().to_owned(),
        }
    }

    /// One line to the program, one line back.
    pub(super) fn ask(self, fields: &Value) -> Value {
        static PROGRAMS: [OnceLock<Mutex<Program>>; 3] = [const { OnceLock::new() }; 3];
        let mut job = json!({
            "consumer": CONSUMER, "token": TOKEN, "signature": "HMAC-SHA1", "place": "header",
        });
        add(&mut job, fields);
        let program = PROGRAMS[self as usize].get_or_init(|| Mutex::new(Program::start(self)));
        program.lock().unwrap_or_else(PoisonError::into_inner).ask(&job)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Oauthlib => "oauthlib",
            Self::Oauth10a => "oauth-1.0a",
        })
    }
}

fn add(job: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().unwrap() {
        job[key] = value.clone();
    }
}

/// A running program; it ends when its stdin is closed.
struct Program {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(client: Client) -> Self {
        let directory = directory();
        let mut command = if client == Client::Oauth10a {
            install(&directory);
            // PouchDB is the embedded server's.
            install(&directory.with_file_name("pouchdb"));
            let mut node = Command::new("node");
            node.arg("client.js");
            node
        } else {
            let mut python = Command::new(python());
            python.args(["client.py", &client.to_string()]);
            python
        };
        let mut child = command
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js 18 or later is needed: apt-get install nodejs npm");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { _child: child, stdin, stdout }
    }

    fn ask(&mut self, job: &Value) -> Value {
        writeln!(self.stdin, "{job}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?} for {job}"))
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The interpreter of a virtual environment with the packages of `requirements.txt`, made once and
/// again when they change, or when the Python it was made with is gone.
fn python() -> PathBuf {
    const NEEDED: &str =
        "Python 3.10 or later with venv is needed: apt-get install python3 python3-venv";
    let directory = directory();
    let environment = directory.join(".venv");
    let python = environment.join("bin/python");
    let lock = std::fs::File::create(directory.join(".install.lock")).unwrap();
    // Several test programs may come here at the same time.
    lock.lock().unwrap();

    let requirements = std::fs::read(directory.join("requirements.txt")).unwrap();
    let installed = environment.join("installed.txt");
    let runs = Command::new(&python).arg("--version").output().is_ok_and(|it| it.status.success());
    if runs && std::fs::read(&installed).is_ok_and(|installed| installed == requirements) {
        return python;
    }
    let venv = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).status();
    assert!(venv.is_ok_and(|status| status.success()), "{NEEDED}");
    let pip = Command::new(&python)
        .current_dir(&directory)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--requirement", "requirements.txt"])
        .status();
    let is_installed = pip.is_ok_and(|status| status.success());
    assert!(is_installed, "pip install failed in {}. {NEEDED}", directory.display());
    std::fs::write(installed, requirements).unwrap();
    python
}
