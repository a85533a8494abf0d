//! Answers that grow line by line while the request still arrives.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use http::{HeaderValue, header};
use hyper::body::Frame;
use tokio::sync::Notify;

/// The media type of lines of JSON.
pub const NDJSON: &str = "application/x-ndjson";

/// How much the client may leave behind before the rest is compressed.
const PLAIN_BYTES: usize = 256 * 1024;
/// How much the client may leave behind.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The writing end of an answer of lines.
///
/// Many clients read nothing before they have sent the whole body: browsers do, and most libraries.
/// If such a client were waited for as soon as the buffers of the connection are full, neither side
/// would go on. So what the client does not take is kept, compressed, up to 16 MiB; the lines of a
/// million rows fit. Only then [`send`](Self::send) waits.
///
/// If it is dropped before [`finish`](Self::finish), the connection is cut, so that the client
/// cannot take what it has for the whole. What it left behind is dropped at once.
pub struct Lines {
    shared: Arc<Shared>,
}

/// The client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

struct Shared {
    state: Mutex<State>,
    /// Wakes the writing end when the client took something or is gone.
    taken: Notify,
}

struct State {
    left: VecDeque<Piece>,
    /// The bytes of all that is left, as it is kept.
    bytes: usize,
    end: Option<End>,
    is_gone: bool,
    reader: Option<Waker>,
    held: Option<Held>,
}

/// What is held until the answer is written and sent.
type Held = Box<dyn Send + Sync>;

enum Piece {
    Plain(Bytes),
    Packed(Vec<u8>),
}

enum End {
    Finished,
    Cut,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("left", &self.shared.state().bytes).finish_non_exhaustive()
    }
}

