//! Loops. What does not depend on a state is computed once for all steps before the loop: x W for every gate, and its bias.
//!
//! Each wire of the body has one of four kinds ([`Wire`]). Operators on kinds that the state does not reach are built outside, over a whole
//! sequence [trips, ...] where their rule is known ([`Loop::outside`]), the others inside. A bias that is added to a sum of an outside and an
//! inside term goes to the outside term, so that the loop adds once.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_engine::{Binary, Graph, GraphError, Node};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::Add;
use tract_onnx::tract_core::ops::scan::{InputMapping, Scan};

use super::recurrent::{time_back, time_first};
use super::simplify::{self, Known};
use super::value::{Value, concrete, constant, data_at};
use super::{Unsupported, Why, elementwise, matmul, moves, no, node_values, walk};

/// What a wire of the body is, seen from outside.
#[derive(Debug, Clone)]
enum Wire {
    /// The same in every trip; a value of the outer graph.
    Same(Value),
    /// A node of the outer graph with the trips in front.
    Sequence(Node),
    /// A value of the body.
    Inside(Value),
    /// An outside term (a sequence, or the same in every trip) plus a node of the body, not added yet.
    Sum { term: Node, sequence: bool, inside: Node },
}

/// Where an input of the body comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Feed {
    Sequence(Node),
    Same(Node),
}

struct Loop<'a> {
    outer: &'a mut Graph,
    inner: Graph,
    trips: usize,
    /// Inputs of the body that were made so far beside the states.
    feeds: Vec<(Feed, Node)>,
    made: HashMap<Feed, Node>,
    /// Sums of an outside and an inside term that were made so far.
    sums: HashMap<(Feed, Node), Node>,
}

/// Translates a loop. One trip is no loop: its body stands in the outer graph.
pub(crate) fn scan(graph: &mut Graph, op: &Scan, node: &TypedNode, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    if op.skip != 0 {
        return no("skips the first results of its loop");
    }
    let scanned =
        || op.input_mapping.iter().zip(inputs).filter_map(|(mapping, value)| Some((mapping.as_scan()?, value)));
    if scanned().any(|(info, _)| info.chunk.unsigned_abs() != 1)
        || op.output_mapping.iter().filter_map(|m| m.scan).any(|(_, info)| info.chunk.unsigned_abs() != 1)
    {
        return no("takes more than one step per trip of its loop");
    }
    let mut trips = None;
    for (slot, mapping) in op.input_mapping.iter().enumerate() {
        if let Some(info) = mapping.as_scan() {
            let x = data_at(graph, inputs, slot)?;
            trips = trips.or(graph.shape(x).get(info.axis).copied());
        }
    }
    let Some(trips) = trips else { return no("loops over nothing") };
    if trips == 1 {
        let results = walk(graph, &op.body, inputs).map_err(Why::Inside)?;
        return outputs(graph, op, node, &results.into_iter().map(|v| (v.clone(), v)).collect::<Vec<_>>());
    }
    let made = Loop {
        outer: graph,
        inner: Graph::new(),
        trips,
        feeds: Vec::new(),
        made: HashMap::new(),
        sums: HashMap::new(),
    };
    let results = made.run(op, inputs)?;
    let mut both = Vec::new();
    for ((last, stacked), mapping) in results.into_iter().zip(&op.output_mapping) {
        let stacked = match mapping.scan {
            Some((_, info)) => time_back(graph, stacked, info.axis, info.chunk < 0)?,
            None => stacked,
        };
        both.push((Value::Data(last), Value::Data(stacked)));
    }
    outputs(graph, op, node, &both)
}

/// Puts last values and stacked values into the node's slots.
fn outputs(graph: &mut Graph, op: &Scan, node: &TypedNode, results: &[(Value, Value)]) -> Result<Vec<Value>, Why> {
    let mut slots = vec![None; node.outputs.len()];
    for ((last, stacked), mapping) in results.iter().zip(&op.output_mapping) {
        if let Some((slot, _)) = mapping.scan {
            slots[slot] = Some(stacked.clone());
        }
        if let Some(slot) = mapping.last_value_slot {
            slots[slot] = Some(last.clone());
        }
    }
    let unused = Value::Data(graph.scalar(0.0)?);
    Ok(slots.into_iter().map(|slot| slot.unwrap_or_else(|| unused.clone())).collect())
}

