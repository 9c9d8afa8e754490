//! couchgate as a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::{
    SECRET, eventually,
    http::{Connection, Reply},
};

/// A running couchgate; killed when dropped.
pub struct Gate {
    child: Child,
    /// Where clients come in.
    pub address: SocketAddr,
    /// Where clients come in with TLS.
    pub tls: Option<SocketAddr>,
    /// Where operators look.
    pub admin: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
    _ini: NamedTempFile,
}

impl Gate {
    /// Starts couchgate in front of `upstream` with all handlers; `ini` is added to the
    /// configuration and wins.
    #[track_caller]
    pub fn start(upstream: &str, ini: &str) -> Self {
        let base = format!(
            "[couchgate]\nupstream = {upstream}\nport = 0\nadmin_bind = 127.0.0.1:0\n\
             [chttpd]\nauthentication_handlers = oauth, cookie, proxy, authkey, download_token, \
             default\n\
             [chttpd_auth]\nsecret = {SECRET}\n[log]\nformat = json\n{ini}\n"
        );
        let mut file = NamedTempFile::with_suffix(".ini").unwrap();
        file.write_all(base.as_bytes()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_couchgate"))
            .env_clear()
            .arg("--config")
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (started, start) = mpsc::channel();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if line["message"] == "couchgate listens" || line.is_string() {
                    let _ = started.send(line.clone());
                }
                lines.lock().unwrap().push(line);
            }
        });
        let first = start.recv_timeout(Duration::from_secs(10)).unwrap();
        let address = |key: &str| first[key].as_str().and_then(|text| text.parse().ok());
        Self {
            address: address("clients").unwrap_or_else(|| panic!("couchgate says: {first}")),
            tls: address("tls"),
            admin: address("admin").unwrap(),
            child,
            log,
            _ini: file,
        }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.connect().request(method, target, headers, body)
    }

    #[track_caller]
    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.request("GET", target, headers, b"")
    }

    /// A page of the admin listener.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Reply {
        Connection::open(self.admin).request("GET", path, &[], b"")
    }

    /// The value of a metric, with its labels as Prometheus writes them.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let page = String::from_utf8(self.admin("/metrics").expect(200).body).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most memory that was ever resident, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// The processor time it has taken, in the kernel's ticks of 10 ms.
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is the program's name in parentheses (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks couchgate to stop, as the operating system does.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("couchgate exits", || self.child.try_wait().unwrap())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
