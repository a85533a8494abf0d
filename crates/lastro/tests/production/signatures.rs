//! Both services demand signatures of each other, on a broker with the settings that are deployed.
//! Whoever has every right there, but not the key of a service, changes nothing.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, HeaderMap};
use contract::commands::AllocateStock;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use testbed::{
    ANSWERS, COMMANDS, Deployment, Environment, Form, PATIENCE, base64url, eventually, order,
};

use super::permissions::{deployed, password};

const SERVICES: [&str; 2] = ["order-service", "inventory-service"];

/// The keys of the services, in files of their own.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new(names: &[&str]) -> Self {
        let keys = Self(tempfile::tempdir().expect("a folder"));
        for name in names {
            let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
            keys.write(&format!("{name}.key"), &pair.serialize_pem());
            keys.write(&format!("{name}.pub"), &pair.public_key_pem());
        }
        keys
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).expect("a file")
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("a file");
        let only_ours = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.path(file), only_ours).expect("permissions");
    }

    /// What a service is started with that signs with the first key, and knows the others.
    fn of(
        &self,
        service: &'static str,
        own: &str,
        known: &[&str],
        mode: &str,
    ) -> Vec<(&'static str, &'static str, OsString)> {
        let known: String = known.iter().map(|name| self.read(&format!("{name}.pub"))).collect();
        let file = format!("known-to-{service}");
        self.write(&file, &known);
        vec![
            (service, "LASTRO_BUS_SIGNING_KEY_FILE", self.path(&format!("{own}.key")).into()),
            (service, "LASTRO_BUS_VERIFY_KEYS_FILE", self.path(&file).into()),
            (service, "LASTRO_BUS_SIGNATURES", mode.into()),
        ]
    }

    /// The header `Lastro-Sig` by this key.
    fn sign(&self, by: &str, subject: &str, sender: &str, payload: &str) -> String {
        let pair = KeyPair::from_pem(&self.read(&format!("{by}.key"))).expect("a key");
        let signed = format!("{subject}\0{sender}\0{payload}");
        let signature = pair.sign(signed.as_bytes()).expect("a signature");
        let hash = Sha256::digest(pair.subject_public_key_info());
        let id: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("v1;kid={id};{}", base64url(signature))
    }
}

/// Both services on the broker that is deployed, which demand this of each other.
pub(crate) async fn shop(keys: &Keys, mode: &str) -> Deployment {
    let server = deployed().await;
    let [orders, inventory] = SERVICES;
    let environment = Environment {
        bus_url_files: Some(server.folder().to_owned()),
        broker: Some(server),
        variables: [
            keys.of(orders, orders, &[inventory], mode),
            keys.of(inventory, inventory, &[orders], mode),
        ]
        .concat(),
        ..Environment::default()
    };
    Deployment::open_as(Form::Processes, environment).await
}

/// A connection to the broker with what a user may do there.
pub(crate) async fn connect(shop: &Deployment, user: &str) -> Context {
    let server = shop.environment.broker();
    let connecting = ConnectOptions::new()
        .user_and_password(user.to_owned(), password(server, user))
        .custom_inbox_prefix(format!("_INBOX.{user}"))
        .connect(server.url());
    jetstream::new(connecting.await.expect("a connection"))
}

/// Publishes in the name of the service that sends on this channel.
pub(crate) async fn forge(
    bus: &Context,
    channel: &'static str,
    sender: &str,
    payload: &str,
    sig: Option<String>,
) {
    let mut headers = HeaderMap::new();
    headers.insert("Lastro-Sender", sender);
    if let Some(signature) = sig {
        headers.insert("Lastro-Sig", signature);
    }
    let sent = bus.publish_with_headers(channel, headers, payload.to_owned().into()).await;
    sent.expect("sent").await.expect("stored");
}

/// The database that the streams name for this service.
pub(crate) async fn database(operator: &Context, service: &str) -> String {
    eventually(PATIENCE, "the stream names the database", async || {
        let stream = operator.get_stream(COMMANDS.replace('.', "-")).await.ok()?;
        let description = stream.cached_info().config.description.clone()?;
        description.split(' ').find_map(|word| word.strip_prefix(service)).map(str::to_owned)
    })
    .await
}

fn command(order: &str, revision: u32, wanted: u32, shipped: u32) -> AllocateStock {
    let shipped = (shipped > 0)
        .then(|| json!({"product_id": "MUG", "location_id": "main", "quantity": shipped}));
    let mut command: AllocateStock = serde_json::from_value(json!({
        "schema": 1, "type": "AllocateStock", "order_id": order, "revision": revision,
        "wanted": [{"product_id": "MUG", "quantity": wanted}],
        "shipped": shipped.into_iter().collect::<Vec<_>>(),
        "digest": "0".repeat(32), "attempt": 1, "sent_at_micros": 1,
    }))
    .expect("a command");
    command.digest = command.intent.digest();
    command
}

