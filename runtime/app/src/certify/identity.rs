//! What a latency certificate is made for and made on: whatever of it changes, the measured times say nothing any more.

use flyball_config::Config;
use flyball_core::mode::CertificateFault;
use serde::Deserialize;

use crate::realtime::{Granted, Machine};

/// The configuration, its models and this program.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MadeFor {
    /// Version of flyball.
    pub flyball: String,
    /// SHA-256 of the configuration file and its tag sheets.
    pub configuration: String,
    /// SHA-256 of every model file, shadows included, in the order of the configuration.
    pub models: Vec<String>,
}

/// The machine, and what the scan thread was granted on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MadeOn {
    /// Release and version of the kernel.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Vector features that the models can use.
    pub features: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Virtual machine, container.
    pub hosted: String,
    /// What the scan thread got, in words.
    pub scheduling: String,
}

impl MadeFor {
    /// Of a configuration that has been read.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let models = config.models.iter().flat_map(|m| [Some(&m.sha256), m.shadow.as_ref().map(|s| &s.sha256)]);
        Self {
            flyball: env!("CARGO_PKG_VERSION").into(),
            configuration: config.sha256.clone(),
            models: models.flatten().cloned().collect(),
        }
    }

    /// The first difference to what is there now, and what it is.
    #[must_use]
    pub fn differs(&self, now: &Self) -> Option<(CertificateFault, String)> {
        let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
        if self.configuration != now.configuration {
            let what =
                format!("configuration {}..., this is {}...", short(&self.configuration), short(&now.configuration));
            return Some((CertificateFault::OtherConfiguration, what));
        }
        if self.models != now.models {
            return Some((CertificateFault::OtherModels, "model files that have another SHA-256 now".into()));
        }
        let what = || format!("flyball {}, this is {}", self.flyball, now.flyball);
        (self.flyball != now.flyball).then(|| (CertificateFault::OtherVersion, what()))
    }
}

impl MadeOn {
    /// Of this machine, and what its kernel granted.
    #[must_use]
    pub fn of(machine: &Machine, granted: &Granted) -> Self {
        Self {
            kernel: machine.kernel.clone(),
            processor: machine.cpu.clone(),
            features: machine.features.join(" "),
            cores: machine.cores,
            hosted: machine.hosted.join(", "),
            scheduling: granted.to_string(),
        }
    }

    /// The first difference to what is there now, and what it is.
    #[must_use]
    pub fn differs(&self, now: &Self) -> Option<(CertificateFault, String)> {
        let processor = |m: &Self| {
            let hosted = if m.hosted.is_empty() { "bare metal" } else { &m.hosted };
            format!("{} x {} ({}), {hosted}", m.cores, m.processor, m.features)
        };
        [
            (CertificateFault::OtherProcessor, processor(self), processor(now)),
            (CertificateFault::OtherKernel, format!("kernel {}", self.kernel), format!("kernel {}", now.kernel)),
            (CertificateFault::OtherScheduling, self.scheduling.clone(), now.scheduling.clone()),
        ]
        .into_iter()
        .find(|(_, then, now)| then != now)
        .map(|(fault, then, now)| (fault, format!("{then}; this is {now}")))
    }
}
