//! Shared by the tests of the engine: seeded numbers and a few networks.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::sync::Arc;

use flyball_engine::{Binary, Graph, Unary};

/// xorshift64: a seed that is printed is a case that can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // A seed of 0 would stay 0.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In -scale to scale.
    pub fn list(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale).collect()
    }
}

/// Every number within `tolerance` of the exact one, relative to the largest of them or 1.
pub fn close(got: &[f32], exact: &[f64], tolerance: f64) {
    assert_eq!(got.len(), exact.len());
    let scale = exact.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (i, (got, exact)) in got.iter().zip(exact).enumerate() {
        assert!((f64::from(*got) - exact).abs() <= tolerance * scale, "number {i}: {got} instead of {exact}");
    }
}

/// Dense layers with biases; the function after each but the last.
pub fn mlp(random: &mut Random, rows: usize, sizes: &[usize], function: Unary) -> Graph {
    let mut g = Graph::new();
    let mut x = g.input(&[rows, sizes[0]]).unwrap();
    for (i, pair) in sizes.windows(2).enumerate() {
        let w = g.constant(&[pair[0], pair[1]], random.list(pair[0] * pair[1], 1.0 / (pair[0] as f32).sqrt())).unwrap();
        let b = g.constant(&[pair[1]], random.list(pair[1], 0.1)).unwrap();
        let y = g.matmul(x, w).unwrap();
        x = g.binary(Binary::Add, y, b).unwrap();
        if i + 2 < sizes.len() {
            x = g.unary(function, x).unwrap();
        }
    }
    g.output(x);
    g
}

/// An LSTM over [steps, rows, features]; outputs the last state and the whole sequence.
pub fn lstm(random: &mut Random, steps: usize, rows: usize, features: usize, hidden: usize) -> Graph {
    let mut b = Graph::new();
    let (h, c) = (b.input(&[rows, hidden]).unwrap(), b.input(&[rows, hidden]).unwrap());
    let x = b.input(&[rows, features]).unwrap();
    let scale = 1.0 / (hidden as f32).sqrt();
    let w = b.constant(&[features, 4 * hidden], random.list(features * 4 * hidden, scale)).unwrap();
    let r = b.constant(&[hidden, 4 * hidden], random.list(hidden * 4 * hidden, scale)).unwrap();
    let bias = b.constant(&[4 * hidden], random.list(4 * hidden, scale)).unwrap();
    let xw = b.matmul(x, w).unwrap();
    let xw = b.binary(Binary::Add, xw, bias).unwrap();
    let hr = b.matmul(h, r).unwrap();
    let gates = b.binary(Binary::Add, xw, hr).unwrap();
    let gate = |b: &mut Graph, i: usize, f: Unary| {
        let s = b.slice(gates, 1, i * hidden, (i + 1) * hidden).unwrap();
        b.unary(f, s).unwrap()
    };
    let (i, o) = (gate(&mut b, 0, Unary::Sigmoid), gate(&mut b, 1, Unary::Sigmoid));
    let (f, g) = (gate(&mut b, 2, Unary::Sigmoid), gate(&mut b, 3, Unary::Tanh));
    let (keep, add) = (b.binary(Binary::Multiply, f, c).unwrap(), b.binary(Binary::Multiply, i, g).unwrap());
    let c = b.binary(Binary::Add, keep, add).unwrap();
    let t = b.unary(Unary::Tanh, c).unwrap();
    let h = b.binary(Binary::Multiply, o, t).unwrap();
    [h, c, h].into_iter().for_each(|n| b.output(n));
    let mut graph = Graph::new();
    let x = graph.input(&[steps, rows, features]).unwrap();
    let zero = graph.constant(&[rows, hidden], vec![0.0; rows * hidden]).unwrap();
    let parts = graph.scan(Arc::new(b), steps, &[zero, zero], &[x], &[]).unwrap();
    graph.output(parts[0]);
    graph.output(parts[2]);
    graph
}
