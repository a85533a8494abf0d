//! What an operator may do to a stream and its consumer, before the services start and while they
//! run. It heals by itself, or it is named with what to do and heals when that was done (R10).

use std::cell::Cell;
use std::collections::BTreeSet;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use futures_util::stream;
use tokio::task::JoinSet;

use super::*;

/// How many cases are tried at a time.
const AT_A_TIME: usize = 8;

/// What the operator does.
#[derive(Clone, Copy)]
enum Hand {
    /// Edits the stream, or creates it like this before the services start.
    Edits(fn(&mut Config)),
    /// Deletes the stream and creates it again like this.
    Recreates(fn(&mut Config)),
    /// Deletes the stream.
    DeletesStream,
    /// Deletes the stream, and gives its subject to another.
    TakesSubject,
    /// Deletes all messages.
    Purges,
    /// Edits the consumer, or creates it like this before the services start.
    EditsConsumer(fn(&mut consumer::pull::Config)),
    /// Deletes the consumer and creates it again like this.
    ReplacesConsumer(fn(&mut consumer::pull::Config)),
    /// Deletes the consumer.
    DeletesConsumer,
    /// Deletes the consumer and creates one that pushes under its name.
    Pushes,
    /// Deletes the consumer and creates one under another name.
    Consumes,
}

