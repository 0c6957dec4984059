//! Sums of products over named axes (tract's einsum, which is also every Gemm and MatMul), as matrix products.
//!
//! Each axis of a pair of inputs has one of four parts: *batch* (both sides and the result), *row* (left and result), *column* (right and
//! result), *inner* (both sides, summed). The sides are brought to [batch, row, inner] and [batch, inner, column]. Axes of length 1 have no
//! part: they come back with the last reshape. Which input is the left one is free; the cheaper way is taken, where constants cost nothing.

use std::collections::HashMap;

use flyball_engine::index::{IndexMap, elements, strides};
use flyball_engine::op::ReduceKind;
use flyball_engine::{Binary, Graph, Node};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::value::{Value, concrete, data_at};
use super::{Why, moves, no};

/// A tensor with a letter for each of its axes.
#[derive(Clone)]
struct Lettered {
    node: Node,
    letters: Vec<char>,
}

/// Length of each axis.
type Lengths = HashMap<char, usize>;

/// The letter of the time axis that a sequence has in front; no letter of tract's.
const TRIP: char = '!';

/// Translates an einsum. With `sequence`, the inputs that are marked have a time axis in front, and so has the result.
pub(crate) fn einsum(
    graph: &mut Graph,
    op: &EinSum,
    node: &TypedNode,
    inputs: &[Value],
    sequence: Option<&[bool]>,
) -> Result<Node, Why> {
    if op.q_params.is_some() || op.operating_dt != f32::datum_type() {
        return no("works on quantised numbers");
    }
    let (ins, outs) = op.axes.to_strs();
    let mut result: Vec<char> = outs[0].chars().collect();
    let mut shape = concrete(&node.outputs[0].fact)?;
    let mut lengths = Lengths::new();
    let mut sides = Vec::new();
    for (slot, letters) in ins.iter().enumerate() {
        let node = data_at(graph, inputs, slot)?;
        let mut letters: Vec<char> = letters.chars().collect();
        if sequence.is_some_and(|marked| marked[slot]) {
            letters.insert(0, TRIP);
        }
        if letters.len() != graph.shape(node).len() {
            return no("an input has another rank than its formula");
        }
        for (letter, length) in letters.iter().zip(graph.shape(node)) {
            let known = lengths.entry(*letter).or_insert(1);
            *known = (*known).max(*length);
        }
        sides.push(Lettered { node, letters });
    }
    if sequence.is_some() {
        result.insert(0, TRIP);
        shape.insert(0, lengths[&TRIP]);
    }
    let product = contract(graph, sides, &result, &lengths)?;
    let wanted: Vec<char> = result.iter().copied().filter(|letter| product.letters.contains(letter)).collect();
    let ordered = order(graph, &product, &wanted)?;
    Ok(graph.reshape(ordered, &shape)?)
}

/// All inputs, pair by pair from the left; letters that are not in `result` are summed.
fn contract(graph: &mut Graph, sides: Vec<Lettered>, result: &[char], lengths: &Lengths) -> Result<Lettered, Why> {
    let mut left: Option<Lettered> = None;
    for (i, side) in sides.iter().enumerate() {
        let rest: Vec<char> = sides[i + 1..].iter().flat_map(|s| s.letters.iter().copied()).collect();
        let needed = |letter: char| result.contains(&letter) || rest.contains(&letter);
        let other = |letter: char| left.as_ref().is_some_and(|l| l.letters.contains(&letter));
        let side = simplest(graph, side.clone(), |letter| needed(letter) || other(letter), lengths)?;
        left = Some(match left {
            None => side,
            Some(left) => {
                let left = simplest(graph, left, |l| needed(l) || side.letters.contains(&l), lengths)?;
                pair(graph, left, side, &needed, result, lengths)?
            }
        });
    }
    left.map_or_else(|| no("has no input"), Ok)
}

/// One axis per letter, none of length 1, none that can be summed beforehand.
fn simplest(
    graph: &mut Graph,
    side: Lettered,
    needed: impl Fn(char) -> bool,
    lengths: &Lengths,
) -> Result<Lettered, Why> {
    let shape = graph.shape(side.node).to_vec();
    let from = strides(&shape);
    let mut letters: Vec<char> = Vec::new();
    for (letter, length) in side.letters.iter().zip(&shape) {
        if *length > 1 && !letters.contains(letter) {
            letters.push(*letter);
        }
    }
    let own: Vec<usize> = letters.iter().map(|letter| lengths[letter]).collect();
    // A letter that stands twice takes the diagonal: one step goes along both axes.
    let steps: Vec<usize> = letters
        .iter()
        .map(|letter| {
            let both = side.letters.iter().zip(&from).zip(&shape);
            both.filter(|((l, _), length)| *l == letter && **length > 1).map(|((_, step), _)| *step).sum()
        })
        .collect();
    let mut node = if elements(&own) == elements(&shape) {
        graph.reshape(side.node, &own)?
    } else {
        let map = IndexMap::from_fn(&own, 0.0, |at| Some(at.iter().zip(&steps).map(|(i, s)| i * s).sum()));
        moves::index(graph, &[side.node], &own, map)?
    };
    let summed: Vec<usize> = (0..letters.len()).filter(|axis| !needed(letters[*axis])).collect();
    if !summed.is_empty() {
        node = graph.reduce(ReduceKind::Sum, node, &summed)?;
        letters.retain(|letter| needed(*letter));
        let kept: Vec<usize> = letters.iter().map(|letter| lengths[letter]).collect();
        node = graph.reshape(node, &kept)?;
    }
    Ok(Lettered { node, letters })
}

