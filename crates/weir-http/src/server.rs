//! Connections: limits, time-outs, a graceful end.

use crate::{HttpConfig, request::Peer};
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
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
    sync::Semaphore,
    time::{Instant, Sleep},
};
use tower::Service as _;

/// Serves until `shutdown` resolves, then finishes what runs, for as long as the configuration allows.
///
/// # Errors
/// Never after the start; what goes wrong with one connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: HttpConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut shutdown = pin!(shutdown);
    loop {
        // A place first: when all are taken, further clients wait in the backlog of the system.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut shutdown => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let connection = graceful.watch(connection(stream, peer, router.clone(), &config));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let limit = Duration::from_secs(config.shutdown_timeout_secs);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end");
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    config: &HttpConfig,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
    // Small answers must not wait for more data.
    let _ = stream.set_nodelay(true);
    let framing = Framing::default();
    let seen = framing.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(seen.clone());
        let mut router = router.clone();
        async move { router.call(request.map(Body::new)).await }
    });
    let patience = Duration::from_secs(config.body_timeout_secs);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_timeout_secs))
        .max_headers(config.max_header_fields)
        .max_buf_size(config.max_header_bytes.max(8192))
        .serve_connection(TokioIo::new(Patient { stream, patience, waiting: None, head: Head::new(framing) }), service)
}

/// A stream whose reader must take something from time to time: slow readers would hold answers in memory for ever.
struct Patient {
    stream: TcpStream,
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

impl Patient {
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

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(new)) = (&result, buf.filled().get(before..)) {
            self.head.take(new);
        }
        result
    }
}

impl AsyncWrite for Patient {
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
