//! ONNX Runtime through its C API, at its best on one thread: every graph optimisation, memory patterns, no spinning, tensors
//! allocated once and bound by place, nothing copied in or out.
//!
//! The library is loaded at run time, from `ORT_DYLIB_PATH` or from where `models/tools/fetch_onnxruntime.sh` puts it. It allocates in
//! C++, which no counter in this process sees. The safe binding costs about 0.3 us per run beside a bare call of the C API.

use std::ffi::OsString;
use std::path::PathBuf;

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use crate::case::{Carried, Case};
use crate::contender::Contender;

/// Environment variable that names the library.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";
/// What fetches the library.
pub const SCRIPT: &str = "models/tools/fetch_onnxruntime.sh";
/// Where the script puts it, seen from the project's root.
const PLACE: &str = "target/onnxruntime/onnxruntime/capi";

/// The loaded library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Where it is.
    pub path: PathBuf,
    /// Name with the version that its file name tells.
    pub name: String,
}

impl Library {
    /// Finds and loads the library, once per process.
    ///
    /// # Errors
    /// Where it was looked for, and what to do.
    pub fn load() -> Result<Self, String> {
        let path = locate(std::env::var_os(VARIABLE))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let version = file.split_once(".so.").map(|(_, version)| version);
        let name = version.map_or_else(|| "ONNX Runtime".to_owned(), |v| format!("ONNX Runtime {v}"));
        let builder = ort::init_from(&path).map_err(|e| format!("{} cannot be used: {e}", path.display()))?;
        // False where the process has one already, which is as good.
        let _ = builder.with_name("flyball-bench").with_telemetry(false).commit();
        Ok(Self { path, name })
    }
}

/// The file that the variable names, else the one in the script's place in this folder or one above it.
fn locate(named: Option<OsString>) -> Result<PathBuf, String> {
    if let Some(named) = named.filter(|n| !n.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!(
                "{VARIABLE} names {}, which is no file; correct it, or unset it and run {SCRIPT}",
                path.display()
            ))
        };
    }
    let here = std::env::current_dir().map_err(|e| format!("the current folder cannot be read ({e})"))?;
    let files = here.ancestors().filter_map(|folder| std::fs::read_dir(folder.join(PLACE)).ok()).flatten().flatten();
    let is_library =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so"));
    files
        .map(|entry| entry.path())
        .find(is_library)
        .ok_or_else(|| format!("the library is not in {PLACE} and {VARIABLE} is not set; run {SCRIPT}"))
}

/// A session with its tensors.
struct Loaded {
    name: String,
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
    inputs: Vec<SessionInputValue<'static>>,
    /// The same tensors that the options hold.
    outputs: Vec<DynValue>,
    carried: Vec<Carried>,
}

/// Loads a case into ONNX Runtime.
///
/// # Errors
/// The library refuses the graph.
pub fn prepare(library: &Library, case: &Case) -> Result<Box<dyn Contender>, String> {
    let loaded = build(library, case).map_err(|e| e.to_string().replace('\n', " "))?;
    Ok(Box::new(loaded))
}

fn build(library: &Library, case: &Case) -> ort::Result<Loaded> {
    let mut session = Session::builder()?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_memory_pattern(true)?
        .with_log_level(ort::logging::LogLevel::Error)?
        .commit_from_memory(&case.bytes)?;
    let zeros = |shape: &[usize]| Tensor::<f32>::new(&Allocator::default(), shape.to_vec());
    let mut inputs: Vec<SessionInputValue<'static>> = Vec::new();
    for input in &case.inputs {
        let mut tensor = zeros(&input.shape)?;
        tensor.extract_tensor_mut().1.fill(0.0);
        inputs.push(tensor.into());
    }
    // One run tells the shapes of the outputs, which the file need not.
    let shapes: Vec<Vec<usize>> = {
        let first = session.run(&inputs[..])?;
        let shape = |o: &String| first[o.as_str()].shape().iter().map(|d| *d as usize).collect();
        case.outputs.iter().map(shape).collect()
    };
    let mut selector = OutputSelector::default();
    let mut outputs = Vec::new();
    for (name, shape) in case.outputs.iter().zip(&shapes) {
        let tensor = zeros(shape)?.into_dyn();
        let same = tensor.view().try_upgrade();
        outputs.push(same.map_err(|_| ort::Error::new("an output tensor cannot be shared"))?);
        selector = selector.preallocate(name, tensor);
    }
    let options = RunOptions::new()?.with_outputs(selector);
    Ok(Loaded { name: library.name.clone(), session, options, inputs, outputs, carried: case.carried.clone() })
}

impl Loaded {
    fn try_run(&mut self) -> ort::Result<()> {
        self.session.run_with_options(&self.inputs[..], &self.options)?;
        for carried in &self.carried {
            let (_, from) = self.outputs[carried.output].try_extract_tensor::<f32>()?;
            write(&mut self.inputs[carried.input], from)?;
        }
        Ok(())
    }
}

fn write(input: &mut SessionInputValue<'static>, numbers: &[f32]) -> ort::Result<()> {
    if let SessionInputValue::Owned(value) = input {
        value.try_extract_tensor_mut::<f32>()?.1.copy_from_slice(numbers);
    }
    Ok(())
}

impl Contender for Loaded {
    fn name(&self) -> &str {
        &self.name
    }

    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String> {
        write(&mut self.inputs[input], numbers).map_err(|e| e.to_string())
    }

    fn run(&mut self) -> Result<(), String> {
        self.try_run().map_err(|e| e.to_string())
    }

    fn output(&self, output: usize) -> Result<Vec<f32>, String> {
        let extracted = self.outputs[output].try_extract_tensor::<f32>();
        extracted.map(|(_, numbers)| numbers.to_vec()).map_err(|e| e.to_string())
    }

    fn counted(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_not_there_is_told_with_the_way_out() {
        let refused = locate(Some("nowhere/libonnxruntime.so".into())).expect_err("no such file");
        assert!(refused.contains("nowhere/libonnxruntime.so") && refused.contains(SCRIPT), "{refused}");
    }
}
