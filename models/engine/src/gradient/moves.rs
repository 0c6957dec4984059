//! Adjoints through maps that move numbers: each input element sums the adjoints of all outputs that picked it.
//!
//! A map that repeats nothing is turned around into one map. Axes along which every pick repeats are summed. What is picked several times
//! otherwise is laid out in *layers*, each with at most one pick per input element, and the layers are summed.

use crate::gradient::backward::Backward;
use crate::graph::{GraphError, Node, check_size};
use crate::index::{FILLED, IndexMap, broadcast_strides, elements, for_each, place, strides};
use crate::op::{Binary, ReduceKind};

/// Per input element: the places in one seed's adjoint that are to be summed. Those of element `i` are `places[starts[i]..starts[i + 1]]`.
struct Sources {
    starts: Vec<usize>,
    places: Vec<u32>,
}

impl Sources {
    fn of(&self, element: usize) -> &[u32] {
        &self.places[self.starts[element]..self.starts[element + 1]]
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Those of `count` elements from `first` on.
    fn range(&self, first: usize, count: usize) -> Self {
        let (starts, begin) = (&self.starts[first..=first + count], self.starts[first]);
        let places = self.places[begin..starts[count]].to_vec();
        Self { starts: starts.iter().map(|start| start - begin).collect(), places }
    }

    fn layers(&self) -> usize {
        (0..self.count()).map(|i| self.of(i).len()).max().unwrap_or(0)
    }
}

impl Backward {
    /// y picks from all inputs, counted one after the other.
    pub(super) fn index(
        &mut self,
        map: &IndexMap,
        shape: &[usize],
        inputs: &[Node],
        adjoint: Node,
    ) -> Result<(), GraphError> {
        let sizes: Vec<usize> = inputs.iter().map(|input| elements(self.graph.shape(*input))).collect();
        let repeated = repeated_axes(map, shape, sizes.iter().sum());
        let summed: Vec<usize> = (0..shape.len()).map(|axis| if repeated[axis] { 1 } else { shape[axis] }).collect();
        let adjoint = self.sum_to(adjoint, shape, &summed)?;
        let narrow = self.narrow(adjoint);

        // Of repeated axes only the first place is looked at.
        let (full, own) = (strides(shape), broadcast_strides(&narrow, &summed));
        let mut pairs = Vec::with_capacity(elements(&summed));
        for_each(&summed, |at| {
            let pick = map.picks[place(at, &full)];
            if pick != FILLED {
                pairs.push((pick as usize, place(at, &own) as u32));
            }
        });
        let all = sources(sizes.iter().sum(), &pairs);
        let mut first = 0;
        for (input, size) in inputs.iter().zip(sizes) {
            if self.wants(*input) {
                let sources = all.range(first, size);
                let own = self.graph.shape(*input).to_vec();
                let (sources, own) = if narrow == summed { (sources, own) } else { narrowed(sources, own) };
                if let Some(sum) = self.gathered(&sources, adjoint)? {
                    let own = self.wide(&own);
                    let contribution = self.graph.reshape(sum, &own)?;
                    self.contribute(*input, contribution);
                }
            }
            first += size;
        }
        Ok(())
    }

