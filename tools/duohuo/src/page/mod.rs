//! A read-only page about this process, metrics, and health answers, by HTTP. It has a thread of its own, which reads what
//! the loop put up ([`duohuo_driver::board`]) and can never make it wait. Nothing here changes anything.

mod health;
mod html;
mod metrics;
mod plot;

use crate::network::is_retired;
use duohuo_driver::board::{Board, Snapshot};
use duohuo_wire::ids::NodeId;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Connections at one time; the others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;
/// For a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// For a whole connection, which carries one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a request's head, in bytes.
const MOST_HEAD: usize = 8 << 10;
/// After an accept that failed: no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// No script, no image, no frame, nothing from elsewhere; styles from ourselves.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Take the address; told to the operator before anything else starts.
///
/// # Errors
/// For a person.
fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(listen).and_then(|l| l.set_nonblocking(true).map(|()| l));
    listener.map_err(|e| {
        format!(
            "http.listen {listen}: {e}; expected an address of this machine with a free port: change `listen` in [http], or leave \
             [http] out: then there is no status page"
        )
    })
}

/// The page, wherever it is at the moment.
pub(crate) struct Page {
    board: Board,
    /// Dropped, it ends the thread that serves now.
    serving: Option<oneshot::Sender<()>>,
}

impl Page {
    /// Nowhere yet.
    pub(crate) fn new(board: Board) -> Self {
        Self { board, serving: None }
    }

    /// Serve there from now on, by a thread of its own; `None`: nowhere. Where it cannot be, it stays where it was.
    ///
    /// # Errors
    /// For a person.
    pub(crate) fn serve_at(&mut self, listen: Option<SocketAddr>) -> Result<(), String> {
        let begun = match listen {
            None => None,
            Some(listen) => {
                let listener = bind(listen)?;
                let (end, ended) = oneshot::channel();
                start(listener, self.board.clone(), ended)
                    .map_err(|e| format!("the page's thread cannot start: {e}"))?;
                tracing::info!(%listen, "status page");
                Some(end)
            }
        };
        self.serving = begun;
        Ok(())
    }
}

/// Serve from a thread of its own until `ended` is.
fn start(listener: TcpListener, board: Board, ended: oneshot::Receiver<()>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("page".into()).spawn(move || {
        runtime.block_on(async move {
            // it was made non-blocking by `bind`, and the runtime is there
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                tokio::spawn(async move { serve(&listener, &board).await });
            }
            // the other end is only ever dropped
            let _ = ended.await;
        });
    })?;
    Ok(())
}

async fn serve(listener: &tokio::net::TcpListener, board: &Board) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer =
                    answer(&board, request.method(), request.uri().path(), request.headers().get(ACCEPT));
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .keep_alive(false)
                .max_buf_size(MOST_HEAD)
                .serve_connection(TokioIo::new(socket), service);
            // whatever a client does wrong ends its own connection
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

/// Without the neighbours that were taken out for good: their silence is none.
fn in_service(snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
    let retired = |id: NodeId| {
        snapshot.roster.as_ref().and_then(|roster| roster.node(id)).is_some_and(|(_, node)| is_retired(node))
    };
    if !snapshot.report.neighbours.iter().any(|n| retired(n.node)) {
        return snapshot;
    }
    let mut shown = Snapshot::clone(&snapshot);
    shown.report.neighbours.retain(|n| !retired(n.node));
    Arc::new(shown)
}

fn answer(board: &Board, method: &Method, path: &str, accept: Option<&HeaderValue>) -> Response<Full<Bytes>> {
    if method == Method::OPTIONS {
        let mut response = plain(StatusCode::NO_CONTENT, String::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return response;
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this page only shows\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return response;
    }
    let snapshot = in_service(board.look());
    let fresh = board.idle().is_some_and(|idle| idle <= health::FRESH);
    match path {
        "/" => with(StatusCode::OK, "text/html; charset=utf-8", html::page(&snapshot, fresh)),
        "/style.css" => with(StatusCode::OK, "text/css; charset=utf-8", html::STYLE.into()),
        "/metrics" => {
            let open = accept.and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("openmetrics-text"));
            let (kind, text) = metrics::text(&snapshot, open);
            with(StatusCode::OK, kind, text)
        }
        "/status" => with(StatusCode::OK, "application/json", health::as_json(&snapshot, fresh)),
        "/health" | "/liveness" | "/readiness" | "/master" | "/standby" => {
            let (good, text) = health::answer(path, &snapshot, fresh);
            plain(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
        }
        _ => plain(
            StatusCode::NOT_FOUND,
            "there are: / /status /metrics /health /liveness /readiness /master /standby\n".into(),
        ),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=utf-8", text)
}

fn with(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}
