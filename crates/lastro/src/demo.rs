//! `lastro demo`: runs both services on a sample catalogue, sends orders over HTTP and prints a
//! transcript.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use platform::lifecycle::on_signal;
use platform::process::{CommonArgs, ProgramError};
use platform::telemetry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use web::program::{Process, load_settings};

use crate::serve::{self, Databases};
use client::{DemoClient, pretty};
use output::print_line;

mod catalogue;
mod changes;
mod client;
mod output;
mod stream;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after the transcript: print `demo: ok` and exit with 0, or exit with 1 if a step failed
    #[arg(long)]
    once: bool,
    /// Keep the data in this new folder [default: a temporary folder]
    #[arg(long, env = "LASTRO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs both services and plays the transcript, then ends or keeps sending orders until a signal.
///
/// # Errors
///
/// The services cannot start or stop, a step of the transcript fails, or standard output is closed
/// before the demo is over.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    telemetry::init_logs();
    let temporary = tempfile::tempdir().map_err(ProgramError::failed)?;
    let folder = args.data_dir.unwrap_or_else(|| temporary.path().to_owned());
    if folder.join("orders.db").exists() {
        return Err(ProgramError::failed(format!(
            "{} already contains data; name a new folder for the demo",
            folder.display()
        )));
    }
    let default_listen = if args.once { "127.0.0.1:0" } else { serve::PROGRAM.default_listen };
    let settings = load_settings(&args.common, &serve::KEYS)?;
    let http = args.common.http(&settings, default_listen)?;
    let mut process = Process::begin(serve::PROGRAM, &http).await?;
    let shop = serve::Settings {
        databases: Databases::in_folder(&folder),
        broker: None,
        currency: None,
        trace_url: None,
        replaces_peer: false,
        is_demo: true,
    };
    let api = serve::build(&mut process, shop).await?;
    let address = process.address()?;
    let shutdown = on_signal().map_err(ProgramError::failed)?;
    let playing = tokio::spawn(play(address, args.once, shutdown.clone()));
    process.serve(api, shutdown).await?;
    let played = playing.await.map_err(ProgramError::failed)?;
    played.map_err(|error| ProgramError::failed(format!("the demo failed: {error:#}")))?;
    if args.once {
        print_line(format_args!("\ndemo: ok")).map_err(ProgramError::failed)?;
    }
    Ok(())
}

/// Plays the client. When it ends, even by an error or a panic, the services stop.
async fn play(address: SocketAddr, once: bool, shutdown: CancellationToken) -> anyhow::Result<()> {
    let _stop_services = shutdown.clone().drop_guard();
    tokio::select! {
        played = transcript(address) => played?,
        () = shutdown.cancelled() => bail!("interrupted"),
    }
    if once {
        return Ok(());
    }
    print_line(format_args!(
        "\nThe services keep running: http://{address}/docs shows the API. Orders keep coming; Ctrl-C ends the demo."
    ))?;
    stream::order(&DemoClient::at(address)?, shutdown).await
}

/// How long the demo waits for an order to reach a status.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the transcript against the services at `address`.
///
/// # Errors
///
/// The first step that fails.
async fn transcript(address: SocketAddr) -> anyhow::Result<()> {
    let client = DemoClient::at(address)?;
    catalogue::stock(&client).await.context("stocking the products")?;
    place_the_example(&client).await.context("the example order")?;
    place_too_much(&client).await.context("the order that exceeds the stock")?;
    cancel_one(&client).await.context("the cancelled order")?;
    changes::pay_ship_and_return(&client).await.context("the order that changes")
}

async fn place_the_example(client: &DemoClient) -> anyhow::Result<()> {
    print_line(format_args!(
        "\n── An order is placed, and confirmed once its stock is reserved ──\n"
    ))?;
    let coffee = client.stock("789").await?;
    let pot = client.stock("456").await?;
    print_line(format_args!("stock before:\n  {coffee}\n  {pot}\n"))?;
    let order = json!({
        "customer_id": "123456",
        "products": [
            {"product_id": "789", "quantity": 2, "price": 19.99},
            {"product_id": "456", "quantity": 1, "price": 29.99},
        ],
    });
    let receipt = client.post_shown("/api/orders", &order, &[]).await?;
    ensure!(
        receipt.as_object().is_some_and(|members| members.len() == 3),
        "the response must have exactly three members"
    );
    ensure!(receipt["status"] == "received", "the status is {}", receipt["status"]);
    ensure!(
        receipt["message"] == "Order successfully placed.",
        "the message is {}",
        receipt["message"]
    );

    let order_id = text(&receipt["order_id"])?;
    let order = client.order_in_state(order_id, "confirmed", PATIENCE).await?;
    print_line(format_args!("GET /api/orders/{order_id}\n{}\n", pretty(&order)))?;
    ensure!(order["total"] == json!(69.97), "the total is {}", order["total"]);

    let coffee_after = client.stock("789").await?;
    let pot_after = client.stock("456").await?;
    print_line(format_args!("stock after:\n  {coffee_after}\n  {pot_after}\n"))?;
    ensure!(coffee_after.available == coffee.available - 2, "two units of 789 must be reserved");
    ensure!(pot_after.available == pot.available - 1, "one unit of 456 must be reserved");
    show_movements(client, "789").await
}

