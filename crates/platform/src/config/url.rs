//! URLs whose scheme selects an adapter at start-up.

use std::fmt;
use std::path::{Path, PathBuf};
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
    /// The whole URL, `nats://…` or `tls://…`. It may hold a password, which `Display` and `Debug`
    /// leave out.
    Nats(String),
}

/// No error quotes the text: it may hold a password, wherever its mistake is.
impl FromStr for DatabaseUrl {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let result = match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path),
            Some(("postgres" | "postgresql", rest)) => {
                check_postgres(rest).map(|()| Self::Postgres(text.to_owned()))
            }
            _ => Err("it is not a database URL, such as sqlite:data/orders.db or \
                      postgres://user@host:5432/orders"),
        };
        result.map_err(|reason| UsageError(reason.to_owned()))
    }
}

fn sqlite(path: &str) -> Result<DatabaseUrl, &'static str> {
    let path = path.strip_prefix("//").unwrap_or(path);
    // `sqlite::memory:` would lose accepted commands, and a parameter could turn durability off
    // (R1). `user:password@host` was meant for a server.
    let user = path.rsplit_once('@').map_or("", |(user, _)| user);
    let is_file = !path.is_empty() && !path.ends_with('/');
    if !is_file || path.starts_with(':') || path.contains('?') || user.contains(':') {
        return Err("sqlite: needs a plain file name, such as sqlite:data/orders.db");
    }
    Ok(DatabaseUrl::file(Path::new(path)))
}

impl DatabaseUrl {
    /// A file of SQLite, by its absolute path: errors and logs say where it is.
    pub fn file(path: &Path) -> Self {
        Self::Sqlite(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }
}

/// Checks what follows the scheme, so far that it is clear which part of it is the password.
fn check_postgres(rest: &str) -> Result<(), &'static str> {
    let Some(rest) = rest.strip_prefix("//").filter(|rest| !rest.is_empty()) else {
        return Err("postgres: needs a server, such as postgres://user@host:5432/orders");
    };
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a postgres: URL has no spaces and no line ends");
    }
    let UrlParts { user, hosts, tail } = UrlParts::of(rest);
    if user.contains('@') || tail.contains('@') {
        return Err("the special characters of a user, a password or a parameter must be \
                    percent-encoded in a postgres: URL, such as %40 for @ and %2F for /");
    }
    let port_fits = |host: &str| match host.rsplit_once(']').map_or(host, |(_, port)| port) {
        host_and_port if host_and_port.contains(':') => host_and_port
            .rsplit_once(':')
            .is_some_and(|(name, port)| !name.contains(':') && port.parse::<u16>().is_ok()),
        _ => true,
    };
    if hosts.split(',').all(port_fits) { Ok(()) } else { Err("a port in it is not a number") }
}

/// What follows the scheme of a URL.
struct UrlParts<'a> {
    /// With the password.
    user: &'a str,
    hosts: &'a str,
    /// The database and the parameters.
    tail: &'a str,
}

impl<'a> UrlParts<'a> {
    fn of(rest: &'a str) -> Self {
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        Self { user, hosts, tail }
    }
}

impl FromStr for BusUrl {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("embedded", "")) => Ok(Self::Embedded),
            Some(("nats" | "tls", rest)) if is_server(rest) => Ok(Self::Nats(text.to_owned())),
            Some((scheme @ ("nats" | "tls"), _)) => {
                Err(UsageError(format!("{scheme}: needs a server, such as {scheme}://host:4222")))
            }
            Some((scheme, rest)) if rest.starts_with("//") && is_word(scheme) => {
                Err(UsageError(format!(
                    "{:?} is not a supported bus; use embedded:, nats: or tls:",
                    format!("{scheme}:")
                )))
            }
            // Any part of another text may be a password.
            _ => Err(UsageError(
                "a bus URL begins with embedded:, nats:// or tls://, such as nats://host:4222"
                    .to_owned(),
            )),
        }
    }
}

fn is_word(scheme: &str) -> bool {
    scheme.bytes().all(|letter| letter.is_ascii_lowercase())
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
            Self::Postgres(url) => match url.split_once("://") {
                Some((scheme, rest)) => {
                    let UrlParts { hosts, tail, .. } = UrlParts::of(rest);
                    let database = tail.split_once('?').map_or(tail, |(database, _)| database);
                    write!(f, "{scheme}://{hosts}{database}")
                }
                None => f.write_str("postgres:"),
            },
        }
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded:"),
            Self::Nats(url) => f.write_str(&servers(url)),
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

