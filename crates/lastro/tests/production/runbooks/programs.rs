//! Programs that are down, restart again and again, or have too much open.

use testbed::{Environment, Form, PATIENCE, eventually};
use tokio::net::TcpStream;

use super::Watched;

/// Nobody scrapes the Inventory Service, until it is started again.
#[tokio::test]
async fn a_service_that_is_down() {
    let mut watched = Watched::with_files().await;
    watched.shop.programs.kill_inventory();
    watched.fires("LastroDown").await;
    watched.fires("LastroServiceAbsent").await;
    watched.shop.restart_ended().await;
    watched.clears("LastroDown").await;
    watched.clears("LastroServiceAbsent").await;
}

/// A program that a supervisor starts again and again, until what ends it is put right.
#[tokio::test]
async fn a_program_that_ends_again_and_again() {
    let mut watched = Watched::with_files().await;
    let starts = r#"process_start_time_seconds{job="inventory-service"}"#;
    let mut last = watched.prometheus.values(starts).await;
    while watched.prometheus.firing("LastroRestarting").await.is_none_or(|firing| firing.is_empty())
    {
        watched.shop.programs.kill_inventory();
        watched.shop.restart_ended().await;
        last = eventually(PATIENCE, "the new start is scraped", async || {
            let now = watched.prometheus.values(starts).await.filter(|now| now.len() == 1);
            (now.is_some() && now != last).then_some(now)
        })
        .await;
    }
    watched.fires("LastroRestarting").await;
    watched.clears("LastroRestarting").await;
}

/// Connections that clients leave open, until they close them.
#[tokio::test]
async fn a_program_with_too_many_connections() {
    // As many connections as the program gives to clients, and to scrapers, of these files.
    const FILES: u64 = 160;
    const CONNECTIONS: u64 = FILES / 2 + FILES / 2 / 4;
    let environment =
        Environment { open_files: Some(FILES), ..Environment::of(Form::Processes).await };
    let watched = Watched::open(Form::Processes, environment).await;
    let (orders, _) = watched.shop.programs.addresses();
    let [(_, metrics), _] = watched.shop.environment.metrics();
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        let address = if number < FILES / 2 { orders[0] } else { metrics };
        held.push(TcpStream::connect(address).await.expect("a connection"));
    }
    watched.fires("LastroOpenFiles").await;
    drop(held);
    watched.clears("LastroOpenFiles").await;
}
