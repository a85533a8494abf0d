//! How long a connection may be silent: shortly while a request arrives, and longer between two
//! requests, because a load balancer wants to be the one that closes a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How long a connection may take until the headers of its next request are complete.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is closed at most this much later: a timer for each request would cost more.
const CHECK: Duration = Duration::from_secs(5);
/// The deadline of a connection whose request is being answered.
const NEVER: u64 = u64::MAX;

/// The silence of one connection. A new connection has to send a request soon.
#[derive(Debug)]
pub(super) struct Silence {
    began: Instant,
    idle_timeout: Duration,
    /// In milliseconds after `began`.
    deadline: AtomicU64,
    /// Whether the last request is answered, at least in part.
    is_idle: AtomicBool,
    /// Whether the body of the last request is still arriving. It may do so beside the answer.
    is_arriving: AtomicBool,
}

impl Silence {
    pub(super) fn new(idle_timeout: Duration) -> Arc<Self> {
        let silence = Self {
            began: Instant::now(),
            idle_timeout,
            deadline: AtomicU64::new(NEVER),
            is_idle: AtomicBool::new(false),
            is_arriving: AtomicBool::new(false),
        };
        silence.ends_in(HEADER_TIMEOUT);
        Arc::new(silence)
    }

    /// Waits until the connection has been silent for too long.
    pub(super) async fn is_over(&self) {
        loop {
            let deadline = Duration::from_millis(self.deadline.load(Ordering::Relaxed));
            let left = deadline.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(CHECK)).await;
        }
    }

    /// A request has arrived, and may take as long as its handler lets it.
    pub(super) fn becomes_busy(&self) {
        self.is_idle.store(false, Ordering::Relaxed);
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    /// The request is answered.
    pub(super) fn becomes_idle(&self) {
        self.ends_in(self.idle_timeout);
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// The body of the request begins to arrive.
    pub(super) fn body_arrives(&self) {
        self.is_arriving.store(true, Ordering::Relaxed);
    }

    /// The body has arrived, or is not read any more.
    pub(super) fn body_has_arrived(&self) {
        self.is_arriving.store(false, Ordering::Relaxed);
    }

    /// More of the body has arrived, or the first bytes of the next request.
    fn has_received(&self) {
        if self.is_arriving.load(Ordering::Relaxed) {
            self.has_sent();
        } else if self.is_idle.swap(false, Ordering::Relaxed) {
            self.ends_in(HEADER_TIMEOUT);
        }
    }

    /// The client takes the rest of a long response.
    fn has_sent(&self) {
        if self.is_idle.load(Ordering::Relaxed) {
            self.ends_in(self.idle_timeout);
        }
    }

    fn ends_in(&self, duration: Duration) {
        let deadline = (self.began.elapsed() + duration).as_millis();
        self.deadline.store(u64::try_from(deadline).unwrap_or(NEVER), Ordering::Relaxed);
    }
}

/// A connection that notes in its [`Silence`] when bytes come and go.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) stream: TcpStream,
    pub(super) silence: Arc<Silence>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.silence.has_received();
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.silence.has_sent();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if polled.is_ready() {
            self.silence.has_sent();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    /// How long the silence lasts from now.
    async fn lasts(silence: &Silence) -> Duration {
        let began = Instant::now();
        let over = tokio::time::timeout(4 * IDLE, silence.is_over()).await;
        if over.is_ok() { began.elapsed() } else { Duration::MAX }
    }

    /// Time is paused: it jumps to the next timer when there is nothing else to do.
    #[tokio::test(start_paused = true)]
    async fn a_silence_is_short_within_a_request_and_long_between_requests() {
        let silence = Silence::new(IDLE);
        assert_eq!(lasts(&silence).await, HEADER_TIMEOUT, "a new connection");
        silence.becomes_busy();
        assert_eq!(lasts(&silence).await, Duration::MAX, "a handler has its own deadlines");
        silence.has_received();
        assert_eq!(lasts(&silence).await, Duration::MAX, "a body arrives");
        silence.becomes_idle();
        assert_eq!(lasts(&silence).await, IDLE);
        silence.becomes_idle();
        silence.has_received();
        assert_eq!(lasts(&silence).await, HEADER_TIMEOUT, "the next request has begun");
        silence.becomes_idle();
        sleep(IDLE / 2).await;
        silence.has_sent();
        assert_eq!(lasts(&silence).await, IDLE, "the response goes on");
    }

    /// An answer may begin while the body still arrives. Then the connection lives as long as bytes
    /// go in either direction.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_arrives_beside_the_answer_is_not_the_next_request() {
        let silence = Silence::new(IDLE);
        silence.becomes_busy();
        silence.body_arrives();
        silence.becomes_idle();
        for _ in 0..3 {
            sleep(IDLE / 2).await;
            silence.has_received();
            assert_eq!(lasts(&silence).await, IDLE, "the body goes on");
        }
        silence.becomes_idle();
        silence.body_has_arrived();
        silence.has_sent();
        assert_eq!(lasts(&silence).await, IDLE, "the answer goes on");
        silence.becomes_idle();
        silence.has_received();
        assert_eq!(lasts(&silence).await, HEADER_TIMEOUT, "the next request has begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_that_becomes_shorter_ends_a_check_later_at_most() {
        let silence = Silence::new(IDLE);
        silence.becomes_idle();
        let waits = tokio::spawn({
            let silence = silence.clone();
            async move { silence.is_over().await }
        });
        sleep(Duration::from_secs(1)).await;
        silence.has_received();
        let began = Instant::now();
        waits.await.unwrap();
        assert!(began.elapsed() <= HEADER_TIMEOUT + CHECK, "{:?}", began.elapsed());
    }
}
