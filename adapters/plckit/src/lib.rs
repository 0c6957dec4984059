//! The PLC kit: structured text, lists and a checklist, written from the same configuration that flyball runs, so that limits,
//! rates, time-outs and addresses on both sides have one source.
//!
//! Pure text: a `Config` goes in, files come out, the same bytes every time. Nothing is read, written or connected here; the program
//! writes the files.
//!
//! Words: a *cell* is one value that is exchanged, with its name in the PLC (`FeedSp`) and its address on the wire; the *blocks* are
//! FB_ApcLink and FB_ApcSp; the *program* calls them.

mod names;
mod papers;
mod plan;
mod program;
mod tables;
mod time;

use std::time::Duration;

use flyball_config::Config;

use plan::Plan;

/// One file of the kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    /// Below the folder of the kit, with `/`.
    pub path: String,
    /// Whole content.
    pub text: String,
}

/// Cycle of the PLC task that calls the blocks, when nobody says otherwise.
pub const TASK: Duration = Duration::from_millis(100);

/// Cycles that the blocks are made for: above 1 s the heartbeat of the PLC is no longer one per second.
pub const TASK_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);

const FB_APC_LINK: &str = include_str!("../st/FB_ApcLink.st");
const FB_APC_LEASE: &str = include_str!("../st/FB_ApcLease.st");
const FB_APC_SP: &str = include_str!("../st/FB_ApcSp.st");

/// The whole kit for a PLC task with this cycle (inside `TASK_RANGE`, else the nearer end of it), in a fixed order. Structured text is
/// left out when the configuration has no handshake: such an application never leaves ADVISORY.
#[must_use]
pub fn kit(config: &Config, task: Duration) -> Vec<KitFile> {
    let plan = Plan::new(config, task.clamp(*TASK_RANGE.start(), *TASK_RANGE.end()));
    let mut files = Vec::new();
    let mut add = |path: String, text: String| files.push(KitFile { path, text });
    add("README.md".into(), papers::readme::text(&plan));
    add("COMMISSIONING.md".into(), papers::checklist::text(&plan));
    add("tags.csv".into(), tables::tags(&plan));
    if let Some(text) = tables::opcua(&plan) {
        add("opcua_map.csv".into(), text);
    }
    if let Some(text) = tables::modbus(&plan) {
        add("modbus_map.csv".into(), text);
    }
    add(format!("ST/{}.st", plan.type_name()), program::types(&plan));
    if plan.link.as_ref().is_some_and(|l| l.lease) {
        add("ST/FB_ApcLease.st".into(), FB_APC_LEASE.into());
    }
    if plan.link.is_some() {
        add("ST/FB_ApcLink.st".into(), FB_APC_LINK.into());
        if !plan.mvs.is_empty() {
            add("ST/FB_ApcSp.st".into(), FB_APC_SP.into());
        }
        add(format!("ST/{}.st", plan.program_name()), program::program(&plan));
    }
    files
}
