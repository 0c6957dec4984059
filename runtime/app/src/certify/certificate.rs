//! The certificate file: TOML that people read, sealed by a SHA-256 over every byte above the seal.
//!
//! The seal finds a changed number, not a forger: whoever can write the file can seal it anew. What keeps forgers out is who may write
//! the folder.

use std::fmt::Write as _;

use flyball_core::mode::CertificateFault;
use flyball_machine::extreme::Estimate;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::identity::{MadeFor, MadeOn};
use super::verdict::{Run, Verdict, Word};
use crate::timing::{Measure, Timing};
use crate::utc;

/// Version of the file's form.
const FORMAT: u32 = 1;
/// Begins the seal.
const SEAL: &str = "[seal]\n";
/// A larger file is none of ours.
pub const BYTES_MAX: u64 = 1 << 20;

/// Everything that a certificate says.
pub struct Certificate<'a> {
    /// Name of the application.
    pub application: &'a str,
    /// When it was made, unix seconds.
    pub created: i64,
    /// What for.
    pub made_for: &'a MadeFor,
    /// Where.
    pub made_on: &'a MadeOn,
    /// How it was measured.
    pub run: &'a Run,
    /// Spreads of the stages.
    pub timing: &'a Timing,
    /// The far end.
    pub estimate: &'a Estimate,
    /// What follows.
    pub verdict: &'a Verdict,
}

impl Certificate<'_> {
    /// The file's text with its seal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut body = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut body);
        let seal = hash(&body);
        body + SEAL + &format!("sha256 = \"{seal}\"\n")
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# Latency certificate of flyball (docs/CERTIFY.md). The seal at the end covers every byte above it: do not edit."
        )?;
        writeln!(out, "format      = {FORMAT}\nverdict     = \"{}\"", self.verdict.word.text())?;
        let reasons: Vec<String> = self.verdict.reasons.iter().map(|r| format!("    {},\n", quoted(r))).collect();
        writeln!(out, "reasons     = [\n{}]", reasons.concat())?;
        writeln!(out, "application = {}\ncreated     = \"{}\"", quoted(self.application), utc::text(self.created))?;
        let (f, on, run) = (self.made_for, self.made_on, self.run);
        writeln!(
            out,
            "\n[made_for]\nflyball       = {}\nconfiguration = {}",
            quoted(&f.flyball),
            quoted(&f.configuration)
        )?;
        let models: Vec<String> = f.models.iter().map(|m| format!("    {},\n", quoted(m))).collect();
        writeln!(out, "models        = [\n{}]", models.concat())?;
        writeln!(out, "\n[made_on]\nkernel     = {}\nprocessor  = {}", quoted(&on.kernel), quoted(&on.processor))?;
        writeln!(out, "features   = {}\ncores      = {}", quoted(&on.features), on.cores)?;
        writeln!(out, "hosted     = {}\nscheduling = {}", quoted(&on.hosted), quoted(&on.scheduling))?;
        writeln!(out, "\n[run]\nagainst        = \"{}\"\nseconds        = {}", run.against.text(), run.seconds)?;
        writeln!(out, "stress_workers = {}\npace           = {}", run.stress, run.pace)?;
        writeln!(out, "cycles         = {}\nclosed_loop    = {}", run.cycles, run.closed)?;
        writeln!(out, "missed         = {}\ndeadline_ms    = {}", run.missed, ms(run.deadline.as_nanos() as f64))?;
        writeln!(out, "limit_ms       = {}", ms(run.limit.as_nanos() as f64))?;
        let e = self.estimate;
        writeln!(out, "\n[estimate]\nmethod      = \"block maxima, GEV by L-moments, parametric bootstrap\"")?;
        writeln!(out, "block       = {}\nblocks      = {}", e.block, e.blocks)?;
        if let Some(fit) = e.fit {
            writeln!(out, "location_ms = {}\nscale_ms    = {}", ms(fit.location), ms(fit.scale))?;
            writeln!(out, "shape       = {:.4}\nfit_p       = {:.3}", fit.shape, e.fit_p)?;
        }
        for q in &e.quantiles {
            writeln!(out, "\n[[estimate.quantile]]\nexceedance = {:e}\nms         = {}", q.exceedance, ms(q.value))?;
            writeln!(out, "low_ms     = {}\nhigh_ms    = {}", ms(q.low), ms(q.high))?;
        }
        for measure in Measure::ALL {
            let s = self.timing.summary(measure);
            if s.count > 0 {
                let us = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
                writeln!(out, "\n[stage.{}]\ncount   = {}", measure.name().replace(' ', "_"), s.count)?;
                writeln!(out, "p50_us  = {}\np99_us  = {}", us(s.p50), us(s.p99))?;
                writeln!(out, "p999_us = {}\nmax_us  = {}", us(s.p999), us(s.max))?;
                let counts: Vec<String> =
                    self.timing.buckets(measure).iter().map(|(edge, n)| format!("[{}, {n}]", us(*edge))).collect();
                writeln!(out, "up_to_us = [{}]", counts.join(", "))?;
            }
        }
        writeln!(out)
    }
}

fn ms(ns: f64) -> String {
    format!("{:.3}", ns / 1e6)
}

/// A TOML string. Control characters have no business in a name.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// What a start needs to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Held {
    format: u32,
    /// pass, fail or inconclusive.
    pub verdict: Word,
    /// Why.
    pub reasons: Vec<String>,
    created: String,
    /// What for.
    pub made_for: MadeFor,
    /// Where.
    pub made_on: MadeOn,
}

impl Held {
    /// Reads a certificate's text.
    ///
    /// # Errors
    /// What is wrong with it, as the scan is told and as a sentence.
    pub fn read(text: &str) -> Result<Self, (CertificateFault, String)> {
        let unreadable = |why: String| (CertificateFault::Unreadable, why);
        let at = text.rfind(&format!("\n{SEAL}")).ok_or_else(|| unreadable("it has no seal".into()))?;
        let (body, seal) = text.split_at(at + 1);
        if seal != format!("{SEAL}sha256 = \"{}\"\n", hash(body)) {
            return Err((CertificateFault::Tampered, "its contents do not belong to its seal".into()));
        }
        let held: Self = toml::from_str(body).map_err(|e| unreadable(e.message().to_owned()))?;
        match held.format {
            FORMAT => Ok(held),
            other => Err(unreadable(format!("it has format {other}, known is {FORMAT}"))),
        }
    }

    /// When it was made, unix seconds; None when that is no date.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        utc::parse(&self.created)
    }
}