/// Axes in the order of `letters`.
fn order(graph: &mut Graph, side: &Lettered, letters: &[char]) -> Result<Node, Why> {
    let place = |letter: &char| side.letters.iter().position(|own| own == letter);
    match letters.iter().map(place).collect::<Option<Vec<usize>>>() {
        Some(order) if order.len() == side.letters.len() => {
            if order.iter().copied().eq(0..order.len()) {
                return Ok(side.node);
            }
            moves::transpose(graph, side.node, &order)
        }
        _ => no("a formula that loses an axis"),
    }
}

/// The product of two sides that share letters.
fn pair(
    graph: &mut Graph,
    a: Lettered,
    b: Lettered,
    needed: &impl Fn(char) -> bool,
    result: &[char],
    lengths: &Lengths,
) -> Result<Lettered, Why> {
    let shared = |letter: &&char| a.letters.contains(letter) && b.letters.contains(letter);
    let batch: Vec<char> = a.letters.iter().filter(shared).filter(|l| needed(**l)).copied().collect();
    let inner: Vec<char> = a.letters.iter().filter(shared).filter(|l| !needed(**l)).copied().collect();
    let only = |side: &Lettered, other: &Lettered| -> Vec<char> {
        side.letters.iter().filter(|l| !other.letters.contains(l)).copied().collect()
    };
    let (row, column) = (only(&a, &b), only(&b, &a));
    if inner.is_empty() {
        return outer_product(graph, &a, &b, [batch, row, column], lengths);
    }
    let constant = |side: &Lettered| graph.constant_data(side.node).is_some();
    // How many tensors must be moved at run time, the result among them.
    let cost = |left: &Lettered, right: &Lettered, row: &[char], column: &[char]| {
        let moved = |side: &Lettered, wanted: Vec<char>| usize::from(!constant(side) && side.letters != wanted);
        let product = [&batch[..], row, column].concat();
        let wanted: Vec<char> = result.iter().copied().filter(|letter| product.contains(letter)).collect();
        moved(left, [&batch[..], row, &inner].concat())
            + moved(right, [&batch[..], &inner, column].concat())
            + usize::from(wanted.len() == product.len() && wanted != product)
    };
    let plain = cost(&a, &b, &row, &column);
    let swapped = cost(&b, &a, &column, &row);
    let swap = swapped < plain || (swapped == plain && constant(&a) && !constant(&b));
    let (left, right, row, column) = if swap { (b, a, column, row) } else { (a, b, row, column) };

    let left_node = order(graph, &left, &[&batch[..], &row, &inner].concat())?;
    let right_node = order(graph, &right, &[&batch[..], &inner, &column].concat())?;
    let size = |letters: &[char]| letters.iter().map(|letter| lengths[letter]).product::<usize>();
    let batches: Vec<usize> = if batch.is_empty() { vec![] } else { vec![size(&batch)] };
    let left_node = graph.reshape(left_node, &[&batches[..], &[size(&row), size(&inner)]].concat())?;
    let right_node = graph.reshape(right_node, &[&batches[..], &[size(&inner), size(&column)]].concat())?;
    let product = graph.matmul(left_node, right_node)?;
    let letters = [batch, row, column].concat();
    let shape: Vec<usize> = letters.iter().map(|letter| lengths[letter]).collect();
    Ok(Lettered { node: graph.reshape(product, &shape)?, letters })
}

/// Nothing is summed: a product with broadcasting.
fn outer_product(
    graph: &mut Graph,
    a: &Lettered,
    b: &Lettered,
    [batch, row, column]: [Vec<char>; 3],
    lengths: &Lengths,
) -> Result<Lettered, Why> {
    let letters = [&batch[..], &row, &column].concat();
    let mut widened = |side: &Lettered| {
        let own: Vec<char> = letters.iter().copied().filter(|letter| side.letters.contains(letter)).collect();
        let node = order(graph, side, &own)?;
        let length = |letter: &char| if own.contains(letter) { lengths[letter] } else { 1 };
        let shape: Vec<usize> = letters.iter().map(length).collect();
        Ok::<_, Why>(graph.reshape(node, &shape)?)
    };
    let (left, right) = (widened(a)?, widened(b)?);
    Ok(Lettered { node: graph.binary(Binary::Multiply, left, right)?, letters })
}
