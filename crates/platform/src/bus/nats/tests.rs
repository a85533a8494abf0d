//! The laws of the bus on a real server, and what only a server that is lost, wiped or changed
//! shows.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use testbed::{Nats as Server, PATIENCE, eventually, nats_url};

use super::*;
use crate::bus::all;
use crate::pairing::Names;
use crate::pairing::tests::{NAMES, alone, id};
use async_nats::jetstream;

mod deleting;
mod operator;
mod secured;
mod signed;

const QUIET: Duration = Duration::from_millis(50);
const PEER: Names = Names { own: NAMES.peer, peer: NAMES.own };
const CHANNEL: &str = "test.channel";
/// The same at the broker.
const SUBJECT: &str = "lastro.test.channel";

async fn fresh(ack_wait: Duration) -> Arc<dyn Bus> {
    connected(&nats_url(), ack_wait).await
}

crate::bus::laws::bus_laws!(fresh);

/// Connects a service, of which all replicas have the same database. The tester has what its peer
/// sends.
async fn connect(url: &str, service: &str, ack_wait: Duration, watch_period: Duration) -> Nats {
    let (own, its_id) = if service == "tester" { (NAMES, id(1)) } else { (PEER, id(2)) };
    let broker = Broker::at(url, AccessFiles::default()).expect("an address");
    let pairing = alone(own, its_id);
    let connecting = Nats::connect(broker, service, pairing, metrics(), ack_wait, watch_period);
    connecting.await.expect("an address")
}

fn metrics() -> Metrics {
    Metrics::new(&mut Registry::default(), "test")
}

async fn connected(url: &str, ack_wait: Duration) -> Arc<Nats> {
    let bus = Arc::new(connect(url, "tester", ack_wait, QUIET).await);
    eventually(PATIENCE, "the bus is connected", async || bus.reachable().ok()).await;
    bus
}

/// Publishes until it is stored.
async fn publish(bus: &Nats, text: &str) {
    eventually(PATIENCE, "something is published", async || {
        all(bus.publish(CHANNEL, vec![text.as_bytes().to_vec()]).await).ok()
    })
    .await;
}

/// Receives and acknowledges until this came.
async fn receive(bus: &Nats, text: &str) {
    eventually(PATIENCE, &format!("{text} is received"), async || {
        let deliveries = bus.receive(CHANNEL, 10, QUIET).await.unwrap_or_default();
        let found = deliveries.iter().any(|delivery| delivery.payload == text.as_bytes());
        let tags = deliveries.into_iter().map(|delivery| delivery.tag).collect();
        let _ = bus.ack(CHANNEL, tags).await;
        found.then_some(())
    })
    .await;
}

