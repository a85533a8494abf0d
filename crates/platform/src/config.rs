//! Configuration in four layers: flag > environment > file > default.
//!
//! clap merges the first two. This module reads the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Spanned, Value};

pub(crate) use address::is_loopback_host;
pub use address::{ListenAddr, refuse_open_address};
pub use arguments::refuse_passwords;
pub use certificates::{client_tls, trusted_authorities};
pub use secret::Secret;
pub use trace_url::TraceUrl;
pub use url::{BusUrl, DatabaseUrl};

pub(crate) use certificates::{authorities, certificates};
pub(crate) use trusted::{Unusable, read_owned, read_private, read_trusted, warn_of_readers};

mod address;
mod arguments;
mod certificates;
mod secret;
mod trace_url;
mod trusted;
mod url;

/// The file that is read if none is named and this one exists.
const DEFAULT_FILE: &str = "lastro.toml";

/// A mistake in how the program was started: one line that says what is wrong and how to fix it.
/// The program exits with code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(
    /// The line.
    pub String,
);

/// The settings file: values by key.
///
/// Several programs may share one file; each reads the keys that it has. Paths in it are relative
/// to the working directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    path: PathBuf,
    values: BTreeMap<String, Setting>,
}

#[derive(Clone, Debug, PartialEq)]
struct Setting {
    line: usize,
    value: Value,
}

impl File {
    /// Reads the file that `--config` or `LASTRO_CONFIG` names, which must exist; otherwise
    /// `./lastro.toml`, if it exists. The file may have no keys but `keys`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not TOML, or has an unknown key, or if other
    /// users may write it.
    pub fn load(explicit: Option<PathBuf>, keys: &[&str]) -> Result<Self, UsageError> {
        let must_exist = explicit.is_some();
        let path = explicit.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        if !must_exist && matches!(path.try_exists(), Ok(false)) {
            return Ok(Self::default());
        }
        Self::parse(&path, &read_trusted(&path)?, keys)
    }

    /// Returns the value of a key, if the file has it.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, UsageError> {
        let Some(Setting { line, value }) = self.values.get(key) else { return Ok(None) };
        let read = T::deserialize(value.clone());
        read.map(Some).map_err(|error| mistake(&self.path, *line, error.message()))
    }

    /// Returns `flag` (which clap takes from the flag or the environment), otherwise the file's
    /// value.
    ///
    /// # Errors
    ///
    /// As [`File::get`], even if `flag` is given.
    pub fn or<T: DeserializeOwned>(
        &self,
        flag: Option<T>,
        key: &str,
    ) -> Result<Option<T>, UsageError> {
        let in_file = self.get(key)?;
        Ok(flag.or(in_file))
    }

    fn parse(path: &Path, text: &str, keys: &[&str]) -> Result<Self, UsageError> {
        let line = |at: usize| 1 + text[..at].matches('\n').count();
        let table: BTreeMap<Spanned<String>, Spanned<Value>> =
            toml::from_str(text).map_err(|error| {
                mistake(path, error.span().map_or(1, |span| line(span.start)), error.message())
            })?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            if !keys.contains(&key.as_ref().as_str()) {
                let expected: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
                let expected = expected.join(", ");
                let message =
                    format!("unknown field `{}`, expected one of {expected}", key.as_ref());
                return Err(mistake(path, line(key.span().start), &message));
            }
            let setting = Setting { line: line(value.span().start), value: value.into_inner() };
            values.insert(key.into_inner(), setting);
        }
        Ok(Self { path: path.to_owned(), values })
    }
}

fn mistake(path: &Path, line: usize, message: &str) -> UsageError {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    UsageError(format!("{}, line {line}: {message}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["listen", "no_auth", "database_url", "bus_url", "folder"];

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("lastro.toml"), text, &KEYS).map_err(|UsageError(line)| line)
    }

    fn all(text: &str) -> Result<(), String> {
        let file = parse(text)?;
        let mistake = |UsageError(line)| line;
        file.get::<ListenAddr>("listen").map_err(mistake)?;
        file.get::<bool>("no_auth").map_err(mistake)?;
        file.get::<DatabaseUrl>("database_url").map_err(mistake)?;
        file.get::<BusUrl>("bus_url").map_err(mistake)?;
        Ok(())
    }

    #[test]
    fn the_strongest_layer_that_says_anything_wins() {
        let file = parse("folder = \"file\"").unwrap();
        assert_eq!(file.or(Some("flag".to_owned()), "folder"), Ok(Some("flag".to_owned())));
        assert_eq!(file.or(None, "folder"), Ok(Some("file".to_owned())));
        assert_eq!(file.or::<String>(None, "listen"), Ok(None));
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let file = parse(
            r#"
            listen = "127.0.0.1:9000"
            no_auth = true
            database_url = "sqlite:a.db"
            bus_url = "nats://h:4222"
            folder = "d"
            "#,
        )
        .unwrap();
        assert_eq!(file.get("listen"), Ok(Some("127.0.0.1:9000".parse::<ListenAddr>().unwrap())));
        assert_eq!(file.get("no_auth"), Ok(Some(true)));
        assert_eq!(file.get("database_url"), Ok(Some(DatabaseUrl::file(Path::new("a.db")))));
        assert_eq!(file.get("bus_url"), Ok(Some(BusUrl::Nats("nats://h:4222".into()))));
        assert_eq!(file.get("folder"), Ok(Some(PathBuf::from("d"))));
        assert_eq!(parse("").unwrap().get::<bool>("no_auth"), Ok(None));
    }

    #[test]
    fn a_mistake_is_reported_in_one_line_with_its_position() {
        for (text, start) in [
            (
                "# mine\nlisten = \"[::1]:1\"\nlistn = \"x\"",
                "lastro.toml, line 3: unknown field `listn`, expected one of `listen`",
            ),
            (
                "\nno_auth = \"yes\"",
                "lastro.toml, line 2: invalid type: string \"yes\", expected a boolean",
            ),
            ("listen = 8080", "lastro.toml, line 1: invalid type: integer `8080`, expected"),
            ("listen = \"8080\"", "lastro.toml, line 1: \"8080\" is not host:port"),
            (
                "database_url = \"mysql://h\"",
                "lastro.toml, line 1: it is not a database URL, such as sqlite:data/orders.db",
            ),
            ("listen = ", "lastro.toml, line 1: "),
        ] {
            let line = all(text).unwrap_err();
            assert!(line.starts_with(start), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let missing = tempfile::tempdir().unwrap().path().join("lastro.toml");
        let UsageError(line) = File::load(Some(missing.clone()), &KEYS).unwrap_err();
        assert!(line.starts_with(&format!("cannot read {}: ", missing.display())), "{line}");
    }

    #[test]
    fn a_named_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, "folder = \"x\"").unwrap();
        assert_eq!(File::load(Some(path), &KEYS).unwrap().get("folder"), Ok(Some("x".to_owned())));
    }
}
