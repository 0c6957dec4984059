//! Graphs that are absurd as a whole: names, weights, types, nesting, length, recurrent layers.

use prost::Message;
use tract_onnx::pb;

use crate::onnx::{Onnx, Random, dim, dims, float, graph, int, ints, mlp, recurrent, string, strings};
use crate::sheet::{ANY, HUGE, Sheet, TOO_LARGE, edited, with};

fn relu(file: &mut Onnx, x: &str) -> String {
    file.node("Relu", &[x], &[])
}

fn dense(file: &mut Onnx, x: &str) -> String {
    let w = file.weights(&[4, 3], &mut Random::new(1));
    file.node("MatMul", &[x, &w], &[])
}

#[test]
fn names() {
    let mut sheet = Sheet::default();
    let own_output = edited(relu, |g| g.node[0].input[0] = g.node[0].output[0].clone());
    sheet.refused("a node that reads itself", own_output, &["not made before"]);
    let cycle = edited(
        |f, x| {
            let y = f.node("Add", &[x, x], &[]);
            f.node("Relu", &[&y], &[])
        },
        |g| g.node[0].input[1] = g.node[1].output[0].clone(),
    );
    sheet.refused("a cycle of two nodes", cycle, &["not made before"]);
    sheet.refused("a missing weight", edited(dense, |g| g.initializer.clear()), &["not made before"]);
    sheet.refused("a missing input", edited(relu, |g| g.input.clear()), &["not made before"]);
    sheet.refused("a missing output", edited(relu, |g| g.output[0].name = "nowhere".into()), &["nothing makes"]);
    sheet.refused("no output", edited(relu, |g| g.output.clear()), &["no output"]);
    sheet.refused("an empty graph", edited(relu, |g| *g = pb::GraphProto::default()), &["no output"]);
    sheet.refused("an empty name as output", edited(relu, |g| g.output[0].name.clear()), &["nothing makes"]);
    let twice = edited(relu, |g| g.node.push(g.node[0].clone()));
    sheet.refused("a tensor made twice", twice, &["again"]);
    let input_made = edited(relu, |g| g.node[0].output[0] = "x".into());
    sheet.refused("an input that is made", input_made, &["again"]);
    let two_weights = edited(dense, |g| g.initializer.push(g.initializer[0].clone()));
    sheet.refused("two weights of one name", two_weights, &["two weights"]);
    sheet.refused("two inputs of one name", edited(relu, |g| g.input.push(g.input[0].clone())), &["two inputs"]);
    let same_names = edited(dense, |g| {
        g.node.push(pb::NodeProto { output: vec!["z".into()], ..g.node[0].clone() });
        g.output[0].name = "z".into();
    });
    sheet.runs("two nodes of one name", same_names);
    sheet.refused("an input as output", edited(relu, |g| g.output[0].name = "x".into()), ANY);
    sheet.refused("an output of no node", edited(relu, |g| g.node[0].output.clear()), ANY);
    sheet.refused("a node without inputs", edited(relu, |g| g.node[0].input.clear()), ANY);
    sheet.refused("too many inputs", edited(relu, |g| g.node[0].input = vec!["x".into(); 1000]), ANY);
    sheet.refused("too many outputs", edited(relu, |g| g.node[0].output.extend((0..1000).map(|i| i.to_string()))), ANY);
    sheet.check();
}

