//! URLs whose scheme selects an adapter at start-up.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::UsageError;

/// Where a service keeps its data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseUrl {
    /// A file: `sqlite:data/orders.db`, `sqlite:/abs/path` or `sqlite:///abs/path`.
    Sqlite(PathBuf),
    /// The whole URL, `postgres://…` or `postgresql://…`. It may hold a password, which `Display`
    /// and `Debug` leave out.
    Postgres(String),
}

/// The bus that carries the messages between the services.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum BusUrl {
    /// `embedded:`, queues in memory, which connect only services in one process.
    Embedded,
    /// The whole URL, `nats://…`. It may hold a password, which `Display` and `Debug` leave out.
    Nats(String),
}

impl FromStr for DatabaseUrl {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path),
            Some(("postgres" | "postgresql", rest)) if is_server(rest) => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some((scheme @ ("postgres" | "postgresql"), _)) => Err(UsageError(format!(
                "{scheme}: needs a server, such as postgres://user@host:5432/orders"
            ))),
            Some((scheme, _)) => Err(UsageError(format!(
                "{:?} is not a supported database; use sqlite: or postgres:",
                format!("{scheme}:")
            ))),
            None => Err(UsageError(format!(
                "{text:?} is not a database URL, such as sqlite:data/orders.db"
            ))),
        }
    }
}

fn sqlite(path: &str) -> Result<DatabaseUrl, UsageError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') {
        return Err(UsageError("sqlite: needs a file, such as sqlite:data/orders.db".to_owned()));
    }
    // `sqlite::memory:` would lose accepted commands, and a parameter could turn durability off
    // (R1).
    if path.starts_with(':') || path.contains('?') {
        return Err(UsageError(format!("sqlite:{path} must be a plain file name")));
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

impl FromStr for BusUrl {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("embedded", "")) => Ok(Self::Embedded),
            Some(("nats", rest)) if is_server(rest) => Ok(Self::Nats(text.to_owned())),
            Some(("nats", _)) => {
                Err(UsageError("nats: needs a server, such as nats://host:4222".to_owned()))
            }
            Some((scheme, _)) => Err(UsageError(format!(
                "{:?} is not a supported bus; use embedded: or nats:",
                format!("{scheme}:")
            ))),
            None => Err(UsageError(format!(
                "{text:?} is not a bus URL, such as embedded: or nats://host:4222"
            ))),
        }
    }
}

fn is_server(rest: &str) -> bool {
    rest.strip_prefix("//").is_some_and(|host| !host.is_empty())
}

impl TryFrom<String> for DatabaseUrl {
    type Error = UsageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for BusUrl {
    type Error = UsageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded:"),
            Self::Nats(servers) => {
                f.write_str(&servers.split(',').map(without_secrets).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Keeps scheme, host and path. User, password and parameters may each be a secret (a token,
/// `?password=`).
fn without_secrets(url: &str) -> String {
    let plain = url.split_once('?').map_or(url, |(before, _)| before);
    match (plain.split_once("://"), plain.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_database() {
        for (text, path) in [
            ("sqlite:data/orders.db", "data/orders.db"),
            ("sqlite:/abs/orders.db", "/abs/orders.db"),
            ("sqlite:///abs/orders.db", "/abs/orders.db"),
            ("sqlite://data/orders.db", "data/orders.db"),
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Sqlite(path.into())), "{text}");
        }
        for text in [
            "postgres://u:p@h:5432/orders",
            "postgresql://h/orders",
            "postgres:///orders?host=/run",
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Postgres(text.into())), "{text}");
        }
    }

    #[test]
    fn a_url_that_picks_no_database_says_why() {
        for (text, line) in [
            ("mysql://h/x", "\"mysql:\" is not a supported database; use sqlite: or postgres:"),
            ("orders.db", "\"orders.db\" is not a database URL, such as sqlite:data/orders.db"),
            ("sqlite:", "sqlite: needs a file, such as sqlite:data/orders.db"),
            ("sqlite:data/", "sqlite: needs a file, such as sqlite:data/orders.db"),
            ("sqlite::memory:", "sqlite::memory: must be a plain file name"),
            ("sqlite:a.db?mode=memory", "sqlite:a.db?mode=memory must be a plain file name"),
            ("postgres:", "postgres: needs a server, such as postgres://user@host:5432/orders"),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(UsageError(line.into())));
        }
    }

    #[test]
    fn the_scheme_picks_the_bus() {
        assert_eq!("embedded:".parse(), Ok(BusUrl::Embedded));
        assert_eq!("nats://h:4222".parse(), Ok(BusUrl::Nats("nats://h:4222".into())));
        for text in ["embedded", "embedded:x", "nats:", "nats://", "kafka://h"] {
            assert!(text.parse::<BusUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("postgres://user:s3cret@h:5432/orders?sslmode=require", "postgres://h:5432/orders"),
            ("postgres://user:s3@cret@h/orders", "postgres://h/orders"),
            ("postgres://h/orders?password=s3cret", "postgres://h/orders"),
            ("sqlite:data/orders.db", "sqlite:data/orders.db"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
        let bus: BusUrl = "nats://token@a:4222,nats://u:p@b:4222".parse().unwrap();
        assert_eq!(format!("{bus:?}"), "nats://a:4222,nats://b:4222");
    }
}
