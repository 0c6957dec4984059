//! What the contract tells the runtime's watch: deciles of the inputs, RMSEP at commissioning, operating modes.

use flyball_core::watch::basis::{Basis, EDGES, normal_deciles};

use crate::contract::{InputContract, ModelContract};

/// The basis with columns in the configuration's order.
pub(crate) fn basis(contract: &ModelContract, inputs: &[usize], outputs: &[usize]) -> Basis {
    Basis {
        inputs: inputs.iter().map(|column| deciles(&contract.inputs[*column])).collect(),
        rmsep: outputs.iter().map(|column| rmsep(contract, *column)).collect(),
        modes: contract.modes.as_ref().map(|modes| modes.set(inputs, outputs)),
    }
}

/// Those of the file; without them those of a normal distribution of its mean and spread.
fn deciles(input: &InputContract) -> [f64; EDGES] {
    let given = input.deciles.as_ref().and_then(|list| <[f64; EDGES]>::try_from(list.as_slice()).ok());
    given.unwrap_or_else(|| normal_deciles(input.mean, input.std))
}

/// RMSEP on rows that were not trained on: with the error quantiles, which come from the same rows, or else the file's metrics.
fn rmsep(contract: &ModelContract, column: usize) -> Option<f64> {
    let name = &contract.outputs[column].name;
    let with_quantiles =
        contract.residuals.as_ref().and_then(|r| r.outputs.iter().find(|o| o.name == *name)).and_then(|o| o.rmsep);
    let of_metrics = || contract.metrics.get(name)?.get("rmsep")?.as_f64();
    with_quantiles.or_else(of_metrics).filter(|v| v.is_finite() && *v > 0.0)
}
