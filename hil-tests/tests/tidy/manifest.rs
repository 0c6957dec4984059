//! Who may depend on whom: config <- core <- {models, adapters} <- {rig, app} <- tests. Plug-ins do not know each other. The inference
//! bench judges models from outside: models may name it in benches only.
//!
//! Reads the Cargo.toml of every member. *Ours* are the crates of this workspace; core's other dependencies are an allow-list.

use toml::Table;

use crate::tree::{Complaint, Tree};

/// One member: its folder, what of ours it may name, and what its tests may name beside that.
struct Member {
    folder: &'static str,
    may: &'static [&'static str],
    tests_may: &'static [&'static str],
}

const CONFIG: &str = "flyball-config";
const CORE: &str = "flyball-core";
const MACHINE: &str = "flyball-machine";
const MODBUS: &str = "flyball-modbus";
const ENGINE: &str = "flyball-engine";
const OPTIMISER: &str = "flyball-optimiser";
const MODELS: &str = "flyball-models";
const INFERENCE_BENCH: &str = "flyball-inference-bench";
const OPCUA: &str = "flyball-opcua";
const RECORDER: &str = "flyball-recorder";
const REPORT: &str = "flyball-report";
const EXPORT: &str = "flyball-export";
const PLCKIT: &str = "flyball-plckit";
const RIG: &str = "flyball-rig";
const APP: &str = "flyball";

const MEMBERS: &[Member] = &[
    Member { folder: "config", may: &[], tests_may: &[] },
    Member { folder: "runtime/core", may: &[CONFIG], tests_may: &[] },
    Member { folder: "runtime/machine", may: &[CONFIG], tests_may: &[] },
    Member { folder: "models/engine", may: &[], tests_may: &[] },
    Member { folder: "models/optimiser", may: &[CONFIG, CORE, ENGINE], tests_may: &[MACHINE] },
    Member { folder: "models", may: &[CONFIG, CORE, ENGINE, OPTIMISER], tests_may: &[INFERENCE_BENCH, MACHINE] },
    Member { folder: "models/bench", may: &[ENGINE, MACHINE, MODELS], tests_may: &[] },
    // The one plug-in that knows another: it turns what the recorder has written into tables.
    Member { folder: "adapters/export", may: &[CONFIG, CORE, RECORDER], tests_may: &[] },
    Member { folder: "adapters/modbus", may: &[CONFIG, CORE], tests_may: &[] },
    Member { folder: "adapters/opcua", may: &[CONFIG, CORE], tests_may: &[] },
    Member { folder: "adapters/plckit", may: &[CONFIG], tests_may: &[] },
    Member { folder: "adapters/recorder", may: &[CONFIG, CORE], tests_may: &[] },
    Member { folder: "adapters/report", may: &[], tests_may: &[] },
    Member { folder: "hil-tests/rig", may: &[CONFIG, CORE, MODBUS, OPCUA], tests_may: &[] },
    Member {
        folder: "runtime/app",
        may: &[
            CONFIG,
            CORE,
            MACHINE,
            MODELS,
            OPTIMISER,
            INFERENCE_BENCH,
            MODBUS,
            OPCUA,
            RECORDER,
            EXPORT,
            REPORT,
            PLCKIT,
            RIG,
        ],
        tests_may: &[],
    },
    Member { folder: "hil-tests", may: &[CONFIG, CORE, MODELS, MODBUS, OPCUA, RECORDER, RIG, APP], tests_may: &[] },
];

/// What core may use from outside: plain data and its bytes, bounded collections, the lock-free queue.
const CORE_MAY: &[&str] = &["crossbeam", "heapless", "postcard", "serde"];

/// All complaints about the members' manifests.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(root) = tree.text("Cargo.toml") else {
        return vec![Complaint::new("Cargo.toml", 0, "is missing")];
    };
    let mut complaints = unknown_members(root);
    for member in MEMBERS {
        let path = format!("{}/Cargo.toml", member.folder);
        match tree.text(&path) {
            Some(text) => complaints.extend(check_member(member, &path, text)),
            None => {
                complaints.push(Complaint::new(&path, 0, "is missing: remove the member from MEMBERS in manifest.rs"))
            }
        }
    }
    complaints
}

