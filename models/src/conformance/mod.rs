//! The cases that the ONNX project ships with its Python package, run through our engine and through tract's plan.
//!
//! `onnx/backend/test/data/{node,simple,pytorch-converted,pytorch-operator}/*` holds a model, inputs and expected outputs per case.
//! [`run`] reads them, runs each and says which of the two answers rightly; [`Report::markdown`] writes the table of the documents.
//!
//! Words: a case is *native* when our engine answers it, *fallback* when only tract's plan does, *refused* when neither takes it,
//! *wrong* when one of them runs it and answers otherwise than expected, *outside* when it asks for more than float32 tensors. Inputs of
//! integers and flags (a shape, axes, places) are *fixed* to the case's values, because they are constants in every static model; so may
//! be weights that the case feeds as inputs.

mod case;
mod paths;
mod table;

use std::path::Path;

pub use table::Report;

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Our engine answers it.
    Native {
        /// Only with its weights fixed: our engine refuses to have them fed.
        weights_fixed: bool,
    },
    /// tract's plan answers it.
    Fallback {
        /// Why our engine refuses it.
        why: String,
    },
    /// Neither takes it.
    Refused {
        /// Why not.
        why: String,
    },
    /// Our engine or tract's plan answers otherwise than expected.
    Wrong {
        /// Who, and the first number that differs.
        what: String,
    },
    /// Not float32 in and out.
    Outside {
        /// What it asks for.
        why: String,
    },
}

/// One case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Folder of its kind: `node`, `simple`, `pytorch-converted`, `pytorch-operator`.
    pub kind: String,
    /// Name of its folder.
    pub name: String,
    /// Its operators, each once, in order of the alphabet.
    pub operators: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Right, but some numbers near zero only within the rounding of their tensor.
    pub rounded: bool,
}

/// Runs all cases below `folder` (`.../onnx/backend/test/data`), in order of kind and name.
///
/// Bounded: sizes are checked before anything is built from a file, and a panic in a case refuses that case.
///
/// # Errors
/// The folder cannot be read or holds no cases.
pub fn run(folder: &Path) -> Result<Report, String> {
    let mut results = Vec::new();
    for kind in case::KINDS {
        for name in case::names(&folder.join(kind))? {
            results.push(run_case(folder, kind, name));
        }
    }
    if results.is_empty() {
        return Err(format!("{} holds no cases; give the folder onnx/backend/test/data", folder.display()));
    }
    Ok(Report { results })
}

fn run_case(folder: &Path, kind: &str, name: String) -> CaseResult {
    let case = case::read(&folder.join(kind).join(&name));
    let operators = case.as_ref().map(case::Case::operators).unwrap_or_default();
    let (outcome, rounded) = match case {
        Ok(case) => match case.scope() {
            Ok(()) => paths::judge(&case),
            Err(why) => (Outcome::Outside { why }, false),
        },
        Err(why) => (Outcome::Refused { why }, false),
    };
    CaseResult { kind: kind.to_owned(), name, operators, outcome, rounded }
}
