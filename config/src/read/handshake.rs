//! `[handshake]`: the signals exchanged with the PLC's gate block.

use std::time::Duration;

use crate::model::{Handshake, Lease, OutputKind, ReturnAfterShed};
use crate::quantity::{Problem, words};
use crate::read::Cx;
use crate::read::mv::signal;
use crate::reader::Field;
use crate::units::Unit;

/// A heartbeat timeout below this sheds at every hiccup of a network (domain practice: 5 to 10 s).
const LOST_AFTER_USUAL: Duration = Duration::from_secs(3);
/// Heartbeats that must fit into the timeout.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// Reads `[handshake]`.
pub(crate) fn read(field: Option<Field<'_>>, cx: &Cx) -> Option<Handshake> {
    let mut r = field?.table("handshake")?;
    const LIKE: &str = "'plc1: nsu=...;s=...'";
    let write =
        |f: Option<Field<'_>>, key: &str, kind| f.and_then(|f| cx.output(&f, &format!("handshake.{key}"), kind));
    let heartbeat_out = write(r.need("heartbeat_out", LIKE), "heartbeat_out", OutputKind::Heartbeat);
    let echo_out = write(r.get("echo_out"), "echo_out", OutputKind::HeartbeatEcho);
    let mode_out = write(r.need("mode_out", LIKE), "mode_out", OutputKind::Mode);
    let status_out = write(r.get("status_out"), "status_out", OutputKind::Status);
    let signature_out = write(r.get("signature_out"), "signature_out", OutputKind::Signature);

    let read = |f: Option<Field<'_>>, key: &str, text| {
        f.and_then(|f| signal(&f, &format!("handshake.{key}"), text, Unit::ONE, cx))
    };
    let heartbeat_in = read(r.need("heartbeat_in", LIKE), "heartbeat_in", "Heartbeat of the PLC");
    let mode_wanted = read(r.need("mode_wanted", LIKE), "mode_wanted", "Mode that the PLC asks for");
    let closed_loop = read(r.need("closed_loop", LIKE), "closed_loop", "The gate is closed");
    let shed_reason = read(r.get("shed_reason"), "shed_reason", "Why the PLC shed");

    let lost_after = r.need("lost_after", "\"10 s\"").and_then(|f| {
        let time = f.duration()?;
        if let Some(least) = cx.cycle.map(|c| c * HEARTBEATS_PER_TIMEOUT).filter(|least| time < *least) {
            let allowed = format!("at least {HEARTBEATS_PER_TIMEOUT} cycles, {}", words(least));
            f.error(Problem::new(format!("found {}", words(time))).allowed(allowed));
        } else if time < LOST_AFTER_USUAL {
            let problem = Problem::new(format!("{} is short", words(time))).allowed("usually 5 s to 10 s");
            f.warning(problem.help("Any hiccup of the network will shed."));
        }
        let interval = heartbeat_in.and_then(|id| cx.with_tag(id, |t| t.connection));
        let interval = interval.and_then(|c| cx.connections[c.index()].interval);
        if let Some(interval) = interval.filter(|i| *i * 2 > time) {
            let allowed = format!("at least 2 intervals of the connection, {}", words(interval * 2));
            f.error(
                Problem::new(format!("found {}", words(time))).allowed(allowed).help("Read the heartbeat more often."),
            );
        }
        Some(time)
    });
    let returns = [("operator", ReturnAfterShed::Operator), ("automatic", ReturnAfterShed::Automatic)];
    let return_after_shed = r.get("return_after_shed").map_or(Some(ReturnAfterShed::Operator), |f| f.choice(&returns));
    let asked = r.get("owner_write").map(|f| (f.clone(), write(Some(f), "owner_write", OutputKind::LeaseRequest)));
    let shown = r.get("owner_read").map(|f| (f.clone(), read(Some(f), "owner_read", "Instance that holds the lease")));
    let lease = match (asked, shown) {
        (Some((_, request)), Some((_, owner))) => Some(Lease { request: request?, owner: owner? }),
        (Some((field, _)), None) | (None, Some((field, _))) => {
            let problem = Problem::new("a lease needs owner_write and owner_read");
            field.error(problem.help("Give both, or neither if no other instance can ever write to this PLC."));
            None
        }
        (None, None) => None,
    };
    Some(Handshake {
        heartbeat_out: heartbeat_out?,
        echo_out,
        mode_out: mode_out?,
        status_out,
        signature_out,
        heartbeat_in: heartbeat_in?,
        mode_wanted: mode_wanted?,
        closed_loop: closed_loop?,
        shed_reason,
        lost_after: lost_after?,
        return_after_shed: return_after_shed?,
        lease,
    })
}
