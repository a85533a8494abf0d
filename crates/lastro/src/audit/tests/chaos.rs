//! A random walk over both engines: orders are placed, paid, changed and left unpaid, over a network
//! that loses, repeats, delays and reorders messages. After each event the invariants hold.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use orders::store::{DeadlineLease, Lease, Pick};
use orders_core::backoff;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// An event. A message is chosen by its position among the messages that are in the network then.
#[derive(Clone, Debug)]
enum Event {
    Place {
        order: u128,
        units: u32,
        pays: bool,
    },
    Ask {
        order: u128,
        change: Change,
    },
    /// A minute passes, in which the orders that wait for their payment should have been paid.
    LetDeadlinesPass,
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

/// What a client asks of an order.
#[derive(Clone, Debug)]
enum Change {
    Pay,
    Refund {
        amount_minor: i64,
    },
    Cancel,
    CancelUnits {
        units: u32,
    },
    Fulfill,
    Ship {
        units: u32,
    },
    /// A shipment is chosen by its position among those of the order.
    CancelShipment {
        shipment: prop::sample::Index,
    },
    Return {
        units: u32,
        disposition: order::Disposition,
    },
}

impl Change {
    fn name(&self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Refund { .. } => "refund",
            Self::Cancel => "cancel",
            Self::CancelUnits { .. } => "cancel units",
            Self::Fulfill => "fulfill",
            Self::Ship { .. } => "ship",
            Self::CancelShipment { .. } => "cancel a shipment",
            Self::Return { disposition: order::Disposition::Restock, .. } => "restock",
            Self::Return { disposition: order::Disposition::Quarantine, .. } => "quarantine",
            Self::Return { disposition: order::Disposition::WriteOff, .. } => "write off",
        }
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let disposition = prop::sample::select(vec![
        order::Disposition::Restock,
        order::Disposition::Quarantine,
        order::Disposition::WriteOff,
    ]);
    prop_oneof![
        8 => Just(Change::Pay),
        3 => (1..=300_i64).prop_map(|amount_minor| Change::Refund { amount_minor }),
        1 => Just(Change::Cancel),
        2 => (1..=2_u32).prop_map(|units| Change::CancelUnits { units }),
        1 => Just(Change::Fulfill),
        8 => (1..=2_u32).prop_map(|units| Change::Ship { units }),
        2 => any::<prop::sample::Index>().prop_map(|shipment| Change::CancelShipment { shipment }),
        8 => (1..=2_u32, disposition)
            .prop_map(|(units, disposition)| Change::Return { units, disposition }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let order = 1..=3u128;
    let message = any::<prop::sample::Index>();
    prop_oneof![
        3 => (order.clone(), 1..=4u32, any::<bool>())
            .prop_map(|(order, units, pays)| Event::Place { order, units, pays }),
        10 => (order, any_change()).prop_map(|(order, change)| Event::Ask { order, change }),
        1 => Just(Event::LetDeadlinesPass),
        1 => (1..=5u32).prop_map(|units| Event::Receive { units }),
        1 => Just(Event::Resend),
        16 => (message.clone(), any::<bool>()).prop_map(|(message, again)| Event::Deliver { message, again }),
        1 => message.prop_map(|message| Event::Lose { message }),
    ]
}

/// A message between the services.
#[derive(Clone, Debug)]
enum Message {
    Command(Box<contract::commands::AllocateStock>),
    Answer(Box<contract::answers::StockAllocated>),
}

/// How often each change was carried out.
type Tally = BTreeMap<&'static str, u32>;

struct World {
    services: Services,
    network: Vec<Message>,
    movements: u8,
    /// How many changes were asked for; tells their keys and references apart.
    changes: u32,
    done: Tally,
}

impl World {
    fn new(services: Services) -> Self {
        Self { services, network: Vec::new(), movements: 0, changes: 0, done: Tally::new() }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Place { order, units, pays: true } => {
                self.ask("place to pay", place_to_pay(order, "mug", units)).await;
            }
            Event::Place { order, units, pays: false } => {
                self.ask("place", place(order, "mug", units)).await;
            }
            Event::Ask { order, change } => {
                let name = change.name();
                if let Some(asked) = self.request_of(order, change).await {
                    self.ask(name, request(order, asked)).await;
                }
            }
            Event::LetDeadlinesPass => self.let_deadlines_pass().await,
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

    /// The request, unless the order has nothing that it could be about.
    async fn request_of(&mut self, order: u128, change: Change) -> Option<order::OrderRequest> {
        self.changes += 1;
        let text = self.changes.to_string();
        let quantity = |units| Quantity::new(units).expect("a quantity");
        Some(match change {
            Change::Pay => order::OrderRequest::Pay { reference: text, amount_minor: None },
            Change::Refund { amount_minor } => {
                order::OrderRequest::Refund { reference: text, amount_minor }
            }
            Change::Cancel => order::OrderRequest::Cancel { reason: None },
            Change::Fulfill => order::OrderRequest::Fulfill,
            Change::CancelUnits { units } => {
                let quantity = quantity(units);
                let lines = vec![order::UnitsOfProduct { product_id: mug(), quantity }];
                order::OrderRequest::CancelLines { key: key(&text), lines, reason: None }
            }
            Change::Ship { units } => {
                let quantity = quantity(units);
                let line = order::ShipmentLine { product_id: mug(), location_id: None, quantity };
                let lines = Some(vec![line]);
                order::OrderRequest::Ship { key: key(&text), lines, tracking: None }
            }
            Change::CancelShipment { shipment } => {
                let found = self.services.orders.order(id(order)).await.expect("a read")?;
                let shipments = &found.registers.shipments;
                let chosen = shipments.get(shipment.index(shipments.len().max(1)))?;
                order::OrderRequest::CancelShipment { shipment: chosen.seq, reason: None }
            }
            Change::Return { units, disposition } => {
                let quantity = quantity(units);
                let line = order::ReturnLine {
                    product_id: mug(),
                    quantity,
                    location_id: None,
                    disposition,
                };
                let lines = vec![line];
                order::OrderRequest::Return { key: key(&text), lines, reason: None }
            }
        })
    }

    async fn ask(&mut self, name: &'static str, command: order::OrderCommand) {
        let decided = self.services.orders.run(Arc::new([command]), order::decide).await;
        let decided = decided.expect("executed").remove(0);
        let is_done = matches!(
            decided.outcome,
            order::OrderOutcome::Placed(_)
                | order::OrderOutcome::Expired(_)
                | order::OrderOutcome::Accepted { replayed: false, .. }
        );
        *self.done.entry(name).or_default() += u32::from(is_done);
        let sent = decided.publish.map(|command| Message::Command(Box::new(command)));
        self.network.extend(sent);
    }

    async fn let_deadlines_pass(&mut self) {
        self.services.clock.advance(Duration::from_secs(60));
        let lease = DeadlineLease { limit: 100, push: Duration::from_secs(10) };
        let leased = self.services.orders.lease_deadlines(lease).await.expect("leased");
        assert_eq!(leased.set_aside, 0);
        for due in leased.due {
            self.ask("expire", order::OrderCommand::expire(due.order_id)).await;
        }
    }

    async fn resend(&mut self) {
        // All earlier messages were sent before this moment.
        self.services.clock.advance(Duration::from_micros(1));
        let pick = Pick::SentBefore { ago: Duration::ZERO };
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

    /// Lets the events happen, and audits after each of them.
    async fn walk(mut self, events: Vec<Event>) -> Tally {
        let orders = self.services.orders_audit.clone();
        let inventory = self.services.inventory_audit.clone();
        // The audit keeps what it has read, and reads each row at another moment.
        let mut watching = audits(orders, inventory, ReadBudget { page: 2, below: 3, round: 4 });
        self.services.receive(0, 9).await;
        for event in events {
            let event_text = format!("{event:?}");
            self.happen(event).await;
            let report = self.services.report().await;
            assert!(report.is_clean(), "after {event_text}\n{report}");
            let mut findings = Findings::default();
            watching.step(&mut findings).await.expect("both can be read");
            assert_eq!(findings.violations, [], "beside {event_text}");
        }
        self.settle().await;
        let report = self.services.report().await;
        assert!(report.is_clean(), "in the end\n{report}");
        assert_eq!(report.backlog.commands, 0, "everything was answered");
        for _ in 0..2 {
            let report = round(&mut watching).await.expect("both can be read");
            assert!(report.is_clean(), "watched to the end\n{report}");
        }
        self.done
    }
}

/// Walks as many times, always the same ways.
fn walk(cases: u32, open: impl AsyncFn() -> Services) -> Tally {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let done = RefCell::new(Tally::new());
    let walked = runner.run(&prop::collection::vec(any_event(), 40..80), |events| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let of_one = runtime.expect("a runtime").block_on(async {
            let world = World::new(open().await);
            world.walk(events).await
        });
        for (name, times) in of_one {
            *done.borrow_mut().entry(name).or_default() += times;
        }
        Ok(())
    });
    walked.unwrap_or_else(|failed| panic!("{failed}"));
    done.into_inner()
}

#[test]
fn whatever_happens_in_whatever_order_both_services_agree() {
    let done = walk(32, async || Services::new());
    let all = [
        "place",
        "place to pay",
        "pay",
        "refund",
        "cancel",
        "cancel units",
        "fulfill",
        "ship",
        "cancel a shipment",
        "restock",
        "quarantine",
        "write off",
        "expire",
    ];
    let never: Vec<_> = all.into_iter().filter(|name| done.get(name) < Some(&1)).collect();
    assert_eq!(never, [""; 0], "{done:?}");
}

#[test]
fn both_services_agree_on_postgresql_as_well() {
    let done = walk(3, async || Services::on_postgres().await);
    assert!(done.values().sum::<u32>() > 20, "{done:?}");
}
