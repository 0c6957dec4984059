//! Small networks with seeded weights, of the kinds that stand in control loops.

use std::sync::Arc;

use flyball_engine::{Binary, Conv, Graph, Node, ReduceKind, Unary};

use super::sampling::Random;

/// A network with its name.
pub struct Net {
    /// For tables.
    pub name: &'static str,
    /// Its graph.
    pub graph: Graph,
}

/// Weights [inner, outer] of a usual initial size, a product, and a bias.
pub fn dense(g: &mut Graph, random: &mut Random, x: Node, outer: usize) -> Node {
    let inner = *g.shape(x).last().unwrap();
    let weights = random.weights(inner * outer, (1.5 / inner as f64).sqrt());
    let bias = random.weights(outer, 0.1);
    let weights = g.constant(&[inner, outer], weights).unwrap();
    let bias = g.constant(&[outer], bias).unwrap();
    let product = g.matmul(x, weights).unwrap();
    g.binary(Binary::Add, product, bias).unwrap()
}

/// Dense layers with an activation between them.
pub fn mlp(seed: u64, sizes: &[usize], activation: Unary) -> Graph {
    let mut random = Random::new(seed);
    let mut g = Graph::new();
    let mut x = g.input(&[1, sizes[0]]).unwrap();
    for (i, size) in sizes[1..].iter().enumerate() {
        if i > 0 {
            x = g.unary(activation, x).unwrap();
        }
        x = dense(&mut g, &mut random, x, *size);
    }
    g.output(x);
    g
}

/// Two causal convolutions over 16 steps of 4 channels, the second with dilation, then the maximum of each pair of steps and a dense layer.
pub fn convolutional(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let mut g = Graph::new();
    let mut x = g.input(&[1, 4, 16]).unwrap();
    for (inner, dilation) in [(4, 1), (8, 2)] {
        let weights = random.weights(8 * inner * 3, (1.5 / (3 * inner) as f64).sqrt());
        let weights = g.constant(&[8, inner, 3], weights).unwrap();
        let bias = random.weights(8, 0.1);
        let bias = g.constant(&[8], bias).unwrap();
        let conv = Conv { strides: vec![1], dilations: vec![dilation], pads: vec![(2 * dilation, 0)], groups: 1 };
        x = g.conv(x, weights, Some(bias), conv).unwrap();
        x = g.unary(Unary::Relu, x).unwrap();
    }
    x = g.reshape(x, &[1, 8, 8, 2]).unwrap();
    x = g.reduce(ReduceKind::Maximum, x, &[3]).unwrap();
    x = g.reshape(x, &[1, 64]).unwrap();
    x = dense(&mut g, &mut random, x, 2);
    g.output(x);
    g
}

/// Three blocks of x + layer(relu(layer(x))).
pub fn residual(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let mut g = Graph::new();
    let x = g.input(&[1, 8]).unwrap();
    let mut x = dense(&mut g, &mut random, x, 16);
    for _ in 0..3 {
        let inner = dense(&mut g, &mut random, x, 16);
        let inner = g.unary(Unary::Relu, inner).unwrap();
        let inner = dense(&mut g, &mut random, inner, 16);
        x = g.binary(Binary::Add, x, inner).unwrap();
    }
    x = dense(&mut g, &mut random, x, 2);
    g.output(x);
    g
}

/// Shares of five classes.
pub fn classifier(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let mut g = Graph::new();
    let x = g.input(&[1, 8]).unwrap();
    let x = dense(&mut g, &mut random, x, 32);
    let x = g.unary(Unary::Relu, x).unwrap();
    let x = dense(&mut g, &mut random, x, 5);
    let x = g.softmax(x, &[1]).unwrap();
    g.output(x);
    g
}

/// A normalised hidden layer.
pub fn normalised(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let mut g = Graph::new();
    let x = g.input(&[1, 8]).unwrap();
    let x = dense(&mut g, &mut random, x, 16);
    let mean = g.mean(x, &[1]).unwrap();
    let centred = g.binary(Binary::Subtract, x, mean).unwrap();
    let squares = g.unary(Unary::Square, centred).unwrap();
    let variance = g.mean(squares, &[1]).unwrap();
    let small = g.scalar(1e-5).unwrap();
    let variance = g.binary(Binary::Add, variance, small).unwrap();
    let deviation = g.unary(Unary::Sqrt, variance).unwrap();
    let x = g.binary(Binary::Divide, centred, deviation).unwrap();
    let x = g.unary(Unary::Gelu, x).unwrap();
    let x = dense(&mut g, &mut random, x, 2);
    g.output(x);
    g
}

/// A recurrent cell with gates over `trips` steps of 4 numbers, with 8 states, and a dense layer on the last state.
pub fn recurrent(seed: u64, trips: usize) -> Graph {
    let mut random = Random::new(seed);
    let mut body = Graph::new();
    let (h, c) = (body.input(&[1, 8]).unwrap(), body.input(&[1, 8]).unwrap());
    let x = body.input(&[1, 4]).unwrap();
    let from_input = dense(&mut body, &mut random, x, 32);
    let recurrent = random.weights(8 * 32, 0.3);
    let recurrent = body.constant(&[8, 32], recurrent).unwrap();
    let from_state = body.matmul(h, recurrent).unwrap();
    let gates = body.binary(Binary::Add, from_input, from_state).unwrap();
    let gate = |body: &mut Graph, i: usize, f: Unary| {
        let part = body.slice(gates, 1, 8 * i, 8 * i + 8).unwrap();
        body.unary(f, part).unwrap()
    };
    let (enter, stay) = (gate(&mut body, 0, Unary::Sigmoid), gate(&mut body, 1, Unary::Sigmoid));
    let (leave, new) = (gate(&mut body, 2, Unary::Sigmoid), gate(&mut body, 3, Unary::Tanh));
    let kept = body.binary(Binary::Multiply, stay, c).unwrap();
    let added = body.binary(Binary::Multiply, enter, new).unwrap();
    let c = body.binary(Binary::Add, kept, added).unwrap();
    let seen = body.unary(Unary::Tanh, c).unwrap();
    let h = body.binary(Binary::Multiply, leave, seen).unwrap();
    body.output(h);
    body.output(c);
    let mut g = Graph::new();
    let x = g.input(&[trips, 1, 4]).unwrap();
    let zero = g.constant(&[1, 8], vec![0.0; 8]).unwrap();
    let parts = g.scan(Arc::new(body), trips, &[zero, zero], &[x], &[]).unwrap();
    let y = dense(&mut g, &mut random, parts[0], 2);
    g.output(y);
    g
}

/// All of them.
pub fn all() -> Vec<Net> {
    let sizes = [16, 64, 64, 2];
    let net = |name, graph| Net { name, graph };
    vec![
        net("MLP 16-64-64-2 relu", mlp(1, &sizes, Unary::Relu)),
        net("MLP 16-64-64-2 tanh", mlp(2, &sizes, Unary::Tanh)),
        net("MLP 16-64-64-2 sigmoid", mlp(3, &sizes, Unary::Sigmoid)),
        net("CNN 4x16, 2 conv of 8x3, maximum", convolutional(4)),
        net("residual 8-16, 3 blocks", residual(5)),
        net("classifier 8-32-5, softmax", classifier(6)),
        net("normalised layer 8-16, gelu", normalised(7)),
        net("LSTM 6 steps of 4, 8 states", recurrent(8, 6)),
    ]
}
