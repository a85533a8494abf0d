//! Laws of the last uses of keys, and of the secrets of a key.

use platform::keys::SecretUse;

use super::*;

/// A use of the secret that the key has now.
fn use_of(key: &KeyRecord, at: Timestamp) -> SecretUse {
    SecretUse { id: key.id.clone(), secret: key.sha256, at }
}

fn at(hours: u32) -> Timestamp {
    START.after(hours * HOUR)
}

pub(super) async fn the_last_use_never_goes_back_and_is_no_change(fresh: Fresh) {
    let made = fresh.create().await;
    let (version, _) = fresh.read().await;
    let noted = async |at: Timestamp| {
        let uses = vec![use_of(&made, at), use_of(&record(&new_key()), at)];
        fresh.service.note_uses(uses).await.expect("noted");
        fresh.stored().await.last_used_at
    };
    assert_eq!(noted(at(1)).await, Some(at(1)));
    assert_eq!(noted(START).await, Some(at(1)));
    assert_eq!(noted(at(2)).await, Some(at(2)));
    assert_eq!(fresh.read().await.0, version);
    // Nor does a change of the key take it back.
    fresh.change(&KeyChange::Revoke(made.id.clone()), START).await.expect("revoked");
    assert_eq!(fresh.stored().await.last_used_at, Some(at(2)));
}

/// While one secret replaces another, an operator must see whether the old one is still used.
pub(super) async fn each_secret_of_a_key_has_its_own_last_use(fresh: Fresh) {
    let shown = async || {
        let key = fresh.stored().await;
        [key.last_used_at, key.secret_last_used_at, key.previous_last_used_at]
    };
    let note = async |uses: Vec<SecretUse>| fresh.service.note_uses(uses).await.expect("noted");
    let rotated = async |found: &KeyRecord, overlap: Duration, hours: u32| {
        let new = NewKey::for_id(found.id.clone(), KeyMode::Live).expect("random numbers");
        let (id, expects) = (new.id.clone(), found.sha256);
        let rotate = KeyChange::Rotate { id, expects, sha256: new.hash, overlap };
        fresh.change(&rotate, at(hours)).await.expect("rotated")
    };
    let first = fresh.create().await;
    assert_eq!(shown().await, [None; 3]);
    note(vec![use_of(&first, at(1))]).await;
    assert_eq!(shown().await, [Some(at(1)), Some(at(1)), None]);

    let second = rotated(&first, HOUR, 2).await;
    assert_eq!(shown().await, [Some(at(1)), None, Some(at(1))]);
    assert_eq!(fresh.stored().await.old_secret_last_used_at(), None, "it was before the rotation");
    // Both in one note, and what another replica has seen before.
    note(vec![use_of(&second, at(3)), use_of(&first, at(4)), use_of(&first, at(2))]).await;
    assert_eq!(shown().await, [Some(at(4)), Some(at(3)), Some(at(4))]);
    assert_eq!(fresh.stored().await.old_secret_last_used_at(), Some(at(4)));
    note(vec![use_of(&first, at(3)), use_of(&second, at(2))]).await;
    assert_eq!(shown().await, [Some(at(4)), Some(at(3)), Some(at(4))]);
    note(vec![use_of(&second, at(5))]).await;
    assert_eq!(shown().await, [Some(at(5)), Some(at(5)), Some(at(4))]);

    // Both secrets end: what is noted of them later is a use of the key, and not of the new secret.
    let third = rotated(&second, Duration::ZERO, 6).await;
    assert_eq!(shown().await, [Some(at(5)), None, None]);
    note(vec![use_of(&first, at(7)), use_of(&second, at(6))]).await;
    assert_eq!(shown().await, [Some(at(7)), None, None]);
    // What is put back was used at some time.
    let restore = KeyChange::Restore { record: second.clone(), expects: third.sha256 };
    fresh.change(&restore, at(8)).await.expect("restored");
    assert_eq!(shown().await, [Some(at(7)); 3]);
}

pub(super) async fn replicas_that_note_uses_at_once_lose_none(fresh: Fresh) {
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(fresh.create().await);
    }
    let replicas = (0..6_u32).map(|replica| {
        let mut uses: Vec<_> = keys.iter().map(|key| use_of(key, at(replica))).collect();
        if replica % 2 == 1 {
            uses.reverse();
        }
        fresh.service.note_uses(uses)
    });
    for noted in futures_util::future::join_all(replicas).await {
        noted.expect("noted");
    }
    for key in fresh.keys().await {
        assert_eq!(key.last_used_at, Some(at(5)));
        assert_eq!(key.secret_last_used_at, Some(at(5)));
    }
}
