//! What a URL says about the hosts of a database, and how connections to them are encrypted.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use platform::config::{UsageError, client_tls, trusted_authorities};
use rustls::RootCertStore;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::chain;

/// The hosts of a database.
pub(super) struct Address {
    /// The same database on each of the hosts, in the order in which they are named.
    pub(super) hosts: Vec<Config>,
    pub(super) tls: MakeRustlsConnect,
}

/// What a URL asks for about encryption.
struct Asked {
    /// Whether to encrypt; `None` leaves it to where the host is.
    encrypts: Option<bool>,
    /// The file of trusted root certificates, instead of those of the system.
    root: Option<PathBuf>,
}

impl Address {
    /// Parses a URL in libpq's syntax. The error says what is wrong with it, and quotes nothing
    /// that may be a part of a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (plain, asked) = split_off_encryption(url)?;
        let hosts: Vec<Config> =
            one_by_one(&plain).iter().map(|url| host(url, &asked)).collect::<Result<_, _>>()?;
        let encrypts = hosts.iter().any(|host| host.get_ssl_mode() != SslMode::Disable);
        Ok(Self { hosts, tls: tls(encrypts, asked.root.as_deref())? })
    }
}

/// The URL without its parameters about encryption, and these.
fn split_off_encryption(url: &str) -> Result<(String, Asked), String> {
    let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
    let mut rest = Vec::new();
    let mut mode = None;
    let mut root = None;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let value = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match parameter.split_once('=') {
            Some(("sslmode", text)) => mode = Some(value(text)),
            Some(("sslrootcert", text)) => root = Some(PathBuf::from(value(text))),
            _ => rest.push(parameter),
        }
    }
    let encrypts = match mode.as_deref() {
        // Whoever names the roots wants to be sure of the server.
        None => root.is_some().then_some(true),
        Some("disable") => Some(false),
        Some("require" | "verify-ca" | "verify-full") => Some(true),
        Some("allow" | "prefer") => {
            return Err("sslmode=allow and sslmode=prefer may send in the clear; use verify-full \
                        or disable"
                .to_owned());
        }
        Some(_) => return Err("sslmode must be verify-full or disable".to_owned()),
    };
    let plain =
        if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((plain, Asked { encrypts, root }))
}

/// The host of a URL that names one. A server decides how it asks for a password, and
/// `tokio-postgres` answers each way, also in the clear. So without encryption, a password is sent
/// nowhere but to this machine, whatever the server would ask for.
fn host(url: &str, asked: &Asked) -> Result<Config, String> {
    let mut config: Config = url.parse().map_err(|error| reason(&error))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("its URL names no host, such as postgres://user@host:5432/orders".to_owned());
    }
    let is_local = is_local(&config);
    let encrypts = asked.encrypts.unwrap_or(!is_local);
    if !encrypts && !is_local && config.get_password().is_some() {
        return Err("sslmode=disable would send its password over the network in the clear; use \
                    sslmode=verify-full (with sslrootcert=FILE for an authority of your own), or \
                    a URL without a password"
            .to_owned());
    }
    config.ssl_mode(if encrypts { SslMode::Require } else { SslMode::Disable });
    Ok(config)
}

/// Whether all that is sent stays on this machine. Of names, only `localhost` counts: any other may
/// resolve to anything.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(|address| address.to_canonical().is_loopback());
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => match name.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        },
    })
}

/// Why a URL cannot be parsed. The name of an unknown parameter is left out: it may be the end of a
/// password with a `?` or `&` in it.
fn reason(error: &tokio_postgres::Error) -> String {
    let reason = chain(error);
    match reason.contains("unknown option") {
        true => "its URL has an unknown parameter".to_owned(),
        false => reason,
    }
}

