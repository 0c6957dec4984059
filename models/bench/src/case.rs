//! A *case*: one model file with the rows of a run, what is fed to it, and what goal it is held to.
//!
//! Words: a *carried* state is an output that is the next run's input (a streaming step of a recurrent net); a *goal* is a ratio that this
//! engine must not exceed.

use std::path::Path;

use flyball_models::ModelContract;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;

use crate::onnx::Seeded;

/// `TensorProto.DataType.FLOAT` of onnx.proto.
const FLOAT: i32 = 1;
/// Input sets that the runs of a case take in turns, so that no run can learn the one before it.
pub const FEEDS: usize = 8;
/// Seed of everything that is fed.
const FEED_SEED: u64 = 0x000F_EED5;

/// One graph input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Name in the file.
    pub name: String,
    /// Shape with the rows filled in.
    pub shape: Vec<usize>,
    /// Lowest and highest value per column of the last axis.
    pub ranges: Vec<(f32, f32)>,
}

impl Input {
    /// Numbers of the tensor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a tensor without numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An output that becomes an input of the next run, by their places in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Place among the outputs.
    pub output: usize,
    /// Place among the inputs.
    pub input: usize,
}

/// The windowed model whose streamed form this engine runs, where peers need a file of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The ONNX file; its first input has the steps.
    pub bytes: Vec<u8>,
    /// Axis of the steps.
    pub axis: usize,
}

/// What is timed. Only this engine has derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The outputs.
    Value,
    /// The outputs, and the derivative of the sum of the first one's numbers by every input: one sweep back.
    Gradient,
    /// The outputs, and the derivative of each number of the first one by every input.
    Jacobian,
}

/// What our p50 is held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// At most this share of the best peer's p50.
    OfBestPeer(f64),
    /// At most this share of our own p50 of another case.
    OfOurs {
        /// Name of that case.
        case: String,
        /// Allowed ratio; without one the ratio is only told.
        at_most: Option<f64>,
    },
}

/// One model to be timed.
#[derive(Debug, Clone)]
pub struct Case {
    /// Short name for tables.
    pub name: String,
    /// What exactly it computes.
    pub about: String,
    /// The ONNX file.
    pub bytes: Vec<u8>,
    /// What a symbolic dimension of the file becomes.
    pub rows: usize,
    /// Inputs that are no weights, in the file's order.
    pub inputs: Vec<Input>,
    /// Names of the outputs, in the file's order.
    pub outputs: Vec<String>,
    /// Bytes of float32 weights in the file.
    pub weight_bytes: usize,
    /// States that go round.
    pub carried: Vec<Carried>,
    /// What this engine streams instead.
    pub window: Option<Window>,
    /// What is timed.
    pub work: Work,
    /// What it is held to.
    pub goal: Option<Goal>,
}

impl Case {
    /// Reads a model. Symbolic dimensions become `rows`; inputs are drawn from the contract's training ranges, else from [-1, 1].
    ///
    /// # Errors
    /// Not an ONNX file; an input that is not float32; a symbolic dimension beside the rows.
    pub fn read(name: &str, bytes: Vec<u8>, rows: usize) -> Result<Self, String> {
        let file = pb::ModelProto::decode(bytes.as_slice())
            .map_err(|e| format!("{name} is not an ONNX file or is damaged ({e})"))?;
        let graph = file.graph.as_ref().ok_or_else(|| format!("{name} has no graph"))?;
        let contract = ModelContract::read(&file).ok();
        let is_weight = |i: &&pb::ValueInfoProto| graph.initializer.iter().any(|w| w.name == i.name);
        let free: Vec<_> = graph.input.iter().filter(|i| !is_weight(i)).collect();
        let mut symbol = None;
        let mut inputs = Vec::new();
        for info in &free {
            let shape = shape(name, info, rows, &mut symbol)?;
            let trained = contract.as_ref().filter(|c| free.len() == 1 && shape.last() == Some(&c.inputs.len()));
            let ranges = trained.map_or_else(
                || vec![(-1.0, 1.0)],
                |c| c.inputs.iter().map(|i| (i.train_min as f32, i.train_max as f32)).collect(),
            );
            inputs.push(Input { name: info.name.clone(), shape, ranges });
        }
        if symbol.is_none() && rows > 1 {
            return Err(format!(
                "{name} has no symbolic dimension, so its rows are fixed; leave --rows out, or export it with a symbolic batch"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            about: String::new(),
            rows,
            inputs,
            outputs: graph.output.iter().map(|o| o.name.clone()).collect(),
            weight_bytes: weight_bytes(graph),
            carried: Vec::new(),
            window: None,
            work: Work::Value,
            goal: None,
            bytes,
        })
    }

    /// Reads a model from a file; its name is the file's.
    ///
    /// # Errors
    /// As [`Case::read`], and a file that cannot be read.
    pub fn open(path: &Path, rows: usize) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| format!("{} cannot be read ({e})", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let mut case = Self::read(&name, bytes, rows)?;
        if rows > 1 {
            case.name = format!("{name}, batch {rows}");
        }
        Ok(case)
    }

    /// The numbers of input set `set`, one list per input. States begin at 0.
    #[must_use]
    pub fn feed(&self, set: usize) -> Vec<Vec<f32>> {
        let numbers = |(place, input): (usize, &Input)| {
            if self.carried.iter().any(|c| c.input == place) {
                return vec![0.0; input.len()];
            }
            let mut seeded = Seeded(FEED_SEED ^ ((set as u64) << 32) ^ place as u64);
            let ranges = input.ranges.iter().cycle();
            let draw = |(low, high): &(f32, f32)| low + (high - low) * 0.5 * (seeded.draw() + 1.0);
            ranges.take(input.len()).map(draw).collect()
        };
        self.inputs.iter().enumerate().map(numbers).collect()
    }
}

/// Shape of an input with `rows` in place of the one symbol that the file may use.
fn shape(
    model: &str,
    info: &pb::ValueInfoProto,
    rows: usize,
    symbol: &mut Option<String>,
) -> Result<Vec<usize>, String> {
    let input = &info.name;
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(format!("{model}: input '{input}' has no tensor type"));
    };
    if tensor.elem_type != FLOAT {
        return Err(format!(
            "{model}: input '{input}' has element type {}; only float32 (1) is timed",
            tensor.elem_type
        ));
    }
    let mut dims = Vec::new();
    for dim in tensor.shape.iter().flat_map(|s| &s.dim) {
        match &dim.value {
            Some(DimValue::DimValue(n)) if *n > 0 => dims.push(*n as usize),
            Some(DimValue::DimValue(n)) => return Err(format!("{model}: input '{input}' has a dimension of {n}")),
            Some(DimValue::DimParam(name)) => {
                let known = symbol.get_or_insert_with(|| name.clone());
                if known != name {
                    return Err(format!(
                        "{model}: the dimensions {known} and {name} are both symbolic; export it with one symbol for the rows"
                    ));
                }
                dims.push(rows);
            }
            None => {
                symbol.get_or_insert_with(String::new);
                dims.push(rows);
            }
        }
    }
    Ok(dims)
}

fn weight_bytes(graph: &pb::GraphProto) -> usize {
    let size = |t: &pb::TensorProto| t.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).product::<usize>();
    let attributes = graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.t.as_ref());
    let floats = graph.initializer.iter().chain(attributes).filter(|t| t.data_type == FLOAT);
    floats.map(size).sum::<usize>() * size_of::<f32>()
}
