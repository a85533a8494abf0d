//! The broker with the settings that are deployed (`deploy/nats.conf`): both services work with the
//! users that they have there, and neither can do what is the other's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::Config;
use async_nats::{Client, ConnectOptions, Event};
use testbed::{Deployment, Environment, Form, Nats, PATIENCE, eventually};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One service at the broker, and what belongs to it.
#[derive(Clone, Copy)]
struct Service {
    user: &'static str,
    receives: &'static str,
    stream: &'static str,
    /// Subjects that only it publishes and listens to, beside the one that it receives.
    hints: &'static [&'static str],
}

const ORDERS: Service = Service {
    user: "order-service",
    receives: "lastro.orders.answers",
    stream: "lastro-orders-answers",
    hints: &["lastro.orders.answered"],
};
const INVENTORY: Service = Service {
    user: "inventory-service",
    receives: "lastro.inventory.commands",
    stream: "lastro-inventory-commands",
    hints: &[],
};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// A broker as it is deployed, but for its port, its folder, and the settings of newer versions.
pub(crate) async fn deployed() -> Nats {
    let folder = tempfile::tempdir().expect("a folder");
    let making = Command::new(deploy().join("make-secrets")).arg(folder.path()).output();
    let made = making.expect("make-secrets runs");
    assert!(made.status.success(), "{made:?}");
    std::fs::write(folder.path().join("nats-sync.conf"), "").expect("a file");
    let settings = std::fs::read_to_string(deploy().join("nats.conf")).expect("the settings");
    // The server takes its port and its folder from its arguments.
    let settings = settings.replace("http: 127.0.0.1:8222", "").replace("store_dir: /data", "");
    let server = Nats::start_in(folder, &settings).await;
    for Service { user, .. } in [ORDERS, INVENTORY] {
        let file = server.folder().join(format!("{user}-bus-url"));
        let url = std::fs::read_to_string(&file).expect("a URL");
        let here = url.replace("@nats:4222", &format!("@127.0.0.1:{}", server.port()));
        std::fs::write(file, here).expect("a URL");
    }
    server
}

/// A password that make-secrets has made.
pub(crate) fn password(server: &Nats, user: &str) -> String {
    let passwords = std::fs::read_to_string(server.folder().join("nats-passwords.conf"));
    let passwords = passwords.expect("the passwords");
    let name = format!("{}_PASSWORD: ", user.to_uppercase().replace('-', "_"));
    let mut lines = passwords.lines();
    let quoted = lines.find_map(|line| line.strip_prefix(&name)).expect("the user's line");
    quoted.trim_matches('"').to_owned()
}

async fn shop(server: Nats) -> Deployment {
    let environment = Environment {
        bus_url_files: Some(server.folder().to_owned()),
        broker: Some(server),
        ..Environment::default()
    };
    Deployment::open_as(Form::Processes, environment).await
}

/// An order goes through all that there is, in both directions.
async fn sells(shop: &Deployment) {
    let (cancelled, fulfilled) =
        (shop.confirmed(&[("MUG", 1)]).await, shop.confirmed(&[("MUG", 2)]).await);
    shop.ask(&cancelled, "cancel").await;
    shop.order_once(&cancelled, "cancelled").await;
    shop.ask(&fulfilled, "fulfill").await;
    shop.order_once(&fulfilled, "fulfilled").await;
}

async fn nothing_is_reported(shop: &Deployment) {
    eventually(PATIENCE, "nothing is reported", async || {
        let reports = shop.get_each("/readyz").await;
        reports.iter().all(|report| report.text_at("/status") == "ready").then_some(())
    })
    .await;
}

#[tokio::test]
async fn both_services_work_with_the_users_that_are_deployed() {
    let mut shop = shop(deployed().await).await;
    shop.stock("MUG", 1000).await;
    sells(&shop).await;
    nothing_is_reported(&shop).await;

    let broker = shop.environment.broker.as_mut().expect("a broker");
    broker.wipe().await;
    sells(&shop).await;
    nothing_is_reported(&shop).await;

    shop.environment.replaces_peer = true;
    shop.reopen().await;
    sells(&shop).await;
    nothing_is_reported(&shop).await;
    shop.must_verify().await;
}

/// A client that got hold of the credentials of a service.
struct Thief {
    client: Client,
    refusals: UnboundedReceiver<String>,
}

