//! A proxy between a program and its server, through which a test may cut or delay the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What happens to the bytes that are sent through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// They go through.
    Fair,
    /// Each piece is delayed by this time.
    Slow(Duration),
    /// Connections stay open and nothing goes through, as when a cable was pulled and neither side
    /// has noticed.
    HeldUp,
    /// Connections are closed, new ones as well.
    Cut,
}

/// Forwards TCP connections to one server.
///
/// Dropping it closes all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to the server at a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let weather = Arc::new(watch::Sender::new(Weather::Fair));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, port, weather.clone()));
        Self { address, weather, _accepting: accepting }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes every connection, and each new one at once.
    pub fn cut(&self) {
        self.weather.send_replace(Weather::Cut);
    }

    /// Holds all bytes in both directions. They arrive after [`Self::mend`].
    pub fn hold_up(&self) {
        self.weather.send_replace(Weather::HeldUp);
    }

    /// Delays each piece by this time, in both directions.
    pub fn slow_down(&self, delay: Duration) {
        self.weather.send_replace(Weather::Slow(delay));
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.weather.send_replace(Weather::Fair);
    }
}

async fn accept(listener: TcpListener, port: u16, weather: Arc<watch::Sender<Weather>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let weather = weather.subscribe();
        if *weather.borrow() == Weather::Cut {
            continue;
        }
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // The end of either direction closes both.
            tokio::select! {
                () = forward(from_client, to_server, weather.clone()) => {}
                () = forward(from_server, to_client, weather.clone()) => {}
                () = cut(weather) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn cut(mut weather: watch::Receiver<Weather>) {
    // An error means that the proxy was dropped, which closes its connections as well.
    let _ = weather.wait_for(|now| *now == Weather::Cut).await;
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let now = *weather.borrow();
        if let Weather::Slow(delay) = now {
            // Better weather ends the delay early.
            let _ = timeout(delay, weather.wait_for(|now| !matches!(now, Weather::Slow(_)))).await;
        }
        if weather.wait_for(|now| matches!(now, Weather::Fair | Weather::Slow(_))).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
