//! Requests that cannot be read as HTTP. hyper answers them by itself with a status alone, closes
//! the connection, and lets nobody in between; so their bare answers are recognised where they are
//! written, and made problem documents.
//!
//! No answer of ours looks like that: the edge gives each of them a request id, and a body that
//! begins with a status line has line breaks, which no answer of the API has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use platform::clock::Ids;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::info;

use crate::edge::{RequestId, finish_headers};
use crate::problem::{Code, MEDIA_TYPE, Problem};

/// The status lines of the answers that hyper makes by itself.
const STATUS_LINES: [(&str, Code); 3] = [
    ("HTTP/1.1 400 Bad Request", Code::MALFORMED_REQUEST),
    ("HTTP/1.1 414 URI Too Long", Code::URI_TOO_LONG),
    ("HTTP/1.1 431 Request Header Fields Too Large", Code::HEADERS_TOO_LARGE),
];
/// The headers of such an answer, in lower case.
const BARE_HEADERS: [&str; 3] = ["connection", "content-length", "date"];

/// A connection on which bare answers become problem documents.
#[derive(Debug)]
pub(super) struct Answers<S> {
    pub(super) stream: S,
    pub(super) ids: Arc<dyn Ids>,
    /// What is left to write in the place of a bare answer.
    left: Vec<u8>,
}

impl<S> Answers<S> {
    pub(super) fn on(stream: S, ids: Arc<dyn Ids>) -> Self {
        Self { stream, ids, left: Vec::new() }
    }
}

impl<S: AsyncWrite + Unpin> Answers<S> {
    /// Writes a problem document in the place of a bare answer. `None` for all other bytes.
    ///
    /// The caller calls again with the same bytes until they are written.
    fn write_problem(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.left.is_empty() {
            self.left = problem(bytes, &*self.ids)?;
        }
        while !self.left.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.left) {
                Poll::Pending => return Some(Poll::Pending),
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Ok(0))),
                Poll::Ready(Ok(written)) => drop(self.left.drain(..written)),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            }
        }
        Some(Poll::Ready(Ok(bytes.len())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answers<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Answers<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(written) = self.write_problem(context, bytes) {
            return written;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next())
            && let Some(written) = self.write_problem(context, only)
        {
            return Poll::Ready(ready!(written));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

/// The problem document for a bare answer, as it is sent.
fn problem(bytes: &[u8], ids: &dyn Ids) -> Option<Vec<u8>> {
    let (code, date) = bare(bytes)?;
    let request_id = RequestId::of(&HeaderMap::new(), ids);
    let detail = match code.status() {
        StatusCode::URI_TOO_LONG => "the path and the query are too long; send less in them",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the path, the query and the headers may have 48 KiB together, and 100 lines; send less"
        }
        _ => "the request line or a header is not valid HTTP/1.1",
    };
    let document = Problem::new(code, detail).document(request_id.as_str());
    let body = serde_json::to_vec(&document).expect("a problem is JSON");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(date).ok()) {
        headers.insert(header::DATE, date);
    }
    finish_headers(&mut headers, &request_id);
    info!(request_id = request_id.as_str(), code = code.as_str(), "refused unreadable request");

    let (line, _) = STATUS_LINES.iter().find(|(_, its)| *its == code).expect("it was found there");
    let mut answer = format!("{line}\r\n").into_bytes();
    for (name, value) in &headers {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    answer.extend(b"\r\n");
    answer.extend(body);
    Some(answer)
}

/// The code for a bare answer, and its date. `None` if the bytes are anything else.
fn bare(bytes: &[u8]) -> Option<(Code, Option<&str>)> {
    // Almost all answers end here.
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let mut lines = std::str::from_utf8(bytes).ok()?.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next()?;
    let (_, code) = STATUS_LINES.iter().find(|(line, _)| *line == status_line)?;
    let mut date = None;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = BARE_HEADERS.iter().find(|bare| name.eq_ignore_ascii_case(bare))?;
        match *name {
            "content-length" if value != "0" => return None,
            "date" => date = Some(value),
            _ => {}
        }
    }
    Some((*code, date))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 27 Nov 2026 14:27:54 GMT";

    #[test]
    fn only_an_answer_without_anything_of_ours_is_bare() {
        for (line, code) in STATUS_LINES {
            let answer =
                format!("{line}\r\nconnection: close\r\ncontent-length: 0\r\ndate: {DATE}\r\n\r\n");
            assert_eq!(bare(answer.as_bytes()), Some((code, Some(DATE))), "{line}");
        }
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: 7\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "",
        ] {
            assert_eq!(bare(other.as_bytes()), None, "{other}");
        }
    }
}
