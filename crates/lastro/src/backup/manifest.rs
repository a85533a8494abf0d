//! `backup.json`: what a backup holds, with the digests by which a restore knows it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use indicatif::HumanBytes;
use platform::clock::Timestamp;
use platform::process::ProgramError;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The files of the orders and of the stock in a backup.
pub(crate) const FILE_NAMES: [&str; 2] = ["orders.db", "inventory.db"];
/// The file that describes the others.
pub(crate) const MANIFEST: &str = "backup.json";
/// The only layout of a backup so far.
const FORMAT: u64 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The moment of both files, by the clock of the machine.
    pub(crate) taken_at: Timestamp,
    /// The version of the program.
    pub(crate) version: String,
    pub(crate) orders: Copied,
    pub(crate) inventory: Copied,
    pub(crate) order_count: u64,
    pub(crate) reservation_count: u64,
    pub(crate) pending_commands: u64,
    /// Violated invariants that the operator has accepted.
    pub(crate) violations: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Copied {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ProgramError> {
        let mut digest = Digesting::default();
        let failed = |error| cannot_read(path, &error);
        let mut file = File::open(path).map_err(failed)?;
        let mut chunk = vec![0; 1024 * 1024];
        loop {
            match file.read(&mut chunk).map_err(failed)? {
                0 => return Ok(digest.end()),
                read => digest.add(&chunk[..read]),
            }
        }
    }

    fn to_json(&self, name: &str) -> Value {
        json!({"file": name, "bytes": self.bytes, "sha256": self.sha256})
    }

    fn of_json(value: &Value) -> Option<Self> {
        let sha256 = value["sha256"].as_str()?.to_owned();
        Some(Self { bytes: value["bytes"].as_u64()?, sha256 })
    }
}

/// The size and the digest of what was read so far.
#[derive(Debug, Default)]
pub(crate) struct Digesting {
    bytes: u64,
    sha256: Sha256,
}

impl Digesting {
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.sha256.update(chunk);
    }

    pub(crate) fn end(self) -> Copied {
        let digits = |byte: &u8| format!("{byte:02x}");
        Copied { bytes: self.bytes, sha256: self.sha256.finalize().iter().map(digits).collect() }
    }
}

impl Manifest {
    /// Reads that of the backup in this folder.
    pub(crate) fn of(folder: &Path) -> Result<Self, ProgramError> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|error| cannot_read(&path, &error))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| cannot_read(&path, &error))?;
        if value["format"].as_u64().is_some_and(|format| format > FORMAT) {
            return Err(cannot_read(&path, &"it was written by a newer version of Lastro"));
        }
        Self::of_json(&value).ok_or_else(|| cannot_read(&path, &"it is no description of a backup"))
    }

    /// The files of the orders and of the stock.
    pub(crate) fn files(&self) -> [&Copied; 2] {
        [&self.orders, &self.inventory]
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "format": FORMAT,
            "taken_at": self.taken_at.to_rfc3339(),
            "version": self.version,
            "orders": self.orders.to_json(FILE_NAMES[0]),
            "inventory": self.inventory.to_json(FILE_NAMES[1]),
            "order_count": self.order_count,
            "reservation_count": self.reservation_count,
            "pending_commands": self.pending_commands,
            "violations": self.violations,
        })
    }

    fn of_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value[name].as_u64();
        Some(Self {
            taken_at: Timestamp::from_rfc3339(value["taken_at"].as_str()?)?,
            version: value["version"].as_str()?.to_owned(),
            orders: Copied::of_json(&value["orders"])?,
            inventory: Copied::of_json(&value["inventory"])?,
            order_count: number("order_count")?,
            reservation_count: number("reservation_count")?,
            pending_commands: number("pending_commands")?,
            violations: number("violations")?,
        })
    }
}

impl fmt::Display for Manifest {
    /// One line per file, and one of what was found in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order_count, reservation_count, pending_commands, .. } = self;
        let [orders, inventory] = self.files().map(|file| HumanBytes(file.bytes).to_string());
        writeln!(
            f,
            "orders.db     {orders:>12}  {order_count} orders, {pending_commands} pending commands"
        )?;
        writeln!(f, "inventory.db  {inventory:>12}  {reservation_count} reservations")?;
        match self.violations {
            0 => writeln!(f, "every invariant holds"),
            many => writeln!(f, "{many} violations of invariants, as in the databases"),
        }
    }
}

fn cannot_read(path: &Path, error: &dyn fmt::Display) -> ProgramError {
    ProgramError::failed(format_args!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let mut digest = Digesting::default();
        digest.add(b"abc");
        let file = digest.end();
        assert!(file.sha256.starts_with("ba7816bf8f01cfea") && file.bytes == 3, "{file:?}");
        let manifest = Manifest {
            taken_at: Timestamp(1_764_268_200_000_001),
            version: "0.1.0".to_owned(),
            orders: file.clone(),
            inventory: file,
            order_count: 4,
            reservation_count: 3,
            pending_commands: 1,
            violations: 0,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let write = |value: &Value| {
            std::fs::write(folder.path().join(MANIFEST), value.to_string()).expect("a file");
        };
        write(&manifest.to_json());
        assert_eq!(Manifest::of(folder.path()).expect("it is complete"), manifest);
        let mut newer = manifest.to_json();
        newer["format"] = 2.into();
        write(&newer);
        let line = Manifest::of(folder.path()).expect_err("a newer one").to_string();
        assert!(line.contains("newer version"), "{line}");
        for missing in ["taken_at", "orders", "violations"] {
            let mut partial = manifest.to_json();
            partial[missing] = Value::Null;
            write(&partial);
            let line = Manifest::of(folder.path()).expect_err(missing).to_string();
            assert!(line.contains("no description of a backup"), "{line}");
        }
    }
}
