//! Every maximum of a model file, each with its reason. What is larger is refused before anything is built from it.

/// Bytes of a model file. Compact models have kilobytes; 64 MiB leaves room for the largest that meets a scan budget.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Fields of variable length in a file (messages, texts, lists). A graph of the largest number of nodes has some hundred thousand.
pub const RECORDS_MAX: usize = 1 << 17;
/// Messages inside messages. A weight of a node of the graph is four deep; a subgraph adds three.
pub const RECORD_DEPTH_MAX: usize = 32;
/// Nodes of a graph. A compact network has tens; ten thousand keeps the load time in seconds.
pub const NODES_MAX: usize = 10_000;
/// Rows of one batched run: 32 starting points with 33 columns each.
pub const BATCH_ROWS_MAX: usize = 33 * 32;
/// Golden vectors that a file must bring: fewer prove too little.
pub const GOLDEN_PAIRS_MIN: usize = 10;
/// Golden vectors that are run at load.
pub const GOLDEN_PAIRS_MAX: usize = 1_000;
/// Largest tolerance of golden vectors, share of the output's span. One per cent is no proof any more.
pub const GOLDEN_TOLERANCE_MAX: f64 = 1e-2;
/// Operating modes of a file: more than a shift can tell apart.
pub const MODES_MAX: usize = 16;
/// Characters in the name of an operating mode.
pub const MODE_NAME_MAX: usize = 64;
/// Largest widening of an interval by an operating mode: beyond it the mode is not usable, and should not be in the file.
pub const MODE_FACTOR_MAX: f64 = 100.0;
/// Timed runs at load.
pub const TIMED_RUNS: usize = 1_000;
/// Time steps of a window.
pub const WINDOW_STEPS_MAX: usize = 4_096;
/// Numbers of one tensor of a network: 64 MiB, as the file.
pub const TENSOR_NUMBERS_MAX: usize = 16 << 20;
/// Seeded random rows on which the engine is compared with tract at load.
pub const COMPARED_ROWS: usize = 64;
/// Largest difference between the engine and tract, share of the output's span. Both compute in f32 in another order; a wrong operator is off by
/// orders of magnitude more.
pub const AGREEMENT_OF_SPAN: f64 = 1e-4;
/// Subgraphs inside subgraphs. A file may have none; a graph that is made in memory may.
pub const DEPTH_MAX: usize = 8;
/// Numbers of one tensor that the graph makes: as many as the compiled engine takes.
pub const ELEMENTS_MAX: u64 = flyball_engine::graph::ELEMENTS_MAX as u64;
/// Axes of a tensor.
pub const RANK_MAX: usize = flyball_engine::graph::RANK_MAX;
/// Bytes of all tensors of one run together, weights left out. A convolutional network with 1,056 rows has some 50 MiB.
pub const RUN_BYTES_MAX: u64 = 128 << 20;
/// Multiplications of one run: some seconds on tract's plan, far more than any scan budget.
pub const RUN_WORK_MAX: u64 = 1 << 31;
/// Multiplications for folding constants at load. Counted as all with all, so that the true number is far lower.
pub const FOLD_WORK_MAX: u64 = 1 << 34;
/// Taps of one window of a convolution or pooling, over all its axes.
pub const TAPS_MAX: u64 = 1 << 16;
/// Rounds of shape inference. Static inputs settle in two; hints that flow back from consumers take a few more.
pub const INFERENCE_ROUNDS_MAX: usize = 8;
/// Characters in the name of a free dimension.
pub const DIMENSION_NAME_MAX: usize = 100;
