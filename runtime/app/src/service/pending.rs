//! Why: what waits to be sent to the service, bounded however long the service does not read: the newest value per node wins.
//!
//! Also the memory from which a restarted service gets everything again: the newest value of every node is kept.
//! The lock is held for copying a few values, never while a pipe is written; the scan thread does not come here.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use flyball_core::outside::{Change, Reply};

use super::channel::ToService;

/// Replies that wait at most; a client whose reply is dropped gets its own time-out.
const REPLIES_MAX: usize = 256;
/// Changes in one message: small enough that a reply does not wait long behind it.
const CHANGES_PER_MESSAGE: usize = 1024;

#[derive(Default)]
struct Inner {
    newest: Vec<Option<Change>>,
    /// Nodes to send, in the order of their first unsent change; `queued[node]` says that it is in here.
    order: VecDeque<u32>,
    queued: Vec<bool>,
    replies: VecDeque<Reply>,
    replies_dropped: u64,
    level: Option<u8>,
    level_queued: bool,
    ping: Option<u32>,
    shutdown: bool,
    /// Counts child processes: a writer of an old child gets nothing more.
    generation: u64,
}

/// Values and replies on their way to the service.
pub(super) struct Pending {
    inner: Mutex<Inner>,
    /// Signalled when something was put in.
    more: Condvar,
}

impl Pending {
    /// For a directory of this many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let inner = Inner { newest: vec![None; nodes], queued: vec![false; nodes], ..Inner::default() };
        Self { inner: Mutex::new(inner), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every section below leaves the data whole at each step, so a panic elsewhere does not make it unusable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts changes in. A node outside the directory is ignored. Work is proportional to `changes`.
    pub(super) fn changes(&self, changes: &[Change]) {
        let mut inner = self.lock();
        for change in changes {
            let at = change.node as usize;
            let Some(newest) = inner.newest.get_mut(at) else { continue };
            newest.clone_from(&Some(change.clone()));
            if !inner.queued[at] {
                inner.queued[at] = true;
                inner.order.push_back(change.node);
            }
        }
        drop(inner);
        self.more.notify_one();
    }

    /// Puts a reply in; the oldest is dropped when too many wait.
    pub(super) fn reply(&self, reply: Reply) {
        let mut inner = self.lock();
        if inner.replies.len() == REPLIES_MAX {
            inner.replies.pop_front();
            inner.replies_dropped += 1;
        }
        inner.replies.push_back(reply);
        drop(inner);
        self.more.notify_one();
    }

    /// Sets the ServiceLevel.
    pub(super) fn level(&self, level: u8) {
        let mut inner = self.lock();
        inner.level_queued |= inner.level != Some(level);
        inner.level = Some(level);
        drop(inner);
        self.more.notify_one();
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&self, number: u32) {
        self.lock().ping = Some(number);
        self.more.notify_one();
    }

    /// The last message is Shutdown.
    pub(super) fn shutdown(&self) {
        self.lock().shutdown = true;
        self.more.notify_one();
    }

    /// A new child: queues every known value again, forgets replies to calls that the old one took. Returns its generation.
    pub(super) fn start_anew(&self) -> u64 {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.order.clear();
        for (node, newest) in (0u32..).zip(&inner.newest) {
            inner.queued[node as usize] = newest.is_some();
            if newest.is_some() {
                inner.order.push_back(node);
            }
        }
        inner.replies.clear();
        inner.ping = None;
        inner.level_queued = inner.level.is_some();
        inner.generation += 1;
        let generation = inner.generation;
        drop(guard);
        self.more.notify_all();
        generation
    }

    /// Waits for the next message of this generation. None: another generation has begun.
    ///
    /// Order: shutdown, ping, replies, ServiceLevel, changes; so a flood of values delays no answer.
    pub(super) fn next(&self, generation: u64) -> Option<ToService> {
        let mut inner = self.lock();
        loop {
            if inner.generation != generation {
                return None;
            }
            if let Some(message) = inner.take() {
                return Some(message);
            }
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nodes that have a value.
    pub(super) fn known(&self) -> u32 {
        let known = self.lock().newest.iter().flatten().count();
        u32::try_from(known).unwrap_or(u32::MAX)
    }

    /// Replies dropped because the service did not read.
    pub(super) fn replies_dropped(&self) -> u64 {
        self.lock().replies_dropped
    }
}

impl Inner {
    fn take(&mut self) -> Option<ToService> {
        if self.shutdown {
            return Some(ToService::Shutdown);
        }
        if let Some(number) = self.ping.take() {
            return Some(ToService::Ping(number));
        }
        if let Some(reply) = self.replies.pop_front() {
            return Some(ToService::Reply(reply));
        }
        if std::mem::take(&mut self.level_queued)
            && let Some(level) = self.level
        {
            return Some(ToService::ServiceLevel(level));
        }
        if self.order.is_empty() {
            return None;
        }
        let count = self.order.len().min(CHANGES_PER_MESSAGE);
        let mut changes = Vec::with_capacity(count);
        for node in self.order.drain(..count) {
            self.queued[node as usize] = false;
            changes.extend(self.newest[node as usize].clone());
        }
        Some(ToService::Changes(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::outside::NodeValue;

    fn change(node: u32, value: u64) -> Change {
        Change { node, value: Some(NodeValue::Whole(value)), status: 0, source_time: 0 }
    }

    /// Not `next`: a test that misses a message shall fail, not wait for it.
    fn taken(pending: &Pending) -> Vec<Change> {
        match pending.lock().take() {
            Some(ToService::Changes(changes)) => changes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_value_per_node_wins_and_the_queue_is_bounded_by_the_nodes() {
        let pending = Pending::new(3);
        pending.start_anew();
        for value in 0..10_000 {
            pending.changes(&[change(2, value), change(0, value), change(99, value)]);
        }
        assert_eq!(taken(&pending), [change(2, 9_999), change(0, 9_999)]);
        assert_eq!(pending.known(), 2, "node 99 is not in the directory");
    }

    #[test]
    fn a_new_child_gets_everything_again() {
        let pending = Pending::new(3);
        let old = pending.start_anew();
        pending.changes(&[change(0, 1), change(1, 2)]);
        taken(&pending);
        pending.changes(&[change(1, 3)]);
        pending.level(200);
        pending.reply(Reply { id: 1, status: 0, text: String::new() });
        pending.start_anew();
        assert_eq!(pending.next(old), None);
        assert_eq!(pending.lock().take(), Some(ToService::ServiceLevel(200)), "the reply belonged to the old child");
        assert_eq!(taken(&pending), [change(0, 1), change(1, 3)]);
    }

    #[test]
    fn replies_overtake_values_and_are_bounded() {
        let pending = Pending::new(1);
        let g = pending.start_anew();
        pending.changes(&[change(0, 1)]);
        for id in 0..300 {
            pending.reply(Reply { id, status: 0, text: String::new() });
        }
        assert_eq!(pending.replies_dropped(), 44);
        assert!(matches!(pending.next(g), Some(ToService::Reply(Reply { id: 44, .. }))));
    }
}
