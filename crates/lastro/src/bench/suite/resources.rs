//! What a process has used, read from `/proc`, and how fast the disk is.

use std::io::Write;
use std::path::Path;

use platform::process::ProgramError;
use rustix::process::Pid;
use tokio::time::Instant;

/// How many times the disk is asked.
const WRITES: usize = 200;
const BLOCK: [u8; 4096] = [7; 4096];

/// The bytes that a process has sent to the disk, `write_bytes` of proc(5). A zombie has them too.
///
/// # Errors
///
/// There is no such process, or this user may not look.
pub(super) fn written_bytes(pid: Pid) -> Result<u64, ProgramError> {
    number_in(pid, "io", "write_bytes:")
}

/// The memory that a process holds, `VmRSS` of proc(5), in bytes.
///
/// # Errors
///
/// There is no such process.
pub(super) fn resident_bytes(pid: Pid) -> Result<u64, ProgramError> {
    number_in(pid, "status", "VmRSS:").map(|kib| kib * 1024)
}

/// The most memory that a process has held so far, `VmHWM` of proc(5), in bytes.
///
/// # Errors
///
/// There is no such process.
pub(super) fn most_resident_bytes(pid: Pid) -> Result<u64, ProgramError> {
    number_in(pid, "status", "VmHWM:").map(|kib| kib * 1024)
}

fn number_in(pid: Pid, file: &str, name: &str) -> Result<u64, ProgramError> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| ProgramError::failed(format!("cannot read {path}: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| ProgramError::failed(format!("{path} has no {name}")))
}

/// The median time in milliseconds that the disk of a folder takes for 4 KiB and fdatasync(2).
///
/// # Errors
///
/// The disk cannot be written to.
pub(super) async fn sync_ms(folder: &Path) -> Result<f64, ProgramError> {
    let path = folder.join("sync");
    let times = tokio::task::spawn_blocking(move || times_of_syncs(&path));
    let times = times.await.map_err(ProgramError::failed)?.map_err(ProgramError::failed)?;
    Ok(super::table::median(&times))
}

/// Refuses a folder in memory, where every commit would be free.
///
/// # Errors
///
/// The folder is in memory, or cannot be asked for.
pub(super) fn refuse_memory(folder: &Path) -> Result<(), ProgramError> {
    // The numbers of tmpfs and ramfs in statfs(2).
    const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
    let kind = rustix::fs::statfs(folder).map_err(ProgramError::failed)?.f_type;
    if IN_MEMORY.contains(&kind) {
        let folder = folder.display();
        return Err(ProgramError::failed(format!(
            "{folder} is in memory, where nothing is durable; name a folder on a disk with TMPDIR"
        )));
    }
    Ok(())
}

#[expect(clippy::float_arithmetic, reason = "seconds become milliseconds")]
fn times_of_syncs(path: &Path) -> std::io::Result<Vec<f64>> {
    let mut file = std::fs::File::create(path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_refused() {
        let refused = refuse_memory(Path::new("/dev/shm")).expect_err("it is in memory");
        assert!(refused.to_string().contains("TMPDIR"), "{refused}");
    }
}
