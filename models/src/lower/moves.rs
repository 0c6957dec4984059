//! Operators that only move numbers: tract runs them once on places, and what comes out says where each number comes from.
//!
//! So slice, transpose, concatenation, gather and the rest are each right by construction, with one index map as the result.

use flyball_engine::graph::ELEMENTS_MAX;
use flyball_engine::index::{FILLED, IndexMap, elements, strides};
use flyball_engine::{Graph, Node, Op};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::AxisOp;
use tract_onnx::tract_core::ops::array::{
    FiniteReshape, Gather, GatherElements, GatherNd, MultiBroadcastTo, Pad, PadMode, Slice, StridedSlice, Tile, Trilu,
    TypedConcat,
};
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::logic::Iff;

use super::value::{Value, concrete, data, evaluate, known};
use super::{Why, no};

/// True for operators that compute nothing; a selection is one if its condition is known.
pub(crate) fn is_move(node: &TypedNode, inputs: &[Value]) -> bool {
    (node.op_is::<Iff>() && matches!(inputs.first(), Some(Value::Fixed(_))))
        || node.op_is::<AxisOp>()
        || node.op_is::<FiniteReshape>()
        || node.op_is::<Gather>()
        || node.op_is::<GatherElements>()
        || node.op_is::<GatherNd>()
        || node.op_is::<Identity>()
        || node.op_is::<MultiBroadcastTo>()
        || node.op_is::<Pad>()
        || node.op_is::<Slice>()
        || node.op_is::<StridedSlice>()
        || node.op_is::<Tile>()
        || node.op_is::<Trilu>()
        || node.op_is::<TypedConcat>()
        // A private type; it hands its input on, and fails in training mode.
        || node.op.name() == "Dropout"
}

/// Translates a move. With `trips`, every input of numbers is a sequence with one more axis in front, and so is the result.
pub(crate) fn moves(
    graph: &mut Graph,
    node: &TypedNode,
    inputs: &[Value],
    trips: Option<usize>,
) -> Result<Vec<Value>, Why> {
    for output in &node.outputs {
        concrete(&output.fact)?;
    }
    if let Some(op) = node.op_as::<Pad>() {
        return Ok(vec![Value::Data(pad(graph, op, inputs, trips)?)]);
    }
    // Places count from 1: what the operator itself fills with 0 comes from nowhere.
    let (mut fed, mut sources, mut begin) = (TVec::new(), Vec::new(), 1_i64);
    for (slot, value) in inputs.iter().enumerate() {
        let steers = if node.op_is::<Iff>() { slot == 0 } else { slot > 0 && !node.op_is::<TypedConcat>() };
        match value {
            Value::Test(_) => return no("moves the outcome of a comparison"),
            _ if steers => match known(graph, value) {
                Some(tensor) => fed.push(tensor.into_tvalue()),
                None => return no("takes positions that are not constant"),
            },
            _ => {
                let source = data(graph, value)?;
                let shape = slice_shape(graph, source, trips)?;
                let places: Vec<i64> = (begin..begin + elements(&shape) as i64).collect();
                begin += places.len() as i64;
                fed.push(Tensor::from_shape(&shape, &places)?.into_tvalue());
                sources.push(source);
            }
        }
    }
    let Some(results) = evaluate(node.op.as_ref(), fed)? else {
        return no("has a state that the engine does not know");
    };
    let mut made = Vec::new();
    for result in results {
        if result.datum_type() != i64::datum_type() {
            made.push(Value::Fixed(result.into_arc_tensor()));
            continue;
        }
        let plain = result.try_as_plain_ram()?;
        let picks: Vec<Option<usize>> = plain.as_slice::<i64>()?.iter().map(|p| usize::try_from(*p - 1).ok()).collect();
        made.push(Value::Data(place(graph, &sources, result.shape(), &picks, 0.0, trips)?));
    }
    Ok(made)
}

/// Shape of one trip's slice of a sequence, or the shape itself.
fn slice_shape(graph: &Graph, node: Node, trips: Option<usize>) -> Result<Vec<usize>, Why> {
    match (graph.shape(node), trips) {
        ([first, rest @ ..], Some(trips)) if *first == trips => Ok(rest.to_vec()),
        (shape, None) => Ok(shape.to_vec()),
        _ => no("mixes a sequence with something else"),
    }
}

