//! A file as the body of a request, without holding it in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use crate::client::{Body, Failed};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// The size of a file; `None` for standard input and what else has none.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn size(path: &Path) -> Result<Option<u64>, Failed> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if about.is_dir() {
        return Err(Failed::usage(format!("{} is a folder", path.display())));
    }
    Ok(about.is_file().then_some(about.len()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failed {
    Failed::usage(format!("cannot read {}: {error}", path.display()))
}

/// A file, or standard input, as a body. A thread reads it as fast as it is sent.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn stream(path: &Path, bar: ProgressBar) -> Result<Body, Failed> {
    let source: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| unreadable(path, &error))?)
    };
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || read(source, &sender));
    let frames = stream::unfold((receiver, bar), async |(mut receiver, bar)| {
        let chunk: io::Result<Bytes> = receiver.recv().await?;
        if let Ok(bytes) = &chunk {
            bar.inc(bytes.len() as u64);
        }
        Some((chunk.map(Frame::data), (receiver, bar)))
    });
    Ok(StreamBody::new(Box::pin(frames)).boxed_unsync())
}

/// Reads until the end, an error, or until nobody wants more.
fn read(mut source: Box<dyn Read + Send>, sender: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut buffer = vec![0; CHUNK];
        let chunk = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                buffer.truncate(length);
                Ok(Bytes::from(buffer))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || is_last {
            return;
        }
    }
}
