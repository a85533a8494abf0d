use std::sync::Mutex;

use prometheus_client::registry::Registry;

use super::*;
use crate::batcher::Commit;
use crate::bus::all;
use crate::bus::embedded::Embedded;
use crate::clock::{ManualClock, Timestamp};
use crate::pairing::tests::{NAMES, alone, id};
use crate::telemetry::render;

const ACK_WAIT: Duration = Duration::from_secs(30);
/// How many messages can be set aside.
const ROOM: usize = 100;

/// A service that doubles numbers: `0` is an anomaly, `7` is poison, and the storage may be down.
#[derive(Default)]
struct Doubler {
    done: Mutex<Vec<u8>>,
    aside: Mutex<Vec<Quarantined>>,
    storage_down: Mutex<bool>,
    quarantine_down: Mutex<bool>,
}

#[async_trait]
impl Commit<u8, u8> for Doubler {
    async fn commit(&self, batch: Arc<[u8]>) -> Result<Vec<u8>, Failure> {
        if *self.storage_down.lock().expect("the switch") {
            return Err(Failure::Unavailable(Arc::new(std::io::Error::other("down"))));
        }
        if batch.contains(&7) {
            return Err(Failure::suspect(std::io::Error::other("seven")));
        }
        self.done.lock().expect("the list").extend_from_slice(&batch);
        Ok(batch.iter().map(|number| number * 2).collect())
    }
}

#[async_trait]
impl Inbox<u8, u8> for Doubler {
    fn noun(&self) -> &'static str {
        "number"
    }

    fn read(&self, payload: &[u8]) -> Vec<Message<u8>> {
        payload
            .iter()
            .map(|byte| match byte {
                b'?' => Message::UnknownVersion,
                b'!' => Message::Malformed { reason: "a shout".to_owned(), bytes: vec![*byte] },
                number => Message::Command(*number),
            })
            .collect()
    }

    fn origin(&self, command: &u8) -> Option<Origin> {
        Some(Origin { subject: command.to_string(), name: "Double", bytes: vec![*command] })
    }

    fn traced<'c>(&self, _command: &'c mut u8) -> Option<Traced<'c>> {
        None
    }

    fn anomaly(&self, answer: &u8) -> Option<&'static str> {
        (*answer == 0).then_some("zero")
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        if *self.quarantine_down.lock().expect("the switch") {
            return Err(Failure::Unavailable(Arc::new(std::io::Error::other("down"))));
        }
        let mut aside = self.aside.lock().expect("the list");
        let kept = entries.len().min(ROOM - aside.len());
        let not_kept = entries.len() - kept;
        aside.extend(entries.into_iter().take(kept));
        Ok(not_kept)
    }
}

struct World {
    /// The peer's end of the bus.
    peer: Embedded,
    bus: Arc<dyn Bus>,
    clock: Arc<ManualClock>,
    service: Arc<Doubler>,
    consumer: Consumer<u8, u8>,
    registry: Registry,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let peer = Embedded::new(clock.clone(), ACK_WAIT, id(2));
    let bus: Arc<dyn Bus> = Arc::new(peer.end_of(id(1)));
    let service = Arc::new(Doubler::default());
    let (batcher, committer) = Batcher::new(service.clone(), Arc::new(|_| {}));
    tokio::spawn(committer.run(CancellationToken::new()));
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, "test");
    let inbox = service.clone();
    let pairing = alone(NAMES, id(1));
    let channel = "numbers";
    let consumer = Consumer {
        service: "shop",
        bus: bus.clone(),
        channel,
        pairing,
        batcher,
        inbox,
        metrics,
        log_limit: LogLimit::default(),
    };
    World { peer, bus, clock, service, consumer, registry }
}

impl World {
    async fn publish(&self, payloads: &[&[u8]]) {
        let messages = payloads.iter().map(|payload| payload.to_vec()).collect();
        all(self.peer.publish("numbers", messages).await).expect("room");
    }

    async fn tick(&self) {
        self.consumer.tick().await.expect("a bus that works");
    }

    /// What comes again once the wait for an acknowledgement is over.
    async fn comes_again(&self) -> Vec<Vec<u8>> {
        self.clock.advance(ACK_WAIT);
        let again =
            self.bus.receive("numbers", 100, Duration::ZERO).await.expect("a bus that works");
        again.into_iter().map(|delivery| delivery.payload).collect()
    }

    fn aside(&self) -> Vec<Quarantined> {
        self.service.aside.lock().expect("the list").clone()
    }
}

