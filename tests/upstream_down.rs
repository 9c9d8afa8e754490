//! CouchDB comes and goes; couchgate says so, and goes on when it is back.

#![allow(clippy::float_cmp, reason = "metrics are counts")]

mod support;

use std::time::{Duration, Instant};

use support::{Couch, Gate, Link, Recorder, basic, eventually};

#[test]
fn couchgate_recovers_by_itself() {
    let couch = Couch::shared();
    let mut link = Link::to(couch.address);
    let gate = Gate::start(&link.url, &format!("[chttpd_auth]\nsecret = {}\n", couch.secret));
    let db = couch.database();
    let authorization = basic(&couch.user("apple", &["dev"]), "apple");
    let headers = [("Authorization", authorization.as_str())];
    let down = || {
        let anonymous = gate.get("/", &[]).expect(502);
        let reason = "CouchDB cannot be reached.";
        let expected = serde_json::json!({ "error": "bad_gateway", "reason": reason });
        assert_eq!(anonymous.json(), expected);
        assert_eq!(anonymous.header("content-type"), Some("application/json"));
        // The connection to the client is none the worse.
        let mut client = gate.connect();
        client.request("PUT", "/db", &[], b"{}").expect(502);
        client.request("GET", "/db", &[], b"").expect(502);
    };
    let up = || {
        gate.get("/", &[]).expect(200);
        gate.get(&format!("/{db}"), &headers).expect(200);
    };

    down();
    // Who is asking is not known: that is not nobody.
    let unknown = gate.get(&format!("/{db}"), &headers).expect(503);
    assert_eq!(unknown.json()["error"], "service_unavailable");
    assert_eq!(unknown.header("retry-after"), Some("1"));
    assert!(unknown.header("www-authenticate").is_none());
    for _ in 0..2 {
        link.up();
        up();
        eventually("the users' feed", || {
            (gate.metric("couchgate_users_feed_connected") == 1.0).then_some(())
        });
        link.down();
        down();
    }
    link.up();
    up();
}

#[test]
fn requests_go_to_the_nodes_that_are_up() {
    let nodes = [Recorder::start(), Recorder::start()];
    let mut links = [Link::to(nodes[0].address), Link::to(nodes[1].address)];
    links.iter_mut().for_each(Link::up);
    let upstream = format!("{}, {}", links[0].url, links[1].url);
    let gate = Gate::start(&upstream, "");
    let arrived = || {
        for _ in 0..20 {
            gate.get("/db", &[]).expect(200);
        }
        [nodes[0].take().len(), nodes[1].take().len()]
    };
    let both = arrived();
    assert!(both.iter().all(|count| *count >= 5), "{both:?}");
    for down in [0, 1] {
        links[down].down();
        let mut expected = [20, 20];
        expected[down] = 0;
        assert_eq!(arrived(), expected);
        links[down].up();
        eventually("the node that is back", || (arrived()[down] > 0).then_some(()));
    }
    links.iter_mut().for_each(Link::down);
    gate.get("/db", &[]).expect(502);
}

/// Nobody waits for a node that was refused a moment ago while another one is there.
#[test]
fn a_node_that_does_not_answer_costs_its_timeout_once() {
    let node = Recorder::start();
    // Its backlog is full: connections are neither accepted nor refused.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let gate =
        Gate::start(&format!("http://{address}, {}", node.url), "[couchgate]\nconnect_timeout = 1");
    let began = Instant::now();
    for _ in 0..10 {
        gate.get("/db", &[]).expect(200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(node.take().len(), 10);
}
