//! The way of a request, top to bottom: `Gateway::serve` reads like the list in the crate's
//! documentation.

mod download;
mod receive;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header, request};
use ipnet::IpNet;

use crate::{
    answer::Answer,
    auth::{Asking, Chain, Client, Outcome},
    client_body::ClientBody,
    error::Error,
    headers::{Forwarded, HeaderLaw, remove_hop_by_hop, set_forwarded, token_for},
    request_id::RequestId,
    secret::{HashAlgorithm, Secrets},
    session::Session,
    target::Target,
    telemetry::Record,
    upstream::{RequestBody, SendError, Upstream},
    user_ctx::UserCtx,
};
use receive::{host, is_preflight, not_a_path, receive};

/// What `[chttpd]` and `[couchgate]` say about admitting requests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Anonymous requests are refused.
    pub require_valid_user: bool,
    /// The same, and `/_up` is open to all. Either way a login and a CORS preflight pass.
    pub require_valid_user_except_for_up: bool,
    /// `[chttpd] WWW-Authenticate`: what every 401 says.
    pub www_authenticate: Option<HeaderValue>,
    /// Whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The client's end of a connection, as the socket shows it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; a proxy's, where there is one.
    pub address: SocketAddr,
    /// Whether couchgate itself speaks TLS with it.
    pub tls: bool,
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Who may do what.
    pub settings: Settings,
    /// What passes.
    pub law: HeaderLaw,
    /// Who is asking.
    pub chain: Chain,
    /// `/_session`.
    pub session: Session,
    /// Sign the users' names.
    pub secrets: Secrets,
    /// The digest that signs.
    pub token_algorithm: HashAlgorithm,
    /// CouchDB.
    pub upstream: Arc<Upstream>,
}

impl Gateway {
    /// Answers a request; never fails, for a failure is an answer too.
    pub async fn answer(
        &self,
        mut request: Request<ClientBody>,
        peer: Peer,
        flaw: Option<Error>,
        record: &mut Record,
    ) -> Response<Answer> {
        let request_id = RequestId::of(request.headers_mut());
        record.begins(&request, &request_id, peer.address);
        let wanted = request.headers().get("x-couchdb-www-authenticate").cloned();
        let mut response = match self.serve(request, &request_id, peer, flaw, record).await {
            Ok(response) => response,
            Err(Refusal { error, close }) => {
                record.refused(&error);
                self.refuse(&error, wanted, close)
            }
        };
        response.headers_mut().entry(RequestId::HEADER).or_insert(request_id.header().clone());
        response
    }

    /// The story of a request.
    async fn serve(
        &self,
        request: Request<ClientBody>,
        request_id: &RequestId,
        peer: Peer,
        flaw: Option<Error>,
        record: &mut Record,
    ) -> Result<Response<Answer>, Refusal> {
        let (mut head, mut body) = request.into_parts();
        let target = receive(&head, flaw).map_err(Refusal::closing)?;
        let taken = self.law.scrub(&mut head, &target).map_err(|_| not_a_path())?;
        let client = self.client(peer, &taken.forwarded);
        record.client(client.address);

        let asking = Asking {
            presented: &taken.presented,
            client,
            method: &head.method,
            target: &target,
            host: host(&head, &taken.forwarded, client),
            headers: &head.headers,
            body: &mut body,
        };
        let outcome = self.chain.authenticate(asking).await;
        record.authenticated(&outcome);
        let (user, refresh) = match outcome? {
            Outcome::User { user, refresh } => (Some(user), refresh),
            Outcome::NotMine => (None, None),
            Outcome::Download { user, target } => {
                return self.download(head, request_id, (user, target), client, record).await;
            }
        };
        self.admit(&head, &target, user.as_ref())?;

        if target.is_under("_oauth") {
            return Err(Error::ThreeLeggedOauth.into());
        }
        if target.is_under("_session") {
            let request = Request::from_parts(head, body);
            // Boxed: a login needs more memory than forwarding, and few requests are logins.
            let answer = self.session.answer(request, &target, user.as_ref(), client);
            let answer = Box::pin(answer).await?;
            return Ok(give_back(answer.map(Answer::from), refresh));
        }

        self.identify(&mut head, user.as_ref(), client);
        record.forwarded();
        let response = self.upstream.send(outgoing(head, body), request_id).await?;
        record.answered();
        Ok(give_back(response.map(|body| Answer::upstream(body, &target)), refresh))
    }

