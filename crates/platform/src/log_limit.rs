//! A limit for log lines about bad messages: whoever sends many of them must not fill the disk.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// How many lines are written in a [`PERIOD`].
const MAX_LINES: u64 = 10;
/// How long the lines are counted together.
const PERIOD: Duration = Duration::from_secs(60);

/// Counts lines, and says which of them may be written.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    began: Option<Instant>,
    /// Of this period, the written and the others.
    asked: u64,
    /// Those of earlier periods and of this one that no line has told of yet.
    left_out: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Write it. So many lines before it were left out.
    Write {
        /// How many.
        left_out: u64,
    },
    /// Write it, and that further ones are left out for a while.
    WriteLast {
        /// How many.
        left_out: u64,
    },
    /// Do not write it.
    LeaveOut,
}

impl LogLimit {
    /// Counts a line.
    pub fn next(&self) -> Line {
        let mut lines = self.lines();
        if lines.began.is_none_or(|began| began.elapsed() >= PERIOD) {
            lines.began = Some(Instant::now());
            lines.asked = 0;
        }
        lines.asked += 1;
        if lines.asked > MAX_LINES {
            lines.left_out += 1;
            return Line::LeaveOut;
        }
        let left_out = std::mem::take(&mut lines.left_out);
        if lines.asked == MAX_LINES {
            return Line::WriteLast { left_out };
        }
        Line::Write { left_out }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_lines_are_written_in_a_while_and_the_others_are_counted() {
        let limit = LogLimit::default();
        let mut written = 0;
        for number in 1..=MAX_LINES + 7 {
            let line = limit.next();
            match number.cmp(&MAX_LINES) {
                std::cmp::Ordering::Less => assert_eq!(line, Line::Write { left_out: 0 }),
                std::cmp::Ordering::Equal => assert_eq!(line, Line::WriteLast { left_out: 0 }),
                std::cmp::Ordering::Greater => assert_eq!(line, Line::LeaveOut),
            }
            written += u64::from(line != Line::LeaveOut);
        }
        assert_eq!(written, MAX_LINES);
        tokio::time::advance(PERIOD).await;
        assert_eq!(limit.next(), Line::Write { left_out: 7 });
        assert_eq!(limit.next(), Line::Write { left_out: 0 });
    }
}
