//! How good a point is, in the order in which an operator judges: limits by rank, then the cost.

use flyball_core::bounds::CVS_MAX;

use crate::nlp::{RowLimits, Trial};

/// A violation below this, in units of concern, counts as none, and violations are compared in steps of it.
pub const VIOLATION_STEP: f64 = 1e-4;
/// Levels of one problem: one per CV, and one above all for what must never be given up.
pub const LEVELS_MAX: usize = CVS_MAX + 1;

/// A total order of points: fewer unmet levels (level 0 counts most), then smaller violations level by level, then the lower cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// Bit 63: the point lies outside the limits of an MV. Bit 62 - level: a limit of that level is not met.
    pub unmet: u64,
    /// Sum of violations per level in steps of [`VIOLATION_STEP`].
    pub amount: [u32; LEVELS_MAX],
    /// Cost; infinity when the model gave no usable number.
    pub cost: f64,
}

impl Key {
    /// Worse than every other.
    pub const WORST: Self = Self { unmet: u64::MAX, amount: [u32::MAX; LEVELS_MAX], cost: f64::INFINITY };
    /// Bit of [`Key::unmet`] for a point outside the limits of an MV.
    pub const OUTSIDE: u64 = 1 << 63;

    /// The key of a trial.
    #[must_use]
    pub fn of(trial: &Trial, limits: &[RowLimits]) -> Self {
        if !trial.usable {
            return Self::WORST;
        }
        let mut sums = [0.0; LEVELS_MAX];
        let mut key = Self { unmet: 0, amount: [0; LEVELS_MAX], cost: trial.cost };
        for (value, limits) in trial.rows.iter().zip(limits) {
            let violation = limits.violation(*value);
            if violation >= VIOLATION_STEP {
                key.unmet |= Self::bit(usize::from(limits.level));
                sums[usize::from(limits.level)] += violation;
            }
        }
        for (amount, sum) in key.amount.iter_mut().zip(sums) {
            // Saturates at the top, which is far outside any range.
            *amount = (sum / VIOLATION_STEP) as u32;
        }
        key
    }

    /// The bit of a level.
    #[must_use]
    pub const fn bit(level: usize) -> u64 {
        1 << (62 - level)
    }

    /// A limit of this level is not met.
    #[must_use]
    pub const fn gives_up(&self, level: usize) -> bool {
        self.unmet & Self::bit(level) != 0
    }

    /// No level worse, judged in the order of importance: violations only.
    #[must_use]
    pub fn limits_no_worse_than(&self, other: &Self) -> bool {
        (self.unmet, self.amount) <= (other.unmet, other.amount)
    }

    /// The total order.
    #[must_use]
    pub fn better_than(&self, other: &Self) -> bool {
        let (a, b) = ((self.unmet, self.amount), (other.unmet, other.amount));
        a < b || (a == b && self.cost < other.cost)
    }

    /// Meets limits better, where `order` is the place of each level in the order of importance.
    #[must_use]
    pub fn meets_more_than(&self, other: &Self, order: &[u8]) -> bool {
        let mut first: Option<(u8, bool)> = None;
        for (level, place) in order.iter().enumerate() {
            let (a, b) = (self.amount[level], other.amount[level]);
            if a != b && first.is_none_or(|(p, _)| *place < p) {
                first = Some((*place, a < b));
            }
        }
        first.is_some_and(|(_, less)| less)
    }

    /// For moves on the way to `goal`: judged level by level, what the goal meets first, then what it gives up. A less important limit
    /// may get worse only when a more important one gets better by more than rounding.
    #[must_use]
    pub fn move_no_worse_than(&self, stay: &Self, goal: &Self) -> bool {
        const MORE_THAN_ROUNDING: u32 = 4;
        for given_up in [false, true] {
            for level in (0..LEVELS_MAX).filter(|l| goal.gives_up(*l) == given_up) {
                let (moved, stayed) = (self.amount[level], stay.amount[level]);
                if moved > stayed {
                    return false;
                }
                if stayed - moved > MORE_THAN_ROUNDING {
                    return true;
                }
            }
        }
        true
    }
}
