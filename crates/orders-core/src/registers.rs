//! The two registers of an order: what it intends, and what Inventory says that it has.

use contract::{Digest, Facts, Intent, Revision, Wanted};

use super::history::Event;
use super::status::{Request, Status, status};

/// The intent and the newest facts of an order. They are the fold of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// What the order wants, by its newest revision. Facts never change it (R20).
    pub intent: Intent,
    /// What Inventory said last; `None` until the first answer.
    pub facts: Option<Facts>,
}

/// What an answer of Inventory means for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The answer settles the current revision.
    Settles,
    /// The answer is of a lower revision, or a repeat. Normal on a bus that repeats and reorders.
    Stale,
    /// No healthy history explains the answer; this is the reason, for people. It changes nothing
    /// and goes into quarantine (R16).
    Anomaly(&'static str),
}

/// Why an event cannot follow on the registers before it (INV-4, INV-10). A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(&'static str);

impl Registers {
    /// The registers of an order that was just placed.
    pub fn placed(ordered: Wanted) -> Self {
        Self { intent: Intent::placed(ordered), facts: None }
    }

    /// The revision that the newest facts answer; `None` until the first answer.
    pub fn settled(&self) -> Option<Revision> {
        self.facts.as_ref().map(|facts| facts.revision)
    }

    /// The revision that waits for an answer, if there is one (INV-7).
    pub fn in_flight(&self) -> Option<Revision> {
        let revision = self.intent.revision;
        (self.settled() < Some(revision)).then_some(revision)
    }

    /// The status of the order.
    pub fn status(&self) -> Status {
        status(&self.intent, self.facts.as_ref())
    }

    /// The intent by which the order carries out an admitted request: the next revision, with the
    /// numbers that the request changes.
    ///
    /// To cancel is to want nothing. To fulfill is to ship all that is allocated.
    pub fn next_intent(&self, request: Request) -> Intent {
        let revision = self.intent.revision.next();
        match request {
            Request::Cancel => {
                Intent { revision, wanted: self.intent.wanted.nothing(), ..self.intent.clone() }
            }
            Request::Fulfill => {
                let allocated = self.facts.as_ref().map(|facts| facts.allocated.clone());
                let shipped = allocated.unwrap_or_default();
                Intent { revision, shipped, ..self.intent.clone() }
            }
        }
    }

    /// Reads an answer of Inventory. `digest` is the digest of the current intent, `answered` that
    /// of the intent that Inventory carried out.
    pub fn read(&self, facts: &Facts, answered: Digest, digest: Digest) -> Reading {
        if facts.revision < self.intent.revision {
            return Reading::Stale;
        }
        if facts.revision > self.intent.revision {
            return Reading::Anomaly("the answer is of a revision that the order never had");
        }
        if answered != digest {
            return Reading::Anomaly("the answer is about another intent: the digests differ");
        }
        match &self.facts {
            Some(known) if known == facts => Reading::Stale,
            Some(known) if known.revision == facts.revision => {
                Reading::Anomaly("the answer contradicts an earlier answer of the same revision")
            }
            _ => match fits(&self.intent, facts) {
                Ok(()) => Reading::Settles,
                Err(Misfit(why)) => Reading::Anomaly(why),
            },
        }
    }

    /// Adds an event of the history: the fold's step.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if no order that was decided correctly has this event next. Nothing is changed
    /// then.
    pub fn apply(&mut self, event: &Event) -> Result<(), Misfit> {
        match event {
            Event::Intended { revision, wanted, shipped, .. } => {
                if *revision != self.intent.revision.next() {
                    return Err(Misfit("the revision does not follow the one before"));
                }
                let wanted = wanted.clone().unwrap_or_else(|| self.intent.wanted.clone());
                let shipped = shipped.clone().unwrap_or_else(|| self.intent.shipped.clone());
                let intent = Intent { revision: *revision, wanted, shipped };
                self.follows(&intent)?;
                self.intent = intent;
            }
            Event::Settled { allocated, shortages, .. } => {
                let known = self.facts.as_ref().map(|facts| facts.allocated.clone());
                let facts = Facts {
                    revision: self.intent.revision,
                    allocated: allocated.clone().or(known).unwrap_or_default(),
                    shortages: shortages.clone(),
                };
                if self.in_flight().is_none() {
                    return Err(Misfit("the revision was already answered"));
                }
                fits(&self.intent, &facts)?;
                self.facts = Some(facts);
            }
        }
        Ok(())
    }

    /// Checks that a request could have made this intent from these registers.
    fn follows(&self, intent: &Intent) -> Result<(), Misfit> {
        let made_by = |request| self.next_intent(request) == *intent;
        let admitted = |request| self.status().admits(request) == super::status::Admission::Next;
        let any = [Request::Cancel, Request::Fulfill];
        if any.into_iter().any(|request| admitted(request) && made_by(request)) {
            Ok(())
        } else {
            Err(Misfit("no request makes this intent from the one before"))
        }
    }
}

/// Checks the arithmetic of a line for facts that answer an intent (INV-10).
///
/// At the revision that places the order, Inventory grants all of it or nothing, and says what was
/// short. At every other revision the order has what it wants, and what is shipped was allocated.
fn fits(intent: &Intent, facts: &Facts) -> Result<(), Misfit> {
    if facts.allocated.iter().any(|allocation| !intent.wanted.names(&allocation.product_id)) {
        return Err(Misfit("a product is allocated that the order does not name"));
    }
    let rejected = intent.revision == Revision::FIRST && facts.allocated.is_empty();
    if rejected == facts.shortages.is_empty() {
        return Err(Misfit("shortages are named exactly when an order is rejected"));
    }
    let granted_as_wanted = intent
        .wanted
        .iter()
        .all(|line| facts.allocated.of(&line.product_id) == i64::from(line.quantity));
    if !rejected && !granted_as_wanted {
        return Err(Misfit("the order has other units than it wants"));
    }
    let all_allocated = intent.shipped.iter().all(|shipped| {
        let allocated = facts.allocated.at(&shipped.product_id, &shipped.location_id);
        shipped.quantity.units() <= allocated
    });
    if all_allocated { Ok(()) } else { Err(Misfit("more is shipped than was allocated")) }
}

#[cfg(test)]
mod tests;
