//! Random events over a network that loses, repeats, delays and reorders messages: after each event
//! the invariants hold.

use orders::store::{Lease, Pick};
use orders_core::backoff;
use proptest::prelude::*;

use super::*;

/// An event. A message is chosen by its position among the messages that are in the network then.
#[derive(Clone, Debug)]
enum Event {
    Place {
        order: u128,
        units: u32,
    },
    Cancel {
        order: u128,
    },
    Fulfill {
        order: u128,
    },
    Receive {
        units: u32,
    },
    /// The sweeper sends every unanswered command again.
    Resend,
    /// A message arrives, and perhaps stays in the network to arrive again.
    Deliver {
        message: prop::sample::Index,
        again: bool,
    },
    Lose {
        message: prop::sample::Index,
    },
}

fn any_event() -> impl Strategy<Value = Event> {
    let order = 1..=5u128;
    let message = any::<prop::sample::Index>();
    prop_oneof![
        3 => (order.clone(), 1..=4u32).prop_map(|(order, units)| Event::Place { order, units }),
        2 => order.clone().prop_map(|order| Event::Cancel { order }),
        2 => order.prop_map(|order| Event::Fulfill { order }),
        1 => (1..=5u32).prop_map(|units| Event::Receive { units }),
        1 => Just(Event::Resend),
        12 => (message.clone(), any::<bool>()).prop_map(|(message, again)| Event::Deliver { message, again }),
        1 => message.prop_map(|message| Event::Lose { message }),
    ]
}

/// A message between the services.
#[derive(Clone, Debug)]
enum Message {
    Command(Box<contract::commands::AllocateStock>),
    Answer(Box<contract::answers::StockAllocated>),
}

struct World {
    services: Services,
    network: Vec<Message>,
    movements: u8,
}

impl World {
    async fn happen(&mut self, event: Event) {
        match event {
            Event::Place { order, units } => {
                let command = place(order, "mug", units);
                self.ask(command).await;
            }
            Event::Cancel { order } => self.ask(cancel(order)).await,
            Event::Fulfill { order } => self.ask(fulfill(order)).await,
            Event::Receive { units } => {
                self.movements += 1;
                self.services.receive(self.movements, units).await;
            }
            Event::Resend => self.resend().await,
            Event::Deliver { message, again } if !self.network.is_empty() => {
                let at = message.index(self.network.len());
                let message =
                    if again { self.network[at].clone() } else { self.network.swap_remove(at) };
                self.deliver(message).await;
            }
            Event::Lose { message } if !self.network.is_empty() => {
                self.network.swap_remove(message.index(self.network.len()));
            }
            Event::Deliver { .. } | Event::Lose { .. } => {}
        }
    }

    async fn ask(&mut self, command: order::OrderCommand) {
        let sent = self.services.order(command).await;
        self.network.extend(sent.map(|command| Message::Command(Box::new(command))));
    }

    async fn resend(&mut self) {
        // All earlier messages were sent before this moment.
        self.services.clock.advance(std::time::Duration::from_micros(1));
        let pick = Pick::SentBefore { ago: std::time::Duration::ZERO };
        let lease = Lease { limit: 100, pick, delay: backoff::delay, random: 0 };
        let commands = self.services.orders.lease(lease).await.expect("leased");
        self.network
            .extend(commands.into_iter().map(|command| Message::Command(Box::new(command))));
    }

    async fn deliver(&mut self, message: Message) {
        match message {
            Message::Command(command) => {
                let answer = self.services.stock(stock::InventoryCommand::Allocate(command)).await;
                self.network.extend(answer.map(|answer| Message::Answer(Box::new(answer))));
            }
            Message::Answer(answer) => {
                self.services.order(order::OrderCommand::Settle(answer)).await;
            }
        }
    }

    /// Once faults stop, every command in flight is answered (INV-7).
    async fn settle(&mut self) {
        self.resend().await;
        while let Some(message) = self.network.pop() {
            self.deliver(message).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_both_services_agree(events in prop::collection::vec(any_event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World { services: Services::new(), network: Vec::new(), movements: 0 };
            let (orders, inventory) = (world.services.orders_audit.clone(), world.services.inventory_audit.clone());
            // The audit keeps what it has read, and reads each row at another moment.
            let mut watching = audits(orders, inventory, ReadBudget { page: 2, below: 3, round: 4 });
            world.services.receive(0, 6).await;
            for event in events {
                let event_text = format!("{event:?}");
                world.happen(event).await;
                let report = world.services.report().await;
                assert!(report.is_clean(), "after {event_text}\n{report}");
                let mut findings = Findings::default();
                watching.step(&mut findings).await.expect("both can be read");
                assert_eq!(findings.violations, [], "beside {event_text}");
            }
            world.settle().await;
            let report = world.services.report().await;
            assert!(report.is_clean(), "in the end\n{report}");
            assert_eq!(report.backlog.commands, 0, "everything was answered");
            for _ in 0..2 {
                let report = round(&mut watching).await.expect("both can be read");
                assert!(report.is_clean(), "watched to the end\n{report}");
            }
        });
    }
}
