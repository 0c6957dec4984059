//! Builds ONNX files in memory, with seeded weights: every contender reads the same bytes, and no Python is needed.
//!
//! Tensors are named by the operator that makes them. A *free* dimension is symbolic in the file and is set to the rows of a run.

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};

/// Versions that tract 0.23 and ONNX Runtime from 1.17 on both read.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// `TensorProto.DataType` of onnx.proto.
const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// Uniform numbers in [-1, 1) from a seed: SplitMix64 (Steele, Lea, Flood 2014), its upper 24 bits.
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn draw(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A dimension of a graph input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Symbolic: the rows of a run.
    Rows,
    /// Fixed.
    Of(usize),
}

/// A graph that is being built, node by node.
#[derive(Debug)]
pub struct Builder {
    graph: pb::GraphProto,
    weights: Seeded,
}

impl Builder {
    /// An empty graph; weights are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { graph: pb::GraphProto { name: "bench".to_owned(), ..Default::default() }, weights: Seeded(seed) }
    }

    /// A float32 input.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> String {
        self.graph.input.push(value_info(name, dims));
        name.to_owned()
    }

    /// Declares a tensor as an output. Its shape is left to inference.
    pub fn output(&mut self, tensor: &str) {
        self.graph.output.push(value_info(tensor, &[]));
    }

    /// Weights uniform in +/- 1 / sqrt(`fan_in`), as PyTorch initialises its layers.
    pub fn weights(&mut self, name: &str, shape: &[usize], fan_in: usize) -> String {
        let scale = 1.0 / (fan_in as f32).sqrt();
        let numbers = (0..shape.iter().product()).map(|_| self.weights.draw() * scale).collect();
        self.graph.initializer.push(pb::TensorProto {
            name: name.to_owned(),
            data_type: FLOAT,
            dims: dims_of(shape),
            float_data: numbers,
            ..Default::default()
        });
        name.to_owned()
    }

    /// Fixed integers, such as axes.
    pub fn integers(&mut self, name: &str, numbers: &[i64]) -> String {
        self.graph.initializer.push(pb::TensorProto {
            name: name.to_owned(),
            data_type: INT64,
            dims: dims_of(&[numbers.len()]),
            int64_data: numbers.to_vec(),
            ..Default::default()
        });
        name.to_owned()
    }

    /// One operator with one output, which is named after the operator and its place.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> String {
        let output = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.wire(operator, inputs, &[&output], attributes);
        output
    }

    /// One operator with named outputs; an empty name leaves an output or input out.
    pub fn wire(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<pb::AttributeProto>) {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        self.graph.node.push(pb::NodeProto {
            name: format!("{operator}_{}", self.graph.node.len()),
            op_type: operator.to_owned(),
            input: owned(inputs),
            output: owned(outputs),
            attribute: attributes,
            ..Default::default()
        });
    }

    /// Dense layer: x W^T + b with W of shape [`outputs`, `inputs`].
    pub fn dense(&mut self, x: &str, inputs: usize, outputs: usize) -> String {
        let at = self.graph.node.len();
        let w = self.weights(&format!("w{at}"), &[outputs, inputs], inputs);
        let b = self.weights(&format!("b{at}"), &[outputs], inputs);
        self.node("Gemm", &[x, &w, &b], vec![integer("transB", 1)])
    }

    /// The finished file.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let opset = pb::OperatorSetIdProto { domain: String::new(), version: OPSET };
        let model = pb::ModelProto {
            ir_version: IR_VERSION,
            producer_name: "flyball-inference-bench".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

/// An integer attribute.
#[must_use]
pub fn integer(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { name: name.to_owned(), r#type: AttributeType::Int.into(), i: value, ..Default::default() }
}

/// A list of integers as attribute.
#[must_use]
pub fn integers(name: &str, values: &[i64]) -> pb::AttributeProto {
    let ints = values.to_vec();
    pb::AttributeProto { name: name.to_owned(), r#type: AttributeType::Ints.into(), ints, ..Default::default() }
}

fn value_info(name: &str, dims: &[Dim]) -> pb::ValueInfoProto {
    let dim = |d: &Dim| Dimension {
        value: Some(match d {
            Dim::Rows => dimension::Value::DimParam("N".to_owned()),
            Dim::Of(n) => dimension::Value::DimValue(*n as i64),
        }),
        ..Default::default()
    };
    let shape = (!dims.is_empty()).then(|| pb::TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: FLOAT, shape };
    let kind = pb::TypeProto { value: Some(TypeValue::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

fn dims_of(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|d| *d as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers_in_range() {
        let draws: Vec<f32> = (0..1000).scan(Seeded(5), |s, _| Some(s.draw())).collect();
        let again: Vec<f32> = (0..1000).scan(Seeded(5), |s, _| Some(s.draw())).collect();
        assert_eq!(draws, again);
        assert!(draws.iter().all(|v| (-1.0..1.0).contains(v)));
        let mean = draws.iter().sum::<f32>() / 1000.0;
        assert!(mean.abs() < 0.1, "{mean}");
    }
}
