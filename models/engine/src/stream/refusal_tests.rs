//! What cannot run one step at a time is refused, in these words.

use super::common_tests::{Layout, Net, Recurrent};
use super::stream;
use crate::Node;
use crate::op::{Binary, Conv, ReduceKind, Unary};

const STEPS: usize = 8;

/// The refusal of a network over [1, 8, 3] (batch first) whose layer in question is named "layer".
fn refusal(layers: impl Fn(&mut Net, Node) -> Node) -> String {
    refusal_in(Layout::BatchFirst, layers)
}

fn refusal_in(layout: Layout, layers: impl Fn(&mut Net, Node) -> Node) -> String {
    let mut net = Net::new(1);
    let x = net.input(&layout.shape(STEPS, 3));
    let x = net.unary(Unary::Tanh, x);
    net.g.set_origin("layer");
    let y = layers(&mut net, x);
    net.g.set_origin("after");
    let y = net.unary(Unary::Tanh, y);
    stream(&net.done(&[y]), 0, layout.axis()).expect_err("must be refused").to_string()
}

const FEW: &str =
    "steps may be put together if they are at most half of the window. Run the whole window at every step instead";
const AXES: &str = "time may be a batch or row axis of a product, or the axis along which a convolution slides. \
                    Run the whole window at every step instead";
const MOVES: &str = "steps may be delayed by a fixed number, padded in front, or the last of them taken. \
                     Run the whole window at every step instead";

#[test]
fn reductions_over_the_window() {
    for (kind, what) in
        [(ReduceKind::Sum, "the sum"), (ReduceKind::Maximum, "the largest"), (ReduceKind::Minimum, "the smallest")]
    {
        let text = refusal(|net, x| net.g.reduce(kind, x, &[1, 2]).unwrap());
        assert_eq!(
            text,
            format!(
                "layer takes {what} over all steps of the window, which no state of fixed size can carry on; {FEW}"
            )
        );
    }
    let softmax = refusal(|net, x| net.g.softmax(x, &[1]).unwrap());
    assert!(softmax.starts_with("layer takes the largest over all steps of the window"), "{softmax}");
    // Five of eight steps are no few.
    let most = refusal(|net, x| {
        let y = net.g.slice(x, 1, 3, STEPS).unwrap();
        net.g.mean(y, &[1]).unwrap()
    });
    assert!(most.starts_with("layer takes the sum over all steps of the window"), "{most}");
}

#[test]
fn sums_and_comparisons_over_the_window() {
    let text = refusal_in(Layout::Channels, |net, x| net.dense(x, 2));
    let wanted = format!("layer multiplies all steps of the window by weights and adds them up; {AXES}");
    assert_eq!(text, wanted);
    let left = refusal(|net, x| {
        let w = net.weights(&[1, 2, STEPS]);
        net.g.matmul(w, x).unwrap()
    });
    assert_eq!(left, wanted);
    // Steps as channels of a convolution over features.
    let channels = refusal(|net, x| net.conv(x, 2, 1, 1, (0, 0), 1));
    assert_eq!(channels, wanted);
    let attention = refusal(|net, x| {
        let turned = net.g.transpose(x, &[0, 2, 1]).unwrap();
        net.g.matmul(x, turned).unwrap()
    });
    assert_eq!(
        attention,
        format!("layer brings every step of the window together with every other (attention over time); {AXES}")
    );
    let outer = refusal(|net, x| {
        let (a, b) = (net.g.slice(x, 2, 0, 1).unwrap(), net.g.slice(x, 2, 1, 2).unwrap());
        let b = net.g.transpose(b, &[0, 2, 1]).unwrap();
        net.binary(Binary::Subtract, a, b)
    });
    assert_eq!(outer, attention);
}

