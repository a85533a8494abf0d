//! Which two databases belong together (R31).
//!
//! Every database has an id. A service keeps the id of the other service's database, its peer, from
//! the first time it meets it. What another database sent is never decided: two deployments on one
//! broker, or a copy of a deployment beside it, do not touch each other.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::failure::Failure;

/// Strangers that sent nothing for this long are no longer reported.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// The id of a database. It is made when the database is first migrated, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub Uuid);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for DatabaseId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a database says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: DatabaseId,
    /// The id of the other service's database, once they have met.
    pub peer: Option<DatabaseId>,
}

/// Where a database keeps its peer, and where it was used last.
#[async_trait]
pub trait PairingStore: Send + Sync + fmt::Debug {
    /// Keeps the id of the peer unless one is kept already. Returns the one that is kept.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; a repetition changes nothing.
    async fn keep_peer(&self, met: DatabaseId) -> Result<DatabaseId, Failure>;

    /// Returns the id of the peer that is kept now.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn peer(&self) -> Result<Option<DatabaseId>, Failure>;

    /// Notes that the database is used on this channel of a broker. Returns false, and notes
    /// nothing, if it was used on the same channel before and was copied or moved since.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; a repetition changes nothing.
    async fn use_on(&self, channel: &str) -> Result<bool, Failure>;

    /// Forgets the peer, and where the database was used on which channel.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; a repetition changes nothing.
    async fn forget(&self) -> Result<(), Failure>;
}

/// The names of a service and of its peer, for people and at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The service itself.
    pub own: &'static str,
    /// The other service.
    pub peer: &'static str,
}

/// The database of one service, and what it knows of its peer.
#[derive(Debug)]
pub struct Pairing {
    names: Names,
    id: DatabaseId,
    /// As it was last read. Another replica may have replaced it since.
    peer: Mutex<Option<DatabaseId>>,
    store: Arc<dyn PairingStore>,
    strangers: Mutex<Option<Strangers>>,
}

/// What came from databases that are not the peer.
#[derive(Clone, Copy, Debug)]
struct Strangers {
    /// Deliveries, each of which is a batch.
    messages: u64,
    last: Option<DatabaseId>,
    seen_at: Instant,
}

impl Pairing {
    /// The pairing of a database that says this about itself.
    pub fn new(names: Names, identity: Identity, store: Arc<dyn PairingStore>) -> Self {
        let Identity { id, peer } = identity;
        Self { names, id, peer: Mutex::new(peer), store, strangers: Mutex::default() }
    }

    /// Returns the names of both services.
    pub fn names(&self) -> Names {
        self.names
    }

    /// Returns the id of the service's own database.
    pub fn id(&self) -> DatabaseId {
        self.id
    }

    /// Returns what the database says about itself.
    pub fn identity(&self) -> Identity {
        Identity { id: self.id, peer: self.peer() }
    }

    /// Returns the id of the peer's database, once it is known.
    pub fn peer(&self) -> Option<DatabaseId> {
        *self.known_peer()
    }

    /// Returns whether this is the peer's database. The first other one that is met becomes the
    /// peer, and that is durable when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`PairingStore::keep_peer`].
    pub async fn meet(&self, met: DatabaseId) -> Result<bool, Failure> {
        if met == self.id || self.peer() == Some(met) {
            return Ok(met != self.id);
        }
        let kept = self.store.keep_peer(met).await?;
        *self.known_peer() = Some(kept);
        Ok(kept == met)
    }

    /// Reads again who the peer is: another replica may have begun anew. If the database cannot be
    /// read, the known one stays.
    pub async fn refresh(&self) {
        if let Ok(peer) = self.store.peer().await {
            *self.known_peer() = peer;
        }
    }

    /// Notes that the database is used on this channel. Returns false if it was used there before
    /// and was copied or moved since.
    ///
    /// # Errors
    ///
    /// Those of [`PairingStore::use_on`].
    pub async fn use_on(&self, channel: &str) -> Result<bool, Failure> {
        self.store.use_on(channel).await
    }

    /// Forgets the peer, and where the database was used, because one of both databases was made
    /// anew or moved.
    ///
    /// # Errors
    ///
    /// Those of [`PairingStore::forget`].
    pub async fn forget(&self) -> Result<(), Failure> {
        self.store.forget().await?;
        *self.known_peer() = None;
        Ok(())
    }

    /// Notes deliveries that were dropped because another database than the peer's sent them, or one
    /// that does not name itself.
    pub fn note_strangers(&self, messages: u64, sender: Option<DatabaseId>) {
        let mut strangers = self.known_strangers();
        let before = strangers.map_or(0, |known| known.messages);
        *strangers =
            Some(Strangers { messages: before + messages, last: sender, seen_at: Instant::now() });
        if before == 0 {
            let sender = sender.map(tracing::field::display);
            warn!(sender, "messages of another deployment are dropped");
        }
    }

