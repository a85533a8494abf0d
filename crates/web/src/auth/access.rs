//! Whether a client is still let in while its answer takes long: a stream, a page that is waited
//! for, or a file that is counted.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use platform::keys::Principal;
use tokio::time::{Instant, sleep_until};

use super::Authenticator;
use super::authenticator::bearer;
use crate::problem::Problem;

/// How often the key or token is checked again. The services look at their keys every two seconds,
/// so a revoked key loses its streams and imports after three at most.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The key or token with which a request was let in.
pub struct Access {
    authenticator: Authenticator,
    /// The key or token; `None` if the client needed none.
    sent: Option<Box<str>>,
    principal: Principal,
    next_check: Instant,
}

/// Says nothing of the key or token.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Access {
    /// The access of a client that was identified by these headers a moment ago.
    pub fn of(authenticator: &Authenticator, headers: &HeaderMap, principal: &Principal) -> Self {
        let is_known = authenticator.asks() && principal.actor.is_some();
        Self {
            authenticator: authenticator.clone(),
            sent: bearer(headers).filter(|_| is_known).map(Box::from),
            principal: principal.clone(),
            next_check: Instant::now() + CHECK_EVERY,
        }
    }

    /// Waits until the key or token is not accepted any more, or allows something else than before.
    /// Never returns for a client that needed none. It reads only memory, and may be dropped and
    /// called again.
    pub async fn ended(&mut self) -> Problem {
        if self.sent.is_none() {
            return std::future::pending().await;
        }
        loop {
            if let Some(problem) = self.refusal() {
                return problem;
            }
            sleep_until(self.next_check).await;
        }
    }

    /// The same without waiting: why the client is not let in any more, if the time for the next
    /// check has come.
    pub fn refusal(&mut self) -> Option<Problem> {
        let sent = self.sent.as_ref().filter(|_| self.next_check <= Instant::now())?;
        if !self.authenticator.still_accepts(sent, &self.principal) {
            return Some(Problem::unauthenticated(true, self.authenticator.needs()));
        }
        self.next_check = Instant::now() + CHECK_EVERY;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use http::{HeaderValue, header};
    use platform::clock::{Clock, ManualClock, Timestamp};
    use platform::keys::{
        KeyMode, KeyRecord, KeySource, Keyring, KeysFileError, NewKey, Scope, change,
    };
    use tokio::time::timeout;

    use super::*;

    const START: Timestamp = Timestamp(1_795_804_200_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    struct Fixture {
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
        source: Arc<KeySource>,
        authenticator: Authenticator,
        headers: HeaderMap,
    }

    fn write(path: &Path, edit: impl FnOnce(&mut Vec<KeyRecord>)) {
        change(path, |keys| {
            edit(keys);
            Ok::<_, KeysFileError>(())
        })
        .expect("written");
    }

    impl Fixture {
        /// A client with a key that is good for an hour.
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let clock = Arc::new(ManualClock::at(START));
            let key = NewKey::generate(KeyMode::Test).expect("random numbers");
            let record = KeyRecord {
                id: key.id.clone(),
                name: "till".to_owned(),
                scopes: vec![Scope::OrdersRead],
                customer_id: None,
                mode: KeyMode::Test,
                rate: None,
                burst: None,
                sha256: key.hash,
                created_at: START,
                not_after: START.after(HOUR),
                previous: None,
                revoked_at: None,
            };
            let path = folder.path().join("keys.toml");
            write(&path, |keys| keys.push(record));
            let source = Arc::new(KeySource::of_file(&path, clock.clone()).expect("a key"));
            let ring = Arc::new(Keyring::of(vec![source.clone()]));
            let value = HeaderValue::from_str(&format!("Bearer {}", key.text)).expect("ASCII");
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            let authenticator = Authenticator::new(Some(ring), None);
            Self { folder, clock, source, authenticator, headers }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("keys.toml")
        }

        fn access(&self) -> Access {
            let ring = self.authenticator.keys.as_ref().expect("a ring");
            let sent = bearer(&self.headers).expect("a key");
            let principal = ring.authenticate(sent).expect("a valid key");
            Access::of(&self.authenticator, &self.headers, &principal)
        }

        async fn edits(&self, edit: impl FnOnce(&mut KeyRecord)) {
            write(&self.path(), |keys| edit(&mut keys[0]));
            self.source.look().await.expect("read");
        }
    }

    /// Whether an access ends by the next check.
    async fn ends(access: &mut Access) -> bool {
        timeout(CHECK_EVERY, access.ended()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_access_ends_when_its_key_is_revoked_expires_or_allows_something_else() {
        let at = Fixture::new();
        let mut access = at.access();
        assert!(!ends(&mut access).await, "it goes on");
        at.edits(|key| key.name = "another till".to_owned()).await;
        assert!(!ends(&mut access).await, "the name does not matter");
        at.edits(|key| key.scopes = vec![Scope::StockRead]).await;
        assert!(ends(&mut access).await, "other scopes");

        let mut access = at.access();
        at.edits(|key| key.customer_id = Some("C1".to_owned())).await;
        assert!(ends(&mut access).await, "one customer");

        let mut access = at.access();
        at.edits(|key| {
            let new = NewKey::generate(KeyMode::Test).expect("random numbers");
            key.rotate(new.hash, START, HOUR / 2);
        })
        .await;
        assert!(!ends(&mut access).await, "the previous secret is still good");
        at.clock.advance(HOUR / 2);
        assert!(ends(&mut access).await, "the previous secret has ended");

        let at = Fixture::new();
        let mut access = at.access();
        at.clock.advance(HOUR);
        assert!(ends(&mut access).await, "expired");

        let at = Fixture::new();
        let mut access = at.access();
        let now = at.clock.now();
        at.edits(|key| key.revoked_at = Some(now)).await;
        assert!(ends(&mut access).await, "revoked");
        assert!(access.refusal().is_some(), "it is known at once");
        let code = access.ended().await.code;
        assert_eq!(code, crate::problem::Code::UNAUTHENTICATED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_needs_no_key_keeps_its_access() {
        let at = Fixture::new();
        let open = Authenticator::default();
        let mut access = Access::of(&open, &at.headers, &Principal::anyone());
        assert!(!ends(&mut access).await);
        let mut access = Access::of(&at.authenticator, &at.headers, &Principal::anonymous());
        assert!(!ends(&mut access).await);
    }
}
