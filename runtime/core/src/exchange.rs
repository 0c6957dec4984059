//! Hand-over between the scan and a link: preallocated boxes that circulate. Newest wins; no lock, no allocation, no waiting.
//!
//! SYNC POINT: two `ArrayQueue`s (full, free) of crossbeam synchronise every hand-over (their push releases, their pop acquires).
//! One giver and one taker per exchange.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

struct Shared<T> {
    full: ArrayQueue<Box<T>>,
    free: ArrayQueue<Box<T>>,
}

/// The side that fills boxes.
pub struct Giver<T> {
    shared: Arc<Shared<T>>,
    ring: Arc<dyn Fn() + Send + Sync>,
}

/// The side that empties them.
pub struct Taker<T> {
    shared: Arc<Shared<T>>,
    held: Option<Box<T>>,
}

/// An exchange of `boxes` boxes (at least 3), each made by `fill`. `ring` is called after each `give`.
#[must_use]
pub fn exchange<T>(
    boxes: usize,
    mut fill: impl FnMut() -> T,
    ring: Arc<dyn Fn() + Send + Sync>,
) -> (Giver<T>, Taker<T>) {
    assert!(boxes >= 3, "one box being filled, one waiting, one being read");
    let shared = Arc::new(Shared { full: ArrayQueue::new(boxes), free: ArrayQueue::new(boxes) });
    for _ in 0..boxes {
        assert!(shared.free.push(Box::new(fill())).is_ok());
    }
    (Giver { shared: Arc::clone(&shared), ring }, Taker { shared, held: None })
}

impl<T> Giver<T> {
    /// Fills a box by `write` and hands it over. When all boxes wait unread, the oldest is taken back and reused.
    ///
    /// Bounded: at most two queue operations more than there are boxes.
    pub fn give(&mut self, write: impl FnOnce(&mut T)) {
        let Some(mut free) = self.shared.free.pop().or_else(|| self.shared.full.pop()) else {
            // The taker moved the last waiting box between our two looks; it has now put others back or holds
            // the newest. Dropping this value is allowed: a newer one follows in the next cycle.
            return;
        };
        write(&mut free);
        // Capacity equals the number of boxes, so a push cannot fail.
        let _ = self.shared.full.push(free);
        (self.ring)();
    }
}

impl<T> Giver<T> {
    /// Hands over a filled box and leaves an empty one (with old contents) in its place. Returns false when nobody had returned one:
    /// then the filled box stays and its contents are lost to the taker.
    pub fn swap(&mut self, filled: &mut Box<T>) -> bool {
        let Some(mut empty) = self.shared.free.pop().or_else(|| self.shared.full.pop()) else { return false };
        std::mem::swap(filled, &mut empty);
        // One box was taken out above, so there is room.
        let given = self.shared.full.push(empty).is_ok();
        (self.ring)();
        given
    }
}

impl<T> Taker<T> {
    /// The newest box, if one has arrived since the last call. Older ones are returned unread.
    pub fn newest(&mut self) -> Option<&mut T> {
        let mut newest = self.shared.full.pop()?;
        while let Some(newer) = self.shared.full.pop() {
            let _ = self.shared.free.push(std::mem::replace(&mut newest, newer));
        }
        if let Some(old) = self.held.replace(newest) {
            let _ = self.shared.free.push(old);
        }
        self.held.as_deref_mut()
    }

    /// The next box in order (for streams in which every box counts), if one has arrived.
    pub fn pop(&mut self) -> Option<&mut T> {
        let next = self.shared.full.pop()?;
        if let Some(old) = self.held.replace(next) {
            let _ = self.shared.free.push(old);
        }
        self.held.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_wins_and_boxes_come_back() {
        let (mut giver, mut taker) = exchange(3, || 0u64, Arc::new(|| {}));
        assert_eq!(taker.newest(), None);
        for i in 1..=100 {
            giver.give(|b| *b = i);
        }
        assert_eq!(taker.newest().copied(), Some(100));
        assert_eq!(taker.newest(), None, "read once");
        giver.give(|b| *b = 101);
        assert_eq!(taker.newest().copied(), Some(101));
    }

    #[test]
    fn across_threads_values_only_move_forward() {
        let (mut giver, mut taker) = exchange(4, || 0u64, Arc::new(|| {}));
        let writer = std::thread::Builder::new().spawn(move || {
            for i in 1..=200_000u64 {
                giver.give(|b| *b = i);
            }
        });
        let writer = writer.expect("a thread");
        let mut last = 0;
        while last < 200_000 {
            if let Some(v) = taker.newest() {
                assert!(*v > last, "{v} after {last}");
                last = *v;
            } else if writer.is_finished() {
                // The very last box may have been given up (see `give`); everything before it was seen in order.
                match taker.newest() {
                    Some(v) => last = *v,
                    None => break,
                }
            }
        }
        writer.join().expect("writer");
        assert!(last > 0);
    }
}
