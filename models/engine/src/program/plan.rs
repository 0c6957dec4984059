//! The arena: gives every buffer a place such that buffers that live at the same time do not overlap.

/// A buffer while a program is made: it lives from step `born` to step `dies`, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffer {
    pub len: usize,
    pub born: usize,
    pub dies: usize,
}

/// Buffers begin at multiples of this many numbers: one cache line.
const ALIGN: usize = 16;

/// Begin of each buffer, and the length of the arena. Largest first, each at the lowest place that is free during its life (first fit
/// decreasing); equal lengths in the order of their making.
pub(crate) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(buffers[*i].len));
    let (mut at, mut total) = (vec![0; buffers.len()], 0);
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    for i in order {
        let own = &buffers[i];
        let size = own.len.next_multiple_of(ALIGN);
        // Those that live at the same time, by place.
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|j| buffers[**j].born <= own.dies && own.born <= buffers[**j].dies)
            .map(|j| (at[*j], at[*j] + buffers[*j].len.next_multiple_of(ALIGN)))
            .collect();
        taken.sort_unstable();
        let mut free = 0;
        for (begin, end) in taken {
            if free + size <= begin {
                break;
            }
            free = free.max(end);
        }
        at[i] = free;
        total = total.max(free + size);
        placed.push(i);
    }
    (at, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_together_never_overlaps_and_space_is_used_again() {
        let mut seed = 1_u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % n) as usize
        };
        for _ in 0..200 {
            let buffers: Vec<Buffer> = (0..40)
                .map(|_| {
                    let born = random(50);
                    Buffer { len: 1 + random(100), born, dies: born + random(6) }
                })
                .collect();
            let (at, total) = place(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                assert!(at[i] + a.len <= total && at[i] % ALIGN == 0);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let together = a.born <= b.dies && b.born <= a.dies;
                    let apart = at[i] + a.len <= at[j] || at[j] + b.len <= at[i];
                    assert!(!together || apart, "{i} {a:?} at {} and {j} {b:?} at {}", at[i], at[j]);
                }
            }
            let sum: usize = buffers.iter().map(|b| b.len.next_multiple_of(ALIGN)).sum();
            assert!(total < sum, "nothing was used again");
        }
    }
}
