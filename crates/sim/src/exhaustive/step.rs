//! What can happen next. One step is one thing that one replica does, or that is done to it.

use super::cast::{Batch, Request, name, shown};
use super::wire::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// 0 and 1 are of the Order Service, 2 and 3 of the Inventory Service.
    pub(super) replica: u8,
    pub(super) deed: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A request comes in and waits for its batch.
    Take(Request),
    /// The stock is read, and locked only later: a planted mistake.
    Look,
    /// A batch of what waits here and what the network brings: loaded, decided, written and committed.
    Commit(Batch),
    /// The same, but the connection breaks: it is done, and the replica does not know. It will decide the requests
    /// again. Messages it forgets: the network may bring them again.
    CommitUnknown(Batch),
    /// The connection breaks before anything is done, and the replica does not know.
    NothingUnknown,
    /// The database says that nothing is done, and the clients are told so.
    Abort,
    /// The sweeper picks a pending command up.
    Lease(u8),
    Publish,
    /// Clients get their answers.
    Tell,
    Crash,
}

impl Step {
    pub(super) fn is_of_orders(self) -> bool {
        self.replica < 2
    }

    /// One line of a story. `replica` is what the replica has been called from the start.
    pub(super) fn told(self, replica: &str, wire: &Wire) -> String {
        let what = match self.deed {
            Deed::Take(request) => format!("gets {}", request.shown()),
            Deed::Look => "reads the stock, and has not locked it yet".to_owned(),
            Deed::Commit(batch) => format!("commits {}", shown(batch, wire)),
            Deed::CommitUnknown(batch) => {
                format!("commits {}; the connection breaks, and it cannot know", shown(batch, wire))
            }
            Deed::NothingUnknown => "cannot commit; the connection breaks, and it cannot know".to_owned(),
            Deed::Abort => "cannot commit, and tells its clients that nothing is done".to_owned(),
            Deed::Lease(order) => format!("sweeps: the command of {} is due", name(order)),
            Deed::Publish => "publishes".to_owned(),
            Deed::Tell => "answers its clients".to_owned(),
            Deed::Crash => "crashes".to_owned(),
        };
        format!("{replica} {what}")
    }
}
