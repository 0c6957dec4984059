//! Carries out one write batch: value only, in the node's own type, values first and commits after they were Good.
//!
//! A sequence number says "use the value I have just sent": it is left out when its MV's value was refused in the same batch.

use std::time::Duration;

use flyball_core::config::{Output, OutputKind, WritePhase};
use flyball_core::image::WriteOutcome;
use flyball_core::link::WriteBatch;
use flyball_core::ports::Clock;
use flyball_core::status::Status;
use opcua::client::Session;
use opcua::types::{AttributeId, DataValue, NodeId, WriteValue};
use tokio::time::timeout;

use super::nodes::Node;
use crate::wire::{Scalar, ScalarType, to_status};

/// A cell of the plan with its node of this session.
pub(super) struct Cell {
    pub output: Output,
    pub node: Result<Node, Status>,
}

/// How a batch ended.
pub(super) struct Written {
    pub outcome: WriteOutcome,
    /// A call was not answered: the connection cannot be trusted with later ones.
    pub lost: bool,
}

/// Counters wrap at the width of their cell, as a counter of that type in the PLC would; everything else is cast with its range.
fn cast(x: f64, kind: OutputKind, scalar: ScalarType) -> Result<Scalar, Status> {
    let counter = matches!(kind, OutputKind::Heartbeat | OutputKind::HeartbeatEcho | OutputKind::Sequence(_));
    if counter && (0.0..=f64::from(u32::MAX)).contains(&x) {
        let n = x as u32;
        match scalar {
            ScalarType::UInt8 => return Ok(Scalar::UInt8(n as u8)),
            ScalarType::Int16 => return Ok(Scalar::Int16(n as i16)),
            ScalarType::UInt16 => return Ok(Scalar::UInt16(n as u16)),
            ScalarType::Int32 => return Ok(Scalar::Int32(n as i32)),
            _ => {}
        }
    }
    scalar.cast(x)
}

/// The write of one cell, or why there is none.
fn prepared(cell: &Cell, x: f64) -> Result<WriteValue, Status> {
    let node = cell.node.as_ref().map_err(|&status| status)?;
    let scalar = node.scalar.ok_or(Status::BadTypeMismatch)?;
    let value = cast(x, cell.output.kind, scalar)?;
    Ok(WriteValue {
        node_id: NodeId::clone(&node.id),
        attribute_id: AttributeId::Value as u32,
        // Value only: strict servers answer BadWriteNotSupported to a status or a time.
        value: DataValue::value_only(value.to_variant()),
        ..Default::default()
    })
}

/// Sends a batch. `limit` (real time) bounds each call; `per_call` is the server's limit.
pub(super) async fn write(
    session: &Session,
    clock: &dyn Clock,
    cells: &[Cell],
    batch: &WriteBatch,
    limit: Duration,
    per_call: usize,
) -> Written {
    let mut outcome = WriteOutcome { cycle: batch.cycle, status: Status::Good, done: clock.now(), discarded: false };
    let mut refused = Vec::new();
    let mut lost = false;
    'phases: for phase in [WritePhase::Value, WritePhase::Commit] {
        let mut ready = Vec::new();
        let mut owners = Vec::new();
        for (cell, value) in cells.iter().zip(&batch.cells) {
            let Some(value) = value else { continue };
            let idle = matches!(cell.output.kind, OutputKind::Sequence(mv) if refused.contains(&mv));
            if cell.output.phase != phase || idle {
                continue;
            }
            match prepared(cell, value.get()) {
                Ok(write) => {
                    ready.push(write);
                    owners.push(cell);
                }
                Err(status) => {
                    outcome.status = outcome.status.worst(status);
                    note_refused(cell, &mut refused);
                }
            }
        }
        for (writes, owners) in ready.chunks(per_call.max(1)).zip(owners.chunks(per_call.max(1))) {
            if clock.now() > batch.not_after {
                outcome.status = outcome.status.worst(Status::BadTimeout);
                outcome.discarded = true;
                break 'phases;
            }
            let results = match timeout(limit, session.write(writes)).await {
                Ok(Ok(results)) if results.len() == writes.len() => results,
                Ok(Ok(_)) => {
                    outcome.status = outcome.status.worst(Status::BadInternalError);
                    lost = true;
                    break 'phases;
                }
                Ok(Err(e)) => {
                    outcome.status = outcome.status.worst(to_status(e.status()));
                    lost = true;
                    break 'phases;
                }
                Err(_) => {
                    outcome.status = outcome.status.worst(Status::BadTimeout);
                    lost = true;
                    break 'phases;
                }
            };
            for (result, cell) in results.into_iter().map(to_status).zip(owners) {
                outcome.status = outcome.status.worst(result);
                if !result.is_good() {
                    note_refused(cell, &mut refused);
                }
            }
        }
    }
    outcome.done = clock.now();
    Written { outcome, lost }
}

fn note_refused(cell: &Cell, refused: &mut Vec<flyball_core::config::MvId>) {
    if let OutputKind::Setpoint(mv) = cell.output.kind {
        refused.push(mv);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_wrap_but_setpoints_do_not() {
        assert_eq!(cast(65_536.0, OutputKind::Heartbeat, ScalarType::UInt16), Ok(Scalar::UInt16(0)));
        assert_eq!(cast(65_536.0, OutputKind::Mode, ScalarType::UInt16), Err(Status::BadOutOfRange));
        assert_eq!(cast(4_294_967_295.0, OutputKind::Heartbeat, ScalarType::UInt32), Ok(Scalar::UInt32(u32::MAX)));
    }
}
