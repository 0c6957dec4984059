//! Each way in which a certificate does not hold, with the sentence that an engineer reads.

use super::*;
use crate::certify::certificate::Certificate;
use crate::certify::verdict::{Run, Verdict};
use crate::cli::Against;
use crate::timing::{Measure, Timing};
use flyball_machine::extreme::estimate;

/// 2026-11-30 12:00 UTC.
const NOW: i64 = 1_796_040_000;
const DAY: i64 = 86_400;

fn machine() -> Machine {
    Machine {
        kernel: "6.12.1 #1 SMP PREEMPT_RT".into(),
        cpu: "Example 3000".into(),
        features: vec!["fma".into(), "avx2".into()],
        cores: 4,
        hosted: Vec::new(),
        governor: None,
    }
}

fn granted() -> Granted {
    Granted { policy: "SCHED_FIFO 80".into(), core: Some(3), locked: true, refusals: Vec::new() }
}

fn made_for() -> MadeFor {
    MadeFor { flyball: "0.1.0".into(), configuration: "ab".repeat(32), models: vec!["cd".repeat(32)] }
}

fn certificate(created: i64, word: Word) -> String {
    let mut timing = Timing::new();
    for i in 1..=100 {
        timing.record(Measure::Total, i * 100_000);
    }
    let ms = Duration::from_millis(500);
    let run = Run {
        against: Against::Rig,
        seconds: 600,
        stress: 4,
        pace: 2,
        cycles: 1200,
        closed: 1200,
        missed: 0,
        deadline: ms,
        limit: ms,
    };
    let times: Vec<f64> = (0..1200u64).map(|i| 1e7 + (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as f64).collect();
    let verdict = Verdict { word, reasons: vec!["a reason with \"quotes\"".into()] };
    Certificate {
        application: "R101-OPT",
        created,
        made_for: &made_for(),
        made_on: &MadeOn::of(&machine(), &granted()),
        run: &run,
        timing: &timing,
        estimate: &estimate(&times, 30, &[1e-6, 1e-7], 1),
        verdict: &verdict,
    }
    .text()
}

struct Case {
    folder: tempfile::TempDir,
    demand: Demand,
    granted: Granted,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("r101.cert.toml");
        fs::write(&file, text).expect("written");
        let max_age = Duration::from_secs(90 * 86_400);
        let demand = Demand { file, max_age, made_for: made_for(), machine: machine(), now: NOW };
        Self { folder, demand, granted: granted() }
    }

    /// The fault, and the part of the sentence between the file's name and what to do.
    fn refused(&self) -> (CertificateFault, String) {
        let here = MadeOn::of(&self.demand.machine, &self.granted);
        let (fault, sentence) = self.demand.judge(&here).expect_err("must be refused");
        assert_eq!(self.demand.fault(&self.granted), Some(fault));
        let start = format!("the latency certificate {} does not hold: ", self.demand.file.display());
        let end = ". CLOSED LOOP is refused, ADVISORY is not affected. Make one on this machine with: flyball certify";
        let why = sentence.strip_prefix(&start).and_then(|s| s.strip_suffix(end));
        (
            fault,
            why.unwrap_or_else(|| panic!("{sentence}")).replace(&self.folder.path().display().to_string(), "FOLDER"),
        )
    }
}

fn good() -> String {
    certificate(NOW - DAY, Word::Pass)
}

#[test]
fn a_good_certificate_holds_until_it_is_too_old() {
    let mut case = Case::new(&good());
    assert_eq!(case.demand.fault(&case.granted), None);
    case.demand.now = NOW + 89 * DAY;
    assert_eq!(case.demand.fault(&case.granted), None);
    case.demand.now += 1;
    let why = "it is of 2026-11-29T12:00:00Z, now is 2027-02-27T12:00:01Z, and at most 90 d old is allowed";
    assert_eq!(case.refused(), (CertificateFault::Expired, why.into()));
    case.demand.now = NOW - 2 * DAY;
    assert_eq!(case.refused().0, CertificateFault::Expired, "from the future");
}

