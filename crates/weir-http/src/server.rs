//! Connections: limits, time-outs, a graceful end.

use crate::{HttpConfig, Secured, Tls, request::Peer};
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

/// Longest handshake; slower clients would hold a place without having said anything.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A port, and what is spoken there.
pub struct Listener {
    /// The port.
    pub tcp: TcpListener,
    /// TLS, or plain HTTP without.
    pub tls: Option<Arc<Tls>>,
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    router: Router,
    config: Arc<HttpConfig>,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// Serves until `shutdown` resolves, then finishes what runs, for as long as the configuration allows. All listeners
/// share one limit of connections.
///
/// # Errors
/// Never after the start; what goes wrong with one connection ends that connection.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    config: HttpConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let graceful = Arc::new(GracefulShutdown::new());
    let (stop, stopping) = watch::channel(false);
    let places = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let limit = Duration::from_secs(config.shutdown_timeout_secs);
    let shared = Shared { router, config: Arc::new(config), places, stopping };
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(listener, shared.clone(), Arc::clone(&graceful))))
        .collect();
    shutdown.await;
    stop.send_replace(true);
    for task in accepting {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener had failed");
        }
    }
    // Nobody accepts any more, so that this is the last one.
    if let Ok(graceful) = Arc::try_unwrap(graceful)
        && timeout(limit, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("requests were still running at the end");
    }
    Ok(())
}

/// Resolves when the server is to stop; a sender that is gone means the same.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn accept(listener: Listener, mut shared: Shared, graceful: Arc<GracefulShutdown>) {
    loop {
        // A place first: when all are taken, further clients wait in the backlog of the system.
        let place = tokio::select! {
            place = Arc::clone(&shared.places).acquire_owned() => place,
            () = stopped(&mut shared.stopping) => return,
        };
        let Ok(place) = place else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.tcp.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stopped(&mut shared.stopping) => return,
        };
        // Small answers must not wait for more data.
        let _ = stream.set_nodelay(true);
        let client = Client { stream, peer, watcher: graceful.watcher(), place };
        match &listener.tls {
            None => tokio::spawn(talk(client, None, shared.clone())),
            Some(tls) => tokio::spawn(shake_hands(client, Arc::clone(tls), shared.clone())),
        };
    }
}

/// A connection with what it holds as long as it lives.
struct Client<S> {
    stream: S,
    peer: SocketAddr,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
}

async fn shake_hands(client: Client<TcpStream>, tls: Arc<Tls>, mut shared: Shared) {
    let Client { stream, peer, watcher, place } = client;
    let patience = HANDSHAKE.min(Duration::from_secs(shared.config.header_timeout_secs));
    let stream = tokio::select! {
        done = timeout(patience, TlsAcceptor::from(tls.config()).accept(stream)) => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        },
        () = stopped(&mut shared.stopping) => return,
    };
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let secured = Secured(shown.iter().map(|certificate| certificate.to_vec()).collect());
    talk(Client { stream, peer, watcher, place }, Some(secured), shared).await;
}

async fn talk<S>(client: Client<S>, secured: Option<Secured>, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Client { stream, peer, watcher, place } = client;
    let framing = Framing::default();
    let seen = framing.clone();
    let router = shared.router;
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(seen.clone());
        if let Some(secured) = &secured {
            request.extensions_mut().insert(secured.clone());
        }
        let mut router = router.clone();
        async move { router.call(request.map(Body::new)).await }
    });
    let config = shared.config;
    let patience = Duration::from_secs(config.body_timeout_secs);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_timeout_secs))
        .max_headers(config.max_header_fields)
        .max_buf_size(config.max_header_bytes.max(8192))
        .serve_connection(TokioIo::new(Patient { stream, patience, waiting: None, head: Head::new(framing) }), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
    drop(place);
}

/// A stream whose reader must take something from time to time: slow readers would hold answers in memory for ever.
struct Patient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    head: Head,
}

/// Whether the head of the request at hand named a length. The HTTP library drops the length beside a transfer
/// encoding, so that nobody behind it could tell that both were there.
#[derive(Clone, Debug, Default)]
pub struct Framing(Arc<AtomicBool>);

impl Framing {
    /// Whether a `Content-Length` was sent.
    pub fn has_length(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at the bytes of a request's head as they come in.
struct Head {
    framing: Framing,
    bytes: Vec<u8>,
    ended: bool,
}

impl Head {
    fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), ended: false }
    }

    fn take(&mut self, new: &[u8]) {
        if self.ended {
            return;
        }
        let before = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(new);
        let tail = self.bytes.get(before..).unwrap_or_default();
        // Longer heads are refused anyway; they must not be kept.
        self.ended = tail.windows(4).any(|w| w == b"\r\n\r\n") || self.bytes.len() > 1 << 17;
        if self.ended {
            const NAME: &[u8] = b"\ncontent-length";
            let named = self.bytes.windows(NAME.len()).any(|w| w.eq_ignore_ascii_case(NAME));
            self.framing.0.store(named, Ordering::Relaxed);
            self.bytes = Vec::new();
        }
    }

    /// An answer is on its way: what comes next is a new head.
    fn reset(&mut self) {
        self.ended = false;
        self.bytes.clear();
    }
}

impl<S> Patient<S> {
    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(new)) = (&result, buf.filled().get(before..)) {
            self.head.take(new);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.head.reset();
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.head.reset();
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
