//! Obey: applies the commands of a scan. Whoever sent them, each is validated again here.

use flyball_config::{ModelId, PredictionId};

use super::Controller;
use crate::command::{Action, Answer, Command, Outcome};
use crate::image::InputImage;
use crate::mode::{Blocker, Mode};
use crate::record::{Event, ScanRecord};
use crate::sensor::LabAnswer;
use crate::time::{ScanCycle, Timestamp};

/// Orders of one scan, after validation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) mode: Option<Mode>,
    pub(super) hold: Option<bool>,
    pub(super) acknowledge: bool,
    pub(super) swapped: Option<ModelId>,
}

impl Controller {
    /// Commands: each is validated again here, whoever sent it.
    pub(super) fn obey(&mut self, cycle: &ScanCycle, inputs: &InputImage, record: &mut ScanRecord) -> Orders {
        let mut orders = Orders::default();
        for command in &inputs.commands {
            let outcome = self.obey_one(cycle.now, command, &mut orders);
            if let (Action::SwapModel(model, promote), Outcome::Done) = (command.action, outcome) {
                record.event(Event::ModelSwapped(model.0, promote));
            }
            // As many answers as commands fit.
            let _ = record.answers.push(Answer { id: command.id, outcome });
        }
        orders
    }

    fn obey_one(&mut self, now: Timestamp, command: &Command, orders: &mut Orders) -> Outcome {
        let lowest = command.action.lowest_role();
        if command.role < lowest {
            return Outcome::RoleTooLow(lowest);
        }
        match command.action {
            Action::SetMode(Mode::ClosedLoop) if self.rules.never != Blocker::None => {
                Outcome::Refused(self.rules.never)
            }
            Action::SetMode(mode) => {
                orders.mode = Some(mode);
                match mode {
                    Mode::ClosedLoop if self.mode.actual != Mode::ClosedLoop => {
                        Outcome::Waiting(match self.mode.blocker {
                            Blocker::NotRequested => Blocker::WaitingForPlc,
                            other => other,
                        })
                    }
                    _ => Outcome::Done,
                }
            }
            Action::Hold(_) if self.mode.actual != Mode::ClosedLoop => Outcome::Refused(Blocker::NotRequested),
            Action::Hold(hold) => {
                orders.hold = Some(hold);
                Outcome::Done
            }
            Action::MvService(mv, on) => match self.in_service.get_mut(mv.index()) {
                Some(service) => {
                    *service = on;
                    if on {
                        self.guards[mv.index()].restore();
                    }
                    Outcome::Done
                }
                None => Outcome::Unknown,
            },
            Action::SetPrice(_, price) if !price.is_finite() => Outcome::OutOfRange,
            Action::SetPrice(index, price) => {
                let known = self.advisor.as_mut().is_some_and(|a| a.set_price(index, price));
                if known { Outcome::Done } else { Outcome::Unknown }
            }
            Action::LabSample(id, value, taken) => self.lab_sample(id, value, taken, now),
            Action::ResetBias(model) => {
                if self.sensors.reset_bias(model) {
                    Outcome::Done
                } else {
                    Outcome::Unknown
                }
            }
            Action::SwapModel(model, promote) => match self.sensors.swap(model, promote) {
                Ok(()) => {
                    orders.swapped = Some(model);
                    Outcome::Done
                }
                Err(why) => Outcome::NotSwapped(why),
            },
            Action::Acknowledge => {
                orders.acknowledge = true;
                Outcome::Done
            }
            Action::ResetTiming => Outcome::Done,
        }
    }

    fn lab_sample(&mut self, id: PredictionId, value: f64, taken: Timestamp, now: Timestamp) -> Outcome {
        let Some(at) = self.config.predictions.get(id.index()) else { return Outcome::Unknown };
        let range = self.config.models[at.model.index()].outputs[at.output as usize].range;
        if !range.contains(value) {
            return Outcome::OutOfRange;
        }
        match self.sensors.lab_sample(id, value, taken, now) {
            LabAnswer::Judged(verdict) => Outcome::Sample(id, verdict),
            LabAnswer::SeenBefore => Outcome::SampleSeenBefore,
            LabAnswer::NoBias => Outcome::TakesNoSamples,
        }
    }
}