/// A result whose numbers come from these places, counted over all sources one after the other; `None` is filled.
pub(crate) fn place(
    graph: &mut Graph,
    sources: &[Node],
    shape: &[usize],
    picks: &[Option<usize>],
    fill: f32,
    trips: Option<usize>,
) -> Result<Node, Why> {
    let Some(trips) = trips else {
        let picks = picks.iter().map(|p| p.map_or(FILLED, |p| p as u32)).collect();
        return index(graph, sources, shape, IndexMap { picks, fill });
    };
    if picks.len().checked_mul(trips).is_none_or(|n| n > ELEMENTS_MAX) {
        return no(format!("{trips} times shape {shape:?}; at most {ELEMENTS_MAX} numbers"));
    }
    // Where each source begins, counted in slices and counted in whole sequences.
    let (mut slices, mut wholes) = (vec![0], vec![0]);
    for source in sources {
        let whole = elements(graph.shape(*source));
        slices.push(slices[slices.len() - 1] + whole / trips);
        wholes.push(wholes[wholes.len() - 1] + whole);
    }
    let mut all = Vec::with_capacity(picks.len() * trips);
    for trip in 0..trips {
        all.extend(picks.iter().map(|pick| {
            pick.map_or(FILLED, |pick| {
                let source = slices.partition_point(|begin| *begin <= pick) - 1;
                let size = slices[source + 1] - slices[source];
                (wholes[source] + trip * size + pick - slices[source]) as u32
            })
        }));
    }
    let shape: Vec<usize> = std::iter::once(trips).chain(shape.iter().copied()).collect();
    index(graph, sources, &shape, IndexMap { picks: all.into(), fill })
}

/// An index node; moves of moves become one, and constants move now, however large they are.
pub(crate) fn index(graph: &mut Graph, sources: &[Node], shape: &[usize], map: IndexMap) -> Result<Node, Why> {
    if let Some(numbers) = constant_numbers(graph, sources) {
        let moved: Vec<f32> =
            map.picks.iter().map(|p| if *p == FILLED { map.fill } else { numbers[*p as usize] }).collect();
        return Ok(graph.constant(shape, moved)?);
    }
    let (sources, map) = through(graph, sources, map);
    if sources.is_empty() {
        return Ok(graph.constant(shape, vec![map.fill; map.picks.len()])?);
    }
    Ok(graph.index(&sources, shape, map)?)
}

/// The same move straight from what its sources are moved from; sources that nothing comes from are left out.
fn through(graph: &Graph, sources: &[Node], map: IndexMap) -> (Vec<Node>, IndexMap) {
    let needs_fill = map.picks.contains(&FILLED);
    let mut fill = needs_fill.then_some(map.fill);
    // For every place of the old sources: which new source, and the place in it.
    let (mut found, mut from): (Vec<Node>, Vec<Option<(usize, usize)>>) = (Vec::new(), Vec::new());
    let mut slot = |node: Node| {
        found.iter().position(|known| *known == node).unwrap_or_else(|| {
            found.push(node);
            found.len() - 1
        })
    };
    for source in sources {
        let mut inner = *source;
        while matches!(graph.node(inner).op, Op::Reshape) {
            inner = graph.node(inner).inputs[0];
        }
        let moved = match &graph.node(inner).op {
            Op::Index(first) => {
                let fills = first.picks.contains(&FILLED);
                let agrees = !fills || fill.is_none_or(|known| known.to_bits() == first.fill.to_bits());
                if fills && agrees {
                    fill = Some(first.fill);
                }
                agrees.then_some(first)
            }
            _ => None,
        };
        let Some(first) = moved else {
            let slot = slot(inner);
            from.extend((0..elements(graph.shape(inner))).map(|place| Some((slot, place))));
            continue;
        };
        let inputs = &graph.node(inner).inputs;
        let slots: Vec<usize> = inputs.iter().map(|node| slot(*node)).collect();
        let places: Vec<(usize, usize)> = inputs
            .iter()
            .zip(slots)
            .flat_map(|(node, slot)| (0..elements(graph.shape(*node))).map(move |place| (slot, place)))
            .collect();
        from.extend(first.picks.iter().map(|p| if *p == FILLED { None } else { Some(places[*p as usize]) }));
    }
    let picked = |pick: &u32| if *pick == FILLED { None } else { from[*pick as usize] };
    let mut used = vec![false; found.len()];
    map.picks.iter().filter_map(picked).for_each(|(slot, _)| used[slot] = true);
    let mut begins = vec![0; found.len()];
    let mut begin = 0;
    for (slot, node) in found.iter().enumerate().filter(|(slot, _)| used[*slot]) {
        begins[slot] = begin;
        begin += elements(graph.shape(*node));
    }
    let picks = map.picks.iter().map(|p| picked(p).map_or(FILLED, |(slot, place)| (begins[slot] + place) as u32));
    let map = IndexMap { picks: picks.collect(), fill: fill.unwrap_or(map.fill) };
    let kept = found.iter().zip(&used).filter(|(_, used)| **used).map(|(node, _)| *node).collect();
    (kept, map)
}

