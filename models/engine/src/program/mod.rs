//! Programs: a graph compiled to flat steps over one arena, with weights packed once and every size known.
//!
//! A [`Program`] is fixed and may be shared; an [`Instance`] owns the arena and runs it. A run is total and bounded, allocates nothing and
//! gives the same bits on every instruction set and for every number of rows.

mod emit;
mod fuse;
mod loops;
mod plan;
mod run;
mod segments;
mod simplify;
mod step;

use std::fmt;
use std::sync::Arc;

use crate::graph::{Graph, GraphError};
use crate::index::elements;
use crate::kernel::{LANES, Path};
use emit::Emitter;
use step::{ARENA, Place, Step, WEIGHTS};

/// Bytes of an arena at most.
pub const ARENA_BYTES_MAX: usize = 256 << 20;

/// Numbers that begin at a cache line.
#[derive(Debug)]
struct Aligned {
    numbers: Vec<f32>,
    begin: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let numbers = vec![0.0_f32; len + LANES];
        let begin = numbers.as_ptr().align_offset(64).min(LANES);
        Self { numbers, begin, len }
    }

    fn get(&self) -> &[f32] {
        &self.numbers[self.begin..self.begin + self.len]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.begin..self.begin + self.len]
    }
}

/// A compiled graph.
#[derive(Debug)]
pub struct Program {
    path: Path,
    level: fearless_simd::Level,
    steps: Vec<Step>,
    origins: Vec<Arc<str>>,
    weights: Aligned,
    arena_len: usize,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// Where an input or output stands, and its shape.
#[derive(Debug)]
struct Port {
    place: Place,
    shape: Vec<usize>,
}

impl Program {
    /// Compiles a graph for one instruction set.
    ///
    /// # Errors
    /// A tensor or the arena is over its limit.
    pub fn compile(graph: &Graph, path: Path) -> Result<Self, GraphError> {
        let graph = simplify::simplify(graph)?;
        let mut emitter = Emitter::default();
        let shapes = |nodes: &[crate::Node]| nodes.iter().map(|n| graph.shape(*n).to_vec()).collect::<Vec<_>>();
        let inputs: Vec<Place> = graph.inputs().iter().map(|n| emitter.buffer(elements(graph.shape(*n)))).collect();
        let made = emitter.graph(&graph, &inputs)?;
        // Inputs stay, so that a second run needs only those that changed. Outputs stand in buffers of their own.
        let outputs: Vec<Place> = made.into_iter().map(|place| emitter.result(place, &inputs)).collect();
        inputs.iter().chain(&outputs).for_each(|place| emitter.keep(*place));
        let (begins, arena_len) = plan::place(&emitter.buffers);
        if arena_len > ARENA_BYTES_MAX / 4 {
            return Err(GraphError(format!(
                "an arena of {} MiB; at most {} MiB",
                arena_len >> 18,
                ARENA_BYTES_MAX >> 20
            )));
        }
        let settle = |place: &mut Place| {
            if place.buffer != WEIGHTS {
                place.at += begins[place.buffer as usize];
                place.buffer = ARENA;
            }
        };
        let mut steps = emitter.steps;
        steps.iter_mut().for_each(|step| step.places_mut(&mut |place| settle(place)));
        let ports = |places: Vec<Place>, shapes: Vec<Vec<usize>>| {
            let port = |(mut place, shape): (Place, Vec<usize>)| {
                settle(&mut place);
                Port { place, shape }
            };
            places.into_iter().zip(shapes).map(port).collect()
        };
        let mut weights = Aligned::new(emitter.weights.len());
        weights.get_mut().copy_from_slice(&emitter.weights);
        Ok(Self {
            path,
            level: path.level(),
            steps,
            origins: emitter.origins,
            weights,
            arena_len,
            inputs: ports(inputs, shapes(graph.inputs())),
            outputs: ports(outputs, shapes(graph.outputs())),
        })
    }

    /// Memory to run it in. Allocates; a run does not.
    #[must_use]
    pub fn instance(self: &Arc<Self>) -> Instance {
        Instance { program: Arc::clone(self), arena: Aligned::new(self.arena_len) }
    }

    /// The instruction set it was compiled for.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// Shapes of the inputs.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.inputs.iter().map(|port| port.shape.as_slice())
    }

    /// Shapes of the outputs.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.outputs.iter().map(|port| port.shape.as_slice())
    }

    /// File nodes of the outermost steps, in order; a step may come from several.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.origins.iter().flat_map(|o| o.split(emit::JOINED))
    }

    /// What one run costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost {
            steps: self.steps.len(),
            operations: self.steps.iter().map(Step::operations).sum(),
            weight_bytes: self.weights.len * 4,
            arena_bytes: self.arena_len * 4,
        }
    }
}

/// What one run of a program costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Steps, a loop counted as one.
    pub steps: usize,
    /// Floating-point operations; a multiply-add counts as two.
    pub operations: u64,
    /// Bytes of weights as they lie in memory, padding included.
    pub weight_bytes: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
}

impl fmt::Display for Program {
    /// One line per step: what, how much work, where from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4}  {:<16} {:>12} {:>10}  from", "step", "what", "operations", "numbers")?;
        for (i, step) in self.steps.iter().enumerate() {
            let origin = self.origins.get(i).map_or("", |o| o);
            writeln!(f, "{i:>4}  {:<16} {:>12} {:>10}  {origin}", step.name(), step.operations(), step.written())?;
        }
        Ok(())
    }
}

/// A program with its arena. Inputs keep their numbers from one run to the next.
#[derive(Debug)]
pub struct Instance {
    program: Arc<Program>,
    arena: Aligned,
}

impl Instance {
    /// The program.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Numbers of an input, row-major.
    ///
    /// # Panics
    /// There is no such input.
    pub fn input_mut(&mut self, input: usize) -> &mut [f32] {
        let place = self.program.inputs[input].place;
        &mut self.arena.get_mut()[place.at..place.at + place.len]
    }

    /// Numbers of an output after a run, row-major.
    ///
    /// # Panics
    /// There is no such output.
    #[must_use]
    pub fn output(&self, output: usize) -> &[f32] {
        let place = self.program.outputs[output].place;
        let memory = if place.buffer == WEIGHTS { self.program.weights.get() } else { self.arena.get() };
        &memory[place.at..place.at + place.len]
    }

    /// Runs the program once. Bounded by [`Program::cost`]; allocates nothing.
    pub fn run(&mut self) {
        run::run(self.program.level, &self.program.steps, self.program.weights.get(), self.arena.get_mut());
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        let mut arena = Aligned::new(self.program.arena_len);
        arena.get_mut().copy_from_slice(self.arena.get());
        Self { program: Arc::clone(&self.program), arena }
    }
}
