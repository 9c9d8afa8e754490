//! What the quickstart says: what runs where, and commands to try.

use std::{fmt::Write, net::SocketAddr, path::Path, time::SystemTime};

use couchgate::{
    auth::{
        download_token::AttachmentPath,
        oauth::signature::{Credentials, Signable, SignatureMethod, Signer},
    },
    config::Config,
    couch::Finding,
    user_ctx::Identity,
};

use crate::{
    couchdb::{ADMIN, SECRET},
    demo::{AUTH_KEY, CONSUMER, DOWNLOAD_TOKEN, TOKEN, USERS, token},
};

/// Where everything is.
pub(crate) struct Places<'a> {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: &'a str,
    /// For curl's cookies; the demo's configuration is there.
    pub(crate) scratch: &'a Path,
}

/// With the embedded CouchDB.
pub(crate) fn embedded(places: &Places<'_>, config: &Config) -> String {
    let Places { clients, upstream, scratch, .. } = places;
    let url = format!("http://{clients}");
    let jar = scratch.join("cookies");
    let jar = jar.display();
    let users =
        USERS.map(|(name, password, roles)| format!("{name} / {password} ({})", roles.join(", ")));
    let what = format!("in memory; server admin {}; secret {SECRET}", ADMIN.replace(':', " / "));
    let mut text = whereabouts(places, &what);
    let _ = writeln!(text, "  users       {}", users.join(", "));
    let [consumer, oauth_token] =
        [CONSUMER, TOKEN].map(|(name, secret)| format!("{name} / {secret}"));
    let _ = writeln!(text, "  oauth       consumer {consumer}, jan's token {oauth_token}");
    let _ = writeln!(text, "  auth key    {AUTH_KEY} (guest)");
    let _ = writeln!(text, "  download    token {DOWNLOAD_TOKEN} of the document welcome");
    let _ = writeln!(text, "  database    demo, for the roles dev and guest");
    let _ = writeln!(text, "  These names, passwords, keys and tokens are for this demo alone.");
    let _ = writeln!(text, "\nTry, in another terminal:");
    let mut show = |what: &str, commands: &[&str]| try_out(&mut text, what, commands);
    show("Refused without a name", &[&format!("curl {url}/demo/welcome")]);
    show("With name and password", &[&format!("curl -u jan:apple {url}/demo/welcome")]);
    show(
        "Log in once, come back with the cookie",
        &[
            &format!("curl -c {jar} -d 'name=jan&password=apple' {url}/_session"),
            &format!("curl -b {jar} {url}/_session"),
        ],
    );
    show(
        "A front end that knows the secret names its user; without a token nobody is believed",
        &[
            &format!("curl {} {url}/_session", proxy_headers(config)),
            &format!("curl {FORGED} {url}/_session"),
            &format!("curl {FORGED} {upstream}/_session"),
        ],
    );
    show(
        "A client that signs with OAuth 1.0, within 300 seconds and once: again, it is refused",
        &[&format!("curl -H '{}' {url}/demo/welcome", signed(*clients, "/demo/welcome"))],
    );
    let sign = couchgate(scratch, &format!("oauth sign GET {url}/_session"));
    show(
        "couchgate signs for you to try; cargo builds it first, which takes a minute or two",
        &[&format!("curl -H \"$({sign})\" {url}/_session")],
    );
    show(
        "A key instead of a user, in a header or in the URL; an unknown one is refused",
        &[
            &format!("curl -H 'X-Auth-Key: {AUTH_KEY}' {url}/_session"),
            &format!("curl '{url}/demo/welcome?auth_key={AUTH_KEY}'"),
            &format!("curl '{url}/demo/welcome?auth_key=keys,wrong'"),
        ],
    );
    let attachment = format!("{url}/demo/welcome/hello.txt");
    show("An attachment", &[&format!("curl -u jan:apple {attachment}")]);
    show(
        "The same for nobody in particular, who has the document's token; another is refused",
        &[
            &format!("curl '{attachment}?token={DOWNLOAD_TOKEN}'"),
            &format!("curl '{attachment}?token=wrong'"),
        ],
    );
    let link =
        couchgate(scratch, &format!("link demo welcome hello.txt --expires 1h --base {url}"));
    show(
        "A link that opens it for an hour, and how couchgate signs another",
        &[&format!("curl '{url}{}'", link_target(config)), &format!("curl \"$({link})\"")],
    );
    show(
        "A feed that stays open, and a change to see in it",
        &[
            &format!("curl -N -u jan:apple '{url}/demo/_changes?feed=continuous&heartbeat=10000'"),
            &format!(
                "curl -u pomme:pear -H 'Content-Type: application/json' -d '{{\"from\":\"pomme\"}}' \
                 {url}/demo"
            ),
        ],
    );
    text + &operators(places)
}

