//! The URL of a broker: its servers, and what the services use there.

use std::num::NonZeroU8;

use async_nats::ServerAddr;

use crate::config::UsageError;

/// The most replicas of a stream that the broker supports.
const MAX_REPLICAS: u8 = 5;
/// The longest name of a channel.
const MAX_NAME: usize = 32;
/// The channel of a URL that names none.
const DEFAULT_CHANNEL: &str = "lastro";

/// A parsed URL: `nats://a:4222,nats://b:4222?channel=lastro&replicas=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) servers: Vec<ServerAddr>,
    /// The first word of all subjects and streams, which separates deployments on one broker.
    pub(super) channel: String,
    /// How many servers of the cluster keep each stream, if the URL says so.
    pub(super) replicas: Option<NonZeroU8>,
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is wrong and what is possible.
    pub(super) fn parse(url: &str) -> Result<Self, UsageError> {
        let (servers, parameters) = url.split_once('?').unwrap_or((url, ""));
        let servers: Result<Vec<ServerAddr>, _> = servers.split(',').map(str::parse).collect();
        let servers =
            servers.map_err(|error| UsageError(format!("invalid bus address: {error}")))?;
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
            servers,
            channel: channel.unwrap_or_else(|| DEFAULT_CHANNEL.to_owned()),
            replicas,
        })
    }
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
}
