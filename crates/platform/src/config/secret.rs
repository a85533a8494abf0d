//! Settings that may hold a password: the value itself, or a file that holds it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::{File, UsageError, mistake, read_trusted, warn_of_readers};

/// A value of the command line or the environment that may hold a password. It is not parsed by
/// clap, which quotes what it cannot parse, and it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text, which must get into no log and no error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl File {
    /// Returns a setting that may hold a password. Flags and environment give it as `value` or as
    /// the file `path` that holds it; otherwise the settings file gives it under `key` or under
    /// `key` with `_file`. In a file, line ends after the value do not count.
    ///
    /// `T` must not quote its text in an error.
    ///
    /// # Errors
    ///
    /// Returns an error if a layer gives both the value and a file, if the file cannot be read, has
    /// several lines or may be written by other users, or if the value is not a `T`.
    pub fn secret<T>(
        &self,
        key: &str,
        value: Option<Secret>,
        path: Option<PathBuf>,
    ) -> Result<Option<T>, UsageError>
    where
        T: FromStr<Err = UsageError> + DeserializeOwned,
    {
        let key_of_file = format!("{key}_file");
        let settings = (self.get::<T>(key)?, self.get::<PathBuf>(&key_of_file)?);
        let in_settings = |UsageError(line): UsageError| {
            let at = self.values.get(&key_of_file).map_or(1, |setting| setting.line);
            mistake(&self.path, at, &line)
        };
        match (value, path, settings) {
            (Some(_), Some(_), _) => Err(given_twice(key)),
            (_, _, (Some(_), Some(_))) => {
                let reason = format!("`{key_of_file}` and `{key}` are both given; remove one");
                Err(in_settings(UsageError(reason)))
            }
            (Some(Secret(text)), None, _) => text.parse().map(Some).map_err(|UsageError(line)| {
                UsageError(format!("{} (or {}): {line}", flag(key), variable(key)))
            }),
            (None, Some(path), _) => read_value(&path).map(Some),
            (None, None, (Some(value), None)) => Ok(Some(value)),
            (None, None, (None, Some(path))) => read_value(&path).map(Some).map_err(in_settings),
            (None, None, (None, None)) => Ok(None),
        }
    }
}

fn given_twice(key: &str) -> UsageError {
    let of_file = format!("{key}_file");
    UsageError(format!(
        "{} (or {}) and {} (or {}) are both given; remove one",
        flag(key),
        variable(key),
        flag(&of_file),
        variable(&of_file)
    ))
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn variable(key: &str) -> String {
    format!("LASTRO_{}", key.to_uppercase())
}

/// The value in a file of its own.
fn read_value<T: FromStr<Err = UsageError>>(path: &Path) -> Result<T, UsageError> {
    let text = read_trusted(path)?;
    let value = text.trim_end_matches(['\r', '\n']);
    let wrong = |reason: &str| UsageError(format!("{}: {reason}", path.display()));
    if value.is_empty() {
        return Err(wrong("it is empty; write the value into it"));
    }
    if value.contains(['\r', '\n']) {
        return Err(wrong("it has several lines; leave only the value in it"));
    }
    let value = value.parse().map_err(|UsageError(line)| wrong(&line))?;
    warn_of_readers(path);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde::Deserialize;

    use super::*;

    const KEYS: [&str; 2] = ["shop_url", "shop_url_file"];

    /// A value that is a lower-case word.
    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(try_from = "String")]
    struct Word(String);

    impl FromStr for Word {
        type Err = UsageError;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match text.bytes().all(|byte| byte.is_ascii_lowercase()) {
                true => Ok(Self(text.to_owned())),
                false => Err(UsageError("not a word".to_owned())),
            }
        }
    }

    impl TryFrom<String> for Word {
        type Error = UsageError;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            text.parse()
        }
    }

    /// The word that these layers give.
    fn given(
        settings: &str,
        value: Option<&str>,
        path: Option<&Path>,
    ) -> Result<Option<String>, String> {
        let file = File::parse(Path::new("lastro.toml"), settings, &KEYS).expect("settings");
        let value = value.map(|text| Secret::from(text.to_owned()));
        let word = file.secret::<Word>("shop_url", value, path.map(Path::to_owned));
        word.map(|word| word.map(|Word(text)| text)).map_err(|UsageError(line)| line)
    }

    /// A file with this text, and its name in TOML.
    fn file(text: &str) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let setting = format!("shop_url_file = \"{}\"", file.path().display());
        (file, setting)
    }

    fn word(text: &str) -> Result<Option<String>, String> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn a_value_comes_from_its_setting_or_from_a_file() {
        let (held, setting) = file("held\n");
        let path = Some(held.path());
        assert_eq!(given("", None, None), Ok(None));
        assert_eq!(given("", Some("direct"), None), word("direct"));
        assert_eq!(given("", None, path), word("held"));
        assert_eq!(given("shop_url = \"settings\"", None, None), word("settings"));
        assert_eq!(given(&setting, None, None), word("held"));
        // Flags and the environment win over the settings file, in either form.
        assert_eq!(given("shop_url = \"settings\"", None, path), word("held"));
        assert_eq!(given(&setting, Some("direct"), None), word("direct"));
        for ends in ["held", "held\n", "held\r\n", "held\n\n"] {
            let (held, _) = file(ends);
            assert_eq!(given("", None, Some(held.path())), word("held"), "{ends:?}");
        }
    }

    #[test]
    fn a_value_and_a_file_at_once_are_refused() {
        let (held, setting) = file("held");
        assert_eq!(
            given("", Some("direct"), Some(held.path())),
            Err("--shop-url (or LASTRO_SHOP_URL) and --shop-url-file (or LASTRO_SHOP_URL_FILE) \
                 are both given; remove one"
                .to_owned())
        );
        let both = format!("shop_url = \"settings\"\n{setting}");
        let reason =
            "lastro.toml, line 2: `shop_url_file` and `shop_url` are both given; remove one";
        assert_eq!(given(&both, None, None), Err(reason.to_owned()));
        assert_eq!(given(&both, Some("direct"), None), Err(reason.to_owned()));
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let (held, _) = file("held");
        let permissions = std::fs::Permissions::from_mode(0o620);
        std::fs::set_permissions(held.path(), permissions).expect("permissions");
        let line = given("", None, Some(held.path())).expect_err("its group may write it");
        assert!(line.contains("run: chmod go-w"), "{line}");
    }

    #[test]
    fn what_is_wrong_with_a_value_is_told_with_its_place_and_without_its_text() {
        for text in ["s3cret", "", "\n", "word\ns3cret", "word\n\nword\n"] {
            let (held, setting) = file(text);
            let place = format!("{}: ", held.path().display());
            let line = given("", None, Some(held.path())).expect_err(text);
            assert!(line.starts_with(&place), "{line}");
            let in_settings = given(&setting, None, None).expect_err(text);
            assert_eq!(in_settings, format!("lastro.toml, line 1: {line}"));
            assert!(!line.contains("s3cret") && !line.contains('\n'), "{line}");
        }
        let line = given("", Some("s3cret"), None).expect_err("not a word");
        assert_eq!(line, "--shop-url (or LASTRO_SHOP_URL): not a word");
        let line = given("shop_url = \"s3cret\"", None, None).expect_err("not a word");
        assert_eq!(line, "lastro.toml, line 1: not a word");
        let line = given("", None, Some(Path::new("/nowhere"))).expect_err("no file");
        assert!(line.starts_with("cannot read /nowhere: "), "{line}");
        assert_eq!(format!("{:?}", Secret::from("s3cret".to_owned())), "Secret");
    }
}
