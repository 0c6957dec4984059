//! Why: what is handed to a PLC engineer must be right to the letter. Whole kits of the examples are compared with files that people have
//! read; everything that can be said of any kit is checked on all examples.
//!
//! Run with UPDATE_SNAPSHOTS=1 to write the kits anew, then read every changed line before committing it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball_config::{
    Address, Config, ConnectionId, DataType, EuRange, HighestMode, ModbusAddress, ModbusTable, OutputKind, WordOrder,
    load,
};
use flyball_plckit::{KitFile, TASK, kit};

const EXAMPLES: [&str; 7] =
    ["r101.toml", "te4.toml", "minimal.toml", "modbus.toml", "opcua_security.toml", "tag_sheet.toml", "turbine.toml"];

/// The signature changes with every comment in an example; a kit that people have read should not.
const SIGNATURE: u32 = 0x1234_ABCD;

fn config(name: &str) -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples").join(name);
    let loaded = load(&file);
    let mut config = loaded.config.unwrap_or_else(|| panic!("{name}: {:?}", loaded.diagnostics));
    config.signature = SIGNATURE;
    config
}

fn file<'k>(kit: &'k [KitFile], path: &str) -> &'k str {
    &kit.iter().find(|f| f.path == path).unwrap_or_else(|| panic!("no {path}")).text
}

fn snapshot(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let kit = kit(&config(&format!("{name}.toml")), TASK);
    // The blocks are files of this crate and do not depend on the configuration.
    let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
    for file in kit.iter().filter(|f| !f.path.contains("/FB_")) {
        let path = folder.join(&file.path);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folder");
            std::fs::write(&path, &file.text).expect("writable");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = there.lines().zip(file.text.lines()).find(|(a, b)| a != b);
        assert!(there == file.text, "{}: {differs:?} (UPDATE_SNAPSHOTS=1 writes it anew)", path.display());
        expected.insert(path);
    }
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    for place in [folder.clone(), folder.join("ST")] {
        let entries = std::fs::read_dir(place).expect("folder").map(|e| e.expect("entry").path());
        found.extend(entries.filter(|p| p.is_file()));
    }
    assert_eq!(found, expected, "files that no kit has");
}

#[test]
fn r101_is_as_it_was_read() {
    snapshot("r101");
}

#[test]
fn te4_is_as_it_was_read() {
    snapshot("te4");
}

#[test]
fn modbus_is_as_it_was_read() {
    snapshot("modbus");
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    for name in EXAMPLES {
        assert_eq!(kit(&config(name), TASK), kit(&config(name), TASK), "{name}");
    }
}

#[test]
fn structured_text_is_ascii_in_lines_that_fit_and_without_the_local_path() {
    let here = env!("CARGO_MANIFEST_DIR");
    for name in EXAMPLES {
        for file in kit(&config(name), TASK) {
            assert!(!file.text.contains(here), "{name} {}", file.path);
            assert!(file.text.ends_with('\n') && !file.text.contains(" \n"), "{name} {}: white space", file.path);
            if file.path.ends_with(".st") {
                assert!(file.text.is_ascii(), "{name} {}", file.path);
                let opened = file.text.matches("(*").count();
                assert_eq!(opened, file.text.matches("*)").count(), "{name} {}: comments", file.path);
            }
        }
    }
}

#[test]
fn without_a_handshake_there_is_nothing_to_call() {
    for name in ["minimal.toml", "modbus.toml", "opcua_security.toml", "tag_sheet.toml", "turbine.toml"] {
        let kit = kit(&config(name), TASK);
        assert!(!kit.iter().any(|f| f.path.contains("FB_") || f.path.contains("PRG_")), "{name}");
        assert!(file(&kit, "README.md").contains("never leaves ADVISORY"), "{name}");
    }
}

#[test]
fn only_the_lists_of_protocols_in_use() {
    let paths = |name| kit(&config(name), TASK).into_iter().map(|f| f.path).collect::<Vec<_>>();
    let has = |name, path: &str| paths(name).iter().any(|p| p == path);
    assert!(has("r101.toml", "opcua_map.csv") && has("r101.toml", "modbus_map.csv"));
    assert!(has("te4.toml", "opcua_map.csv") && !has("te4.toml", "modbus_map.csv"));
    assert!(!has("minimal.toml", "opcua_map.csv") && has("minimal.toml", "modbus_map.csv"));
}

