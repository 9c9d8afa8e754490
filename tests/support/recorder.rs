//! An upstream that records exactly what arrives, and answers what it is told.
//!
//! What couchgate itself asks (users, server admins, the changes feed, `/_session`) is answered
//! from a few users, or as a test says, and not recorded.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    /// The target's bytes.
    pub target: Vec<u8>,
    /// Names as they were written; trailers too, for there is a server that would believe them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Decoded where it was chunked.
    pub body: Vec<u8>,
    pub chunked: bool,
    /// Counts connections, so that reuse can be seen.
    pub connection: usize,
}

impl Recorded {
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let same = |key: &str| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(|(key, _)| same(key)).map(|(_, v)| v.as_slice()).collect()
    }

    /// Every header whose name is `name` once case and `_` are folded.
    pub fn folded(&self, name: &str) -> Vec<&[u8]> {
        let fold = |text: &str| text.to_ascii_lowercase().replace('_', "-");
        let same = |key: &str| fold(key) == fold(name);
        self.headers.iter().filter(|(key, _)| same(key)).map(|(_, v)| v.as_slice()).collect()
    }
}

/// What to do with a request: the bytes to answer with, after which the connection goes on, or
/// closes.
pub enum Action {
    Answer(Vec<u8>),
    AnswerAndClose(Vec<u8>),
    /// Closes without a byte.
    Close,
}

type Script = dyn Fn(&Recorded) -> Action + Send + Sync;
type OwnScript = dyn Fn(&Recorded) -> Option<Action> + Send + Sync;

pub struct Recorder {
    pub address: SocketAddr,
    pub url: String,
    state: Arc<State>,
}

struct State {
    requests: Mutex<Vec<Recorded>>,
    users: Mutex<HashMap<String, Value>>,
    admins: Mutex<Value>,
    own_script: Mutex<Option<Arc<OwnScript>>>,
    names_own: AtomicBool,
    script: Box<Script>,
    connections: Mutex<usize>,
}

impl Recorder {
    /// Answers everything with `{"ok":true}`.
    pub fn start() -> Self {
        Self::scripted(|_| Action::Answer(ok(b"{\"ok\":true}\n")))
    }

    pub fn scripted(script: impl Fn(&Recorded) -> Action + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            requests: Mutex::default(),
            users: Mutex::default(),
            admins: Mutex::new(json!({})),
            own_script: Mutex::default(),
            names_own: AtomicBool::new(false),
            script: Box::new(script),
            connections: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, url: format!("http://{address}"), state }
    }

    /// A user whose password is hashed by the old simple scheme.
    pub fn user(&self, name: &str, password: &str, roles: &[&str]) -> &Self {
        self.user_document(name, simple_user(name, password, roles))
    }

    pub fn user_document(&self, name: &str, document: Value) -> &Self {
        self.state.users.lock().unwrap().insert(name.to_owned(), document);
        self
    }

    pub fn admins(&self, admins: Value) -> &Self {
        *self.state.admins.lock().unwrap() = admins;
        self
    }

    /// Answers what couchgate itself asks, instead of the usual where the script says something.
    pub fn own(&self, script: impl Fn(&Recorded) -> Option<Action> + Send + Sync + 'static) {
        *self.state.own_script.lock().unwrap() = Some(Arc::new(script));
    }

    /// Names couchgate's own requests in the usual answers, as CouchDB does.
    pub fn names_own(&self) {
        self.state.names_own.store(true, Ordering::SeqCst);
    }

    /// What arrived so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    /// What arrived since the last call.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// The one request that arrived since the last call.
    #[track_caller]
    pub fn only(&self) -> Recorded {
        let mut requests = self.take();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

/// A 200 answer with a JSON body.
pub fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", body)
}

/// The line by which CouchDB names a request in its answer.
pub fn name_of(request: &Recorded) -> String {
    let id = request.all("x-couch-request-id").first().copied().unwrap_or_default();
    format!("X-Couch-Request-ID: {}", String::from_utf8_lossy(id))
}

/// An answer with a JSON body.
pub fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A user document with the simple scheme: hex SHA-1 of password and salt.
pub fn simple_user(name: &str, password: &str, roles: &[&str]) -> Value {
    use sha1::{Digest, Sha1};
    let hash = Sha1::digest(format!("{password}salt"));
    let hash = hash.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    json!({
        "_id": format!("org.couchdb.user:{name}"), "name": name, "type": "user", "roles": roles,
        "password_sha": hash, "salt": "salt",
    })
}

