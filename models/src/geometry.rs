//! Whether a node's attributes and constant inputs fit the shapes that it reads.
//!
//! tract believes a file here: a permutation that names a missing axis makes it allocate without end, an axis beyond the last gives
//! numbers without meaning, sizes of a split that leave something over are taken. So what ONNX demands of each operator is checked
//! before tract's own rules see the node.

use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use crate::error::{ModelError, Refusal};

/// What is known of the tensors that one node reads.
pub(crate) struct Reads<'a> {
    node: &'a pb::NodeProto,
    facts: &'a [InferenceFact],
}

impl<'a> Reads<'a> {
    /// `facts` stand in the order of the node's inputs, those with an empty name left out.
    pub fn new(node: &'a pb::NodeProto, facts: &'a [InferenceFact]) -> Self {
        Self { node, facts }
    }

    fn fact(&self, input: usize) -> Option<&InferenceFact> {
        self.node.input.get(input).filter(|name| !name.is_empty())?;
        let before = self.node.input[..input].iter().filter(|name| !name.is_empty()).count();
        self.facts.get(before)
    }

    fn rank(&self, input: usize) -> Option<i64> {
        self.fact(input)?.shape.rank().concretize()
    }

    /// Dimensions of an input, those that are known.
    fn dims(&self, input: usize) -> Option<Vec<Option<i64>>> {
        let fact = self.fact(input).filter(|f| !f.shape.is_open())?;
        Some(fact.shape.dims().map(|d| d.concretize().and_then(|d| d.to_i64().ok())).collect())
    }

    /// Integers of an input, if they are constant.
    fn ints(&self, input: usize) -> Option<Vec<i64>> {
        let value = self.fact(input)?.value.concretize()?;
        let ints = value.cast_to::<i64>().ok()?;
        Some(ints.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.to_vec())
    }

    fn attribute(&self, name: &str) -> Option<&pb::AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    fn bad<T>(&self, what: &str, found: impl core::fmt::Debug, allowed: impl Into<String>) -> Result<T, ModelError> {
        Err(ModelError::new(
            Refusal::BadAttribute,
            format!("{what} of node '{}' ({}) is {found:?}", self.node.name, self.node.op_type),
            allowed,
            "export the model again",
        ))
    }

    /// All checks that the operator needs. What is not known yet is checked when it is.
    pub fn check(&self) -> Result<(), ModelError> {
        self.whole_numbers()?;
        match self.node.op_type.as_str() {
            "Conv" | "ConvTranspose" => self.windows(Some(1)),
            "AveragePool" | "MaxPool" => self.windows(None),
            "Transpose" => self.permutation(),
            "Flatten" => self.axis("axis", self.rank(0).map(|r| r + 1)),
            "OneHot" => self.axis("axis", self.rank(0).map(|r| r + 1)),
            "Gather" => self.axis("axis", self.rank(0)).and_then(|()| self.places()),
            "Split" => self.axis("axis", self.rank(0)).and_then(|()| self.parts()),
            "Slice" => self.slice(),
            "Pad" => self.pads(),
            "Range" => self.range(),
            "TopK" => self.axis("axis", self.rank(0)).and_then(|()| self.top()),
            "Squeeze" => self.axes(self.rank(0)),
            "Unsqueeze" => self.axes(self.rank(0).zip(self.listed_axes()).map(|(r, axes)| r + axes.len() as i64)),
            name if name.starts_with("Reduce") => self.axes(self.rank(0)),
            _ => self.axis("axis", self.rank(0)),
        }
    }