fn constant_numbers(graph: &Graph, sources: &[Node]) -> Option<Vec<f32>> {
    let all: Option<Vec<_>> = sources.iter().map(|source| graph.constant_data(*source)).collect();
    Some(all?.into_iter().flat_map(|numbers| numbers.iter().copied()).collect())
}

/// Axes in another order, as [`Graph::transpose`], through [`index`].
pub(crate) fn transpose(graph: &mut Graph, node: Node, order: &[usize]) -> Result<Node, Why> {
    let own = graph.shape(node).to_vec();
    let from = strides(&own);
    let shape: Vec<usize> = order.iter().map(|axis| own[*axis]).collect();
    let map = IndexMap::from_fn(&shape, 0.0, |at| Some(at.iter().zip(order).map(|(i, axis)| i * from[*axis]).sum()));
    index(graph, &[node], &shape, map)
}

/// Padding with a constant, the border or the mirrored inside; negative padding cuts off.
fn pad(graph: &mut Graph, op: &Pad, inputs: &[Value], trips: Option<usize>) -> Result<Node, Why> {
    let source = super::value::data_at(graph, inputs, 0)?;
    let own = slice_shape(graph, source, trips)?;
    let from = strides(&own);
    // The importer keeps a negative number of the file as its two's complement.
    let before: Vec<isize> = op.pads.iter().map(|(before, _)| *before as isize).collect();
    let mut shape = Vec::new();
    for (dim, (before, after)) in own.iter().zip(&op.pads) {
        let padded = (*dim as isize).checked_add(*before as isize).and_then(|n| n.checked_add(*after as isize));
        match padded.and_then(|n| usize::try_from(n).ok()) {
            Some(padded) if padded <= ELEMENTS_MAX => shape.push(padded),
            _ => return no(format!("padding {:?} of shape {own:?}", op.pads)),
        }
    }
    let fill = match &op.mode {
        PadMode::Constant(value) => value.cast_to_scalar::<f32>()?,
        PadMode::Reflect | PadMode::Edge => 0.0,
    };
    let inside = |axis: usize, at: usize| -> Option<usize> {
        let (place, dim) = (at as isize - before[axis], own[axis] as isize);
        let place = match &op.mode {
            _ if (0..dim).contains(&place) => place,
            PadMode::Constant(_) => return None,
            PadMode::Edge => place.clamp(0, dim - 1),
            PadMode::Reflect if place < 0 => -place,
            PadMode::Reflect => 2 * (dim - 1) - place,
        };
        (0..dim).contains(&place).then_some(place as usize)
    };
    let mut picks = Vec::new();
    let mut outside = false;
    flyball_engine::index::for_each(&shape, |at| {
        let pick = at.iter().enumerate().try_fold(0, |sum, (axis, i)| inside(axis, *i).map(|i| sum + i * from[axis]));
        outside |= pick.is_none();
        picks.push(pick);
    });
    if outside && !matches!(op.mode, PadMode::Constant(_)) {
        return no(format!("padding {:?} of shape {own:?} reaches further than the tensor", op.pads));
    }
    place(graph, &[source], &shape, &picks, fill, trips)
}
