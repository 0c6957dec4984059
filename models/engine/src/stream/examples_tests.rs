//! Windowed networks of common kinds against their one-step forms: equal at every step, with nothing to allow for.

use super::common_tests::{Layout, Net, compare, compiled_apart, feed, run};
use super::{Stream, stream};
use crate::index::IndexMap;
use crate::op::{Binary, Conv, ReduceKind, Unary};
use crate::{Graph, Node};

/// Equal in the interpreter, and the same bits from compiled programs.
fn same(build: impl Fn(usize) -> Graph, axis: usize, window: usize) -> Stream {
    let stream = nearly_same(&build, axis, window);
    assert_eq!(compiled_apart(&build(window), &stream, axis, &[]), 0.0);
    stream
}

/// Equal in the interpreter. Compiled programs may differ in the last bit: a sum that they take into a product for the shapes of one
/// form only is rounded at another place.
fn nearly_same(build: impl Fn(usize) -> Graph, axis: usize, window: usize) -> Stream {
    compare(|steps| Some(build(steps)), axis, window, &[]).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// The last step of a sequence, without its axis.
fn last(net: &mut Net, x: Node, axis: usize) -> Node {
    let mut shape = net.g.shape(x).to_vec();
    let step = net.g.slice(x, axis, shape[axis] - 1, shape[axis]).unwrap();
    shape.remove(axis);
    net.g.reshape(step, &shape).unwrap()
}

#[test]
fn an_lstm_streams_in_every_layout() {
    for layout in Layout::ALL {
        let build = |steps: usize| {
            let mut net = Net::new(1);
            let x = net.input(&layout.shape(steps, 3));
            let x = net.layout(x, layout, Layout::TimeFirst);
            let r = net.lstm(x, 4);
            let all = net.layout(r.all, Layout::TimeFirst, layout);
            let newest = last(&mut net, all, layout.axis());
            let (a, b) = (net.dense(newest, 2), net.dense(r.last, 2));
            net.done(&[all, newest, a, b])
        };
        let s = same(build, layout.axis(), 6);
        assert_eq!(s.sequences, [Some(layout.axis()), None, None, None]);
        assert_eq!((s.states, s.warm_up, s.equal_for_ever), (2, 1, false));
        assert_eq!(s.initial[0], [0.0; 4]);
        assert_eq!(s.graph.shape(s.graph.inputs()[0]), layout.shape(1, 3));
    }
}

#[test]
fn a_gru_and_stacked_layers_stream() {
    let build = |steps: usize| {
        let mut net = Net::new(2);
        let x = net.input(&[1, steps, 3]);
        let x = net.layout(x, Layout::BatchFirst, Layout::TimeFirst);
        let one = net.gru(x, 5, None);
        // As in ONNX: [T, directions, batch, hidden], squeezed again.
        let onnx = net.g.reshape(one.all, &[steps, 1, 1, 5]).unwrap();
        let squeezed = net.g.reshape(onnx, &[steps, 1, 5]).unwrap();
        let scaled = net.unary(Unary::Tanh, squeezed);
        let two = net.lstm(scaled, 4);
        let three = net.gru(two.all, 2, None);
        let y = net.dense(three.last, 1);
        net.done(&[y, three.all, onnx])
    };
    let s = same(build, 1, 7);
    assert_eq!((s.states, s.warm_up, s.equal_for_ever), (4, 1, false));
}

/// How a file writes a causal convolution.
#[derive(Clone, Copy)]
enum Causal {
    Pads,
    PadNode,
    CutOff,
}

fn causal(net: &mut Net, x: Node, kernel: usize, dilation: usize, how: Causal) -> Node {
    let (reach, channels) = ((kernel - 1) * dilation, net.g.shape(x)[1]);
    match how {
        Causal::Pads => net.conv(x, channels, kernel, dilation, (reach, 0), 1),
        Causal::PadNode => {
            let padded = net.g.pad(x, &[(0, 0), (0, 0), (reach, 0)], 0.0).unwrap();
            net.conv(padded, channels, kernel, dilation, (0, 0), 1)
        }
        Causal::CutOff => {
            let steps = net.g.shape(x)[2];
            let wide = net.conv(x, channels, kernel, dilation, (reach, reach), 1);
            net.g.slice(wide, 2, 0, steps).unwrap()
        }
    }
}

#[test]
fn causal_convolutions_with_residuals_stream_however_they_are_padded() {
    for how in [Causal::Pads, Causal::PadNode, Causal::CutOff] {
        let build = |steps: usize| {
            let mut net = Net::new(3);
            let x = net.input(&[1, 3, steps]);
            let mut h = x;
            for dilation in [1, 2, 4] {
                let y = causal(&mut net, h, 3, dilation, how);
                let y = net.unary(Unary::Relu, y);
                h = net.binary(Binary::Add, y, h);
            }
            let newest = last(&mut net, h, 2);
            let y = net.dense(newest, 2);
            net.done(&[h, y])
        };
        // The newest step depends on 15 steps.
        let (long, short) = (same(build, 2, 15), same(build, 2, 14));
        assert_eq!((long.warm_up, long.equal_for_ever), (1, true));
        assert_eq!((short.warm_up, short.equal_for_ever), (1, false));
        assert_eq!(long.initial.iter().map(Vec::len).collect::<Vec<_>>(), [3 * 2, 3 * 4, 3 * 8]);
        assert!(parts_later(&build(14), &short, 2), "a window of 14 steps forgets what the stream remembers");
    }
}

/// True if some output after the first window differs from the windowed run.
fn parts_later(graph: &Graph, stream: &Stream, axis: usize) -> bool {
    let (x, shape) = feed(graph, axis, 3 * stream.window, 99);
    let streamed = run(stream, &x, &shape, axis, &[]);
    let complete = stream.sequences.iter().position(Option::is_none).unwrap();
    (stream.window..3 * stream.window).any(|step| {
        let window = super::common_tests::cut(&x, &shape, axis, step + 1 - stream.window, step + 1);
        crate::reference::evaluate(graph, &[window])[complete] != streamed[step][complete]
    })
}

#[test]
fn valid_convolutions_are_right_once_filled_and_then_for_ever() {
    let build = |steps: usize| {
        let mut net = Net::new(4);
        let x = net.input(&[1, 4, steps]);
        let y = net.conv(x, 4, 3, 1, (0, 0), 4);
        let y = net.unary(Unary::Tanh, y);
        let all = net.conv(y, 2, 2, 3, (0, 0), 2);
        let newest = last(&mut net, all, 2);
        let y = net.dense(newest, 2);
        net.done(&[all, y])
    };
    let s = nearly_same(build, 2, 10);
    assert_eq!((s.warm_up, s.equal_for_ever, s.states), (6, true, 2));

    // All the way down to one step: the window is exactly what the network sees.
    let build = |steps: usize| {
        let mut net = Net::new(5);
        let x = net.input(&[1, 3, steps]);
        let y = net.conv(x, 4, 4, 1, (0, 0), 1);
        let y = net.unary(Unary::Relu, y);
        let y = net.conv(y, 2, steps - 3, 1, (0, 0), 1);
        let flat = net.g.reshape(y, &[1, 2]).unwrap();
        let y = net.dense(flat, 1);
        net.done(&[y])
    };
    let s = same(build, 2, 9);
    assert_eq!((s.warm_up, s.equal_for_ever), (9, true));

    // The same over a sequence that ends two steps before the window does.
    let build = |steps: usize| {
        let mut net = Net::new(19);
        let x = net.input(&[1, 3, steps]);
        let early = net.g.slice(x, 2, 0, steps - 2).unwrap();
        let y = net.conv(early, 2, steps - 2, 1, (0, 0), 1);
        net.done(&[y])
    };
    let s = same(build, 2, 6);
    assert_eq!((s.warm_up, s.equal_for_ever), (6, true));
}

#[test]
fn a_loop_after_a_valid_convolution_waits_until_that_is_filled() {
    let build = |steps: usize| {
        let mut net = Net::new(6);
        let x = net.input(&[1, 3, steps]);
        let y = net.conv(x, 4, 3, 2, (0, 0), 1);
        let y = net.unary(Unary::Relu, y);
        let y = net.layout(y, Layout::Channels, Layout::TimeFirst);
        let r = net.lstm(y, 3);
        let newest = last(&mut net, r.all, 0);
        let (a, b) = (net.dense(newest, 2), net.dense(r.last, 2));
        net.done(&[r.all, a, b])
    };
    let s = same(build, 2, 9);
    assert_eq!((s.warm_up, s.equal_for_ever), (5, false));
    // The history, both states of the loop, and the zeros that hold these until the first four steps are over.
    assert_eq!(s.initial.iter().map(Vec::len).collect::<Vec<_>>(), [12, 3, 5, 3]);
}

#[test]
fn what_is_nan_before_a_history_is_filled_reaches_no_loop() {
    let build = |steps: usize| {
        let mut net = Net::new(18);
        let x = net.input(&[steps, 1, 2]);
        let (late, early) = (net.g.slice(x, 0, 1, steps).unwrap(), net.g.slice(x, 0, 0, steps - 1).unwrap());
        // In the first step a number is divided by a history that is still 0, and infinity taken from infinity.
        let ratio = net.binary(Binary::Divide, late, early);
        let size = net.unary(Unary::Absolute, ratio);
        let mean = net.g.mean(size, &[2]).unwrap();
        let centred = net.binary(Binary::Subtract, size, mean);
        let r = net.gru(centred, 3, None);
        net.done(&[r.all, r.last])
    };
    let s = same(build, 0, 6);
    assert_eq!((s.warm_up, s.equal_for_ever), (2, false));
}

#[test]
fn causal_convolution_then_loop_then_dense_streams() {
    let build = |steps: usize| {
        let mut net = Net::new(7);
        let x = net.input(&[1, steps, 3]);
        let x = net.layout(x, Layout::BatchFirst, Layout::Channels);
        let y = causal(&mut net, x, 3, 2, Causal::Pads);
        let y = net.unary(Unary::LeakyRelu { slope: 0.1 }, y);
        let y = net.layout(y, Layout::Channels, Layout::TimeFirst);
        let r = net.gru(y, 4, None);
        let back = net.layout(r.all, Layout::TimeFirst, Layout::BatchFirst);
        let normal = {
            let mean = net.g.mean(back, &[2]).unwrap();
            let centred = net.binary(Binary::Subtract, back, mean);
            let square = net.unary(Unary::Square, centred);
            let variance = net.g.mean(square, &[2]).unwrap();
            let small = net.g.scalar(1e-5).unwrap();
            let variance = net.binary(Binary::Add, variance, small);
            let deviation = net.unary(Unary::Sqrt, variance);
            net.binary(Binary::Divide, centred, deviation)
        };
        let every = net.dense(normal, 2);
        let y = last(&mut net, every, 1);
        net.done(&[every, y])
    };
    let s = same(build, 1, 8);
    assert_eq!((s.warm_up, s.states), (1, 2));
}

#[test]
fn a_first_state_may_come_from_another_input() {
    let build = |steps: usize| {
        let mut net = Net::new(8);
        let x = net.input(&[steps, 1, 2]);
        let start = net.input(&[1, 3]);
        let start = net.dense(start, 4);
        let r = net.gru(x, 4, Some(start));
        let y = net.dense(r.last, 1);
        net.done(&[r.all, y])
    };
    let s = compare(|steps| Some(build(steps)), 0, 6, &[vec![0.3, -0.2, 0.9]]).unwrap();
    assert_eq!((s.warm_up, s.equal_for_ever), (1, false));
    assert_eq!(s.graph.inputs().len(), 2 + s.states);
}

#[test]
fn delays_differences_and_cropped_residuals_stream() {
    let build = |steps: usize| {
        let mut net = Net::new(9);
        let x = net.input(&[1, steps, 2]);
        let (late, early) = (net.g.slice(x, 1, 1, steps).unwrap(), net.g.slice(x, 1, 0, steps - 1).unwrap());
        let difference = net.binary(Binary::Subtract, late, early);
        let both = net.g.concat(&[late, difference], 2).unwrap();
        let y = net.layout(both, Layout::BatchFirst, Layout::Channels);
        let z = net.conv(y, 4, 3, 1, (0, 0), 1);
        let cropped = net.g.slice(y, 2, 2, steps - 1).unwrap();
        let sum = net.binary(Binary::Add, z, cropped);
        // Everything but the newest step: the loop runs one step behind.
        let behind = net.g.slice(sum, 2, 0, steps - 4).unwrap();
        let behind = net.layout(behind, Layout::Channels, Layout::TimeFirst);
        let r = net.gru(behind, 3, None);
        let y = net.dense(r.last, 1);
        let before = net.g.slice(x, 1, steps - 3, steps - 2).unwrap();
        net.done(&[sum, y, early, before])
    };
    let s = same(build, 1, 9);
    assert_eq!(s.sequences, [Some(2), None, Some(1), None]);
    assert_eq!(s.warm_up, 5);
}

#[test]
fn a_few_last_steps_are_kept_for_what_needs_them_together() {
    let build = |steps: usize| {
        let mut net = Net::new(10);
        let x = net.input(&[1, steps, 3]);
        let y = net.dense(x, 2);
        let few = net.g.slice(y, 1, steps - 3, steps).unwrap();
        let mean = net.g.mean(few, &[1]).unwrap();
        let flat = net.g.reshape(few, &[1, 6]).unwrap();
        let a = net.dense(flat, 2);
        // The newest two, the older one last, in one map.
        let map = IndexMap { picks: [2 * steps - 1, 2 * steps - 3].iter().map(|p| *p as u32).collect(), fill: 0.0 };
        let turned = net.g.index(&[y], &[2], map).unwrap();
        // One step among fixed numbers, in one map: no axis of it is time.
        let framed = IndexMap::from_fn(&[1, 4], 7.0, |at| (1..3).contains(&at[1]).then_some(2 * steps - 3 + at[1]));
        let framed = net.g.index(&[y], &[1, 4], framed).unwrap();
        let alone = IndexMap::from_fn(&[1, 3], 7.0, |at| (at[1] == 0).then_some(2 * steps - 1));
        let alone = net.g.index(&[y], &[1, 3], alone).unwrap();
        net.done(&[a, mean, turned, framed, alone])
    };
    let s = same(build, 1, 8);
    assert_eq!((s.warm_up, s.equal_for_ever), (3, true));
    assert_eq!(s.sequences, [None; 5]);
}

#[test]
fn padding_is_what_the_file_says_also_after_a_valid_convolution() {
    let build = |steps: usize| {
        let mut net = Net::new(11);
        let x = net.input(&[1, 2, steps]);
        let y = net.conv(x, 2, 3, 1, (0, 0), 1);
        // Padded with 0.5 before the first step that the convolution gives, not with what it gave while filling.
        let padded = net.g.pad(y, &[(0, 0), (0, 0), (2, 0)], 0.5).unwrap();
        let z = net.conv(padded, 2, 3, 1, (0, 0), 1);
        let again = net.conv(z, 2, 2, 1, (1, 0), 1);
        // Padding that is moved about before it is needed.
        let front = net.g.pad(x, &[(0, 0), (0, 0), (3, 0)], -2.0).unwrap();
        let turned = net.layout(front, Layout::Channels, Layout::BatchFirst);
        let turned = net.g.reshape(turned, &[1, 1, steps + 3, 2]).unwrap();
        let back = net.g.transpose(turned, &[0, 1, 3, 2]).unwrap();
        let back = net.g.reshape(back, &[1, 2, steps + 3]).unwrap();
        let delayed = net.g.slice(back, 2, 0, steps).unwrap();
        let w = net.conv(back, 2, 4, 1, (0, 0), 1);
        let sum = net.binary(Binary::Add, w, delayed);
        net.done(&[again, sum, delayed])
    };
    let s = same(build, 2, 9);
    assert_eq!((s.warm_up, s.equal_for_ever), (3, true));
}

#[test]
fn a_sequence_that_begins_late_is_padded_where_it_begins() {
    for (kernel, equal_for_ever) in [(3, true), (4, false)] {
        let build = |steps: usize| {
            let mut net = Net::new(17);
            let x = net.input(&[1, 2, steps]);
            let late = net.g.slice(x, 2, 3, steps).unwrap();
            let y = net.conv(late, 2, kernel, 1, (kernel - 1, 0), 1);
            let newest = last(&mut net, y, 2);
            net.done(&[y, newest])
        };
        // The newest of 6 steps sees 2 or 3 earlier ones; the sequence has 2.
        let s = same(build, 2, 6);
        assert_eq!((s.warm_up, s.equal_for_ever), (4, equal_for_ever));
        assert_eq!(parts_later(&build(6), &s, 2), !equal_for_ever);
    }
}

#[test]
fn equal_numbers_in_front_are_padding() {
    let build = |steps: usize| {
        let mut net = Net::new(20);
        let x = net.input(&[1, 2, steps]);
        let front = net.g.constant(&[1, 2, 3], vec![0.5; 6]).unwrap();
        let padded = net.g.concat(&[front, x], 2).unwrap();
        let y = net.conv(padded, 2, 4, 1, (0, 0), 1);
        net.done(&[y])
    };
    let s = same(build, 2, 6);
    assert_eq!((s.warm_up, s.equal_for_ever), (1, true));
    assert_eq!(s.initial, [[0.5; 6]]);
}

#[test]
fn pooling_with_stride_1_streams() {
    let build = |steps: usize| {
        let mut net = Net::new(12);
        let x = net.input(&[1, 2, steps]);
        let patches = |net: &mut Net, x: Node, before: usize, fill: f32| {
            let out = steps + before - 2;
            let map = IndexMap::from_fn(&[1, 2, out, 3], fill, |at| {
                (at[2] + at[3]).checked_sub(before).map(|t| at[1] * steps + t)
            });
            net.g.index(&[x], &[1, 2, out, 3], map).unwrap()
        };
        let causal = patches(&mut net, x, 2, f32::NEG_INFINITY);
        let largest = net.g.reduce(ReduceKind::Maximum, causal, &[3]).unwrap();
        let largest = net.g.reshape(largest, &[1, 2, steps]).unwrap();
        let valid = patches(&mut net, largest, 0, 0.0);
        let mean = net.g.mean(valid, &[3]).unwrap();
        net.done(&[largest, mean])
    };
    let s = same(build, 2, 12);
    assert_eq!((s.warm_up, s.equal_for_ever), (3, true));
}

#[test]
fn frames_stream_through_two_dimensional_convolutions_along_either_axis() {
    for axis in [2, 3] {
        let build = |steps: usize| {
            let mut net = Net::new(13);
            let shape = if axis == 2 { [1, 2, steps, 5] } else { [1, 2, 5, steps] };
            let x = net.input(&shape);
            let kernel = if axis == 2 { [3, 2, 3, 2] } else { [3, 2, 2, 3] };
            let (time, space) = ((4, 0), (1, 0));
            let pads = if axis == 2 { vec![time, space] } else { vec![space, time] };
            let dilations = if axis == 2 { vec![2, 1] } else { vec![1, 2] };
            let strides = if axis == 2 { vec![1, 2] } else { vec![2, 1] };
            let w = net.weights(&kernel);
            let y = net.g.conv(x, w, None, Conv { strides, dilations, pads, groups: 1 }).unwrap();
            let widest = net.g.reduce(ReduceKind::Maximum, y, &[1]).unwrap();
            net.done(&[y, widest])
        };
        let s = same(build, axis, 7);
        assert_eq!((s.warm_up, s.states, s.equal_for_ever), (1, 1, true));
    }
}

#[test]
fn time_may_be_a_row_a_batch_or_a_column_of_products() {
    let build = |steps: usize| {
        let mut net = Net::new(14);
        let x = net.input(&[1, 3, steps]);
        let (w, bias) = (net.weights(&[4, 3]), net.weights(&[4, 1]));
        let columns = net.g.matmul(w, x).unwrap();
        let columns = net.binary(Binary::Add, columns, bias);
        let rows = net.layout(columns, Layout::Channels, Layout::BatchFirst);
        let rows = net.dense(rows, 4);
        let batch = net.layout(rows, Layout::BatchFirst, Layout::TimeFirst);
        let other = net.g.transpose(batch, &[0, 2, 1]).unwrap();
        // Each step's outer product, and a bias that was expanded to all steps.
        let outer = net.g.matmul(other, batch).unwrap();
        let expanded = {
            let b = net.weights(&[1, 1, 4]);
            net.g.expand(b, &[steps, 1, 4]).unwrap()
        };
        let sum = net.binary(Binary::Add, outer, expanded);
        let largest = net.g.softmax(sum, &[2]).unwrap();
        net.done(&[largest])
    };
    let s = nearly_same(build, 2, 5);
    assert_eq!((s.states, s.warm_up, s.equal_for_ever), (0, 1, true));
}

#[test]
fn states_can_be_kept_and_fed_again() {
    let mut net = Net::new(15);
    let x = net.input(&[5, 1, 2]);
    let r = net.lstm(x, 3);
    let graph = net.done(&[r.all]);
    let s = stream(&graph, 0, 0).unwrap();
    let states = super::common_tests::initial(&s);
    let step = |x: f64, states: &[Vec<f64>]| {
        let fed: Vec<Vec<f64>> = std::iter::once(vec![x, -x]).chain(states.iter().cloned()).collect();
        let mut out = crate::reference::evaluate(&s.graph, &fed);
        let states = out.split_off(1);
        (out.remove(0), states)
    };
    let (_, snapshot) = step(0.4, &states);
    let (once, after) = step(0.7, &snapshot);
    step(-3.0, &after);
    assert_eq!(step(0.7, &snapshot).0, once);
}

#[test]
fn what_no_output_needs_is_left_out() {
    let mut net = Net::new(16);
    let x = net.input(&[1, 4, 2]);
    net.g.reduce(ReduceKind::Sum, x, &[1]).unwrap();
    let y = net.dense(x, 1);
    let s = stream(&net.done(&[y]), 0, 1).unwrap();
    assert_eq!((s.states, s.window), (0, 4));
}
