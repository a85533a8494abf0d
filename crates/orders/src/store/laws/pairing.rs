//! What a database knows of itself and of its peer (R31).

use platform::pairing::{DatabaseId, Pairing};
use uuid::Uuid;

fn stranger(number: u128) -> DatabaseId {
    DatabaseId(Uuid::from_u128(number))
}

/// `again` is the same database, opened once more.
pub(crate) async fn a_database_keeps_its_peer(first: &Pairing, again: &Pairing) {
    assert_eq!((first.id(), first.peer(), again.peer()), (again.id(), None, None));
    assert!(first.meet(stranger(1)).await.expect("kept"));
    assert!(!again.meet(stranger(2)).await.expect("read"));
    assert_eq!(again.peer(), Some(stranger(1)));
    again.forget().await.expect("forgotten");
    assert!(again.meet(stranger(2)).await.expect("kept"));
}

/// `copy` is a copy of a database that was used on the channel `a`.
pub(crate) async fn a_copy_is_noticed_on_the_channel_of_its_original(
    original: &Pairing,
    copy: &Pairing,
) {
    assert_eq!(original.id(), copy.id());
    assert!(original.use_on("a").await.expect("noted"));
    assert!(!copy.use_on("a").await.expect("read"));
    assert!(copy.use_on("b").await.expect("noted"), "a channel of its own");
    assert!(!copy.use_on("a").await.expect("read"), "it remembers the original's channel");
    copy.forget().await.expect("forgotten");
    assert!(copy.use_on("a").await.expect("noted"), "the original was replaced");
}
