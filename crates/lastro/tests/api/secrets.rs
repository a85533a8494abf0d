//! A password in the URL of a database is shown nowhere, however the URL is given and whatever is
//! wrong with it.

use std::path::Path;

use testbed::{Ended, Launch, PATIENCE, fresh_database, lastro};

/// In every URL here, and in nothing that a program shows.
const CANARY: &str = "s3cret";

/// URLs that cannot be used, with the canary in different places.
const MALFORMED: [&str; 9] = [
    "postgres://u:s3cret@ss@h:x/db",
    "postgres://u:s3cret@127.0.0.1:s3cret/db",
    "postgres://u:s3cret/db",
    "postgres://u:p?s3cret=1@127.0.0.1/db",
    "postgers://u:s3cret@127.0.0.1/db",
    "postgres:u:s3cret@127.0.0.1/db",
    "postgres://u:s3cret@db.invalid/db?sslmode=disable",
    "postgres://u:s3cret@127.0.0.1/db?sslmode=prefer",
    "host=127.0.0.1 password=s3cret",
];

const BENCH: &[&str] = &["bench", "--url", "http://127.0.0.1:1"];

/// A program, and the key of its setting for the URL of a database.
const PROGRAMS: [(&[&str], &str); 7] = [
    (&[], "orders_database_url"),
    (&["verify"], "orders_database_url"),
    (&["migrate"], "orders_database_url"),
    (&["migrate"], "inventory_database_url"),
    (BENCH, "orders_database_url"),
    (&["order-service"], "database_url"),
    (&["inventory-service"], "database_url"),
];

/// How a program gets a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Variable,
    VariableOfFile,
    Flag,
    FlagWithValue,
    FlagOfFile,
    Setting,
    SettingOfFile,
}

const WAYS: [Way; 7] = [
    Way::Variable,
    Way::VariableOfFile,
    Way::Flag,
    Way::FlagWithValue,
    Way::FlagOfFile,
    Way::Setting,
    Way::SettingOfFile,
];

impl Way {
    /// Gives a program, which runs in `folder`, the URL in this way.
    fn give(self, launch: Launch, folder: &Path, key: &str, url: &str) -> Launch {
        let flag = format!("--{}", key.replace('_', "-"));
        let variable = format!("LASTRO_{}", key.to_uppercase());
        let file = folder.join(format!("{key}.url"));
        std::fs::write(&file, format!("{url}\n")).expect("a file");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("permissions");
        let set = |line: String| {
            let settings = folder.join("lastro.toml");
            let before = std::fs::read_to_string(&settings).unwrap_or_default();
            std::fs::write(&settings, format!("{before}{line}\n")).expect("a file");
        };
        match self {
            Self::Variable => return launch.env(&variable, url),
            Self::VariableOfFile => return launch.env(&format!("{variable}_FILE"), file),
            Self::Flag => return launch.args([flag, url.to_owned()]),
            Self::FlagWithValue => return launch.args([format!("{flag}={url}")]),
            Self::FlagOfFile => {
                return launch.args([format!("{flag}-file").into(), file.into_os_string()]);
            }
            Self::Setting => set(format!("{key} = \"{url}\"")),
            Self::SettingOfFile => set(format!("{key}_file = \"{}\"", file.display())),
        }
        launch
    }
}

#[track_caller]
fn must_be_silent(text: &str, what: &str) {
    assert!(!text.contains(CANARY), "{what}:\n{text}");
}

