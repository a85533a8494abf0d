//! The databases that a stream names in its description (R31): `orders=ID inventory=ID`.

use std::fmt;

use async_nats::jetstream::stream::Config;

use super::{Misfit, refused};
use crate::pairing::{DatabaseId, Names, Pairing};

/// The databases whose services a stream belongs to, as far as it names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Owners {
    names: Names,
    own: Option<DatabaseId>,
    peer: Option<DatabaseId>,
}

impl Owners {
    /// Reads the description of a stream. Anything else in it is ignored: an operator may have
    /// written it.
    fn of(found: &Config, names: Names) -> Self {
        let description = found.description.as_deref().unwrap_or_default();
        let owner = |name: &str| {
            let mut words = description.split_whitespace().filter_map(|word| word.split_once('='));
            words.find(|(its, _)| *its == name).and_then(|(_, id)| id.parse().ok())
        };
        Self { names, own: owner(names.own), peer: owner(names.peer) }
    }

    /// The databases that a service knows.
    pub(in super::super) fn known(pairing: &Pairing) -> Self {
        Self { names: pairing.names(), own: Some(pairing.id()), peer: pairing.peer() }
    }

    /// Checks that a stream belongs to this database and to its peer. A service that has no peer yet
    /// takes the one that the stream names, unless it demands signatures: nobody signs what a stream
    /// says (R32).
    pub(in super::super) async fn judge(
        found: &Config,
        pairing: &Pairing,
        demands_signatures: bool,
    ) -> Result<(), Misfit> {
        let name = found.name.clone();
        let Self { names, own, peer } = Self::of(found, pairing.names());
        let service = names.own;
        if let Some(found) = own.filter(|found| *found != pairing.id()) {
            return Err(Misfit::Taken { name, service, found, own: pairing.id() });
        }
        let is_known = pairing.peer().is_some();
        let Some(found) = peer.filter(|_| is_known || !demands_signatures) else { return Ok(()) };
        let is_peer = pairing.meet(found).await.map_err(|failure| refused(&name, failure))?;
        match pairing.peer() {
            Some(known) if !is_peer => {
                Err(Misfit::OtherPeer { name, service: names.peer, found, known })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Owners {
    /// In one order, whichever service writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, own, peer } = self;
        let mut owners = [(names.own, own), (names.peer, peer)];
        owners.sort_by(|one, other| other.0.cmp(one.0));
        let known = owners.iter().filter_map(|(name, id)| id.map(|id| format!("{name}={id}")));
        f.write_str(&known.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::tests::{NAMES, alone, id};

    fn stream(description: &str) -> Config {
        Config { description: Some(description.to_owned()), ..Config::default() }
    }

    async fn judged(description: &str, pairing: &Pairing) -> Result<(), String> {
        let judged = Owners::judge(&stream(description), pairing, false).await;
        judged.map_err(|misfit| misfit.to_string())
    }

    #[tokio::test]
    async fn both_services_write_and_read_the_same_owners() {
        let orders = alone(NAMES, id(1));
        let inventory = alone(Names { own: NAMES.peer, peer: NAMES.own }, id(2));
        let begun = Owners::known(&orders).to_string();
        assert_eq!(judged(&begun, &inventory).await, Ok(()));
        let whole = Owners::known(&inventory).to_string();
        assert_eq!(whole, format!("orders={} inventory={}", id(1), id(2)));
        assert_eq!(judged(&whole, &orders).await, Ok(()));
        assert_eq!(Owners::known(&orders).to_string(), whole);
    }

    #[tokio::test]
    async fn a_stream_of_other_databases_is_refused_and_any_other_text_is_ignored() {
        let orders = alone(NAMES, id(1));
        for text in ["", "mine", "orders=me inventory=", "a=b=c"] {
            assert_eq!(judged(text, &orders).await, Ok(()), "{text}");
        }
        let taken = judged(&format!("orders={}", id(3)), &orders).await.expect_err("taken");
        assert!(taken.contains(&id(3).to_string()) && taken.contains("another orders database"));
        assert_eq!(judged(&format!("inventory={}", id(2)), &orders).await, Ok(()));
        let other = judged(&format!("inventory={}", id(4)), &orders).await.expect_err("another");
        assert!(other.contains("another inventory database"), "{other}");
        assert!(!taken.contains('\n') && !other.contains('\n'));
    }

    #[tokio::test]
    async fn a_service_that_demands_signatures_learns_no_peer_from_a_stream() {
        let orders = alone(NAMES, id(1));
        let inventory = |n| stream(&format!("inventory={}", id(n)));
        let judged = async |found: Config| Owners::judge(&found, &orders, true).await.is_ok();
        assert!(judged(inventory(3)).await && orders.peer().is_none());
        assert!(orders.meet(id(2)).await.expect("kept"));
        assert!(judged(inventory(2)).await);
        assert!(!judged(inventory(3)).await);
    }
}