/// An answer to the first command of an order of this many units.
fn answer(order: &str, units: u32, facts: &Value) -> String {
    let digest = serde_json::to_value(command(order, 1, units, 0)).expect("JSON")["digest"].clone();
    let mut answer = json!({
        "schema": 1, "type": "StockAllocated", "order_id": order, "revision": 1,
        "digest": digest, "attempt": 1, "decided_at_micros": 1, "sent_at_micros": 1,
    });
    let members = answer.as_object_mut().expect("an object");
    members.extend(facts.as_object().expect("an object").clone());
    json!([answer]).to_string()
}

/// Orders that a thief goes for.
struct Victims {
    released: String,
    shipped: String,
    confirmed: String,
    rejected: String,
    /// No order: its stock is to be held for nobody.
    ghost: String,
}

impl Victims {
    /// Places the orders: the first two are confirmed, and the others wait for the Inventory Service,
    /// which is held.
    async fn place(shop: &Deployment) -> (Self, testbed::Held) {
        shop.stock("MUG", 20).await;
        let released = shop.confirmed(&[("MUG", 3)]).await;
        let shipped = shop.confirmed(&[("MUG", 3)]).await;
        let held = shop.hold_inventory().await;
        let confirmed = shop.place(&order(&[("MUG", 2)])).await.text_at("/order_id");
        let rejected = shop.place(&order(&[("MUG", 2)])).await.text_at("/order_id");
        let ghost = "01939c5e-6f70-7abc-8def-0123456789ab".to_owned();
        (Self { released, shipped, confirmed, rejected, ghost }, held)
    }

    fn answers(&self) -> Vec<String> {
        let allocated = json!({"product_id": "MUG", "location_id": "main", "quantity": 2});
        let short =
            json!({"product_id": "MUG", "requested": 2, "available": 0, "reason": "out_of_stock"});
        vec![
            answer(&self.confirmed, 2, &json!({"allocated": [allocated]})),
            answer(&self.rejected, 2, &json!({"allocated": [], "shortages": [short]})),
        ]
    }

    fn commands(&self) -> Vec<String> {
        [
            command(&self.ghost, 1, 5, 0),
            command(&self.released, 2, 0, 0),
            command(&self.shipped, 2, 3, 3),
        ]
        .map(|command| json!([command]).to_string())
        .into()
    }

    /// The states of the reservations that the forged commands are about.
    async fn reservations(&self, shop: &Deployment) -> [Option<String>; 3] {
        let mut states = [const { None }; 3];
        for (state, id) in states.iter_mut().zip([&self.ghost, &self.released, &self.shipped]) {
            let found = shop.get(&format!("/api/inventory/reservations/{id}")).await;
            *state = (found.status == 200).then(|| found.text_at("/state"));
        }
        states
    }
}

/// The forgeries are good: without the demand for signatures, they do what they say.
#[tokio::test]
async fn what_is_forged_at_the_broker_is_believed_and_reported_unless_signatures_are_demanded() {
    let keys = Keys::new(&SERVICES);
    let shop = shop(&keys, "report").await;
    let (victims, held) = Victims::place(&shop).await;
    let operator = connect(&shop, "operator").await;
    let inventory = database(&operator, "inventory=").await;
    for payload in victims.answers() {
        forge(&operator, ANSWERS, &inventory, &payload, None).await;
    }
    shop.order_once(&victims.confirmed, "confirmed").await;
    shop.order_once(&victims.rejected, "rejected").await;
    drop(held);
    let orders = database(&operator, "orders=").await;
    for payload in victims.commands() {
        forge(&operator, COMMANDS, &orders, &payload, None).await;
    }
    let believed = ["reserved", "released", "shipped"].map(|state| Some(state.to_owned()));
    eventually(PATIENCE, "the commands are carried out", async || {
        (victims.reservations(&shop).await == believed).then_some(())
    })
    .await;
    counts(&shop, &[("orders", "unsigned", 2), ("inventory", "unsigned", 3)]).await;
}

/// Waits until exactly so many batches without a valid signature were counted.
async fn counts(shop: &Deployment, expected: &[(&str, &str, usize)]) {
    let line = |(service, reason, count): &(&str, &str, usize)| {
        format!("bus_unverified_total{{service=\"{service}\",reason=\"{reason}\"}} {count}")
    };
    let metrics = eventually(PATIENCE, "everything is counted", async || {
        let metrics = shop.metrics().await;
        expected
            .iter()
            .map(line)
            .all(|line| metrics.lines().any(|its| its == line))
            .then_some(metrics)
    })
    .await;
    let is_ours = |line: &&str| line.starts_with("bus_unverified_total{") && !line.ends_with(" 0");
    assert_eq!(metrics.lines().filter(is_ours).count(), expected.len(), "{metrics}");
}