    /// Sums of sources, as one flat axis behind the seed axis.
    fn gathered(&mut self, sources: &Sources, adjoint: Node) -> Result<Option<Node>, GraphError> {
        let layers = sources.layers();
        let everywhere: Vec<usize> = (0..sources.count()).collect();
        if layers <= 1 {
            return if layers == 0 { Ok(None) } else { self.layered(sources, &everywhere, 1, adjoint).map(Some) };
        }
        // Laying out all elements as often as the most picked one may be wasteful: those above `common` picks are then laid out on their own.
        let above = |common: usize| everywhere.iter().filter(move |i| sources.of(**i).len() > common);
        let cost = |common: &usize| match above(*common).count() {
            0 => everywhere.len() * common,
            heavy => everywhere.len() * (common + 2) + heavy * layers,
        };
        let mut candidates: Vec<usize> = everywhere.iter().map(|i| sources.of(*i).len()).filter(|n| *n > 0).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let common = candidates.into_iter().min_by_key(cost).unwrap_or(layers);
        let heavy: Vec<usize> = above(common).copied().collect();
        let sum = self.layered(sources, &everywhere, common, adjoint)?;
        if heavy.is_empty() {
            return Ok(Some(sum));
        }
        // Layers above `common` of the few.
        let rest = Sources {
            starts: std::iter::once(0)
                .chain(heavy.iter().scan(0, |end, i| {
                    *end += sources.of(*i).len() - common;
                    Some(*end)
                }))
                .collect(),
            places: heavy.iter().flat_map(|i| sources.of(*i)[common..].iter().copied()).collect(),
        };
        let few: Vec<usize> = (0..heavy.len()).collect();
        let more = self.layered(&rest, &few, layers - common, adjoint)?;
        let seeds = self.seeds.unwrap_or(1);
        check_size(&[seeds, sources.count()])?;
        let map = IndexMap::from_fn(&[seeds, sources.count()], 0.0, |at| {
            heavy.binary_search(&at[1]).ok().map(|i| at[0] * heavy.len() + i)
        });
        let flat = self.wide(&[sources.count()]);
        let more = self.moved(more, &flat, map)?;
        self.graph.binary(Binary::Add, sum, more).map(Some)
    }

    /// The first `layers` sources of each of these elements, laid out and summed.
    fn layered(&mut self, sources: &Sources, of: &[usize], layers: usize, adjoint: Node) -> Result<Node, GraphError> {
        let (seeds, front) = (self.seeds.unwrap_or(1), self.front());
        let stride = elements(&self.narrow(adjoint));
        check_size(&[seeds, layers, of.len()])?;
        let map = IndexMap::from_fn(&[seeds, layers, of.len()], 0.0, |at| {
            sources.of(of[at[2]]).get(at[1]).map(|place| at[0] * stride + *place as usize)
        });
        let flat = self.wide(&[of.len()]);
        if layers == 1 {
            return self.moved(adjoint, &flat, map);
        }
        let stacked = self.wide(&[layers, of.len()]);
        let stacked = self.moved(adjoint, &stacked, map)?;
        let sum = self.graph.reduce(ReduceKind::Sum, stacked, &[front])?;
        self.graph.reshape(sum, &flat)
    }
}

/// Axes along which no pick changes, if anything is picked twice at all.
fn repeated_axes(map: &IndexMap, shape: &[usize], total: usize) -> Vec<bool> {
    let mut seen = vec![false; total];
    let twice = map.picks.iter().any(|pick| *pick != FILLED && std::mem::replace(&mut seen[*pick as usize], true));
    let steps = strides(shape);
    let repeats = |axis: usize| {
        let (step, length) = (steps[axis], shape[axis]);
        length > 1
            && (step..map.picks.len()).all(|i| (i / step).is_multiple_of(length) || map.picks[i] == map.picks[i - step])
    };
    (0..shape.len()).map(|axis| twice && repeats(axis)).collect()
}

/// Sorts pairs of element and place by element, keeping their order otherwise.
fn sources(count: usize, pairs: &[(usize, u32)]) -> Sources {
    let mut starts = vec![0; count + 1];
    for (element, _) in pairs {
        starts[element + 1] += 1;
    }
    for element in 0..count {
        starts[element + 1] += starts[element];
    }
    let (mut next, mut places) = (starts.clone(), vec![0; starts[count]]);
    for (element, place) in pairs {
        places[next[*element]] = *place;
        next[*element] += 1;
    }
    Sources { starts, places }
}

/// Keeps one place of each axis along which all elements have the same sources.
fn narrowed(sources: Sources, shape: Vec<usize>) -> (Sources, Vec<usize>) {
    let steps = strides(&shape);
    let same = |axis: usize| {
        let (step, length) = (steps[axis], shape[axis]);
        (step..sources.count()).all(|i| (i / step).is_multiple_of(length) || sources.of(i) == sources.of(i - step))
    };
    let narrow: Vec<usize> = (0..shape.len()).map(|axis| if same(axis) { 1 } else { shape[axis] }).collect();
    let mut pairs = Vec::new();
    let mut count = 0;
    for_each(&narrow, |at| {
        pairs.extend(sources.of(place(at, &steps)).iter().map(|place| (count, *place)));
        count += 1;
    });
    (self::sources(count, &pairs), narrow)
}
