//! TON, the on-delay timer of IEC 61131-3, in whole milliseconds as a PLC's TIME.

/// On-delay timer: `q` follows `IN` after it has been TRUE for `PT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ton {
    /// Output.
    pub q: bool,
    /// Elapsed time ET, ms, stops at PT.
    pub et_ms: u32,
}

impl Ton {
    /// One call per scan of `scan_ms`.
    pub fn call(&mut self, input: bool, pt_ms: u32, scan_ms: u32) {
        if input {
            self.et_ms = pt_ms.min(self.et_ms.saturating_add(scan_ms));
            self.q = self.et_ms >= pt_ms;
        } else {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_on_and_not_off() {
        let mut ton = Ton::default();
        for _ in 0..4 {
            ton.call(true, 500, 100);
            assert!(!ton.q);
        }
        ton.call(true, 500, 100);
        assert!(ton.q);
        ton.call(false, 500, 100);
        assert_eq!(ton, Ton::default());
    }
}
