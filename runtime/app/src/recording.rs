//! Why: the recorder needs to know what is recorded: the run's facts, and the files from which it could be replayed anywhere.

use flyball_config::{Config, Recorder as Settings};
use flyball_core::time::UtcOffset;
use flyball_recorder::schema::Schema;
use flyball_recorder::{Header, Preamble, Recorder, sources};

use crate::engines::LoadedEngines;
use crate::error::StartError;
use crate::realtime;

/// Starts the recorder of a run.
///
/// Files that cannot be read any more, or are too large, make a recording without attachments, loudly: it can be read and exported, and replayed
/// by whoever still has the configuration.
///
/// # Errors
/// The operating system gives no thread.
pub(crate) fn start(
    config: &Config,
    settings: &Settings,
    loaded: &LoadedEngines,
    utc: UtcOffset,
    read_only: bool,
) -> Result<Recorder, StartError> {
    let sources = sources(config).unwrap_or_else(|e| {
        tracing::warn!("recorder: configuration and models are not attached: {e}");
        Vec::new()
    });
    let mut models = std::collections::BTreeMap::new();
    for model in &config.models {
        models.insert(model.name.clone(), model.sha256.clone());
        if let Some(shadow) = &model.shadow {
            models.insert(format!("{} shadow", model.name), shadow.sha256.clone());
        }
    }
    let header = Header {
        version: env!("CARGO_PKG_VERSION").into(),
        application: config.app.name.clone(),
        signature: config.signature,
        models,
        machine: realtime::machine().to_string(),
        budget: loaded.budget.map(|b| (b.solve, b.scan)),
        utc,
        instance: config.instance,
        read_only,
        keyframe_every: settings.keyframe_every,
        configuration: sources.first().map(|s| s.name.clone()).unwrap_or_default(),
    };
    Recorder::start(settings, Preamble { header, schema: Schema::new(config), sources })
        .map_err(|e| StartError(format!("the operating system gives no thread for the recorder: {e}")))
}
