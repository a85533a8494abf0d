//! A disk of a test's own, small enough to be filled.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::PATIENCE;
use crate::user::is_root;

const BALLAST: &str = "ballast";

/// A tmpfs that is visible only to programs that are started on it ([`crate::Launch::on`]). It
/// outlives these programs and is unmounted when this value is dropped.
#[derive(Debug)]
pub struct Disk {
    /// Keeps the mount namespace alive.
    _holder: Child,
    pid: u32,
    mount_point: PathBuf,
}

impl Disk {
    /// Mounts a tmpfs with `options`, such as `size=8m`, at `mount_point`, an existing folder.
    ///
    /// # Panics
    ///
    /// Panics where mounting is not allowed: it needs root or user namespaces.
    pub async fn at(mount_point: &Path, options: &str) -> Self {
        let mut words: Vec<OsString> = vec!["unshare".into(), "--mount".into()];
        if !is_root() {
            words.extend(["--user".into(), "--map-root-user".into()]);
        }
        Self::mounted(
            words,
            mount_point,
            &format!("mount -t tmpfs -o {options} lastro-test \"$0\""),
        )
        .await
    }

    /// Mounts another tmpfs for a single file of this disk, in the same mount namespace. The files
    /// beside it stay on this disk.
    pub async fn for_file(&self, file: &str, options: &str) -> Self {
        let mount_point = self.mount_point.join(format!("{file}.disk"));
        let mount = format!(
            "mkdir \"$0\" && mount -t tmpfs -o {options} lastro-test \"$0\" && cd \"$0\" && touch {file} ../{file} && \
             mount --bind {file} ../{file}"
        );
        Self::mounted(self.entrance(), &mount_point, &mount).await
    }

    /// Mounts a tmpfs with the shell command `mount`, which finds the mount point in `$0`.
    async fn mounted(mut words: Vec<OsString>, mount_point: &Path, mount: &str) -> Self {
        words.extend([
            "sh".into(),
            "-c".into(),
            format!("{mount} && echo mounted && exec cat").into(),
            mount_point.into(),
        ]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().expect("unshare and nsenter, of the package util-linux");
        let pid = holder.id().expect("it was not waited for yet");
        let mut line = String::new();
        let mut said = String::new();
        let mut reported = BufReader::new(holder.stdout.take().expect("it is piped"));
        let read = tokio::time::timeout(PATIENCE, reported.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(_))) || line != "mounted\n" {
            let _ = holder.start_kill();
            let _ = holder.stderr.take().expect("it is piped").read_to_string(&mut said).await;
            panic!(
                "a disk cannot be mounted here, which takes root or user namespaces: {}",
                said.trim()
            );
        }
        Self { _holder: holder, pid, mount_point: mount_point.to_owned() }
    }

    /// The mount point, for programs that see the disk.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// A path on the disk as this process sees it.
    pub fn seen_from_outside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.pid, self.mount_point.join(path).display()))
    }

    /// The words before a command that let it see the disk.
    pub(crate) fn entrance(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["nsenter".into(), "--mount".into()];
        if !is_root() {
            words.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        words.push(format!("--target={}", self.pid).into());
        words
    }

    /// Writes until not one more byte fits.
    pub fn fill(&self) {
        let ballast =
            File::options().append(true).create(true).open(self.seen_from_outside(BALLAST));
        let mut ballast = ballast.expect("a file on the disk");
        for size in [64 << 10, 4 << 10, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// Removes the file that filled the disk.
    pub fn free(&self) {
        std::fs::remove_file(self.seen_from_outside(BALLAST)).expect("the ballast");
    }
}
