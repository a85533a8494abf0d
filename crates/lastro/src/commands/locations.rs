//! `lastro locations`: where stock is.

use clap::Subcommand;
use platform::process::ProgramError;
use serde_json::Value;

use super::{Context, ListArgs, field, put, show_list};
use crate::client::{ConnectArgs, Failed, Item, Query, done};
use crate::output::show;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List locations in the order in which they serve orders
    List {
        #[command(flatten)]
        list: ListArgs,
    },
    /// Create a location, or change its name or priority
    Put(Put),
}

#[derive(Debug, clap::Args)]
struct Put {
    /// The location
    #[arg(value_name = "LOCATION")]
    id: String,
    /// What people call it; a new location needs it [default: as it is]
    #[arg(long, value_name = "TEXT", required_unless_present = "priority")]
    name: Option<String>,
    /// Locations with a lower number serve orders first, those with the same one by id [default: as
    /// it is, and 0 if it is new]
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u32>,
    /// Create it, and refuse that if it exists with other values
    #[arg(long, requires = "name")]
    new: bool,
}

/// Runs the command.
///
/// # Errors
///
/// The service refuses it or cannot be reached, or its outcome is unknown.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    match args.command {
        Command::List { list } => self::list(&context, &list).await,
        Command::Put(args) => args.run(&context).await,
    }
}

async fn list(context: &Context, args: &ListArgs) -> Result<(), Failed> {
    let query = Query::of("/api/inventory/locations");
    let members = ["location_id", "name", "priority"];
    let row = |location: &Item| members.map(|name| show(&location.value[name])).to_vec();
    let headings = ["LOCATION", "NAME", "PRIORITY"];
    show_list(context, &query, args, "locations", &headings, row).await.map(drop)
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), Failed> {
        let put = put::Put {
            kind: "location",
            id: self.id,
            members: vec![
                ("name", self.name.map(Value::from)),
                ("priority", self.priority.map(Value::from)),
            ],
            is_new: self.new,
        };
        let Some(location) = put.run(context).await? else { return Ok(()) };
        field("name", show(&location["name"]))?;
        field("priority", show(&location["priority"]))
    }
}