impl Thief {
    async fn with_user(server: &Nats, user: &str) -> Self {
        let (sender, refusals) = unbounded_channel();
        let connecting = ConnectOptions::new()
            .user_and_password(user.to_owned(), password(server, user))
            .custom_inbox_prefix(format!("_INBOX.{user}"))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let _ = sender.send(error.to_string());
                }
                std::future::ready(())
            })
            .connect(server.url());
        Self { client: connecting.await.expect("a connection"), refusals }
    }

    /// The broker must refuse to take anything for this subject.
    async fn cannot_publish(&mut self, subject: &str, payload: &str) {
        let reply = self.client.new_inbox();
        let (subject, payload) = (subject.to_owned(), payload.to_owned());
        let published =
            self.client.publish_with_reply(subject.clone(), reply, payload.into()).await;
        published.expect("it is sent");
        self.is_refused(&subject).await;
    }

    async fn cannot_listen(&mut self, subject: &str) {
        let _listening = self.client.subscribe(subject.to_owned()).await.expect("it is sent");
        self.is_refused(subject).await;
    }

    async fn is_refused(&mut self, subject: &str) {
        self.client.flush().await.expect("the broker answers");
        let refusal = tokio::time::timeout(PATIENCE, self.refusals.recv()).await;
        let refusal = refusal.ok().flatten().unwrap_or_else(|| panic!("{subject} is allowed"));
        let begin = refusal.to_lowercase();
        assert!(begin.contains("permissions violation"), "{subject}: {refusal}");
        assert!(refusal.contains(&format!("{subject:?}")), "{subject}: {refusal}");
    }
}

/// Everything that the broker knows, as its operator sees it.
async fn state(operator: &Context) -> Vec<String> {
    let mut state = Vec::new();
    for Service { stream, user, .. } in [ORDERS, INVENTORY] {
        let mut stream = operator.get_stream(stream).await.expect("a stream");
        let consumer = stream.consumer_info(user).await.expect("its consumer");
        let consumers = stream.info().await.expect("its state").state.consumer_count;
        assert_eq!(consumers, 1);
        let info = stream.cached_info();
        let (messages, last) = (info.state.messages, info.state.last_sequence);
        state.push(format!("{:?} {messages} {last} {:?}", info.config, consumer.config));
        state.push(format!("{:?} {}", consumer.ack_floor, consumer.num_ack_pending));
    }
    state
}

async fn operator(server: &Nats) -> Context {
    let connecting = ConnectOptions::new()
        .user_and_password("operator".to_owned(), password(server, "operator"))
        .connect(server.url());
    ContextBuilder::new().timeout(PATIENCE).build(connecting.await.expect("a connection"))
}

#[tokio::test]
async fn a_service_can_do_nothing_of_what_is_the_others() {
    let shop = shop(deployed().await).await;
    shop.stock("MUG", 10).await;
    let order = shop.confirmed(&[("MUG", 3)]).await;
    nothing_is_reported(&shop).await;
    let operator = operator(shop.environment.broker()).await;
    eventually(PATIENCE, "everything is acknowledged", async || {
        let open = async |stream| {
            operator.get_stream(stream).await.ok().map(|found| found.cached_info().state.messages)
        };
        let open = [open(ORDERS.stream).await?, open(INVENTORY.stream).await?];
        (open == [0, 0]).then_some(())
    })
    .await;
    let before = state(&operator).await;
    for (own, peer) in [(ORDERS, INVENTORY), (INVENTORY, ORDERS)] {
        let mut thief = Thief::with_user(shop.environment.broker(), own.user).await;
        for (subject, payload) in forgeries(own, peer, &order) {
            thief.cannot_publish(&subject, &payload).await;
        }
        for subject in listening(own, peer) {
            thief.cannot_listen(&subject).await;
        }
    }
    assert_eq!(state(&operator).await, before);
    assert_eq!(shop.order(&order).await["status"], "confirmed");
    assert_eq!(shop.levels("MUG").await, [10, 3, 7]);
    let metrics = shop.metrics().await;
    let set_aside = metrics.lines().filter(|line| {
        (line.starts_with("anomalies_total{") || line.starts_with("quarantine_messages_total{"))
            && !line.ends_with(" 0")
    });
    assert_eq!(set_aside.collect::<Vec<_>>(), [""; 0]);
    sells(&shop).await;
    shop.must_verify().await;
}

