//! The laws of the bus: one named test per law and adapter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use testbed::PATIENCE;
use tokio::time::Instant;

use super::{Bus, Delivery, DeliveryTag, all};

/// Makes a test of every law, on the bus that `$fresh(ack_wait)` returns.
macro_rules! bus_laws {
    ($fresh:path) => {
        $crate::bus::laws::bus_laws!($fresh:
            what_is_published_is_received_once_and_whole
            receive_returns_nothing_when_nothing_came
            receive_wakes_up_when_a_message_arrives
            receive_takes_no_more_than_it_was_asked_for
            what_is_not_acknowledged_comes_again
            what_is_extended_does_not_come_again_until_it_is_left_alone
            what_is_acknowledged_never_comes_again
            an_unknown_or_repeated_tag_is_ignored
            channels_do_not_mix
            consumers_share_a_channel
            dropping_a_receive_loses_nothing
            a_hint_reaches_all_who_listen
        );
    };
    ($fresh:path: $($law:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::bus::laws::$law($fresh).await;
        })+
    };
}
pub(crate) use bus_laws;

/// How long a message may stay unacknowledged in these laws.
const ACK_WAIT: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(20);

pub(crate) async fn what_is_published_is_received_once_and_whole<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    let sent: Vec<Vec<u8>> = vec![b"one".to_vec(), vec![], vec![0, 255, 10], vec![7; 500_000]];
    all(bus.publish(&a, sent.clone()).await).expect("published");
    let got = receive_all(&*bus, &a, sent.len()).await;
    let payloads = |list: &[Vec<u8>]| list.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        payloads(&got.iter().map(|d| d.payload.clone()).collect::<Vec<_>>()),
        payloads(&sent)
    );
    assert!(bus.receive(&a, 10, SOON).await.expect("no failure").is_empty());
}

pub(crate) async fn a_hint_reaches_all_who_listen<F: Fresh>(fresh: F) {
    let [a, b] = channels();
    let bus = fresh.bus(NEVER).await;
    bus.hint(&a, b"to nobody".to_vec());
    let mut listeners =
        [bus.hints(&a).await.expect("a subject"), bus.hints(&a).await.expect("a subject")];
    bus.hint(&b, b"about something else".to_vec());
    bus.hint(&a, b"one".to_vec());
    bus.hint(&a, vec![]);
    for listener in &mut listeners {
        for expected in [b"one".to_vec(), vec![]] {
            let heard =
                tokio::time::timeout(PATIENCE, listener.next()).await.expect("a hint in time");
            assert_eq!(heard, Some(expected));
        }
    }
}

pub(crate) async fn receive_returns_nothing_when_nothing_came<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    assert!(bus.receive(&a, 10, Duration::ZERO).await.expect("no failure").is_empty());
    assert!(bus.receive(&a, 10, SOON).await.expect("no failure").is_empty());
}

pub(crate) async fn receive_wakes_up_when_a_message_arrives<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    let waiting = tokio::spawn({
        let (bus, a) = (bus.clone(), a.clone());
        async move { bus.receive(&a, 10, PATIENCE).await }
    });
    all(bus.publish(&a, vec![b"x".to_vec()]).await).expect("published");
    let got = waiting.await.expect("no panic").expect("no failure");
    assert_eq!(got.len(), 1);
}

pub(crate) async fn receive_takes_no_more_than_it_was_asked_for<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    all(bus.publish(&a, vec![vec![1]; 10]).await).expect("published");
    let got = bus.receive(&a, 3, PATIENCE).await.expect("no failure");
    assert!((1..=3).contains(&got.len()), "{}", got.len());
}

pub(crate) async fn what_is_not_acknowledged_comes_again<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(ACK_WAIT).await;
    all(bus.publish(&a, vec![b"again".to_vec()]).await).expect("published");
    for _ in 0..3 {
        let got = receive_all(&*bus, &a, 1).await;
        assert_eq!(got[0].payload, b"again");
    }
}

pub(crate) async fn what_is_extended_does_not_come_again_until_it_is_left_alone<F: Fresh>(
    fresh: F,
) {
    let [a, _] = channels();
    // Long enough that a machine under load extends in time.
    let ack_wait = 20 * ACK_WAIT;
    let bus = fresh.bus(ack_wait).await;
    all(bus.publish(&a, vec![b"long".to_vec()]).await).expect("published");
    let mut begun = Instant::now();
    let mut extended = begun;
    let mut tags = tags_of(receive_all(&*bus, &a, 1).await);
    while begun.elapsed() < ack_wait * 3 / 2 {
        let extending = Instant::now();
        bus.extend(&a, &tags).await.expect("extended");
        let again = bus.receive(&a, 1, SOON).await.expect("no failure");
        if !again.is_empty() {
            // If the machine itself stalled for that long, start over.
            assert!(
                extended.elapsed() >= ack_wait,
                "it came again {:?} after it was extended",
                extended.elapsed()
            );
            tags = tags_of(again);
            begun = extending;
        }
        extended = extending;
    }
    assert_eq!(receive_all(&*bus, &a, 1).await[0].payload, b"long");
}

