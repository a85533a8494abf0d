use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};

mod table;

const NOW: Timestamp = Timestamp(1_795_804_200_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A file with keys, and the ring that reads it.
struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    clock: Arc<ManualClock>,
    ring: Arc<Keyring>,
    key: NewKey,
}

fn record(key: &NewKey, scopes: &[Scope]) -> KeyRecord {
    KeyRecord {
        id: key.id.clone(),
        name: "till".to_owned(),
        scopes: scopes.to_vec(),
        mode: KeyMode::Test,
        customer_id: None,
        rate: None,
        burst: None,
        sha256: key.hash,
        created_at: NOW,
        not_after: NOW.after(24 * HOUR),
        previous: None,
        revoked_at: None,
    }
}

fn new_key() -> NewKey {
    NewKey::generate(KeyMode::Test).expect("random numbers")
}

impl Keyring {
    /// Looks at the file, for which nothing is waited.
    fn look(&self) -> Result<(), KeysUnreadable> {
        self.sources()[0].look().now_or_never().expect("a file is read at once")
    }
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.toml");
        let key = new_key();
        write(&path, |keys| keys.push(record(&key, &[Scope::OrdersWrite])));
        let clock = Arc::new(ManualClock::at(NOW));
        let ring = Arc::new(Keyring::open(&path, clock.clone()).expect("a file with a key"));
        Self { _folder: folder, path, clock, ring, key }
    }

    fn change(&self, with: impl FnOnce(&mut KeyRecord)) {
        write(&self.path, |keys| with(&mut keys[0]));
        self.ring.look().expect("the file is read again");
    }

    fn tried(&self, key: &NewKey) -> Result<String, Rejected> {
        let principal = self.ring.authenticate(&key.text)?;
        Ok(principal.actor.as_deref().expect("an actor").to_owned())
    }
}

fn write(path: &std::path::Path, with: impl FnOnce(&mut Vec<KeyRecord>)) {
    change(path, |keys| {
        with(keys);
        Ok::<_, KeysFileError>(())
    })
    .expect("the file is written");
}

#[test]
fn a_key_names_who_sent_it_and_what_it_allows() {
    let at = Fixture::new();
    assert_eq!(at.tried(&at.key), Ok(format!("key:{}", at.key.id)));
    let principal = at.ring.authenticate(&at.key.text).expect("the key");
    assert_eq!(principal.scopes.iter().collect::<Vec<_>>(), [Scope::OrdersWrite]);
}

#[test]
fn a_wrong_secret_and_an_unknown_id_are_refused_alike() {
    let at = Fixture::new();
    let same_id = NewKey::for_id(at.key.id.clone(), KeyMode::Test).expect("random numbers");
    assert_eq!(at.tried(&same_id), Err(Rejected::Unknown));
    assert_eq!(at.tried(&new_key()), Err(Rejected::Unknown));
    assert_eq!(at.ring.authenticate("secret").map(|_| ()), Err(Rejected::Malformed));
}

#[test]
fn a_key_ends_when_its_time_is_over_and_when_it_is_revoked() {
    let at = Fixture::new();
    at.change(|key| key.revoked_at = Some(NOW));
    assert_eq!(at.tried(&at.key), Err(Rejected::Revoked));
    at.change(|key| key.revoked_at = None);
    at.clock.advance(24 * HOUR - Duration::from_micros(1));
    assert!(at.tried(&at.key).is_ok());
    at.clock.advance(Duration::from_micros(1));
    assert_eq!(at.tried(&at.key), Err(Rejected::Expired));
}

#[test]
fn after_a_rotation_the_old_secret_works_until_the_overlap_is_over() {
    let at = Fixture::new();
    let new = NewKey::for_id(at.key.id.clone(), KeyMode::Test).expect("random numbers");
    at.change(|key| key.rotate(new.hash, NOW, HOUR));
    assert_eq!((at.tried(&at.key).is_ok(), at.tried(&new).is_ok()), (true, true));
    at.clock.advance(HOUR);
    assert_eq!(at.tried(&at.key), Err(Rejected::Expired));
    assert!(at.tried(&new).is_ok());
    let newest = NewKey::for_id(at.key.id.clone(), KeyMode::Test).expect("random numbers");
    at.change(|key| key.rotate(newest.hash, at.clock.now(), Duration::ZERO));
    assert_eq!(at.tried(&new), Err(Rejected::Unknown), "without an overlap it ends at once");
}

