//! Requests of couchgate's own.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::{PercentEncode, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use crate::{
    headers::{HeaderLaw, token_for},
    request_id::RequestId,
    secret::{HashAlgorithm, Secrets},
    target::RESERVED,
    upstream::{RequestBody, SendError, Upstream, UpstreamBody, own_request},
    user_ctx::{Identity, InvalidIdentity},
};

/// No answer that couchgate reads whole is larger, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// No more documents are read at once that strangers can have read.
const MAX_READINGS: usize = 16;

/// No answer that couchgate waits for takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Text as one segment of a path or one value of a query.
pub(super) fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// Why CouchDB's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CouchError {
    /// No answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No answer in time.
    #[error("CouchDB did not answer within {TIMEOUT:?}")]
    Timeout,
    /// The answer broke off or is too large.
    #[error("CouchDB's answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not the JSON that CouchDB would send. Only where is said: serde would quote
    /// what may be a password's hash.
    #[error("CouchDB's answer is not what CouchDB answers (line {}, column {})", .0.line(), .0.column())]
    Json(#[from] serde_json::Error),
    /// A status that CouchDB has no reason to send here.
    #[error("CouchDB answered {0}")]
    Status(StatusCode),
    /// Somebody else's design document is in the way.
    #[error(
        "{design} has no view {view}: add it, or delete the document, and couchgate makes its own"
    )]
    NoView {
        /// The design document's id.
        design: &'static str,
        /// The view's name.
        view: &'static str,
    },
    /// What another request was told that asked for the same at the same time.
    #[error(transparent)]
    Shared(Arc<CouchError>),
    /// It may have been forged by whoever wrote a document.
    #[error("CouchDB's answer, {0}, does not name the request")]
    NotItsAnswer(StatusCode),
    /// The answer is larger than any that couchgate reads.
    #[error("CouchDB's answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    /// A path that cannot be requested.
    #[error("not a path: {0}")]
    Path(#[from] http::uri::InvalidUri),
}

/// An answer read whole.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// When it is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CouchError> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// CouchDB, as couchgate's service user sees it.
#[derive(Debug)]
pub struct Couch {
    upstream: Arc<Upstream>,
    law: HeaderLaw,
    service_user: Arc<Identity>,
    token: HeaderValue,
    asked_for_names: OnceLock<()>,
    readings: Semaphore,
}

impl Couch {
    /// # Errors
    ///
    /// When the service user's name cannot travel in a header.
    pub fn new(
        upstream: Arc<Upstream>,
        law: HeaderLaw,
        service_user: &str,
        secrets: &Secrets,
        algorithm: HashAlgorithm,
    ) -> Result<Self, InvalidIdentity> {
        let service_user = Arc::new(Identity::new(service_user, ["_admin"])?);
        let token = token_for(&service_user, secrets, algorithm);
        Ok(Self {
            upstream,
            law,
            service_user,
            token,
            asked_for_names: OnceLock::new(),
            readings: Semaphore::new(MAX_READINGS),
        })
    }

    /// Who couchgate is to CouchDB.
    #[must_use]
    pub fn service_user(&self) -> &Arc<Identity> {
        &self.service_user
    }

    /// Reads a path as the service user.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time; a status is an answer.
    pub async fn get(&self, path: &str) -> Result<Reply, CouchError> {
        self.get_as(path, Some((&*self.service_user, Some(&self.token)))).await
    }

    /// Reads a path as somebody, signed or not.
    pub(super) async fn get_as(
        &self,
        path: &str,
        user: Option<(&Identity, Option<&HeaderValue>)>,
    ) -> Result<Reply, CouchError> {
        self.whole(request(Method::GET, path, None)?, user).await
    }

    /// Reads a document that strangers can have read, and says when that began. It may be large, so
    /// it may have to wait for others.
    pub(super) async fn get_in_turn(&self, path: &str) -> Result<(Instant, Reply), CouchError> {
        let turn = tokio::time::timeout(TIMEOUT, self.readings.acquire()).await;
        // Closed by nobody.
        let _turn = turn.map_err(|_| CouchError::Timeout)?;
        Ok((Instant::now(), self.get(path).await?))
    }

