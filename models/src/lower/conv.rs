//! Convolutions over one or two spatial axes. The importer lays them out as ONNX does: [rows, channels, space...] and [out, in, kernel...].

use flyball_engine::{Conv, Graph, Node};
use tract_onnx::tract_core::ops::cnn;
use tract_onnx::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::value::{Value, data_at, uniform};
use super::{Why, no};

/// Translates a convolution.
pub(crate) fn conv(graph: &mut Graph, op: &cnn::Conv, inputs: &[Value]) -> Result<Node, Why> {
    if op.q_params.is_some() {
        return no("works on quantised numbers");
    }
    if op.pool_spec.data_format != DataFormat::NCHW || op.kernel_fmt != KernelFormat::OIHW {
        return no("channels are expected before space");
    }
    let (x, weights) = (data_at(graph, inputs, 0)?, data_at(graph, inputs, 1)?);
    let spatial = graph.shape(x).len().saturating_sub(2);
    if !(1..=2).contains(&spatial) {
        return no(format!("has {spatial} spatial axes; one or two are allowed"));
    }
    let padding = op.pool_spec.computed_padding(&graph.shape(x)[2..]);
    let conv = Conv {
        strides: op.pool_spec.strides().to_vec(),
        dilations: op.pool_spec.dilations().to_vec(),
        pads: padding.iter().map(|axis| (axis.pad_before, axis.pad_after)).collect(),
        groups: op.group,
    };
    let bias = data_at(graph, inputs, 2)?;
    let out = graph.shape(weights)[0];
    let bias = match uniform(graph, bias) {
        Some(0.0) => None,
        // The importer drops axes of length 1, also that of a single channel.
        _ if graph.shape(bias).iter().product::<usize>() == 1 => Some(graph.expand(bias, &[out])?),
        _ => Some(bias),
    };
    Ok(graph.conv(x, weights, bias, conv)?)
}