/// What would reserve, release, ship, confirm or reject in the name of the other service, destroy
/// its messages, or read them.
fn forgeries(own: Service, peer: Service, order: &str) -> Vec<(String, String)> {
    let intent = |revision: u8, wanted: u8, shipped: &str| {
        format!(
            r#"[{{"schema":1,"type":"AllocateStock","order_id":"{order}","revision":{revision},"wanted":[{{"product_id":"MUG","quantity":{wanted}}}]{shipped},"digest":"{:032}","attempt":1,"sent_at_micros":1}}]"#,
            0
        )
    };
    let shipped = r#","shipped":[{"product_id":"MUG","location_id":"main","quantity":3}]"#;
    let facts = |allocated: &str| {
        format!(
            r#"[{{"schema":1,"type":"StockAllocated","order_id":"{order}","revision":1{allocated},"digest":"{:032}","attempt":1,"decided_at_micros":1,"sent_at_micros":1}}]"#,
            0
        )
    };
    let allocated = r#","allocated":[{"product_id":"MUG","location_id":"main","quantity":3}]"#;
    // The thief's own messages are those that it may send. In its hands the subject of what the
    // service receives would make it believe what the other has not said.
    let messages = match own.user {
        "order-service" => [facts(allocated), facts(""), String::new()],
        _ => [intent(1, 9, ""), intent(2, 0, ""), intent(2, 3, shipped)],
    };
    let mut forged: Vec<(String, String)> =
        messages.into_iter().map(|message| (own.receives.to_owned(), message)).collect();
    forged.extend(peer.hints.iter().map(|subject| ((*subject).to_owned(), "[]".to_owned())));
    let (stream, consumer) = (peer.stream, peer.user);
    let config = serde_json::to_string(&Config {
        name: stream.to_owned(),
        subjects: vec![peer.receives.to_owned(), "else.where".to_owned()],
        ..Config::default()
    });
    let api = [
        ("STREAM.CREATE", stream, config.expect("JSON").as_str()),
        ("STREAM.UPDATE", stream, "{}"),
        ("STREAM.DELETE", stream, ""),
        ("STREAM.PURGE", stream, ""),
        ("STREAM.MSG.DELETE", stream, r#"{"seq":1}"#),
        ("STREAM.MSG.GET", stream, r#"{"seq":1}"#),
        ("STREAM.SNAPSHOT", stream, "{}"),
        ("STREAM.RESTORE", stream, "{}"),
        ("CONSUMER.CREATE", stream, "{}"),
        ("CONSUMER.LIST", stream, ""),
        ("CONSUMER.DURABLE.CREATE", &format!("{stream}.{consumer}"), "{}"),
        ("CONSUMER.CREATE", &format!("{stream}.{consumer}"), "{}"),
        ("CONSUMER.CREATE", &format!("{stream}.{}", own.user), "{}"),
        ("CONSUMER.DELETE", &format!("{stream}.{consumer}"), ""),
        ("CONSUMER.MSG.NEXT", &format!("{stream}.{consumer}"), "1"),
        // A stream of its own it may repair, and not delete.
        ("STREAM.DELETE", own.stream, ""),
        ("STREAM.RESTORE", own.stream, "{}"),
        ("CONSUMER.CREATE", &format!("{}.stranger", own.stream), "{}"),
        ("STREAM.CREATE", "stranger", "{}"),
        ("ACCOUNT.PURGE", "LASTRO", ""),
    ]
    .map(|(call, about, payload)| (format!("$JS.API.{call}.{about}"), payload.to_owned()));
    forged.extend(api);
    let acknowledged = format!("$JS.ACK.{stream}.{consumer}.1.1.1.1.0");
    forged.extend([(acknowledged, "+ACK".to_owned()), ("stranger".to_owned(), String::new())]);
    forged
}

/// Where the messages of the other service, and the answers to it, could be read.
fn listening(own: Service, peer: Service) -> BTreeSet<String> {
    let mut subjects: BTreeSet<String> =
        [">", "*.>", "lastro.>", "_INBOX.>", "_INBOX.*.>", "$JS.>"].map(str::to_owned).into();
    subjects.extend([peer.receives, own.receives].map(str::to_owned));
    subjects.extend(peer.hints.iter().map(|subject| (*subject).to_owned()));
    subjects.insert(format!("_INBOX.{}.>", peer.user));
    subjects
}