    /// tract passes sizes through 32 bits: larger integers would come out as others.
    fn whole_numbers(&self) -> Result<(), ModelError> {
        for input in 0..self.node.input.len() {
            let Some(value) = self.fact(input).and_then(|f| f.value.concretize()) else { continue };
            if !value.datum_type().is_integer() && !value.datum_type().is_tdim() {
                continue;
            }
            let large = self.ints(input).unwrap_or_default().into_iter().find(|v| i32::try_from(*v).is_err());
            // The end of a slice may be the largest number there is.
            if let Some(large) = large
                && (self.node.op_type != "Slice" || input > 2)
            {
                return self.bad("an integer input", large, "numbers of 32 bits are allowed");
            }
        }
        Ok(())
    }

    fn axis(&self, name: &str, rank: Option<i64>) -> Result<(), ModelError> {
        let (Some(attribute), Some(rank)) = (self.attribute(name), rank) else { return Ok(()) };
        if (-rank..rank).contains(&attribute.i) {
            return Ok(());
        }
        self.bad("axis", attribute.i, format!("-{rank} to {} are allowed", rank - 1))
    }

    /// Axes of an attribute (old operator sets) or of the second input.
    fn listed_axes(&self) -> Option<Vec<i64>> {
        self.attribute("axes").map(|a| a.ints.clone()).or_else(|| self.ints(1))
    }

    fn axes(&self, rank: Option<i64>) -> Result<(), ModelError> {
        let (Some(axes), Some(rank)) = (self.listed_axes(), rank) else { return Ok(()) };
        let mut places: Vec<i64> = axes.iter().map(|a| if *a < 0 { a + rank } else { *a }).collect();
        places.sort_unstable();
        places.dedup();
        if places.len() == axes.len() && places.iter().all(|a| (0..rank).contains(a)) {
            return Ok(());
        }
        self.bad("axes", axes, format!("-{rank} to {} are allowed, each once", rank - 1))
    }

    fn permutation(&self) -> Result<(), ModelError> {
        let Some(perm) = self.attribute("perm").map(|a| &a.ints) else { return Ok(()) };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        let whole = sorted.iter().copied().eq(0..perm.len() as i64);
        if whole && self.rank(0).is_none_or(|rank| rank == perm.len() as i64) {
            return Ok(());
        }
        self.bad("perm", perm, "each axis of the input must be named once")
    }

    /// Lists of a convolution or a pooling have one entry per spatial axis, `pads` two.
    fn windows(&self, weights: Option<usize>) -> Result<(), ModelError> {
        let Some(rank) = self.rank(0) else { return Ok(()) };
        if rank < 3 {
            return self.bad("the number of axes", rank, "batch, channels and at least one spatial axis are needed");
        }
        let spatial = rank as usize - 2;
        for (name, each) in [
            ("kernel_shape", 1),
            ("strides", 1),
            ("dilations", 1),
            ("output_padding", 1),
            ("output_shape", 1),
            ("pads", 2),
        ] {
            let found = self.attribute(name).map(|a| &a.ints).filter(|ints| ints.len() != each * spatial);
            if let Some(found) = found {
                return self.bad(name, found, format!("{} numbers are needed", each * spatial));
            }
        }
        let Some(shape) = weights.and_then(|input| self.dims(input)) else { return Ok(()) };
        if shape.len() != rank as usize {
            return self.bad("the number of axes of the weights", shape.len(), "as many as the input's are needed");
        }
        let kernel = self.attribute("kernel_shape").map(|a| &a.ints);
        let differs = |kernel: &Vec<i64>| kernel.iter().zip(&shape[2..]).any(|(k, w)| w.is_some_and(|w| w != *k));
        match kernel.filter(|k| differs(k)) {
            Some(kernel) => self.bad("kernel_shape", kernel, "it must be that of the weights"),
            None => Ok(()),
        }
    }

    fn dim_along_axis(&self, default: i64) -> Option<i64> {
        let (rank, axis) = (self.rank(0)?, self.attribute("axis").map_or(default, |a| a.i));
        let axis = if axis < 0 { axis + rank } else { axis };
        *self.dims(0)?.get(usize::try_from(axis).ok()?)?
    }