/// The servers of a bus URL without what may be a secret, however malformed the URL is: only hosts
/// that cannot be a part of a password are shown.
fn servers(url: &str) -> String {
    let (scheme, _) = url.split_once("://").unwrap_or(("nats", ""));
    let (before, parameters) = url.split_once('?').unwrap_or((url, ""));
    let has_login = url.contains('@');
    let host = |server: &str| {
        let authority = server.split_once("://").map_or(server, |(_, authority)| authority);
        let host = match authority.rsplit_once('@') {
            Some((_, host)) => host,
            None if has_login => return None,
            None => authority,
        };
        let is_host = |letter: char| letter.is_ascii_alphanumeric() || ".:-_[]".contains(letter);
        host.chars().all(is_host).then(|| format!("{scheme}://{host}"))
    };
    let hosts: Option<Vec<String>> = before.split(',').map(host).collect();
    match hosts {
        Some(hosts) if !parameters.contains('@') => hosts.join(","),
        _ => format!("{scheme}://…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_database() {
        let folder = std::env::current_dir().expect("a folder");
        for (text, path) in [
            ("sqlite:data/orders.db", folder.join("data/orders.db")),
            ("sqlite:/abs/orders.db", "/abs/orders.db".into()),
            ("sqlite:///abs/orders.db", "/abs/orders.db".into()),
            ("sqlite://data/orders.db", folder.join("data/orders.db")),
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Sqlite(path)), "{text}");
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
        for (text, start) in [
            ("mysql://h/x", "it is not a database URL, such as sqlite:data/orders.db or postgres:"),
            ("orders.db", "it is not a database URL"),
            ("", "it is not a database URL"),
            ("sqlite:", "sqlite: needs a plain file name, such as sqlite:data/orders.db"),
            ("sqlite:data/", "sqlite: needs a plain file name"),
            ("sqlite::memory:", "sqlite: needs a plain file name"),
            ("sqlite:a.db?mode=memory", "sqlite: needs a plain file name"),
            ("postgres:", "postgres: needs a server, such as postgres://user@host:5432/orders"),
            ("postgres:h/orders", "postgres: needs a server"),
            ("postgres://h:port/orders", "a port in it is not a number"),
            ("postgres://[::1]:port/orders", "a port in it is not a number"),
            ("postgres://a:1,b:99999/orders", "a port in it is not a number"),
            ("postgres://::1/orders", "a port in it is not a number"),
            ("postgres://u:p@h/my orders", "a postgres: URL has no spaces"),
        ] {
            let UsageError(line) = text.parse::<DatabaseUrl>().expect_err(text);
            assert!(line.starts_with(start), "{text}: {line}");
        }
    }

    /// In each of them a password has another place than it should, or the rest is wrong.
    #[test]
    fn a_url_that_is_refused_is_not_quoted() {
        for text in [
            "postgres://u:s3cret@ss@h:x/db",
            "postgres://u:s3cret@s3cret@h/db",
            "postgres://u:s3cret/s3cret@h/db",
            "postgres://u:s3cret?s3cret@h/db",
            "postgres://u:p?s3cret@h/db?sslmode=disable",
            "postgres://u:s3cret/db",
            "postgres://u:s3cret@h:s3cret/db",
            "postgres://u@h/db?password=s3cret@s3cret",
            "postgres://u:s3cret h/db",
            "postgres://u:s3cret\n@h/db",
            "postgres:/u:s3cret@h/db",
            "postgres:u:s3cret@h/db",
            "postgers://u:s3cret@h/db",
            "Postgres://u:s3cret@h/db",
            " postgres://u:s3cret@h/db",
            "sqlite://u:s3cret@h/db",
            "sqlite:db?password=s3cret",
            "host=h password=s3cret",
            "u:s3cret@h/db",
            "s3cret:s3cret",
        ] {
            let refused = text.parse::<DatabaseUrl>().expect_err(text);
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
            assert!(!refused.to_string().contains('\n'), "{refused}");
        }
    }

    #[test]
    fn the_scheme_picks_the_bus() {
        assert_eq!("embedded:".parse(), Ok(BusUrl::Embedded));
        for text in ["nats://h:4222", "tls://h", "nats://user:s3cret@a,nats://user:s3cret@b"] {
            assert_eq!(text.parse(), Ok(BusUrl::Nats(text.into())));
        }
    }

    #[test]
    fn a_url_that_picks_no_bus_says_why_and_quotes_no_password() {
        let other = "a bus URL begins with embedded:, nats:// or tls://, such as nats://host:4222";
        for (text, line) in [
            ("embedded", other),
            ("embedded:x", other),
            ("s3cret", other),
            ("user:s3cret@h:4222", other),
            ("s3cret@h://4222", other),
            ("nats:", "nats: needs a server, such as nats://host:4222"),
            ("tls://", "tls: needs a server, such as tls://host:4222"),
            (
                "kafka://u:s3cret@h",
                "\"kafka:\" is not a supported bus; use embedded:, nats: or tls:",
            ),
        ] {
            assert_eq!(text.parse::<BusUrl>(), Err(UsageError(line.into())));
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("postgres://user:s3cret@h:5432/orders?sslmode=require", "postgres://h:5432/orders"),
            ("postgres://user:s3%40cret:%3F@h:1,i:2/orders", "postgres://h:1,i:2/orders"),
            ("postgresql://user@[::1]:5432/orders", "postgresql://[::1]:5432/orders"),
            ("postgres://h/orders?password=s3cret", "postgres://h/orders"),
            ("postgres:///orders?host=/run&password=s3cret", "postgres:///orders"),
            ("postgres://user:s3cret@h?dbname=orders", "postgres://h"),
            ("sqlite:/data/orders.db", "sqlite:/data/orders.db"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
        for (text, shown) in [
            ("nats://s3cret@a:4222,nats://u:s3@cret@b:4222", "nats://a:4222,nats://b:4222"),
            ("tls://u:s3cret@[::1]:4222,u:s3cret@b?channel=x", "tls://[::1]:4222,tls://b"),
            // These are malformed, and what is a password in them cannot be told.
            ("nats://u:s3,cret@h", "nats://…"),
            ("nats://u:s3?cret@h", "nats://…"),
            ("nats://u:s3@h/cret", "nats://…"),
            ("tls://u:s3cret@a,b", "tls://…"),
        ] {
            let url: BusUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }
}
