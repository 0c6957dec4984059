//! The example models of this folder.

use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use crate::{Range, answer, assert_within, inputs_of};

#[test]
fn example_models() {
    for name in ["r101_cb.onnx", "r101_ss.onnx", "turbine.onnx", "turbine_ridge.onnx"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let file = ModelProto::decode(std::fs::read(path).expect("example model").as_slice()).expect("ONNX");
        for rows in [1, 5] {
            let model = flyball_models::lower::typed(&file, rows).expect("is typed");
            let shape = model.input_fact(0).unwrap().shape.as_concrete().unwrap().to_vec();
            let graph = flyball_models::lower::lower(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
            let inputs = inputs_of(&graph, name, Range::Positive);
            let x = Tensor::from_shape(&shape, &inputs[0]).unwrap();
            let y = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap();
            let y: Vec<f64> =
                y[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().iter().map(|v| f64::from(*v)).collect();
            // tract adds in an order that depends on the processor, and inputs far outside the training make large terms cancel.
            assert_within(1e-4, name, &answer(&graph, &inputs), &[y]);
            println!(
                "{name}, {rows} rows: {:?}",
                graph.nodes().iter().map(|n| (&n.origin, &n.shape)).collect::<Vec<_>>()
            );
        }
    }
}
