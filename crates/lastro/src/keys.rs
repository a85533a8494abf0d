//! `lastro keys`: makes, lists, replaces and revokes API keys, in the file that services watch or in
//! the tables of their databases.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use platform::clock::{Clock, SystemClock, Timestamp};
use platform::config::{File, UsageError};
use platform::keys::{
    self, KeyChange, KeyId, KeyMode, KeyRecord, KeysFileError, NewKey, Refused, Scope,
};
use platform::process::{COMMON_KEYS, ProgramError};

use crate::serve::{DatabaseArgs, KEYS};
use list::Listed;
use tables::Named;

mod list;
mod tables;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("data_dir", |arg| arg.global(true)),
    mut_arg("orders_database_url", |arg| arg.global(true).help("Database of the orders, as its owner")),
    mut_arg("orders_database_url_file", |arg| arg.global(true)),
    mut_arg("inventory_database_url", |arg| arg.global(true).help("Database of the stock, as its owner")),
    mut_arg("inventory_database_url_file", |arg| arg.global(true))
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The file of keys [default: what services read: the file of LASTRO_API_KEYS_FILE, or with
    /// LASTRO_API_KEYS_IN_DATABASE the databases]
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// The tables of the databases
    #[arg(long, global = true)]
    in_database: bool,
    #[command(flatten)]
    services: ServiceArgs,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file, which may name the file of keys or the databases [default:
    /// ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

/// What services read, by the same variables.
#[derive(Debug, clap::Args)]
struct ServiceArgs {
    #[arg(long, env = "LASTRO_API_KEYS_FILE", hide = true, global = true)]
    api_keys_file: Option<PathBuf>,
    #[arg(long, env = "LASTRO_API_KEYS_IN_DATABASE", hide = true, global = true)]
    api_keys_in_database: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and show it, once
    Create(Create),
    /// Show all keys, without their secrets
    List {
        /// As JSON, one key per line
        #[arg(long)]
        json: bool,
    },
    /// Replace the secret of a key, and show the new one, once
    Rotate {
        /// The id of the key
        id: KeyId,
        /// How long the old secret still works
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
        overlap: Duration,
    },
    /// End a key now: services refuse it within 3 seconds
    Revoke {
        /// The id of the key
        id: KeyId,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Who or what uses the key
    #[arg(long)]
    name: String,
    /// What the key allows, such as orders:write
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// The only customer whose orders the key may place, read and cancel
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// When the key ends
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = lifetime)]
    expires: Duration,
    /// How many requests per second the key may make, of reads and of writes each [default: any
    /// number]
    #[arg(long, value_name = "REQUESTS")]
    rate: Option<u32>,
    /// How many requests the key may make at once [default: twice the rate]
    #[arg(long, value_name = "REQUESTS", requires = "rate")]
    burst: Option<u32>,
    /// Make a key for trials: it begins with lsk_test_ and is otherwise like any other
    #[arg(long)]
    test: bool,
}

/// The longest time that a key may last.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lifetime > MAX_LIFETIME {
        return Err("a key lasts 10 years at most".to_owned());
    }
    Ok(lifetime)
}

/// Where the keys are.
enum Source {
    File(PathBuf),
    Tables(Named),
}

/// Runs the command.
///
/// # Errors
///
/// No file and no database is named, or both are, it cannot be read or written, or it has no such
/// key.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { command, file, in_database, services, databases, config } = args;
    // Whoever names a file need not have settings that can be read.
    let settings = || File::load(config, &[&COMMON_KEYS[..], &KEYS].concat());
    let source = match (file, in_database) {
        (Some(_), true) => {
            return Err(UsageError("--file and --in-database exclude each other".to_owned()).into());
        }
        (Some(file), false) => Source::File(file),
        (None, true) => Source::Tables(Named::by(databases, &settings()?)?),
        (None, false) => services.source(databases, &settings()?)?,
    };
    let now = SystemClock.now();
    match command {
        Command::Create(create) => {
            let (record, key) = create.record(now)?;
            let (name, ends) = (record.name.clone(), list::day(record.not_after));
            let place = source.create(record, now).await?;
            eprintln!("key {} for {name} ends on {ends}; it is in {place}", key.id);
            show(&key);
        }
        Command::List { json } => {
            let (keys, has_tables) = source.list().await?;
            list::show(&keys, has_tables, now, json)?;
        }
        Command::Rotate { id, overlap } => {
            let (new, place) = source.rotate(&id, overlap, now).await?;
            let overlap = humantime::format_duration(overlap);
            eprintln!(
                "key {id} in {place} has a new secret; the old one works for {overlap} at most"
            );
            show(&new);
        }
        Command::Revoke { id } => {
            let place = source.revoke(&id, now).await?;
            eprintln!("key {id} in {place} is revoked; services refuse it within 3 seconds");
        }
    }
    Ok(())
}