#[test]
fn what_is_missing_or_no_certificate_is_refused() {
    let case = Case::new(&good());
    fs::remove_file(&case.demand.file).expect("removed");
    assert_eq!(case.refused(), (CertificateFault::Missing, "there is no such file".into()));
    let unreadable = |text: &str| Case::new(text).refused();
    assert_eq!(unreadable(""), (CertificateFault::Unreadable, "it has no seal".into()));
    let body = "format = 2\n";
    let (fault, why) = unreadable(&format!("{body}[seal]\nsha256 = \"{}\"\n", crate::certify::certificate::hash(body)));
    assert_eq!(fault, CertificateFault::Unreadable, "{why}");
    let long = "x".repeat(BYTES_MAX as usize + 1);
    assert_eq!(unreadable(&long), (CertificateFault::Unreadable, "it has 1048577 bytes".into()));
}

#[test]
fn every_changed_byte_is_detected() {
    let good = good();
    assert!(good.is_ascii());
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        let fault = Held::read(&changed).expect_err("a changed byte").0;
        assert!(matches!(fault, CertificateFault::Tampered | CertificateFault::Unreadable), "byte {at}: {fault:?}");
    }
    let better = good.replace("missed         = 0", "missed         = 1");
    assert_ne!(better, good);
    let why = "its contents do not belong to its seal";
    assert_eq!(Case::new(&better).refused(), (CertificateFault::Tampered, why.into()));
    assert_eq!(Case::new(&(good + "verdict = \"pass\"\n")).refused().0, CertificateFault::Tampered, "appended");
}

#[test]
fn whatever_changed_since_is_named() {
    let mut case = Case::new(&good());
    case.demand.made_for.configuration = "ef".repeat(32);
    let why = "it was made for configuration abababababab..., this is efefefefefef...";
    assert_eq!(case.refused(), (CertificateFault::OtherConfiguration, why.into()));

    let mut case = Case::new(&good());
    case.demand.made_for.models.push("01".repeat(32));
    let why = "it was made for model files that have another SHA-256 now";
    assert_eq!(case.refused(), (CertificateFault::OtherModels, why.into()));

    let mut case = Case::new(&good());
    case.demand.made_for.flyball = "0.2.0".into();
    let why = "it was made for flyball 0.1.0, this is 0.2.0";
    assert_eq!(case.refused(), (CertificateFault::OtherVersion, why.into()));

    let mut case = Case::new(&good());
    case.demand.machine.cpu = "Example 2000".into();
    let why = "it was made on 4 x Example 3000 (fma avx2), bare metal; this is 4 x Example 2000 (fma avx2), bare metal";
    assert_eq!(case.refused(), (CertificateFault::OtherProcessor, why.into()));

    let mut case = Case::new(&good());
    case.demand.machine.kernel = "6.13.0".into();
    let why = "it was made on kernel 6.12.1 #1 SMP PREEMPT_RT; this is kernel 6.13.0";
    assert_eq!(case.refused(), (CertificateFault::OtherKernel, why.into()));

    let mut case = Case::new(&good());
    case.granted = Granted { policy: "normal priority".into(), core: None, ..granted() };
    let why = "it was made on SCHED_FIFO 80, pinned to core 3, memory locked; this is normal priority, not pinned, memory locked";
    assert_eq!(case.refused(), (CertificateFault::OtherScheduling, why.into()));
}

#[test]
fn only_a_pass_opens_the_way() {
    let why = |word: &str| format!("its verdict is {word}: a reason with \"quotes\"");
    let refused = |word| Case::new(&certificate(NOW, word)).refused();
    assert_eq!(refused(Word::Fail), (CertificateFault::Failed, why("fail")));
    assert_eq!(refused(Word::Inconclusive), (CertificateFault::Inconclusive, why("inconclusive")));
}
