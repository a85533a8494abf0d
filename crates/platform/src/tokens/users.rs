//! How much each user may ask for.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex};

use crate::keys::KeyLimits;

/// The limits of the users that came lately, in two generations: when the young one is full, it
/// becomes the old one, and who has not come since then is forgotten.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Arc<str>, Arc<KeyLimits>>,
    old: HashMap<Arc<str>, Arc<KeyLimits>>,
}

impl Users {
    /// At most about 600 bytes each.
    const MAX_YOUNG: usize = 5000;

    /// The limits of a user, of which they may have used some.
    pub(super) fn limits(&self, actor: &Arc<str>) -> Arc<KeyLimits> {
        let mut users = self.0.lock().expect("nothing panics under this lock");
        if let Some(limits) = users.young.get(actor) {
            return limits.clone();
        }
        let limits = users.old.remove(actor).unwrap_or_else(|| Arc::new(KeyLimits::new(None)));
        if users.young.len() >= Self::MAX_YOUNG {
            users.old = mem::take(&mut users.young);
        }
        users.young.insert(actor.clone(), limits.clone());
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_what_they_used_and_the_table_stays_small() {
        let users = Users::default();
        let name = |n: usize| Arc::from(format!("user:{n}"));
        let first = users.limits(&name(0));
        for n in 0..4 * Users::MAX_YOUNG {
            users.limits(&name(n));
            // The first one comes now and then.
            if n % 1000 == 0 {
                assert!(Arc::ptr_eq(&first, &users.limits(&name(0))), "{n}");
            }
        }
        let known = users.0.lock().expect("no panic");
        assert!(known.young.len() + known.old.len() <= 2 * Users::MAX_YOUNG);
    }
}
