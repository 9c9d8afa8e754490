//! Credentials stop at couchgate, whoever won; everything else about a request goes on byte for
//! byte.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{
    Gate, Recorder, SECRET, basic,
    sign::{session_cookie, token},
};

fn upstream() -> Recorder {
    let upstream = Recorder::start();
    upstream.user("jan", "apple", &["dev"]).user("pomme", "pear", &[]);
    upstream
}

fn cookie_of_jan() -> String {
    session_cookie(SECRET, "salt", "jan", 5, "sha256")
}

/// Sends `GET /db` and tells whom CouchDB heard of.
fn user(gate: &Gate, upstream: &Recorder, headers: &[(&str, &str)]) -> Option<String> {
    gate.get("/db", headers).expect(200);
    let request = upstream.only();
    for credential in ["authorization", "proxy-authorization"] {
        assert!(request.folded(credential).is_empty(), "{headers:?}: {request:?}");
    }
    let name = request.all("x-auth-couchdb-username").first().map(|name| name.to_vec());
    name.map(|name| String::from_utf8(name).unwrap())
}

#[test]
fn authorization_never_passes() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let jan = basic("jan", "apple");
    for (authorization, expected) in [
        (jan.as_str(), Some("jan")),
        (&jan.replace("Basic", "BASIC"), Some("jan")),
        (&basic("_", "_"), None),
        // Base64 of a name without a colon.
        ("Basic amFu", None),
        ("Basic", None),
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJqYW4ifQ.", None),
        ("Digest username=\"jan\", realm=\"server\", nonce=\"1\", response=\"2\"", None),
        ("Negotiate YII=", None),
        ("OAuth realm=\"x\", oauth_signature=\"s\"", None),
        ("AWS4-HMAC-SHA256 Credential=a/b", None),
        ("x", None),
        ("", None),
    ] {
        for name in ["Authorization", "AUTHORIZATION"] {
            let heard = user(&gate, &upstream, &[(name, authorization)]);
            assert_eq!(heard.as_deref(), expected, "{authorization:?}");
        }
    }
    let heard = user(&gate, &upstream, &[("Proxy-Authorization", &jan)]);
    assert_eq!(heard, None, "that is for a proxy of another kind");
}

#[test]
fn all_credentials_stop_whoever_wins() {
    let upstream = upstream();
    let cookie = format!("AuthSession={}", cookie_of_jan());
    let pomme = basic("pomme", "pear");
    let signed = token(SECRET, "front");
    let all = [
        ("Cookie", cookie.as_str()),
        ("Authorization", &pomme),
        ("X-Auth-CouchDB-UserName", "front"),
        ("X-Auth-CouchDB-Token", &signed),
    ];
    for (handlers, winner) in [
        ("cookie, proxy, default", Some("jan")),
        ("proxy, default, cookie", Some("front")),
        ("default, cookie, proxy", Some("pomme")),
        // What no handler of this configuration consumes is a credential all the same.
        ("cookie", Some("jan")),
        ("default", Some("pomme")),
        ("proxy", Some("front")),
    ] {
        let ini = format!("[chttpd]\nauthentication_handlers = {handlers}\n");
        let gate = Gate::start(&upstream.url, &ini);
        gate.get("/db", &all).expect(200);
        let request = upstream.only();
        assert!(request.folded("authorization").is_empty(), "{handlers}: {request:?}");
        assert!(request.folded("cookie").is_empty(), "{handlers}: {request:?}");
        let heard = request.folded("x-auth-couchdb-username");
        assert_eq!(heard, winner.map(str::as_bytes).into_iter().collect::<Vec<_>>(), "{handlers}");
        assert_eq!(request.folded("x-auth-couchdb-token").len(), heard.len(), "{handlers}");
    }
}

