//! What a recording says about itself: enough to replay it on any machine, with nothing but the file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flyball_config::Config;
use flyball_core::time::UtcOffset;

/// Name of the metadata record with the header.
pub const HEADER: &str = "flyball";
/// Name of the metadata record with the units of the fields of `/scan`.
pub const UNITS: &str = "flyball.units";
/// Name of the metadata record with where the attachments had been.
pub const PATHS: &str = "flyball.paths";
/// What the bytes of `/replay` are. A test changes with `ScanRecord`; then this number goes up, and older files are refused instead of misread.
pub const RECORD_FORMAT: u32 = 1;
/// Most bytes of attachments that are kept for the next file. Models are compact; whoever has more of them gets a recording without.
const ATTACHMENTS_MAX: usize = 256 << 20;

/// Facts about the run that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of flyball.
    pub version: String,
    /// Name of the application.
    pub application: String,
    /// CRC-32 over configuration, sheets and models (`Config::signature`).
    pub signature: u32,
    /// SHA-256 per model, shadows as `NAME shadow`.
    pub models: BTreeMap<String, String>,
    /// Kernel, CPU and the vector features that the kernels could use. Results do not depend on it.
    pub machine: String,
    /// Iterations of one solve and of one scan, as calibrated at start; None without optimiser.
    pub budget: Option<(u32, u32)>,
    /// Where UTC was. `unix_nanos_at_zero` also tells runs apart; `scale` is the time scale.
    pub utc: UtcOffset,
    /// Number of the run among those that may ask the PLC for its lease.
    pub instance: u32,
    /// Nothing was written to any PLC.
    pub read_only: bool,
    /// Scans from keyframe to keyframe; 0 for none.
    pub keyframe_every: u32,
    /// Name of the attachment that is the configuration file; empty without attachments.
    pub configuration: String,
}

impl Header {
    /// As names and values.
    pub(crate) fn entries(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut put = |key: &str, value: String| map.insert(key.to_owned(), value);
        put("record_format", RECORD_FORMAT.to_string());
        put("flyball", self.version.clone());
        put("application", self.application.clone());
        put("signature", format!("{:08x}", self.signature));
        put("machine", self.machine.clone());
        if let Some((solve, scan)) = self.budget {
            put("budget_solve", solve.to_string());
            put("budget_scan", scan.to_string());
        }
        put("utc_at_zero", self.utc.unix_nanos_at_zero.to_string());
        put("time_scale", self.utc.scale.to_string());
        put("instance", self.instance.to_string());
        put("read_only", self.read_only.to_string());
        put("keyframe_every", self.keyframe_every.to_string());
        put("configuration", self.configuration.clone());
        for (name, hash) in &self.models {
            put(&format!("model {name}"), hash.clone());
        }
        map
    }

    /// From names and values.
    ///
    /// # Errors
    /// What is missing or not readable, or that another format of records is in the file.
    pub(crate) fn read(map: &BTreeMap<String, String>) -> Result<Self, String> {
        let text = |key: &str| map.get(key).cloned().ok_or_else(|| format!("its header has no '{key}'"));
        let number = |key: &str| -> Result<i64, String> {
            text(key)?.parse().map_err(|_| format!("'{key}' of its header is not a number"))
        };
        let small = |key: &str| -> Result<u32, String> {
            u32::try_from(number(key)?).map_err(|_| format!("'{key}' of its header is out of range"))
        };
        let version = text("flyball")?;
        let format = small("record_format")?;
        if format != RECORD_FORMAT {
            return Err(format!(
                "it holds records of format {format}, written by flyball {version}; this program reads format {RECORD_FORMAT}: use that version"
            ));
        }
        let signature = u32::from_str_radix(&text("signature")?, 16).map_err(|_| "its signature is not a number")?;
        let budget = match map.contains_key("budget_solve") {
            true => Some((small("budget_solve")?, small("budget_scan")?)),
            false => None,
        };
        let models = map.iter().filter_map(|(key, hash)| Some((key.strip_prefix("model ")?.to_owned(), hash.clone())));
        Ok(Self {
            version,
            application: text("application")?,
            signature,
            models: models.collect(),
            machine: text("machine")?,
            budget,
            utc: UtcOffset { unix_nanos_at_zero: number("utc_at_zero")?, scale: small("time_scale")? },
            instance: small("instance")?,
            read_only: text("read_only")? == "true",
            keyframe_every: small("keyframe_every")?,
            configuration: text("configuration")?,
        })
    }
}