#[track_caller]
fn must_be_refused_in_silence(ended: &Ended, what: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{what}: {}", ended.stderr);
    assert!(ended.stderr.starts_with("error: "), "{what}: {}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{what}: {}", ended.stderr);
    must_be_silent(&ended.stderr, what);
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_its_password() {
    for (program, key) in PROGRAMS {
        for way in WAYS {
            // These two read no settings file.
            let reads_settings = !(program == ["migrate"] || program == BENCH);
            if !reads_settings && matches!(way, Way::Setting | Way::SettingOfFile) {
                continue;
            }
            // The bench opens a database after its run, and that is when it looks at its host.
            let is_looked_at = |url: &&str| !(program == BENCH && url.contains("?sslmode="));
            for url in MALFORMED.into_iter().filter(is_looked_at) {
                let folder = tempfile::tempdir().expect("a folder");
                let launch = lastro(folder.path()).args(program.iter().copied());
                // The bench audits databases only if it knows both.
                let other = ["--inventory-database-url", "sqlite:i.db"];
                let launch = if program == BENCH { launch.args(other) } else { launch };
                let ended = way.give(launch, folder.path(), key, url).to_end().await;
                must_be_refused_in_silence(&ended, &format!("{program:?} {way:?} {url}"));
            }
        }
    }
}

#[tokio::test]
async fn the_help_shows_no_password() {
    for (program, key) in PROGRAMS {
        let folder = tempfile::tempdir().expect("a folder");
        let launch = lastro(folder.path()).args(program.iter().copied()).args(["--help"]);
        let url = "postgres://u:s3cret@127.0.0.1/db";
        let ended = Way::Variable.give(launch, folder.path(), key, url).to_end().await;
        assert_eq!(ended.code, Some(0), "{program:?}: {}", ended.stderr);
        must_be_silent(&ended.stdout, &format!("{program:?}"));
        for word in ["URL", "URL_FILE"] {
            let variable = format!("LASTRO_{}_{word}", key.trim_end_matches("_url").to_uppercase());
            assert!(ended.stdout.contains(&variable), "{program:?}: {variable}");
        }
    }
}

/// A password as an argument works nowhere, because all users of the machine would see it.
#[tokio::test]
async fn a_good_url_with_a_password_is_refused_as_an_argument() {
    for (program, key) in PROGRAMS {
        for way in [Way::Flag, Way::FlagWithValue] {
            let folder = tempfile::tempdir().expect("a folder");
            let launch = lastro(folder.path()).args(program.iter().copied());
            let url = "postgres://u:s3cret@127.0.0.1/db";
            let ended = way.give(launch, folder.path(), key, url).to_end().await;
            must_be_refused_in_silence(&ended, &format!("{program:?}"));
            assert!(ended.stderr.contains("-url-file names"), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn a_running_program_shows_no_password() {
    let with_password =
        async || fresh_database().await.replace("//postgres@", &format!("//postgres:{CANARY}@"));
    for (orders, inventory) in [
        (Way::Variable, Way::VariableOfFile),
        (Way::FlagOfFile, Way::Setting),
        (Way::SettingOfFile, Way::Variable),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let urls = [with_password().await, with_password().await];
        let given = |launch: Launch| {
            let _ = std::fs::remove_file(folder.path().join("lastro.toml"));
            let launch = orders.give(launch, folder.path(), "orders_database_url", &urls[0]);
            inventory.give(launch, folder.path(), "inventory_database_url", &urls[1])
        };
        let launch = lastro(folder.path()).env("RUST_LOG", "trace");
        let mut program = given(launch.args(["--listen", "127.0.0.1:0"])).serving().await;
        let arguments = std::fs::read(format!("/proc/{}/cmdline", program.pid())).expect("a file");
        must_be_silent(&String::from_utf8_lossy(&arguments), "the arguments");
        let verified = given(lastro(folder.path()).args(["verify"])).to_end().await;
        assert_eq!(verified.code, Some(0), "{}", verified.stderr);
        must_be_silent(&format!("{verified:?}"), "verify");
        program.terminate();
        assert_eq!(program.ended(PATIENCE).await, Some(0), "{}", program.log());
        must_be_silent(&program.log(), "the log");
    }
}

/// The server's refusals name the user and the database.
#[tokio::test]
async fn a_refusal_of_the_server_shows_no_password() {
    let url = fresh_database().await;
    let (host, _) = url.rsplit_once('/').expect("a database");
    for url in [
        format!("{}/nowhere", host.replace("//postgres@", "//postgres:s3cret@")),
        url.replace("//postgres@", "//nobody:s3cret@"),
        format!("{}?sslmode=verify-full", url.replace("//postgres@", "//postgres:s3cret@")),
    ] {
        for program in [&["verify"][..], &["migrate"], &["--listen", "127.0.0.1:0"]] {
            let folder = tempfile::tempdir().expect("a folder");
            let launch = lastro(folder.path()).args(program.iter().copied());
            let launch = launch.env("LASTRO_INVENTORY_DATABASE_URL", "sqlite:i.db");
            let ended = Way::VariableOfFile
                .give(launch, folder.path(), "orders_database_url", &url)
                .to_end()
                .await;
            assert_eq!(ended.code, Some(1), "{program:?} {url}: {}", ended.stderr);
            must_be_silent(&format!("{ended:?}"), &url);
        }
    }
}
