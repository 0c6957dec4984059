//! Good files, edited by a seeded program: as bytes, and as messages whose fields are put out of joint.

use prost::Message;
use tract_onnx::pb::{ModelProto, attribute_proto::AttributeType, tensor_shape_proto::dimension::Value, type_proto};

use super::onnx::{self, Random};
use super::{PEAK_MAX, judge};

/// Numbers that a field of a file is set to.
const ODD: [i64; 12] = [0, -1, 1, 2, 3, 7, 1 << 16, 1 << 31, 1 << 40, i64::MAX, i64::MIN, -2];

fn good() -> Vec<Vec<u8>> {
    let mut random = Random::new(3);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let example = |name: &str| std::fs::read(folder.join(name)).expect("an example model");
    vec![
        example("r101_cb.onnx"),
        example("turbine.onnx"),
        onnx::mlp(&[4, 8, 3], "Tanh", &mut random).bytes(),
        onnx::cnn(3, 12, &[(4, 3), (4, 3)], 2, true, &mut random).bytes(),
        onnx::recurrent("LSTM", 5, 3, 4, 2, &mut random).bytes(),
        onnx::recurrent("GRU", 5, 3, 4, 2, &mut random).bytes(),
    ]
}

fn edit_bytes(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let (at, from) = (random.below(bytes.len()), random.below(other.len()));
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] = random.bits() as u8;
            }
        }
    }
}

fn edit_message(file: &mut ModelProto, random: &mut Random) {
    let odd = ODD[random.below(ODD.len())];
    let Some(graph) = &mut file.graph else { return };
    let (nodes, weights) = (graph.node.len(), graph.initializer.len());
    match random.below(11) {
        0 if weights > 0 => {
            let tensor = &mut graph.initializer[random.below(weights)];
            let axis = random.below(tensor.dims.len().max(1));
            if let Some(dim) = tensor.dims.get_mut(axis) {
                *dim = odd;
            }
        }
        1 if weights > 0 => graph.initializer[random.below(weights)].data_type = odd as i32,
        2 if weights > 0 => drop(graph.initializer.remove(random.below(weights))),
        3 => {
            for attribute in graph.node.iter_mut().flat_map(|n| &mut n.attribute) {
                if random.below(2) == 0 {
                    attribute.i = odd;
                    attribute.ints.iter_mut().for_each(|i| *i = odd);
                }
            }
        }
        4 => {
            for attribute in graph.node.iter_mut().flat_map(|n| &mut n.attribute) {
                attribute.r#type =
                    [AttributeType::Int, AttributeType::Strings, AttributeType::Graph][random.below(3)] as i32;
            }
        }
        5 if nodes > 1 => {
            let (a, b) = (random.below(nodes), random.below(nodes));
            graph.node.swap(a, b);
        }
        6 if nodes > 0 => {
            let copy = graph.node[random.below(nodes)].clone();
            graph.node.push(copy);
        }
        7 if nodes > 1 => {
            let name = graph.node[random.below(nodes)].output.first().cloned().unwrap_or_default();
            let node = &mut graph.node[random.below(nodes)];
            let slot = random.below(node.input.len().max(1));
            if let Some(input) = node.input.get_mut(slot) {
                *input = name;
            }
        }
        8 if nodes > 1 => {
            let kind = graph.node[random.below(nodes)].op_type.clone();
            graph.node[random.below(nodes)].op_type = kind;
        }
        9 if nodes > 0 => drop(graph.node.remove(random.below(nodes))),
        _ => {
            for value in graph.input.iter_mut().chain(&mut graph.output) {
                let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut())
                else {
                    continue;
                };
                for dim in tensor.shape.iter_mut().flat_map(|s| &mut s.dim) {
                    if random.below(3) == 0 {
                        dim.value = Some(Value::DimValue(odd));
                    }
                }
            }
        }
    }
}

/// `FLYBALL_MUTATIONS` sets the number of files for a long run.
#[test]
fn edited_files_end_in_an_error_or_run_and_hold_no_more_memory_than_allowed() {
    let count = std::env::var("FLYBALL_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_500_u64);
    let good = good();
    let (mut ran, mut worst) = (0, (0, 0));
    for seed in 1..=count {
        let mut random = Random::new(seed);
        let mut bytes = good[random.below(good.len())].clone();
        if seed % 2 == 0 {
            let other = &good[random.below(good.len())];
            edit_bytes(&mut bytes, other, &mut random);
        } else {
            let mut file = ModelProto::decode(bytes.as_slice()).expect("a good file");
            for _ in 0..=random.below(3) {
                edit_message(&mut file, &mut random);
            }
            bytes = file.encode_to_vec();
        }
        let verdict = judge(&bytes);
        assert!(verdict.peak <= PEAK_MAX, "seed {seed}: {} bytes at once, {:?}", verdict.peak, verdict.end);
        ran += u32::from(verdict.end.is_ok());
        worst = worst.max((verdict.peak, seed));
    }
    println!("{ran} of {count} edited files ran; at most {} bytes at once (seed {})", worst.0, worst.1);
    assert!(ran > 0 && u64::from(ran) < count, "{ran} of {count} ran: the edits must hit and miss");
}