#[test]
fn a_key_of_one_customer_says_so() {
    let at = Fixture::new();
    at.change(|key| key.customer_id = Some("C1".to_owned()));
    let principal = at.ring.authenticate(&at.key.text).expect("the key");
    assert_eq!(principal.customer_id.as_deref(), Some("C1"));
}

#[test]
fn a_file_that_says_something_wrong_changes_nothing() {
    let at = Fixture::new();
    let good = std::fs::read_to_string(&at.path).expect("the file");
    for wrong in [
        "keys = 7",
        &good.replace("orders:write", "orders:everything"),
        &good.replace("name = \"till\"", "name = \" \""),
        &good.replace("[[keys]]", "[[keys]]\ncustomer_id = \"a b\""),
        &good.replace("[[keys]]", "[[keys]]\nrate = 2000000000"),
        "",
        &good.replace("[[keys]]", "[[keys]]\nsecret = \"x\""),
        &format!("{good}\n{}", good.replacen("# ", "## ", 1)),
    ] {
        std::fs::write(&at.path, wrong).expect("written");
        let line = at.ring.look().expect_err("a mistake").to_string();
        assert!(line.contains("keys.toml: ") && !line.contains('\n'), "{line}");
        assert!(at.tried(&at.key).is_ok(), "{wrong}");
    }
}

/// Time is paused: it moves by hand.
#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_read_for_five_minutes_are_not_trusted() {
    let at = Fixture::new();
    let away = at.path.with_extension("away");
    std::fs::rename(&at.path, &away).expect("taken away");
    let look_after = async |time| {
        tokio::time::advance(time).await;
        let _ = at.ring.look();
        at.tried(&at.key).map(|_| ())
    };
    assert_eq!(look_after(Duration::from_secs(300)).await, Ok(()));
    assert_eq!(look_after(Duration::from_secs(1)).await, Err(Rejected::KeysUnavailable));
    std::fs::rename(&away, &at.path).expect("brought back");
    assert_eq!(look_after(Duration::from_secs(1)).await, Ok(()));
}

#[test]
fn a_file_without_keys_is_a_mistake_and_not_an_open_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    let open = || Keyring::open(&path, Arc::new(ManualClock::at(NOW))).map(|_| ());
    assert!(open().expect_err("no file").to_string().contains("keys.toml: "));
    write(&path, |_| {});
    assert!(open().expect_err("no keys").to_string().contains("lastro keys create"));
}

#[test]
fn only_its_owner_may_read_or_write_the_file() {
    let at = Fixture::new();
    let mode = |path: &PathBuf| std::fs::metadata(path).expect("the file").permissions().mode();
    assert_eq!(mode(&at.path) & 0o777, 0o600);
    for open in [0o620, 0o602] {
        std::fs::set_permissions(&at.path, std::fs::Permissions::from_mode(open)).expect("set");
        let line = read(&at.path).expect_err("others may write it").to_string();
        assert!(line.contains("chmod go-w"), "{line}");
    }
}

#[test]
fn programs_that_change_the_file_at_once_lose_nothing() {
    let at = Fixture::new();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                write(&at.path, |keys| keys.push(record(&new_key(), &[Scope::StockRead])));
            });
        }
    });
    assert_eq!(read(&at.path).expect("the file").len(), 9);
}

#[test]
fn the_key_of_a_customer_has_no_scope_beyond_its_orders() {
    let key = new_key();
    for scope in Scope::ALL {
        let record = KeyRecord {
            customer_id: Some("C1".to_owned()),
            ..record(&key, &[Scope::OrdersRead, scope])
        };
        assert_eq!(record.check().is_ok(), Scope::OF_A_CUSTOMER.contains(&scope), "{scope}");
    }
}
