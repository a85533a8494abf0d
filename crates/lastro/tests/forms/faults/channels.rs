//! Deployments that share a broker: each has a channel of its own, or only the first one uses it.

use serde_json::{Value, json};
use tempfile::tempdir;
use testbed::{
    ANSWERS, COMMANDS, Databases, Deployment, Environment, Form, Operator, PATIENCE, data_in,
    eventually, fresh_database, launches, order,
};

tried_on!(forms with a broker:
    deployments_with_channels_of_their_own_share_a_broker
    a_second_deployment_on_a_channel_is_refused_and_touches_nothing
    a_second_deployment_that_started_without_the_broker_touches_nothing_when_it_comes
    a_copy_of_a_deployment_is_refused_on_the_channel_of_the_original
    what_another_deployment_sends_is_counted_and_never_decided
    a_database_that_was_made_anew_is_refused_until_it_replaces_its_predecessor
);

async fn deployments_with_channels_of_their_own_share_a_broker(form: Form) {
    let one = Deployment::in_form(form).await;
    let bus_url = format!("{}?channel=two", one.environment.broker().url());
    let two = Deployment::open_as(form, second(form, bus_url).await).await;
    both_go_on(&one, &two).await;
}

/// An environment with databases of its own.
async fn second(form: Form, bus_url: String) -> Environment {
    Environment { bus_url: Some(bus_url), ..Environment::of_databases(form).await }
}

/// Lets both deployments take orders for their whole stock.
async fn both_go_on(one: &Deployment, two: &Deployment) {
    for shop in [one, two] {
        shop.stock("MUG", 20).await;
    }
    for _ in 0..20 {
        for shop in [one, two] {
            shop.confirmed(&[("MUG", 1)]).await;
        }
    }
    for shop in [one, two] {
        assert_eq!(shop.available("MUG").await, 0);
        assert_eq!(shop.quarantined().await, [[""; 0], [""; 0]]);
        shop.must_verify().await;
    }
}

async fn a_second_deployment_on_a_channel_is_refused_and_touches_nothing(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    Operator::of(shop.environment.broker()).await.streams_name_both().await;
    let environment = second(form, shop.environment.broker().url()).await;
    let folder = tempdir().expect("a folder");
    for launch in launches(form, folder.path(), &environment) {
        let says = ["belongs to another", "nats://…?channel=NAME", "--replace-peer"];
        launch.to_end().await.must_be_refused(1, &says);
    }
    shop.confirmed(&[("MUG", 9)]).await;
    assert_eq!(shop.quarantined().await, [[""; 0], [""; 0]]);
    must_be_ready(&shop).await;
    shop.must_verify().await;
}

/// Nobody can tell whose the channel is while the broker is away, and orders are accepted.
async fn a_second_deployment_that_started_without_the_broker_touches_nothing_when_it_comes(
    form: Form,
) {
    let mut one = Deployment::in_form(form).await;
    one.stock("MUG", 10).await;
    one.confirmed(&[("MUG", 1)]).await;
    Operator::of(one.environment.broker()).await.streams_name_both().await;
    let bus_url = one.environment.broker().url();
    one.environment.broker.as_mut().expect("a broker").kill().await;
    let two = Deployment::open_as(form, second(form, bus_url).await).await;
    two.stock("MUG", 10).await;
    let [waiting, stuck] =
        [&one, &two].map(async |shop| shop.place(&order(&[("MUG", 2)])).await.text_at("/order_id"));
    let (waiting, stuck) = (waiting.await, stuck.await);
    one.environment.broker.as_mut().expect("a broker").restart().await;
    one.order_once(&waiting, "confirmed").await;
    eventually(PATIENCE, "every program of the second deployment says why", async || {
        let ready = two.get_each("/readyz").await.into_iter().map(|ready| ready.ok().to_string());
        let says_why = |ready: String| ready.contains("belongs to another");
        ready.into_iter().all(says_why).then_some(())
    })
    .await;
    one.confirmed(&[("MUG", 7)]).await;
    assert_eq!(two.order(&stuck).await["status"], "received");
    assert_eq!([one.available("MUG").await, two.available("MUG").await], [0, 10]);
    assert_eq!(one.quarantined().await, [[""; 0], [""; 0]]);
    one.must_verify().await;
}

