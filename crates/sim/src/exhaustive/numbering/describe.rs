//! The steps of a counterexample, as readable lines.

use super::state::{NONE, Row, State};
use super::steps::{Number, Read, Rules, Step, Write};
use super::{name, names};

impl Rules {
    /// A readable line about a step, which led from one state to the other.
    pub(super) fn describe(self, step: Step, before: &State, after: &State) -> String {
        match step {
            Step::Writer(index, write) => {
                let who = format!("transaction {} ({})", index + 1, names(self.orders(index)));
                let writer = after.writers[usize::from(index)];
                let locked = writer.locked & !before.writers[usize::from(index)].locked;
                let what = match write {
                    Write::Lock if locked == 0 => "finds that it was done".to_owned(),
                    Write::Lock => format!("locks {}", names(locked)),
                    Write::Draw => format!("draws id {}", writer.id),
                    Write::Insert => "writes its row".to_owned(),
                    Write::Commit => "commits".to_owned(),
                    Write::CommitUnheard => "commits, and its replica does not hear".to_owned(),
                    Write::Fail => "fails".to_owned(),
                };
                format!("{who} {what}")
            }
            Step::Relay(index, number) => {
                let relay = after.relays[usize::from(index)];
                let what = match number {
                    Number::Lock => format!("takes the head, which is {}", relay.from),
                    Number::Read => {
                        let rows = relay.rows.iter().filter(|row| **row != NONE);
                        let rows = rows.map(|row| (row + 1).to_string()).collect::<Vec<_>>();
                        format!("reads rows of transactions [{}]", rows.join(", "))
                    }
                    Number::Write => "writes their numbers".to_owned(),
                    Number::Commit => {
                        let new = |(row, old): (&Row, &Row)| row.number != old.number;
                        let rows = (1..).zip(after.rows.iter().zip(&before.rows));
                        let rows = rows.filter(|(_, rows)| new(*rows));
                        let given = rows.map(|(at, (row, _))| format!("{} to {at}", row.number));
                        format!("commits: [{}]", given.collect::<Vec<_>>().join(", "))
                    }
                    Number::Die => "dies".to_owned(),
                    Number::Freeze => "freezes, its transaction is ended".to_owned(),
                    Number::Wake => "finds its transaction ended".to_owned(),
                };
                format!("relay {} {what}", index + 1)
            }
            Step::Reader(read) => {
                let told = after.reader.page.map(|(page, _)| page).unwrap_or_default();
                let told =
                    told.list().iter().map(|entry| format!("{}.{}", name(entry.order), entry.seq));
                match read {
                    Read::Fetch => {
                        format!("the reader reads {}", told.collect::<Vec<_>>().join(" "))
                    }
                    Read::Keep => "the reader keeps it".to_owned(),
                    Read::Die => "the reader dies with it".to_owned(),
                }
            }
        }
    }
}
