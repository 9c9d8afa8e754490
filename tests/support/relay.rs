//! A TCP relay in front of a server: it can cut its changes feeds, and hold answers back.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use memchr::memmem;

pub struct Relay {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    controls: Mutex<Controls>,
    changed: Condvar,
}

#[derive(Default)]
struct Controls {
    feeds_refused: bool,
    feeds: Vec<TcpStream>,
    /// Answers to requests whose head has this in it stay here.
    hold: Option<Vec<u8>>,
    held: usize,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(client, server));
            }
        });
        Self { url, state }
    }

    /// Ends every changes feed, and refuses new ones.
    pub fn refuse_feeds(&self) {
        let mut controls = self.state.controls.lock().unwrap();
        controls.feeds_refused = true;
        for feed in controls.feeds.drain(..) {
            let _ = feed.shutdown(Shutdown::Both);
        }
    }

    pub fn accept_feeds(&self) {
        self.state.controls.lock().unwrap().feeds_refused = false;
    }

    /// Holds the answers to requests whose head has `part` in it, until they are released.
    pub fn hold(&self, part: &str) {
        self.state.controls.lock().unwrap().hold = Some(part.as_bytes().to_vec());
    }

    /// How many answers are being held.
    pub fn held(&self) -> usize {
        self.state.controls.lock().unwrap().held
    }

    pub fn release(&self) {
        self.state.controls.lock().unwrap().hold = None;
        self.state.changed.notify_all();
    }
}

impl State {
    fn serve(self: Arc<Self>, mut client: TcpStream, server: SocketAddr) {
        let mut server = TcpStream::connect(server).unwrap();
        let is_held = Arc::new(Mutex::new(false));
        let (state, hold_answer) = (Arc::clone(&self), Arc::clone(&is_held));
        let (mut answers, mut to_client) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            copy(&mut answers, &mut to_client, |_| {
                if *hold_answer.lock().unwrap() {
                    state.wait_for_release();
                }
                true
            });
        });
        // Whoever asks for users writes the head of a request without a body at once.
        let for_closing = client.try_clone().unwrap();
        copy(&mut client, &mut server, |head| {
            let mut controls = self.controls.lock().unwrap();
            let holds = |part: &Vec<u8>| memmem::find(head, part).is_some();
            *is_held.lock().unwrap() = controls.hold.as_ref().is_some_and(holds);
            if memmem::find(head, b"/_changes?").is_some() {
                controls.feeds.push(for_closing.try_clone().unwrap());
                return !controls.feeds_refused;
            }
            true
        });
    }

    fn wait_for_release(&self) {
        let mut controls = self.controls.lock().unwrap();
        controls.held += 1;
        let mut controls =
            self.changed.wait_while(controls, |controls| controls.hold.is_some()).unwrap();
        controls.held -= 1;
    }
}

/// Copies until one side ends or `passes` says no, then closes both.
fn copy(from: &mut TcpStream, to: &mut TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
