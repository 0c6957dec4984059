//! Exact derivatives in reverse mode: a graph becomes a larger graph that also outputs derivatives.
//!
//! The first nodes of the new graph are the graph's own, under their numbers; adjoints follow and read their values, so nothing is computed twice.
//! (Loops are their own too, but stack more.) A *Jacobian* holds the derivative of each output number; a *vector-Jacobian product* that of one
//! weighted sum of all, which is what training needs. Both are graphs like any other: they can be evaluated, compiled, bounded, differentiated.
//!
//! Derivatives are exact where they exist. At kinks they are those of one side, as [`Binary::Slope`] says; the largest of several
//! share if they are equal, of two equal numbers one takes all. Where a derivative is infinite or does not exist, such as that of sqrt at 0, the result
//! is infinite or NaN. A value that is NaN may have a derivative that is not: judge the values first.
//!
//! The method is that of Griewank and Walther, "Evaluating Derivatives", 2nd ed. 2008, chapter 3, with the whole sweep laid out at build time.
//!
//! ```
//! use flyball_engine::{Graph, Unary, gradient::jacobian, reference::evaluate};
//! let mut graph = Graph::new();
//! let x = graph.input(&[1, 2])?;
//! let y = graph.unary(Unary::Square, x)?;
//! graph.output(y);
//! let derived = jacobian(&graph, &[x], &[0])?;
//! let found = evaluate(&derived, &[vec![3.0, 5.0]]);
//! assert_eq!(found, [vec![9.0, 25.0], vec![6.0, 0.0, 0.0, 10.0]]);
//! # Ok::<(), flyball_engine::GraphError>(())
//! ```
//!
//! Parts: `backward` sweeps from outputs to inputs; `leads` says what to leave out; `rules`, `linear`, `conv`, `moves`, `scan` and `trip` hold one
//! rule per operator; `curvature` differentiates derivatives; `parameters` turns weights into inputs.

mod backward;
mod conv;
mod curvature;
mod leads;
mod linear;
mod moves;
mod parameters;
mod rules;
mod scan;
#[cfg(test)]
mod tests;
mod trip;

use crate::copy::Copier;
use crate::graph::{ELEMENTS_MAX, Graph, GraphError, Node, err};
use crate::index::elements;
use crate::op::{Binary, Op, Unary};

use backward::Backward;
pub use parameters::{Parameter, with_parameters};

/// The graph with, behind its own outputs, the Jacobian of chosen outputs for each node of `wrt`, row by row.
///
/// Inputs stay the same. A Jacobian has the shape of its `wrt` node with one axis in front: one place per number of the chosen outputs, in their
/// order. Axis 0 of an output of two or more axes counts *rows*, samples that do not depend on each other, and is left out: for an input
/// [rows, n] and an output [rows, k] the Jacobian is [k, rows, n], and holds at [j, r, i] the derivative of output [r, j] with respect to
/// input [r, i].
///
/// To be exact, what is differentiated is the sum of an output over its rows. If rows do depend on each other, the derivative at [j, r, i] is that
/// of output j of all rows together with respect to input [r, i]; use [`full_jacobian`] there. For one row, and for outputs of fewer than two
/// axes, both are the same.
///
/// `wrt` may name any nodes of the graph, usually its inputs; `outputs` are places in [`Graph::outputs`].
///
/// # Errors
/// A node or output does not exist, nothing is to be differentiated, or the new graph is over a limit.
pub fn jacobian(graph: &Graph, wrt: &[Node], outputs: &[usize]) -> Result<Graph, GraphError> {
    seeded(graph, wrt, outputs, true)
}

/// As [`jacobian`], with one place per number of the outputs, rows included: also right where rows depend on each other, and larger by the
/// number of rows.
///
/// # Errors
/// As [`jacobian`].
pub fn full_jacobian(graph: &Graph, wrt: &[Node], outputs: &[usize]) -> Result<Graph, GraphError> {
    seeded(graph, wrt, outputs, false)
}

/// The graph with, behind its own outputs, the derivative of a weighted sum of chosen outputs for each node of `wrt`.
///
/// The weights are new inputs behind the graph's own, one per chosen output and of its shape. The derivatives have the shapes of the `wrt` nodes.
///
/// # Errors
/// As [`jacobian`].
pub fn vjp(graph: &Graph, wrt: &[Node], outputs: &[usize]) -> Result<Graph, GraphError> {
    let outputs = chosen(graph, wrt, outputs)?;
    let mut backward = Backward::new(graph, wrt, None);
    for output in outputs {
        backward.seed(output, graph.shape(output))?;
    }
    backward.sweep()?;
    finish(graph, backward, wrt, graph.outputs(), |_, derivative| Ok(derivative))
}