/// Members of the workspace whose place in the direction of dependency nobody has stated.
fn unknown_members(root: &str) -> Vec<Complaint> {
    let manifest = parse(root);
    let members = manifest["workspace"]["members"].as_array().expect("workspace.members is a list");
    let names = members.iter().filter_map(toml::Value::as_str);
    let unknown = names.filter(|name| !MEMBERS.iter().any(|m| m.folder == *name));
    unknown
        .map(|name| {
            Complaint::new(
                "Cargo.toml",
                0,
                format!("{name}: say in MEMBERS of hil-tests/tests/tidy/manifest.rs on what it may depend"),
            )
        })
        .collect()
}

fn check_member(member: &Member, path: &str, text: &str) -> Vec<Complaint> {
    let manifest = parse(text);
    let mut complaints = Vec::new();
    let mut complain = |text: String| complaints.push(Complaint::new(path, 0, text));
    for name in names(&manifest, "dependencies") {
        if is_ours(&name) && !member.may.contains(&name.as_str()) {
            complain(format!(
                "must not depend on {name}: go through a port in runtime/core/src/ports.rs, and wire it in runtime/app"
            ));
        }
        if member.folder == "runtime/core" && !is_ours(&name) && !CORE_MAY.contains(&name.as_str()) {
            complain(format!("the scan must not know {name}: put it behind a port, in an adapter"));
        }
    }
    for name in names(&manifest, "dev-dependencies") {
        if is_ours(&name) && !member.may.contains(&name.as_str()) && !member.tests_may.contains(&name.as_str()) {
            complain(format!("tests must not depend on {name}: a test across crates belongs in hil-tests/tests"));
        }
    }
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                complain(format!(
                    "{name}: state the version once, in [workspace.dependencies], and write {name}.workspace = true"
                ));
            }
        }
    }
    if manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool) != Some(true) {
        complain("add [lints] workspace = true".to_owned());
    }
    complaints
}

fn names(manifest: &Table, table: &str) -> Vec<String> {
    let entries = manifest.get(table).and_then(toml::Value::as_table);
    entries.into_iter().flat_map(|t| t.keys().cloned()).collect()
}

fn is_ours(name: &str) -> bool {
    name == APP || name.starts_with("flyball-")
}

fn parse(text: &str) -> Table {
    text.parse().expect("cargo has read this manifest before this test ran")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(folder: &str, text: &str) -> Vec<String> {
        let member = MEMBERS.iter().find(|m| m.folder == folder).expect("a member");
        let text = format!("{text}\n[lints]\nworkspace = true\n");
        check_member(member, folder, &text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_that_point_left_are_told() {
        for (folder, name) in [
            ("config", CORE),
            ("runtime/core", MODELS),
            ("models", OPCUA),
            ("models/bench", CORE),
            ("adapters/modbus", OPCUA),
            ("adapters/opcua", MODELS),
            ("hil-tests/rig", MODELS),
            ("hil-tests/rig", APP),
            ("runtime/app", "flyball-hil-tests"),
        ] {
            let found = complaints(folder, &format!("[dependencies]\n{name}.workspace = true"));
            assert_eq!(found.len(), 1, "{folder} -> {name}: {found:?}");
            let found = complaints(folder, &format!("[dev-dependencies]\n{name}.workspace = true"));
            assert_eq!(found.len(), 1, "tests of {folder} -> {name}: {found:?}");
        }
        assert_eq!(complaints("runtime/app", "[dependencies]\nflyball-rig.workspace = true").len(), 0);
        assert_eq!(complaints("models", "[dependencies]\nflyball-inference-bench.workspace = true").len(), 1);
        assert_eq!(complaints("models", "[dev-dependencies]\nflyball-inference-bench.workspace = true").len(), 0);
    }

    #[test]
    fn the_scan_knows_three_crates_from_outside() {
        assert_eq!(complaints("runtime/core", "[dependencies]\nserde.workspace = true").len(), 0);
        assert_eq!(complaints("runtime/core", "[dependencies]\ntokio.workspace = true").len(), 1);
        assert_eq!(
            complaints("runtime/core", "[dev-dependencies]\ntempfile.workspace = true").len(),
            0,
            "its tests may"
        );
    }

    #[test]
    fn versions_stand_once_and_lints_are_shared() {
        assert_eq!(complaints("models", "[dependencies]\nserde = \"1\"").len(), 1);
        let member = &MEMBERS[0];
        assert_eq!(check_member(member, "config/Cargo.toml", "[package]\nname = \"x\"").len(), 1);
        assert_eq!(unknown_members("[workspace]\nmembers = [\"config\", \"adapters/new\"]").len(), 1);
    }
}