#[tokio::test]
async fn what_is_forged_with_every_right_at_the_broker_changes_nothing() {
    let [orders, inventory] = SERVICES;
    let keys = Keys::new(&[orders, inventory, "thief"]);
    let shop = shop(&keys, "require").await;
    let (victims, held) = Victims::place(&shop).await;
    let operator = connect(&shop, "operator").await;
    forge_all(&shop, &keys, [inventory, orders], &victims.answers()).await;
    let of_answers =
        [("orders", "unsigned", 2), ("orders", "unknown_key", 4), ("orders", "invalid", 2)];
    counts(&shop, &of_answers).await;
    for id in [&victims.confirmed, &victims.rejected] {
        assert_eq!(shop.order(id).await["status"], "received");
    }
    drop(held);
    for id in [&victims.confirmed, &victims.rejected] {
        shop.order_once(id, "confirmed").await;
    }
    forge_all(&shop, &keys, SERVICES, &victims.commands()).await;
    let of_commands = [
        ("inventory", "unsigned", 3),
        ("inventory", "unknown_key", 6),
        ("inventory", "invalid", 3),
    ];
    let dropped = [of_answers, of_commands].concat();
    counts(&shop, &dropped).await;
    eventually(PATIENCE, "both services say what to do", async || {
        let reports = shop.get_each("/readyz").await;
        let says = |words: &str| reports.iter().all(|report| report.text.contains(words));
        (says("no valid signature and were dropped") && says("bus_verify_keys_file")).then_some(())
    })
    .await;
    nothing_waits(&operator).await;
    let reserved = || Some("reserved".to_owned());
    assert_eq!(victims.reservations(&shop).await, [None, reserved(), reserved()]);
    assert_eq!(shop.levels("MUG").await, [20, 10, 10]);
    // What comes again would be counted again.
    counts(&shop, &dropped).await;
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
    shop.must_verify().await;
}

/// Publishes each message in the name of the first service to the second: not signed, signed by
/// somebody, with the credentials of the one and the key of the other, and with what the one has
/// signed of another message.
async fn forge_all(
    shop: &Deployment,
    keys: &Keys,
    [own, peer]: [&'static str; 2],
    payloads: &[String],
) {
    let operator = connect(shop, "operator").await;
    let robbed = connect(shop, own).await;
    let (channel, sender) = match own == SERVICES[0] {
        true => (COMMANDS, database(&operator, "orders=").await),
        false => (ANSWERS, database(&operator, "inventory=").await),
    };
    for payload in payloads {
        let sign = |by, payload| Some(keys.sign(by, channel, &sender, payload));
        forge(&operator, channel, &sender, payload, None).await;
        forge(&operator, channel, &sender, payload, sign("thief", payload)).await;
        forge(&robbed, channel, &sender, payload, sign(peer, payload)).await;
        forge(&operator, channel, &sender, payload, sign(own, "[]")).await;
    }
}

async fn nothing_waits(operator: &Context) {
    eventually(PATIENCE, "everything is acknowledged", async || {
        (waiting(operator).await? == 0).then_some(())
    })
    .await;
}

async fn waiting(operator: &Context) -> Option<u64> {
    let mut messages = 0;
    for channel in [COMMANDS, ANSWERS] {
        let stream = operator.get_stream(channel.replace('.', "-")).await.ok()?;
        messages += stream.cached_info().state.messages;
    }
    Some(messages)
}

/// Places some orders and does not wait for their outcomes.
async fn place(shop: &Deployment, placed: &mut Vec<String>) {
    for _ in 0..10 {
        placed.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
}

#[tokio::test]
async fn a_key_is_replaced_while_messages_flow_and_none_is_lost() {
    let [orders, inventory] = SERVICES;
    let keys = Keys::new(&[orders, inventory, "new"]);
    let mut shop = shop(&keys, "require").await;
    let operator = connect(&shop, "operator").await;
    shop.stock("MUG", 1000).await;
    let mut placed = Vec::new();
    place(&shop, &mut placed).await;

    // The Inventory Service learns the new key.
    shop.programs.end_inventory().await;
    keys.of(inventory, inventory, &[orders, "new"], "require");
    shop.restart_ended().await;
    place(&shop, &mut placed).await;
    shop.confirmed(&[("MUG", 1)]).await;
    counts(&shop, &[]).await;

    // The Order Service signs with it, while messages of the old one wait.
    shop.programs.end_inventory().await;
    place(&shop, &mut placed).await;
    eventually(PATIENCE, "messages of the old key wait", async || {
        (waiting(&operator).await? > 0).then_some(())
    })
    .await;
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(PATIENCE).await, Some(0));
    shop.environment.variables.extend(keys.of(orders, "new", &[inventory], "require"));
    shop.restart_ended().await;
    place(&shop, &mut placed).await;
    for id in &placed {
        shop.order_once(id, "confirmed").await;
    }
    nothing_waits(&operator).await;
    counts(&shop, &[]).await;

    // The Inventory Service forgets the old key.
    place(&shop, &mut placed).await;
    shop.programs.end_inventory().await;
    keys.of(inventory, inventory, &["new"], "require");
    shop.restart_ended().await;
    for id in &placed {
        shop.order_once(id, "confirmed").await;
    }
    counts(&shop, &[]).await;
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
    shop.must_verify().await;
}