#[tokio::test]
async fn a_delivery_is_acknowledged_after_all_of_its_messages_are_done() {
    let world = world();
    world.publish(&[&[1, 2], &[3]]).await;
    world.tick().await;
    assert_eq!(*world.service.done.lock().expect("the list"), [1, 2, 3]);
    assert!(world.comes_again().await.is_empty());
}

#[tokio::test]
async fn poison_is_set_aside_and_its_neighbours_go_through() {
    let world = world();
    world.publish(&[b"\x01!\x02", &[7, 3], b"?", &[0]]).await;
    world.tick().await;
    assert_eq!(*world.service.done.lock().expect("the list"), [1, 2, 3, 0]);
    let mut aside = world.aside();
    aside.sort_by_key(|entry| entry.kind);
    let entry = |subject: Option<&str>, kind, reason: &str, byte| {
        let (subject, reason) = (subject.map(str::to_owned), reason.to_owned());
        Quarantined { subject, kind, reason, bytes: vec![byte] }
    };
    let expected = [
        entry(None, QuarantineKind::Malformed, "a shout", b'!'),
        entry(
            Some("7"),
            QuarantineKind::Poisoned,
            "Double: the number cannot be executed even alone",
            7,
        ),
        entry(Some("0"), QuarantineKind::Anomaly, "Double: zero", 0),
    ];
    assert_eq!(aside, expected, "an unknown version is dropped");
    let text = render(&world.registry);
    for line in [
        r#"quarantine_messages_total{service="shop",kind="malformed"} 1"#,
        r#"quarantine_messages_total{service="shop",kind="poisoned"} 1"#,
        r#"quarantine_messages_total{service="shop",kind="unknown_version"} 1"#,
        r#"anomalies_total{service="shop",kind="number"} 1"#,
    ] {
        assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
    }
    assert!(world.comes_again().await.is_empty());
}

/// What finds no room is counted, and its delivery is done with: a message that matters comes again.
#[tokio::test]
async fn a_full_quarantine_holds_nothing_up() {
    let world = world();
    world.publish(&[&[b'!'; ROOM + 3], &[1]]).await;
    world.tick().await;
    assert_eq!(world.aside().len(), ROOM);
    assert_eq!(*world.service.done.lock().expect("the list"), [1]);
    let text = render(&world.registry);
    for (kind, count) in [("malformed", ROOM + 3), ("not_kept", 3)] {
        let line = format!("quarantine_messages_total{{service=\"shop\",kind=\"{kind}\"}} {count}");
        assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
    }
    assert!(world.comes_again().await.is_empty());
}

#[tokio::test]
async fn what_another_deployment_sent_is_counted_and_acknowledged_and_never_done() {
    let world = world();
    let stranger = world.peer.end_of(id(3));
    world.publish(&[&[1]]).await;
    all(stranger.publish("numbers", vec![vec![2], b"!".to_vec()]).await).expect("room");
    world.publish(&[&[3]]).await;
    world.tick().await;
    assert_eq!(*world.service.done.lock().expect("the list"), [1, 3]);
    assert!(world.aside().is_empty() && world.comes_again().await.is_empty());
    let text = render(&world.registry);
    let line = r#"quarantine_messages_total{service="shop",kind="foreign"} 2"#;
    assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
    let trouble = world.consumer.pairing.trouble().expect("strangers");
    assert!(trouble.contains(&id(3).to_string()), "{trouble}");
}

#[tokio::test]
async fn what_could_not_be_done_comes_again() {
    let world = world();
    *world.service.storage_down.lock().expect("the switch") = true;
    world.publish(&[&[1]]).await;
    world.tick().await;
    assert_eq!(world.comes_again().await, [[1]]);
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_quarantine_cannot_be_written() {
    let world = world();
    *world.service.quarantine_down.lock().expect("the switch") = true;
    world.publish(&[b"!"]).await;
    world.tick().await;
    assert_eq!(world.comes_again().await, [b"!"]);
}

#[tokio::test]
async fn a_running_consumer_takes_new_messages_and_stops_at_shutdown() {
    let World { peer, service, consumer, .. } = world();
    let stop = CancellationToken::new();
    let running = tokio::spawn(consumer.run(stop.clone()));
    all(peer.publish("numbers", vec![vec![5]]).await).expect("room");
    testbed::eventually(testbed::PATIENCE, "the number is doubled", || async {
        (*service.done.lock().expect("the list") == [5]).then_some(())
    })
    .await;
    stop.cancel();
    running.await.expect("no panic").expect("a clean end");
}