#[test]
fn every_cell_stands_in_the_tag_list_once() {
    let config = config("r101.toml");
    let kit = kit(&config, TASK);
    let rows: Vec<&str> = file(&kit, "tags.csv").lines().skip(1).collect();
    assert_eq!(rows.len(), config.tags.len() + config.outputs.len());
    let names = config.tags.iter().map(|t| &t.name).chain(config.outputs.iter().map(|o| &o.name));
    for name in names {
        assert_eq!(rows.iter().filter(|r| r.starts_with(&format!("{name},"))).count(), 1, "{name}");
    }
}

/// The example names its nodes as the kit names its cells, so a wrong assignment would show here.
#[test]
fn cells_of_the_examples_are_called_as_their_nodes() {
    for name in ["r101.toml", "te4.toml"] {
        let kit = kit(&config(name), TASK);
        let rows = file(&kit, "opcua_map.csv").lines().filter(|r| r.contains(",Apc."));
        let mut seen = 0;
        for row in rows {
            let member = row.split("Apc.").nth(1).and_then(|r| r.split(',').next()).expect("a member");
            let last = member.rsplit('.').next().expect("a name");
            assert!(row.contains(&format!("\"\"{last}\"\"\"")), "{row}");
            seen += 1;
        }
        assert_eq!(seen, 29, "{name}");
    }
}

/// r101 with its handshake and the first MV in the registers of the Modbus device.
fn over_modbus() -> Config {
    let mut config = config("r101.toml");
    let gc = config.connections.iter().position(|c| c.name == "gc").map(|at| ConnectionId(at as u32)).expect("gc");
    let register = |start, data| {
        Address::Modbus(ModbusAddress {
            unit: 1,
            table: if data == DataType::Bool { ModbusTable::Coil } else { ModbusTable::HoldingRegister },
            start,
            data,
            bit: None,
            order: WordOrder::Cdab,
        })
    };
    for (output, at) in config.outputs.iter_mut().zip(0u16..) {
        let data = match output.kind {
            OutputKind::Setpoint(_) => DataType::Float32,
            OutputKind::SetpointValid(_) => DataType::Bool,
            OutputKind::Signature => DataType::UInt32,
            _ => DataType::UInt16,
        };
        (output.connection, output.address) = (gc, register(200 + 2 * at, data));
    }
    let handshake = config.handshake.clone().expect("a handshake");
    for id in [handshake.heartbeat_in, handshake.mode_wanted, handshake.closed_loop] {
        let tag = &mut config.tags[id.index()];
        (tag.connection, tag.address) = (gc, register(300 + 2 * id.0 as u16, DataType::UInt16));
    }
    config
}

#[test]
fn registers_say_function_order_and_what_must_be_converted() {
    let config = over_modbus();
    let kit = kit(&config, TASK);
    let rows: Vec<&str> = file(&kit, "modbus_map.csv").lines().collect();
    let row =
        |name: &str| *rows.iter().find(|r| r.starts_with(&format!("{name},"))).unwrap_or_else(|| panic!("{name}"));
    let start = |name: &str| {
        let output = config.outputs.iter().find(|o| o.name == name).expect("an output");
        let Address::Modbus(address) = &output.address else { panic!("{name} is moved to Modbus") };
        (address.notation(), address.start)
    };
    let (notation, wire) = start("feed.write");
    assert_eq!(
        row("feed.write"),
        format!(
            "feed.write,flyball -> PLC,Apc.FeedSp,gc 127.0.0.1:15020,1,{notation},{wire},2,,float32,CDAB (low word first),FC16,l/h,80,200,"
        )
    );
    assert!(row("feed.valid").contains(",bool,,FC5 or FC15,"), "{}", row("feed.valid"));
    assert!(row("handshake.mode_out").ends_with("\"uint16 on the wire, INT in the PLC: convert, do not overlay\""));
    let closed = row("handshake.closed_loop");
    assert!(closed.contains(",FC3,") && closed.contains("uint16 on the wire, BOOL in the PLC"), "{closed}");
    assert!(row("handshake.heartbeat_out").ends_with(','), "the same type needs no note");
    assert!(file(&kit, "README.md").contains("   * gc (Modbus): write access to `FromApp`, `FeedSp`"));
}