/// With a CouchDB of the operator's own.
pub(crate) fn own(places: &Places<'_>, config: &Config, findings: &[Finding]) -> String {
    let Places { clients, upstream, .. } = places;
    let url = format!("http://{clients}");
    let mut text = whereabouts(places, "yours; nothing was changed in it");
    if !findings.is_empty() {
        text.push_str(&wanting(findings));
    }
    let _ = writeln!(text, "\nTry, in another terminal, with your users' names:");
    let mut show = |what: &str, commands: &[&str]| try_out(&mut text, what, commands);
    show("Without a name", &[&format!("curl {url}/_session")]);
    show("A server admin, curl asks for the password", &[&format!("curl -u admin {url}/_session")]);
    show(
        "A front end that knows the secret names its user",
        &[&format!("curl {} {url}/_session", proxy_headers(config))],
    );
    show(
        "Without a token nobody may be believed: both must say \"name\":null, or 401",
        &[&format!("curl {FORGED} {url}/_session"), &format!("curl {FORGED} {upstream}/_session")],
    );
    text + &operators(places)
}

/// What is wrong with the operator's CouchDB, and the lines that put it right.
fn wanting(findings: &[Finding]) -> String {
    let mut text = String::from("\nYour CouchDB is not set up for couchgate yet:\n");
    for finding in findings {
        let _ = writeln!(text, "  - {finding}");
    }
    text + "\nIn its local.ini:\n
  [chttpd]
  authentication_handlers = {chttpd_auth, proxy_authentication_handler}, {chttpd_auth, cookie_authentication_handler}, {chttpd_auth, default_authentication_handler}

  [chttpd_auth]
  proxy_use_secret = true
  secret = (what you gave as --secret)

couchgate notices within seconds when this is done.\n"
}

/// What anyone could send who reaches the port.
const FORGED: &str = "-H 'X-Auth-CouchDB-UserName: mallory' -H 'X-Auth-CouchDB-Roles: _admin'";

fn whereabouts(places: &Places<'_>, couchdb: &str) -> String {
    let Places { clients, admin, upstream, .. } = places;
    format!(
        "\n  couchgate   http://{clients}\n  operators   http://{admin}\n  \
         CouchDB     {upstream} ({couchdb})\n"
    )
}

fn try_out(text: &mut String, what: &str, commands: &[&str]) {
    let _ = writeln!(text, "\n  {what}:");
    for command in commands {
        let _ = writeln!(text, "    {command}");
    }
}

fn operators(places: &Places<'_>) -> String {
    let admin = places.admin;
    let mut text = String::new();
    let ready = format!("curl http://{admin}/readyz");
    try_out(&mut text, "For operators", &[&ready, &format!("curl http://{admin}/metrics")]);
    text + "\nRequests are logged below. Ctrl-C stops everything.\n\n"
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A GET that is signed now, as jan's client would do it.
fn signed(clients: SocketAddr, path: &str) -> String {
    let signer = Signer {
        method: SignatureMethod::HmacSha1,
        timestamp: now(),
        // The only one there is.
        nonce: "quickstart",
    };
    let request = Signable { method: "GET", https: false, host: &clients.to_string(), path };
    let credentials = Credentials {
        consumer_key: CONSUMER.0.to_owned(),
        consumer_secret: CONSUMER.1.into(),
        token: TOKEN.0.to_owned(),
        token_secret: TOKEN.1.into(),
    };
    format!("Authorization: {}", signer.authorization(&request, b"", b"", &credentials))
}

/// A link to the attachment that expires in an hour.
fn link_target(config: &Config) -> String {
    let path = AttachmentPath::new("demo", "welcome", "hello.txt");
    let (Some(path), Some(key)) = (path, config.download_token.signing_keys.iter().next()) else {
        return String::new();
    };
    format!("{}?token={}", path.path(), key.sign(&path, now() + 3600))
}

/// A command of couchgate's with the demo's configuration. The program is not built with its
/// examples.
fn couchgate(scratch: &Path, words: &str) -> String {
    let ini = scratch.join("couchgate.ini");
    format!(
        "cargo run --release --manifest-path {} -- {words} --config {}",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ini.display(),
    )
}

fn proxy_headers(config: &Config) -> String {
    let Ok(jan) = Identity::new("jan", ["dev"]) else { return String::new() };
    let token = token(config, &jan);
    let token = token.to_str().unwrap_or_default();
    let law = &config.law;
    format!("-H '{}: jan' -H '{}: dev' -H '{}: {token}'", law.username, law.roles, law.token)
}
