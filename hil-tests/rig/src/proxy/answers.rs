//! Answers that are spoilt one at a time: late, with a foreign transaction id, or behind an older one. Cuts a stream into Modbus frames.

use std::collections::VecDeque;
use std::time::Duration;

/// Answers that may wait to be spoilt.
const WAITING_MAX: usize = 256;
/// Longest Modbus TCP frame: header of 7 bytes and a PDU of 253 (Modbus TCP/IP V1.0b, 4.1).
const FRAME_MAX: usize = 260;
/// Bytes before what the length field counts.
const HEAD: usize = 6;

/// How the server's bytes are cut into answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Whatever one read brought is an answer; only `Late` does anything.
    Opaque,
    /// Modbus TCP frames.
    Modbus,
}

/// What happens to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Arrives so much later, and so does all behind it.
    Late(Duration),
    /// Carries the next transaction id instead of its own.
    OtherTransaction,
    /// The answer before it arrives once more, in front of it: the wrong order, as a client with one open request sees it.
    OldFirst,
}

/// Bytes to be passed on, and how much later.
pub(super) type Spoilt = (Vec<u8>, Duration);

/// Answers to spoil, and the last one that passed.
pub(super) struct Answers {
    framing: Framing,
    waiting: VecDeque<Answer>,
    last: Vec<u8>,
}

impl Answers {
    pub(super) const fn new(framing: Framing) -> Self {
        Self { framing, waiting: VecDeque::new(), last: Vec::new() }
    }

    /// One more to spoil; more than `WAITING_MAX` are forgotten.
    pub(super) fn push(&mut self, answer: Answer) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(answer);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The answers that are complete in `bytes`, spoilt where one is waiting for it; what is incomplete stays in `bytes`. The second
    /// number counts the spoilt ones.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) -> (Vec<Spoilt>, u64) {
        let mut out = Vec::new();
        let mut spoilt = 0;
        while let Some(length) = self.complete(bytes) {
            let mut frame: Vec<u8> = bytes.drain(..length).collect();
            let fault = self.waiting.pop_front();
            spoilt += u64::from(fault.is_some());
            let mut late = Duration::ZERO;
            let sound = frame.clone();
            match (fault, self.framing) {
                (Some(Answer::Late(by)), _) => late = by,
                (Some(Answer::OtherTransaction), Framing::Modbus) => {
                    let id = u16::from_be_bytes([frame[0], frame[1]]).wrapping_add(1).to_be_bytes();
                    frame[..2].copy_from_slice(&id);
                }
                (Some(Answer::OldFirst), Framing::Modbus) => frame = [self.last.as_slice(), &frame].concat(),
                (Some(Answer::OtherTransaction | Answer::OldFirst), Framing::Opaque) | (None, _) => {}
            }
            if self.framing == Framing::Modbus {
                self.last = sound;
            }
            out.push((frame, late));
        }
        (out, spoilt)
    }

    /// Length of the answer at the start, when all of it is there. What is no Modbus frame is passed on as it came.
    fn complete(&self, bytes: &[u8]) -> Option<usize> {
        let length = match (self.framing, bytes) {
            (_, []) => return None,
            (Framing::Opaque, all) => all.len(),
            (Framing::Modbus, [_, _, _, _, high, low, ..]) => HEAD + usize::from(u16::from_be_bytes([*high, *low])),
            (Framing::Modbus, _) => return None,
        };
        if length > FRAME_MAX && self.framing == Framing::Modbus {
            return Some(bytes.len());
        }
        (length <= bytes.len()).then_some(length)
    }
}
