//! Small ONNX files made in Rust: values, attributes, nodes, and the networks that tests and benches need.
//!
//! ```ignore
//! let mut file = Onnx::new(18);
//! let x = file.input("x", &[dim("N"), dim(4)]);
//! let w = file.weights(&[4, 3], &mut random);
//! let y = file.node("MatMul", &[&x, &w], &[]);
//! let y = file.node("LeakyRelu", &[&y], &[float("alpha", 0.1)]);
//! file.output(&y);
//! let bytes = file.bytes();
//! ```
#![allow(dead_code, reason = "every test binary uses its own part")]

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};

/// ONNX's codes of element types.
pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;
pub const BOOL: i32 = 9;

/// A dimension: a number, or a name for one that is free.
#[derive(Debug, Clone)]
pub enum Dim {
    Fixed(usize),
    Named(String),
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Fixed(n)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

/// Short for [`Dim::from`].
pub fn dim(value: impl Into<Dim>) -> Dim {
    value.into()
}

/// A shape of numbers only.
pub fn dims(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|n| Dim::Fixed(*n)).collect()
}

/// Seeded random numbers (xorshift64*); the same on every platform.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 0 to `n`, without `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 33) as usize % n
    }

    /// -1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    pub fn numbers(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| scale * self.unit()).collect()
    }
}

/// An ONNX file that is being written.
#[derive(Debug, Clone)]
pub struct Onnx {
    graph: GraphProto,
    opset: i64,
}

impl Onnx {
    /// An empty graph of an operator set.
    pub fn new(opset: i64) -> Self {
        Self { graph: GraphProto { name: "graph".to_owned(), ..GraphProto::default() }, opset }
    }

