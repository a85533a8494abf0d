use std::sync::Mutex;

use super::*;
use crate::batcher::Commit;
use crate::bus::embedded::Embedded;
use crate::clock::{ManualClock, Timestamp};

const ACK_WAIT: Duration = Duration::from_secs(30);

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
    fn read(&self, payload: &[u8]) -> Vec<Message<u8>> {
        payload
            .iter()
            .map(|byte| match byte {
                b'?' => Message::UnknownVersion,
                b'!' => Message::Malformed(Quarantined::malformed("a shout".to_owned(), vec![*byte])),
                number => Message::Command(*number),
            })
            .collect()
    }

    fn judge(&self, command: &u8, answer: Option<&u8>) -> Option<Quarantined> {
        let entry =
            |kind| Quarantined { subject: Some(command.to_string()), kind, reason: String::new(), bytes: vec![] };
        match answer {
            None => Some(entry("poisoned")),
            Some(0) => Some(entry("anomaly")),
            Some(_) => None,
        }
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        if *self.quarantine_down.lock().expect("the switch") {
            return Err(Failure::Unavailable(Arc::new(std::io::Error::other("down"))));
        }
        self.aside.lock().expect("the list").extend(entries);
        Ok(())
    }
}

struct World {
    bus: Arc<dyn Bus>,
    clock: Arc<ManualClock>,
    service: Arc<Doubler>,
    consumer: Consumer<u8, u8>,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let bus: Arc<dyn Bus> = Arc::new(Embedded::new(clock.clone(), ACK_WAIT));
    let service = Arc::new(Doubler::default());
    let (batcher, committer) = Batcher::new(service.clone(), Arc::new(|_| {}));
    tokio::spawn(committer.run(CancellationToken::new()));
    let consumer = Consumer { bus: bus.clone(), channel: "numbers", batcher, inbox: service.clone() };
    World { bus, clock, service, consumer }
}

impl World {
    async fn publish(&self, payloads: &[&[u8]]) {
        let messages = payloads.iter().map(|payload| payload.to_vec()).collect();
        self.bus.publish("numbers", messages).await.expect("room");
    }

    async fn tick(&self) {
        self.consumer.tick().await.expect("a bus that works");
    }

    /// What comes again once the wait for an acknowledgement is over.
    async fn comes_again(&self) -> Vec<Vec<u8>> {
        self.clock.advance(ACK_WAIT);
        let again = self.bus.receive("numbers", 100, Duration::ZERO).await.expect("a bus that works");
        again.into_iter().map(|delivery| delivery.payload).collect()
    }

    fn aside(&self) -> Vec<&'static str> {
        self.service.aside.lock().expect("the list").iter().map(|entry| entry.kind).collect()
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
    aside.sort_unstable();
    assert_eq!(aside, ["anomaly", "malformed", "poisoned"], "an unknown version is dropped");
    assert!(world.comes_again().await.is_empty());
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
async fn a_running_consumer_takes_what_arrives_and_stops_when_told() {
    let World { bus, service, consumer, .. } = world();
    let stop = CancellationToken::new();
    let running = tokio::spawn(consumer.run(stop.clone()));
    bus.publish("numbers", vec![vec![5]]).await.expect("room");
    testbed::eventually(testbed::PATIENCE, "the number is doubled", || async {
        (*service.done.lock().expect("the list") == [5]).then_some(())
    })
    .await;
    stop.cancel();
    running.await.expect("no panic").expect("a clean end");
}