impl State {
    fn serve(&self, stream: TcpStream) {
        let connection = {
            let mut count = self.connections.lock().unwrap();
            *count += 1;
            *count
        };
        let Ok(mut writer) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader, connection) {
            let own = self.own(&request);
            if own.is_none() {
                self.requests.lock().unwrap().push(request.clone());
            }
            let (bytes, close) = match own.unwrap_or_else(|| (self.script)(&request)) {
                Action::Answer(bytes) => (bytes, false),
                Action::AnswerAndClose(bytes) => (bytes, true),
                Action::Close => return,
            };
            if writer.write_all(&bytes).is_err() || close {
                return;
            }
            if is_feed(&request) && bytes.starts_with(b"HTTP/1.1 200 ") {
                // Nothing ever changes; the feed lasts until couchgate goes away.
                let _ = reader.read(&mut [0]);
                return;
            }
        }
    }

    /// What couchgate itself asks: all that it forwards says for whom.
    fn own(&self, request: &Recorded) -> Option<Action> {
        if !request.folded("x-forwarded-for").is_empty() {
            return None;
        }
        let script = self.own_script.lock().unwrap().clone();
        let scripted = script.and_then(|script| script(request));
        if scripted.is_some() {
            return scripted;
        }
        let mut answer = self.usual(request)?;
        // CouchDB does not name this one.
        let is_session = request.target.starts_with(b"/_session");
        if self.names_own.load(Ordering::SeqCst) && !is_session {
            let end = answer.windows(2).position(|end| end == b"\r\n")?;
            answer.splice(end..end, format!("\r\n{}", name_of(request)).into_bytes());
        }
        Some(Action::Answer(answer))
    }

    fn usual(&self, request: &Recorded) -> Option<Vec<u8>> {
        let is_service_user = request.all("x-auth-couchdb-username") == [b"couchgate"];
        let target = std::str::from_utf8(&request.target).ok()?;
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let found = match path {
            "/_session" if is_service_user => {
                json!({ "ok": true, "userCtx": { "name": "couchgate", "roles": ["_admin"] },
                "info": { "authentication_handlers": ["cookie", "proxy", "default"] } })
            }
            "/_session" => json!({ "ok": true, "userCtx": { "name": null, "roles": [] } }),
            _ if !is_service_user => return None,
            "/_node/_local/_config/admins" => self.admins.lock().unwrap().clone(),
            "/_users" => json!({ "db_name": "_users", "update_seq": 0 }),
            "/_users/_all_docs" => json!({ "rows": [] }),
            "/_users/_changes" => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n";
                return Some(head.as_bytes().to_vec());
            }
            _ => {
                let name = path.strip_prefix("/_users/org.couchdb.user:")?;
                let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
                let Some(user) = self.users.lock().unwrap().get(&*name).cloned() else {
                    let missing = json!({ "error": "not_found", "reason": "missing" });
                    return Some(answer("404 Object Not Found", missing.to_string().as_bytes()));
                };
                user
            }
        };
        Some(ok(found.to_string().as_bytes()))
    }
}

fn is_feed(request: &Recorded) -> bool {
    request.target.starts_with(b"/_users/_changes")
}

fn read(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Recorded> {
    let line = read_line(reader)?;
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let method = String::from_utf8_lossy(words.next()?).into_owned();
    let rest = words.next()?;
    let target = rest.strip_suffix(b" HTTP/1.1")?.to_vec();
    let headers = read_headers(reader)?;
    let mut recorded =
        Recorded { method, target, headers, body: Vec::new(), chunked: false, connection };
    if recorded.all("transfer-encoding") == [b"chunked"] {
        recorded.chunked = true;
        loop {
            let size = String::from_utf8(read_line(reader)?).ok()?;
            let size = usize::from_str_radix(&size, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            if size == 0 {
                recorded.headers.extend(read_headers(reader)?);
                break;
            }
            reader.read_exact(&mut chunk).ok()?;
            recorded.body.extend_from_slice(&chunk[..size]);
        }
    } else if let [length] = recorded.all("content-length")[..] {
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        recorded.body.resize(length, 0);
        reader.read_exact(&mut recorded.body).ok()?;
    }
    Some(recorded)
}

fn read_headers(reader: &mut BufReader<TcpStream>) -> Option<Vec<(String, Vec<u8>)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some(headers);
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}
