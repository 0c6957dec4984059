//! Secrets: never in the file, always from the environment or from a file of their own.

use std::path::Path;

use crate::model::Secret;
use crate::quantity::Problem;
use crate::read::Cx;
use crate::reader::Field;

impl Secret {
    /// Fetches the secret.
    ///
    /// # Errors
    /// A sentence that says what is missing and what to do.
    pub fn resolve(&self) -> Result<String, String> {
        match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(value),
                Ok(_) => Err(format!("environment variable {name} is empty: set it to the password before starting")),
                Err(_) => {
                    Err(format!("environment variable {name} is not set: set it to the password before starting"))
                }
            },
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| format!("password file {} cannot be read ({e}): create it", path.display()))?;
                match text.lines().next().map(str::trim_end) {
                    Some(line) if !line.is_empty() => Ok(line.to_owned()),
                    _ => Err(format!("password file {} has no first line: write the password there", path.display())),
                }
            }
        }
    }
}

/// Reads a secret and warns now about what would fail later.
pub(crate) fn read(field: &Field<'_>, cx: &Cx) -> Option<Secret> {
    let text = field.text()?;
    let secret = match text.split_once(':') {
        Some(("env", name)) if !name.trim().is_empty() => Secret::Env(name.trim().to_owned()),
        Some(("file", path)) if !path.trim().is_empty() => Secret::File(cx.path(path.trim())),
        _ => {
            // The text itself is not repeated: it may be the password.
            field.error(
                Problem::new("password given in clear text")
                    .allowed("\"env:NAME\" or \"file:PATH\"")
                    .help("Use env: or file:."),
            );
            return None;
        }
    };
    if let Err(sentence) = secret.resolve() {
        field.warning(Problem::new(sentence));
    }
    if let Secret::File(path) = &secret
        && others_can_read(path)
    {
        field.warning(
            Problem::new(format!("password file {} can be read by others", path.display()))
                .help(format!("chmod 600 {}", path.display())),
        );
    }
    Some(secret)
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_path: &Path) -> bool {
    false
}
