//! What happens in a world, in order: a fingerprint of all of it, and the last lines for whoever wants to read.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::random::fingerprint;

/// Lines that are kept, unless all are wanted.
const MAX_KEPT: usize = 400;

#[derive(Debug)]
pub(crate) struct Trace {
    began: Instant,
    keeps_all: bool,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    fingerprint: u64,
    count: u64,
    lines: VecDeque<String>,
}

/// Two runs of one seed must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) hash: u64,
    pub(crate) events: u64,
}

impl Trace {
    pub(crate) fn new(began: Instant, keeps_all: bool) -> Self {
        Self { began, keeps_all, written: Mutex::default() }
    }

    pub(crate) fn write(&self, event: &str) {
        let at = self.began.elapsed();
        let mut written = self.written.lock().expect("nothing panics under this lock");
        let moment = written.fingerprint ^ u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        written.fingerprint = fingerprint(moment, event.as_bytes());
        written.count += 1;
        if !self.keeps_all && written.lines.len() == MAX_KEPT {
            written.lines.pop_front();
        }
        written.lines.push_back(format!("{:>12.3} s  {event}", at.as_secs_f64()));
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let written = self.written.lock().expect("nothing panics under this lock");
        Fingerprint { hash: written.fingerprint, events: written.count }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.written.lock().expect("nothing panics under this lock").lines.iter().cloned().collect()
    }
}
