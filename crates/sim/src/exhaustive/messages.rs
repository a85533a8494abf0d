//! Messages, each identified by a number. Two messages that differ only in times and attempts have
//! the same number, because no decision depends on these (R16).

use contract::answers::StockAnswer;
use contract::commands::StockCommand;

use super::actors;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Command(StockCommand),
    Answer(StockAnswer),
}

#[derive(Debug, Default)]
pub(crate) struct Messages {
    messages: Vec<Message>,
    /// The messages that go to the Inventory Service, a bit each.
    commands: u32,
}

impl Messages {
    pub(crate) fn command(&mut self, command: StockCommand) -> u32 {
        let bit =
            self.bit(Message::Command(StockCommand { attempt: 1, sent_at_micros: 0, ..command }));
        self.commands |= bit;
        bit
    }

    pub(super) fn answer(&mut self, answer: StockAnswer) -> u32 {
        self.bit(Message::Answer(StockAnswer {
            attempt: 1,
            decided_at_micros: 0,
            sent_at_micros: 0,
            ..answer
        }))
    }

    fn bit(&mut self, message: Message) -> u32 {
        let number =
            self.messages.iter().position(|known| *known == message).unwrap_or_else(|| {
                self.messages.push(message);
                self.messages.len() - 1
            });
        assert!(number < 32, "the bounds are so narrow that few different messages are ever sent");
        1 << number
    }

    pub(super) fn get(&self, number: u8) -> &Message {
        &self.messages[usize::from(number)]
    }

    /// The messages of `sent` that go to the Inventory Service.
    pub(super) fn commands(&self, sent: u32) -> u32 {
        sent & self.commands
    }

    /// The messages of `sent` that go to the Order Service.
    pub(super) fn answers(&self, sent: u32) -> u32 {
        sent & !self.commands
    }

    pub(super) fn name(&self, number: u8) -> String {
        match self.get(number) {
            Message::Command(command) => {
                format!(
                    "{} {}",
                    command.kind.as_str(),
                    actors::name(actors::order_of(command.order_id))
                )
            }
            Message::Answer(answer) => {
                format!(
                    "{} {}",
                    answer.outcome.name(),
                    actors::name(actors::order_of(answer.order_id))
                )
            }
        }
    }

    pub(super) fn names(&self, sent: u32) -> String {
        let names: Vec<_> = numbers(sent).map(|number| self.name(number)).collect();
        names.join(", ")
    }
}

/// The numbers of the messages in a set.
pub(super) fn numbers(mut sent: u32) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let number = u8::try_from(sent.trailing_zeros()).ok().filter(|number| *number < 32)?;
        sent &= sent - 1;
        Some(number)
    })
}