/// A file that goes into the recording.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path below the folder that holds all of them, with `/`.
    pub name: String,
    /// Where it was, as the configuration names it.
    pub original: PathBuf,
    /// Its bytes.
    pub data: Arc<[u8]>,
}

/// The sources of a configuration: the file first, its sheets, then models and shadows.
///
/// # Errors
/// A model that cannot be read any more, or more bytes than a recording takes.
pub fn sources(config: &Config) -> Result<Vec<Source>, String> {
    let mut found: Vec<(PathBuf, Arc<[u8]>)> = Vec::new();
    for source in &config.sources {
        found.push((PathBuf::from(&source.name), Arc::from(source.text.as_bytes())));
    }
    for model in &config.models {
        for path in std::iter::once(&model.file).chain(model.shadow.iter().map(|s| &s.file)) {
            if !found.iter().any(|(p, _)| p == path) {
                let data = std::fs::read(path).map_err(|e| format!("{} cannot be read ({e})", path.display()))?;
                found.push((path.clone(), Arc::from(data)));
            }
        }
    }
    let sum: usize = found.iter().map(|(_, data)| data.len()).sum();
    if sum > ATTACHMENTS_MAX {
        return Err(format!("configuration and models have {sum} bytes, more than {ATTACHMENTS_MAX}"));
    }
    let plain: Vec<PathBuf> = found.iter().map(|(path, _)| plain(path)).collect();
    let common = common(&plain);
    let named = plain.iter().zip(found).map(|(path, (original, data))| {
        let inside = path.strip_prefix(&common).unwrap_or(path);
        let parts = inside.components().filter_map(|c| match c {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        });
        Source { name: parts.collect::<Vec<_>>().join("/"), original, data }
    });
    Ok(named.collect())
}

/// Absolute and without `..`, by its text alone: links are not followed, so that what the configuration calls a neighbour stays one.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else if part != Component::CurDir {
            plain.push(part);
        }
    }
    plain
}

/// The deepest folder that holds all of these files.
fn common(paths: &[PathBuf]) -> PathBuf {
    let mut common = paths.first().and_then(|p| p.parent()).map(Path::to_path_buf).unwrap_or_default();
    while !paths.iter().all(|p| p.starts_with(&common)) {
        if !common.pop() {
            break;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_another_format_is_refused() {
        let header = Header {
            version: "1.2.3".into(),
            application: "R101-OPT".into(),
            signature: 0xDEAD_BEEF,
            models: [("cB".to_owned(), "ab".to_owned()), ("cB shadow".to_owned(), "cd".to_owned())].into(),
            machine: "kernel x".into(),
            budget: Some((300, 20)),
            utc: UtcOffset { unix_nanos_at_zero: -5, scale: 20 },
            instance: 7,
            read_only: true,
            keyframe_every: 600,
            configuration: "a/b.toml".into(),
        };
        let mut entries = header.entries();
        assert_eq!(Header::read(&entries), Ok(header.clone()));
        entries.insert("record_format".into(), (RECORD_FORMAT + 1).to_string());
        assert!(Header::read(&entries).unwrap_err().contains("use that version"));
        entries.remove("signature");
        for key in ["signature", "time_scale", "flyball"] {
            let mut entries = header.entries();
            entries.remove(key);
            assert!(Header::read(&entries).unwrap_err().contains(key), "{key}");
        }
    }

    #[test]
    fn neighbours_stay_neighbours() {
        let paths = [plain(Path::new("/a/config/x/../p.toml")), plain(Path::new("/a/config/../models/m.onnx"))];
        assert_eq!(paths, [PathBuf::from("/a/config/p.toml"), PathBuf::from("/a/models/m.onnx")]);
        assert_eq!(common(&paths), PathBuf::from("/a"));
        assert_eq!(common(&[PathBuf::from("/etc/p.toml"), PathBuf::from("/var/m.onnx")]), PathBuf::from("/"));
    }
}