pub(crate) async fn what_is_acknowledged_never_comes_again<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(ACK_WAIT).await;
    all(bus.publish(&a, vec![b"done".to_vec(), b"open".to_vec()]).await).expect("published");
    for delivery in receive_all(&*bus, &a, 2).await {
        if delivery.payload == b"done" {
            bus.ack(&a, vec![delivery.tag]).await.expect("acknowledged");
        }
    }
    // A repeat may already be on its way when the acknowledgement arrives; none comes after that.
    let mut rounds_without_it = 0;
    let alone = async {
        while rounds_without_it < 3 {
            let is_open = receive_all(&*bus, &a, 1).await[0].payload == b"open";
            rounds_without_it = if is_open { rounds_without_it + 1 } else { 0 };
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.expect("the acknowledged one stays away");
}

pub(crate) async fn an_unknown_or_repeated_tag_is_ignored<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    all(bus.publish(&a, vec![b"x".to_vec()]).await).expect("published");
    let tag = receive_all(&*bus, &a, 1).await.remove(0).tag;
    for _ in 0..2 {
        bus.ack(&a, vec![tag.clone()]).await.expect("acknowledged");
    }
    all(bus.publish(&a, vec![b"y".to_vec()]).await).expect("published");
    assert_eq!(receive_all(&*bus, &a, 1).await[0].payload, b"y");
}

pub(crate) async fn channels_do_not_mix<F: Fresh>(fresh: F) {
    let [a, b] = channels();
    let bus = fresh.bus(NEVER).await;
    all(bus.publish(&b, vec![b"b".to_vec()]).await).expect("published");
    assert!(bus.receive(&a, 10, SOON).await.expect("no failure").is_empty());
    assert_eq!(bus.receive(&b, 10, PATIENCE).await.expect("no failure").len(), 1);
}

pub(crate) async fn consumers_share_a_channel<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(NEVER).await;
    all(bus.publish(&a, (0..20).map(|n| vec![n]).collect()).await).expect("published");
    let (left, right) = tokio::join!(bus.receive(&a, 10, PATIENCE), bus.receive(&a, 10, PATIENCE));
    let mut seen: Vec<_> =
        left.expect("no failure").into_iter().chain(right.expect("no failure")).collect();
    let rest = 20 - seen.len();
    seen.extend(receive_all(&*bus, &a, rest).await);
    let distinct: BTreeSet<_> = seen.iter().map(|delivery| delivery.payload.clone()).collect();
    assert_eq!(distinct.len(), 20);
}

pub(crate) async fn dropping_a_receive_loses_nothing<F: Fresh>(fresh: F) {
    let [a, _] = channels();
    let bus = fresh.bus(ACK_WAIT).await;
    for n in 0..50 {
        let waiting = tokio::spawn({
            let (bus, a) = (bus.clone(), a.clone());
            async move { bus.receive(&a, 1, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        let _ = waiting.await;
        all(bus.publish(&a, vec![vec![n]]).await).expect("published");
        let mut has_come = false;
        while !has_come {
            let got = receive_all(&*bus, &a, 1).await.remove(0);
            // An earlier message comes again if its acknowledgement took too long.
            assert!(got.payload[0] <= n, "{:?}", got.payload);
            has_come = got.payload == [n];
            bus.ack(&a, vec![got.tag]).await.expect("acknowledged");
        }
    }
}

/// Returns two channels that no other law uses: some adapters keep their messages in a server that
/// the laws share.
fn channels() -> [String; 2] {
    static LAWS: AtomicU32 = AtomicU32::new(0);
    let law = LAWS.fetch_add(1, Ordering::Relaxed);
    ["a", "b"].map(|name| format!("laws.{}.{law}.{name}", std::process::id()))
}

fn tags_of(deliveries: Vec<Delivery>) -> Vec<DeliveryTag> {
    deliveries.into_iter().map(|delivery| delivery.tag).collect()
}

/// Receives exactly `count` messages, or fails at the deadline.
async fn receive_all(bus: &dyn Bus, channel: &str, count: usize) -> Vec<Delivery> {
    let mut got = Vec::new();
    let all = async {
        while got.len() < count {
            got.extend(bus.receive(channel, count - got.len(), SOON).await.expect("no failure"));
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the messages arrive in time");
    got
}

/// How an adapter makes an empty bus.
pub(crate) trait Fresh {
    async fn bus(&self, ack_wait: Duration) -> Arc<dyn Bus>;
}

impl<F: Fn(Duration) -> R, R: Future<Output = Arc<dyn Bus>>> Fresh for F {
    async fn bus(&self, ack_wait: Duration) -> Arc<dyn Bus> {
        self(ack_wait).await
    }
}
