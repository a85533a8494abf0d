//! A JetStream cluster of three servers that loses one, and a broker that keeps its streams on
//! three servers.

use async_nats::jetstream;
use testbed::{Environment, Nats, PATIENCE, Postgres, eventually};

use crate::{Busy, environment_on};

#[tokio::test]
async fn a_cluster_that_loses_the_leader_of_its_streams_fails_no_request() {
    let server = Postgres::start(&[]).await;
    let mut cluster = Nats::cluster().await;
    let urls = cluster.each_ref().map(Nats::url).join(",");
    let environment = Environment {
        broker: None,
        bus_url: Some(format!("{urls}?replicas=3")),
        ..environment_on(&server).await
    };
    let operator = jetstream::new(
        async_nats::connect(urls.split(',').collect::<Vec<_>>()).await.expect("a connection"),
    );
    let busy = Busy::at(environment, "cluster").await;
    for _ in 0..2 {
        let leader = eventually(
            PATIENCE,
            "the stream of commands has a leader and two followers",
            async || {
                let stream = operator.get_stream("lastro-inventory-commands").await.ok()?;
                let info = stream.cached_info();
                let cluster = info
                    .cluster
                    .clone()
                    .filter(|cluster| cluster.replicas.iter().all(|one| one.current))?;
                assert_eq!(info.config.num_replicas, 3);
                cluster.leader.filter(|_| cluster.replicas.len() == 2)
            },
        );
        let leader = leader.await;
        let number: usize =
            leader.strip_prefix('n').and_then(|number| number.parse().ok()).expect("n1, n2 or n3");
        cluster[number - 1].kill().await;
        busy.accepts_more().await;
        busy.accepts_more().await;
        cluster[number - 1].restart().await;
    }
    busy.check_nothing_refused().await;
}