impl ServiceArgs {
    /// Where keys are if neither `--file` nor `--in-database` says it: where services read them. A
    /// database that a flag or a variable names is meant unless a variable names a file.
    ///
    /// # Errors
    ///
    /// Services read both, or neither, or a setting is wrong.
    fn source(self, databases: DatabaseArgs, settings: &File) -> Result<Source, UsageError> {
        if self.api_keys_file.is_none() && databases.names_any() {
            return Ok(Source::Tables(Named::by(databases, settings)?));
        }
        let file = settings.or(self.api_keys_file, "api_keys_file")?;
        let in_database = settings.or(self.api_keys_in_database, "api_keys_in_database")?;
        match (file, in_database.unwrap_or(false)) {
            (Some(file), false) => Ok(Source::File(file)),
            (None, true) => Ok(Source::Tables(Named::by(databases, settings)?)),
            (Some(file), true) => Err(UsageError(format!(
                "services read the keys of {} and those of the databases (api_keys_in_database); \
                 say which are meant with --file or --in-database",
                file.display()
            ))),
            (None, false) => Err(UsageError(
                "neither api_keys_file nor api_keys_in_database is set; name the file of keys with \
                 --file, or the databases with --in-database, --data-dir, --orders-database-url or \
                 --inventory-database-url"
                    .to_owned(),
            )),
        }
    }
}

impl Source {
    async fn create(self, record: KeyRecord, now: Timestamp) -> Result<String, ProgramError> {
        match self {
            Self::File(file) => change_file(&file, &KeyChange::Create(record), now),
            Self::Tables(tables) => tables.open().await?.create(record, now).await,
        }
    }

    async fn list(self) -> Result<(Vec<Listed>, bool), ProgramError> {
        match self {
            Self::File(file) => {
                eprintln!("keys of {}:", file.display());
                let keys = keys::read(&file).map_err(Failed::from)?;
                Ok((keys.into_iter().map(Listed::of_file).collect(), false))
            }
            Self::Tables(tables) => Ok((tables.open().await?.list().await?, true)),
        }
    }

    async fn rotate(
        self,
        id: &KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(NewKey, String), ProgramError> {
        match self {
            Self::File(file) => {
                let found = keys::read(&file).map_err(Failed::from)?;
                let found = found.iter().find(|key| key.id == *id);
                let found = found.ok_or_else(|| Failed::from(Refused::unknown(id)))?;
                let new = new_secret(found)?;
                let place = change_file(&file, &rotation(found, &new, overlap), now)?;
                Ok((new, place))
            }
            Self::Tables(tables) => tables.open().await?.rotate(id, overlap, now).await,
        }
    }

    async fn revoke(self, id: &KeyId, now: Timestamp) -> Result<String, ProgramError> {
        match self {
            Self::File(file) => change_file(&file, &KeyChange::Revoke(id.clone()), now),
            Self::Tables(tables) => tables.revoke(id, now).await,
        }
    }
}

/// Gives a key the new secret instead of the one that it was found with.
fn rotation(found: &KeyRecord, new: &NewKey, overlap: Duration) -> KeyChange {
    KeyChange::Rotate { id: new.id.clone(), expects: found.sha256, sha256: new.hash, overlap }
}

/// A new secret for a key.
fn new_secret(found: &KeyRecord) -> Result<NewKey, ProgramError> {
    NewKey::for_id(found.id.clone(), found.mode).map_err(ProgramError::failed)
}

/// Changes a key of the file. Returns the file.
fn change_file(file: &Path, change: &KeyChange, now: Timestamp) -> Result<String, ProgramError> {
    keys::change(file, |keys| {
        let at = keys.iter().position(|key| key.id == *change.id());
        let changed = change.apply(at.map(|at| &keys[at]), now)?;
        match at {
            Some(at) => keys[at] = changed,
            None => keys.push(changed),
        }
        Ok::<_, Failed>(())
    })?;
    Ok(file.display().to_string())
}

/// Why a command failed, in one line.
struct Failed(String);

impl From<KeysFileError> for Failed {
    fn from(error: KeysFileError) -> Self {
        Self(error.to_string())
    }
}

impl From<Refused> for Failed {
    fn from(Refused(line): Refused) -> Self {
        Self(line)
    }
}

impl From<Failed> for ProgramError {
    fn from(Failed(line): Failed) -> Self {
        Self::Failed(line)
    }
}

impl Create {
    fn record(self, now: Timestamp) -> Result<(KeyRecord, NewKey), ProgramError> {
        let mode = if self.test { KeyMode::Test } else { KeyMode::Live };
        let key = NewKey::generate(mode).map_err(ProgramError::failed)?;
        let record = KeyRecord {
            id: key.id.clone(),
            name: self.name,
            scopes: self.scopes,
            mode,
            customer_id: self.customer,
            rate: self.rate,
            burst: self.burst,
            sha256: key.hash,
            created_at: now,
            not_after: now.after(self.expires),
            previous: None,
            revoked_at: None,
        };
        record.check().map_err(|error| UsageError(error.to_string()))?;
        Ok((record, key))
    }
}

/// Makes a key that allows everything, for a program that is started for a while.
///
/// # Errors
///
/// The file cannot be written.
pub(crate) fn create_for_all(file: &Path, name: &str) -> Result<String, ProgramError> {
    let create = Create {
        name: name.to_owned(),
        scopes: Scope::ALL.to_vec(),
        customer: None,
        expires: Duration::from_secs(24 * 3600),
        rate: None,
        burst: None,
        test: true,
    };
    let now = SystemClock.now();
    let (record, key) = create.record(now)?;
    change_file(file, &KeyChange::Create(record), now)?;
    Ok(key.text)
}

/// The key alone is on standard output, so that a script can keep it.
fn show(key: &NewKey) {
    println!("{}", key.text);
    eprintln!("keep it now: it is stored nowhere and cannot be shown again");
}
