//! Activations, arithmetic with broadcasting, reductions, softmax and normalisation.

use flyball_engine::{Binary, Op, Unary};
use tract_onnx::pb::AttributeProto;

use crate::onnx::{Onnx, dim, dims, float, int, ints, string};
use crate::{Range, check, check_in, count, random};

fn one(operator: &str, attributes: &[AttributeProto]) -> Onnx {
    one_of(18, operator, attributes)
}

fn one_of(opset: i64, operator: &str, attributes: &[AttributeProto]) -> Onnx {
    let mut file = Onnx::new(opset);
    let x = file.input("x", &[dim("N"), dim(4), dim(5)]);
    let y = file.node(operator, &[&x], attributes);
    file.output(&y);
    file
}

/// Each becomes exactly one node of the engine.
#[test]
fn activations_are_one_node() {
    let cases: Vec<(&str, Onnx, Unary)> = vec![
        ("Relu", one("Relu", &[]), Unary::Relu),
        ("LeakyRelu", one("LeakyRelu", &[float("alpha", 0.2)]), Unary::LeakyRelu { slope: 0.2 }),
        ("Elu", one("Elu", &[]), Unary::Elu { alpha: 1.0 }),
        ("Elu alpha", one("Elu", &[float("alpha", 1.5)]), Unary::Elu { alpha: 1.5 }),
        ("Selu", one("Selu", &[]), Unary::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
        ("Selu own", one("Selu", &[float("alpha", 2.0), float("gamma", 3.0)]), Unary::Selu { alpha: 2.0, gamma: 3.0 }),
        ("Gelu", one_of(20, "Gelu", &[]), Unary::Gelu),
        ("Gelu tanh", one_of(20, "Gelu", &[string("approximate", "tanh")]), Unary::GeluTanh),
        ("Tanh", one("Tanh", &[]), Unary::Tanh),
        ("Sigmoid", one("Sigmoid", &[]), Unary::Sigmoid),
        ("HardSigmoid", one("HardSigmoid", &[]), Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        (
            "HardSigmoid own",
            one("HardSigmoid", &[float("alpha", 0.5), float("beta", 0.6)]),
            Unary::HardSigmoid { alpha: 0.5, beta: 0.6 },
        ),
        ("HardSwish", one("HardSwish", &[]), Unary::HardSwish),
        ("Softplus", one("Softplus", &[]), Unary::Softplus),
        ("Exp", one("Exp", &[]), Unary::Exp),
        ("Abs", one("Abs", &[]), Unary::Absolute),
        ("Neg", one("Neg", &[]), Unary::Negate),
        ("Erf", one("Erf", &[]), Unary::Erf),
        ("Clip 6", one_of(6, "Clip", &[float("min", -0.5), float("max", 0.7)]), Unary::Clip { low: -0.5, high: 0.7 }),
    ];
    for (name, file, wanted) in cases {
        let graph = check(name, &file);
        let found: Vec<&Op> = graph.nodes().iter().map(|n| &n.op).collect();
        assert!(
            matches!(found[..], [Op::Input, Op::Unary(function)] if *function == wanted),
            "{name}: {found:?} is not one {wanted:?}"
        );
    }
    for operator in ["Log", "Sqrt", "Reciprocal"] {
        check_in(operator, &one(operator, &[]), Range::Positive);
    }
    for operator in ["Identity", "Softsign", "Swish", "Mish", "Celu", "Softmax", "LogSoftmax", "Dropout"] {
        check(operator, &one(operator, &[]));
    }
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let (ratio, training) = (file.floats(&[], vec![0.5]), file.bools(&[], &[false]));
    let y = file.node("Dropout", &[&x, &ratio, &training], &[]);
    file.output(&y);
    check("Dropout 13", &file);
}

#[test]
fn softmax_over_every_axis_and_in_the_old_form() {
    for axis in [-3, -2, -1, 0, 1, 2] {
        check(&format!("Softmax {axis}"), &one("Softmax", &[int("axis", axis)]));
        check(&format!("LogSoftmax {axis}"), &one("LogSoftmax", &[int("axis", axis)]));
    }
    check("Softmax 11", &one_of(11, "Softmax", &[int("axis", 1)]));
    check("LogSoftmax 11", &one_of(11, "LogSoftmax", &[int("axis", 2)]));
}

/// tract takes the logarithm of a share that is 0 in f32; here it is computed from the exponents.
#[test]
fn log_softmax_and_log_sum_exp_and_softplus_keep_large_numbers() {
    let evaluate = |file: &Onnx, x: &[f64]| {
        let graph = crate::translated(file).expect("is translated");
        flyball_engine::reference::evaluate(&graph, &[x.to_vec()]).remove(0)
    };
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 2]));
    let y = file.node("LogSoftmax", &[&x], &[]);
    file.output(&y);
    let y = evaluate(&file, &[0.0, 1e4]);
    assert!((y[0] + 1e4).abs() < 1e-6 && y[1].abs() < 1e-6, "{y:?}");
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 2]));
    let y = file.node("ReduceLogSumExp", &[&x], &[]);
    file.output(&y);
    let y = evaluate(&file, &[0.0, 1e4]);
    assert!((y[0] - 1e4).abs() < 1e-6, "{y:?}");
    let y = evaluate(&one("Softplus", &[]), &[1e4; 60]);
    assert!((y[0] - 1e4).abs() < 1e-6, "{y:?}");
}

