//! A load far beyond the capacity, which waits for no answer: each connection sends requests at its
//! share of the rate, drops what it reads, and hangs up after a while, with requests unanswered.
#![expect(clippy::float_arithmetic, reason = "a share of a rate is a fraction")]

use std::io::ErrorKind;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bench::wire::Endpoint;

/// How often a connection sends what is due.
const TICK: Duration = Duration::from_millis(20);
/// How long a client stays before it hangs up.
const LIFE: Duration = Duration::from_secs(1);

/// A flood of orders.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    pub(super) endpoint: Endpoint,
    pub(super) bodies: Vec<Bytes>,
    /// Requests per second, of all connections together.
    pub(super) rate: f64,
    pub(super) connections: usize,
    pub(super) duration: Duration,
}

impl Flood {
    /// Sends requests until the time is over. Returns how many were handed to the operating system
    /// for certain; the others found the connection full of unread requests.
    pub(super) async fn run(self) -> u64 {
        let end = Instant::now() + self.duration;
        let mut clients = JoinSet::new();
        for at in 0..self.connections {
            let client = Client {
                endpoint: self.endpoint.clone(),
                requests: self.requests_of(at),
                gap: Duration::from_secs_f64(self.connections as f64 / self.rate),
                end,
            };
            clients.spawn(client.run());
        }
        clients.join_all().await.into_iter().sum()
    }

    /// Prebuilt requests, of which each connection has its share.
    fn requests_of(&self, connection: usize) -> Vec<Bytes> {
        let own = self.bodies.iter().skip(connection % self.bodies.len()).step_by(7);
        own.map(|body| self.endpoint.order(body)).collect()
    }
}

struct Client {
    endpoint: Endpoint,
    requests: Vec<Bytes>,
    /// The time between two requests.
    gap: Duration,
    end: Instant,
}

impl Client {
    async fn run(self) -> u64 {
        let mut sent = 0;
        while Instant::now() < self.end {
            match tokio::time::timeout_at(self.end, self.endpoint.connect()).await {
                Ok(Ok(stream)) => sent += self.session(stream).await,
                // The service has no connection to spare: the next client tries after a while.
                Ok(Err(_)) => tokio::time::sleep(TICK).await,
                Err(_) => break,
            }
        }
        sent
    }

    /// Sends what is due, tick by tick, until it is time to hang up.
    async fn session(&self, mut stream: TcpStream) -> u64 {
        let begun = Instant::now();
        let hang_up = self.end.min(begun + LIFE);
        let mut due = begun;
        let mut sent = 0;
        let mut next = self.requests.iter().cycle();
        let mut waiting = BytesMut::new();
        // Whole requests among what waits.
        let mut pending = 0;
        let mut answers = [0; 16_384];
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                now = ticks.tick() => {
                    if now >= hang_up {
                        return sent;
                    }
                    // A connection that is full gets nothing more, and what was due is gone.
                    let room = waiting.is_empty();
                    while due <= now {
                        due += self.gap;
                        if room && let Some(request) = next.next() {
                            waiting.extend_from_slice(request);
                            pending += 1;
                        }
                    }
                }
                read = stream.read(&mut answers) => if matches!(read, Ok(0) | Err(_)) {
                    return sent;
                },
            }
            match stream.try_write(&waiting) {
                Ok(written) => drop(waiting.split_to(written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return sent,
            }
            if waiting.is_empty() {
                sent += std::mem::take(&mut pending);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_flood_waits_for_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = Endpoint::at(listener.local_addr().expect("an address"));
        let received = Arc::new(AtomicUsize::new(0));
        let counted = received.clone();
        // It reads requests and never answers.
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    // A client that hangs up may reset the connection.
                    let _ = stream.read_to_end(&mut text).await;
                    let requests = text.windows(5).filter(|word| word == b"POST ").count();
                    counted.fetch_add(requests, Ordering::Relaxed);
                });
            }
        });
        let flood = Flood {
            endpoint,
            bodies: vec![Bytes::from_static(b"{}"); 10],
            rate: 1_000.0,
            connections: 4,
            duration: Duration::from_millis(300),
        };
        let sent = usize::try_from(flood.run().await).expect("a few");
        // More than one for each connection, which no client sends that waits for an answer.
        assert!(sent > 8, "{sent} requests");
        testbed::eventually(Duration::from_secs(10), "all are received", async || {
            (received.load(Ordering::Relaxed) == sent).then_some(())
        })
        .await;
    }
}