#[test]
fn setpoints_in_another_plc_are_said() {
    let mut config = over_modbus();
    assert!(!file(&kit(&config, TASK), "README.md").contains("More than one PLC"));
    let (original, at) = (self::config("r101.toml"), config.mvs[1].write.index());
    config.outputs[at] = original.outputs[at].clone();
    assert!(file(&kit(&config, TASK), "README.md").contains("More than one PLC"));
}

#[test]
fn an_application_that_may_never_write_is_not_commissioned_further() {
    let mut config = config("r101.toml");
    config.app.highest_mode = HighestMode::Advisory;
    let kit = kit(&config, TASK);
    let list = file(&kit, "COMMISSIONING.md");
    assert!(
        list.contains("## C. Heartbeat") && !list.contains("## D.") && list.contains("never writes a setpoint"),
        "{list}"
    );
}

#[test]
fn what_the_runtime_does_passes_the_blocks() {
    // A hundredfold time to arrive would be a ramp that REAL does not resolve.
    for (name, slower) in [("r101.toml", 1), ("te4.toml", 1), ("te4.toml", 100)] {
        let mut config = config(name);
        config.mvs.iter_mut().for_each(|mv| mv.verify.by *= slower);
        let kit = kit(&config, TASK);
        let text = &kit.iter().find(|f| f.path.starts_with("ST/PRG_")).expect("a program").text;
        let constant = |what: &str| -> f64 {
            let at = text.find(&format!("{what} : REAL := ")).unwrap_or_else(|| panic!("{what}"));
            text[at..]
                .split(":= ")
                .nth(1)
                .and_then(|t| t.split(';').next())
                .and_then(|n| n.parse().ok())
                .expect("a number")
        };
        assert_eq!(constant("rDt"), 0.1);
        for mv in &config.mvs {
            let id = mv.name[..1].to_uppercase() + &mv.name[1..];
            assert_eq!(
                EuRange { low: constant(&format!("r{id}EngLo")), high: constant(&format!("r{id}EngHi")) },
                mv.limits
            );
            let by = mv.verify.by.as_secs_f64();
            assert!(constant(&format!("r{id}RateUp")) * by >= mv.move_up, "{name} {id}: arrives in time");
            assert!(constant(&format!("r{id}RateDn")) * by >= mv.move_down, "{name} {id}: arrives in time");
            assert!(constant(&format!("r{id}MaxJump")) >= mv.move_up.max(mv.move_down), "{name} {id}: is no jump");
            // One cycle of the ramp is a number that REAL can add to the setpoint.
            let (high, step) = (mv.limits.high as f32, (constant(&format!("r{id}RateUp")) * 0.1) as f32);
            assert!(((high + step) - high - step).abs() < step / 8.0, "{name} {id}: ramps evenly");
        }
    }
}

#[test]
fn names_and_texts_of_a_site_cannot_break_the_text() {
    let mut config = config("r101.toml");
    config.app.name = "7-up (Linie 3)".to_owned();
    config.app.description = "ends here *) and (* there; K\u{fc}hlung".to_owned();
    config.mvs[0].name = "a".to_owned();
    config.mvs[1].name = "a-Lim".to_owned();
    config.mvs[0].text = "a *) b".to_owned();
    let kit = kit(&config, Duration::from_millis(50));
    let text = file(&kit, "ST/ST_ApcT_7_up_Linie_3.st");
    assert!(text.contains("( * there; Kuehlung"), "{text}");
    let program = file(&kit, "ST/PRG_ApcT_7_up_Linie_3.st");
    assert!(program.contains("rDt : REAL := 0.05;"), "{program}");
    let members: Vec<&str> = text.lines().filter_map(|l| l.split_once(" : ")).map(|(m, _)| m.trim()).collect();
    let unique: BTreeSet<String> = members.iter().map(|m| m.to_lowercase()).collect();
    assert_eq!(unique.len(), members.len(), "{members:?}");
}
