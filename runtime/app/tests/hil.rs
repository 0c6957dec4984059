//! Why: `flyball hil` over real sockets: a scenario passes, one with an expectation that is wrong fails with the right JUnit entry, and a
//! scenario that cannot be played says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples")
}

/// Slower than by default: a loaded machine of a build server still keeps the deadlines then.
fn hil(scenario: &str, report: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.arg("hil").arg(examples().join("r101.toml")).args(["--time-scale", "5", "--scenario", scenario]);
    command.arg("--report").arg(report).env_remove("FLYBALL_LOG").output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_scenario_passes_and_a_broken_expectation_fails_in_its_own_entry() {
    let folder = tempfile::tempdir().expect("folder");
    let good = folder.path().join("good");
    // Side by side: each has a rig of its own.
    let broken = {
        let scenario = fs::read_to_string(examples().join("scenarios/heartbeat_loss.toml")).expect("the scenario");
        let wrong = scenario.replace("shed = \"heartbeat stopped\"", "shed = \"the operator did it\"");
        assert_ne!(scenario, wrong);
        let file = folder.path().join("broken.toml");
        fs::write(&file, wrong).expect("written");
        let report = folder.path().join("broken");
        std::thread::spawn(move || (hil(file.to_str().expect("UTF-8"), &report), report))
    };
    let output = hil("heartbeat_loss", &good);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let junit = fs::read_to_string(good.join("junit.xml")).expect("junit.xml");
    for wanted in [
        "tests=\"5\"",
        "failures=\"0\"",
        "name=\"sheds.2\"",
        "name=\"seed\" value=\"1\"",
        "name=\"configuration SHA-256\"",
    ] {
        assert!(junit.contains(wanted), "{wanted} is missing in\n{junit}");
    }
    let html = fs::read_to_string(good.join("report.html")).expect("report.html");
    assert!(html.contains("PASSED") && html.matches("<svg").count() >= 4, "{html}");
    let fat = fs::read_to_string(good.join("FAT.md")).expect("FAT.md");
    assert!(fat.contains("| 2 | closes |") && fat.contains("**PASSED**"), "{fat}");
    let trend = fs::read_to_string(good.join("trend.csv")).expect("trend.csv");
    assert!(trend.lines().count() > 300, "a line per scan: {}", trend.lines().count());

    let (output, report) = broken.join().expect("no panic");
    assert_eq!(output.status.code(), Some(1), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let junit = fs::read_to_string(report.join("junit.xml")).expect("junit.xml");
    assert!(junit.contains("failures=\"1\"") && junit.contains("skipped=\"1\""), "{junit}");
    let (_, entry) = junit.split_once("name=\"sheds.2\"").expect("the entry");
    let entry = entry.split("</testcase>").next().expect("its end");
    assert!(entry.contains("<failure") && entry.contains("observed the PLC&apos;s heartbeat stopped"), "{junit}");
}

#[test]
fn what_cannot_be_played_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let play = |scenario: &str, report: &str| {
        let output = hil(scenario, &folder.path().join(report));
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = play("no_such_scenario", "r");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Built in: close_and_climb, shed_and_return"), "{said}");
    let file = folder.path().join("wrong.toml");
    let step =
        "schema = 1\nname = \"w\"\ntitle = \"w\"\ntext = \"w\"\n[[step]]\nid = \"a\"\ntext = \"a\"\nwithin_s = 1\n";
    let name = file.to_str().expect("UTF-8");
    for (expect, wanted) in [
        ("expect = [{ mv = \"fed\", low = 1 }]", "a: there is no MV \"fed\"; known: feed, temp"),
        ("expect = []", "nothing is expected"),
        ("expect = [{ mode = \"advisory\", shed = \"x\" }]", "exactly one of"),
        ("expect = [{ mode = \"advisry\" }]", "unknown variant `advisry`"),
        ("action = { apc = true }\nexpect = [{ mode = \"advisory\" }]", "needs ask"),
    ] {
        fs::write(&file, format!("{step}{expect}\n")).expect("written");
        let (code, said) = play(name, "r");
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(wanted), "{wanted} is missing in\n{said}");
    }
}
