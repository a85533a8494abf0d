//! Configuration in four layers: flag > environment > file > default. clap joins the first two; the file is read here.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use address::{ListenAddr, refuse_open_address};
pub use url::{BusUrl, DatabaseUrl};

mod address;
mod url;

/// Read when no file is named, if it is there.
const DEFAULT_FILE: &str = "lastro.toml";

/// A mistake of whoever started the program, in one line that says how to mend it. The program ends with code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What `lastro.toml` may say. Every program takes from it what concerns it.
///
/// **Shape:** all keys are optional, unknown ones are refused. Paths are relative to the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub listen: Option<ListenAddr>,
    pub metrics_listen: Option<ListenAddr>,
    pub currency: Option<String>,
    pub no_auth: Option<bool>,
    pub database_url: Option<DatabaseUrl>,
    pub bus_url: Option<BusUrl>,
    pub data_dir: Option<PathBuf>,
    pub orders_database_url: Option<DatabaseUrl>,
    pub inventory_database_url: Option<DatabaseUrl>,
}

impl File {
    /// The file that `--config` or `LASTRO_CONFIG` names, which must be there; else `./lastro.toml`, which may.
    ///
    /// **Errors:** it cannot be read, is not TOML, has a key that nobody knows or a value that nobody understands.
    pub fn load(explicit: Option<PathBuf>) -> Result<Self, UsageError> {
        let must_exist = explicit.is_some();
        let path = explicit.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(e) if e.kind() == ErrorKind::NotFound && !must_exist => Ok(Self::default()),
            Err(e) => Err(UsageError(format!("cannot read {}: {e}", path.display()))),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, UsageError> {
        toml::from_str(text).map_err(|e| {
            let line = 1 + e.span().map_or(0, |span| text[..span.start].matches('\n').count());
            let message = e.message().lines().collect::<Vec<_>>().join(" ");
            UsageError(format!("{}, line {line}: {message}", path.display()))
        })
    }
}

/// The strongest layer that says anything.
pub fn resolve<T>(flag_or_env: Option<T>, file: Option<T>, default: T) -> T {
    flag_or_env.or(file).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("lastro.toml"), text).map_err(|UsageError(line)| line)
    }

    #[test]
    fn the_strongest_layer_that_says_anything_wins() {
        assert_eq!(resolve(Some("flag"), Some("file"), "default"), "flag");
        assert_eq!(resolve(None, Some("file"), "default"), "file");
        assert_eq!(resolve(None, None, "default"), "default");
    }

    #[test]
    fn every_key_is_read() {
        let file = parse(
            r#"
            listen = "127.0.0.1:9000"
            metrics_listen = "localhost:9001"
            currency = "EUR"
            no_auth = true
            database_url = "sqlite:a.db"
            bus_url = "nats://h:4222"
            data_dir = "d"
            orders_database_url = "postgres://h/o"
            inventory_database_url = "sqlite:///i.db"
            "#,
        );
        let expected = File {
            listen: Some("127.0.0.1:9000".parse().unwrap()),
            metrics_listen: Some("localhost:9001".parse().unwrap()),
            currency: Some("EUR".into()),
            no_auth: Some(true),
            database_url: Some(DatabaseUrl::Sqlite("a.db".into())),
            bus_url: Some(BusUrl::Nats("nats://h:4222".into())),
            data_dir: Some("d".into()),
            orders_database_url: Some(DatabaseUrl::Postgres("postgres://h/o".into())),
            inventory_database_url: Some(DatabaseUrl::Sqlite("/i.db".into())),
        };
        assert_eq!(parse(""), Ok(File::default()));
        assert_eq!(file, Ok(expected));
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_its_place() {
        for (text, start) in [
            (
                "# mine\nlisten = \"[::1]:1\"\nlistn = \"x\"",
                "lastro.toml, line 3: unknown field `listn`, expected one of `listen`",
            ),
            ("\nno_auth = \"yes\"", "lastro.toml, line 2: invalid type: string \"yes\", expected a boolean"),
            ("listen = 8080", "lastro.toml, line 1: invalid type: integer `8080`, expected"),
            ("listen = \"8080\"", "lastro.toml, line 1: \"8080\" is not host:port"),
            ("database_url = \"mysql://h\"", "lastro.toml, line 1: \"mysql:\" is no database"),
            ("listen = ", "lastro.toml, line 1: "),
        ] {
            let line = parse(text).unwrap_err();
            assert!(line.starts_with(start), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let missing = tempfile::tempdir().unwrap().path().join("lastro.toml");
        let UsageError(line) = File::load(Some(missing.clone())).unwrap_err();
        assert!(line.starts_with(&format!("cannot read {}: ", missing.display())), "{line}");
    }

    #[test]
    fn a_named_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, "currency = \"JPY\"").unwrap();
        assert_eq!(File::load(Some(path)).unwrap().currency.as_deref(), Some("JPY"));
    }
}
