//! Why: a demonstration needs passwords, certificates and a few files for as long as it runs, and leaves nothing behind.
//!
//! Words: a *private folder* belongs to this user alone (mode 0700), is made new, and is removed with everything in it when dropped.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Random bytes in a password: 128 bits.
const RANDOM_BYTES: usize = 16;

/// A folder that nobody else can read.
#[derive(Debug)]
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one in the folder for temporary files (`TMPDIR`).
    ///
    /// # Errors
    /// A sentence: no random numbers, or the folder cannot be made.
    pub fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("flyball-demo-{}", random_text()?));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| {
            format!("the folder {} cannot be made ({e}); set TMPDIR to one that can be written", path.display())
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only this user can read, with the folders above it.
    ///
    /// # Errors
    /// A sentence with the path: it exists already, or the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        let written = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)
        });
        written.map_err(|e| format!("{} cannot be written ({e})", path.display()))?;
        Ok(path)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.0) {
            tracing::warn!(
                "{} could not be removed ({e}): it holds passwords of this run, remove it",
                self.0.display()
            );
        }
    }
}

/// A text that cannot be guessed: 32 hexadecimal digits from the operating system.
///
/// # Errors
/// A sentence when it gives none.
pub fn random_text() -> Result<String, String> {
    let mut bytes = [0; RANDOM_BYTES];
    let filled = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    filled.map_err(|e| format!("the operating system gives no random numbers ({e}); mount /dev/urandom"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every text");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_can_read_it_and_it_goes() {
        let folder = PrivateFolder::new().expect("made");
        let file = folder.write("a/secret", b"x").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&file)), (0o700, 0o600));
        assert!(folder.write("a/secret", b"y").is_err(), "never overwrites");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn two_texts_differ() {
        let (a, b) = (random_text().expect("random"), random_text().expect("random"));
        assert_eq!((a.len(), b.len()), (32, 32));
        assert_ne!(a, b);
    }
}