#[test]
fn not_a_number_stays_not_a_number() {
    let nan = |file: &Onnx| {
        let graph = crate::translated(file).expect("is translated");
        let y = flyball_engine::reference::evaluate(&graph, &[vec![f64::NAN; 60]]).remove(0);
        assert!(y.iter().all(|v| v.is_nan()), "{y:?}");
    };
    for operator in ["Relu", "Elu", "Selu", "HardSigmoid", "HardSwish", "Softplus", "Softmax", "ReduceMax"] {
        nan(&one(operator, &[]));
    }
    nan(&one_of(6, "Clip", &[float("min", 0.0), float("max", 1.0)]));
}

#[test]
fn arithmetic_broadcasts() {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[3, 4, 5], &[3, 4, 5]),
        (&[3, 4, 5], &[5]),
        (&[4, 1], &[3, 4, 5]),
        (&[], &[3, 4, 5]),
        (&[3, 1, 5], &[1, 4, 1]),
        (&[1, 1, 1, 1], &[4, 5]),
    ];
    for operator in ["Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"] {
        for (a, b) in shapes {
            let name = format!("{operator} {a:?} {b:?}");
            let mut both = Onnx::new(18);
            let (x, y) = (both.input("a", &dims(a)), both.input("b", &dims(b)));
            let z = both.node(operator, &[&x, &y], &[]);
            both.output(&z);
            check_in(&name, &both, Range::Positive);
            for constant_left in [false, true] {
                let mut file = Onnx::new(18);
                let x = file.input("a", &dims(a));
                let numbers = random(&name).numbers(b.iter().product(), 1.0).iter().map(|v| v + 1.5).collect();
                let c = file.floats(b, numbers);
                let z = file.node(operator, &if constant_left { [&c[..], &x] } else { [&x, &c] }, &[]);
                file.output(&z);
                check_in(&format!("{name} constant, left: {constant_left}"), &file, Range::Positive);
            }
        }
    }
}

#[test]
fn several_terms_at_once() {
    for operator in ["Sum", "Mean", "Max", "Min"] {
        for n in 1..=3 {
            let mut file = Onnx::new(13);
            let all: Vec<String> = (0..n).map(|i| file.input(&format!("x{i}"), &dims(&[2, [3, 1, 3][i]]))).collect();
            let names: Vec<&str> = all.iter().map(String::as_str).collect();
            let y = file.node(operator, &names, &[]);
            file.output(&y);
            check(&format!("{operator} of {n}"), &file);
        }
    }
}

#[test]
fn an_integer_exponent_is_taken_as_float32() {
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let exponent = file.ints(&[4], &[0, 1, 2, -3]);
    let y = file.node("Pow", &[&x, &exponent], &[]);
    file.output(&y);
    check_in("Pow of integers", &file, Range::Positive);
}

