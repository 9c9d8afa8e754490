//! A CouchDB to stand in front of: the embedded one in a process of its own, or with
//! `COUCHDB_URL=http://admin:password@host:port` a real one.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use super::{
    SECRET,
    http::{Connection, Reply, basic},
};

/// A running server and its admin.
pub struct Couch {
    /// Without user and password.
    pub url: String,
    pub address: SocketAddr,
    pub admin: (String, String),
    /// The secret it shares with couchgate.
    pub secret: String,
    pub is_real: bool,
    _process: Option<(Child, ChildStdin)>,
}

impl Couch {
    /// The server that all tests of a program share. They must not disturb each other: each makes
    /// its own databases and users.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Couch> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("COUCHDB_URL") {
            Ok(url) => Self::real(&url),
            Err(_) => Self::embedded(&[]),
        })
    }

    /// An embedded server of one's own, whatever `COUCHDB_URL` says.
    pub fn embedded(arguments: &[&str]) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pouchdb");
        install(&directory);
        let mut child = Command::new("node")
            .current_dir(&directory)
            .args(["server.js", "--exit-on-stdin-close", "--secret", SECRET])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js 18 or later is needed: apt-get install nodejs npm");
        let stdin = child.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the embedded server did not start");
        let url = ready["url"].as_str().unwrap().to_owned();
        Self {
            address: url.trim_start_matches("http://").parse().unwrap(),
            url,
            admin: ("admin".to_owned(), "secretpw".to_owned()),
            secret: SECRET.to_owned(),
            is_real: false,
            _process: Some((child, stdin)),
        }
    }

    /// A server of the operator's; its secret is read from its configuration.
    fn real(url: &str) -> Self {
        const FORM: &str = "COUCHDB_URL must be http://admin:password@host:port";
        let rest = url.strip_prefix("http://").expect(FORM).trim_end_matches('/');
        let (user, host) = rest.rsplit_once('@').expect(FORM);
        let (name, password) = user.split_once(':').expect(FORM);
        let mut couch = Self {
            url: format!("http://{host}"),
            address: host.to_socket_addrs().unwrap().next().unwrap(),
            admin: (name.to_owned(), password.to_owned()),
            secret: String::new(),
            is_real: true,
            _process: None,
        };
        let secret = couch.request("GET", "/_node/_local/_config/chttpd_auth/secret", &[], b"");
        secret.expect(200).json().as_str().unwrap().clone_into(&mut couch.secret);
        couch
    }

    /// A request to the server itself, past couchgate, by its admin.
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let authorization = basic(&self.admin.0, &self.admin.1);
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        Connection::open(self.address).request(method, target, &all, body)
    }

    #[track_caller]
    pub fn put(&self, target: &str, body: &Value) -> Reply {
        let json = [("Content-Type", "application/json")];
        let reply = self.request("PUT", target, &json, body.to_string().as_bytes());
        assert!(matches!(reply.status, 200..300), "{reply:?}");
        reply
    }

    /// A database of the test's own that users with the role `dev` may read and write.
    #[track_caller]
    pub fn database(&self) -> String {
        let name = unique("db");
        self.request("PUT", &format!("/{name}"), &[], b"").expect(201);
        let members = json!({ "admins": {}, "members": { "names": [], "roles": ["dev"] } });
        self.put(&format!("/{name}/_security"), &members);
        name
    }

    /// A user of the test's own.
    #[track_caller]
    pub fn user(&self, password: &str, roles: &[&str]) -> String {
        let name = unique("user");
        let document = json!({
            "name": name, "type": "user", "roles": roles, "password": password,
        });
        self.put(&format!("/_users/org.couchdb.user:{name}"), &document);
        name
    }

    /// Changes fields of a user document.
    #[track_caller]
    pub fn change_user(&self, name: &str, fields: &Value) {
        let path = format!("/_users/org.couchdb.user:{name}");
        let mut document = self.request("GET", &path, &[], b"").expect(200).json();
        for (key, value) in fields.as_object().unwrap() {
            document[key] = value.clone();
        }
        self.put(&path, &document);
    }
}

/// A name that no other test uses, nor an earlier run against the same server.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("cg-{what}-{:x}-{}-{count}", run.as_micros(), std::process::id())
}

/// Installs a directory's npm packages as its lockfile has them, once and again when it changes.
pub fn install(directory: &Path) {
    let lock = std::fs::File::create(directory.join(".install.lock")).unwrap();
    // Several test programs may come here at the same time.
    lock.lock().unwrap();
    let written = |file: &str| directory.join(file).metadata().and_then(|file| file.modified());
    let installed = written("node_modules/.package-lock.json");
    if installed.is_ok_and(|installed| installed >= written("package-lock.json").unwrap()) {
        return;
    }
    let status = Command::new("npm")
        .current_dir(directory)
        .args(["ci", "--no-audit", "--no-fund", "--silent"])
        .status()
        .expect("npm is needed: apt-get install nodejs npm");
    assert!(status.success(), "npm ci failed in {}", directory.display());
}
