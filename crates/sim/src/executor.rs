//! The scheduler: runs all tasks of a world on one thread, in an order that the seed decides.
//! Tokio's virtual time stands still while a task can run, and then jumps to the next timer.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::node::Node;
use crate::random::Random;

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) type TaskId = u64;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Executor(Arc<Shared>);

#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    ready: Arc<Ready>,
}

/// What happens before the next step.
#[derive(Default)]
struct Orders {
    last_id: TaskId,
    spawned: Vec<(TaskId, Slot)>,
    killed: Vec<Node>,
    cancelled: Vec<TaskId>,
}

/// A task, and the node that it dies with.
struct Slot {
    node: Option<Node>,
    task: Task,
}

/// The tasks that can run, sorted, so that the order in which tokio wakes tasks has no effect.
#[derive(Default)]
struct Ready(Mutex<(BTreeSet<TaskId>, Option<Waker>)>);

impl Ready {
    fn push(&self, id: TaskId) {
        let mut ready = self.0.lock().expect("nothing panics under this lock");
        ready.0.insert(id);
        if let Some(waker) = ready.1.take() {
            waker.wake();
        }
    }

    /// Takes a random task that can run. If there is none, the task of `context` is woken later.
    fn pop(&self, random: &Random, context: &Context<'_>) -> Option<TaskId> {
        let mut ready = self.0.lock().expect("nothing panics under this lock");
        if ready.0.is_empty() {
            ready.1 = Some(context.waker().clone());
            return None;
        }
        let at = random.index(ready.0.len());
        let id = *ready.0.iter().nth(at)?;
        ready.0.remove(&id);
        Some(id)
    }
}

struct Bell {
    id: TaskId,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

impl Executor {
    /// Runs a task on a node, or, without one, for as long as the world lasts.
    pub(crate) fn spawn(
        &self,
        node: Option<Node>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> TaskId {
        let mut orders = self.orders();
        orders.last_id += 1;
        let id = orders.last_id;
        orders.spawned.push((id, Slot { node, task: Box::pin(task) }));
        drop(orders);
        self.0.ready.push(id);
        id
    }

    /// Ends all tasks of a node before the next step, wherever they are.
    pub(crate) fn kill(&self, node: Node) {
        let mut orders = self.orders();
        orders.spawned.retain(|(_, slot)| slot.node != Some(node));
        orders.killed.push(node);
    }

    /// Ends one task, wherever it is.
    pub(crate) fn cancel(&self, id: TaskId) {
        self.orders().cancelled.push(id);
    }

    /// Runs until `over`, which is called before every step.
    pub(crate) async fn run(&self, random: &Random, over: impl Fn() -> bool) {
        let mut slots = BTreeMap::new();
        let running = std::future::poll_fn(|context| {
            loop {
                self.obey(&mut slots);
                if over() {
                    return Poll::Ready(());
                }
                let Some(id) = self.0.ready.pop(random, context) else { return Poll::Pending };
                self.step(id, &mut slots);
            }
        });
        // Tokio makes its own tasks yield now and then; the steps of a world must not.
        tokio::task::unconstrained(running).await;
    }

    /// Drops tasks that never ran.
    pub(crate) fn clear(&self) {
        let spawned = mem::take(&mut self.orders().spawned);
        drop(spawned);
    }

    fn step(&self, id: TaskId, slots: &mut BTreeMap<TaskId, Slot>) {
        let Some(slot) = slots.get_mut(&id) else { return };
        let waker = Waker::from(Arc::new(Bell { id, ready: self.0.ready.clone() }));
        if slot.task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            slots.remove(&id);
        }
    }

    fn obey(&self, slots: &mut BTreeMap<TaskId, Slot>) {
        let (spawned, killed, cancelled) = {
            let mut orders = self.orders();
            (
                mem::take(&mut orders.spawned),
                mem::take(&mut orders.killed),
                mem::take(&mut orders.cancelled),
            )
        };
        if !killed.is_empty() {
            // Tasks that a node got after it was killed belong to its next start.
            slots.retain(|_, slot| slot.node.is_none_or(|node| !killed.contains(&node)));
        }
        slots.extend(spawned);
        cancelled.iter().for_each(|id| drop(slots.remove(id)));
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.0.orders.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_tasks_are_woken_decides_nothing() {
        let popped = |ids: [TaskId; 4]| {
            let (ready, random) = (Ready::default(), Random::of(7, "order of steps"));
            ids.iter().for_each(|id| ready.push(*id));
            [(); 5].map(|()| ready.pop(&random, &Context::from_waker(Waker::noop())))
        };
        let sorted = popped([1, 2, 3, 4]);
        assert!(sorted[..4].iter().all(Option::is_some) && sorted[4].is_none(), "{sorted:?}");
        assert_eq!(popped([4, 2, 1, 3]), sorted);
        assert_eq!(popped([3, 4, 2, 1]), sorted);
    }
}