#[test]
fn weights() {
    let mut sheet = Sheet::default();
    let weight = |edit: &dyn Fn(&mut pb::TensorProto)| edited(dense, |g| edit(&mut g.initializer[0]));
    for dims in
        [vec![HUGE, HUGE], vec![-1], vec![i64::MIN, 2], vec![0], vec![4, 3, 0], vec![], vec![4, 4], vec![1; 5000]]
    {
        sheet.refused(format!("dims {:?}", &dims[..dims.len().min(3)]), weight(&|w| w.dims = dims.clone()), ANY);
    }
    for kind in [0, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 17, 23, 99, -1] {
        sheet.refused(format!("data type {kind}"), weight(&|w| w.data_type = kind), ANY);
    }
    sheet.refused("cut data", weight(&|w| w.raw_data = w.raw_data[..7].to_vec()), &["do not fill"]);
    sheet.refused("two kinds of data", weight(&|w| w.float_data = vec![1.0; 24]), ANY);
    sheet.refused("in another file", weight(&|w| w.data_location = Some(1)), &["another file"]);
    sheet.refused(
        "in pieces",
        weight(&|w| w.segment = Some(pb::tensor_proto::Segment { begin: 0, end: 3 })),
        &["pieces"],
    );
    sheet.refused("NaN", weight(&|w| w.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes())), &["NaN or infinite"]);
    let texts = weight(&|w| {
        (w.data_type, w.raw_data) = (8, Vec::new());
        w.string_data = vec![vec![0xff, 0xfe]; 12];
    });
    sheet.refused("texts that are no text", texts, ANY);
    let sparse = edited(dense, |g| g.sparse_initializer.push(pb::SparseTensorProto::default()));
    sheet.refused("sparse", sparse, &["sparse"]);
    sheet.check();
}

