//! `file` and `sha256` of a model and of its shadow: the file must exist and be the one that was approved.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::bounds::MODEL_BYTES_MAX;
use crate::model::{ModelRole, ShadowFile};
use crate::quantity::Problem;
use crate::read::Cx;
use crate::reader::{Field, Reader};
use crate::tree::shorten;

/// `[model.*.shadow]`: a candidate that runs beside the model.
pub(super) fn shadow(field: &Field<'_>, cx: &Cx, role: ModelRole) -> Option<ShadowFile> {
    if role == ModelRole::Map {
        field.error(
            Problem::new("a map has no shadow")
                .allowed("a soft sensor")
                .help("Late samples compare a model with its shadow, and a map gets none."),
        );
    }
    let mut r = field.table("model.*.shadow")?;
    let found = r.need("file", "\"models/candidate.onnx\"").and_then(|f| file(&f, cx));
    let sha256 = sha256(&mut r, found.as_ref());
    Some(ShadowFile { file: found?.0, sha256: sha256? })
}

/// The path and the SHA-256 of the file's bytes.
pub(super) fn file(field: &Field<'_>, cx: &Cx) -> Option<(PathBuf, String)> {
    let text = field.text()?;
    let path = cx.path(text);
    let problem = match std::fs::metadata(&path) {
        Ok(m) if !m.is_file() => Problem::new(format!("{} is not a file", path.display())),
        Ok(m) if m.len() > MODEL_BYTES_MAX => Problem::new(format!("{} has {} bytes", path.display(), m.len()))
            .allowed(format!("at most {MODEL_BYTES_MAX}")),
        Ok(_) => match std::fs::read(&path) {
            Ok(bytes) => return Some((path, hex(&bytes))),
            Err(e) => Problem::new(format!("{} cannot be read ({e})", path.display())),
        },
        Err(e) => {
            let help = "The path is relative to the folder of the configuration file.";
            Problem::new(format!("{} cannot be read ({e})", path.display())).allowed("an ONNX file").help(help)
        }
    };
    field.error(problem);
    None
}

/// SHA-256 in lower-case hex.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn sha256(r: &mut Reader<'_>, file: Option<&(PathBuf, String)>) -> Option<String> {
    let Some(field) = r.get("sha256") else {
        let (_, actual) = file?;
        let problem = Problem::new("'sha256' is missing: the model file may change unseen");
        r.warning(problem.help(format!("Add sha256 = \"{actual}\".")));
        return Some(actual.clone());
    };
    let text = field.text()?.to_ascii_lowercase();
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        field.error(Problem::new(format!("found \"{}\"", shorten(&text))).allowed("64 hexadecimal digits"));
        return None;
    }
    let (path, actual) = file?;
    if text != *actual {
        let help = format!("If the new file is approved, write sha256 = \"{actual}\".");
        field.error(
            Problem::new(format!("{} has another SHA-256, {actual}", path.display())).allowed(text.clone()).help(help),
        );
    }
    Some(text)
}
