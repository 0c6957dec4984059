//! Moves as segments: from a list of picks to rows that are copied, stretches that are gathered, and fillings.

use super::step::{Place, Segment};
use crate::index::FILLED;

/// Neighbours from which on a move copies instead of gathering one by one.
const COPY_MIN: usize = 8;

/// Splits picks into runs that are copied, stretches that are gathered, and fillings.
pub(super) fn segments(picks: &[u32], sources: &[Place]) -> (Vec<Segment>, Vec<u32>) {
    let mut begins = Vec::with_capacity(sources.len());
    let mut total = 0;
    for source in sources {
        begins.push(total);
        total += source.len;
    }
    let source_of = |pick: u32| begins.partition_point(|b| *b <= pick as usize) - 1;
    let (mut segments, mut table): (Vec<Segment>, Vec<u32>) = (Vec::new(), Vec::new());
    let (mut copies, mut fills) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < picks.len() {
        let to = at as u32;
        if picks[at] == FILLED {
            let len = picks[at..].iter().take_while(|p| **p == FILLED).count();
            fills.push((to, len as u32));
            at += len;
            continue;
        }
        let source = source_of(picks[at]);
        let (begin, end) = (begins[source], begins[source] + sources[source].len);
        let run = picks[at..]
            .iter()
            .enumerate()
            .take_while(|(i, p)| **p != FILLED && **p as usize == picks[at] as usize + i && (**p as usize) < end)
            .count();
        let from = picks[at] - begin as u32;
        if run >= COPY_MIN {
            copies.push((source as u32, from, to, run as u32));
        } else {
            let entries = picks[at..at + run].iter().map(|p| p - begin as u32);
            match segments.last_mut() {
                Some(Segment::Gather { source: same, to: first, len, .. })
                    if *same as usize == source && *first + *len == to =>
                {
                    *len += run as u32;
                }
                _ => segments.push(Segment::Gather {
                    source: source as u32,
                    table: table.len() as u32,
                    to,
                    len: run as u32,
                }),
            }
            table.extend(entries);
        }
        at += run;
    }
    segments.extend(copy_rows(&copies));
    segments.extend(fill_rows(&fills));
    (segments, table)
}

/// Runs of the same length and source that follow each other at equal distances, as rows of one segment.
fn copy_rows(copies: &[(u32, u32, u32, u32)]) -> Vec<Segment> {
    let mut rows: Vec<Segment> = Vec::new();
    for (source, from, to, len) in copies.iter().copied() {
        if let Some(Segment::Copy { source: s, from: f, to: t, len: l, count, from_step, to_step }) = rows.last_mut()
            && (*s, *l) == (source, len)
            && from > *f
        {
            if *count == 1 {
                (*from_step, *to_step) = (from - *f, to - *t);
            }
            if from == *f + *count * *from_step && to == *t + *count * *to_step {
                *count += 1;
                continue;
            }
        }
        rows.push(Segment::Copy { source, from, to, len, count: 1, from_step: 0, to_step: 0 });
    }
    rows
}

/// The same for fillings.
fn fill_rows(fills: &[(u32, u32)]) -> Vec<Segment> {
    let mut rows: Vec<Segment> = Vec::new();
    for (to, len) in fills.iter().copied() {
        if let Some(Segment::Fill { to: t, len: l, count, to_step }) = rows.last_mut()
            && *l == len
        {
            if *count == 1 {
                *to_step = to - *t;
            }
            if to == *t + *count * *to_step {
                *count += 1;
                continue;
            }
        }
        rows.push(Segment::Fill { to, len, count: 1, to_step: 0 });
    }
    rows
}