    fn places(&self) -> Result<(), ModelError> {
        let (Some(dim), Some(places)) = (self.dim_along_axis(0), self.ints(1)) else { return Ok(()) };
        match places.iter().find(|p| !(-dim..dim).contains(*p)) {
            Some(place) => self.bad("a place", place, format!("-{dim} to {} are allowed", dim - 1)),
            None => Ok(()),
        }
    }

    fn parts(&self) -> Result<(), ModelError> {
        let sizes = self.attribute("split").map(|a| a.ints.clone()).or_else(|| self.ints(1));
        let (Some(dim), Some(sizes)) = (self.dim_along_axis(0), sizes) else { return Ok(()) };
        let sum = sizes.iter().try_fold(0_i64, |sum, n| sum.checked_add(*n));
        if sizes.len() == self.node.output.len() && sizes.iter().all(|n| *n >= 0) && sum == Some(dim) {
            return Ok(());
        }
        self.bad("split", sizes, format!("{} sizes with the sum {dim} are needed", self.node.output.len()))
    }

    fn slice(&self) -> Result<(), ModelError> {
        let listed = |name: &str, input| self.attribute(name).map(|a| a.ints.clone()).or_else(|| self.ints(input));
        if let (Some(axes), Some(rank)) = (listed("axes", 3), self.rank(0))
            && axes.iter().any(|a| !(-rank..rank).contains(a))
        {
            return self.bad("axes", axes, format!("-{rank} to {} are allowed", rank - 1));
        }
        if let (Some(starts), Some(ends)) = (listed("starts", 1), listed("ends", 2))
            && starts.len() != ends.len()
        {
            return self.bad("starts", starts, format!("{} numbers are needed", ends.len()));
        }
        match self.ints(4).filter(|steps| steps.contains(&0)) {
            Some(steps) => self.bad("steps", steps, "steps other than 0 are allowed"),
            None => Ok(()),
        }
    }

    fn pads(&self) -> Result<(), ModelError> {
        let pads = self.attribute("pads").map(|a| a.ints.clone()).or_else(|| self.ints(1));
        let axes = self.node.input.len() > 3;
        let (Some(pads), Some(dims)) = (pads, self.dims(0).filter(|_| !axes)) else { return Ok(()) };
        if pads.len() != 2 * dims.len() {
            return self.bad("pads", pads, format!("{} numbers are needed", 2 * dims.len()));
        }
        let negative = |(axis, dim): (usize, &Option<i64>)| {
            dim.is_some_and(|d| d.saturating_add(pads[axis]).saturating_add(pads[axis + dims.len()]) < 0)
        };
        if dims.iter().enumerate().any(negative) {
            return self.bad("pads", &pads, "an axis may lose at most what it has");
        }
        Ok(())
    }

    fn range(&self) -> Result<(), ModelError> {
        let first = |input| -> Option<f64> {
            let value = self.fact(input)?.value.concretize()?;
            let value = value.cast_to::<f64>().ok()?;
            value.try_as_plain_ram().ok()?.as_slice::<f64>().ok()?.first().copied()
        };
        let (Some(start), Some(limit), Some(step)) = (first(0), first(1), first(2)) else { return Ok(()) };
        let whole = |v: f64| v.fract() == 0.0 && v.abs() <= f64::from(i32::MAX);
        if whole(start) && whole(limit) && whole(step) && step > 0.0 {
            return Ok(());
        }
        self.bad("start, limit, step", [start, limit, step], "whole numbers of 32 bits and a step above 0 are allowed")
    }

    fn top(&self) -> Result<(), ModelError> {
        let k = self.ints(1).and_then(|k| k.first().copied()).or(self.attribute("k").map(|a| a.i));
        match k.zip(self.dim_along_axis(-1)).filter(|(k, dim)| !(0..=*dim).contains(k)) {
            Some((k, dim)) => self.bad("k", k, format!("0 to {dim} are allowed")),
            None => Ok(()),
        }
    }
}
