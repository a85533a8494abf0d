//! Ports that are free and stay free.

use std::hash::{BuildHasher, RandomState};
use std::net::{TcpStream, UdpSocket};

/// Below the ports of outgoing connections, so that a restarted server finds its port free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const MAX_ATTEMPTS: u32 = 50;

/// A TCP port for one server of one test, until this value is dropped.
#[derive(Debug)]
pub struct Port {
    pub(crate) number: u16,
    /// No server of the tests speaks UDP, so the test that holds a UDP port owns the TCP port of
    /// the same number, whether or not its server runs. This keeps tests in all processes from
    /// using one another's ports.
    _held: UdpSocket,
}

impl Port {
    /// A port on which no server listens and that no other test has. A program outside the tests
    /// may still take it.
    pub(crate) fn free() -> Self {
        for _ in 0..MAX_ATTEMPTS {
            let width = u64::from(PORTS.end - PORTS.start);
            let offset =
                u16::try_from(RandomState::new().hash_one(0) % width).expect("less than the width");
            let number = PORTS.start + offset;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            // Another program's server on this port would answer in place of the test's server.
            if TcpStream::connect(("127.0.0.1", number)).is_err() {
                return Self { number, _held: held };
            }
        }
        panic!("no port is free");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_to_two_tests() {
        let all: Vec<_> = (0..200).map(|_| Port::free()).collect();
        let distinct: BTreeSet<_> = all.iter().map(|port| port.number).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
