//! `lastro keys`: makes, lists, replaces and revokes API keys, in the file that services watch.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use platform::clock::{Clock, SystemClock, Timestamp};
use platform::config::UsageError;
use platform::keys::{self, KeyId, KeyMode, KeyRecord, KeysFileError, NewKey, Scope};
use platform::process::ProgramError;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The file of keys, which services read with LASTRO_API_KEYS_FILE
    #[arg(long, env = "LASTRO_API_KEYS_FILE", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
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
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = humantime::parse_duration)]
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

/// Runs the command.
///
/// # Errors
///
/// No file is named, it cannot be read or written, or it has no such key.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { command, file } = args;
    let file = file.ok_or_else(|| {
        UsageError("name the file of keys with --file or LASTRO_API_KEYS_FILE".to_owned())
    })?;
    let now = SystemClock.now();
    match command {
        Command::Create(create) => {
            let (record, key) = create.record(now)?;
            keys::change(&file, |keys| {
                keys.push(record.clone());
                Ok::<_, Failed>(())
            })?;
            eprintln!("key {} for {} ends on {}", key.id, record.name, day(record.not_after));
            show(&key);
        }
        Command::List { json } => list(&keys::read(&file).map_err(Failed::from)?, now, json)?,
        Command::Rotate { id, overlap } => {
            let key = keys::change(&file, |keys| rotate(keys, &id, now, overlap))?;
            let overlap = humantime::format_duration(overlap);
            eprintln!("key {id} has a new secret; the old one works for {overlap} at most");
            show(&key);
        }
        Command::Revoke { id } => {
            keys::change(&file, |keys| {
                find(keys, &id)?.revoked_at.get_or_insert(now);
                Ok::<_, Failed>(())
            })?;
            eprintln!("key {id} is revoked; services refuse it within 3 seconds");
        }
    }
    Ok(())
}

/// Why a command failed, in one line.
struct Failed(String);

impl From<KeysFileError> for Failed {
    fn from(error: KeysFileError) -> Self {
        Self(error.to_string())
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
    let (record, key) = create.record(SystemClock.now())?;
    keys::change(file, |keys| {
        keys.push(record);
        Ok::<_, Failed>(())
    })?;
    Ok(key.text)
}

fn rotate(
    keys: &mut [KeyRecord],
    id: &KeyId,
    now: Timestamp,
    overlap: Duration,
) -> Result<NewKey, Failed> {
    let record = find(keys, id)?;
    if record.revoked_at.is_some() || record.not_after <= now {
        return Err(Failed(format!("key {id} has ended; make a new one")));
    }
    if record.previous.as_ref().is_some_and(|old| old.not_after > now) && !overlap.is_zero() {
        let line = "still has two secrets; wait until the old one has ended, or end both now with --overlap 0s";
        return Err(Failed(format!("key {id} {line}")));
    }
    let new = NewKey::for_id(id.clone(), record.mode).map_err(|error| Failed(error.to_string()))?;
    record.rotate(new.hash, now, overlap);
    Ok(new)
}

fn find<'keys>(keys: &'keys mut [KeyRecord], id: &KeyId) -> Result<&'keys mut KeyRecord, Failed> {
    let found = keys.iter_mut().find(|key| key.id == *id);
    found.ok_or_else(|| Failed(format!("no key has the id {id}; see: lastro keys list")))
}

/// The key alone is on standard output, so that a script can keep it.
fn show(key: &NewKey) {
    println!("{}", key.text);
    eprintln!("keep it now: it is stored nowhere and cannot be shown again");
}

fn list(keys: &[KeyRecord], now: Timestamp, json: bool) -> Result<(), ProgramError> {
    if json {
        for key in keys {
            println!("{}", serde_json::to_string(key).map_err(ProgramError::failed)?);
        }
        return Ok(());
    }
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|key| (key.revoked_at.is_some(), key.not_after));
    println!("{:12}  {:20}  {:10}  {:10}  SCOPES", "ID", "NAME", "STATE", "ENDS");
    for key in keys {
        let state = match key.revoked_at {
            Some(_) => "revoked",
            None if key.not_after <= now => "expired",
            None if key.previous.as_ref().is_some_and(|old| old.not_after > now) => "rotating",
            None => "valid",
        };
        let mut scopes = key.scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(" ");
        if let Some(customer) = &key.customer_id {
            scopes.push_str(&format!("  (only customer {customer})"));
        }
        let ends = day(key.not_after);
        println!("{:12}  {:20}  {state:10}  {ends:10}  {scopes}", key.id, key.name);
    }
    Ok(())
}

fn day(at: Timestamp) -> String {
    at.to_rfc3339().chars().take(10).collect()
}