/// A graph that outputs the mean squared error of one output and, for each node of `wrt`, its derivative.
///
/// A new input behind the graph's own, of the shape of the output, takes what the output should be. The error is a scalar: the mean over all
/// numbers of the output. The graph's own outputs are dropped.
///
/// # Errors
/// As [`jacobian`].
pub fn loss_gradient(graph: &Graph, wrt: &[Node], output: usize) -> Result<Graph, GraphError> {
    let output = chosen(graph, wrt, &[output])?[0];
    let mut whole = graph.clone();
    whole.set_origin("loss");
    let shape = graph.shape(output);
    let target = whole.input(shape)?;
    let error = whole.binary(Binary::Subtract, output, target)?;
    let square = whole.unary(Unary::Square, error)?;
    let axes: Vec<usize> = (0..shape.len()).collect();
    let mean = whole.mean(square, &axes)?;
    let loss = whole.reshape(mean, &[])?;

    let mut backward = Backward::new(&whole, wrt, None);
    let one = backward.graph.scalar(1.0)?;
    backward.contribute(loss, one);
    backward.sweep()?;
    finish(&whole, backward, wrt, &[loss], |_, derivative| Ok(derivative))
}

fn seeded(graph: &Graph, wrt: &[Node], outputs: &[usize], by_rows: bool) -> Result<Graph, GraphError> {
    let outputs = chosen(graph, wrt, outputs)?;
    // The shape of one seed: of length 1 over rows, so that it counts for each of them.
    let own = |output: &Node| {
        let mut shape = graph.shape(*output).to_vec();
        if by_rows && shape.len() >= 2 {
            shape[0] = 1;
        }
        shape
    };
    let count: usize = outputs.iter().map(|output| elements(&own(output))).sum();
    for node in outputs.iter().chain(wrt) {
        if elements(graph.shape(*node)).saturating_mul(count) > ELEMENTS_MAX {
            let shape = graph.shape(*node);
            return err(format!(
                "derivatives of {count} numbers beside a tensor of shape {shape:?}: at most {ELEMENTS_MAX} in all are \
                 allowed; choose fewer outputs, fewer rows, or a product with weights of the outputs"
            ));
        }
    }
    // A single seed needs no axis.
    let mut backward = Backward::new(graph, wrt, (count > 1).then_some(count));
    let mut first = 0;
    for output in &outputs {
        let shape = own(output);
        let size = elements(&shape);
        let mut seeds = vec![0.0; count * size];
        (0..size).for_each(|i| seeds[(first + i) * size + i] = 1.0);
        first += size;
        let wide = backward.wide(&shape);
        let seeds = backward.graph.constant(&wide, seeds)?;
        backward.contribute(*output, seeds);
    }
    backward.sweep()?;
    finish(graph, backward, wrt, graph.outputs(), |graph, derivative| {
        if count > 1 {
            return Ok(derivative);
        }
        let shape = [&[1], graph.shape(derivative)].concat();
        graph.reshape(derivative, &shape)
    })
}

/// The nodes of these outputs, if they and all of `wrt` can be differentiated.
fn chosen(graph: &Graph, wrt: &[Node], outputs: &[usize]) -> Result<Vec<Node>, GraphError> {
    let count = graph.nodes().len();
    if let Some(node) = wrt.iter().find(|node| node.index() >= count) {
        return err(format!("a derivative with respect to node {} of {count}; name a node of the graph", node.0));
    }
    if let Some(node) = wrt.iter().find(|node| matches!(graph.node(**node).op, Op::Scan(_))) {
        return err(format!("a derivative with respect to a loop, node {}; name one of its parts", node.0));
    }
    let node = |place: &usize| match graph.outputs().get(*place) {
        Some(node) if elements(graph.shape(*node)) > 0 => Ok(*node),
        Some(_) => err(format!("output {place} has no numbers to differentiate")),
        None => err(format!("output {place} of {}; outputs are counted from 0", graph.outputs().len())),
    };
    if outputs.is_empty() {
        return err("no output is chosen; name at least one to differentiate");
    }
    outputs.iter().map(node).collect()
}

/// The graph's own nodes, then what the derivatives need of what was appended.
fn finish(
    graph: &Graph,
    mut backward: Backward,
    wrt: &[Node],
    outputs: &[Node],
    shaped: impl Fn(&mut Graph, Node) -> Result<Node, GraphError>,
) -> Result<Graph, GraphError> {
    let mut derivatives = Vec::new();
    for node in wrt {
        let derivative = match backward.adjoint(*node) {
            Some(adjoint) => backward.widen(adjoint, graph.shape(*node))?,
            None => backward.zeros(graph.shape(*node))?,
        };
        derivatives.push(shaped(&mut backward.graph, derivative)?);
    }
    let mut wanted: Vec<Node> = (0..graph.nodes().len()).map(|index| Node(index as u32)).collect();
    wanted.extend(backward.graph.inputs());
    let own = wanted.len();
    wanted.extend(outputs.iter().chain(&derivatives));
    let mut result = Graph::new();
    for copy in Copier::new(&backward.graph).copy(&mut result, &wanted)?.split_off(own) {
        result.output(copy);
    }
    Ok(result)
}
