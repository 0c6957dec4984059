//! The operators that a file may use, with the attributes that are honoured.
//!
//! tract reads the attributes that it knows and passes over the rest: a Swish with a slope would silently become a plain one. (What can be
//! put right for recurrent layers is put right in `lower/import.rs`.) So this list is closed. An operator or an attribute that is not in it is refused, and so is a value that would be ignored.
//! Operators that tract has but that are left out: random numbers (a scan must be repeatable), subgraphs (`If`, `Scan`), results
//! whose size depends on values (`Compress`, `NonZero`), integers below 32 bits, and `LpNormalization`, whose zero vector comes out as 0
//! instead of NaN.

use tract_onnx::pb;

/// Standard operator sets of which each case of the ONNX project's package is run. tract itself is tested on 9 to 18.
pub(crate) const OPSETS: core::ops::RangeInclusive<i64> = 6..=25;

/// Operators that our engine has (docs/OPERATORS.md).
pub(crate) const NATIVE: &[(&str, &[&str])] = &[
    ("Abs", &[]),
    ("Add", &["broadcast"]),
    ("AveragePool", &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"]),
    ("BatchNormalization", &["epsilon", "is_test", "momentum", "spatial", "training_mode"]),
    ("Cast", &["saturate", "to"]),
    ("Clip", &["max", "min"]),
    ("Concat", &["axis"]),
    ("Constant", &["value", "value_float", "value_floats", "value_int", "value_ints"]),
    ("Conv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]),
    ("Div", &["broadcast"]),
    ("Dropout", &["is_test", "ratio", "seed"]),
    ("Elu", &["alpha"]),
    ("Exp", &[]),
    ("Flatten", &["axis"]),
    ("GRU", &["activations", "direction", "hidden_size", "layout", "linear_before_reset"]),
    ("Gather", &["axis"]),
    ("Gelu", &["approximate"]),
    ("Gemm", &["alpha", "beta", "broadcast", "transA", "transB"]),
    ("GlobalAveragePool", &[]),
    ("GlobalMaxPool", &[]),
    ("HardSigmoid", &["alpha", "beta"]),
    ("HardSwish", &[]),
    ("Identity", &[]),
    ("LSTM", &["activations", "direction", "hidden_size", "input_forget", "layout"]),
    ("LayerNormalization", &["axis", "epsilon", "stash_type"]),
    ("LeakyRelu", &["alpha"]),
    ("Log", &[]),
    ("MatMul", &[]),
    ("Max", &[]),
    ("MaxPool", &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"]),
    ("Min", &[]),
    ("Mul", &["broadcast"]),
    ("PRelu", &[]),
    ("Pad", &["mode", "pads", "value"]),
    ("Pow", &["broadcast"]),
    ("RNN", &["activations", "direction", "hidden_size", "layout"]),
    ("ReduceMax", REDUCE),
    ("ReduceMean", REDUCE),
    ("ReduceSum", REDUCE),
    ("Relu", &[]),
    ("Reshape", &["allowzero", "shape"]),
    ("Selu", &["alpha", "gamma"]),
    ("Sigmoid", &[]),
    ("Slice", &["axes", "ends", "starts"]),
    ("Softmax", &["axis"]),
    ("Softplus", &[]),
    ("Split", &["axis", "num_outputs", "split"]),
    ("Sqrt", &[]),
    ("Squeeze", &["axes"]),
    ("Sub", &["broadcast"]),
    ("Tanh", &[]),
    ("Transpose", &["perm"]),
    ("Unsqueeze", &["axes"]),
];

/// Operators that run on tract's plan unless the lowering finds its way through them.
const FALLBACK: &[(&str, &[&str])] = &[
    ("Acos", &[]),
    ("Acosh", &[]),
    ("And", &["broadcast"]),
    ("ArgMax", &["axis", "keepdims", "select_last_index"]),
    ("ArgMin", &["axis", "keepdims", "select_last_index"]),
    ("Asin", &[]),
    ("Asinh", &[]),
    ("Atan", &[]),
    ("Atanh", &[]),
    ("BlackmanWindow", &["output_datatype", "periodic"]),
    ("CastLike", &["saturate"]),
    ("Ceil", &[]),
    ("Celu", &["alpha"]),
    ("ConstantOfShape", &["value"]),
    (
        "ConvTranspose",
        &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"],
    ),
    ("Cos", &[]),
    ("Cosh", &[]),
    ("CumSum", &["exclusive", "reverse"]),
    ("DFT", &["axis", "inverse", "onesided"]),
    ("DepthToSpace", &["blocksize", "mode"]),
    ("Einsum", &["equation"]),
    ("Equal", &["broadcast"]),
    ("Erf", &[]),
    ("Expand", &[]),
    ("EyeLike", &["dtype", "k"]),
    ("Floor", &[]),
    ("GatherElements", &["axis"]),
    ("GatherND", &["batch_dims"]),
    ("Greater", &["broadcast"]),
    ("GreaterOrEqual", &[]),
    ("GridSample", &["align_corners", "mode", "padding_mode"]),
    ("GroupNormalization", &["epsilon", "num_groups", "stash_type"]),
    ("HammingWindow", &["output_datatype", "periodic"]),
    ("HannWindow", &["output_datatype", "periodic"]),
    ("Hardmax", &["axis"]),
    ("InstanceNormalization", &["epsilon"]),
    ("IsInf", &["detect_negative", "detect_positive"]),
    ("IsNaN", &[]),
    ("LRN", &["alpha", "beta", "bias", "size"]),
    ("Less", &["broadcast"]),
    ("LessOrEqual", &[]),
    ("LogSoftmax", &["axis"]),
    ("Mean", &[]),
    ("MeanVarianceNormalization", &["axes"]),
    ("Mish", &[]),
    ("Mod", &["fmod"]),
    ("Neg", &[]),
    ("Not", &[]),
    ("OneHot", &["axis"]),
    ("Or", &["broadcast"]),
    ("RMSNormalization", &["axis", "epsilon", "stash_type"]),
    ("Range", &[]),
    ("Reciprocal", &[]),
    ("ReduceL1", REDUCE),
    ("ReduceL2", REDUCE),
    ("ReduceLogSum", REDUCE),
    ("ReduceLogSumExp", REDUCE),
    ("ReduceMin", REDUCE),
    ("ReduceProd", REDUCE),
    ("ReduceSumSquare", REDUCE),
    (
        "Resize",
        &[
            "antialias",
            "axes",
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "mode",
            "nearest_mode",
        ],
    ),
    ("RotaryEmbedding", &["interleaved", "num_heads", "rotary_embedding_dim"]),
    ("Round", &[]),
    ("STFT", &["onesided"]),
    ("Scatter", &["axis"]),
    ("ScatterElements", &["axis", "reduction"]),
    ("ScatterND", &["reduction"]),
    ("Shape", &["end", "start"]),
    ("Shrink", &["bias", "lambd"]),
    ("Sign", &[]),
    ("Sin", &[]),
    ("Sinh", &[]),
    ("Size", &[]),
    ("Softsign", &[]),
    ("SpaceToDepth", &["blocksize"]),
    ("Sum", &[]),
    ("Swish", &["alpha"]),
    ("Tan", &[]),
    ("ThresholdedRelu", &["alpha"]),
    ("Tile", &[]),
    ("TopK", &["axis", "k", "largest", "sorted"]),
    ("Trilu", &["upper"]),
    ("Where", &[]),
    ("Xor", &["broadcast"]),
];

const REDUCE: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];

/// Attributes that are not read: only the value that changes nothing is allowed.
const IGNORED: &[(&str, &str, Only)] = &[
    ("BatchNormalization", "is_test", Only::Int(1)),
    ("BatchNormalization", "spatial", Only::Int(1)),
    ("BatchNormalization", "training_mode", Only::Int(0)),
    ("Celu", "alpha", Only::Float(1.0)),
    ("Dropout", "is_test", Only::Int(1)),
    ("Gelu", "approximate", Only::OneOf(&["none", "tanh"])),
    ("GroupNormalization", "stash_type", Only::Int(1)),
    ("LSTM", "input_forget", Only::Int(0)),
    ("LayerNormalization", "stash_type", Only::Int(1)),
    ("RMSNormalization", "stash_type", Only::Int(1)),
    ("Swish", "alpha", Only::Float(1.0)),
    ("TopK", "sorted", Only::Int(1)),
];

/// What an attribute may say.
enum Only {
    Int(i64),
    Float(f32),
    OneOf(&'static [&'static str]),
}

impl Only {
    fn allows(&self, attribute: &pb::AttributeProto) -> bool {
        match self {
            Self::Int(value) => attribute.i == *value,
            Self::Float(value) => attribute.f == *value,
            Self::OneOf(values) => values.iter().any(|v| v.as_bytes() == attribute.s),
        }
    }
}

/// Attributes that are honoured, if a file may use the operator.
pub(crate) fn attributes(operator: &str) -> Option<&'static [&'static str]> {
    let find = |list: &'static [(&'static str, &'static [&'static str])]| {
        list.iter().find(|(name, _)| *name == operator).map(|(_, attributes)| *attributes)
    };
    find(NATIVE).or_else(|| find(FALLBACK))
}

/// True when our engine has the operator.
pub(crate) fn is_native(operator: &str) -> bool {
    NATIVE.iter().any(|(name, _)| *name == operator)
}

/// True when the attribute would be ignored and says something else than what is done.
pub(crate) fn would_be_ignored(operator: &str, attribute: &pb::AttributeProto) -> bool {
    IGNORED.iter().any(|(o, a, only)| *o == operator && *a == attribute.name && !only.allows(attribute))
}
