//! The models that the engine is held to, built in memory with seeded weights, each with its goal.

use std::path::PathBuf;

use crate::case::{Carried, Case, Goal, Window, Work};
use crate::onnx::{Builder, Dim, integer, integers};

/// Seed of all weights.
const SEED: u64 = 3;
/// The trained autoencoder, where it lies beside the project or above it.
const AUTOENCODER: &str = "shared/models/ad01_fp32.onnx";
/// Steps, inputs and hidden units of the recurrent nets.
const STEPS: usize = 32;
const WIDTH: usize = 8;
const HIDDEN: usize = 32;

/// A recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Gated recurrent unit, reset after the product (PyTorch's form).
    Gru,
    /// Long short-term memory.
    Lstm,
}

impl Cell {
    fn name(self) -> &'static str {
        match self {
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }

    fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// All cases with their goals.
///
/// # Errors
/// A model that was built here cannot be read (a bug), or a file is damaged.
pub fn cases() -> Result<Vec<Case>, String> {
    let mut all = Vec::new();
    let small = [16, 64, 64, 2];
    let large = [64, 256, 256, 8];
    for activation in ["Relu", "Tanh"] {
        all.push(case(&mlp_name(&small, activation), &mlp(&small, activation), 1, 0.20)?);
    }
    all.push(case(&mlp_name(&large, "Relu"), &mlp(&large, "Relu"), 1, 0.60)?);
    all.push(autoencoder()?);
    for (rows, at_most) in [(1, 0.50), (64, 0.70)] {
        let mut cnn_case = case("CNN 8x64, 2 x 32 filters of 5", &cnn(), rows, at_most)?;
        cnn_case.about = CNN.to_owned();
        all.push(cnn_case);
    }
    for cell in [Cell::Gru, Cell::Lstm] {
        let mut window = case(&window_name(cell), &recurrent(cell, STEPS, false), 1, 0.50)?;
        window.about = format!("{} from state 0, last state -> dense {HIDDEN}-1", cell.name());
        all.push(window);
    }
    for cell in [Cell::Gru, Cell::Lstm] {
        all.push(step(cell)?);
    }
    for activation in ["Relu", "Tanh"] {
        all.push(case(&mlp_name(&small, activation), &mlp(&small, activation), 64, 0.70)?);
    }
    let gradient = "gradient: derivative of the sum of all outputs by every input, one sweep back";
    let jacobian = "Jacobian: derivative of each output by every input";
    for (layers, activation) in [(small, "Relu"), (small, "Tanh"), (large, "Relu")] {
        for (work, kind, about, at_most) in
            [(Work::Gradient, "gradient", gradient, Some(3.0)), (Work::Jacobian, "Jacobian", jacobian, None)]
        {
            let mut derived = case(&mlp_name(&layers, activation), &mlp(&layers, activation), 1, 0.0)?;
            derived.work = work;
            derived.about = about.to_owned();
            derived.goal = Some(Goal::OfOurs { case: derived.name.clone(), at_most });
            derived.name += &format!(", value + {kind}");
            all.push(derived);
        }
    }
    Ok(all)
}

const CNN: &str =
    "conv 8-32 of 5 taps padded 2 + 2, relu, conv 32-32 of 5 taps padded 2 + 2, relu, mean over 64 steps, dense 32-1";

fn case(name: &str, bytes: &[u8], rows: usize, at_most: f64) -> Result<Case, String> {
    let mut case = Case::read(name, bytes.to_vec(), rows)?;
    case.name = format!("{name}, batch {rows}");
    case.goal = Some(Goal::OfBestPeer(at_most));
    Ok(case)
}

fn layers_in_words(layers: &[usize]) -> String {
    layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

fn mlp_name(layers: &[usize], activation: &str) -> String {
    format!("MLP {} {}", layers_in_words(layers), activation.to_lowercase())
}

fn window_name(cell: Cell) -> String {
    format!("{} {STEPS} steps of {WIDTH}, {HIDDEN} hidden", cell.name())
}

/// Dense layers with an activation between them, none after the last.
#[must_use]
pub fn mlp(layers: &[usize], activation: &str) -> Vec<u8> {
    let mut b = Builder::new(SEED);
    let mut x = b.input("x", &[Dim::Rows, Dim::Of(layers[0])]);
    for (place, pair) in layers.windows(2).enumerate() {
        if place > 0 {
            x = b.node(activation, &[&x], Vec::new());
        }
        x = b.dense(&x, pair[0], pair[1]);
    }
    b.output(&x);
    b.bytes()
}

/// The trained file if it is there, else the same shape with seeded weights.
fn autoencoder() -> Result<Case, String> {
    let layers = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root.ancestors().map(|folder| folder.join(AUTOENCODER)).find(|file| file.is_file());
    let (bytes, about) = match &found {
        Some(file) => {
            let bytes = std::fs::read(file).map_err(|e| format!("{} cannot be read ({e})", file.display()))?;
            (bytes, "the trained file ad01_fp32.onnx".to_owned())
        }
        None => (mlp(&layers, "Relu"), format!("seeded weights, because {AUTOENCODER} is not beside the project")),
    };
    let mut autoencoder = case("autoencoder 640-128x4-8-128x4-640", &bytes, 1, 0.70)?;
    autoencoder.about = about;
    Ok(autoencoder)
}

/// Two convolutions over time, mean, dense.
#[must_use]
pub fn cnn() -> Vec<u8> {
    let (channels, filters, taps, steps) = (8, 32, 5, 64);
    let mut b = Builder::new(SEED);
    let mut x = b.input("x", &[Dim::Rows, Dim::Of(channels), Dim::Of(steps)]);
    for (layer, inputs) in [channels, filters].into_iter().enumerate() {
        let w = b.weights(&format!("k{layer}"), &[filters, inputs, taps], inputs * taps);
        let bias = b.weights(&format!("c{layer}"), &[filters], inputs * taps);
        let geometry = vec![integers("kernel_shape", &[taps as i64]), integers("pads", &[2, 2])];
        x = b.node("Conv", &[&x, &w, &bias], geometry);
        x = b.node("Relu", &[&x], Vec::new());
    }
    x = b.node("GlobalAveragePool", &[&x], Vec::new());
    x = b.node("Flatten", &[&x], vec![integer("axis", 1)]);
    x = b.dense(&x, filters, 1);
    b.output(&x);
    b.bytes()
}

/// A recurrent layer over [rows, `steps`, 8] with a dense layer on its last state. When `carried`, the states are inputs `h` (and `c`) of
/// shape [1, rows, 32], and the new ones are outputs in the same order after `y`.
#[must_use]
pub fn recurrent(cell: Cell, steps: usize, carried: bool) -> Vec<u8> {
    let mut b = Builder::new(SEED);
    let gates = cell.gates() * HIDDEN;
    let x = b.input("x", &[Dim::Rows, Dim::Of(steps), Dim::Of(WIDTH)]);
    let state_shape = [Dim::Of(1), Dim::Rows, Dim::Of(HIDDEN)];
    let (mut h, mut c) = (String::new(), String::new());
    if carried {
        h = b.input("h", &state_shape);
        if cell == Cell::Lstm {
            c = b.input("c", &state_shape);
        }
    }
    let w = b.weights("w", &[1, gates, WIDTH], HIDDEN);
    let r = b.weights("r", &[1, gates, HIDDEN], HIDDEN);
    let bias = b.weights("b", &[1, 2 * gates], HIDDEN);
    let axis = b.integers("axis", &[0]);
    let in_time = b.node("Transpose", &[&x], vec![integers("perm", &[1, 0, 2])]);
    let mut attributes = vec![integer("hidden_size", HIDDEN as i64)];
    let mut inputs = vec![in_time.as_str(), &w, &r, &bias, "", &h];
    let mut outputs = vec!["", "h_new"];
    match cell {
        Cell::Gru => attributes.push(integer("linear_before_reset", 1)),
        Cell::Lstm => {
            inputs.push(&c);
            if carried {
                outputs.push("c_new");
            }
        }
    }
    while inputs.last().is_some_and(|i| i.is_empty()) {
        inputs.pop();
    }
    b.wire(cell.name(), &inputs, &outputs, attributes);
    let last = b.node("Squeeze", &["h_new", &axis], Vec::new());
    let y = b.dense(&last, HIDDEN, 1);
    b.output(&y);
    if carried {
        outputs[1..].iter().for_each(|o| b.output(o));
    }
    b.bytes()
}

/// One step with carried states.
fn step(cell: Cell) -> Result<Case, String> {
    let mut step = case(&format!("{}, one streaming step", cell.name()), &recurrent(cell, 1, true), 1, 0.0)?;
    step.about = "states carried from run to run; a peer's state goes from output to input, in its time".to_owned();
    let states = cell.gates() - 2; // One state of a GRU, two of an LSTM.
    step.carried = (1..=states).map(|place| Carried { output: place, input: place }).collect();
    step.window = Some(Window { bytes: recurrent(cell, STEPS, false), axis: 1 });
    step.goal = Some(Goal::OfOurs { case: format!("{}, batch 1", window_name(cell)), at_most: Some(1.0 / 20.0) });
    Ok(step)
}
