//! Seeded stacks of streamable layers: windowed and one-step forms agree at every step.

use super::common_tests::{Layout, Net, Seeded, compare};
use crate::index::IndexMap;
use crate::op::{Binary, ReduceKind, Unary};
use crate::{Graph, Node};

const STACKS: u64 = 400;
const WINDOW: usize = 16;
/// Steps that the layers of a stack may use up.
const LOSS_MAX: usize = 6;

/// A stack under construction: `x` is [1, channels, steps].
struct Stack {
    net: Net,
    choice: Seeded,
    x: Node,
    /// Steps that were used up by slices and convolutions without padding.
    loss: usize,
    /// Last state of the newest loop.
    state: Option<Node>,
}

impl Stack {
    fn channels(&self) -> usize {
        self.net.g.shape(self.x)[1]
    }

    fn steps(&self) -> usize {
        self.net.g.shape(self.x)[2]
    }

    /// Uses up steps if there are any left. Nothing at all is built if the window is too short.
    fn lose(&mut self, steps: usize) -> Option<bool> {
        if self.loss + steps > LOSS_MAX {
            return Some(false);
        }
        self.loss += steps;
        (self.steps() > steps).then_some(true)
    }

    fn function(&mut self) -> Unary {
        [Unary::Relu, Unary::Tanh, Unary::Sigmoid, Unary::Gelu, Unary::Elu { alpha: 0.8 }, Unary::HardSwish]
            [self.choice.below(6)]
    }

    fn causal(&mut self, out: usize) -> Node {
        let (kernel, dilation) = (1 + self.choice.below(4), 1 + self.choice.below(3));
        let (reach, steps) = ((kernel - 1) * dilation, self.steps());
        let groups = if out == self.channels() && self.choice.below(3) == 0 { out } else { 1 };
        match self.choice.below(3) {
            0 => self.net.conv(self.x, out, kernel, dilation, (reach, 0), groups),
            1 => {
                let fill = [0.0, 0.75][self.choice.below(2)];
                let padded = self.net.g.pad(self.x, &[(0, 0), (0, 0), (reach, 0)], fill).unwrap();
                self.net.conv(padded, out, kernel, dilation, (0, 0), groups)
            }
            _ => {
                let wide = self.net.conv(self.x, out, kernel, dilation, (reach, reach), groups);
                self.net.g.slice(wide, 2, 0, steps).unwrap()
            }
        }
    }

    fn patches(&mut self, before: usize, kernel: usize) -> Node {
        let (channels, steps) = (self.channels(), self.steps());
        let shape = [1, channels, steps + before + 1 - kernel, kernel];
        let fill = [0.0, f32::NEG_INFINITY][self.choice.below(2)];
        let map = IndexMap::from_fn(&shape, fill, |at| (at[2] + at[3]).checked_sub(before).map(|t| at[1] * steps + t));
        let patches = self.net.g.index(&[self.x], &shape, map).unwrap();
        let largest = self.net.g.reduce(ReduceKind::Maximum, patches, &[3]).unwrap();
        self.net.g.reshape(largest, &shape[..3]).unwrap()
    }

