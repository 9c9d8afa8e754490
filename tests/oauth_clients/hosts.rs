//! Hosts, ports and schemes: what the client used is what counts, also behind a front end.

use serde_json::{Value, json};

use super::{
    ALL, Client, DB, Jan, PYTHON,
    programs::ini,
    support::{Authority, Gate, Recorder},
};

const OAUTH10A: &[Client] = &[Client::Oauth10a];
const TRUSTING: &str = "[couchgate]\ntrusted_proxies = 127.0.0.1\n";

/// What a front end with TLS says.
fn https() -> Value {
    json!({ "headers": { "X-Forwarded-Proto": "https" } })
}

#[test]
fn a_schemes_default_port_is_not_signed() {
    let jan = Jan::start(TRUSTING);
    let rows: &[(&str, Value, &[Client], &[Client])] = &[
        ("http://couch.example", json!({}), &ALL, &[]),
        ("http://couch.example:5984", json!({}), &ALL, &[]),
        ("http://couch.example:8080", json!({}), &ALL, &[]),
        ("http://couch.example:443", json!({}), &ALL, &[]),
        ("http://[::1]:5984", json!({}), &ALL, &[]),
        ("http://[::1]", json!({}), &ALL, &[]),
        ("https://couch.example", https(), &ALL, &[]),
        ("https://couch.example:6984", https(), &ALL, &[]),
        ("https://couch.example:80", https(), &ALL, &[]),
        // oauth-1.0a signs the URL as it was written (RFC 5849 section 3.4.1.2).
        ("http://couch.example:80", json!({}), PYTHON, OAUTH10A),
        ("http://[::1]:80", json!({}), PYTHON, OAUTH10A),
        ("https://couch.example:443", https(), PYTHON, OAUTH10A),
        ("http://Couch.EXAMPLE:5984", json!({}), PYTHON, OAUTH10A),
    ];
    for (origin, fields, believed, refused) in rows {
        let url = format!("{origin}/db/doc?a=1");
        for client in *believed {
            jan.is_believed(*client, "GET", &url, fields);
        }
        for client in *refused {
            jan.is_refused(*client, "GET", &url, fields);
        }
    }
}

#[test]
fn another_host_or_port_is_another_request() {
    let jan = Jan::start("");
    for client in [Client::Oauthlib, Client::Oauth10a] {
        for host in ["couch.example", "couch.example:80", "couch.example:5985", "other:5984"] {
            jan.is_refused(client, "GET", &format!("{DB}/doc"), &json!({ "host": host }));
        }
    }
}

#[test]
fn only_a_trusted_front_end_says_what_its_client_used() {
    let inside = "127.0.0.1:5994";
    let forwarded = |proto: &str, host: &str| {
        json!({ "host": inside, "headers": {
            "X-Forwarded-Proto": proto, "X-Forwarded-Host": host,
        }})
    };
    let rows = [
        ("https://couch.example", https()),
        ("https://couch.example", forwarded("https", "couch.example")),
        ("https://couch.example:6984", forwarded("https", "couch.example:6984")),
        ("http://couch.example", forwarded("http", "couch.example")),
        ("http://couch.example:8080", forwarded("http", "couch.example:8080")),
    ];
    let trusting = Jan::start(TRUSTING);
    let others = ["", "[couchgate]\ntrusted_proxies = 10.0.0.0/8\n"].map(Jan::start);
    for client in ALL {
        for (origin, fields) in &rows {
            let url = format!("{origin}/db/doc?a=1");
            trusting.is_believed(client, "GET", &url, fields);
            for other in &others {
                other.is_refused(client, "GET", &url, fields);
            }
        }
        // The front end's word holds against its client's too.
        let plain = forwarded("http", "couch.example");
        trusting.is_refused(client, "GET", "https://couch.example/db/doc", &plain);
    }
}

#[test]
fn couchgates_own_tls_is_https() {
    let authority = Authority::new();
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]);
    let gate = Gate::start(&upstream.url, &format!("{}{}", authority.ssl(), ini("jan")));
    let (tls, plain) = (gate.tls.unwrap(), gate.address);
    for client in ALL {
        for signature in ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"] {
            for place in ["header", "query"] {
                let fields = json!({
                    "ca": authority.file("ca.pem"), "signature": signature, "place": place,
                });
                let url = format!("https://{tls}/db/doc?a=%2F");
                let answer = client.send(tls, "GET", &url, &fields);
                assert_eq!(answer.status, 200, "{client}: {fields}: {answer:?}");
                let request = upstream.only();
                assert_eq!(request.target, b"/db/doc?a=%2F");
                assert_eq!(request.all("x-auth-couchdb-username"), [b"jan"]);
            }
        }
        // The secrets themselves do not belong on a wire that anybody reads.
        let answer = client.send(
            plain,
            "GET",
            &format!("http://{plain}/db"),
            &json!({ "signature": "PLAINTEXT" }),
        );
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("bad_request")));
        assert_eq!(upstream.take().len(), 0);
    }
}