#[test]
fn powers_with_small_exponents_are_products() {
    for exponent in [1.0, 2.0, 3.0, 0.5, -1.0, 1.7, 0.0] {
        let mut file = Onnx::new(18);
        let x = file.input("x", &[dim("N"), dim(4)]);
        let c = file.floats(&[], vec![exponent]);
        let y = file.node("Pow", &[&x, &c], &[]);
        file.output(&y);
        let graph = check_in(&format!("Pow {exponent}"), &file, Range::Positive);
        let logarithmic = count(&graph, &|op| matches!(op, Op::Binary(Binary::Power)));
        assert_eq!(logarithmic, usize::from([1.7, 0.0].contains(&exponent)), "exponent {exponent}");
    }
}

#[test]
fn clip_with_missing_and_crossed_limits() {
    for (low, high) in
        [(Some(-0.5), Some(0.5)), (Some(0.0), None), (None, Some(0.3)), (Some(0.0), Some(6.0)), (Some(0.5), Some(-0.5))]
    {
        let mut file = Onnx::new(13);
        let x = file.input("x", &[dim("N"), dim(7)]);
        let low = low.map_or(String::new(), |v| file.floats(&[], vec![v]));
        let high = high.map_or(String::new(), |v| file.floats(&[], vec![v]));
        let y = file.node("Clip", &[&x, &low, &high], &[]);
        file.output(&y);
        check(&format!("Clip {low} {high}"), &file);
    }
}

#[test]
fn parametric_relu() {
    for shape in [&[5][..], &[4, 1], &[1], &[3, 4, 5]] {
        let mut file = Onnx::new(16);
        let x = file.input("x", &dims(&[3, 4, 5]));
        let slope = file.weights(shape, &mut random("prelu"));
        let y = file.node("PRelu", &[&x, &slope], &[]);
        file.output(&y);
        let graph = check(&format!("PRelu {shape:?}"), &file);
        let found =
            |op: &Op| matches!(op, Op::Binary(Binary::PRelu)) || matches!(op, Op::Unary(Unary::LeakyRelu { .. }));
        assert_eq!((count(&graph, &found), graph.nodes().len() <= 3), (1, true), "{shape:?}: {:?}", graph.nodes());
    }
    // Before operator set 7 a list of slopes belonged to the channels.
    let mut file = Onnx::new(6);
    let x = file.input("x", &dims(&[2, 3, 2, 2]));
    let slope = file.floats(&[3], vec![0.1, 0.2, 0.3]);
    let y = file.node("PRelu", &[&x, &slope], &[]);
    file.output(&y);
    let graph = check("PRelu 6", &file);
    let y = flyball_engine::reference::evaluate(&graph, &[vec![-10.0; 24]]).remove(0);
    assert!((y[0] + 1.0).abs() < 1e-5 && (y[4] + 2.0).abs() < 1e-5 && (y[20] + 3.0).abs() < 1e-5, "{y:?}");
}

/// The functions of the standard and newer exporters write activations as selections.
#[test]
fn activations_written_as_selections() {
    let select = |below: &dyn Fn(&mut Onnx, &str) -> (String, String), flip: bool| {
        let mut file = Onnx::new(18);
        let x = file.input("x", &[dim("N"), dim(8)]);
        let zero = file.floats(&[], vec![0.0]);
        let (above, below) = below(&mut file, &x);
        let y = if flip {
            let test = file.node("Less", &[&x, &zero], &[]);
            file.node("Where", &[&test, &below, &above], &[])
        } else {
            let test = file.node("Greater", &[&x, &zero], &[]);
            file.node("Where", &[&test, &above, &below], &[])
        };
        file.output(&y);
        file
    };
    let elu = |file: &mut Onnx, x: &str| {
        let (alpha, one) = (file.floats(&[], vec![1.5]), file.floats(&[], vec![1.0]));
        let y = file.node("Exp", &[x], &[]);
        let y = file.node("Sub", &[&y, &one], &[]);
        (x.to_owned(), file.node("Mul", &[&alpha, &y], &[]))
    };
    let selu = |file: &mut Onnx, x: &str| {
        let (alpha, gamma) = (file.floats(&[], vec![1.5]), file.floats(&[], vec![1.25]));
        let y = file.node("Exp", &[x], &[]);
        let y = file.node("Mul", &[&alpha, &y], &[]);
        let y = file.node("Sub", &[&y, &alpha], &[]);
        (file.node("Mul", &[&gamma, x], &[]), file.node("Mul", &[&gamma, &y], &[]))
    };
    let leaky = |file: &mut Onnx, x: &str| {
        let slope = file.floats(&[], vec![0.3]);
        (x.to_owned(), file.node("Mul", &[&slope, x], &[]))
    };
    for flip in [false, true] {
        for (name, file, wanted) in [
            ("elu", select(&elu, flip), Unary::Elu { alpha: 1.5 }),
            ("selu", select(&selu, flip), Unary::Selu { alpha: 1.5, gamma: 1.25 }),
            ("leaky relu", select(&leaky, flip), Unary::LeakyRelu { slope: 0.3 }),
        ] {
            let graph = check(&format!("{name} {flip}"), &file);
            let found: Vec<&Op> = graph.nodes().iter().map(|n| &n.op).collect();
            assert!(matches!(found[..], [Op::Input, Op::Unary(f)] if *f == wanted), "{name} {flip}: {found:?}");
        }
    }
    for (test, limit_first) in [("Less", true), ("Less", false), ("Greater", true), ("Greater", false)] {
        let mut file = Onnx::new(18);
        let x = file.input("x", &[dim("N"), dim(8)]);
        let limit = file.floats(&[], vec![0.5]);
        let outside = file.node(test, &[&x, &limit], &[]);
        let y = file.node("Where", &if limit_first { [&outside[..], &limit, &x] } else { [&outside, &x, &limit] }, &[]);
        file.output(&y);
        check(&format!("limit {test} {limit_first}"), &file);
    }
}

