//! The null server: answers `POST /api/orders` as the Order Service does, and stores nothing.
//!
//! It is a hidden command of its own, so that no service can become one by a setting. The accept
//! loop, the edge, the reader of the body and the writer of the receipt are those of the Order
//! Service; the batcher, the store and the messages are left out. So its rate is the most that a
//! service behind this HTTP server could reach.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use orders_core::decide::Receipt;
use orders_core::money::Currency;
use orders_core::status::Status;
use platform::clock::Ids;
use platform::keys::{Principal, Scope};
use platform::process::{CommonArgs, ProgramError};
use utoipa_axum::router::OpenApiRouter;
use web::problem::{OwnCodes, Problem};
use web::program::{Api, Process, Program};
use web::{JsonBytes, Rule, TraceParent};

const PROGRAM: Program = Program {
    name: "null-server",
    summary: "Answers as if orders were stored, and stores nothing; for benchmarks only.",
    default_listen: "127.0.0.1:0",
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

/// Serves until a signal.
///
/// # Errors
///
/// As [`web::program::run`].
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    web::program::run(PROGRAM, &args.common, &[], async |process, _| Ok(api(process))).await
}

/// As the Order Service has it.
const RULES: &[Rule] = &[Rule::needs("POST", "/api/orders", &[Scope::OrdersWrite])];

fn api(process: &Process) -> Api {
    let routes = OpenApiRouter::new()
        .route("/api/orders", post(place))
        .with_state(process.context.ids.clone());
    let codes = OwnCodes { codes: Vec::new(), fault_codes: Vec::new() };
    process.context.api(orders::SERVICE, routes, RULES, codes, None)
}

async fn place(
    State(ids): State<Arc<dyn Ids>>,
    Extension(trace): Extension<TraceParent>,
    Extension(client): Extension<Arc<Principal>>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    let placement = orders::read_placement(&headers, &client, trace, &body, Currency::BRL, &*ids)?;
    Ok(orders::write_receipt(Receipt {
        order_id: placement.order_id,
        status: Status::Received,
        last_seq: 1,
        shortages: Vec::new(),
        balance: None,
    }))
}
