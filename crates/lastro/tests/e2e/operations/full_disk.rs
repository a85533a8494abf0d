//! A disk that fills up: orders are refused as long as it is full, and nothing that was accepted is lost.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use testbed::{PATIENCE, eventually};

use crate::answer::Answer;
use crate::shop::{Shop, data_in, lastro, order};

/// A shop whose data lies on a small disk of its own.
struct Cramped {
    shop: Shop,
    /// Orders that got their 200.
    accepted: Vec<String>,
}

impl Cramped {
    async fn open() -> Self {
        let folder: TempDir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(data_in(folder.path())).expect("a folder");
        let disk = data_in(folder.path());
        let shop = Shop::open_in(folder, |launch| launch.with_disk(&disk, "size=8m")).await;
        Self { shop, accepted: Vec::new() }
    }

    /// What fills the disk up, as seen from outside.
    fn ballast(&self) -> PathBuf {
        let within = data_in(self.shop.folder()).join("ballast");
        PathBuf::from(format!("/proc/{}/root{}", self.shop.programs.orders[0].pid(), within.display()))
    }

    /// Writes until there is no room for a single byte more.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file on the disk");
        for size in [64 << 10, 4 << 10, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast");
    }

    async fn place(&mut self) -> Answer {
        let answer = self.shop.place(&order(&[("MUG", 1)])).await;
        if answer.status == 200 {
            self.accepted.push(answer.text_at("/order_id"));
        }
        answer
    }

    /// Places orders until one is refused: what was there before the disk was full still holds a few.
    async fn place_until_refused(&mut self) -> Answer {
        for _ in 0..10_000 {
            let answer = self.place().await;
            if answer.status != 200 {
                return answer;
            }
        }
        panic!("a full disk takes orders without end");
    }

    async fn check_audit(&self) {
        let audit = lastro(self.shop.folder()).beside(&self.shop.programs.orders[0]).args(["verify", "--data-dir"]);
        let ended = audit.args([data_in(self.shop.folder())]).to_end().await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_orders_and_takes_them_again_when_there_is_room() {
    let mut cramped = Cramped::open().await;
    cramped.shop.stock("MUG", 1_000_000).await;
    for round in 1..=3 {
        cramped.fill();
        for _ in 0..20 {
            let refused = cramped.place_until_refused().await;
            assert_eq!(refused.verdict(), "503 storage_full", "round {round}");
        }
        let listed = cramped.shop.pages("/api/orders?limit=200").await.0.len();
        assert_eq!(listed, cramped.accepted.len(), "what was refused is not there, and what was accepted is");
        cramped.free();
        eventually(PATIENCE, "orders are accepted again", || async {
            (cramped.shop.place(&order(&[("MUG", 1)])).await.status == 200).then_some(())
        })
        .await;
        cramped.accepted = cramped.shop.column("/api/orders?limit=200", "order_id").await;
        for id in &cramped.accepted {
            cramped.shop.order_once(id, "confirmed").await;
        }
        cramped.check_audit().await;
    }
    let sold = i64::try_from(cramped.accepted.len()).expect("a number of orders");
    assert_eq!(cramped.shop.levels("MUG").await, [1_000_000, sold, 1_000_000 - sold]);
}
