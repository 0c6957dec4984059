//! Why: `flyball plc-kit` as an engineer meets it: files in a folder, never over somebody's own work, nothing from a broken configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples").join(name)
}

fn plc_kit(file: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.arg("plc-kit").arg(file).arg("--to").arg(to).args(more).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_kit_is_written_and_written_again_without_a_change() {
    let folder = tempfile::tempdir().expect("folder");
    let to = folder.path().join("new/kit");
    let first = plc_kit(&example("r101.toml"), &to, &[]);
    assert!(matches!(first.status.code(), Some(0 | 1)), "{}", text(&first));
    let program = std::fs::read_to_string(to.join("ST/PRG_ApcR101_OPT.st")).expect("written");
    assert!(program.contains("rFeedEngHi : REAL := 200.0;"), "{program}");
    for line in
        ["README.md", "COMMISSIONING.md", "tags.csv", "opcua_map.csv", "modbus_map.csv", "FB_ApcLink.st", "FB_ApcSp.st"]
    {
        assert!(text(&first).contains(line), "{line} is missing in\n{}", text(&first));
    }
    let again = plc_kit(&example("r101.toml"), &to, &[]);
    assert_eq!(again.status.code(), first.status.code());
    assert_eq!(text(&again).matches("unchanged").count(), text(&first).matches("written").count(), "{}", text(&again));
}

#[test]
fn another_content_is_replaced_only_when_forced_and_else_nothing_is_written() {
    let folder = tempfile::tempdir().expect("folder");
    let to = folder.path();
    std::fs::create_dir(to.join("ST")).expect("folder");
    let edited = to.join("ST/FB_ApcSp.st");
    std::fs::write(&edited, "(* my own *)\n").expect("writable");
    let refused = plc_kit(&example("r101.toml"), to, &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("FB_ApcSp.st") && text(&refused).contains("--force"), "{}", text(&refused));
    assert!(!to.join("README.md").exists(), "nothing was written");
    assert_eq!(std::fs::read_to_string(&edited).expect("still there"), "(* my own *)\n");
    let forced = plc_kit(&example("r101.toml"), to, &["--force", "--task", "20"]);
    assert!(matches!(forced.status.code(), Some(0 | 1)), "{}", text(&forced));
    assert!(std::fs::read_to_string(&edited).expect("replaced").contains("FUNCTION_BLOCK FB_ApcSp"));
    assert!(
        std::fs::read_to_string(to.join("ST/PRG_ApcR101_OPT.st")).expect("written").contains("rDt : REAL := 0.02;")
    );
}

#[test]
fn a_broken_configuration_gives_no_kit() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("broken.toml");
    let good = std::fs::read_to_string(example("minimal.toml")).expect("example");
    std::fs::write(&file, good.replace("deadline = \"500 ms\"", "deadline = \"5 bananas\"")).expect("writable");
    let to = folder.path().join("kit");
    let output = plc_kit(&file, &to, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("bananas") && text(&output).contains("Nothing was written"), "{}", text(&output));
    assert!(!to.exists());
}
