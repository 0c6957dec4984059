//! The columns of one configuration, and the rows of its records.

use flyball_config::Config;
use flyball_core::record::ScanRecord;
use flyball_core::value::Value;
use flyball_recorder::identifiers;
use flyball_recorder::schema::{held_by_name, mode_name};

use crate::parquet::Column;

/// What a column is.
struct About {
    name: String,
    /// As the plant calls it.
    source: String,
    unit: String,
}

/// Columns of a configuration.
pub struct Table {
    columns: Vec<About>,
    tags: usize,
    predictions: usize,
    mvs: usize,
    cvs: Vec<String>,
    prices: usize,
}

impl Table {
    /// The columns of a configuration.
    pub fn new(config: &Config) -> Self {
        let mut names = Vec::new();
        // One name space for all: a tag, an MV and a CV may be called the same.
        for tag in &config.tags {
            names.push((tag.name.clone(), tag.unit.to_string(), &["", ".status"][..]));
        }
        for p in &config.predictions {
            let model = &config.models[p.model.index()];
            let output = &model.outputs[p.output as usize];
            let name = format!("{}.{}", model.name, output.name);
            names.push((name, output.unit.to_string(), &["", ".raw", ".bias", ".half_width", ".status"][..]));
        }
        for mv in &config.mvs {
            let parts = &[".readback", ".setpoint", ".written", ".optimum", ".low", ".high", ".in_control", ".held_by"];
            names.push((mv.name.clone(), mv.unit.to_string(), &parts[..]));
        }
        for cv in &config.cvs {
            names.push((cv.name.clone(), cv.unit.to_string(), &[".value", ".predicted", ".violation"][..]));
        }
        let prices = config.optimiser.iter().flat_map(|o| &o.prices);
        names.extend(prices.clone().map(|p| (p.name.clone(), String::new(), &[".price"][..])));

        let mut columns = Vec::new();
        for (name, what, unit) in [
            ("time", "UTC of the scan", ""),
            ("cycle", "number of the scan", ""),
            ("mode", "actual mode", ""),
            ("flushed", "outputs were posted", ""),
            ("heartbeat", "heartbeat of the program", ""),
            ("latency_s", "latency of the cycle before", "s"),
            ("deadlines_missed", "deadlines missed since start", ""),
            ("objective_now", "objective at the present setpoints", ""),
            ("objective_optimum", "objective at the optimum", ""),
        ] {
            columns.push(About { name: name.into(), source: what.into(), unit: unit.into() });
        }
        for (name, unit, parts) in names {
            for part in parts {
                let plain = [".status", ".in_control", ".held_by"].contains(part);
                let unit = if plain { String::new() } else { unit.clone() };
                columns.push(About { name: format!("{name}{part}"), source: format!("{name}{part}"), unit });
            }
        }
        let identifiers = identifiers(columns.iter().map(|c| c.name.clone()));
        columns.iter_mut().zip(identifiers).for_each(|(column, name)| column.name = name);
        Self {
            columns,
            tags: config.tags.len(),
            predictions: config.predictions.len(),
            mvs: config.mvs.len(),
            cvs: config.cvs.iter().map(|c| c.name.clone()).collect(),
            prices: prices.count(),
        }
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }

    /// Units by name, for the footer.
    pub fn units(&self) -> Vec<(String, String)> {
        let with_unit = self.columns.iter().filter(|c| !c.unit.is_empty());
        with_unit.map(|c| (format!("unit.{}", c.name), c.unit.clone())).collect()
    }

    /// Name, source and unit of each column.
    pub fn about_csv(&self) -> String {
        let rows = self.columns.iter().map(|c| format!("{},{},{}\n", c.name, c.source, c.unit));
        std::iter::once("column,source,unit\n".to_owned()).chain(rows).collect()
    }

    /// The record has the sizes of this configuration.
    pub fn fits(&self, r: &ScanRecord) -> bool {
        r.tags.len() == self.tags
            && r.predictions.len() == self.predictions
            && r.mvs.len() == self.mvs
            && r.cvs.len() == self.cvs.len()
    }

    /// The rows of these records (which fit), with their UTC in unix nanoseconds.
    pub fn fill(&self, rows: &[(i64, ScanRecord)]) -> Vec<Column> {
        let number = |f: &dyn Fn(&ScanRecord) -> Option<f64>| {
            Column::Number(rows.iter().map(|(_, r)| f(r).filter(|x| x.is_finite())).collect())
        };
        let whole = |f: &dyn Fn(&ScanRecord) -> i64| Column::Whole(rows.iter().map(|(_, r)| f(r)).collect());
        let flag = |f: &dyn Fn(&ScanRecord) -> bool| Column::Flag(rows.iter().map(|(_, r)| f(r)).collect());
        let mut columns = vec![
            Column::Time(rows.iter().map(|(utc, _)| utc.div_euclid(1_000)).collect()),
            whole(&|r| i64::try_from(r.cycle.number).unwrap_or(i64::MAX)),
            Column::Text(rows.iter().map(|(_, r)| mode_name(r.mode.actual)).collect()),
            flag(&|r| r.flushed),
            whole(&|r| r.heartbeat.into()),
            number(&|r| r.deadlines.latency.map(|d| d.as_secs_f64())),
            whole(&|r| i64::try_from(r.deadlines.missed).unwrap_or(i64::MAX)),
            number(&|r| Some(r.optimum.objective_now)),
            number(&|r| Some(r.optimum.objective_optimum)),
        ];
        for at in 0..self.tags {
            columns.push(number(&|r| r.tags[at].value.map(Value::get)));
            columns.push(whole(&|r| r.tags[at].status.0.into()));
        }
        for at in 0..self.predictions {
            columns.push(number(&|r| r.predictions[at].value.map(Value::get)));
            columns.push(number(&|r| r.predictions[at].value.map(|_| r.predictions[at].raw)));
            columns.push(number(&|r| Some(r.predictions[at].bias)));
            columns.push(number(&|r| r.predictions[at].half_width));
            columns.push(whole(&|r| r.predictions[at].status.0.into()));
        }
        for at in 0..self.mvs {
            columns.push(number(&|r| r.mvs[at].readback));
            columns.push(number(&|r| r.optimum.mvs.get(at).map(|m| m.next)));
            columns.push(number(&|r| r.mvs[at].guard.written));
            columns.push(number(&|r| r.optimum.mvs.get(at).map(|m| m.optimum)));
            columns.push(number(&|r| Some(r.mvs[at].guard.low)));
            columns.push(number(&|r| Some(r.mvs[at].guard.high)));
            columns.push(flag(&|r| r.mvs[at].in_control));
            let held = rows.iter().map(|(_, r)| held_by_name(r.mvs[at].held_by, &self.cvs));
            columns.push(Column::Name(held.collect()));
        }
        for at in 0..self.cvs.len() {
            columns.push(number(&|r| r.cvs[at].value));
            columns.push(number(&|r| r.optimum.cvs.get(at).map(|c| c.predicted)));
            columns.push(number(&|r| r.optimum.cvs.get(at).map(|c| c.violation)));
        }
        for at in 0..self.prices {
            columns.push(number(&|r| r.prices.get(at).copied()));
        }
        columns
    }
}
