//! What there is to see: two users, a database whose members have the role `dev` or `guest`, an
//! attachment with a download token, and a database with auth keys, for server admins only.
//!
//! couchgate's service user makes it all, for the shared secret is enough. Who signs for jan, and
//! who signs links, stands in a configuration.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use couchgate::{
    config::Config,
    headers::token_for,
    request_id::RequestId,
    secret::HashAlgorithm,
    upstream::{Upstream, own_request},
    user_ctx::Identity,
};
use http::{HeaderValue, Method, Uri, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::couchdb::SECRET;

/// Name, password and roles.
pub(crate) const USERS: [(&str, &str, &[&str]); 2] =
    [("jan", "apple", &["dev"]), ("pomme", "pear", &["dev", "ops"])];

/// What jan's client signs with, and its secrets.
pub(crate) const CONSUMER: (&str, &str) = ("consumer1", "sekr1t");
pub(crate) const TOKEN: (&str, &str) = ("token1", "tokensekr1t");

/// What has the role `guest`, and what had it until 2017.
pub(crate) const AUTH_KEY: &str = "keys,demo-key";
const EXPIRED_KEY: &str = "demo-key-of-2017";

/// What opens the attachment.
pub(crate) const DOWNLOAD_TOKEN: &str = "demo-token";

/// What signs links.
const SIGNING_KEY: &str = "demo:demo-signing-key-for-the-quickstart";

/// A configuration with the credentials, which `couchgate oauth` and `couchgate link` need no other
/// beside.
pub(crate) fn ini(upstream: &str) -> String {
    let (consumer, consumer_secret) = CONSUMER;
    let (token, token_secret) = TOKEN;
    format!(
        "[couchgate]\nupstream = {upstream}\n\n\
         [chttpd]\nauthentication_handlers = oauth, authkey, download_token, cookie, proxy, \
         default\n\n\
         [chttpd_auth]\nsecret = {SECRET}\n\n\
         [oauth_consumer_secrets]\n{consumer} = {consumer_secret}\n\n\
         [oauth_token_secrets]\n{token} = {token_secret}\n\n\
         [oauth_token_users]\n{token} = jan\n\n\
         [couch_authkey]\ndatabases = keys\n\n\
         [download_token]\ndatabases = demo\nsigning_keys = {SIGNING_KEY}\n"
    )
}

/// Fills an empty server.
///
/// # Errors
///
/// One line: what was refused.
pub(crate) async fn fill(upstream: &Upstream, config: &Config) -> Result<(), String> {
    for (name, password, roles) in USERS {
        let user = json!({ "name": name, "type": "user", "roles": roles, "password": password });
        put(upstream, config, &format!("/_users/org.couchdb.user:{name}"), &user).await?;
    }
    put(upstream, config, "/demo", &Value::Null).await?;
    let members = json!({ "admins": {}, "members": { "roles": ["dev", "guest"] } });
    put(upstream, config, "/demo/_security", &members).await?;
    let hello = STANDARD.encode("Hello from an attachment.\n");
    let welcome = json!({
        "text": "Welcome",
        "download_token": DOWNLOAD_TOKEN,
        "_attachments": { "hello.txt": { "content_type": "text/plain", "data": hello } },
    });
    put(upstream, config, "/demo/welcome", &welcome).await?;
    put(upstream, config, "/keys", &Value::Null).await?;
    let key = AUTH_KEY.trim_start_matches("keys,");
    let guests = json!({ "auth_keys": [
        { "id": key, "roles": ["guest"] },
        { "id": EXPIRED_KEY, "roles": ["guest"], "expires": 1_500_000_000 },
    ] });
    put(upstream, config, "/keys/guests", &guests).await
}

async fn put(upstream: &Upstream, config: &Config, path: &str, body: &Value) -> Result<(), String> {
    let failed = |reason: String| format!("PUT {path} at the embedded CouchDB: {reason}");
    let uri: Uri = path.parse().map_err(|error| failed(format!("{error}")))?;
    let body = (!body.is_null()).then(|| Bytes::from(body.to_string()));
    let mut request = own_request(Method::PUT, uri, body);
    let admin =
        Identity::new(&config.service_user, ["_admin"]).map_err(|e| failed(e.to_string()))?;
    let id = RequestId::random();
    let headers = request.headers_mut();
    headers.insert(RequestId::HEADER, id.header().clone());
    headers.insert(header::HOST, upstream.host());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    config.law.inject(headers, &admin, Some(token(config, &admin)));
    let response = upstream.send(request, &id).await.map_err(|error| failed(error.to_string()))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    if head.status.is_success() {
        return Ok(());
    }
    Err(failed(format!("{} {}", head.status, String::from_utf8_lossy(&body).trim_end())))
}

/// What proves a user's name, to CouchDB and to couchgate's `proxy` handler alike.
pub(crate) fn token(config: &Config, user: &Identity) -> HeaderValue {
    let algorithm = config.hash_algorithms.first().copied().unwrap_or(HashAlgorithm::Sha256);
    token_for(user, &config.secrets, algorithm)
}
