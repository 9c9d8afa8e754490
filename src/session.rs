//! `/_session`: who am I, log in, log out (CouchDB 3.5, `couch_httpd_auth:handle_session_req`).

use std::{io::Read, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{self, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, SET_COOKIE},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    auth::{Client, SessionCookies},
    client_body::ClientBody,
    couch::{Users, login},
    error::{Error, error_body, json_response},
    passwords::Passwords,
    target::{Target, form_pairs},
    user_ctx::UserCtx,
};

/// A login body is no larger, in bytes, compressed or not.
const MAX_BODY: usize = 64 * 1024;

/// `/_session`.
#[derive(Debug)]
pub struct Session {
    /// Who exists.
    pub users: Arc<Users>,
    /// Checks what he knows.
    pub passwords: Arc<Passwords>,
    /// Makes the cookies.
    pub cookies: SessionCookies,
    /// The names of the configured handlers, in order.
    pub handlers: Vec<String>,
    /// `authentication_db`, where it was configured.
    pub authentication_db: Option<String>,
}

impl Session {
    /// Answers a request to `/_session`.
    ///
    /// # Errors
    ///
    /// What CouchDB would refuse, and 413 for a body over 64 KiB.
    pub async fn answer(
        &self,
        request: Request<ClientBody>,
        target: &Target,
        user: Option<&UserCtx>,
        client: Client,
    ) -> Result<Response<String>, Error> {
        match *request.method() {
            Method::GET | Method::HEAD => self.show(target, user),
            Method::POST => self.log_in(request, target, client).await,
            Method::DELETE => Ok(self.log_out(request.headers(), target, client)),
            _ => Err(Error::MethodNotAllowed("GET,HEAD,POST,DELETE")),
        }
    }

    fn show(&self, target: &Target, user: Option<&UserCtx>) -> Result<Response<String>, Error> {
        if user.is_none() && target.query("basic").is_some_and(|value| *value == *b"true") {
            return Err(Error::PleaseLogin);
        }
        let mut info = json!({ "authentication_handlers": self.handlers });
        if let Some(db) = &self.authentication_db {
            info["authentication_db"] = json!(db);
        }
        let user_ctx = match user {
            Some(user) => {
                info["authenticated"] = json!(user.handler.as_str());
                json!({
                    "name": user.identity.name(),
                    "roles": user.identity.roles().collect::<Vec<_>>(),
                })
            }
            None => json!({ "name": null, "roles": [] }),
        };
        let body = json!({ "ok": true, "userCtx": user_ctx, "info": info });
        Ok(json_response(StatusCode::OK, &body))
    }

    async fn log_in(
        &self,
        request: Request<ClientBody>,
        target: &Target,
        client: Client,
    ) -> Result<Response<String>, Error> {
        let (head, mut body) = request.into_parts();
        let body = Zeroizing::new(body.read(MAX_BODY).await?.to_vec());
        let form = Form::parse(&head.headers, &body)?;
        let name = form.name()?;
        let password = Zeroizing::new(form.first("password").unwrap_or_default().to_vec());
        match login(&self.users, &self.passwords, name, &password).await {
            // A second factor is asked for after the password, and missing is as wrong as wrong;
            // CouchDB then neither clears the cookie nor redirects (`verify_totp`).
            Ok(user) if user.totp => Err(Error::WrongPassword),
            Ok(user) => {
                let identity = user.identity.as_ref().map_err(|error| *error)?;
                let cookie = self.cookies.make(identity.name(), &user.salt, client.https);
                let body = json!({
                    "ok": true,
                    "name": identity.name(),
                    "roles": identity.roles().collect::<Vec<_>>(),
                });
                let location = local_url(target.query("next").as_deref(), &head.headers, client);
                Ok(answer(StatusCode::OK, &body, cookie, location))
            }
            Err(error @ Error::WrongPassword) => {
                let (status, word) = error.code();
                let body = error_body(word, &error.to_string());
                let location = local_url(target.query("fail").as_deref(), &head.headers, client);
                Ok(answer(status, &body, self.cookies.clear(client.https), location))
            }
            Err(error) => Err(error),
        }
    }

    fn log_out(&self, headers: &HeaderMap, target: &Target, client: Client) -> Response<String> {
        let location = local_url(target.query("next").as_deref(), headers, client);
        let cookie = self.cookies.clear(client.https);
        answer(StatusCode::OK, &json!({ "ok": true }), cookie, location)
    }
}