#[test]
fn moves_that_are_no_delay() {
    let places = |places: &'static [usize]| refusal(move |net, x| net.g.gather(x, 1, places).unwrap());
    assert_eq!(
        places(&[7, 6, 5, 4, 3, 2, 1, 0]),
        format!("layer reads the window from its newest step back to its oldest; {MOVES}")
    );
    assert_eq!(
        places(&[1, 2, 3, 4, 5, 6, 7, 7]),
        format!("layer moves numbers between steps in another way than by a fixed delay; {MOVES}")
    );
    let every_second = "layer keeps one step of every 2, counted from the window's beginning; ";
    assert_eq!(places(&[0, 2, 4, 6]), format!("{every_second}{MOVES}"));
    let strided = refusal_in(Layout::Channels, |net, x| {
        let w = net.weights(&[2, 3, 2]);
        let conv = Conv { strides: vec![2], dilations: vec![1], pads: vec![(0, 0)], groups: 1 };
        net.g.conv(x, w, None, conv).unwrap()
    });
    assert_eq!(strided, format!("{every_second}{MOVES}"));
    let flat = refusal(|net, x| {
        let flat = net.g.reshape(x, &[1, 3 * STEPS]).unwrap();
        net.dense(flat, 1)
    });
    assert_eq!(flat, format!("layer puts the steps of the window together with other numbers on one axis; {FEW}"));
    // An axis as long as the window that is not time.
    let swapped = refusal_in(Layout::Channels, |net, x| net.g.reshape(x, &[1, STEPS, 3]).unwrap());
    assert_eq!(swapped, flat);
}

#[test]
fn steps_with_numbers_of_their_own() {
    let wanted = "layer uses fixed numbers that differ from step to step, counted from the window's beginning; \
                  they must be the same at all steps. Run the whole window at every step instead";
    let added = refusal(|net, x| {
        let positions = net.weights(&[1, STEPS, 3]);
        net.binary(Binary::Add, x, positions)
    });
    assert_eq!(added, wanted);
    let appended = refusal(|net, x| {
        let positions = net.weights(&[1, STEPS, 2]);
        net.g.concat(&[x, positions], 2).unwrap()
    });
    assert_eq!(appended, wanted);
    // Several numbers in front of the window would be several kinds of padding.
    let prefix = refusal(|net, x| {
        let front = net.weights(&[1, 1, 3]);
        let both = net.g.concat(&[front, x], 1).unwrap();
        net.unary(Unary::Tanh, both)
    });
    assert_eq!(prefix, wanted);
    let per_step = refusal_in(Layout::TimeFirst, |net, x| {
        let weights = net.weights(&[STEPS, 3, 3]);
        net.g.matmul(x, weights).unwrap()
    });
    assert_eq!(per_step, wanted);
}

#[test]
fn the_newest_step_beside_all_steps() {
    let wanted = "layer brings the newest step together with all steps of the window, so that each step would have to \
                  be computed again; a step may meet itself and earlier ones. \
                  Run the whole window at every step instead";
    let relative = refusal(|net, x| {
        let newest = net.g.slice(x, 1, STEPS - 1, STEPS).unwrap();
        net.binary(Binary::Subtract, x, newest)
    });
    assert_eq!(relative, wanted);
    let repeated = refusal(|net, x| {
        let newest = net.g.slice(x, 1, STEPS - 1, STEPS).unwrap();
        let all = net.g.expand(newest, &[1, STEPS, 3]).unwrap();
        net.g.concat(&[x, all], 2).unwrap()
    });
    assert_eq!(repeated, wanted);
}

#[test]
fn steps_after_the_newest() {
    let wanted = "needs steps that come after the newest (padding at the window's end); padding may stand in front \
                  only, or what it adds must be cut off again. Run the whole window at every step instead";
    let same = refusal_in(Layout::Channels, |net, x| net.conv(x, 2, 3, 1, (1, 1), 1));
    assert_eq!(same, format!("after {wanted}"));
    let newest = refusal_in(Layout::Channels, |net, x| {
        let y = net.conv(x, 2, 3, 1, (1, 1), 1);
        net.g.slice(y, 2, STEPS - 1, STEPS).unwrap()
    });
    assert_eq!(newest, format!("layer {wanted}"));
    let looped = refusal_in(Layout::TimeFirst, |net, x| {
        let padded = net.g.pad(x, &[(0, 2), (0, 0), (0, 0)], 0.0).unwrap();
        net.gru(padded, 2, None).last
    });
    assert_eq!(looped, format!("layer {wanted}"));
    // Zeros behind a sequence that ends before the newest step: one step would go on with the sequence instead.
    let padded = refusal(|net, x| {
        let early = net.g.slice(x, 1, 0, STEPS - 1).unwrap();
        net.g.pad(early, &[(0, 0), (0, 1), (0, 0)], 0.0).unwrap()
    });
    assert_eq!(padded, format!("after {wanted}"));
    let convolved = refusal_in(Layout::Channels, |net, x| {
        let early = net.g.slice(x, 2, 0, STEPS - 1).unwrap();
        net.conv(early, 2, 2, 1, (0, 1), 1)
    });
    assert_eq!(convolved, format!("after {wanted}"));
}