#[test]
fn inputs() {
    let mut sheet = Sheet::default();
    let shaped = |shape: &[i64]| {
        edited(relu, |g| {
            let Some(pb::type_proto::Value::TensorType(t)) = g.input[0].r#type.as_mut().unwrap().value.as_mut() else {
                panic!("it is a tensor");
            };
            let fixed = |n: &i64| pb::tensor_shape_proto::Dimension {
                value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(*n)),
                ..Default::default()
            };
            t.shape = Some(pb::TensorShapeProto { dim: shape.iter().map(fixed).collect() });
        })
    };
    for shape in [&[HUGE, HUGE][..], &[1, HUGE], &[i64::MAX, i64::MAX, i64::MAX], &[1 << 23], &[1; 40], &[1; 2000]] {
        sheet.refused(format!("shape {:?}", &shape[..shape.len().min(3)]), shaped(shape), TOO_LARGE);
    }
    sheet.refused("shape [1, -4]", shaped(&[1, -4]), ANY);
    sheet.refused("shape [1, i64::MIN]", shaped(&[1, i64::MIN]), ANY);
    sheet.runs("shape []", shaped(&[]));
    sheet.runs("shape [0]", shaped(&[0]));
    let typed = |kind: i32| {
        edited(relu, |g| {
            let Some(pb::type_proto::Value::TensorType(t)) = g.input[0].r#type.as_mut().unwrap().value.as_mut() else {
                panic!("it is a tensor");
            };
            t.elem_type = kind;
        })
    };
    for kind in [0, 2, 7, 8, 9, 10, 16, 99, -1] {
        sheet.refused(format!("element type {kind}"), typed(kind), ANY);
    }
    sheet.refused("no type", edited(relu, |g| g.input[0].r#type = None), ANY);
    sheet.refused("no value of the type", edited(relu, |g| g.input[0].r#type = Some(pb::TypeProto::default())), ANY);
    let named = |name: &str| {
        let mut file = Onnx::new(17);
        let x = file.input("x", &[dim("batch"), dim(name)]);
        let y = file.node("Relu", &[&x], &[]);
        file.output(&y);
        file.bytes()
    };
    let deep = "(".repeat(100_000);
    for name in ["", "N*N*N", "1/0", "N/0", "N%0", "2^62*4", "99999999999999999999", "-1", "M-M-1", deep.as_str()] {
        sheet.refused(format!("dimension '{}'", &name[..name.len().min(20)]), named(name), ANY);
    }
    sheet.check();
}

#[test]
fn subgraphs_and_unknown_operators() {
    let mut sheet = Sheet::default();
    let body = || {
        let mut inner = Onnx::new(17);
        let c = inner.floats(&[1], vec![1.0]);
        inner.output(&c);
        inner.graph()
    };
    let branch = with(|f, x| {
        let yes = f.bools(&[], &[true]);
        let y = f.node("If", &[&yes], &[graph("then_branch", body()), graph("else_branch", body())]);
        f.node("Add", &[x, &y], &[])
    });
    sheet.refused("If", branch, &["operator If"]);
    let scan = with(|f, x| f.node("Scan", &[x], &[graph("body", body()), int("num_scan_inputs", HUGE)]));
    sheet.refused("Scan", scan, &["operator Scan"]);
    let endless = with(|f, x| {
        let (trips, yes) = (f.ints(&[], &[i64::MAX]), f.bools(&[], &[true]));
        f.node("Loop", &[&trips, &yes, x], &[graph("body", body())])
    });
    sheet.refused("Loop", endless, &["operator Loop"]);
    for depth in [5, 20, 90, 400] {
        let mut nested = body();
        for _ in 0..depth {
            let mut outer = Onnx::new(17);
            let yes = outer.bools(&[], &[true]);
            let y = outer.node("If", &[&yes], &[graph("then_branch", nested.clone()), graph("else_branch", body())]);
            outer.output(&y);
            nested = outer.graph();
        }
        let file = with(|f, x| {
            let yes = f.bools(&[], &[true]);
            let y = f.node("If", &[&yes], &[graph("then_branch", nested), graph("else_branch", body())]);
            f.node("Add", &[x, &y], &[])
        });
        sheet.refused(format!("If inside If, {depth} deep"), file, &["operator If", "too deep", "damaged"]);
    }
    sheet.refused("an operator of nobody", edited(relu, |g| g.node[0].op_type = "Wombat".into()), &["Wombat"]);
    sheet.refused("another domain", edited(relu, |g| g.node[0].domain = "com.example".into()), &["com.example"]);
    sheet.refused("no operator", edited(relu, |g| g.node[0].op_type.clear()), &["uses operator"]);
    let random = with(|f, _| f.node("RandomNormal", &[], &[ints("shape", &[HUGE, HUGE])]));
    sheet.refused("random numbers", random, &["RandomNormal"]);
    sheet.refused("opset 0", version(0), &["operator sets"]);
    sheet.refused("opset i64::MAX", version(i64::MAX), &["operator sets"]);
    sheet.check();
}

fn version(version: i64) -> Vec<u8> {
    let mut file = pb::ModelProto::decode(with(relu).as_slice()).unwrap();
    file.opset_import[0].version = version;
    file.encode_to_vec()
}

#[test]
fn bytes_that_are_no_file() {
    let mut sheet = Sheet::default();
    sheet.refused("nothing", Vec::new(), &["no graph"]);
    sheet.refused("zeros", vec![0; 4096], &["damaged"]);
    sheet.refused("ones", vec![0xff; 4096], &["damaged"]);
    sheet.refused("a text", b"this is not an ONNX file".to_vec(), &["damaged", "no graph"]);
    // An empty node takes two bytes: a graph of a million.
    let nodes = [0x0a, 0x00].repeat(1 << 20);
    let mut bytes = vec![0x3a];
    let mut length = nodes.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(nodes);
    sheet.refused("a million empty nodes", bytes, &["too many entries"]);
    // A message that says it is longer than the file.
    sheet.refused(
        "a length beyond the end",
        vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &["damaged"],
    );
    sheet.check();
}

#[test]
fn long_and_wide_graphs() {
    let mut sheet = Sheet::default();
    let chain = |n: usize, operator: &'static str| {
        with(move |f, x| {
            let mut y = x.to_owned();
            for _ in 0..n {
                y = f.node(operator, &[&y], &[]);
            }
            y
        })
    };
    sheet.runs("2,000 activations in a row", chain(2_000, "Tanh"));
    sheet.refused("10,001 activations in a row", chain(10_001, "Tanh"), &["at most 10000 nodes"]);
    let fan = with(|f, x| {
        let parts: Vec<String> = (0..500).map(|_| f.node("Sigmoid", &[x], &[])).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        f.node("Concat", &parts, &[int("axis", 1)])
    });
    sheet.runs("500 branches", fan);
    let doubling = with(|f, x| {
        let mut y = x.to_owned();
        for _ in 0..300 {
            y = f.node("Add", &[&y, &y], &[]);
        }
        y
    });
    sheet.runs("300 sums with itself", doubling);
    sheet.check();
}

#[test]
fn recurrent_layers() {
    let mut sheet = Sheet::default();
    let edit = |cell: &str, edit: &dyn Fn(&mut pb::GraphProto)| {
        let mut file =
            pb::ModelProto::decode(recurrent(cell, 4, 3, 5, 2, &mut Random::new(7)).bytes().as_slice()).unwrap();
        edit(file.graph.as_mut().unwrap());
        file.encode_to_vec()
    };
    for cell in ["RNN", "GRU", "LSTM"] {
        let node = |g: &pb::GraphProto| g.node.iter().position(|n| n.op_type == cell).unwrap();
        let with_attribute = |attribute: pb::AttributeProto| {
            edit(cell, &|g: &mut pb::GraphProto| {
                let at = node(g);
                g.node[at].attribute.retain(|a| a.name != attribute.name);
                g.node[at].attribute.push(attribute.clone());
            })
        };
        sheet.refused(format!("{cell} hidden_size 0"), with_attribute(int("hidden_size", 0)), ANY);
        sheet.refused(format!("{cell} hidden_size 7"), with_attribute(int("hidden_size", 7)), ANY);
        sheet.refused(format!("{cell} direction"), with_attribute(string("direction", "sideways")), ANY);
        sheet.refused(format!("{cell} both ways"), with_attribute(string("direction", "bidirectional")), ANY);
        sheet.refused(format!("{cell} layout 2"), with_attribute(int("layout", 2)), ANY);
        sheet.refused(format!("{cell} clip"), with_attribute(float("clip", 1.0)), &["would be ignored"]);
        let odd = with_attribute(strings("activations", &["Wombat", "Tanh", "Tanh"]));
        sheet.refused(format!("{cell} activations"), odd, ANY);
        for (name, input, dims) in [("W", 1, [1, 6, 3]), ("R", 2, [1, 3, 20]), ("B", 3, [1, 1, 2])] {
            let shaped = edit(cell, &|g: &mut pb::GraphProto| {
                let weight = g.node[node(g)].input[input].clone();
                let tensor = g.initializer.iter_mut().find(|t| t.name == weight).unwrap();
                tensor.dims = dims.to_vec();
                tensor.raw_data = vec![0; 4 * dims.iter().product::<i64>() as usize];
            });
            sheet.refused(format!("{cell} {name} of {dims:?}"), shaped, ANY);
        }
        let endless = recurrent(cell, 1 << 22, 3, 5, 2, &mut Random::new(7)).bytes();
        sheet.refused(format!("{cell} of 4,194,304 steps"), endless, TOO_LARGE);
        let none = recurrent(cell, 0, 3, 5, 2, &mut Random::new(7)).bytes();
        sheet.refused(format!("{cell} of no steps"), none, ANY);
    }
    sheet.check();
}

#[test]
fn good_files_still_run() {
    let mut sheet = Sheet::default();
    sheet.runs("a dense network", mlp(&[16, 64, 64, 2], "Tanh", &mut Random::new(3)).bytes());
    for cell in ["RNN", "GRU", "LSTM"] {
        sheet.runs(cell, recurrent(cell, 8, 3, 5, 2, &mut Random::new(3)).bytes());
    }
    let wide = {
        let mut file = Onnx::new(17);
        let x = file.input("x", &dims(&[1, 4096]));
        let w = file.weights(&[4096, 128], &mut Random::new(5));
        let y = file.node("MatMul", &[&x, &w], &[]);
        file.output(&y);
        file.bytes()
    };
    sheet.runs("weights of 2 MiB", wide);
    sheet.check();
}
