//! The future as one graph: from the moves to all outputs at every step of the horizon.
//!
//! Nothing of the past is computed again: what the model remembers after the plant's history enters as inputs. The graph is one like any
//! other; its Jacobian by the moves comes from [`flyball_engine::gradient`] or, as here, from [`super::tangent`].

use flyball_engine::index::IndexMap;
use flyball_engine::{Binary, Graph, GraphError, Node};

use super::blocks::Blocks;
use super::dynamics::Dynamics;

/// Which columns of a model's rows are moved, and which are its own outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// Column of each MV.
    pub mvs: Vec<usize>,
    /// Column and output of each output that is fed back.
    pub fed_back: Vec<(usize, usize)>,
}

/// Builds the graph. Inputs: moves [1, blocks x MVs], block by block; the present row [1, columns], whose places of MVs are not read and
/// whose fed-back outputs are the measured ones; the bias [1, outputs]; the memory. Output: [1, steps x outputs], step by step.
///
/// The bias is added to every answer, and what is fed back has it: a plant that rests where it is measured then also rests in the
/// prediction, so the prediction has no offset (the integrated equation error of GPC; Clarke, Mohtadi and Tuffs, Automatica 23 (1987)
/// 137-148). Where nothing is fed back, this is the constant output disturbance of dynamic matrix control.
///
/// # Errors
/// It is over a limit of the engine.
pub fn rollout(dynamics: &Dynamics, roles: &Roles, blocks: &Blocks) -> Result<Graph, GraphError> {
    let (n, mvs) = (dynamics.columns(), roles.mvs.len());
    let mut graph = Graph::new();
    let moves = graph.input(&[1, blocks.len() * mvs])?;
    let present = graph.input(&[1, n])?;
    let bias = graph.input(&[1, dynamics.outputs()])?;
    let mut memory = dynamics.memory_inputs(&mut graph)?;
    let mut template = dynamics.template()?;
    let mut answers: Vec<Node> = Vec::with_capacity(blocks.steps());
    for step in 0..blocks.steps() {
        let block = blocks.of(step);
        let before = answers.last().copied();
        // Inputs of the map one after the other: moves, present row, the answer before.
        let (rows_at, answer_at) = (blocks.len() * mvs, blocks.len() * mvs + n);
        let map = IndexMap::from_fn(&[1, n], 0.0, |at| {
            let column = at[1];
            let mv = roles.mvs.iter().position(|c| *c == column).map(|i| block * mvs + i);
            let fed = roles.fed_back.iter().find(|(c, _)| *c == column).filter(|_| before.is_some());
            mv.or(fed.map(|(_, output)| answer_at + output)).or(Some(rows_at + column))
        });
        let sources: Vec<Node> = [moves, present].into_iter().chain(before).collect();
        let row = graph.index(&sources, &[1, n], map)?;
        let (answer, after) = dynamics.step(&mut template, &mut graph, row, &memory)?;
        answers.push(graph.binary(Binary::Add, answer, bias)?);
        memory = after;
    }
    let all = graph.concat(&answers, 1)?;
    graph.output(all);
    Ok(graph)
}