/// A URL of several hosts as one of each: `scheme://user@a:1,b:2/database`.
fn one_by_one(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// The way to encrypted connections. Nothing is read from the disk unless they are wanted.
fn tls(encrypts: bool, root: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let roots = if encrypts {
        trusted_authorities("sslrootcert", root).map_err(|UsageError(line)| line)?
    } else {
        RootCertStore::empty()
    };
    let config = client_tls(roots).map_err(|UsageError(line)| line)?;
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// For each host, whether connections to it are encrypted.
    fn encrypted(url: &str) -> Result<Vec<bool>, String> {
        let address = Address::parse(url)?;
        let hosts = address.hosts.iter();
        Ok(hosts.map(|host| host.get_ssl_mode() == SslMode::Require).collect())
    }

    #[test]
    fn connections_to_another_machine_are_encrypted_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("postgres://u:p@127.0.0.1/d", &[false][..]),
            ("postgres://u:p@127.8.9.1:5433/d", &[false]),
            ("postgres://u:p@[::1]:5433/d", &[false]),
            ("postgres://u:p@[::ffff:127.0.0.1]/d", &[false]),
            ("postgres://u:p@LocalHost/d", &[false]),
            ("postgres://u:p@%2Frun%2Fpostgresql/d", &[false]),
            ("postgres:///d?host=/run/postgresql&user=u&password=p", &[false]),
            ("postgres://u:p@db/d", &[true]),
            ("postgresql://u@db.example.com:5432/d?connect_timeout=3", &[true]),
            ("postgres://u:p@192.168.1.5/d", &[true]),
            ("postgres://u:p@localhost.example.com/d", &[true]),
            ("postgres://u:p@localhost/d?hostaddr=192.168.1.5", &[true]),
            ("postgres://u:p@db1,localhost,db2/d", &[true, false, true]),
            ("postgres:///d?host=localhost,db1", &[true]),
            ("postgres://u@db/d?sslmode=disable", &[false]),
            ("postgres://u:p@localhost/d?sslmode=disable", &[false]),
            ("postgres://u:p@localhost/d?sslmode=verify-full", &[true]),
            ("postgres://u:p@localhost/d?sslmode=require", &[true]),
            ("postgres://u:p@db/d?sslmode=verify-ca", &[true]),
        ] {
            assert_eq!(encrypted(url), Ok(expected.to_vec()), "{url}");
        }
    }

    /// Naming the roots is enough to encrypt: their file is read, and nobody but its owner may have
    /// written it.
    #[test]
    fn root_certificates_that_cannot_be_trusted_are_refused() {
        let roots = tempfile::NamedTempFile::new().expect("a file");
        let url = format!("postgres://u@localhost/d?sslrootcert={}", roots.path().display());
        assert_eq!(encrypted(&format!("{url}&sslmode=disable")), Ok(vec![false]));
        for (mode, words) in [(0o644, "has no certificates in PEM"), (0o664, "run: chmod go-w")] {
            let permissions = PermissionsExt::from_mode(mode);
            std::fs::set_permissions(roots.path(), permissions).expect("permissions");
            let line = encrypted(&url).expect_err("refused");
            let start = format!("sslrootcert={}: ", roots.path().display());
            assert!(line.starts_with(&start) && line.contains(words), "{line}");
        }
    }

    #[test]
    fn a_password_is_never_sent_over_the_network_in_the_clear() {
        for url in [
            "postgres://u:s3cret@db/d?sslmode=disable",
            "postgres://u:s3cret@localhost,db/d?sslmode=disable",
            "postgres://u@192.168.1.5/d?sslmode=disable&password=s3cret",
            "postgres://u:s3cret@localhost/d?hostaddr=192.168.1.5&sslmode=disable",
            "postgres:///d?host=localhost,db&user=u&password=s3cret&sslmode=disable",
        ] {
            let line = encrypted(url).expect_err(url);
            assert!(line.contains("use sslmode=verify-full"), "{url}: {line}");
            assert!(!line.contains("s3cret"), "{line}");
        }
        for mode in ["allow", "prefer", "%70refer", "s3cret", ""] {
            let url = format!("postgres://u@localhost/d?sslmode={mode}");
            let line = encrypted(&url).expect_err(&url);
            assert!(line.contains("verify-full") && !line.contains("s3cret"), "{url}: {line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_text() {
        for (url, words) in [
            ("postgres://u@h:s3cret/d", "option `port`"),
            ("postgres://u@h/d?s3cret=1", "its URL has an unknown parameter"),
            ("postgres://u@h/d?s3cret", ""),
            ("postgres://u@[s3cret/d", "option `host`"),
            ("postgres://u:%ff%s3cret@h:s3cret/d", "option `port`"),
            ("postgres://u@h/d?hostaddr=s3cret", "option `hostaddr`"),
            ("postgres:///s3cret", "its URL names no host"),
        ] {
            let line = encrypted(url).expect_err(url);
            assert!(line.contains(words) && !line.contains("s3cret"), "{url}: {line}");
        }
    }
}