async fn a_copy_of_a_deployment_is_refused_on_the_channel_of_the_original(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let (folder, environment) = shop.copied().await;
    for launch in launches(form, folder.path(), &environment) {
        let says = ["was copied or moved", "nats://…?channel=NAME", "--replace-peer"];
        launch.to_end().await.must_be_refused(1, &says);
    }
    let bus_url = Some(format!("{}?channel=copy", shop.environment.broker().url()));
    let environment = Environment { bus_url, ..environment };
    let mut copy = Deployment::open_in(folder, form, environment).await;
    for shop in [&shop, &copy] {
        shop.confirmed(&[("MUG", 9)]).await;
        assert_eq!(shop.quarantined().await, [[""; 0], [""; 0]]);
        must_be_ready(shop).await;
        shop.must_verify().await;
    }
    // Also later, when somebody forgets the channel of the copy.
    copy.programs.kill();
    copy.programs.ended(PATIENCE).await;
    copy.environment.bus_url = Some(shop.environment.broker().url());
    for launch in copy.launches() {
        launch.to_end().await.must_be_refused(1, &["was copied or moved"]);
    }
}

async fn must_be_ready(shop: &Deployment) {
    for ready in shop.get_each("/readyz").await {
        let ready = ready.ok();
        assert_eq!(ready["status"], "ready", "{ready}");
    }
}

/// A deployment from which another one, for whatever reason, could not be kept.
async fn what_another_deployment_sends_is_counted_and_never_decided(form: Form) {
    let shop = Deployment::in_form(form).await;
    let operator = Operator::of(shop.environment.broker()).await;
    let recording = operator.listen().await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let command = eventually(PATIENCE, "a command is heard", async || {
        recording.so_far().into_iter().find(|(channel, _)| *channel == COMMANDS)
    })
    .await;
    let mut batch: Value = serde_json::from_slice(&command.1).expect("JSON");
    let foreign_order = "0190a5b2-0000-7000-8000-000000000001";
    batch[0]["order_id"] = json!(foreign_order);
    let stranger = "5e0f3a52-0000-4000-8000-000000000002";
    for sender in [stranger, "nobody"] {
        operator.publish_as(sender, COMMANDS, batch.to_string()).await;
    }
    let counter = r#"quarantine_messages_total{service="inventory",kind="foreign"}"#;
    eventually(PATIENCE, "both are counted", async || {
        (shop.counted(counter).await == 2).then_some(())
    })
    .await;
    eventually(PATIENCE, "a program reports them", async || {
        let ready = shop.get_each("/readyz").await.into_iter().map(|ready| ready.ok());
        let reports = |ready: &Value| {
            let text = ready.to_string();
            text.contains("batches of messages on the channel were dropped")
                && ready["status"] == "degraded"
        };
        ready.into_iter().any(|ready| reports(&ready)).then_some(())
    })
    .await;
    let reservation = shop.get(&format!("/api/inventory/reservations/{foreign_order}")).await;
    assert_eq!(reservation.status, 404);
    shop.confirmed(&[("MUG", 9)]).await;
    assert_eq!(shop.quarantined().await, [[""; 0], [""; 0]]);
    shop.must_verify().await;
}

async fn a_database_that_was_made_anew_is_refused_until_it_replaces_its_predecessor(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let operator = Operator::of(shop.environment.broker()).await;
    operator.streams_name_both().await;
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    // What is left of the old database must not be taken for word of the new one.
    operator.publish(ANSWERS, "[]").await;
    match &mut shop.environment.databases {
        Some(Databases { inventory, .. }) => *inventory = fresh_database().await,
        None => {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                let file = data_in(shop.folder()).join(format!("inventory.db{suffix}"));
                let gone = std::fs::remove_file(file);
                assert!(gone.is_ok() || suffix.starts_with('-'), "{gone:?}");
            }
        }
    }
    // The programs that have the new database are the last ones.
    let launch = shop.launches().pop().expect("a program");
    launch.to_end().await.must_be_refused(1, &["inventory database", "--replace-peer"]);
    shop.environment.replaces_peer = true;
    shop.reopen().await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    shop.environment.replaces_peer = false;
    shop.reopen().await;
    shop.confirmed(&[("MUG", 9)]).await;
    must_be_ready(&shop).await;
}