/// The broker's own view, by a connection of its own.
async fn operator(server: &Server) -> Context {
    jetstream::new(async_nats::connect(server.url()).await.expect("a connection"))
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_reported_at_once_and_used_when_it_comes() {
    let mut server = Server::start().await;
    server.kill().await;
    let bus = connect(&server.url(), "tester", ACK_WAIT, QUIET).await;
    assert_eq!(bus.trouble(), ["the broker cannot be reached"]);
    assert!(matches!(
        bus.publish(CHANNEL, vec![vec![1]]).await[..],
        [Err(BusError::Unavailable(_))]
    ));
    assert!(matches!(bus.receive(CHANNEL, 1, QUIET).await, Err(BusError::Unavailable(_))));
    server.restart().await;
    publish(&bus, "hello").await;
    receive(&bus, "hello").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

#[tokio::test]
async fn a_broker_that_comes_back_has_what_was_not_acknowledged() {
    let mut server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    publish(&bus, "kept").await;
    server.restart().await;
    receive(&bus, "kept").await;
}

#[tokio::test]
async fn streams_and_consumers_are_created_again_after_a_wipe() {
    let mut server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    for round in ["first", "second", "third"] {
        publish(&bus, round).await;
        receive(&bus, round).await;
        server.wipe().await;
    }
    publish(&bus, "last").await;
    receive(&bus, "last").await;
}

#[tokio::test]
async fn a_stream_or_consumer_deleted_while_running_is_created_again() {
    let server = Server::start().await;
    let (bus, operator) = (connected(&server.url(), ACK_WAIT).await, operator(&server).await);
    let stream = declare::stream_name(SUBJECT);
    publish(&bus, "one").await;
    receive(&bus, "one").await;
    operator.delete_consumer_from_stream("tester", &stream).await.expect("deleted");
    publish(&bus, "two").await;
    receive(&bus, "two").await;
    operator.delete_stream(&stream).await.expect("deleted");
    publish(&bus, "three").await;
    receive(&bus, "three").await;
}

/// The stream is lost and starts again at 1, while its consumer, which survived, is at 5.
#[tokio::test]
async fn a_consumer_that_stands_ahead_of_its_stream_is_created_again() {
    let mut server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    for number in 1..=5 {
        publish(&bus, &number.to_string()).await;
        receive(&bus, &number.to_string()).await;
    }
    server.lose_messages_of(&declare::stream_name(SUBJECT)).await;
    publish(&bus, "after").await;
    receive(&bus, "after").await;
}

#[tokio::test]
async fn a_stream_that_has_lost_its_files_is_created_again() {
    let server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    publish(&bus, "before").await;
    receive(&bus, "before").await;
    server.remove_files_of(&declare::stream_name(SUBJECT));
    // It may go on in the file that it has open; a large message makes it want another.
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE
        && all(bus.publish(CHANNEL, vec![vec![0; 900_000]; 8]).await).is_err()
    {}
    publish(&bus, "after").await;
    receive(&bus, "after").await;
}

/// Nothing is published meanwhile, so the receiver must find it out.
#[tokio::test]
async fn a_stream_that_counts_messages_it_cannot_deliver_is_created_again() {
    let server = Server::start().await;
    let (bus, operator) = (connected(&server.url(), ACK_WAIT).await, operator(&server).await);
    // More than the broker keeps in memory.
    for _ in 0..5 {
        all(bus.publish(CHANNEL, vec![vec![0; 900_000]; 8]).await).expect("stored");
    }
    let stream = declare::stream_name(SUBJECT);
    server.remove_files_of(&stream);
    eventually(PATIENCE, "the stream counts nothing", async || {
        let _ = bus.receive(CHANNEL, 10, QUIET).await;
        let stream = operator.get_stream(&stream).await.ok()?;
        (stream.cached_info().state.messages == 0).then_some(())
    })
    .await;
    publish(&bus, "after").await;
    receive(&bus, "after").await;
}

#[tokio::test]
async fn a_stream_of_another_kind_is_reported_and_not_used() {
    let server = Server::start().await;
    let operator = operator(&server).await;
    let config = jetstream::stream::Config {
        name: declare::stream_name(SUBJECT),
        subjects: vec![SUBJECT.to_owned()],
        ..Default::default()
    };
    operator.create_stream(config).await.expect("made");
    let bus = connected(&server.url(), ACK_WAIT).await;
    assert!(all(bus.publish(CHANNEL, vec![vec![1]]).await).is_err());
    let trouble_text = bus.trouble().join("; ");
    assert!(
        trouble_text
            .contains("the retention of lastro-test-channel is Limits and must be WorkQueue"),
        "{trouble_text}"
    );
    let mut left = operator.get_stream(declare::stream_name(SUBJECT)).await.expect("a stream");
    assert_eq!(left.info().await.expect("its state").config.max_bytes, -1, "it is somebody else's");
    operator.delete_stream(declare::stream_name(SUBJECT)).await.expect("deleted");
    publish(&bus, "hello").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

#[tokio::test]
async fn a_full_stream_refuses_and_keeps_what_it_has() {
    let server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    publish(&bus, "oldest").await;
    let half_mib = vec![0; 512 * 1024];
    let full = eventually(PATIENCE, "the stream is full", async || {
        all(bus.publish(CHANNEL, vec![half_mib.clone(); 8]).await)
            .err()
            .filter(|error| matches!(error, BusError::Full))
    });
    full.await;
    let full = "lastro-test-channel is full; is the service that receives from it running?";
    assert_eq!(bus.trouble(), [full]);
    receive(&bus, "oldest").await;
    publish(&bus, "more").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

#[tokio::test]
async fn a_paused_broker_delays_no_call_for_long() {
    let server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    publish(&bus, "before").await;
    server.pause().await;
    let publishing = timeout(6 * ANSWER_WAIT, bus.publish(CHANNEL, vec![b"during".to_vec()])).await;
    assert!(matches!(publishing.as_deref(), Ok([Err(BusError::Unavailable(_))])), "{publishing:?}");
    server.resume();
    publish(&bus, "after").await;
    receive(&bus, "after").await;
}

const KIB: usize = 1024;

#[tokio::test]
async fn what_the_broker_takes_is_asked_and_asked_again_after_a_reconnect() {
    let mut server = Server::start_with_settings("max_payload: 65536").await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    assert_eq!(bus.max_bytes(CHANNEL), 64 * KIB - HEADER_BYTES);
    let too_low =
        "the broker takes messages of at most 65536 bytes; raise its max_payload to 1 MiB";
    assert_eq!(bus.trouble(), [too_low]);
    let fits = bus.max_bytes(CHANNEL);
    let published = bus.publish(CHANNEL, vec![vec![1; fits], vec![2; 80 * KIB], vec![3]]).await;
    assert!(
        matches!(published[..], [Ok(()), Err(BusError::TooLarge { bytes: 81_920 }), Ok(())]),
        "{published:?}"
    );
    assert_eq!(bus.receive(CHANNEL, 10, QUIET).await.expect("messages").len(), 2);
    assert_eq!(bus.trouble(), [too_low], "what is too large is named by the outbox");

    server.change_settings("max_payload: 1048576");
    server.restart().await;
    eventually(PATIENCE, "the new limit is known", async || {
        (bus.max_bytes(CHANNEL) == 1024 * KIB - HEADER_BYTES).then_some(())
    })
    .await;
    assert_eq!(bus.trouble(), [""; 0]);
    all(bus.publish(CHANNEL, vec![vec![2; 80 * KIB]]).await).expect("stored");
}

/// The broker itself, and not the client, refuses one of several messages.
#[tokio::test]
async fn a_message_that_the_stream_refuses_takes_no_neighbour_along() {
    let server = Server::start_without("$JS.API.STREAM.UPDATE.>").await;
    let operator = operator(&server).await;
    let config = jetstream::stream::Config {
        max_message_size: 2000,
        ..declare::needed_stream(SUBJECT, None)
    };
    operator.create_stream(config).await.expect("made");
    let bus = connected(&server.url(), ACK_WAIT).await;
    let published = bus.publish(CHANNEL, vec![vec![1], vec![2; 3000], vec![3]]).await;
    assert!(
        matches!(published[..], [Ok(()), Err(BusError::TooLarge { bytes: 3000 }), Ok(())]),
        "{published:?}"
    );
    assert_eq!(bus.max_bytes(CHANNEL), 2000 - HEADER_BYTES);
    let [trouble] = &bus.trouble()[..] else { panic!("one trouble: {:?}", bus.trouble()) };
    let begin = "the limit of a message of lastro-test-channel is 2000 and must be -1, and the broker refuses to change that: ";
    assert!(trouble.starts_with(begin), "{trouble}");
}

#[tokio::test]
async fn deployments_on_channels_of_their_own_do_not_touch_each_other() {
    let server = Server::start().await;
    let one = connected(&server.url(), ACK_WAIT).await;
    let two = connected(&format!("{}?channel=two", server.url()), ACK_WAIT).await;
    let mut heard = two.hints("subject").await.expect("a subscription");
    one.hint("subject", b"one".to_vec());
    two.hint("subject", b"two".to_vec());
    publish(&one, "one").await;
    publish(&two, "two").await;
    for (bus, text) in [(&one, "one"), (&two, "two")] {
        let received = bus.receive(CHANNEL, 10, QUIET).await.expect("messages");
        let payloads: Vec<_> = received.into_iter().map(|one| one.payload).collect();
        assert_eq!(payloads, [text.as_bytes()]);
    }
    let hint = timeout(PATIENCE, heard.next()).await.expect("a hint in time");
    assert_eq!(hint, Some(b"two".to_vec()));
}
