//! Laws of the admin log: it has what operators did, and nothing else.

use std::time::Duration;

use platform::admin::{AdminEntry, AdminNote};
use platform::quarantine::{EntryId, Quarantined};
use serde_json::{Value, json};

use super::*;

/// A request of an operator.
fn by_ana() -> Requester {
    Requester {
        actor: Some("key:ana".to_owned()),
        request_id: Some("r-1".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    }
}

impl Fresh {
    /// Sets messages aside. Returns the ids of their entries.
    async fn garbage(&self, texts: &[String]) -> Vec<EntryId> {
        let malformed = |text: &String| Quarantined::malformed(text.clone(), text.clone().into());
        let entries: Vec<_> = texts.iter().map(malformed).collect();
        let ids = entries.iter().map(|entry| EntryId(entry.key().try_into().expect("32 bytes")));
        let ids = ids.collect();
        assert_eq!(self.store.quarantine(entries).await.expect("written"), 0);
        ids
    }

    async fn entries(&self, before: Option<i64>, limit: u32) -> Vec<AdminEntry> {
        self.admin_log.page(before, limit).await.expect("a page")
    }
}

pub(crate) async fn the_admin_log_has_who_sent_a_command_again_and_who_discarded_a_message(
    fresh: Fresh,
) {
    fresh.run(vec![place(1), place(2), reserved(2)]).await;
    let entry = fresh.garbage(&["odd".to_owned()]).await[0];
    assert_eq!(fresh.entries(None, 9).await, [], "what clients do is in the histories");
    fresh.clock.advance(Duration::from_secs(1));
    for n in [1, 2] {
        // The second one waits for nothing.
        fresh.store.make_due(id(n), by_ana()).await.expect("a commit");
    }
    for _ in 0..2 {
        // The second time has no effect.
        fresh.quarantine.discard(entry, by_ana()).await.expect("a commit").expect("an entry");
    }
    let (subject, after) = ("GET /x".to_owned(), json!({"required_scope": null}).to_string());
    let note = AdminNote { requester: by_ana(), action: "refused", subject, after };
    fresh.admin_log.note(note).await.expect("noted");
    let log = fresh.entries(None, 9).await;
    let seen: Vec<_> =
        log.iter().map(|entry| (entry.action.as_str(), entry.subject.clone())).collect();
    assert_eq!(
        seen,
        [
            ("refused", "GET /x".to_owned()),
            ("discard_message", entry.to_string()),
            ("retry_command", id(1).to_string()),
        ]
    );
    for entry in &log {
        assert_eq!(entry.at, START.after(Duration::from_secs(1)));
        let AdminEntry { actor, request_id, address, .. } = entry.clone();
        assert_eq!(Requester { actor, request_id, address }, by_ana());
        assert_eq!(entry.before, None);
    }
    let after: Value = serde_json::from_str(&log[1].after).expect("JSON");
    assert_eq!(after, json!({"kind": "malformed", "reason": "odd", "count": 1}));
}

pub(crate) async fn the_admin_log_is_complete_page_by_page(fresh: Fresh) {
    let texts: Vec<String> = (10..22).map(|n| format!("odd {n}")).collect();
    let ids = fresh.garbage(&texts).await;
    for id in &ids {
        fresh.quarantine.discard(*id, by_ana()).await.expect("a commit");
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = fresh.entries(before, 5).await;
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page.into_iter().map(|entry| entry.subject));
    }
    seen.reverse();
    let expected: Vec<_> = ids.iter().map(EntryId::to_string).collect();
    assert_eq!(seen, expected);
}
