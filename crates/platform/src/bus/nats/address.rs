//! The URL of a broker: its servers, and what the services use there.

use std::io;
use std::num::NonZeroU8;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use crate::config::{Secret, UsageError};

/// The most replicas of a stream that the broker supports.
const MAX_REPLICAS: u8 = 5;
/// The longest name of a channel.
const MAX_NAME: usize = 32;
/// The channel of a URL that names none.
const DEFAULT_CHANNEL: &str = "lastro";

/// What must be written as `%2C`, `%3F` and `%25` in a password.
const RESERVED: &str =
    "a user or password must be percent-encoded where it has a comma (%2C), a ? (%3F) or a % (%25)";

/// A parsed URL: `nats://user:password@a:4222,nats://user:password@b:4222?channel=lastro&replicas=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The servers, without what is secret.
    pub(super) servers: Vec<ServerAddr>,
    pub(super) login: Option<Login>,
    /// Whether every connection must be encrypted.
    pub(super) is_encrypted: bool,
    /// The first word of all subjects and streams, which separates deployments on one broker.
    pub(super) channel: String,
    /// How many servers of the cluster keep each stream, if the URL says so.
    pub(super) replicas: Option<NonZeroU8>,
}

/// How a URL says who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// `nats://user:password@host`
    Password { user: Secret, password: Secret },
    /// `nats://token@host`
    Token(Secret),
}

/// One server of a URL.
#[derive(Debug)]
struct Server {
    address: ServerAddr,
    login: Option<Login>,
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is wrong and what is possible, and quotes no password.
    pub(super) fn parse(url: &str) -> Result<Self, UsageError> {
        let (servers, parameters) = url.split_once('?').unwrap_or((url, ""));
        if parameters.contains('@') {
            return Err(invalid(RESERVED));
        }
        let (scheme, _) = servers.split_once("://").unwrap_or(("nats", ""));
        let servers: Result<Vec<Server>, _> =
            servers.split(',').map(|server| Server::parse(server, scheme)).collect();
        let servers = servers.map_err(|why| match url.contains('@') {
            true => invalid(&format!("{why}; {RESERVED}")),
            false => invalid(&why),
        })?;
        let login = servers[0].login.clone();
        if servers.iter().any(|server| server.login != login) {
            return Err(invalid("every server needs the same user and password"));
        }
        let (mut channel, mut replicas) = (None, None);
        for parameter in parameters.split('&').filter(|_| url.contains('?')) {
            match parameter.split_once('=') {
                Some(("channel", name)) if channel.is_none() => channel = Some(name_of(name)?),
                Some(("replicas", number)) if replicas.is_none() => {
                    replicas = Some(replicas_of(number)?);
                }
                _ => return Err(unknown(parameter)),
            }
        }
        Ok(Self {
            servers: servers.into_iter().map(|server| server.address).collect(),
            login,
            is_encrypted: scheme == "tls",
            channel: channel.unwrap_or_else(|| DEFAULT_CHANNEL.to_owned()),
            replicas,
        })
    }
}

impl Server {
    /// Parses `user:password@host:4222`, before which the scheme of the URL may stand. The password
    /// never gets into the address, which the client logs.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, without a part of the text.
    fn parse(text: &str, scheme: &str) -> Result<Self, String> {
        let (its, authority) = text.split_once("://").unwrap_or((scheme, text));
        if its != scheme {
            return Err("all servers must begin with nats://, or all with tls://".to_owned());
        }
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(Login::parse(login)?), host),
            None => (None, authority),
        };
        let address = format!("{scheme}://{host}");
        let address: ServerAddr = address.parse().map_err(|error: io::Error| error.to_string())?;
        let url = address.clone().into_inner();
        if host.is_empty() || !["", "/"].contains(&url.path()) || url.fragment().is_some() {
            return Err("a server must be host or host:port".to_owned());
        }
        Ok(Self { address, login })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, String> {
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded = decoded.map_err(|_| "the user or password is not UTF-8".to_owned())?;
            match decoded.is_empty() {
                true => Err("the user or the password is empty".to_owned()),
                false => Ok(Secret::from(decoded.into_owned())),
            }
        };
        Ok(match text.split_once(':') {
            Some((user, password)) => {
                Self::Password { user: decode(user)?, password: decode(password)? }
            }
            None => Self::Token(decode(text)?),
        })
    }
}

fn invalid(why: &str) -> UsageError {
    UsageError(format!("invalid bus URL: {why}"))
}

/// The name becomes a part of subjects and of the names of streams.
fn name_of(name: &str) -> Result<String, UsageError> {
    let mut letters = name.chars();
    let is_name = letters.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
        && name.len() <= MAX_NAME;
    if is_name {
        return Ok(name.to_owned());
    }
    Err(UsageError(format!(
        "?channel={name} must be 1 to {MAX_NAME} letters, digits, _ and -, of which the first is a letter or digit"
    )))
}

fn replicas_of(number: &str) -> Result<NonZeroU8, UsageError> {
    let replicas = number.parse().ok();
    replicas.filter(|replicas: &NonZeroU8| replicas.get() <= MAX_REPLICAS).ok_or_else(|| {
        UsageError(format!("?replicas={number} must be ?replicas=1 to ?replicas={MAX_REPLICAS}"))
    })
}

