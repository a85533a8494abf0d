//! Long bodies, which a handler reads piece by piece: a file that is sent.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::json::{check_media_type, discard, discard_unread};
use crate::problem::{Code, Problem};

/// How long the next piece may take to arrive.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is too long for the memory. It is read at the pace at which its pieces are asked for.
#[derive(Debug)]
pub struct Upload {
    body: Body,
    max_bytes: u64,
    left: u64,
    /// The whole body has arrived by then.
    deadline: Instant,
    /// Whether the client waits to be asked for the body (`Expect: 100-continue`).
    is_awaited: bool,
}

/// Why the rest of an upload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has more bytes than it may have.
    #[error("the body must have at most {0} bytes")]
    TooLarge(u64),
    /// The client went away, or did not send the body as it announced.
    #[error("the connection closed before the body was complete")]
    Cut,
    /// Nothing arrived for a while, or the whole takes too long.
    #[error("the body did not arrive in time")]
    TooSlow,
}

impl Upload {
    /// Begins to read a body of one of these media types, in UTF-8. Returns which one it is.
    ///
    /// # Errors
    ///
    /// 415 `unsupported_media_type`, or 413 `body_too_large` if `Content-Length` says so.
    pub async fn begin(
        headers: &HeaderMap,
        body: Body,
        media_types: &[&'static str],
        max_bytes: u64,
        patience: Duration,
    ) -> Result<(&'static str, Self), Problem> {
        let checked = check_media_type(headers, media_types).and_then(|found| {
            // The Content-Length, or 0 without one.
            if body.size_hint().lower() > max_bytes {
                let detail = Unreadable::TooLarge(max_bytes).to_string();
                return Err(Problem::new(Code::BODY_TOO_LARGE, detail));
            }
            Ok(found)
        });
        match checked {
            Ok(found) => {
                let deadline = Instant::now() + patience;
                let is_awaited = headers.contains_key(header::EXPECT);
                Ok((found, Self { body, max_bytes, left: max_bytes, deadline, is_awaited }))
            }
            Err(problem) => {
                discard_unread(headers, body).await;
                Err(problem)
            }
        }
    }

    /// Returns the next piece, which is not empty, or `None` after the last one. A call that is
    /// given up loses nothing.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]. It cannot be read on.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        let deadline = self.deadline.min(Instant::now() + PIECE_TIMEOUT);
        loop {
            let frame = tokio::time::timeout_at(deadline, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Unreadable::TooSlow)? else { return Ok(None) };
            let Ok(piece) = frame.map_err(|_| Unreadable::Cut)?.into_data() else { continue };
            let length = piece.len() as u64;
            self.left =
                self.left.checked_sub(length).ok_or(Unreadable::TooLarge(self.max_bytes))?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// Gives up the rest of a body that is refused, after the answer or before it.
    ///
    /// It is drained up to the limits of the edge: many clients read nothing before they have sent
    /// everything, and would lose the answer if the connection were closed meanwhile. A body that
    /// was not asked for is not read.
    pub async fn refuse(self) {
        if !self.is_awaited || self.left < self.max_bytes {
            discard(self.body).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http::HeaderValue;
    use hyper::body::{Frame, SizeHint};

    use super::*;

    const CSV: &str = "text/csv";
    const NDJSON: &str = "application/x-ndjson";
    const HOUR: Duration = Duration::from_secs(3600);

    async fn begin(media_type: &'static str, body: Body, max: u64) -> Result<Upload, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        let begun = Upload::begin(&headers, body, &[CSV, NDJSON], max, HOUR).await;
        begun.map(|(_, upload)| upload).map_err(|problem| problem.code)
    }

    /// A body of these pieces, which never ends.
    struct Endless(Vec<&'static str>, Duration);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let (waker, pause) = (context.waker().clone(), self.1);
            match self.0.pop() {
                Some("") => {
                    tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        waker.wake();
                    });
                    Poll::Pending
                }
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                None => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::new()
        }
    }

    #[tokio::test]
    async fn an_upload_has_one_of_the_media_types_and_at_most_its_length() {
        for (media_type, body, expected) in [
            ("text/csv; charset=utf-8", "12345", Ok(())),
            (NDJSON, "", Ok(())),
            ("text/plain", "1", Err(Code::UNSUPPORTED_MEDIA_TYPE)),
            ("text/csv; charset=latin1", "1", Err(Code::UNSUPPORTED_MEDIA_TYPE)),
            (CSV, "123456", Err(Code::BODY_TOO_LARGE)),
        ] {
            let begun = begin(media_type, body.into(), 5).await;
            assert_eq!(begun.map(drop), expected, "{media_type} {body}");
        }
    }

    #[tokio::test]
    async fn an_upload_of_unknown_length_is_read_up_to_its_limit() {
        let body = Body::new(Endless(vec!["6", "5", "1234"], Duration::ZERO));
        let mut upload = begin(CSV, body, 5).await.expect("an upload");
        assert_eq!(upload.next().await, Ok(Some("1234".into())));
        assert_eq!(upload.next().await, Ok(Some("5".into())));
        assert_eq!(upload.next().await, Err(Unreadable::TooLarge(5)));
    }

    /// Time is paused: it jumps to the next timer when there is nothing else to do.
    #[tokio::test(start_paused = true)]
    async fn a_slow_upload_is_read_as_long_as_pieces_arrive() {
        let pauses = vec!["3", "", "2", "", "1", ""];
        let body = Body::new(Endless(pauses, PIECE_TIMEOUT - Duration::from_secs(1)));
        let mut upload = begin(CSV, body, 5).await.expect("an upload");
        for piece in ["1", "2", "3"] {
            assert_eq!(upload.next().await, Ok(Some(piece.into())));
        }
        let began = Instant::now();
        assert_eq!(upload.next().await, Err(Unreadable::TooSlow));
        assert_eq!(began.elapsed(), PIECE_TIMEOUT);

        let drips = ["x", ""].repeat(1000);
        let body = Body::new(Endless(drips, PIECE_TIMEOUT - Duration::from_secs(1)));
        let mut upload = begin(CSV, body, 5000).await.expect("an upload");
        let began = Instant::now();
        while upload.next().await.is_ok() {}
        assert_eq!(began.elapsed(), HOUR, "the whole has a deadline too");
    }
}
