//! What operators see of the messages that were set aside.

use std::time::Duration;

use platform::admin::Requester;
use platform::quarantine::{
    EntryId, MAX_ENTRIES, QuarantineEntry, QuarantineFilter, QuarantineKind, Quarantined,
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
    let log = fresh.admin_log.page(None, 9).await.expect("a read");
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

pub(crate) async fn what_was_discarded_first_makes_room_in_a_full_quarantine(fresh: Fresh) {
    let texts: Vec<_> = (0..MAX_ENTRIES).map(|number| number.to_string()).collect();
    fresh.set_aside(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let discard = async |texts: &[&str]| {
        for text in texts {
            let id = entry_id(&garbage(text));
            let discarded = fresh.quarantine.discard(id, Requester::default()).await;
            discarded.expect("a commit").expect("an entry");
            fresh.clock.advance(Duration::from_secs(1));
        }
    };
    discard(&["3", "1", "2", "4"]).await;
    let discarded = async || fresh.set_aside_are(Some(true), 200).await.len();
    // "3" would be the first to go, but it comes again: it is known and stays.
    fresh.set_aside(&["a", "3", "a"]).await;
    assert_eq!(discarded().await, 2, "a took the room of 1");
    let kept = async |text: &str| {
        let found = fresh.quarantine.entry(entry_id(&garbage(text))).await.expect("a read");
        found.map(|(entry, _)| (entry.count, entry.discarded.is_some()))
    };
    assert_eq!((kept("1").await, kept("3").await), (None, Some((2, false))));
    assert_eq!((kept("a").await, kept("2").await), (Some((2, false)), Some((1, true))));

    let more = ["b", "c", "d"].map(garbage).to_vec();
    assert_eq!(fresh.store.quarantine(more).await.expect("written"), 1, "there are two rooms");
    assert_eq!(discarded().await, 0);
    assert_eq!(fresh.set_aside_are(None, 200).await.len(), MAX_ENTRIES);
    // What was pushed out begins anew.
    discard(&["a"]).await;
    fresh.set_aside(&["1"]).await;
    assert_eq!((kept("a").await, kept("1").await), (None, Some((1, false))));
}