    /// The client behind the connection. A trusted proxy's word counts, and that of the trusted
    /// proxies before it.
    fn client(&self, peer: Peer, forwarded: &Forwarded) -> Client {
        let is_trusted = |ip: &IpAddr| self.settings.trusted_proxies.iter().any(|n| n.contains(ip));
        let peer_ip = peer.address.ip().to_canonical();
        if !is_trusted(&peer_ip) {
            return Client { address: peer_ip, https: peer.tls, through_trusted_proxy: false };
        }
        let hops = forwarded.for_.iter().filter_map(|line| line.to_str().ok());
        let hops: Vec<&str> = hops.flat_map(|line| line.split(',')).map(str::trim).collect();
        let mut address = peer_ip;
        for hop in hops.iter().rev() {
            let Ok(hop) = hop.parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_trusted(&address) {
                break;
            }
        }
        let said_https = forwarded.proto.as_ref().is_some_and(|proto| proto == "https");
        Client { address, https: peer.tls || said_https, through_trusted_proxy: true }
    }

    /// `require_valid_user` and its exceptions (CouchDB 3.5, `chttpd_auth:party_mode_handler`).
    fn admit(
        &self,
        head: &request::Parts,
        target: &Target,
        user: Option<&UserCtx>,
    ) -> Result<(), Error> {
        let settings = &self.settings;
        let required = settings.require_valid_user || settings.require_valid_user_except_for_up;
        if user.is_some() || !required {
            return Ok(());
        }
        let is_login = head.method == Method::POST && target.is("_session");
        let is_up = settings.require_valid_user_except_for_up && target.is("_up");
        if is_login || is_up || (is_preflight(head) && !target.runs_design_function()) {
            return Ok(());
        }
        Err(Error::AuthenticationRequired)
    }

    /// Says who is asking, after everything that a client could have said was taken out.
    fn identify(&self, head: &mut request::Parts, user: Option<&UserCtx>, client: Client) {
        if !head.headers.contains_key(header::HOST) {
            head.headers.insert(header::HOST, self.upstream.host());
        }
        set_forwarded(&mut head.headers, client.address, client.https);
        if let Some(user) = user {
            let token = token_for(&user.identity, &self.secrets, self.token_algorithm);
            self.law.inject(&mut head.headers, &user.identity, Some(token));
        }
    }

    /// An error in CouchDB's shape, with `WWW-Authenticate` where CouchDB sends it (CouchDB 3.5,
    /// `chttpd:error_headers`).
    fn refuse(&self, error: &Error, wanted: Option<HeaderValue>, close: bool) -> Response<Answer> {
        let mut response = error.response();
        if response.status() == http::StatusCode::UNAUTHORIZED {
            let configured = wanted.or_else(|| self.settings.www_authenticate.clone());
            let basic = || HeaderValue::from_static("Basic realm=\"server\"");
            let challenge = configured.or_else(|| self.settings.require_valid_user.then(basic));
            if let Some(challenge) = challenge {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(Answer::from)
    }
}

/// Why a request is refused, and whether the connection must not be used again.
struct Refusal {
    error: Error,
    close: bool,
}

impl Refusal {
    /// After a head that another server could read differently, nothing on the connection is safe.
    fn closing(error: Error) -> Self {
        Self { error, close: true }
    }
}

impl From<Error> for Refusal {
    /// Where the rest of a body is not wanted, or never comes, there is no next request.
    fn from(error: Error) -> Self {
        let close = matches!(error, Error::TooLarge(_) | Error::BrokenBody | Error::RequestTimeout);
        Self { error, close }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unreachable => Error::UpstreamUnreachable.into(),
            SendError::Broken => Error::UpstreamBroken.into(),
            SendError::RequestBody => Error::BrokenBody.into(),
            SendError::SlowRequestBody => Error::RequestTimeout.into(),
        }
    }
}

/// The request for CouchDB: its parser takes `Transfer-Encoding` only as exactly `chunked`, and a
/// Content-Length is kept where the client sent one (couchdb#1943).
fn outgoing(mut head: request::Parts, body: ClientBody) -> Request<RequestBody> {
    use http_body::Body;
    head.version = Version::HTTP_11;
    if body.is_end_stream() {
        return Request::from_parts(head, RequestBody::Empty);
    }
    if !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Request::from_parts(head, RequestBody::Client(body))
}

/// The response, without what concerned the connection it came by, and with a fresh session cookie
/// where one is due and upstream has not set its own.
fn give_back(mut response: Response<Answer>, refresh: Option<HeaderValue>) -> Response<Answer> {
    remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if let Some(cookie) = refresh
        && !sets_session_cookie(response.headers())
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn sets_session_cookie(headers: &HeaderMap) -> bool {
    let mut cookies = headers.get_all(header::SET_COOKIE).iter();
    cookies.any(|cookie| cookie.as_bytes().starts_with(b"AuthSession="))
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::whole(Bytes::from(text))
    }
}