#[test]
fn loops_that_do_not_run_along_the_window() {
    let backwards = refusal_in(Layout::TimeFirst, |net, x| {
        let turned = net.g.gather(x, 0, &[7, 6, 5, 4, 3, 2, 1, 0]).unwrap();
        net.lstm(turned, 2).all
    });
    assert_eq!(backwards, format!("layer reads the window from its newest step back to its oldest; {MOVES}"));
    let padded = refusal_in(Layout::TimeFirst, |net, x| {
        let padded = net.g.pad(x, &[(2, 0), (0, 0), (0, 0)], 0.0).unwrap();
        net.gru(padded, 2, None).last
    });
    assert_eq!(
        padded,
        "layer begins its loop in padding before the first step; a loop must begin at a step of the window. \
         Run the whole window at every step instead"
    );
    let encoder = refusal_in(Layout::TimeFirst, |net, x| {
        let Recurrent { last, .. } = net.gru(x, 2, None);
        net.gru(x, 2, Some(last)).last
    });
    assert_eq!(
        encoder,
        "layer begins its loop in a state computed from the window; the first state must not depend on time. \
         Run the whole window at every step instead"
    );
    let features = refusal_in(Layout::Channels, |net, x| {
        let turned = net.g.transpose(x, &[1, 0, 2]).unwrap();
        net.gru(turned, 2, None).last
    });
    assert_eq!(
        features,
        "layer loops over another axis than time, or sees all steps of the window in each trip; only the scanned \
         inputs may change with time, and they must be scanned along it. Run the whole window at every step instead"
    );
}

#[test]
fn padding_that_something_was_computed_from() {
    let computed = refusal_in(Layout::Channels, |net, x| {
        let padded = net.g.pad(x, &[(0, 0), (0, 0), (2, 0)], 0.0).unwrap();
        let y = net.unary(Unary::Sigmoid, padded);
        net.conv(y, 2, 3, 1, (0, 0), 1)
    });
    // Padding of one part beside steps of another, which are fed before the first part is filled.
    let beside = refusal_in(Layout::Channels, |net, x| {
        let y = net.conv(x, 2, 3, 1, (0, 0), 1);
        let padded = net.g.pad(y, &[(0, 0), (0, 0), (2, 0)], 0.0).unwrap();
        let both = net.g.concat(&[padded, x], 1).unwrap();
        net.conv(both, 2, 3, 1, (0, 0), 1)
    });
    // Two kinds of padding on one axis.
    let mixed = refusal_in(Layout::Channels, |net, x| {
        let (a, b) = (
            net.g.pad(x, &[(0, 0), (0, 0), (2, 0)], 0.0).unwrap(),
            net.g.pad(x, &[(0, 0), (0, 0), (2, 0)], 1.0).unwrap(),
        );
        let both = net.g.concat(&[a, b], 1).unwrap();
        net.conv(both, 2, 3, 1, (0, 0), 1)
    });
    assert_eq!((&beside, &mixed), (&computed, &computed));
    assert_eq!(
        computed,
        "layer looks back on padding that something was computed from; padding must stand right in front of the \
         convolution that needs it. Run the whole window at every step instead"
    );
}

#[test]
fn there_is_no_window() {
    let mut net = Net::new(1);
    let x = net.input(&[1, 1, 3]);
    let graph = net.done(&[x]);
    assert_eq!(
        stream(&graph, 1, 1).unwrap_err().to_string(),
        "the windowed input has number 1, but the graph has 1 inputs. Run the whole window at every step instead"
    );
    for axis in [1, 3] {
        assert_eq!(
            stream(&graph, 0, axis).unwrap_err().to_string(),
            format!(
                "the windowed input has shape [1, 1, 3], so axis {axis} is no window of at least two steps. \
                 Run the whole window at every step instead"
            )
        );
    }
}

#[test]
fn a_node_without_a_name_is_said() {
    let mut net = Net::new(1);
    let x = net.input(&[1, 4, 3]);
    let y = net.g.mean(x, &[1]).unwrap();
    let refusal = stream(&net.done(&[y]), 0, 1).unwrap_err();
    assert_eq!(refusal.origin.as_ref(), "");
    assert!(refusal.to_string().starts_with("a node without a name takes the sum"), "{refusal}");
}
