//! Addresses to listen on, and which of them other machines can reach.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

use super::UsageError;

/// An address to listen on: `host:port`, where `host` is a name, an IPv4 address or an IPv6 address
/// in brackets. With port 0 the operating system chooses the port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddr(String);

impl ListenAddr {
    /// Returns the address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address at which this machine reaches a server that listens on `self`: the
    /// loopback address if it listens on all addresses.
    #[must_use]
    pub fn from_this_machine(&self) -> Self {
        match self.0.rsplit_once(':') {
            Some(("0.0.0.0", port)) => Self(format!("127.0.0.1:{port}")),
            Some(("[::]", port)) => Self(format!("[::1]:{port}")),
            _ => self.clone(),
        }
    }

    /// Returns whether only this machine can reach the address.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.0.rsplit_once(':').map_or(self.0.as_str(), |(host, _)| host))
    }
}

/// Whether a host is this machine. Of names, only `localhost` counts: any other may resolve to
/// anything. An IPv6 address may stand in brackets.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Refuses an address that other machines can reach, unless that is `allowed`: without keys and tokens,
/// every client that reaches the address may do everything.
///
/// # Errors
///
/// Returns an error if the address is not loopback and `allowed` is false.
pub fn refuse_open_address(address: &ListenAddr, allowed: bool) -> Result<(), UsageError> {
    if allowed || address.is_loopback() {
        return Ok(());
    }
    Err(UsageError(format!(
        "{address} can be reached from other machines without authentication; listen on \
         127.0.0.1, or ask clients for API keys (`lastro keys create --file keys.toml --name NAME \
         --scope orders:read`, then LASTRO_API_KEYS_FILE=keys.toml) or access tokens \
         (LASTRO_OIDC_ISSUER), or set LASTRO_NO_AUTH=true if a proxy in front authenticates the \
         clients"
    )))
}

impl FromStr for ListenAddr {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UsageError(format!("{text:?} is not host:port, such as 127.0.0.1:8080"));
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let digits_only = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => matches!(inner.parse(), Ok(IpAddr::V6(_))),
            None => !host.is_empty() && !host.contains([':', '/', '[', ']', ' ']),
        };
        if host_fits && digits_only && port.parse::<u16>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = UsageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in
            ["127.0.0.1:8080", "localhost:0", "[::1]:80", "0.0.0.0:65535", "orders.internal:8081"]
        {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080",
            ":8080",
            "localhost",
            "localhost:",
            "h:65536",
            "h:+1",
            "::1:80",
            "[h]:80",
            "http://h:80",
            "[::1:80",
        ] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_for_all_is_reached_from_this_machine() {
        for (text, reached) in [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("orders:8081", "orders:8081"),
        ] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().from_this_machine().as_str(), reached);
        }
    }

    #[test]
    fn an_open_address_needs_explicit_permission() {
        for (text, loopback) in [
            ("127.0.0.1:8080", true),
            ("127.8.9.1:8080", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]:8080", true),
            ("LocalHost:8080", true),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("192.168.1.5:8080", false),
            ("localhost.example.com:8080", false),
            ("orders:8080", false),
        ] {
            let address: ListenAddr = text.parse().unwrap();
            assert_eq!(refuse_open_address(&address, false).is_ok(), loopback, "{text}");
            assert_eq!(refuse_open_address(&address, true), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let UsageError(line) =
            refuse_open_address(&"0.0.0.0:80".parse().unwrap(), false).unwrap_err();
        assert!(
            line.starts_with("0.0.0.0:80 can be reached") && line.contains("LASTRO_NO_AUTH=true"),
            "{line}"
        );
        // Both name the same file, so the first start works.
        for words in ["`lastro keys create --file keys.toml ", "LASTRO_API_KEYS_FILE=keys.toml)"] {
            assert!(line.contains(words), "{line}");
        }
        assert!(!line.contains('\n'), "{line}");
    }
}