impl Lines {
    /// Begins an answer: returns its writing end, and the response. `held` is dropped when the
    /// answer is written *and* sent, before the client sees its end; or when the writing end is
    /// dropped unfinished, whether the client is gone or not.
    pub fn begin(held: impl Send + Sync + 'static) -> (Self, Response) {
        let state = State {
            left: VecDeque::new(),
            bytes: 0,
            end: None,
            is_gone: false,
            reader: None,
            held: Some(Box::new(held)),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), taken: Notify::new() });
        let mut response = Body::new(Sent { shared: shared.clone() }).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        // A proxy that collects the answer would hold it back.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        (Self { shared }, response)
    }

    /// Adds whole lines. Waits while the client leaves too much behind.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub async fn send(&self, lines: Vec<u8>) -> Result<(), Gone> {
        let mut lines = Some(lines);
        loop {
            let taken = self.shared.taken.notified();
            {
                let mut state = self.shared.state();
                if state.is_gone {
                    return Err(Gone);
                }
                if state.bytes < MAX_BYTES {
                    state.add(lines.take().unwrap_or_default());
                    return Ok(());
                }
            }
            taken.await;
        }
    }

    /// Adds the last line. It is sent in any case, unless the client is gone.
    pub fn finish(self, line: Vec<u8>) {
        let mut state = self.shared.state();
        state.add(line);
        state.end = Some(End::Finished);
    }

    /// Waits until the client is gone.
    pub async fn gone(&self) {
        loop {
            let taken = self.shared.taken.notified();
            if self.shared.state().is_gone {
                return;
            }
            taken.await;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let held = match state.end {
            Some(_) => state.release(),
            None => state.cut(),
        };
        drop(state);
        drop(held);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl State {
    /// Takes what is held, if both ends are done.
    fn release(&mut self) -> Option<Held> {
        match self.is_gone && self.end.is_some() {
            true => self.held.take(),
            false => None,
        }
    }

    /// Ends the answer where it is. Takes what is held: nothing is kept for the client any more.
    fn cut(&mut self) -> Option<Held> {
        self.end = Some(End::Cut);
        self.left.clear();
        self.bytes = 0;
        self.wake();
        self.held.take()
    }

    fn add(&mut self, lines: Vec<u8>) {
        if !lines.is_empty() {
            let piece = match self.bytes + lines.len() > PLAIN_BYTES {
                true => Piece::Packed(packed(&lines)),
                false => Piece::Plain(lines.into()),
            };
            self.bytes += piece.len();
            self.left.push_back(piece);
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Packed(bytes) => bytes.len(),
        }
    }

    fn unpacked(self) -> io::Result<Bytes> {
        match self {
            Self::Plain(bytes) => Ok(bytes),
            Self::Packed(packed) => {
                let mut bytes = Vec::new();
                DeflateDecoder::new(packed.as_slice()).read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
    let written = packed.write_all(lines).and_then(|()| packed.finish());
    written.expect("writing to memory does not fail")
}

/// The reading end: the body of the response.
struct Sent {
    shared: Arc<Shared>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.shared.state();
        let Some(piece) = state.left.pop_front() else {
            return match state.end {
                Some(End::Finished) => Poll::Ready(None),
                Some(End::Cut) => Poll::Ready(Some(Err(io::Error::other("the answer was cut")))),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        };
        state.bytes -= piece.len();
        drop(state);
        self.shared.taken.notify_waiters();
        Poll::Ready(Some(piece.unpacked().map(Frame::data)))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_gone = true;
        let held = state.release();
        drop(state);
        drop(held);
        self.shared.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const LINE: &str = "{\"line\":2,\"product_id\":\"789\",\"result\":\"counted\"}\n";

    #[tokio::test]
    async fn a_client_gets_every_line_in_order_and_then_the_last_one() {
        let (lines, response) = Lines::begin(());
        assert_eq!(response.headers()[header::CONTENT_TYPE], NDJSON);
        let mut expected = String::new();
        // Far more than is kept as it is.
        for number in 0..200 {
            let piece = format!("{number}\n{}", LINE.repeat(200));
            expected.push_str(&piece);
            lines.send(piece.into_bytes()).await.expect("a client");
        }
        assert!(lines.shared.state().bytes < 3 * PLAIN_BYTES, "what is left is compressed");
        lines.finish(b"the end\n".to_vec());
        let read = response.into_body().collect().await.expect("a whole answer").to_bytes();
        assert!(read == format!("{expected}the end\n"), "{} bytes", read.len());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_waited_for() {
        let (lines, response) = Lines::begin(());
        // Nothing shortens random bytes.
        let mut random = 1_u64;
        let mut noise = || {
            let bytes = (0..PLAIN_BYTES / 8).flat_map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 8).to_le_bytes()
            });
            bytes.collect::<Vec<u8>>()
        };
        let mut body = response.into_body();
        let mut sent = 0;
        loop {
            let sending = tokio::time::timeout(std::time::Duration::ZERO, lines.send(noise()));
            match sending.await {
                Ok(done) => done.expect("a client"),
                Err(_) => break,
            }
            sent += 1;
            assert!(sent < 100, "there is a limit");
        }
        let waiting = lines.send(noise());
        let taking = async {
            while lines.shared.state().bytes >= MAX_BYTES {
                body.frame().await.expect("a piece").expect("bytes");
            }
        };
        let (sent, ()) = tokio::join!(waiting, taking);
        assert_eq!(sent, Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_was_not_finished_is_no_answer() {
        let (lines, response) = Lines::begin(());
        lines.send(LINE.into()).await.expect("a client");
        drop(lines);
        assert!(response.into_body().collect().await.is_err());
    }

    /// The connection of a client that hung up may end later.
    #[tokio::test]
    async fn what_is_held_is_dropped_with_an_answer_that_was_not_finished() {
        let held = Arc::new(());
        let (lines, response) = Lines::begin(held.clone());
        lines.send(LINE.into()).await.expect("a client");
        let shared = lines.shared.clone();
        drop(lines);
        assert_eq!(Arc::strong_count(&held), 1, "nothing is kept for the client");
        let left = shared.state().left.len();
        assert_eq!(left, 0);
        drop(response);
    }

    #[tokio::test]
    async fn what_is_held_is_dropped_before_the_client_sees_the_end() {
        let held = Arc::new(());
        let (lines, response) = Lines::begin(held.clone());
        let shared = lines.shared.clone();
        lines.finish(LINE.into());
        assert_eq!(Arc::strong_count(&held), 2, "the answer is not sent yet");
        response.into_body().collect().await.expect("a whole answer");
        assert_eq!(Arc::strong_count(&held), 1, "whoever still has the writing end");
        drop(shared);
    }

    #[tokio::test]
    async fn what_is_held_is_dropped_with_both_ends() {
        let held = Arc::new(());
        let (lines, response) = Lines::begin(held.clone());
        drop(response);
        assert_eq!(lines.send(LINE.into()).await, Err(Gone));
        lines.gone().await;
        assert_eq!(Arc::strong_count(&held), 2, "the writer may still be at work");
        drop(lines);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
