//! Move blocks: how many steps each move of the plan holds.

/// Steps of a horizon at most.
pub const STEPS_MAX: usize = flyball_config::bounds::HORIZON_STEPS_MAX as usize;
/// MVs of a horizon at most.
pub const HORIZON_MVS_MAX: usize = 8;

/// Lengths of the blocks, in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    lengths: Vec<usize>,
    /// Block of each step.
    of: Vec<usize>,
}

impl Blocks {
    /// Blocks of these lengths; what they leave of `steps` is added to the last one. None when a length is 0, there is none, or they are
    /// longer than the horizon, or that is longer than [`STEPS_MAX`].
    #[must_use]
    pub fn new(lengths: &[usize], steps: usize) -> Option<Self> {
        let sum: usize = lengths.iter().sum();
        if lengths.is_empty() || lengths.contains(&0) || sum > steps || steps > STEPS_MAX {
            return None;
        }
        let mut lengths = lengths.to_vec();
        *lengths.last_mut()? += steps - sum;
        let of = lengths.iter().enumerate().flat_map(|(block, len)| std::iter::repeat_n(block, *len)).collect();
        Some(Self { lengths, of })
    }

    /// Number of blocks.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.of.len()
    }

    /// The block of a step; beyond the horizon the last one.
    #[must_use]
    pub fn of(&self, step: usize) -> usize {
        self.of[step.min(self.of.len() - 1)]
    }

    /// First step of a block.
    #[must_use]
    pub fn begin(&self, block: usize) -> usize {
        self.lengths[..block].iter().sum()
    }

    /// The block that an older plan, made `steps` ago, had where this block begins now.
    #[must_use]
    pub fn shifted(&self, block: usize, steps: usize) -> usize {
        self.of(self.begin(block) + steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_the_horizon_and_a_plan_shifts_by_time() {
        let blocks = Blocks::new(&[1, 1, 2, 4], 12).unwrap();
        assert_eq!((blocks.len(), blocks.steps()), (4, 12));
        assert_eq!((0..4).map(|b| blocks.begin(b)).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert_eq!((0..12).map(|s| blocks.of(s)).collect::<Vec<_>>(), [0, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((0..4).map(|b| blocks.shifted(b, 1)).collect::<Vec<_>>(), [1, 2, 2, 3]);
        for wrong in [(&[][..], 4), (&[1, 0], 4), (&[2, 3], 4), (&[1], 41)] {
            assert_eq!(Blocks::new(wrong.0, wrong.1), None, "{wrong:?}");
        }
    }
}
