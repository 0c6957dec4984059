//! Every example of `config/examples` is read without an error, and the worked ones give what they say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball_config::{
    Address, Config, DataType, Filter, InputSource, Loaded, ModelRole, OnBad, OutputKind, Protocol, Scaling, TagRole,
    ValueSource, WordOrder, WritePhase, load, load_text,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn example(name: &str) -> (Loaded, Config) {
    let loaded = load(&folder().join(name));
    assert_eq!(loaded.diagnostics.errors(), 0, "{}", loaded.diagnostics.render(false));
    let config = loaded.config.clone().unwrap();
    (loaded, config)
}

#[test]
fn every_example_is_read_and_warns_of_nothing_but_passwords() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        count += 1;
        let (loaded, _) = example(path.file_name().unwrap().to_str().unwrap());
        for d in loaded.diagnostics.iter() {
            assert!(d.found.starts_with("environment variable"), "{d}");
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn r101_is_what_the_file_says() {
    let (loaded, config) = example("r101.toml");
    assert_eq!(config.app.name, "R101-OPT");
    assert_eq!(config.timing.cycle, Duration::from_secs(1));
    assert_eq!(config.timing.stage_budget.condition, Duration::from_millis(5));
    assert_eq!(config.connections.len(), 2);
    let Protocol::OpcUa(plc) = &config.connections[0].protocol else { panic!("plc1 is OPC UA") };
    assert_eq!(plc.endpoint, "opc.tcp://127.0.0.1:48401");

    // Process tags first, in file order; then signals, which nobody substitutes.
    let names: Vec<&str> = config.tags.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(&names[..8], ["FI-101", "TI-101", "TI-102", "TI-103", "QY-101", "AI-101", "AI-100", "feed.readback"]);
    assert!(config.tags[..7].iter().all(|t| t.role == TagRole::Process));
    for signal in &config.tags[7..] {
        assert_eq!((signal.role, signal.on_bad), (TagRole::Signal, OnBad::Bad), "{}", signal.name);
    }
    let feed = &config.tags[0];
    assert_eq!((feed.max_rate_per_s, feed.hold), (Some(60.0), Duration::from_secs(10)));
    assert_eq!(config.tags[3].on_bad, OnBad::Use(116.0));
    let gc = &config.tags[5];
    let Address::Modbus(address) = &gc.address else { panic!("AI-101 is Modbus") };
    assert_eq!((address.start, address.data, address.order), (100, DataType::Float32, WordOrder::Cdab));
    assert_eq!(gc.good_when.as_ref().unwrap().equals, 1.0);

    assert_eq!(config.models[0].role, ModelRole::SoftSensor);
    assert_eq!(config.models[0].inputs[2].filter, Filter::Mean(Duration::from_secs(15)));
    assert_eq!(config.models[0].inputs[2].delay, Duration::from_secs(180));
    assert_eq!(config.models[0].outputs[0].bias.unwrap().take, 0.3);
    assert_eq!(config.models[1].role, ModelRole::Map);
    assert_eq!(config.models[1].inputs[1].source, InputSource::Mv(flyball_config::MvId(1)));
    assert_eq!(config.predictions.len(), 1);
    assert_eq!(config.optimiser.as_ref().unwrap().objective_unit, "EUR/h");
    assert_eq!((config.cvs[0].map_output, config.cvs[1].map_output), (0, 1));
    assert_eq!(config.cvs[1].source, ValueSource::Tag(config.tag_named("qy-101").unwrap()));

    for output in &config.outputs {
        let commit = matches!(output.kind, OutputKind::Sequence(_) | OutputKind::Heartbeat);
        assert_eq!(output.phase == WritePhase::Commit, commit, "{}", output.name);
    }
    assert_eq!(config.outputs.len(), 11);
    assert_eq!(config.tag(config.mvs[1].readback).name, "temp.readback");

    // A place for others to complain at.
    let line = |path: &str| loaded.at(path).line();
    let text = &loaded.at("app").file.text;
    let found = |needle: &str| text.lines().position(|l| l.starts_with(needle)).unwrap() + 1;
    assert_eq!(line("model.cB.inputs.TK"), found("TK "));
    assert_eq!(line("model.cB.inputs.nothing.here"), found("[model.cB.inputs]"));
    assert_eq!(line("tag.TI-102.unit"), found("[tag.TI-102]") + 3);
    assert_eq!(line("tag.nobody"), found("[tag.FI-101]"));
    assert_eq!(line("nothing"), 1);
}

#[test]
fn the_signature_changes_with_every_byte() {
    let file = folder().join("r101.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let signature = |text: &str| load_text(&file, text).config.unwrap().signature;
    assert_eq!(signature(&text), signature(&text));
    assert_ne!(signature(&text), signature(&format!("{text}\n")));
}

#[test]
fn the_sheet_gives_the_same_tags_as_tables_would() {
    let (sheet, config) = example("tag_sheet.toml");
    let (_, r101) = example("r101.toml");
    for name in ["FI-101", "TI-101", "AI-101"] {
        let a = config.tag(config.tag_named(name).unwrap());
        let b = r101.tag(r101.tag_named(name).unwrap());
        assert_eq!(
            (a.unit, a.range, a.plausible, a.frozen, a.max_rate_per_s),
            (b.unit, b.range, b.plausible, b.frozen, b.max_rate_per_s)
        );
        assert_eq!(
            (&a.address, a.stale_after, a.hold, &a.sampled_at, &a.good_when),
            (&b.address, b.stale_after, b.hold, &b.sampled_at, &b.good_when),
            "{name}"
        );
    }
    assert_eq!(config.tags[2].on_bad, OnBad::Use(116.0));
    let at = sheet.at("tag.TI-101.at");
    assert!(at.file.name.ends_with("tag_sheet.csv") && at.line() == 4, "{at:?}");
}

#[test]
fn the_turbine_has_three_predictions_of_one_model() {
    let (_, config) = example("turbine.toml");
    let outputs = &config.models[0].outputs;
    assert_eq!(config.predictions.len(), 3);
    assert!(outputs[0].bias.is_none());
    assert_eq!(config.tag(outputs[1].bias.unwrap().with).name, "CO");
    assert_eq!(config.tag(outputs[2].bias.unwrap().with).name, "NOX");
    assert!(config.handshake.is_none() && config.outputs.is_empty());
}

#[test]
fn modbus_notations_mean_what_their_texts_say() {
    let (_, config) = example("modbus.toml");
    let explain = |name: &str| match &config.tag(config.tag_named(name).unwrap()).address {
        Address::Modbus(a) => a.explain(),
        Address::OpcUa(a) => panic!("{a}"),
    };
    assert_eq!(explain("FI-1"), "40101 -> FC3, start 100, 2 registers, unit 1, CDAB");
    assert_eq!(explain("FI-2"), "40103 -> FC3, start 102, 2 registers, unit 1, DCBA");
    assert_eq!(explain("TI-1"), "30001 -> FC4, start 0, 1 register, unit 1");
    assert_eq!(explain("EI-1"), "40101 -> FC3, start 100, 4 registers, unit 7, ABCD");
    assert_eq!(explain("SI-1"), "40201 -> FC3, start 200, 1 register, unit 2");
    let Scaling::Linear { factor, offset } = config.tag(config.tag_named("TI-1").unwrap()).scaling else {
        panic!("linear")
    };
    assert!((factor * 27648.0 + offset - 150.0).abs() < 1e-9);
}
