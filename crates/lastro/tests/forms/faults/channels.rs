//! Deployments that share a broker.

use testbed::{Deployment, Environment, Form};

tried_on!(forms with a broker:
    deployments_with_channels_of_their_own_share_a_broker
);

async fn deployments_with_channels_of_their_own_share_a_broker(form: Form) {
    let one = Deployment::in_form(form).await;
    let bus_url = Some(format!("{}?channel=two", one.environment.broker().url()));
    let environment = Environment { bus_url, ..Environment::of_databases(form).await };
    let two = Deployment::open_as(form, environment).await;
    for shop in [&one, &two] {
        shop.stock("MUG", 20).await;
    }
    for _ in 0..20 {
        for shop in [&one, &two] {
            shop.confirmed(&[("MUG", 1)]).await;
        }
    }
    for shop in [&one, &two] {
        assert_eq!(shop.available("MUG").await, 0);
        assert_eq!(shop.quarantined().await, [[""; 0], [""; 0]]);
        shop.must_verify().await;
    }
}
