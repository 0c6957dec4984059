//! Runs the cases of the `onnx` PyPI package and writes the table of docs/OPERATORS.md, or checks that it is up to date.
//!
//!     pip install --target FOLDER --no-deps onnx==1.20.1
//!     cargo run --release -p flyball-models --example conformance -- FOLDER/onnx/backend/test/data --check docs/OPERATORS.md

use std::path::Path;
use std::process::ExitCode;

use flyball_models::conformance;

const USAGE: &str =
    "conformance FOLDER [--write FILE | --check FILE]; FOLDER is onnx/backend/test/data of the onnx package";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // What a case makes panic is that case's refusal; its words would only hide the summary.
    std::panic::set_hook(Box::new(|_| {}));
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// True when nothing is wrong and the document, if one is named, is up to date.
fn run(arguments: &[&str]) -> Result<bool, String> {
    let (folder, document) = match arguments {
        [folder] => (folder, None),
        [folder, mode @ ("--write" | "--check"), file] => (folder, Some((*mode == "--write", Path::new(*file)))),
        _ => return Err(format!("usage: {USAGE}")),
    };
    let report = conformance::run(Path::new(folder))?;
    print!("{}", report.summary());
    let mut good = report.wrong().next().is_none();
    if let Some((write, file)) = document {
        let old = std::fs::read_to_string(file).map_err(|e| format!("{} cannot be read ({e})", file.display()))?;
        let new = report.update(&old)?;
        if write {
            std::fs::write(file, new).map_err(|e| format!("{} cannot be written ({e})", file.display()))?;
        } else if new != old {
            println!("{} is not up to date: run the same command with --write", file.display());
            good = false;
        }
    }
    Ok(good)
}
