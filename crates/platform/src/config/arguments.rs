//! What must not stand among the arguments of a program.

use std::ffi::OsString;

use super::UsageError;

/// Refuses arguments that hold a password: every user of the machine can read the arguments of a
/// process while it runs.
///
/// # Errors
///
/// Returns an error that names the flag, and not its value.
pub fn refuse_passwords(arguments: impl IntoIterator<Item = OsString>) -> Result<(), UsageError> {
    let mut before = String::new();
    for argument in arguments {
        let argument = argument.to_string_lossy().into_owned();
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, value),
            _ => (before.as_str(), argument.as_str()),
        };
        if holds_password(value) {
            return Err(refusal(flag));
        }
        before = argument;
    }
    Ok(())
}

/// Whether a value is a URL with a password, or looks like one with a mistake in it.
fn holds_password(value: &str) -> bool {
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        // A file, whose path may have an @.
        None => ("", value.strip_prefix("sqlite:").unwrap_or(value)),
    };
    let user = rest.rsplit_once('@').map(|(user, _)| user);
    // Without a password, the user of a NATS URL is a token.
    let is_token = !matches!(scheme, "" | "postgres" | "postgresql");
    user.is_some_and(|user| is_token || user.contains(':'))
        || value.to_ascii_lowercase().contains("password=")
}

fn refusal(flag: &str) -> UsageError {
    // What is no flag may be a part of a password.
    let name = flag.strip_prefix("--").filter(|name| {
        name.ends_with("-url") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    });
    let advice = "every user of this machine can read the arguments of a process";
    UsageError(match name {
        Some(name) => format!(
            "--{name} holds a password, and {advice}; write the URL into a file that \
             --{name}-file names, or use an environment variable"
        ),
        None => format!("an argument holds a password, and {advice}; write it into a file"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str) -> Result<(), String> {
        let words = words.split(' ').map(OsString::from);
        refuse_passwords(words).map_err(|UsageError(line)| line)
    }

    #[test]
    fn a_password_among_the_arguments_is_refused_without_being_quoted() {
        for (words, start) in [
            (
                "--database-url postgres://u:s3cret@h/d",
                "--database-url holds a password, and every",
            ),
            ("--database-url=postgres://u:s3cret@h/d", "--database-url holds a password"),
            ("migrate --orders-database-url postgres://u:s3@cret@h:x/d", "--orders-database-url "),
            ("--database-url postgers://u:s3cret@h/d", "--database-url holds"),
            ("--database-url postgres:/u:s3cret@h/d", "--database-url holds"),
            ("--database-url u:s3cret@h/d", "--database-url holds"),
            ("--database-url sqlite://u:s3cret@h/d", "--database-url holds"),
            ("--database-url postgres://u@h/d?sslmode=disable&PassWord=s3cret", "--database-url "),
            ("--bus-url nats://h,nats://s3cret@h", "--bus-url holds a password"),
            ("--bus-url nats://u:s3cret@h", "--bus-url holds a password"),
            ("postgres://u:s3cret@h/d", "an argument holds a password"),
            ("--s3cret postgres://u:s3cret@h/d", "an argument holds a password"),
            ("--watch -d postgres://u:s3cret@h/d", "an argument holds a password"),
        ] {
            let line = check(words).expect_err(words);
            assert!(line.starts_with(start) && line.contains("file"), "{words}: {line}");
            assert!(!line.contains("cret") && !line.contains("s3"), "{line}");
        }
        let line = check("--orders-database-url postgres://u:p@h/d").expect_err("a password");
        assert!(line.contains("--orders-database-url-file names"), "{line}");
    }

    #[test]
    fn other_arguments_are_let_through() {
        for words in [
            "",
            "--database-url postgres://u@h:5432/d?sslmode=verify-full",
            "--database-url=postgresql://u@a:1,b:2/d",
            "--database-url sqlite:/data/a@b/orders.db",
            "--bus-url nats://a:4222,nats://b:4222?replicas=3",
            "--listen [::1]:8080 --cors-origins https://shop.example.com:8443",
            "verify --watch --config a@b.toml",
        ] {
            assert_eq!(check(words), Ok(()), "{words}");
        }
    }
}