    /// Returns what an operator should know about foreign messages, in one line; none if there were
    /// none lately.
    pub fn trouble(&self) -> Option<String> {
        let mut strangers = self.known_strangers();
        *strangers = strangers.filter(|known| known.seen_at.elapsed() < FORGET_AFTER);
        let Strangers { messages, last, .. } = (*strangers)?;
        let Names { own, peer } = self.names;
        let whose = last.map_or_else(
            || "a sender that names no database".to_owned(),
            |id| format!("the {peer} database {id}"),
        );
        let known = self.peer().map_or_else(|| "none".to_owned(), |id| id.to_string());
        Some(format!(
            "{messages} batches of messages on the channel were dropped, because they came from {whose}, and the {peer} database of this {own} database is {known}; give the other deployment a channel of its own (nats://…?channel=NAME), or restart with --replace-peer if the {peer} database was made anew"
        ))
    }

    fn known_peer(&self) -> MutexGuard<'_, Option<DatabaseId>> {
        self.peer.lock().expect("nothing panics under this lock")
    }

    fn known_strangers(&self) -> MutexGuard<'_, Option<Strangers>> {
        self.strangers.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const NAMES: Names = Names { own: "orders", peer: "inventory" };

    /// A database in memory.
    #[derive(Debug, Default)]
    struct Memory(Mutex<Option<DatabaseId>>);

    #[async_trait]
    impl PairingStore for Memory {
        async fn keep_peer(&self, met: DatabaseId) -> Result<DatabaseId, Failure> {
            Ok(*self.0.lock().expect("nothing panics").get_or_insert(met))
        }

        async fn peer(&self) -> Result<Option<DatabaseId>, Failure> {
            Ok(*self.0.lock().expect("nothing panics"))
        }

        async fn use_on(&self, _channel: &str) -> Result<bool, Failure> {
            Ok(true)
        }

        async fn forget(&self) -> Result<(), Failure> {
            *self.0.lock().expect("nothing panics") = None;
            Ok(())
        }
    }

    pub(crate) fn id(number: u128) -> DatabaseId {
        DatabaseId(Uuid::from_u128(number))
    }

    /// A database with this id that has met nobody.
    pub(crate) fn alone(names: Names, own: DatabaseId) -> Arc<Pairing> {
        let identity = Identity { id: own, peer: None };
        Arc::new(Pairing::new(names, identity, Arc::<Memory>::default()))
    }

    #[tokio::test]
    async fn the_first_database_that_is_met_is_the_peer_until_it_is_forgotten() {
        let pairing = alone(NAMES, id(1));
        assert_eq!(pairing.peer(), None);
        assert!(!pairing.meet(id(1)).await.expect("read"), "it is no peer of itself");
        for (met, is_peer) in [(id(2), true), (id(3), false), (id(2), true), (id(3), false)] {
            assert_eq!(pairing.meet(met).await.expect("kept"), is_peer);
            assert_eq!(pairing.peer(), Some(id(2)));
        }
        pairing.forget().await.expect("forgotten");
        assert_eq!(pairing.peer(), None);
        assert!(pairing.meet(id(3)).await.expect("kept"));
        assert!(!pairing.meet(id(2)).await.expect("kept"));
    }

    #[tokio::test]
    async fn a_peer_that_another_replica_has_replaced_is_a_stranger() {
        let store = Arc::<Memory>::default();
        let identity = Identity { id: id(1), peer: None };
        let [one, two] = [(); 2].map(|()| Pairing::new(NAMES, identity, store.clone()));
        assert!(one.meet(id(2)).await.expect("kept") && two.meet(id(2)).await.expect("kept"));
        two.forget().await.expect("forgotten");
        one.refresh().await;
        assert_eq!(one.peer(), None);
        assert!(two.meet(id(3)).await.expect("kept"));
        assert!(one.meet(id(3)).await.expect("kept"), "it is read again");
        assert!(!one.meet(id(2)).await.expect("kept"));
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_counted_and_forgotten_when_they_are_silent() {
        let pairing = alone(NAMES, id(1));
        assert_eq!(pairing.trouble(), None);
        pairing.meet(id(2)).await.expect("kept");
        pairing.note_strangers(2, Some(id(3)));
        pairing.note_strangers(1, None);
        let trouble = pairing.trouble().expect("strangers");
        assert!(
            trouble.starts_with("3 batches of messages") && trouble.contains("names no database")
        );
        pairing.note_strangers(1, Some(id(3)));
        let trouble = pairing.trouble().expect("strangers");
        assert!(trouble.contains(&id(3).to_string()) && trouble.contains(&id(2).to_string()));
        tokio::time::advance(FORGET_AFTER).await;
        assert_eq!(pairing.trouble(), None);
    }
}