/// PyTorch below opset 20 writes gelu with five operators, in several orders.
#[test]
fn gelu_in_pieces_is_put_back_together() {
    let erf = |order: usize| {
        let mut file = Onnx::new(17);
        let x = file.input("x", &[dim("N"), dim(8)]);
        let root = file.floats(&[], vec![std::f32::consts::SQRT_2]);
        let one = file.floats(&[], vec![1.0]);
        let half = file.floats(&[], vec![0.5]);
        let y = file.node("Div", &[&x, &root], &[]);
        let y = file.node("Erf", &[&y], &[]);
        let gate = file.node("Add", &[&y, &one], &[]);
        let y = if order == 0 {
            let y = file.node("Mul", &[&x, &gate], &[]);
            file.node("Mul", &[&y, &half], &[])
        } else {
            let gate = file.node("Mul", &[&half, &gate], &[]);
            file.node("Mul", &[&gate, &x], &[])
        };
        file.output(&y);
        file
    };
    let tanh = |cube: usize| {
        let mut file = Onnx::new(17);
        let x = file.input("x", &[dim("N"), dim(8)]);
        let three = file.floats(&[], vec![3.0]);
        let c = file.floats(&[], vec![0.044_715]);
        let root = file.floats(&[], vec![0.797_884_6]);
        let one = file.floats(&[], vec![1.0]);
        let half = file.floats(&[], vec![0.5]);
        let y = if cube == 0 {
            file.node("Pow", &[&x, &three], &[])
        } else {
            let y = file.node("Mul", &[&x, &x], &[]);
            file.node("Mul", &[&y, &x], &[])
        };
        let y = file.node("Mul", &[&y, &c], &[]);
        let y = file.node("Add", &[&x, &y], &[]);
        let y = file.node("Mul", &[&y, &root], &[]);
        let y = file.node("Tanh", &[&y], &[]);
        let gate = file.node("Add", &[&y, &one], &[]);
        let y = file.node("Mul", &[&x, &half], &[]);
        let y = file.node("Mul", &[&y, &gate], &[]);
        file.output(&y);
        file
    };
    for (name, file, wanted) in [
        ("gelu 0", erf(0), Unary::Gelu),
        ("gelu 1", erf(1), Unary::Gelu),
        ("gelu tanh 0", tanh(0), Unary::GeluTanh),
        ("gelu tanh 1", tanh(1), Unary::GeluTanh),
    ] {
        let graph = check(name, &file);
        assert_eq!(graph.nodes().len(), 2, "{name}: {:?}", graph.nodes());
        assert_eq!(count(&graph, &|op| matches!(op, Op::Unary(function) if *function == wanted)), 1, "{name}");
    }
}

