//! How a node of a windowed graph depends on time, and with which delay one step takes what it reads.
//!
//! Words: *steps* are counted from the reset, 0 to T - 1 over one window; *positions* are places along the time axis of a tensor. Position
//! `p` of a sequence stands at step `first + p`: a valid convolution has a later `first`, padding in front an earlier one. After step
//! `t` the one-step graph holds position `t - first` of every sequence. *Padding* is what a windowed tensor has before its position 0.

/// From when on values are right and free of the window's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Onset {
    /// First step after which the one-step graph's value is right.
    pub ready: isize,
    /// First step whose windowed value does not depend on where the window began; none for a loop.
    pub settled: Option<isize>,
}

impl Onset {
    /// Of a fed input.
    pub const FED: Self = Self { ready: 0, settled: Some(0) };

    /// Of a value computed from two.
    pub fn and(self, other: Self) -> Self {
        let settled = self.settled.zip(other.settled).map(|(a, b)| a.max(b));
        Self { ready: self.ready.max(other.ready), settled }
    }
}

/// A sequence: a tensor with one position per step along one axis, at least two of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Track {
    /// The time axis.
    pub axis: usize,
    /// Step at which position 0 stands; below 0 for padding in front.
    pub first: isize,
    /// Number of positions.
    pub len: usize,
    pub onset: Onset,
    /// The number that fills all positions before the step [`Track::begin`], if they are known.
    pub past: Option<f32>,
}

impl Track {
    /// Step of the first position that the one-step graph computes; what stands before it is padding, or was computed from it.
    pub fn begin(&self) -> isize {
        self.first.max(self.onset.ready)
    }

    /// Step after that of the last position.
    pub fn end(&self) -> isize {
        self.first + self.len as isize
    }

    /// True if a history must start at step [`Track::begin`] with numbers that are known beforehand, because the windowed tensor has
    /// positions there that no step computes, or because `padded` asks for some before position 0.
    pub fn starts_known(&self, padded: bool) -> bool {
        padded || self.first < self.begin()
    }

    /// True if values of `reach` steps ago are known: they were computed, or are plain padding.
    pub fn is_readable(&self, reach: usize) -> bool {
        reach == 0 || self.first >= self.begin() || self.past.is_some()
    }

    /// Onset of what looks back `reach` steps at this sequence; `padded` if it looks before position 0.
    pub fn seen(&self, reach: usize, padded: bool) -> Onset {
        let back = reach as isize;
        let ready = match (padded, self.first < self.begin()) {
            // All that is read before the sequence begins is in the history from the start.
            (true, _) => self.begin(),
            (false, true) => self.begin().max(self.first + back),
            (false, false) => self.onset.ready + back,
        };
        // Only the window has padding before position 0, so its beginning shows for `reach` steps.
        let from = |settled: isize| if padded { settled.max(self.first) } else { settled };
        Onset { ready, settled: self.onset.settled.map(|s| from(s) + back) }
    }
}

/// How a node depends on time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Time {
    /// Not at all.
    Still,
    /// It stands at the window's last step and has no time axis of its own, such as a loop's last state.
    Newest(Onset),
    /// It has a time axis.
    Along(Track),
}

/// How the one-step graph takes an input of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Take {
    /// As it stands.
    Whole,
    /// The first place along an axis: all places hold the same numbers.
    First {
        /// Axis.
        axis: usize,
    },
    /// From a history of the present and the last `reach` values: the oldest `steps` of these.
    Past {
        /// Steps to look back.
        reach: usize,
        /// Values taken, oldest first, at least 1.
        steps: usize,
        /// Number before position 0, if the node looks there.
        padding: Option<f32>,
    },
    /// A state of a loop whose first trip is at step `first`.
    State {
        /// Step.
        first: usize,
    },
}

impl Take {
    /// The present value of a sequence.
    pub const NOW: Self = Self::Past { reach: 0, steps: 1, padding: None };

    /// The value of some steps ago.
    pub fn delayed(steps: usize) -> Self {
        Self::Past { reach: steps, steps: 1, padding: None }
    }
}
