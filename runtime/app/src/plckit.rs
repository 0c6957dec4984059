//! Why: `flyball plc-kit FILE --to DIR`: one configuration for both sides. Writes what the PLC engineer needs, and never over somebody's
//! own work: a file that differs stays unless `--force` is said, and then nothing at all is written.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball_config::load;
use flyball_plckit::{KitFile, kit};

use crate::cli::PlcKit;

/// Carries out the command. Returns the exit code: 0 good, 1 the configuration has warnings, 2 nothing was written or not all.
#[must_use]
pub fn run(arguments: &PlcKit) -> u8 {
    let loaded = load(&arguments.file);
    let findings = loaded.diagnostics.render(false);
    let Some(config) = loaded.config.filter(|_| loaded.diagnostics.errors() == 0) else {
        say(&format!(
            "{findings}Nothing was written. Correct the errors; flyball check {} shows them all.\n",
            arguments.file.display()
        ));
        return 2;
    };
    let files = kit(&config, Duration::from_millis(u64::from(arguments.task)));
    match write(&files, &arguments.to, arguments.force) {
        Ok(lines) => {
            say(&format!("{findings}{lines}Read {} first.\n", arguments.to.join("README.md").display()));
            loaded.diagnostics.exit_code()
        }
        Err(refusal) => {
            say(&format!("{findings}{refusal}\n"));
            2
        }
    }
}

/// What was done, one line per file; or why nothing or not all was written, with what to do.
fn write(files: &[KitFile], folder: &Path, force: bool) -> Result<String, String> {
    let mut plan: Vec<(PathBuf, &KitFile, &str)> = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        let what = match std::fs::read(&path) {
            Ok(there) if there == file.text.as_bytes() => "unchanged",
            Ok(_) => "replaced",
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "written",
            Err(e) => return Err(format!("{}: cannot be read ({e}). Nothing was written.", path.display())),
        };
        plan.push((path, file, what));
    }
    let differing: Vec<String> = plan
        .iter()
        .filter(|(.., what)| *what == "replaced")
        .map(|(path, ..)| format!("  {}", path.display()))
        .collect();
    if !differing.is_empty() && !force {
        return Err(format!(
            "Nothing was written: these files are there with another content.\n{}\nCompare them, choose another folder, or say --force to \
             replace them.",
            differing.join("\n")
        ));
    }
    let mut lines = String::new();
    for (path, file, what) in plan {
        if what != "unchanged" {
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, &file.text))
                .map_err(|e| format!("{lines}{}: cannot be written ({e}). The kit is not complete.", path.display()))?;
        }
        lines += &format!("{what:<9} {}\n", path.display());
    }
    Ok(lines)
}

/// A reader that has seen enough closes the pipe; that is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