async fn show_movements(client: &DemoClient, product: &str) -> anyhow::Result<()> {
    print_line(format_args!(
        "why are {} available? the movements of {product}, newest first:",
        client.stock(product).await?.available
    ))?;
    let ledger = client.get(&format!("/api/inventory/products/{product}/movements")).await?;
    let movements = ledger["data"].as_array().context("a list of movements")?;
    for movement in movements {
        let cause = movement["order_id"].as_str().or(movement["reference"].as_str()).unwrap_or("–");
        print_line(format_args!(
            "  {:<6} #{:<2} {:<8} on hand {:>+4}, reserved {:>+4} → {:>3} on hand, {:>2} reserved, {:>3} available   {cause}",
            text(&movement["location_id"])?,
            movement["seq"],
            text(&movement["kind"])?,
            number(&movement["on_hand_delta"])?,
            number(&movement["reserved_delta"])?,
            movement["on_hand"],
            movement["reserved"],
            movement["available"]
        ))?;
    }
    ensure!(
        movements.iter().any(|movement| movement["kind"] == "reserve"),
        "a reservation must be among the movements"
    );
    Ok(())
}

async fn place_too_much(client: &DemoClient) -> anyhow::Result<()> {
    print_line(format_args!(
        "\n── An order that exceeds the stock is rejected, with the reason, in one call ──\n"
    ))?;
    let before = client.stock("456").await?;
    let order = json!({
        "customer_id": "123456",
        "products": [
            {"product_id": "789", "quantity": 1, "price": 19.99},
            {"product_id": "456", "quantity": 5000, "price": 29.99},
        ],
    });
    let receipt = client.post_shown("/api/orders", &order, &[("prefer", "wait=10")]).await?;
    ensure!(receipt["status"] == "rejected", "the status is {}", receipt["status"]);
    let shortage = &receipt["shortages"][0];
    ensure!(
        shortage["product_id"] == "456" && shortage["available"] == before.available,
        "the shortage is {shortage}"
    );
    ensure!(client.stock("456").await? == before, "a rejected order must reserve nothing");
    print_line(format_args!(
        "456 had {} units available and the order asked for {}; no unit of 789 is reserved either",
        shortage["available"], shortage["requested"]
    ))?;
    Ok(())
}

async fn cancel_one(client: &DemoClient) -> anyhow::Result<()> {
    print_line(format_args!("\n── An order is cancelled, and its stock is released ──\n"))?;
    let before = client.stock("789").await?;
    let order = json!({"customer_id": "654321", "products": [{"product_id": "789", "quantity": 3, "price": 19.99}]});
    let receipt = client.post_shown("/api/orders", &order, &[("prefer", "wait=10")]).await?;
    ensure!(receipt["status"] == "confirmed", "the status is {}", receipt["status"]);
    let held = client.stock("789").await?;
    print_line(format_args!("while it is confirmed:  {held}\n"))?;
    ensure!(held.available == before.available - 3, "three units must be reserved");

    let path = format!("/api/orders/{}/cancel", text(&receipt["order_id"])?);
    let reason = json!({"reason": "changed my mind"});
    let cancelled = client.post_shown(&path, &reason, &[("prefer", "wait=10")]).await?;
    ensure!(cancelled["status"] == "cancelled", "the status is {}", cancelled["status"]);
    let after = client.stock("789").await?;
    print_line(format_args!("after the cancellation: {after}"))?;
    ensure!(after == before, "every unit must be released");
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().with_context(|| format!("{value} should be a string"))
}

fn number(value: &Value) -> anyhow::Result<i64> {
    value.as_i64().with_context(|| format!("{value} should be a whole number"))
}
