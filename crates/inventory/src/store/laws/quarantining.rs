//! What operators see of the messages that were set aside.

use std::time::Duration;

use platform::admin::Requester;
use platform::quarantine::{
    EntryId, QuarantineEntry, QuarantineFilter, QuarantineKind, Quarantined,
};

use super::*;

fn garbage(text: &str) -> Quarantined {
    Quarantined::malformed(format!("not a message: {text}"), text.as_bytes().to_vec())
}

impl Fresh {
    async fn set_aside(&self, texts: &[&str]) {
        let entries = texts.iter().map(|text| garbage(text)).collect();
        assert_eq!(self.store.quarantine(entries).await.expect("written"), 0);
        self.clock.advance(Duration::from_secs(1));
    }

    /// The entries of a list, read in pages of this size, by the end of their reasons.
    async fn set_aside_are(&self, seen: Option<bool>, limit: u32) -> Vec<String> {
        let mut found: Vec<QuarantineEntry> = Vec::new();
        loop {
            let after = found.last().map(|last| (last.last_at, last.id));
            let filter = QuarantineFilter { seen, after, limit };
            let page = self.quarantine.list(filter).await.expect("a page");
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                let name = |entry: QuarantineEntry| entry.reason[15..].to_owned();
                return found.into_iter().map(name).collect();
            }
            found.extend(page);
        }
    }
}

fn entry_id(of: &Quarantined) -> EntryId {
    EntryId(of.key().try_into().expect("32 bytes"))
}

pub(crate) async fn entries_are_listed_by_their_last_repeat_page_by_page(fresh: Fresh) {
    fresh.set_aside(&["a"]).await;
    fresh.set_aside(&["b", "c", "d", "e"]).await;
    fresh.set_aside(&["a", "f"]).await;
    let all = fresh.set_aside_are(None, 100).await;
    let mut newest = all[..2].to_vec();
    newest.sort_unstable();
    assert_eq!((newest, all.len()), (vec!["a".to_owned(), "f".to_owned()], 6));
    for limit in 1..7 {
        assert_eq!(fresh.set_aside_are(None, limit).await, all);
        assert_eq!(fresh.set_aside_are(Some(false), limit).await, all);
        assert!(fresh.set_aside_are(Some(true), limit).await.is_empty());
    }
    let a = garbage("a");
    let (entry, bytes) =
        fresh.quarantine.entry(entry_id(&a)).await.expect("a read").expect("an entry");
    assert_eq!((entry.kind, entry.count, entry.length), (QuarantineKind::Malformed, 2, 1));
    assert_eq!((entry.first_at, entry.last_at), (START, Timestamp(START.0 + 2_000_000)));
    assert_eq!((entry.subject, entry.discarded, bytes), (None, None, b"a".to_vec()));
    let missing = fresh.quarantine.entry(EntryId([7; 32])).await.expect("a read");
    assert_eq!(missing, None);
}

pub(crate) async fn an_entry_is_discarded_until_it_comes_again(fresh: Fresh) {
    fresh.set_aside(&["a"]).await;
    fresh.set_aside(&["b"]).await;
    let discard = async |id, actor: &str| {
        let requester = Requester { actor: Some(actor.to_owned()), ..Requester::default() };
        fresh.quarantine.discard(id, requester).await.expect("a commit")
    };
    let a = entry_id(&garbage("a"));
    for actor in ["key:ana", "key:bob"] {
        let discarded = discard(a, actor).await.and_then(|entry| entry.discarded);
        let discarded = discarded.expect("discarded");
        assert_eq!(discarded.by.as_deref(), Some("key:ana"), "the second has no effect");
        assert_eq!(discarded.at, Timestamp(START.0 + 2_000_000));
        fresh.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(fresh.set_aside_are(Some(false), 9).await, ["b"]);
    assert_eq!(fresh.set_aside_are(Some(true), 9).await, ["a"]);
    assert_eq!(fresh.set_aside_are(None, 9).await, ["b", "a"], "the record stays");
    assert_eq!(discard(EntryId([7; 32]), "key:ana").await, None);
    let log = fresh.audit.admin_log(None, 9).await.expect("a read");
    let log: Vec<_> = log
        .iter()
        .map(|it| (it.actor.as_deref(), it.action.as_str(), it.subject.clone()))
        .collect();
    assert_eq!(log, [(Some("key:ana"), "discard_message", a.to_string())]);

    fresh.set_aside(&["a"]).await;
    assert_eq!(fresh.set_aside_are(Some(false), 9).await, ["a", "b"]);
    let (entry, _) = fresh.quarantine.entry(a).await.expect("a read").expect("an entry");
    assert_eq!((entry.discarded, entry.count), (None, 2));
}
