//! Ports that are free now.

use std::hash::{BuildHasher, RandomState};

use tokio::net::TcpStream;

/// Below the ports that outgoing connections use, so that a restart finds its own free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const MAX_ATTEMPTS: u32 = 50;

/// A port on which nobody listens. Somebody else may take it all the same: whoever loses it tries another.
pub(crate) async fn free_port() -> u16 {
    for _ in 0..MAX_ATTEMPTS {
        let width = u64::from(PORTS.end - PORTS.start);
        let offset = u16::try_from(RandomState::new().hash_one(0) % width).expect("less than the width");
        let port = PORTS.start + offset;
        // Somebody else's server would answer in its place.
        if TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            return port;
        }
    }
    panic!("no port is free");
}
