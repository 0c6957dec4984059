//! The demand: a configuration may say that CLOSED LOOP needs a latency certificate. Looked at once, at start.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flyball_config::{Config, duration_words};
use flyball_core::mode::CertificateFault;
use flyball_core::time::UtcOffset;

use super::certificate::{BYTES_MAX, Held};
use super::identity::{MadeFor, MadeOn};
use super::verdict::Word;
use crate::realtime::{self, Granted, Machine};
use crate::utc;

/// A certificate may be this much from the future: clocks of two starts differ.
const AHEAD_MAX: i64 = 300;

/// The certificate that is demanded, and what it must have been made for.
#[derive(Debug, Clone)]
pub struct Demand {
    file: PathBuf,
    max_age: Duration,
    made_for: MadeFor,
    machine: Machine,
    now: i64,
}

impl Demand {
    /// What the configuration demands; None when it demands none. Call it before a thread is pinned, which hides the other cores.
    #[must_use]
    pub fn of(config: &Config, utc: UtcOffset) -> Option<Self> {
        let rule = config.timing.certificate.as_ref()?;
        Some(Self {
            file: rule.file.clone(),
            max_age: rule.max_age,
            made_for: MadeFor::of(config),
            machine: realtime::machine(),
            now: utc.unix_nanos_at_zero / 1_000_000_000,
        })
    }

    /// Reads the certificate and says in the log what came of it: None when it holds.
    #[must_use]
    pub fn fault(&self, granted: &Granted) -> Option<CertificateFault> {
        match self.judge(&MadeOn::of(&self.machine, granted)) {
            Ok(created) => {
                tracing::info!("latency certificate {} of {created} holds", self.file.display());
                None
            }
            Err((fault, sentence)) => {
                tracing::warn!("{sentence}");
                Some(fault)
            }
        }
    }

    /// The date of the certificate, or why it does not hold.
    fn judge(&self, here: &MadeOn) -> Result<String, (CertificateFault, String)> {
        let name = self.file.display();
        let next = "CLOSED LOOP is refused, ADVISORY is not affected. Make one on this machine with: flyball certify";
        let refuse =
            |fault, why: String| (fault, format!("the latency certificate {name} does not hold: {why}. {next}"));
        let held = self.read().and_then(|text| Held::read(&text)).map_err(|(fault, why)| refuse(fault, why))?;
        let made = |(fault, what): (CertificateFault, String)| refuse(fault, format!("it was made for {what}"));
        held.made_for.differs(&self.made_for).map_or(Ok(()), |d| Err(made(d)))?;
        let made = |(fault, what): (CertificateFault, String)| refuse(fault, format!("it was made on {what}"));
        held.made_on.differs(here).map_or(Ok(()), |d| Err(made(d)))?;
        let Some(created) = held.created() else {
            return Err(refuse(CertificateFault::Unreadable, "its date is none".into()));
        };
        let (date, age) = (utc::text(created), self.now - created);
        if age > self.max_age.as_secs() as i64 || age < -AHEAD_MAX {
            let why = format!(
                "it is of {date}, now is {}, and at most {} old is allowed",
                utc::text(self.now),
                duration_words(self.max_age)
            );
            return Err(refuse(CertificateFault::Expired, why));
        }
        let said = || format!("its verdict is {}: {}", held.verdict.text(), held.reasons.join("; "));
        match held.verdict {
            Word::Pass => Ok(date),
            Word::Fail => Err(refuse(CertificateFault::Failed, said())),
            Word::Inconclusive => Err(refuse(CertificateFault::Inconclusive, said())),
        }
    }

    fn read(&self) -> Result<String, (CertificateFault, String)> {
        let unreadable = |why: String| (CertificateFault::Unreadable, why);
        match fs::metadata(&self.file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err((CertificateFault::Missing, "there is no such file".into()));
            }
            Ok(m) if m.len() > BYTES_MAX => return Err(unreadable(format!("it has {} bytes", m.len()))),
            _ => {}
        }
        fs::read_to_string(&self.file).map_err(|e| unreadable(format!("it cannot be read ({e})")))
    }
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod demand_tests;