fn answer(
    status: StatusCode,
    body: &serde_json::Value,
    cookie: HeaderValue,
    location: Option<HeaderValue>,
) -> Response<String> {
    let mut response = json_response(status, body);
    response.headers_mut().insert(SET_COOKIE, cookie);
    if let Some(location) = location {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

const UNSAFE_IN_LOCATION: &AsciiSet = &CONTROLS.add(b' ');

/// The absolute URL of a local path, for `next` and `fail`. `//host` and what a browser reads as
/// such (`/\host`, blanks and control characters before it) lead away from here, and the host is
/// the one this request came to.
fn local_url(path: Option<&[u8]>, headers: &HeaderMap, client: Client) -> Option<HeaderValue> {
    let path = std::str::from_utf8(path?).ok()?;
    let leads_away = !path.starts_with('/')
        || path.starts_with("//")
        || path.contains('\\')
        || path.contains(char::is_control);
    if leads_away {
        return None;
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let scheme = if client.https { "https" } else { "http" };
    // It was decoded on the way in; a header carries it encoded.
    let path = utf8_percent_encode(path, UNSAFE_IN_LOCATION);
    HeaderValue::from_maybe_shared(format!("{scheme}://{host}{path}")).ok()
}

/// What a login body says.
struct Form(Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>);

impl Form {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if content_type.starts_with(b"application/x-www-form-urlencoded") {
            Self::urlencoded(body)
        } else if content_type.starts_with(b"application/json") {
            let gzip = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
            if gzip { Self::json(&gunzip(body)?) } else { Self::json(body) }
        } else {
            Err(Error::BadContentType)
        }
    }

    fn urlencoded(body: &[u8]) -> Result<Self, Error> {
        let text =
            std::str::from_utf8(body).map_err(|_| Error::bad_request("invalid form: not UTF-8"))?;
        let pairs = form_pairs(text.trim_ascii_end().as_bytes());
        Ok(Self(
            pairs
                .map(|(key, value)| (key.into_owned(), Zeroizing::new(value.into_owned())))
                .collect(),
        ))
    }

    fn json(body: &[u8]) -> Result<Self, Error> {
        let value: serde_json::Value =
            serde_json::from_slice(body).map_err(|_| Error::bad_request("invalid UTF-8 JSON"))?;
        let serde_json::Value::Object(object) = value else {
            return Err(Error::bad_request("Request body must be a JSON object"));
        };
        let pairs = object.into_iter().map(|(key, value)| match value {
            serde_json::Value::String(value) => {
                Ok((key.into_bytes(), Zeroizing::new(value.into_bytes())))
            }
            _ => Err(Error::bad_request("The values in the request body must be strings")),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    fn first(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    fn name(&self) -> Result<&[u8], Error> {
        match (self.first("name"), self.first("username")) {
            (None, None) => Err(Error::bad_request("request body must contain a username")),
            (Some(name), Some(username)) if name != username => {
                Err(Error::bad_request("request body contains different usernames"))
            }
            (Some(name), _) | (None, Some(name)) => Ok(name),
        }
    }
}

fn gunzip(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut unpacked = Zeroizing::new(Vec::with_capacity(MAX_BODY + 1));
    flate2::read::GzDecoder::new(body)
        .take(MAX_BODY as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| Error::bad_request("The request body is not gzip."))?;
    if unpacked.len() > MAX_BODY { Err(Error::TooLarge(MAX_BODY)) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn redirects_stay_here() {
        let headers: HeaderMap =
            [(header::HOST, HeaderValue::from_static("couch:5994"))].into_iter().collect();
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            https: false,
            through_trusted_proxy: false,
        };
        for (path, expected) in [
            ("/db/doc", Some("http://couch:5994/db/doc")),
            ("/db/ä b?x=1#y", Some("http://couch:5994/db/%C3%A4%20b?x=1#y")),
            ("//evil.example", None),
            ("/\\evil.example", None),
            ("/\t/evil.example", None),
            ("https://evil.example", None),
            ("evil", None),
            ("", None),
        ] {
            let url = local_url(Some(path.as_bytes()), &headers, client);
            assert_eq!(url.as_ref().map(|url| url.to_str().unwrap()), expected, "{path}");
        }
    }
}
