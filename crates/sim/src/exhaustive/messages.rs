//! Messages, each identified by a number. Two messages that differ only in times and attempts have
//! the same number, because no decision depends on these (R16).

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use contract::{Intent, Revision};

use super::actors;
use crate::states::{Violation, broken};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Command(AllocateStock),
    Answer(StockAllocated),
}

#[derive(Debug, Default)]
pub(crate) struct Messages {
    messages: Vec<Message>,
    /// The messages that go to the Inventory Service, a bit each.
    commands: u128,
    /// For each message, those that contradict it: they say something else about the same revision
    /// of the same order.
    contradicting: Vec<u128>,
}

impl Message {
    fn contradicts(&self, other: &Self) -> bool {
        let same = match (self, other) {
            (Self::Command(one), Self::Command(other)) => {
                one.order_id == other.order_id && one.intent.revision == other.intent.revision
            }
            (Self::Answer(one), Self::Answer(other)) => {
                one.order_id == other.order_id && one.facts.revision == other.facts.revision
            }
            (Self::Command(_), Self::Answer(_)) | (Self::Answer(_), Self::Command(_)) => false,
        };
        same && self != other
    }
}

impl Messages {
    pub(crate) fn command(&mut self, command: AllocateStock) -> u128 {
        let bit =
            self.bit(Message::Command(AllocateStock { attempt: 1, sent_at_micros: 0, ..command }));
        self.commands |= bit;
        bit
    }

    pub(super) fn answer(&mut self, answer: StockAllocated) -> u128 {
        self.bit(Message::Answer(StockAllocated {
            attempt: 1,
            decided_at_micros: 0,
            sent_at_micros: 0,
            ..answer
        }))
    }

    fn bit(&mut self, message: Message) -> u128 {
        let number =
            self.messages.iter().position(|known| *known == message).unwrap_or_else(|| {
                self.messages.push(message);
                self.messages.len() - 1
            });
        assert!(number < 128, "the bounds are so narrow that few different messages are ever sent");
        if number == self.contradicting.len() {
            self.contradict(number);
        }
        1 << number
    }

    fn contradict(&mut self, new: usize) {
        self.contradicting.push(0);
        for other in 0..new {
            if self.messages[other].contradicts(&self.messages[new]) {
                self.contradicting[other] |= 1 << new;
                self.contradicting[new] |= 1 << other;
            }
        }
    }

    /// Checks that messages contradict none of those that were sent: one revision has one intent
    /// (R20), and its facts do not change (R24).
    ///
    /// # Errors
    ///
    /// Returns a violation for the first that does.
    pub(super) fn check(&self, published: u128, sent: u128) -> Result<(), Violation> {
        let contradicted = |number: &u8| self.contradicting[usize::from(*number)] & sent != 0;
        let Some(number) = numbers(published).find(contradicted) else { return Ok(()) };
        let rule = if self.commands & 1 << number != 0 { "R20" } else { "R24" };
        broken(rule, format!("an earlier message says something else: {:?}", self.get(number)))
    }

    pub(super) fn get(&self, number: u8) -> &Message {
        &self.messages[usize::from(number)]
    }

    /// The messages of `sent` that go to the Inventory Service.
    pub(super) fn commands(&self, sent: u128) -> u128 {
        sent & self.commands
    }

    /// The messages of `sent` that go to the Order Service.
    pub(super) fn answers(&self, sent: u128) -> u128 {
        sent & !self.commands
    }

    pub(super) fn name(&self, number: u8) -> String {
        match self.get(number) {
            Message::Command(command) => {
                let intent = &command.intent;
                let order = actors::name(actors::order_of(command.order_id));
                format!("AllocateStock {order} {} {}", intent.revision, purpose(intent))
            }
            Message::Answer(answer) => {
                let facts = &answer.facts;
                let what = match (facts.shortages.is_empty(), facts.allocated.is_empty()) {
                    (false, _) => "short",
                    (true, true) => "nothing",
                    (true, false) => "allocated",
                };
                let order = actors::name(actors::order_of(answer.order_id));
                format!("StockAllocated {order} {} {what}", facts.revision)
            }
        }
    }

    pub(super) fn names(&self, sent: u128) -> String {
        let names: Vec<_> = numbers(sent).map(|number| self.name(number)).collect();
        names.join(", ")
    }
}

/// What an intent is for, as far as its numbers tell.
fn purpose(intent: &Intent) -> String {
    let [wanted, shipped] = [intent.wanted.total(), intent.shipped.total()];
    match (intent.revision, wanted, shipped, intent.returned.total()) {
        (Revision::FIRST, ..) => "place".to_owned(),
        (_, 0, ..) => "cancel".to_owned(),
        (_, _, 0, 0) => format!("keep {wanted}"),
        (_, _, _, 0) if wanted == shipped => "fulfill".to_owned(),
        (_, _, _, 0) => format!("ship {shipped} of {wanted}"),
        (.., back) => format!("ship {shipped} of {wanted} ({back} back)"),
    }
}

/// The numbers of the messages in a set.
pub(super) fn numbers(mut sent: u128) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let number = u8::try_from(sent.trailing_zeros()).ok().filter(|number| *number < 128)?;
        sent &= sent - 1;
        Some(number)
    })
}

#[cfg(test)]
mod tests {
    use contract::{Digest, Facts, Intent, Revision};

    use super::*;
    use crate::exhaustive::actors::{FIRST, OTHER, order_id, placement};
    use crate::exhaustive::bounds::ONE_ORDER;

    fn command(order: u8, intent: Intent) -> AllocateStock {
        AllocateStock::first(order_id(order), intent, Digest([0; 16]), 0)
    }

    fn answer(order: u8, revision: Revision, digest: u8) -> StockAllocated {
        let facts = Facts::nothing(revision);
        StockAllocated {
            schema: 1,
            order_id: order_id(order),
            facts,
            digest: Digest([digest; 16]),
            attempt: 1,
            decided_at_micros: 0,
            sent_at_micros: 0,
            traceparent: None,
        }
    }

    #[test]
    fn a_message_that_says_something_else_about_a_revision_is_found() {
        let mut messages = Messages::default();
        let first = Intent::placed(placement(FIRST, ONE_ORDER).terms.ordered());
        let next = Intent { revision: Revision::FIRST.next(), ..first.clone() };
        let less = Intent { wanted: first.wanted.nothing(), ..first.clone() };
        let commands =
            [command(FIRST, first.clone()), command(FIRST, next), command(OTHER, less.clone())];
        let second = Revision::FIRST.next();
        let answers = [
            answer(FIRST, Revision::FIRST, 1),
            answer(FIRST, second, 2),
            answer(OTHER, Revision::FIRST, 3),
        ];
        let mut sent = 0;
        for command in commands {
            sent |= messages.command(command);
        }
        for answer in answers {
            sent |= messages.answer(answer);
        }
        assert_eq!(messages.check(sent, sent), Ok(()));
        let late = AllocateStock { attempt: 9, sent_at_micros: 9, ..command(FIRST, first) };
        assert_eq!(messages.command(late) & !sent, 0, "a repeat is the same message");
        let rule = |checked: Result<(), Violation>| checked.expect_err("it differs").invariant;
        let another = messages.command(command(FIRST, less));
        assert_eq!(rule(messages.check(another, sent | another)), "R20");
        let another = messages.answer(answer(OTHER, Revision::FIRST, 4));
        assert_eq!(rule(messages.check(another, sent | another)), "R24");
    }
}
