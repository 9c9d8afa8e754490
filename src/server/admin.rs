//! The admin listener: `/healthz`, `/readyz` and `/metrics`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Drain, accept};
use crate::{
    couch::{Couch, probe},
    error::{Error, error_body, json_response},
};

/// A slow reader of the admin page is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn serve(
    listener: TcpListener,
    couch: Arc<Couch>,
    prometheus: Option<PrometheusHandle>,
    drain: Drain,
) {
    loop {
        let (stream, _) = accept(&listener).await;
        let (couch, prometheus, drain) = (Arc::clone(&couch), prometheus.clone(), drain.clone());
        let service = service_fn(move |request| {
            let (couch, prometheus) = (Arc::clone(&couch), prometheus.clone());
            let stopping = drain.has_begun();
            async move {
                let answer = answer(&request, &couch, prometheus.as_ref(), stopping).await;
                Ok::<_, Infallible>(answer.map(Full::<Bytes>::from))
            }
        });
        tokio::spawn(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: &Request<Incoming>,
    couch: &Couch,
    prometheus: Option<&PrometheusHandle>,
    stopping: bool,
) -> Response<String> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Error::MethodNotAllowed("GET,HEAD").response();
    }
    match request.uri().path() {
        "/healthz" => json_response(StatusCode::OK, &json!({ "status": "ok" })),
        "/readyz" if stopping => not_ready(&["couchgate is stopping".to_owned()]),
        "/readyz" => ready(couch).await,
        "/metrics" => metrics(prometheus),
        _ => json_response(
            StatusCode::NOT_FOUND,
            &error_body("not_found", "There are /healthz, /readyz and /metrics."),
        ),
    }
}

/// Ready when CouchDB answers and accepts the service user. That CouchDB is open to others too is
/// said, but does not stop anybody.
async fn ready(couch: &Couch) -> Response<String> {
    let arrangement = probe(couch).await;
    let findings: Vec<String> = arrangement.findings.iter().map(ToString::to_string).collect();
    if arrangement.is_ready() {
        json_response(StatusCode::OK, &json!({ "status": "ready", "findings": findings }))
    } else {
        not_ready(&findings)
    }
}

fn not_ready(findings: &[String]) -> Response<String> {
    let body = json!({ "status": "not ready", "findings": findings });
    json_response(StatusCode::SERVICE_UNAVAILABLE, &body)
}

fn metrics(prometheus: Option<&PrometheusHandle>) -> Response<String> {
    let mut response = Response::new(prometheus.map(PrometheusHandle::render).unwrap_or_default());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