impl Loop<'_> {
    /// Builds body and loop; per output of the body its last and its stacked node.
    fn run(mut self, op: &Scan, inputs: &[Value]) -> Result<Vec<(Node, Node)>, Why> {
        let (mut wires, mut initial, mut states) = (HashMap::new(), Vec::new(), Vec::new());
        for (slot, (mapping, outlet)) in op.input_mapping.iter().zip(&op.body.inputs).enumerate() {
            let wire = match mapping {
                InputMapping::Full => Wire::Same(inputs[slot].clone()),
                InputMapping::Scan(info) => {
                    let x = data_at(self.outer, inputs, slot)?;
                    if self.outer.shape(x).get(info.axis) != Some(&self.trips) {
                        return no("scans inputs of different lengths");
                    }
                    Wire::Sequence(time_first(self.outer, x, info.axis, info.chunk < 0)?)
                }
                InputMapping::State => {
                    initial.push(data_at(self.outer, inputs, slot)?);
                    let shape = concrete(op.body.outlet_fact(*outlet)?)?;
                    let state = self.inner.input(&shape)?;
                    states.push(state);
                    Wire::Inside(Value::Data(state))
                }
            };
            wires.insert(*outlet, wire);
        }
        self.nodes(&op.body, &mut wires).map_err(Why::Inside)?;

        // States first, then what is stacked and is no state, then the states that are stacked, too.
        let mut order: Vec<usize> = (0..op.output_mapping.len()).collect();
        order.sort_by_key(|i| !op.output_mapping[*i].state);
        let mut results = Vec::new();
        for outlet in &op.body.outputs {
            let Some(wire) = wires.get(outlet).cloned() else { return no("a result of the loop has no value") };
            let value = self.inside(&wire)?;
            results.push(super::value::data(&mut self.inner, &value)?);
        }
        let mut parts = HashMap::new();
        for i in &order {
            let mapping = &op.output_mapping[*i];
            if mapping.state || mapping.scan.is_some() || mapping.last_value_slot.is_some() {
                parts.insert((*i, mapping.state), self.inner.outputs().len());
                self.inner.output(results[*i]);
            }
        }
        for i in &order {
            let mapping = &op.output_mapping[*i];
            if mapping.state && mapping.scan.is_some() {
                parts.insert((*i, false), self.inner.outputs().len());
                self.inner.output(results[*i]);
            }
        }
        let made = self.finish(&states, &initial)?;
        let mut both = Vec::new();
        for i in 0..results.len() {
            let stacked = parts.get(&(i, false)).map(|part| made[*part]);
            let last = match (parts.get(&(i, true)), stacked) {
                (Some(part), _) => made[*part],
                (None, Some(stacked)) => last_of(self.outer, stacked, self.trips)?,
                (None, None) => made[0],
            };
            both.push((last, stacked.unwrap_or(last)));
        }
        Ok(both)
    }

    /// Puts the body's inputs in order, drops those that it does not use, and appends the loop.
    fn finish(&mut self, states: &[Node], initial: &[Node]) -> Result<Vec<Node>, Why> {
        let used = simplify::used(&self.inner);
        let feeds = self.feeds.iter().filter(|(_, node)| used[node.index()]);
        let (mut order, mut scanned, mut fixed) = (states.to_vec(), Vec::new(), Vec::new());
        for (feed, node) in feeds.clone() {
            if let Feed::Sequence(outer) = feed {
                order.push(*node);
                scanned.push(*outer);
            }
        }
        for (feed, node) in feeds {
            if let Feed::Same(outer) = feed {
                order.push(*node);
                fixed.push(*outer);
            }
        }
        let body = simplify::simplify(&self.inner, &order, &Known::new())?;
        Ok(self.outer.scan(Arc::new(body), self.trips, initial, &scanned, &fixed)?)
    }

    /// All nodes of the body that its results need.
    fn nodes(&mut self, body: &TypedModel, wires: &mut HashMap<OutletId, Wire>) -> Result<(), Unsupported> {
        let failed = |why: String| Unsupported { node: "loop".to_owned(), operator: "Scan".to_owned(), why };
        for id in body.eval_order().map_err(|error| failed(error.root_cause().to_string()))? {
            if wires.contains_key(&OutletId::new(id, 0)) {
                continue;
            }
            let node = body.node(id);
            self.outer.set_origin(&node.name);
            self.inner.set_origin(&node.name);
            let fed: Option<Vec<Wire>> = node.inputs.iter().map(|outlet| wires.get(outlet).cloned()).collect();
            let made = match fed {
                Some(fed) => self.node(node, &fed).map_err(|why| why.at(node))?,
                None => return Err(failed("an input has no value".to_owned())),
            };
            wires.extend(made.into_iter().enumerate().map(|(slot, wire)| (OutletId::new(id, slot), wire)));
        }
        Ok(())
    }

    fn node(&mut self, node: &TypedNode, fed: &[Wire]) -> Result<Vec<Wire>, Why> {
        let same: Option<Vec<Value>> = fed
            .iter()
            .map(|wire| match wire {
                Wire::Same(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        if let Some(values) = same {
            return Ok(node_values(self.outer, node, &values)?.into_iter().map(Wire::Same).collect());
        }
        if node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Add>())
            && let [a, b] = fed
            && let Some(sum) = self.sum(a, b)?
        {
            return Ok(vec![sum]);
        }
        if fed.iter().all(|wire| matches!(wire, Wire::Same(_) | Wire::Sequence(_)))
            && let Some(made) = self.outside(node, fed)?
        {
            return Ok(made);
        }
        let values: Vec<Value> = fed.iter().map(|wire| self.inside(wire)).collect::<Result<_, _>>()?;
        Ok(node_values(&mut self.inner, node, &values)?.into_iter().map(Wire::Inside).collect())
    }

    /// a + b, if outside terms can be kept apart from inside ones.
    fn sum(&mut self, a: &Wire, b: &Wire) -> Result<Option<Wire>, Why> {
        let term = |wire: &Wire| match wire {
            Wire::Sequence(node) => Some((*node, true)),
            Wire::Same(Value::Data(node)) => Some((*node, false)),
            _ => None,
        };
        let (term, sequence, other) = match (term(a), term(b)) {
            (Some((node, sequence)), None) => (node, sequence, b),
            (None, Some((node, sequence))) => (node, sequence, a),
            _ => return Ok(None),
        };
        let (inside, terms, sequence) = match other {
            Wire::Inside(Value::Data(inside)) => (*inside, term, sequence),
            Wire::Sum { term: first, sequence: first_sequence, inside } => {
                (*inside, self.outer.binary(Binary::Add, *first, term)?, sequence || *first_sequence)
            }
            _ => return Ok(None),
        };
        // The outside term must not widen the inside one, or the sum would have another shape than its inside term.
        let own = self.outer.shape(terms);
        let own = if sequence { &own[1..] } else { own };
        let shape = self.inner.shape(inside);
        let narrow =
            own.len() <= shape.len() && own.iter().rev().zip(shape.iter().rev()).all(|(o, i)| *o == 1 || o == i);
        Ok(narrow.then_some(Wire::Sum { term: terms, sequence, inside }))
    }

    /// A node that the state does not reach, over the whole sequence; `None` if there is no rule for it.
    fn outside(&mut self, node: &TypedNode, fed: &[Wire]) -> Result<Option<Vec<Wire>>, Why> {
        let values: Vec<Value> = fed
            .iter()
            .map(|wire| match wire {
                Wire::Sequence(node) => Value::Data(*node),
                Wire::Same(value) => value.clone(),
                _ => unreachable!("checked by the caller"),
            })
            .collect();
        let marked: Vec<bool> = fed.iter().map(|wire| matches!(wire, Wire::Sequence(_))).collect();
        let made = if let Some(op) = node.op_as::<EinSum>() {
            vec![Value::Data(matmul::einsum(self.outer, op, node, &values, Some(&marked))?)]
        } else if node.op_is::<ElementWiseOp>() || node.op_is::<TypedBinOp>() || node.op_is::<Cast>() {
            match elementwise::elementwise(self.outer, node, &values)? {
                Some(Value::Data(made)) => vec![Value::Data(made)],
                _ => return Ok(None),
            }
        } else if moves::is_move(node, &values) {
            match moves::moves(self.outer, node, &values, Some(self.trips)) {
                Ok(made) => made,
                Err(_) => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        let mut wires = Vec::new();
        for (value, output) in made.into_iter().zip(&node.outputs) {
            let Value::Data(data) = value else { return Ok(None) };
            let wanted = [&[self.trips], &concrete(&output.fact)?[..]].concat();
            if self.outer.shape(data) != wanted {
                return Ok(None);
            }
            wires.push(Wire::Sequence(data));
        }
        Ok(Some(wires))
    }

    /// The value of a wire inside the body.
    fn inside(&mut self, wire: &Wire) -> Result<Value, Why> {
        Ok(match wire {
            Wire::Inside(value) => value.clone(),
            Wire::Sequence(node) => Value::Data(self.feed(Feed::Sequence(*node))?),
            Wire::Same(Value::Data(node)) => Value::Data(self.feed(Feed::Same(*node))?),
            Wire::Same(Value::Fixed(tensor)) => constant(&mut self.inner, tensor)?,
            Wire::Same(Value::Test(_)) => return no("carries the outcome of a comparison into a loop"),
            Wire::Sum { term, sequence, inside } => {
                let feed = if *sequence { Feed::Sequence(*term) } else { Feed::Same(*term) };
                if let Some(sum) = self.sums.get(&(feed, *inside)) {
                    return Ok(Value::Data(*sum));
                }
                let term = self.feed(feed)?;
                let sum = self.inner.binary(Binary::Add, term, *inside)?;
                self.sums.insert((feed, *inside), sum);
                Value::Data(sum)
            }
        })
    }

    /// The body's node for something outside, made once.
    fn feed(&mut self, feed: Feed) -> Result<Node, GraphError> {
        if let Some(node) = self.made.get(&feed) {
            return Ok(*node);
        }
        let made = match feed {
            Feed::Sequence(node) => {
                let made = self.inner.input(&self.outer.shape(node)[1..])?;
                self.feeds.push((feed, made));
                made
            }
            Feed::Same(node) => match self.outer.constant_data(node) {
                Some(numbers) => self.inner.constant(self.outer.shape(node), Arc::clone(numbers))?,
                None => {
                    let made = self.inner.input(self.outer.shape(node))?;
                    self.feeds.push((feed, made));
                    made
                }
            },
        };
        self.made.insert(feed, made);
        Ok(made)
    }
}

/// The last slice of a stacked tensor.
fn last_of(graph: &mut Graph, stacked: Node, trips: usize) -> Result<Node, GraphError> {
    let last = graph.slice(stacked, 0, trips - 1, trips)?;
    let shape = graph.shape(last)[1..].to_vec();
    graph.reshape(last, &shape)
}

/// A body whose fixed inputs that are constant outside became constants inside, and the inputs that are left.
pub(crate) fn with_constants(
    outer: &Graph,
    body: &Graph,
    before: usize,
    fixed: &[Node],
) -> Result<(Graph, Vec<Node>), GraphError> {
    let numbers = |node: &Node| outer.constant_data(*node).cloned();
    let known: Known =
        body.inputs()[before..].iter().zip(fixed).filter_map(|(inner, node)| Some((*inner, numbers(node)?))).collect();
    let order: Vec<Node> = body.inputs().iter().filter(|inner| !known.contains_key(inner)).copied().collect();
    let left = fixed.iter().filter(|node| numbers(node).is_none()).copied().collect();
    Ok((simplify::simplify(body, &order, &known)?, left))
}
