use super::*;

async fn take(slots: &Arc<Slots>) -> Slot {
    slots.take(None).await.expect("no limit of an address")
}

#[tokio::test]
async fn the_longest_idle_is_evicted_and_a_busy_one_is_not() {
    let slots = Slots::with_capacity(3);
    let [first, second, third] = [take(&slots).await, take(&slots).await, take(&slots).await];
    first.becomes_busy();
    let gone = second.evicted();
    let leaving = tokio::spawn(async move {
        gone.cancelled().await;
        drop(second);
    });
    let fourth = take(&slots).await;
    leaving.await.unwrap();
    let evicted = [&first, &third, &fourth].map(|slot| slot.evicted().is_cancelled());
    assert_eq!(evicted, [false; 3]);
}

#[tokio::test]
async fn a_new_connection_waits_until_a_busy_one_becomes_idle() {
    let slots = Slots::with_capacity(1);
    let first = take(&slots).await;
    first.becomes_busy();
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { take(&slots).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && !first.evicted().is_cancelled());
    first.becomes_idle();
    first.evicted().cancelled().await;
    drop(first);
    waiting.await.unwrap();
    assert_eq!(slots.idle().len(), 0, "no connection is left in the list");
}

/// The body is read in another task than the answer is made.
#[tokio::test]
async fn a_body_makes_its_connection_busy_only_until_the_answer_begins() {
    let slots = Slots::with_capacity(1);
    let slot = take(&slots).await;
    let idle = || slots.numbers().0 == 1;
    slot.becomes_busy();
    let body = slot.becomes_idle();
    slot.body_has_arrived(body);
    assert!(!idle(), "the request waits for its answer");
    slot.becomes_idle();
    slot.body_has_arrived(body);
    assert!(idle(), "the answer has begun");
    slot.becomes_busy();
    let next = slot.becomes_idle();
    slot.body_has_arrived(body);
    assert!(idle(), "it is the body of the request before");
    slot.body_has_arrived(next);
    assert!(!idle());
}

#[tokio::test]
async fn a_connection_without_a_key_is_evicted_before_one_with_a_key() {
    let slots = Slots::with_capacity(3);
    let [key, early, anonymous] = [take(&slots).await, take(&slots).await, take(&slots).await];
    key.shows_key();
    // A body that arrives counts as idle, and the key is known before the body.
    early.becomes_busy();
    early.becomes_idle();
    early.shows_key();
    for gone in [anonymous, key] {
        let evicted = gone.evicted();
        let leaving = tokio::spawn(async move {
            evicted.cancelled().await;
            drop(gone);
        });
        let next = take(&slots).await;
        leaving.await.unwrap();
        next.shows_key();
        // It stays, so that only those with a key are left.
        std::mem::forget(next);
    }
    assert!(!early.evicted().is_cancelled());
}
