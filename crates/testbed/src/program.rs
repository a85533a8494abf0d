//! A program that serves: watched while it runs, and killed when the test is done with it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::PATIENCE;

/// Lines of the log that are kept, the last ones.
const MAX_LOG_LINES: usize = 200;

/// A program that has said that it is ready.
///
/// **Shape:** dropping it kills it. If the test is failing by then, the end of its log is printed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: u32,
    address: SocketAddr,
    log: Log,
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().expect("nothing panics under this lock");
        if lines.len() == MAX_LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().expect("nothing panics under this lock");
        lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

impl Program {
    /// Starts `command` and waits for its word that it is ready. Its standard error is read for as
    /// long as it lives.
    pub(crate) async fn serving(mut command: Command) -> Self {
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        let pid = child.id().expect("it was not waited for yet");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Log::default();
        let address = tokio::time::timeout(PATIENCE, address(&mut lines, &log)).await;
        let Ok(Some(address)) = address else {
            panic!("{command:?} did not get ready; it said\n{}", log.text())
        };
        tokio::spawn(drain(lines, log.clone()));
        Self { child, pid, address, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The last lines that it logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Memory that it holds.
    ///
    /// **Units:** bytes. **Source:** `VmRSS` of proc(5), in KiB.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok());
        1024 * kibibytes.expect("a number of kB")
    }

    /// Whether it has not ended, seen from outside: it may be asked while others use the program.
    pub fn is_running(&self) -> bool {
        // The name, which may be anything, stands in brackets before the state; a zombie has ended.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// SIGKILL: what a crash, an operator and the kernel do.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGTERM: asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid =
            i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("the id of a process");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Its exit code, once it has ended; None if a signal ended it.
    pub async fn ended(&mut self, deadline: Duration) -> Option<i32> {
        let ended = tokio::time::timeout(deadline, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| {
            panic!("it still runs after {deadline:?}; it said\n{}", self.log.text())
        });
        status.expect("a child can be waited for").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Left behind by a program that saw another clock and was killed.
        for name in ["faketime_shm", "sem.faketime_sem"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}_{}", self.pid));
        }
        // The child itself is killed by its own drop.
        if std::thread::panicking() {
            eprintln!("the log of process {} ends with\n{}", self.pid, self.log.text());
        }
    }
}

/// Reads up to the line that says "… is ready", as JSON with a member `address`.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>, log: &Log) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        let reported: Value = serde_json::from_str(&line).unwrap_or_default();
        log.add(line);
        if reported["message"].as_str().is_some_and(|message| message.ends_with(" is ready")) {
            return reported["address"].as_str().and_then(|address| address.parse().ok());
        }
    }
    None
}

async fn drain(mut lines: Lines<BufReader<ChildStderr>>, log: Log) {
    while let Ok(Some(line)) = lines.next_line().await {
        log.add(line);
    }
}
