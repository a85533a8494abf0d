//! Transitions between states: an action of a replica, or a fault.

use super::actors::name;
use super::batch::{self, Batch};
use super::messages::Messages;
use super::requests::Request;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// 0 and 1 are replicas of the Order Service, 2 and 3 of the Inventory Service.
    pub(super) replica: u8,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A request arrives and waits for its batch.
    Accept(Request),
    /// The replica reads its rows and locks them only later: a planted mistake.
    ReadEarly,
    /// A replica of Inventory locks and reads the rows of its batch.
    Begin(Batch),
    /// The replica loads, decides, writes and commits a batch of waiting requests and of messages
    /// from the network.
    Commit(Batch),
    /// Like [`Self::Commit`], but the connection breaks: the batch is committed, and the replica
    /// does not learn it. The replica will decide the requests again. It forgets the messages,
    /// which the network may deliver again.
    CommitUnknown(Batch),
    /// The connection breaks before the commit, and the replica does not learn that nothing was
    /// done.
    AbortUnknown,
    /// The database reports that nothing was done, and so do the clients' answers.
    Abort,
    /// The sweeper leases the pending command of an order.
    Lease(u8),
    Publish,
    /// The clients get their answers.
    Reply,
    Crash,
}

impl Transition {
    pub(super) fn is_of_orders(self) -> bool {
        self.replica < 2
    }

    /// One line of a counterexample, with the name that the replica had at the start.
    pub(super) fn describe(self, replica: &str, messages: &Messages) -> String {
        let what = match self.action {
            Action::Accept(request) => format!("gets {}", request.describe()),
            Action::ReadEarly => "reads its rows, and has not locked them yet".to_owned(),
            Action::Begin(batch) => {
                format!("locks the rows of {}", batch::describe(batch, messages))
            }
            Action::Commit(batch) => format!("commits {}", batch::describe(batch, messages)),
            Action::CommitUnknown(batch) => {
                let batch = batch::describe(batch, messages);
                format!("commits {batch}; the connection breaks, and it cannot know")
            }
            Action::AbortUnknown => {
                "cannot commit; the connection breaks, and it cannot know".to_owned()
            }
            Action::Abort => "cannot commit, and answers that nothing is done".to_owned(),
            Action::Lease(order) => format!("sweeps: the command of {} is due", name(order)),
            Action::Publish => "publishes".to_owned(),
            Action::Reply => "answers its clients".to_owned(),
            Action::Crash => "crashes".to_owned(),
        };
        format!("{replica} {what}")
    }
}