#[test]
fn two_authorizations_are_one_too_many() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let (jan, pomme) = (basic("jan", "apple"), basic("pomme", "pear"));
    for second in [&pomme, &jan, "Bearer x", ""] {
        let headers = [("Authorization", jan.as_str()), ("authorization", second)];
        let reply = gate.get("/db", &headers).expect(400);
        assert_eq!(reply.json()["error"], "bad_request");
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn the_session_cookie_never_passes_and_others_stay() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let session = cookie_of_jan();
    // `@` stands for the session's value; lines of Cookie headers, and those that go on.
    let rows: &[(&[&str], &[&str])] = &[
        (&["AuthSession=@"], &[]),
        (&["AuthSession=@;"], &[]),
        (&["AuthSession=@; a=b"], &["a=b"]),
        (&["a=b; AuthSession=@"], &["a=b"]),
        (&["a=b; AuthSession=@; c=d"], &["a=b; c=d"]),
        (&["a=b;AuthSession=@;c=d"], &["a=b;c=d"]),
        (&["a=b, AuthSession=@, c=d"], &["a=b, c=d"]),
        (&["  AuthSession  =  @  ; a=b"], &["a=b"]),
        (&["\tAuthSession\t=\t@"], &[]),
        (&["AuthSession=\"@\"; a=b"], &["a=b"]),
        (&["a=b; AuthSession = \"@\""], &["a=b"]),
        (&["AuthSession=@; AuthSession=@"], &[]),
        (&["AuthSession=@; a=b; AuthSession=x; c=d"], &["a=b; c=d"]),
        (&["AuthSession=@", "a=b"], &["a=b"]),
        (&["a=b", "AuthSession=@"], &["a=b"]),
        (&["a=b", "c=d; AuthSession=@", "e=f"], &["a=b", "c=d", "e=f"]),
        (&["AuthSession=@", "AuthSession=x"], &[]),
        (&["AuthSession=@; $Path=/; a=b"], &["$Path=/; a=b"]),
        // Others, however much they look like it.
        (
            &["AuthSession=@; XAuthSession=1; AuthSessionX=2; AuthSession.x=3; authsession=4"],
            &["XAuthSession=1; AuthSessionX=2; AuthSession.x=3; authsession=4"],
        ),
        (&["AuthSession\u{e4}=1; AuthSession=@"], &["AuthSession\u{e4}=1"]),
        (
            &["AuthSession=@; a=AuthSession=1; b=\"AuthSession=2\""],
            &["a=AuthSession=1; b=\"AuthSession=2\""],
        ),
        (
            &["AuthSession=@; a=\"b c\";  d = e ; f; =g; h=\u{e4}"],
            &["a=\"b c\";  d = e ; f; =g; h=\u{e4}"],
        ),
    ];
    for (lines, expected) in rows {
        let lines: Vec<String> = lines.iter().map(|line| line.replace('@', &session)).collect();
        let headers: Vec<_> = lines.iter().map(|line| ("Cookie", line.as_str())).collect();
        gate.get("/db", &headers).expect(200);
        let request = upstream.only();
        let kept: Vec<_> =
            request.all("cookie").into_iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(kept, *expected, "{lines:?}");
        let told = request.all("x-auth-couchdb-username");
        assert_eq!(told, [b"jan"], "{lines:?}");
    }
}

#[test]
fn a_session_cookie_that_is_nobodys_does_not_pass_either() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for (what, value) in [
        ("expired", session_cookie(SECRET, "salt", "jan", 601, "sha256")),
        ("of another server", session_cookie("other", "salt", "jan", 5, "sha256")),
        ("of nobody", session_cookie(SECRET, "", "nobody", 5, "sha256")),
        ("empty", String::new()),
        ("unclosed", "\"".to_owned()),
    ] {
        let cookie = format!("a=b; AuthSession={value}; c=d");
        let status = gate.get("/db", &[("Cookie", &cookie)]).status;
        let arrived = upstream.take();
        if what == "unclosed" {
            assert_eq!((status, arrived.len()), (400, 0));
            continue;
        }
        assert_eq!(status, 200, "{what}");
        assert_eq!(arrived[0].all("cookie"), [b"a=b; c=d"], "{what}");
        assert!(arrived[0].folded("x-auth-couchdb-username").is_empty(), "{what}");
    }
}

#[test]
fn cookies_without_a_session_stay_byte_for_byte() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    for cookie in ["a=b", "a=b;; c=d ;", "a=\"x; y\", b=c", ";", "=", "a=b; a=b", "AuthSessio=n"] {
        gate.get("/db", &[("Cookie", cookie), ("Cookie", "z")]).expect(200);
        let request = upstream.only();
        assert_eq!(request.all("cookie"), [cookie.as_bytes(), b"z"], "{cookie:?}");
    }
}

#[test]
fn the_query_and_other_headers_stay_byte_for_byte() {
    let upstream = upstream();
    let gate = Gate::start(&upstream.url, "");
    let jan = basic("jan", "apple");
    for query in [
        "",
        "?",
        "?a=b&a=b&&;c",
        "?startkey=[%22a%22,{}]&endkey=%5B%22a%22%5D",
        "?x=%2F%2f%41+%20~!$'()*,:@/?",
        "?AuthSession=1&Authorization=2&X-Auth-CouchDB-Roles=3",
        "?name=jan&password=apple",
    ] {
        for credential in [&[][..], &[("Authorization", jan.as_str())]] {
            let mut headers = vec![("X-Other", "a,  b\t\u{e4}"), ("If-Match", "\"1-a\"")];
            headers.extend_from_slice(credential);
            gate.get(&format!("/db/a%2Fb//c{query}"), &headers).expect(200);
            let request = upstream.only();
            assert_eq!(request.target, format!("/db/a%2Fb//c{query}").as_bytes());
            assert_eq!(request.all("x-other"), ["a,  b\t\u{e4}".as_bytes()]);
            assert_eq!(request.all("if-match"), [b"\"1-a\""]);
        }
    }
}