/// What the services make of it.
enum Then {
    Heals,
    /// They name it, until the operator has deleted the stream.
    NamedUntilStreamIsGone(&'static str),
    /// They name it, until the operator has deleted this consumer.
    NamedUntilConsumerIsGone(&'static str, &'static str),
    /// They name it, until the operator has deleted the stream that has the subject.
    NamedUntilSubjectIsFree(&'static str),
}

use Hand::*;
use Then::*;

fn cases() -> Vec<(&'static str, Hand, Then)> {
    vec![
        ("max_msgs", Edits(|stream| stream.max_messages = 1), Heals),
        ("max_msgs_per_subject", Edits(|stream| stream.max_messages_per_subject = 1), Heals),
        ("max_bytes", Edits(|stream| stream.max_bytes = 1000), Heals),
        ("max_msg_size", Edits(|stream| stream.max_message_size = 1000), Heals),
        (
            "max_age",
            Edits(|stream| {
                stream.max_age = Duration::from_millis(100);
                stream.duplicate_window = stream.max_age;
            }),
            Heals,
        ),
        ("discard", Edits(|stream| stream.discard = DiscardPolicy::Old), Heals),
        ("no_ack", Edits(|stream| stream.no_ack = true), Heals),
        ("subjects", Edits(|stream| stream.subjects = vec!["else.where".to_owned()]), Heals),
        ("more subjects", Edits(|stream| stream.subjects.push("and.also".to_owned())), Heals),
        ("deny_delete", Edits(|stream| stream.deny_delete = true), Heals),
        ("deny_purge", Edits(|stream| stream.deny_purge = true), Heals),
        ("description", Edits(|stream| stream.description = Some("mine".to_owned())), Heals),
        ("deleted", DeletesStream, Heals),
        ("purged", Purges, Heals),
        (
            "sealed",
            Edits(|stream| stream.sealed = true),
            NamedUntilStreamIsGone("is sealed; delete it, and the service creates it again"),
        ),
        (
            "interest",
            Recreates(|stream| stream.retention = RetentionPolicy::Interest),
            NamedUntilStreamIsGone("is Interest and must be WorkQueue; delete it"),
        ),
        (
            "limits",
            Recreates(|stream| stream.retention = RetentionPolicy::Limits),
            NamedUntilStreamIsGone("is Limits and must be WorkQueue; delete it"),
        ),
        (
            "memory",
            Recreates(|stream| stream.storage = StorageType::Memory),
            NamedUntilStreamIsGone("is Memory and must be File; delete it"),
        ),
        ("subject taken", TakesSubject, NamedUntilSubjectIsFree("take the subject from it")),
        ("max_ack_pending", EditsConsumer(|consumer| consumer.max_ack_pending = 1), Heals),
        ("ack_wait", EditsConsumer(|its| its.ack_wait = Duration::from_millis(1)), Heals),
        ("max_deliver", EditsConsumer(|consumer| consumer.max_deliver = 1), Heals),
        ("filter", EditsConsumer(|its| its.filter_subject = "else.where".to_owned()), Heals),
        ("headers_only", EditsConsumer(|consumer| consumer.headers_only = true), Heals),
        ("max_batch", EditsConsumer(|consumer| consumer.max_batch = 1), Heals),
        ("max_expires", EditsConsumer(|its| its.max_expires = Duration::from_millis(1)), Heals),
        ("max_waiting", ReplacesConsumer(|consumer| consumer.max_waiting = 1), Heals),
        ("deleted consumer", DeletesConsumer, Heals),
        ("push consumer", Pushes, NamedUntilConsumerIsGone("pushes messages elsewhere", "tester")),
        (
            "somebody's consumer",
            Consumes,
            NamedUntilConsumerIsGone("stranger receives from", "stranger"),
        ),
    ]
}

/// A channel with a service at each end.
struct Services {
    channel: String,
    sender: Arc<Nats>,
    receiver: Arc<Nats>,
}

impl Services {
    async fn start(server: &Server, channel: &str) -> Self {
        let connect = async |name| Arc::new(connect(&server.url(), name, ACK_WAIT, QUIET).await);
        let (sender, receiver) = (connect("sender").await, connect("tester").await);
        for bus in [&sender, &receiver] {
            eventually(PATIENCE, "the bus is connected", async || bus.reachable().ok()).await;
        }
        Self { channel: channel.to_owned(), sender, receiver }
    }

    /// One step of each service. Returns whether what was sent last has arrived.
    async fn step(&self, text: &str) -> bool {
        // More than the limits of the cases allow.
        let payload = format!("{text:<20000}").into_bytes();
        let _ = self.sender.publish(&self.channel, vec![payload.clone()]).await;
        let received = self.receiver.receive(&self.channel, 100, QUIET).await.unwrap_or_default();
        let has_arrived = received.iter().any(|delivery| delivery.payload == payload);
        let tags = received.into_iter().map(|delivery| delivery.tag).collect();
        let _ = self.receiver.ack(&self.channel, tags).await;
        has_arrived
    }

    fn trouble(&self) -> Vec<String> {
        [self.sender.trouble(), self.receiver.trouble()].concat()
    }

    /// Waits until messages arrive and nothing is reported.
    async fn flow(&self, case: &str) {
        let number = Cell::new(0);
        eventually(PATIENCE, &format!("{case}: messages flow, nothing is reported"), async || {
            number.set(number.get() + 1);
            let arrived = self.step(&format!("{case} {}", number.get())).await;
            (arrived && self.trouble().is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until this is reported.
    async fn name(&self, case: &str, text: &str) {
        eventually(PATIENCE, &format!("{case}: {text:?} is reported"), async || {
            self.step(case).await;
            self.trouble().iter().any(|trouble| trouble.contains(text)).then_some(())
        })
        .await;
    }
}

/// The operator at one channel.
struct At<'a> {
    operator: &'a Context,
    channel: String,
}

impl At<'_> {
    /// The subject of the channel at the broker.
    fn subject(&self) -> String {
        format!("lastro.{}", self.channel)
    }

    fn stream(&self) -> String {
        declare::stream_name(&self.subject())
    }

    async fn delete(&self) {
        self.operator.delete_stream(self.stream()).await.expect("deleted");
    }

    async fn create(&self, change: fn(&mut Config)) {
        let mut config = declare::needed_stream(&self.subject(), None);
        change(&mut config);
        self.operator.create_stream(config).await.expect("created");
    }

    async fn delete_consumer(&self, name: &str) {
        self.operator.delete_consumer_from_stream(name, self.stream()).await.expect("deleted");
    }

    async fn create_consumer(&self, change: fn(&mut consumer::pull::Config)) {
        let mut config = consumer::pull::Config {
            durable_name: Some("tester".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ..Default::default()
        };
        change(&mut config);
        if !config.filter_subject.is_empty() {
            // A filter must be a subject of the stream.
            self.edit(|stream| stream.subjects.push("else.where".to_owned())).await;
        }
        self.operator.create_consumer_on_stream(config, self.stream()).await.expect("created");
    }

    async fn edit(&self, change: fn(&mut Config)) {
        // The services may be changing back what the operator changed before.
        eventually(PATIENCE, "the stream is edited", async || {
            let stream = self.operator.get_stream(self.stream()).await.ok()?;
            let mut config = stream.cached_info().config.clone();
            change(&mut config);
            self.operator.update_stream(config).await.ok()
        })
        .await;
    }

    async fn push_to(&self, name: &str) {
        let config = consumer::push::Config {
            durable_name: Some(name.to_owned()),
            deliver_subject: "elsewhere".to_owned(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ..Default::default()
        };
        self.operator.create_consumer_on_stream(config, self.stream()).await.expect("created");
    }

    async fn consume(&self) {
        self.create_consumer(|consumer| consumer.durable_name = Some("stranger".to_owned())).await;
    }

    async fn take_subject(&self) {
        let config = Config {
            name: format!("{}-taken", self.stream()),
            subjects: vec![self.subject()],
            ..Default::default()
        };
        self.operator.create_stream(config).await.expect("created");
    }

    /// Does it before the services have created anything.
    async fn before(&self, hand: Hand) {
        match hand {
            Edits(change) if seals(change) => {
                // Only a stream that exists can be sealed.
                self.create(|_| {}).await;
                self.edit(change).await;
            }
            Edits(change) | Recreates(change) => self.create(change).await,
            TakesSubject => self.take_subject().await,
            DeletesStream => {}
            Purges | DeletesConsumer => self.create(|_| {}).await,
            EditsConsumer(change) | ReplacesConsumer(change) => {
                self.create(|_| {}).await;
                self.create_consumer(change).await;
            }
            Pushes => {
                self.create(|_| {}).await;
                self.push_to("tester").await;
            }
            Consumes => {
                self.create(|_| {}).await;
                self.consume().await;
            }
        }
    }

    /// Does it while the services run and have created everything.
    async fn meanwhile(&self, hand: Hand) {
        match hand {
            Edits(change) => self.edit(change).await,
            Recreates(change) => {
                self.delete().await;
                self.create(change).await;
            }
            DeletesStream => self.delete().await,
            TakesSubject => {
                self.delete().await;
                self.take_subject().await;
            }
            Purges => {
                let stream = self.operator.get_stream(self.stream()).await.expect("a stream");
                stream.purge().await.expect("purged");
            }
            EditsConsumer(change) => self.create_consumer(change).await,
            ReplacesConsumer(change) => {
                self.delete_consumer("tester").await;
                self.create_consumer(change).await;
            }
            DeletesConsumer => self.delete_consumer("tester").await,
            Pushes => {
                self.delete_consumer("tester").await;
                self.push_to("tester").await;
            }
            Consumes => {
                self.delete_consumer("tester").await;
                self.consume().await;
            }
        }
    }

    async fn is_as_needed(&self) -> bool {
        let Ok(stream) = self.operator.get_stream(self.stream()).await else { return false };
        let Ok(consumer) = stream.consumer_info("tester").await else { return false };
        declare::is_needed_stream(&stream.cached_info().config, &self.subject())
            && declare::is_needed_consumer(&consumer.config, "tester", ACK_WAIT)
    }

    async fn undo(&self, then: &Then) {
        match then {
            Heals => {}
            NamedUntilStreamIsGone(_) => self.delete().await,
            NamedUntilConsumerIsGone(_, name) => self.delete_consumer(name).await,
            NamedUntilSubjectIsFree(_) => {
                let taken = format!("{}-taken", self.stream());
                self.operator.delete_stream(taken).await.expect("deleted");
            }
        }
    }
}

fn seals(change: fn(&mut Config)) -> bool {
    let mut config = Config::default();
    change(&mut config);
    config.sealed
}

async fn check(services: &Services, at: &At<'_>, case: &str, then: &Then) {
    match then {
        Heals => {}
        NamedUntilStreamIsGone(text)
        | NamedUntilConsumerIsGone(text, _)
        | NamedUntilSubjectIsFree(text) => services.name(case, text).await,
    }
    at.undo(then).await;
    services.flow(case).await;
    eventually(PATIENCE, &format!("{case}: everything is as it must be"), async || {
        services.step(case).await;
        at.is_as_needed().await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_did_before_the_start_heals_or_is_named_with_what_to_do() {
    let server = Server::start().await;
    let operator = operator(&server).await;
    let cases = stream::iter(cases().into_iter().enumerate());
    cases
        .for_each_concurrent(AT_A_TIME, async |(number, (case, hand, then))| {
            let at = At { operator: &operator, channel: format!("before.{number}") };
            at.before(hand).await;
            let services = Services::start(&server, &at.channel).await;
            check(&services, &at, case, &then).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_does_meanwhile_heals_or_is_named_with_what_to_do() {
    let server = Server::start().await;
    let operator = operator(&server).await;
    let cases = stream::iter(cases().into_iter().enumerate());
    cases
        .for_each_concurrent(AT_A_TIME, async |(number, (case, hand, then))| {
            let at = At { operator: &operator, channel: format!("meanwhile.{number}") };
            let services = Services::start(&server, &at.channel).await;
            services.flow(case).await;
            at.meanwhile(hand).await;
            check(&services, &at, case, &then).await;
        })
        .await;
}

/// Two services that ask and answer at the same time, as the programs do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_streams_deleted_at_once_are_created_again() {
    const ROUNDS: u32 = 5;
    let server = Server::start().await;
    let operator = operator(&server).await;
    let connect = async |name| Arc::new(connect(&server.url(), name, ACK_WAIT, WATCH_PERIOD).await);
    let (orders, inventory) = (connect("tester").await, connect("sender").await);
    let answers = Arc::<Mutex<BTreeSet<Vec<u8>>>>::default();
    let noted = answers.clone();
    let mut services = JoinSet::new();
    services.spawn(async move {
        loop {
            let asked = take(&inventory, "both.commands").await;
            let _ = inventory.publish("both.answers", asked).await;
        }
    });
    let receiver = orders.clone();
    services.spawn(async move {
        loop {
            let answered = take(&receiver, "both.answers").await;
            noted.lock().expect("the answers").extend(answered);
        }
    });
    for round in 0..ROUNDS {
        let asked = round.to_string().into_bytes();
        eventually(PATIENCE, &format!("an answer in round {round}"), async || {
            let _ = orders.publish("both.commands", vec![asked.clone()]).await;
            answers.lock().expect("the answers").contains(&asked).then_some(())
        })
        .await;
        // A service may be replacing one of them.
        let _ = tokio::join!(
            operator.delete_stream("lastro-both-commands"),
            operator.delete_stream("lastro-both-answers")
        );
    }
}

/// Receives and acknowledges what is there.
async fn take(bus: &Nats, channel: &str) -> Vec<Vec<u8>> {
    let received = bus.receive(channel, 64, QUIET).await.unwrap_or_default();
    let (payloads, tags) = received.into_iter().map(|one| (one.payload, one.tag)).unzip();
    let _ = bus.ack(channel, tags).await;
    tokio::task::yield_now().await;
    payloads
}

/// A consumer that is there and does not answer, for lack of a permission.
#[tokio::test]
async fn a_consumer_that_does_not_answer_is_named_and_heals_when_it_answers() {
    let mut server = Server::start_without("$JS.API.CONSUMER.MSG.NEXT.>").await;
    let services = Services::start(&server, "silent").await;
    services.name("silent", "nothing comes from lastro-silent: ").await;
    server.change_settings("");
    server.restart().await;
    services.flow("silent").await;
}

/// What is smaller than the limits goes through all the same.
#[tokio::test]
async fn limits_that_cannot_be_changed_are_named_and_kept_to() {
    let mut server = Server::start_without("$JS.API.STREAM.UPDATE.>").await;
    let operator = operator(&server).await;
    let at = At { operator: &operator, channel: "small".to_owned() };
    at.create(|stream| stream.max_bytes = 5000).await;
    let services = Services::start(&server, "small").await;
    services.name("small", "the limit of bytes of lastro-small is 5000 and must be 67108864").await;
    assert!(services.sender.max_bytes("small") < 5000);
    let sent = services.sender.publish("small", vec![vec![1; 20_000], vec![2; 1000]]).await;
    assert!(matches!(sent[..], [Err(_), Ok(())]), "{sent:?}");
    let received = services.receiver.receive("small", 10, QUIET).await.expect("messages");
    assert_eq!(received.len(), 1);
    let _ = services.receiver.ack("small", vec![received[0].tag.clone()]).await;
    server.change_settings("");
    server.restart().await;
    services.flow("small").await;
}

#[tokio::test]
async fn a_broker_without_room_for_a_stream_is_named_and_heals_when_it_has_room() {
    let little = "jetstream: { max_file_store: 10485760 }";
    let mut server = Server::start_with_settings(little).await;
    let services = Services::start(&server, "room").await;
    services.name("room", "give JetStream room for 64 MiB more").await;
    server.change_settings("");
    server.restart().await;
    services.flow("room").await;
}
