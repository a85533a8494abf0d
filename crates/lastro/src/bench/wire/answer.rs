//! Reads an answer of HTTP/1.1 from a connection (RFC 9112).

use bytes::{Buf, BytesMut};
use http::StatusCode;
use httparse::{EMPTY_HEADER, Response, Status, parse_chunk_size};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Answer, Broken, broken};

const MAX_HEADERS: usize = 64;
const LINE_END: &[u8] = b"\r\n";
/// The room for what one read may receive.
const ROOM: usize = 4096;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// The length of the head itself.
    length: usize,
    status: StatusCode,
    body: Body,
    closes: bool,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunks,
    UntilClose,
}

/// Reads one answer. `received` is what was read of it already. Returns whether another request can
/// follow on the connection.
///
/// # Errors
///
/// The connection ended before, or it is not HTTP/1.1.
pub(super) async fn read(
    stream: &mut TcpStream,
    received: &mut BytesMut,
) -> Result<(Answer, bool), Broken> {
    let head = loop {
        match Head::parse(received)? {
            Some(head) => break head,
            None => more(stream, received).await?,
        }
    };
    received.advance(head.length);
    let body = match head.body {
        Body::Length(length) => {
            while received.len() < length {
                more(stream, received).await?;
            }
            received.split_to(length)
        }
        Body::Chunks => chunks(stream, received).await?,
        Body::UntilClose => {
            while receive(stream, received).await? > 0 {}
            received.split()
        }
    };
    let reusable = !head.closes && head.body != Body::UntilClose && received.is_empty();
    Ok((Answer { status: head.status, body: body.freeze() }, reusable))
}

impl Head {
    /// Parses the head, if all of it was received.
    fn parse(received: &[u8]) -> Result<Option<Self>, Broken> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let Status::Complete(length) = response.parse(received).map_err(broken)? else {
            return Ok(None);
        };
        let status = StatusCode::from_u16(response.code.unwrap_or(0)).map_err(broken)?;
        let mut head = Self { length, status, body: Body::UntilClose, closes: false };
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            head.body = Body::Length(0);
        }
        for header in response.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(value).map_err(broken)?;
                head.body = Body::Length(length.parse().map_err(broken)?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Body::Chunks;
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.closes |= value.eq_ignore_ascii_case(b"close");
            }
        }
        Ok(Some(head))
    }
}

/// Reads chunks up to the last one, and the trailers after it.
async fn chunks(stream: &mut TcpStream, received: &mut BytesMut) -> Result<BytesMut, Broken> {
    let mut body = BytesMut::new();
    loop {
        let size = match parse_chunk_size(received) {
            Ok(Status::Complete((head, size))) => {
                received.advance(head);
                usize::try_from(size).map_err(broken)?
            }
            Ok(Status::Partial) => {
                more(stream, received).await?;
                continue;
            }
            Err(_) => return Err(broken("an invalid chunk")),
        };
        if size == 0 {
            while !line(stream, received).await?.is_empty() {}
            return Ok(body);
        }
        while received.len() < size {
            more(stream, received).await?;
        }
        body.extend_from_slice(&received.split_to(size));
        line(stream, received).await?;
    }
}

/// Reads a line, and returns it without its end.
async fn line(stream: &mut TcpStream, received: &mut BytesMut) -> Result<BytesMut, Broken> {
    loop {
        if let Some(at) = received.windows(LINE_END.len()).position(|two| two == LINE_END) {
            let line = received.split_to(at);
            received.advance(LINE_END.len());
            return Ok(line);
        }
        more(stream, received).await?;
    }
}

/// Reads some more of an answer, which is not complete.
async fn more(stream: &mut TcpStream, received: &mut BytesMut) -> Result<(), Broken> {
    match receive(stream, received).await? {
        0 => Err(broken("closed before the answer was complete")),
        _ => Ok(()),
    }
}

async fn receive(stream: &mut TcpStream, received: &mut BytesMut) -> Result<usize, Broken> {
    received.reserve(ROOM);
    stream.read_buf(received).await.map_err(|error| broken(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Broken> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_says_where_the_body_ends() {
        for (headers, body, closes) in [
            ("content-length: 12\r\n", Body::Length(12), false),
            ("Content-Length:12\r\nConnection: close\r\n", Body::Length(12), true),
            ("transfer-encoding: chunked\r\n", Body::Chunks, false),
            ("", Body::UntilClose, false),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            let expected = Head { length: text.len(), status: StatusCode::OK, body, closes };
            assert_eq!(head(&text), Ok(Some(expected)), "{text}");
            assert_eq!(head(&text[..text.len() - 1]), Ok(None), "{text}");
        }
        let empty = head("HTTP/1.1 204 No Content\r\n\r\n").expect("valid").expect("complete");
        assert_eq!(empty.body, Body::Length(0));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
            assert!(head(text).is_err(), "{text}");
        }
    }
}
