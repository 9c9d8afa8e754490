//! An upstream whose every move the test makes: bodies of any size, feeds that wait, answers that
//! stop in the middle.
//!
//! What couchgate itself asks is answered with 404, unless it is for the document that a test gives:
//! nobody can log in here.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// A test that waits longer has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct StreamUpstream {
    pub address: SocketAddr,
    pub url: String,
    arrivals: Mutex<Receiver<Exchange>>,
}

impl StreamUpstream {
    pub fn start() -> Self {
        Self::with_document("", "")
    }

    /// Has one document for couchgate itself.
    pub fn with_document(path: &'static str, document: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let arrived = arrived.clone();
                thread::spawn(move || receive(stream, &arrived, (path, document)));
            }
        });
        Self { address, url: format!("http://{address}"), arrivals: Mutex::new(arrivals) }
    }

    /// The next request of a client's. Its body has not been read.
    #[track_caller]
    pub fn next(&self) -> Exchange {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals.recv_timeout(PATIENCE).expect("no request arrives upstream")
    }
}

/// A request that waits for what the test does with it. Dropping it closes the connection.
pub struct Exchange {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
}

impl Exchange {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Begins a chunked answer, as CouchDB's feeds are.
    #[track_caller]
    pub fn begin_chunks(&mut self) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        self.write(head.as_bytes()).unwrap();
    }

    /// An empty one is the last.
    pub fn chunk(&mut self, data: &[u8]) -> io::Result<()> {
        let size = format!("{:x}\r\n", data.len());
        self.write(&[size.as_bytes(), data, b"\r\n"].concat())
    }

    /// A whole answer, after which the connection closes.
    #[track_caller]
    pub fn answer(mut self, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n");
        self.write(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
    }

    /// The request's body.
    pub fn body(&mut self) -> Body<'_> {
        let is_chunked = self.header("transfer-encoding") == Some("chunked");
        let length = self.header("content-length").map_or(0, |length| length.parse().unwrap());
        if is_chunked {
            Body::chunked(&mut self.stream)
        } else {
            Body::known(&mut self.stream, length)
        }
    }

    /// Whether couchgate closes the connection within `time`; what it sends meanwhile is read.
    pub fn is_closed_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut scratch = [0; 16 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut scratch) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(0) | Err(_) => return true,
            }
        }
    }
}

/// A body, decoded as it is read. One that breaks off is an error.
pub struct Body<'a> {
    stream: &'a mut BufReader<TcpStream>,
    /// In the body, or in the chunk.
    left: u64,
    more_chunks: bool,
}

impl<'a> Body<'a> {
    pub fn known(stream: &'a mut BufReader<TcpStream>, length: u64) -> Self {
        Self { stream, left: length, more_chunks: false }
    }

    pub fn chunked(stream: &'a mut BufReader<TcpStream>) -> Self {
        Self { stream, left: 0, more_chunks: true }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut size = String::new();
        self.stream.read_line(&mut size)?;
        self.left = u64::from_str_radix(size.trim_end(), 16).map_err(io::Error::other)?;
        if self.left == 0 {
            self.more_chunks = false;
            self.end_chunk()?;
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; b"\r\n".len()])
    }
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && self.more_chunks {
            self.next_chunk()?;
        }
        if self.left == 0 {
            return Ok(0);
        }
        let room = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        let n = self.stream.read(&mut into[..room])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        if self.left == 0 && self.more_chunks {
            self.end_chunk()?;
        }
        Ok(n)
    }
}

/// Takes requests from a connection until one is a client's.
fn receive(stream: TcpStream, arrived: &Sender<Exchange>, (path, document): (&str, &str)) {
    let mut stream = BufReader::new(stream);
    while let Some(mut exchange) = head(stream) {
        // All that couchgate forwards says for whom.
        if exchange.header("x-forwarded-for").is_some() {
            // Where the test has ended nobody waits for it.
            let _ = arrived.send(exchange);
            return;
        }
        let found = exchange.target == path;
        let (status, body) =
            if found { ("200 OK", document) } else { ("404 Object Not Found", "") };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if exchange.write(answer.as_bytes()).is_err() {
            return;
        }
        stream = exchange.stream;
    }
}

fn head(mut stream: BufReader<TcpStream>) -> Option<Exchange> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Some(Exchange { method, target, headers, stream })
}