#[test]
fn reductions_with_axes_as_attribute_and_as_input() {
    let operators =
        ["Mean", "Sum", "Max", "Min", "SumSquare", "L1", "L2", "LogSum", "LogSumExp"].map(|o| format!("Reduce{o}"));
    for operator in &operators {
        for keep in [0, 1] {
            for axes in [&[0][..], &[-1], &[1, 2], &[0, 1, 2]] {
                let name = format!("{operator} {axes:?} keep {keep}");
                let keep = int("keepdims", keep);
                let old = if operator == "ReduceSum" { 11 } else { 17 };
                check_in(&name, &one_of(old, operator, &[keep.clone(), ints("axes", axes)]), Range::Positive);
                let mut file = Onnx::new(18);
                let x = file.input("x", &[dim("N"), dim(4), dim(5)]);
                let axes = file.ints(&[axes.len()], axes);
                let y = file.node(operator, &[&x, &axes], &[keep]);
                file.output(&y);
                check_in(&format!("{name} 18"), &file, Range::Positive);
            }
        }
        check_in(&format!("{operator} all"), &one(operator, &[]), Range::Positive);
    }
}

#[test]
fn layer_norm_as_operator_and_in_pieces() {
    for axis in [-1, 1] {
        let width: &[usize] = if axis == -1 { &[5] } else { &[4, 5] };
        for bias in [false, true] {
            let mut random = random("layer norm");
            let mut file = Onnx::new(17);
            let x = file.input("x", &[dim("N"), dim(4), dim(5)]);
            let scale = file.weights(width, &mut random);
            let shift = if bias { file.weights(width, &mut random) } else { String::new() };
            let names: Vec<&str> = if bias { vec![&x, &scale, &shift] } else { vec![&x, &scale] };
            let y = file.node("LayerNormalization", &names, &[int("axis", axis), float("epsilon", 1e-3)]);
            file.output(&y);
            check(&format!("LayerNormalization {axis} bias {bias}"), &file);
        }
    }
    let mut random = random("layer norm");
    let mut file = Onnx::new(14);
    let x = file.input("x", &[dim("N"), dim(4), dim(6)]);
    let two = file.floats(&[], vec![2.0]);
    let epsilon = file.floats(&[], vec![1e-5]);
    let scale = file.weights(&[6], &mut random);
    let shift = file.weights(&[6], &mut random);
    let mean = file.node("ReduceMean", &[&x], &[ints("axes", &[-1])]);
    let centred = file.node("Sub", &[&x, &mean], &[]);
    let square = file.node("Pow", &[&centred, &two], &[]);
    let variance = file.node("ReduceMean", &[&square], &[ints("axes", &[-1])]);
    let variance = file.node("Add", &[&variance, &epsilon], &[]);
    let deviation = file.node("Sqrt", &[&variance], &[]);
    let y = file.node("Div", &[&centred, &deviation], &[]);
    let y = file.node("Mul", &[&y, &scale], &[]);
    let y = file.node("Add", &[&y, &shift], &[]);
    file.output(&y);
    check("layer norm in pieces", &file);
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(4), dim(6)]);
    let scale = file.weights(&[4], &mut random);
    let shift = file.weights(&[4], &mut random);
    let y = file.node("InstanceNormalization", &[&x, &scale, &shift], &[]);
    file.output(&y);
    check("InstanceNormalization", &file);
}

#[test]
fn casts_and_selections_that_are_known() {
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(3)]);
    let y = file.node("Cast", &[&x], &[int("to", 1)]);
    let steps = file.ints(&[3], &[1, 2, 3]);
    let steps = file.node("Cast", &[&steps], &[int("to", 1)]);
    let y = file.node("Mul", &[&y, &steps], &[]);
    let mask = file.bools(&[3], &[true, false, true]);
    let low = file.floats(&[], vec![-1e9]);
    let y = file.node("Where", &[&mask, &y, &low], &[]);
    let (a, b) = (file.floats(&[3], vec![1.0, 2.0, 3.0]), file.floats(&[1], vec![2.0]));
    let above = file.node("Greater", &[&a, &b], &[]);
    let equal = file.node("Equal", &[&a, &b], &[]);
    let either = file.node("Or", &[&above, &equal], &[]);
    let y = file.node("Where", &[&either, &y, &x], &[]);
    file.output(&y);
    let graph = check("Cast and Where", &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::Index(_))), 1, "both selections are one move");
}
