//! A server's address that can go away and come back.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use socket2::{Domain, Socket, Type};

/// Relays connections to a server while it is up. While it is down, connections are refused.
pub struct Link {
    pub address: SocketAddr,
    pub url: String,
    server: SocketAddr,
    state: State,
}

enum State {
    Down(Socket),
    Up { connections: Arc<Mutex<Connections>>, thread: thread::JoinHandle<()> },
    Changing,
}

#[derive(Default)]
struct Connections {
    closed: bool,
    open: Vec<TcpStream>,
}

impl Link {
    /// Down at first.
    pub fn to(server: SocketAddr) -> Self {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, url: format!("http://{address}"), server, state: State::Down(socket) }
    }

    pub fn up(&mut self) {
        let State::Down(socket) = std::mem::replace(&mut self.state, State::Changing) else {
            panic!("it is up already");
        };
        socket.listen(128).unwrap();
        let listener = TcpListener::from(socket);
        let connections = Arc::new(Mutex::new(Connections::default()));
        let (shared, server) = (Arc::clone(&connections), self.server);
        let thread = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut connections = shared.lock().unwrap();
                if connections.closed {
                    return;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    from.set_nodelay(true).unwrap();
                    connections.open.push(from.try_clone().unwrap());
                    relay(from, to);
                }
            }
        });
        self.state = State::Up { connections, thread };
    }

    /// Closes the listener and every connection.
    pub fn down(&mut self) {
        let State::Up { connections, thread } = std::mem::replace(&mut self.state, State::Changing)
        else {
            panic!("it is down already");
        };
        {
            let mut connections = connections.lock().unwrap();
            connections.closed = true;
            for stream in &connections.open {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // Wakes the listener, so that it sees that it is closed.
        let _ = TcpStream::connect(self.address);
        thread.join().unwrap();
        // The port stays ours.
        self.state = State::Down(bound(self.address));
    }
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn relay(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = from.shutdown(Shutdown::Read);
        let _ = to.shutdown(Shutdown::Write);
    });
}