    /// A float32 input; returns its name.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> String {
        self.graph.input.push(value_info(name, FLOAT, shape));
        name.to_owned()
    }

    /// Numbers kept in the file; returns their name.
    pub fn floats(&mut self, shape: &[usize], numbers: Vec<f32>) -> String {
        assert_eq!(shape.iter().product::<usize>(), numbers.len(), "numbers fill the shape {shape:?}");
        let raw_data = numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.initializer(FLOAT, shape, raw_data)
    }

    /// Random numbers, small enough that sums of as many products stay near 1.
    pub fn weights(&mut self, shape: &[usize], random: &mut Random) -> String {
        let count = shape.iter().product::<usize>();
        let widest = shape.iter().copied().max().unwrap_or(1).max(1);
        let scale = (3.0 / widest as f32).sqrt();
        self.floats(shape, random.numbers(count, scale))
    }

    /// Integers kept in the file: shapes, axes, indices; returns their name.
    pub fn ints(&mut self, shape: &[usize], numbers: &[i64]) -> String {
        let raw_data = numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.initializer(INT64, shape, raw_data)
    }

    /// Truth values kept in the file; returns their name.
    pub fn bools(&mut self, shape: &[usize], values: &[bool]) -> String {
        self.initializer(BOOL, shape, values.iter().map(|v| u8::from(*v)).collect())
    }

    fn initializer(&mut self, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        let name = format!("const_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            data_type,
            dims: shape.iter().map(|n| *n as i64).collect(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// A node with one output; returns the output's name. An empty input name leaves an optional input out.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        self.node_with(operator, inputs, 1, attributes).remove(0)
    }

    /// A node with several outputs; returns their names.
    pub fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        outputs: usize,
        attributes: &[AttributeProto],
    ) -> Vec<String> {
        let name = format!("{operator}_{}", self.graph.node.len());
        let outputs: Vec<String> = (0..outputs).map(|i| format!("{name}_out{i}")).collect();
        self.graph.node.push(NodeProto {
            name,
            op_type: operator.to_owned(),
            input: inputs.iter().map(|s| (*s).to_owned()).collect(),
            output: outputs.clone(),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
        outputs
    }

    /// Leaves an output of the last node out.
    pub fn drop_output(&mut self, slot: usize) {
        self.graph.node.last_mut().expect("a node was made").output[slot].clear();
    }

    /// Declares a value as an output of the graph.
    pub fn output(&mut self, name: &str) {
        self.graph.output.push(ValueInfoProto { name: name.to_owned(), ..value_info(name, FLOAT, &[]) });
        if let Some(type_proto::Value::TensorType(tensor)) =
            self.graph.output.last_mut().and_then(|o| o.r#type.as_mut()).and_then(|t| t.value.as_mut())
        {
            tensor.shape = None;
        }
    }

    /// The graph alone, for the bodies of loops and branches.
    pub fn graph(&self) -> GraphProto {
        self.graph.clone()
    }

    /// The file as a message.
    pub fn model(&self) -> ModelProto {
        ModelProto {
            ir_version: 9,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.model().encode_to_vec()
    }
}

fn value_info(name: &str, elem_type: i32, shape: &[Dim]) -> ValueInfoProto {
    use tensor_shape_proto::dimension::Value;
    let dim = |dim: &Dim| tensor_shape_proto::Dimension {
        value: Some(match dim {
            Dim::Fixed(n) => Value::DimValue(*n as i64),
            Dim::Named(name) => Value::DimParam(name.clone()),
        }),
        ..tensor_shape_proto::Dimension::default()
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}

pub fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|v| v.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

pub fn graph(name: &str, value: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(value), ..attribute(name, AttributeType::Graph) }
}

/// A dense network: Gemm layers of these widths, `activation` between them; input [N, first], output [N, last].
pub fn mlp(widths: &[usize], activation: &str, random: &mut Random) -> Onnx {
    let mut file = Onnx::new(17);
    let mut x = file.input("x", &[dim("N"), dim(widths[0])]);
    for (layer, pair) in widths.windows(2).enumerate() {
        let w = file.weights(&[pair[0], pair[1]], random);
        let b = file.weights(&[pair[1]], random);
        x = file.node("Gemm", &[&x, &w, &b], &[]);
        if layer + 2 < widths.len() {
            x = file.node(activation, &[&x], &[]);
        }
    }
    file.output(&x);
    file
}

/// A convolutional network over time: input [N, channels, steps], `layers` convolutions (out channels, kernel) with relu, mean over time,
/// one dense layer; output [N, outputs].
pub fn cnn(
    channels: usize,
    steps: usize,
    layers: &[(usize, usize)],
    outputs: usize,
    causal: bool,
    random: &mut Random,
) -> Onnx {
    let mut file = Onnx::new(17);
    let mut x = file.input("x", &[dim("N"), dim(channels), dim(steps)]);
    let mut width = channels;
    for (out, kernel) in layers {
        let w = file.weights(&[*out, width, *kernel], random);
        let b = file.weights(&[*out], random);
        let reach = *kernel as i64 - 1;
        let pads = if causal { [reach, 0] } else { [reach / 2, reach - reach / 2] };
        x = file.node("Conv", &[&x, &w, &b], &[ints("pads", &pads)]);
        x = file.node("Relu", &[&x], &[]);
        width = *out;
    }
    x = file.node("GlobalAveragePool", &[&x], &[]);
    x = file.node("Flatten", &[&x], &[]);
    let w = file.weights(&[width, outputs], random);
    let b = file.weights(&[outputs], random);
    x = file.node("Gemm", &[&x, &w, &b], &[]);
    file.output(&x);
    file
}

/// A recurrent network: `cell` is RNN, GRU or LSTM; input [N, steps, width], the last state goes through one dense layer; output
/// [N, outputs]. GRU has linear_before_reset = 1, as PyTorch and Keras export it.
pub fn recurrent(cell: &str, steps: usize, width: usize, hidden: usize, outputs: usize, random: &mut Random) -> Onnx {
    let gates = match cell {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(steps), dim(width)]);
    let x = file.node("Transpose", &[&x], &[ints("perm", &[1, 0, 2])]);
    let w = file.weights(&[1, gates * hidden, width], random);
    let r = file.weights(&[1, gates * hidden, hidden], random);
    let b = file.weights(&[1, 2 * gates * hidden], random);
    let mut attributes = vec![int("hidden_size", hidden as i64)];
    if cell == "GRU" {
        attributes.push(int("linear_before_reset", 1));
    }
    let states = file.node_with(cell, &[&x, &w, &r, &b], 2, &attributes);
    let axes = file.ints(&[1], &[0]);
    let last = file.node("Squeeze", &[&states[1], &axes], &[]);
    let w = file.weights(&[hidden, outputs], random);
    let b = file.weights(&[outputs], random);
    let y = file.node("Gemm", &[&last, &w, &b], &[]);
    file.output(&y);
    file
}
