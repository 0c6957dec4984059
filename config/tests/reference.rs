//! docs/CONFIGURATION.md describes every key that the readers know, every unit, and nothing that they do not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flyball_config::{Unit, load};

/// Keys by section: headings hold the section in backquotes, rows of tables begin with the key in backquotes.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        let quoted = |s: &str| s.split('`').nth(1).unwrap_or("").to_owned();
        if line.starts_with("## ") {
            section = if line.starts_with("## Units") { "units".to_owned() } else { quoted(line) };
        } else if line.starts_with("| `") {
            sections.entry(section.clone()).or_default().insert(quoted(line));
        }
    }
    sections
}

#[test]
fn every_key_is_described_and_every_described_key_exists() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in ["r101.toml", "turbine.toml", "modbus.toml", "opcua_security.toml", "tag_sheet.toml"] {
        let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name));
        for key in loaded.known_keys() {
            let (section, key) = key.rsplit_once('.').unwrap_or(("file", key));
            known.entry(section.to_owned()).or_default().insert(key.to_owned());
        }
    }
    let mut described = described();
    described.remove("");
    described.remove("units");
    assert!(known.len() > 15, "{known:?}");
    for (section, keys) in &known {
        let there = described.get(section).cloned().unwrap_or_default();
        assert_eq!(&there, keys, "section {section} of docs/CONFIGURATION.md");
    }
    let sections = |m: &BTreeMap<String, BTreeSet<String>>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(sections(&described), sections(&known));
}

#[test]
fn every_unit_is_described() {
    let described = described().remove("units").unwrap();
    let known: BTreeSet<String> = Unit::all().map(|u| u.symbol().to_owned()).collect();
    assert_eq!(described, known);
}
