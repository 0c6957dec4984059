//! `[recorder]`: what is kept of every scan, where, and for how long.

use std::time::Duration;

use crate::bounds::{KEYFRAME_EVERY_MAX, RECORDING_BYTES_MAX, RECORDING_BYTES_MIN};
use crate::model::Recorder;
use crate::quantity::Problem;
use crate::read::Cx;
use crate::reader::Field;

/// Reads `[recorder]`; without the table everything is recorded with the defaults.
pub(crate) fn read(field: Option<Field<'_>>, cx: &Cx) -> Option<Recorder> {
    let plain = Recorder::new(cx.path("recordings"));
    let Some(field) = field else { return Some(plain) };
    let mut r = field.table("recorder")?;
    let enabled = r.get("enabled").map_or(Some(plain.enabled), |f| f.boolean());
    let folder = r.get("folder").map_or(Some(plain.folder), |f| f.text().map(|t| cx.path(t)));
    let mut size = |key, least, or| r.get(key).map_or(Some(or), |f: Field<'_>| f.size(least, RECORDING_BYTES_MAX));
    let file_size = size("file_size", RECORDING_BYTES_MIN, plain.file_size);
    let total_size = size("total_size", RECORDING_BYTES_MIN, plain.total_size);
    let min_free = size("min_free", 0, plain.min_free);
    let mut time = |key, least, most, or| {
        r.get(key)
            .map_or(Some(or), |f: Field<'_>| f.duration_within(Duration::from_secs(least), Duration::from_secs(most)))
    };
    let file_age = time("file_age", 60, 366 * 86_400, plain.file_age);
    let total_age = time("total_age", 60, 366 * 86_400, plain.total_age);
    let flush_every = time("flush_every", 1, 600, plain.flush_every);
    let keyframes = r.get("keyframe_every").map_or(Some(plain.keyframe_every), |f| f.whole(1, KEYFRAME_EVERY_MAX));
    if let (Some(one), Some(all)) = (file_size, total_size)
        && all < 2 * one
    {
        let problem = Problem::new("total_size holds less than two files of file_size");
        r.error(problem.help("Raise total_size, or lower file_size: the file that is being written is never deleted."));
    }
    Some(Recorder {
        enabled: enabled?,
        folder: folder?,
        file_size: file_size?,
        file_age: file_age?,
        total_size: total_size?,
        total_age: total_age?,
        min_free: min_free?,
        flush_every: flush_every?,
        keyframe_every: keyframes?,
    })
}