    /// One layer of any kind; nothing if the window is too short for it.
    fn layer(&mut self) -> Option<()> {
        let (out, steps) = (1 + self.choice.below(4), self.steps());
        self.x = match self.choice.below(14) {
            0 => {
                let y = self.net.layout(self.x, Layout::Channels, Layout::BatchFirst);
                let y = self.net.dense(y, out);
                self.net.layout(y, Layout::BatchFirst, Layout::Channels)
            }
            1 => {
                let function = self.function();
                self.net.unary(function, self.x)
            }
            2 => self.causal(out),
            3 => {
                let y = self.causal(self.channels());
                let function = self.function();
                let y = self.net.unary(function, y);
                self.net.binary(Binary::Add, y, self.x)
            }
            4 => {
                let (kernel, dilation) = (2 + self.choice.below(2), 1 + self.choice.below(2));
                let reach = (kernel - 1) * dilation;
                if !self.lose(reach)? {
                    return Some(());
                }
                let y = self.net.conv(self.x, self.channels(), kernel, dilation, (0, 0), 1);
                if self.choice.below(2) == 0 {
                    y
                } else {
                    let cropped = self.net.g.slice(self.x, 2, reach, steps).unwrap();
                    self.net.binary(Binary::Multiply, y, cropped)
                }
            }
            5 | 6 => {
                let y = self.net.layout(self.x, Layout::Channels, Layout::TimeFirst);
                let loops = if self.choice.below(2) == 0 { self.net.lstm(y, out) } else { self.net.gru(y, out, None) };
                self.state = Some(loops.last);
                self.net.layout(loops.all, Layout::TimeFirst, Layout::Channels)
            }
            7 => {
                let mean = self.net.g.mean(self.x, &[1]).unwrap();
                self.net.binary(Binary::Subtract, self.x, mean)
            }
            8 => {
                if !self.lose(1)? {
                    return Some(());
                }
                let late = self.net.g.slice(self.x, 2, 1, steps).unwrap();
                let early = self.net.g.slice(self.x, 2, 0, steps - 1).unwrap();
                match self.choice.below(4) {
                    0 => self.net.binary(Binary::Subtract, late, early),
                    1 => self.net.g.concat(&[early, late], 1).unwrap(),
                    2 => early,
                    _ => late,
                }
            }
            9 => {
                let kernel = 2 + self.choice.below(2);
                if self.choice.below(2) == 0 {
                    self.patches(kernel - 1, kernel)
                } else if self.lose(kernel - 1)? {
                    self.patches(0, kernel)
                } else {
                    return Some(());
                }
            }
            10 => {
                let channels = self.channels();
                let y = self.net.layout(self.x, Layout::Channels, Layout::TimeFirst);
                let y = self.net.g.reshape(y, &[steps, channels]).unwrap();
                let y = self.net.g.transpose(y, &[1, 0]).unwrap();
                let y = self.net.g.expand(y, &[2, channels, steps]).unwrap();
                self.net.g.reshape(y, &[1, 2 * channels, steps]).unwrap()
            }
            11 => self.net.g.softmax(self.x, &[1]).unwrap(),
            12 => {
                // A delay: padded in front, cut off behind.
                let delay = 1 + self.choice.below(2);
                let padded = self.net.g.pad(self.x, &[(0, 0), (0, 0), (delay, 0)], 0.25).unwrap();
                self.net.g.slice(padded, 2, 0, steps).unwrap()
            }
            _ => {
                let constant = self.net.weights(&[1, out, 1]);
                let constant = self.net.g.expand(constant, &[1, out, steps]).unwrap();
                let scale = self.net.weights(&[self.channels(), 1]);
                let scaled = self.net.binary(Binary::Multiply, self.x, scale);
                self.net.g.concat(&[scaled, constant], 1).unwrap()
            }
        };
        // Wide stacks only cost time.
        if self.channels() > 6 {
            self.x = self.net.g.slice(self.x, 1, 1, 7).unwrap();
        }
        Some(())
    }
}

/// The stack of a seed over a window; nothing if the window is too short.
fn build(seed: u64, layout: Layout, window: usize) -> Option<Graph> {
    let mut net = Net::new(seed);
    let mut choice = Seeded(seed ^ 0x5EED);
    let fed = net.input(&layout.shape(window, 1 + choice.below(3)));
    let x = net.layout(fed, layout, Layout::Channels);
    let mut stack = Stack { net, choice, x, loss: 0, state: None };
    for _ in 0..1 + stack.choice.below(6) {
        stack.layer()?;
    }
    let Stack { mut net, mut choice, x, state, .. } = stack;
    let (channels, steps) = (net.g.shape(x)[1], net.g.shape(x)[2]);
    let mut outputs = vec![net.layout(x, Layout::Channels, layout)];
    let few = 1 + choice.below(3);
    if few > steps {
        return None;
    }
    let newest = net.g.slice(x, 2, steps - few, steps).unwrap();
    let flat = net.g.reshape(newest, &[1, channels * few]).unwrap();
    outputs.push(net.dense(flat, 2));
    if let Some(state) = state {
        outputs.push(net.unary(Unary::Tanh, state));
    }
    if choice.below(3) == 0 {
        outputs.remove(0);
    }
    Some(net.done(&outputs))
}

#[test]
fn stacks_of_layers_stream() {
    let (mut for_ever, mut filled, mut with_states) = (0, 0, 0);
    for seed in 0..STACKS {
        let layout = Layout::ALL[(seed % 3) as usize];
        let compared =
            std::panic::catch_unwind(|| compare(|steps| build(seed, layout, steps), layout.axis(), WINDOW, &[]));
        match compared {
            Ok(Ok(stream)) => {
                for_ever += usize::from(stream.equal_for_ever);
                filled += usize::from(stream.warm_up > 1);
                with_states += usize::from(stream.states > 1);
            }
            Ok(Err(refusal)) => panic!("seed {seed}: {refusal}"),
            Err(_) => panic!("seed {seed} differs"),
        }
    }
    // The stacks must be worth comparing.
    let counts = [for_ever, STACKS as usize - for_ever, filled, with_states];
    assert!(counts.iter().all(|n| *n > 50), "{counts:?}");
}
