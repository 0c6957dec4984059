//! `[app]` and `[timing]`: who, when, and how long it may take.

use std::path::Path;
use std::time::Duration;

use crate::bounds::{CYCLE_MAX, CYCLE_MIN};
use crate::model::{App, CertificateRule, CpuRequest, HighestMode, StageBudget, StartMode, Timing};
use crate::quantity::{Problem, words};
use crate::reader::{Field, Reader};

/// Consecutive missed deadlines before shedding, when the file does not say.
const SHED_AFTER: u32 = 3;
/// Cycles in time before closing the loop, when the file does not say.
const ARM_CYCLES: u32 = 30;
/// Time in ADVISORY before closing the loop, when the file does not say.
const ARM_AFTER: Duration = Duration::from_secs(60);
/// A latency certificate counts for this long, when the file does not say: machines are serviced about once a year.
const CERTIFICATE_MAX_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads `[app]`.
pub(crate) fn read_app(field: Option<Field<'_>>) -> Option<App> {
    let mut r = field?.table("app")?;
    let name = r.need("name", "\"R101-OPT\"").and_then(|f| {
        let name = f.text()?;
        f.check(super::check_name(name, "-_."))?;
        Some(name.to_owned())
    });
    let mut words = |key| r.get(key).and_then(|f| f.text().map(str::to_owned)).unwrap_or_default();
    let (description, area, owner, change_ref) =
        (words("description"), words("area"), words("owner"), words("change_ref"));
    let start_mode = r.get("start_mode").and_then(|f| start_mode(&f)).unwrap_or(StartMode::Advisory);
    let highest = [("advisory", HighestMode::Advisory), ("closed_loop", HighestMode::ClosedLoop)];
    let highest_mode = r.get("highest_mode").and_then(|f| f.choice(&highest)).unwrap_or(HighestMode::Advisory);
    let simulation = r.get("simulation").and_then(|f| f.boolean()).unwrap_or(false);
    Some(App { name: name?, description, area, owner, start_mode, highest_mode, change_ref, simulation })
}

fn start_mode(field: &Field<'_>) -> Option<StartMode> {
    if field.text() == Some("closed_loop") {
        field.error(Problem::new("found \"closed_loop\"").allowed("\"off\" or \"advisory\"").help(
            "After a start nobody has looked at the first answers yet: the PLC and its operator close the loop, never the file.",
        ));
        return None;
    }
    field.choice(&[("off", StartMode::Off), ("advisory", StartMode::Advisory)])
}

/// Reads `[timing]`. Relative paths start at `folder`.
pub(crate) fn read_timing(field: Option<Field<'_>>, folder: &Path) -> Option<Timing> {
    let mut r = field?.table("timing")?;
    let cycle = r.need("cycle", "\"1 s\"").and_then(|f| f.duration_within(CYCLE_MIN, CYCLE_MAX));
    let deadline = r.need("deadline", "\"500 ms\"").and_then(|f| {
        let deadline = f.duration()?;
        if cycle.is_some_and(|c| deadline > c) {
            let allowed = format!("at most the cycle, {}", words(cycle.unwrap_or_default()));
            f.error(Problem::new(format!("found {}", words(deadline))).allowed(allowed));
        }
        Some(deadline)
    });
    // There is one policy; the key exists so that a reader of the file sees it.
    r.get("on_overrun").and_then(|f| f.choice(&[("skip", ())]));
    let shed_after = r.get("shed_after").and_then(|f| f.whole(1, 1000)).unwrap_or(SHED_AFTER);
    let arm_cycles = r.get("arm_cycles").and_then(|f| f.whole(1, 100_000)).unwrap_or(ARM_CYCLES);
    let arm_after = r.get("arm_after").and_then(|f| f.duration_or_zero()).unwrap_or(ARM_AFTER);
    let given = r.get("stage_budget");
    let stage_budget = match (&given, deadline) {
        (Some(field), _) => field.table("timing.stage_budget").and_then(|b| stage_budget(b, deadline)),
        (None, Some(deadline)) => Some(shares_of(deadline)),
        (None, None) => None,
    };
    let certificate = certificate(&mut r, folder);
    let cpu = r.get("cpu").and_then(|f| f.table("timing.cpu")).map(cpu).unwrap_or_default();
    Some(Timing {
        cycle: cycle?,
        deadline: deadline?,
        shed_after,
        stage_budget: stage_budget?,
        arm_cycles,
        arm_after,
        certificate,
        cpu,
    })
}

fn stage_budget(mut r: Reader<'_>, deadline: Option<Duration>) -> Option<StageBudget> {
    let mut stage = |key| r.need(key, "\"20 ms\"").and_then(|f| f.duration());
    let (read, condition, predict) = (stage("read"), stage("condition"), stage("predict"));
    let (optimise, guard, write) = (stage("optimise"), stage("guard"), stage("write"));
    let budget = StageBudget {
        read: read?,
        condition: condition?,
        predict: predict?,
        optimise: optimise?,
        guard: guard?,
        write: write?,
    };
    let sum = budget.read + budget.condition + budget.predict + budget.optimise + budget.guard + budget.write;
    if let Some(deadline) = deadline.filter(|d| sum > *d) {
        r.error(
            Problem::new(format!("the stage budgets add up to {}", words(sum)))
                .allowed(format!("at most the deadline, {}", words(deadline))),
        );
    }
    Some(budget)
}

/// Without a `stage_budget`: 30 % read, 2 % condition, 15 % predict, 25 % optimise, 1 % guard, 25 % write, 2 % in hand.
fn shares_of(deadline: Duration) -> StageBudget {
    let share = |percent: u32| deadline * percent / 100;
    StageBudget {
        read: share(30),
        condition: share(2),
        predict: share(15),
        optimise: share(25),
        guard: share(1),
        write: share(25),
    }
}

/// The certificate that CLOSED LOOP needs. It is made from this very file, so it need not exist when the file is checked.
fn certificate(r: &mut Reader<'_>, folder: &Path) -> Option<CertificateRule> {
    let file = r.get("certificate").and_then(|f| Some(folder.join(f.text()?)));
    let age = r.get("certificate_max_age");
    if let Some(field) = age.as_ref().filter(|_| file.is_none()) {
        field.error(
            Problem::new("'certificate_max_age' stands without 'certificate'")
                .help("Say which certificate: certificate = \"r101.cert.toml\"."),
        );
    }
    let max_age = age.and_then(|f| f.duration()).unwrap_or(CERTIFICATE_MAX_AGE);
    Some(CertificateRule { file: file?, max_age })
}

fn cpu(mut r: Reader<'_>) -> CpuRequest {
    CpuRequest {
        core: r.get("core").and_then(|f| f.whole(0, 1023)),
        priority: r.get("priority").and_then(|f| f.whole(1, 99)).map(|p| p as u8),
        lock_memory: r.get("lock_memory").and_then(|f| f.boolean()).unwrap_or(false),
    }
}
