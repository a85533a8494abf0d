//! `lastro repair` on PostgreSQL, beside running services, after one of both databases went back in
//! time.

use serde_json::Value;
use testbed::{
    Databases, Deployment, Ended, Environment, Form, Launch, Nats, PATIENCE, as_role,
    copy_of_database, lastro,
};

/// The databases of a shop at two moments.
struct History {
    then: Databases,
    now: Databases,
    /// Orders that were confirmed at the first moment, and a cancellation and a shipment later.
    cancelled: String,
    fulfilled: String,
    /// An order that was placed after the first moment.
    late: String,
}

async fn stop(shop: &mut Deployment) {
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(PATIENCE).await, Some(0), "{}", shop.programs.log());
}

impl History {
    async fn write() -> Self {
        let mut shop = Deployment::in_form(Form::Replicas).await;
        shop.stock("MUG", 100).await;
        let cancelled = shop.confirmed(&[("MUG", 2)]).await;
        let fulfilled = shop.confirmed(&[("MUG", 3)]).await;
        stop(&mut shop).await;
        let Databases { orders, inventory } =
            shop.environment.databases.clone().expect("databases");
        let then = Databases {
            orders: copy_of_database(&orders).await,
            inventory: copy_of_database(&inventory).await,
        };
        shop.reopen().await;
        shop.ask(&cancelled, "cancel").await;
        shop.order_once(&cancelled, "cancelled").await;
        shop.ask(&fulfilled, "fulfill").await;
        shop.order_once(&fulfilled, "fulfilled").await;
        let late = shop.confirmed(&[("MUG", 4)]).await;
        stop(&mut shop).await;
        Self { then, now: Databases { orders, inventory }, cancelled, fulfilled, late }
    }
}

/// A shop whose databases are of different moments, with the roles of a deployment.
struct Torn {
    shop: Deployment,
    /// The databases as the role that may read the orders and as that of the Inventory Service.
    urls: Databases,
}

fn tool(shop: &Deployment, urls: &Databases, words: &[&str]) -> Launch {
    let Databases { orders, inventory } = urls;
    let tool = lastro(shop.folder()).args(words.iter().copied());
    tool.args(["--orders-database-url", orders, "--inventory-database-url", inventory])
}

impl Torn {
    async fn of(databases: Databases) -> Self {
        let urls = Databases {
            orders: as_role(&databases.orders, "reader").await,
            inventory: as_role(&databases.inventory, "app").await,
        };
        let environment = Environment {
            broker: Some(Nats::start().await),
            databases: Some(databases),
            replaces_peer: true,
            ..Environment::default()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let migrate = ["migrate", "--role", "app", "--reader", "reader"];
        let migrate = lastro(folder.path()).args(migrate).args(environment.data_arguments());
        let migrated = migrate.to_end().await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        Self { shop: Deployment::open_as(Form::Replicas, environment).await, urls }
    }

    async fn repair(&self, orders: &[&String]) -> Ended {
        let repair = tool(&self.shop, &self.urls, &["repair"]);
        repair.args(orders.iter().flat_map(|id| ["--order", id.as_str()])).to_end().await
    }

    /// Repairs these orders while the services run, and again.
    async fn repairs(&self, orders: &[(&String, &str)]) {
        let (ids, said): (Vec<_>, Vec<_>) = orders.iter().copied().unzip();
        let ended = self.repair(&ids).await;
        let expected: String =
            ids.iter().zip(said).map(|(id, said)| format!("{id}: {said}\n")).collect();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected.as_str()), "{ended:?}");
        let again = self.repair(&ids).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(!again.stdout.contains("released") && !again.stdout.contains("the stock does"));
        let log = tool(&self.shop, &self.urls, &["admin-log", "--json"]).to_end().await.stdout;
        let entries = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let mut repaired: Vec<Value> =
            entries.filter(|entry: &Value| entry["action"] == "repair_order").collect();
        repaired.reverse();
        let subjects: Vec<_> = repaired.iter().map(|entry| entry["subject"].as_str()).collect();
        assert_eq!(subjects, ids.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>(), "{log}");
        for entry in &repaired {
            assert_eq!(entry["service"], "inventory", "{entry}");
            assert!(
                entry["actor"].as_str().is_some_and(|it| it.starts_with("operator:")),
                "{entry}"
            );
            assert_eq!(entry["after"]["reserved"], 0, "{entry}");
            assert!(entry["before"]["reserved"].as_i64().is_some_and(|units| units > 0), "{entry}");
        }
    }

    /// The lines of `lastro verify` about an order.
    async fn said_of(&self, id: &str) -> Vec<String> {
        let verify = self.shop.verify().await;
        verify.stdout.lines().filter(|line| line.contains(id)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_the_stock_has_forgotten_is_done_again_beside_running_services() {
    let History { then, now, cancelled, fulfilled, .. } = History::write().await;
    let torn = Torn::of(Databases { orders: now.orders, inventory: then.inventory }).await;
    for id in [&cancelled, &fulfilled] {
        assert_eq!(torn.said_of(id).await.len(), 1, "{id}");
    }
    let said = "the stock does what revision 2 says";
    torn.repairs(&[(&cancelled, said), (&fulfilled, said)]).await;
    for id in [&cancelled, &fulfilled] {
        assert_eq!(torn.said_of(id).await, [""; 0], "{id}");
    }
    assert_eq!(torn.shop.levels("MUG").await, [97, 0, 97], "one has left, and one was released");
}

#[tokio::test]
async fn the_units_of_a_lost_order_are_released_beside_running_services() {
    let History { then, now, late, .. } = History::write().await;
    let torn = Torn::of(Databases { orders: then.orders, inventory: now.inventory }).await;
    let said = torn.said_of(&late).await;
    assert!(said.len() == 1 && said[0].contains("it holds 4 units"), "{said:?}");
    let before = torn.shop.levels("MUG").await;
    // Whoever may only read changes nothing.
    let of_reader = torn.urls.inventory.replace("//app@", "//reader@");
    let urls = Databases { inventory: of_reader, ..torn.urls.clone() };
    let refused = tool(&torn.shop, &urls, &["repair", "--order", &late]).to_end().await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert_eq!(torn.shop.levels("MUG").await, before);
    torn.repairs(&[(&late, "released 4 units")]).await;
    let [on_hand, reserved, available] = before;
    assert_eq!(torn.shop.levels("MUG").await, [on_hand, reserved - 4, available + 4]);
    let said = torn.said_of(&late).await;
    assert!(said.len() == 1 && said[0].contains("it holds 0 units"), "{said:?}");
}