    /// Writes a document as the service user.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time; a status is an answer.
    pub async fn put(
        &self,
        path: &str,
        document: &(impl Serialize + Sync),
    ) -> Result<Reply, CouchError> {
        self.send_json(Method::PUT, path, document).await
    }

    /// Asks as the service user what must not stand in CouchDB's log.
    pub(super) async fn post(
        &self,
        path: &str,
        question: &(impl Serialize + Sync),
    ) -> Result<Reply, CouchError> {
        self.send_json(Method::POST, path, question).await
    }

    async fn send_json(
        &self,
        method: Method,
        path: &str,
        json: &(impl Serialize + Sync),
    ) -> Result<Reply, CouchError> {
        let body = Some(Bytes::from(serde_json::to_vec(json)?));
        let own = Some((&*self.service_user, Some(&self.token)));
        self.whole(request(method, path, body)?, own).await
    }

    async fn whole(
        &self,
        request: Request<RequestBody>,
        user: Option<(&Identity, Option<&HeaderValue>)>,
    ) -> Result<Reply, CouchError> {
        // Boxed: few requests have a question for CouchDB, but the futures of all would hold it.
        let answer = Box::pin(async {
            let (head, body) = self.send(request, user).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(unreadable)?;
            Ok(Reply { status: head.status, body: body.to_bytes() })
        });
        tokio::time::timeout(TIMEOUT, answer).await.map_err(|_| CouchError::Timeout)?
    }

    /// Opens a feed as the service user.
    ///
    /// # Errors
    ///
    /// When no head of an answer arrives in time.
    pub async fn open(&self, path: &str) -> Result<Response<UpstreamBody>, CouchError> {
        let request = request(Method::GET, path, None)?;
        let head = self.send(request, Some((&*self.service_user, Some(&self.token))));
        tokio::time::timeout(TIMEOUT, head).await.map_err(|_| CouchError::Timeout)?
    }

    async fn send(
        &self,
        request: Request<RequestBody>,
        user: Option<(&Identity, Option<&HeaderValue>)>,
    ) -> Result<Response<UpstreamBody>, CouchError> {
        // Its answer has nothing in it that a document's author chose, and CouchDB does not name it.
        let is_session = request.uri().path() == "/_session";
        let (answer, is_named) = self.exchange(request, user).await?;
        if !is_named && !is_session && self.names_requests().await? {
            return Err(CouchError::NotItsAnswer(answer.status()));
        }
        Ok(answer)
    }

    /// Whether CouchDB names requests in its answers: asked where nothing has shown it yet, by a
    /// question whose answer has nothing in its head that a document's author chose.
    async fn names_requests(&self) -> Result<bool, CouchError> {
        if !self.upstream.names_requests() && self.asked_for_names.get().is_none() {
            let request = request(Method::GET, "/_node/_local/_config/admins", None)?;
            let own = Some((&*self.service_user, Some(&self.token)));
            let (answer, _) = self.exchange(request, own).await?;
            // A server in between may have answered for CouchDB.
            if answer.status().is_success() {
                self.asked_for_names.get_or_init(|| ());
            }
        }
        Ok(self.upstream.names_requests())
    }

    /// An answer, and whether it names its request.
    async fn exchange(
        &self,
        mut request: Request<RequestBody>,
        user: Option<(&Identity, Option<&HeaderValue>)>,
    ) -> Result<(Response<UpstreamBody>, bool), CouchError> {
        let id = RequestId::random();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.upstream.host());
        headers.insert(RequestId::HEADER, id.header().clone());
        if let Some((identity, token)) = user {
            self.law.inject(headers, identity, token.cloned());
        }
        let answer = self.upstream.send(request, &id).await?;
        let is_named = id.is_random() && id.is_named_in(answer.headers());
        Ok((answer, is_named))
    }
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>) -> CouchError {
    if error.is::<LengthLimitError>() { CouchError::TooLarge } else { CouchError::Body(error) }
}

fn request(
    method: Method,
    path: &str,
    body: Option<Bytes>,
) -> Result<Request<RequestBody>, CouchError> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let has_body = body.is_some();
    let mut request = own_request(method, path.parse::<Uri>()?, body);
    request.headers_mut().insert(header::ACCEPT, JSON);
    if has_body {
        request.headers_mut().insert(header::CONTENT_TYPE, JSON);
    }
    Ok(request)
}