fn unknown(parameter: &str) -> UsageError {
    UsageError(format!(
        "{parameter:?} is not a parameter of a bus URL; it may have ?channel=NAME and ?replicas=1 to ?replicas={MAX_REPLICAS}, each once, joined by &"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(parameters: &str) -> Result<(String, Option<u8>), String> {
        let address = Address::parse(&format!("nats://a:4222,nats://b:4222{parameters}"));
        let address = address.map_err(|UsageError(line)| line)?;
        assert_eq!(address.servers.len(), 2);
        Ok((address.channel, address.replicas.map(NonZeroU8::get)))
    }

    #[test]
    fn a_url_names_a_channel_and_a_number_of_replicas() {
        for (parameters, channel, replicas) in [
            ("", "lastro", None),
            ("?replicas=3", "lastro", Some(3)),
            ("?channel=test-2_a", "test-2_a", None),
            ("?channel=x&replicas=1", "x", Some(1)),
            ("?replicas=5&channel=2", "2", Some(5)),
        ] {
            assert_eq!(parsed(parameters), Ok((channel.to_owned(), replicas)), "{parameters}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_refused_in_one_line_that_says_what_is_possible() {
        let long = format!("?channel={}", "x".repeat(33));
        for (parameters, text) in [
            (
                "?",
                "\"\" is not a parameter of a bus URL; it may have ?channel=NAME and ?replicas=1",
            ),
            ("?color=red", "\"color=red\" is not a parameter of a bus URL; it may have"),
            ("?channel", "\"channel\" is not a parameter"),
            ("?channel=a&channel=a", "\"channel=a\" is not a parameter"),
            ("?channel=", "?channel= must be 1 to 32 letters, digits, _ and -"),
            ("?channel=a.b", "?channel=a.b must be"),
            ("?channel=a*", "?channel=a* must be"),
            ("?channel=-a", "?channel=-a must be"),
            (&long, "?channel=xxx"),
            ("?replicas=0", "?replicas=0 must be ?replicas=1 to ?replicas=5"),
            ("?replicas=6", "?replicas=6 must be"),
            ("?replicas=three", "?replicas=three must be"),
        ] {
            let line = parsed(parameters).expect_err(parameters);
            assert!(line.starts_with(text) && !line.contains('\n'), "{parameters}: {line}");
        }
    }

    fn login(url: &str) -> Option<(String, String)> {
        match Address::parse(url).expect(url).login? {
            Login::Password { user, password } => {
                Some((user.reveal().to_owned(), password.reveal().to_owned()))
            }
            Login::Token(token) => Some((token.reveal().to_owned(), String::new())),
        }
    }

    #[test]
    fn a_url_says_who_connects_and_its_servers_do_not() {
        for (url, user, password) in [
            ("nats://orders:s3cret@h", "orders", "s3cret"),
            ("nats://orders:s3:cr@et/#@h:1?channel=x", "orders", "s3:cr@et/#"),
            ("tls://a%3Ab:%2C%3F%25@[::1]:4222", "a:b", ",?%"),
            ("nats://u:s3cret@a:1,nats://u:s3cret@b:2", "u", "s3cret"),
            ("nats://u:s3cret@a:1,u:s3cret@b:2", "u", "s3cret"),
            ("nats://s3cret@h", "s3cret", ""),
        ] {
            assert_eq!(login(url), Some((user.to_owned(), password.to_owned())), "{url}");
            let shown = format!("{:?}", Address::parse(url).expect(url));
            assert!(!shown.contains("s3") && !shown.contains("orders"), "{shown}");
        }
        assert_eq!(login("tls://a:1,b:2"), None);
    }

    #[test]
    fn tls_is_required_of_every_server_or_of_none() {
        for (url, is_encrypted) in
            [("nats://a,nats://b", false), ("tls://a,tls://b", true), ("tls://a,b", true)]
        {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.is_encrypted, is_encrypted, "{url}");
            assert!(address.servers.iter().all(|server| server.tls_required() == is_encrypted));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_in_one_line_without_its_password() {
        for (url, text) in [
            ("nats://u:s3,cret@h", "percent-encoded"),
            ("nats://u:s3?cret@h", "percent-encoded"),
            ("nats://u:s3cret@h:port", "invalid port number"),
            ("nats://u:s3cret@h/path", "a server must be host or host:port"),
            ("nats://u:s3cret@", "percent-encoded"),
            ("nats://:s3cret@h", "the user or the password is empty"),
            ("nats://s3cret:@h", "the user or the password is empty"),
            ("nats://u:s3cret%ff@h", "not UTF-8"),
            ("nats://u:s3cret@a,nats://b", "every server needs the same user and password"),
            ("nats://u:s3cret@a,nats://u:other@b", "every server needs the same user"),
            ("nats://s3cret@a,nats://b", "every server needs the same user"),
            ("nats://u:s3cret@a,tls://u:s3cret@b", "all servers must begin with nats://"),
            ("nats://a,ws://b", "all servers must begin with nats://"),
            ("nats://u:s3cret@a?channel=", "?channel= must be"),
        ] {
            let UsageError(line) = Address::parse(url).expect_err(url);
            assert!(line.contains(text) && !line.contains('\n'), "{url}: {line}");
            assert!(!line.contains("s3") && !line.contains("cret"), "{url}: {line}");
        }
    }
}
