//! What an engineer reads about a wrong file: one change to a good file each, compared with `bad_files.txt`.
//!
//! Run with UPDATE_SNAPSHOTS=1 to write the texts anew, then read every changed line before committing it.

use std::path::{Path, PathBuf};

use flyball_config::{Loaded, load, load_text};

const R101: &str = "r101.toml";
const MODBUS: &str = "modbus.toml";
const TURBINE: &str = "turbine.toml";
const OPCUA: &str = "opcua_security.toml";

/// File, what is replaced, by what.
const CASES: &[(&str, &str, &str)] = &[
    // Syntax and structure.
    (R101, "[timing]", "[timing"),
    (R101, "start_mode   =", "name = \"again\"\nstart_mode   ="),
    (R101, "[tag.TI-102]", "[tag.TI-101]"),
    (R101, "name         = \"R101-OPT\"", "name = R101-OPT"),
    (R101, "schema = 1", "schema = 2"),
    (R101, "schema = 1\n", ""),
    (R101, "deadline     =", "deadlin     ="),
    (R101, "[cv.cooling]", "[alarm.cooling]"),
    (R101, "text     = \"Feed flow\"", "text     = 12"),
    (R101, "range    = [0, 250]", "range    = 250"),
    (R101, "range    = [0, 250]", "range    = [250, 0]"),
    (R101, "range    = [0, 250]", "range    = [0, inf]"),
    (R101, "range    = [0, 250]", "range    = [0, 99999999999999999999]"),
    (R101, "range    = [0, 250]", "range    = 2026-01-01"),
    (R101, "[tag.FI-101]", "[tag.\"FI 101\"]"),
    (R101, "[tag.TI-102]", "[tag.ti-101]"),
    (R101, "[tag.TI-102]", "[tag.\"feed.readback\"]"),
    // App and timing.
    (R101, "start_mode   = \"advisory\"", "start_mode   = \"closed_loop\""),
    (R101, "highest_mode = \"closed_loop\"", "highest_mode = \"close_loop\""),
    (R101, "cycle        = \"1 s\"", "cycle        = \"5 ms\""),
    (R101, "cycle        = \"1 s\"", "cycle        = \"1 sec\""),
    (R101, "cycle        = \"1 s\"", "cycle        = 1"),
    (R101, "cycle        = \"1 s\"", "cycle        = \"-1 s\""),
    (R101, "deadline     = \"500 ms\"", "deadline     = \"2 s\""),
    (R101, "read = \"150 ms\"", "read = \"200 ms\""),
    (R101, "on_overrun   = \"skip\"", "on_overrun   = \"catch up\""),
    (R101, "priority = 80", "priority = 100"),
    (R101, "arm_cycles   = 30", "certificate = \"\""),
    (R101, "arm_cycles   = 30", "certificate_max_age = \"90 d\""),
    (R101, "arm_cycles   = 30", "certificate = \"r101.cert.toml\"\ncertificate_max_age = \"2 years\""),
    // The recorder.
    (OPCUA, "file_size      = \"64 MiB\"", "file_size      = \"64 MB\""),
    (OPCUA, "file_size      = \"64 MiB\"", "file_size      = 64"),
    (OPCUA, "file_size      = \"64 MiB\"", "file_size      = \"512 KiB\""),
    (OPCUA, "total_size     = \"4 GiB\"", "total_size     = \"100 MiB\""),
    (OPCUA, "total_age      = \"30 d\"", "total_age      = \"30 s\""),
    (OPCUA, "keyframe_every = 600", "keyframe_every = 0"),
    (OPCUA, "flush_every    =", "flush    ="),
    // Connections, security, secrets.
    (R101, "opc.tcp://127.0.0.1:48401", "opc.tcp://apc:geheim@127.0.0.1:48401"),
    (R101, "protocol   = \"opcua\"", "protocol   = \"opc ua\""),
    (R101, "opc.tcp://127.0.0.1:48401", "http://127.0.0.1"),
    (R101, "password   = \"env:R101_PLC_PASSWORD\"", "password   = \"geheim\""),
    (R101, "password   = \"env:R101_PLC_PASSWORD\"", "password   = \"file:no/such/file\""),
    (R101, "password   = \"env:R101_PLC_PASSWORD\"", ""),
    (R101, "user       = \"apc_r101\"", ""),
    (R101, "security   = \"SignAndEncrypt / Basic256Sha256\"", "security   = \"None\""),
    (R101, "security   = \"SignAndEncrypt / Basic256Sha256\"", "security   = \"None\"\nlab_switch_no_security = true"),
    (R101, "security   = \"SignAndEncrypt / Basic256Sha256\"", "security   = \"SignAndEncrypt / Basic256\""),
    (R101, "security   = \"SignAndEncrypt / Basic256Sha256\"", "security   = \"SignAndEncrypt / Basic265Sha256\""),
    (R101, "s7 = \"http://www.siemens.com/simatic-s7-opcua\"", "s7 = \"3\""),
    (R101, "first = \"1 s\", longest = \"30 s\"", "first = \"1 min\", longest = \"30 s\""),
    (R101, "numbering  = \"4xxxx, first register is 40001\"    # or \"zero-based\"\n", ""),
    (R101, "word_order = \"CDAB\"", ""),
    (R101, "unit       = 1\n", "unit       = 0\n"),
    (MODBUS, "baud       = 19200", "baud       = 19201"),
    (MODBUS, "max_read   = 125 ", "max_read   = 126 "),
    // Addresses.
    (
        R101,
        "at       = 'plc1: nsu=s7;s=\"R101\".\"FIC101\".\"PV\"'",
        "at       = 'plc2: nsu=s7;s=\"R101\".\"FIC101\".\"PV\"'",
    ),
    (
        R101,
        "at       = 'plc1: nsu=s7;s=\"R101\".\"FIC101\".\"PV\"'",
        "at       = 'plc1: nsu=s8;s=\"R101\".\"FIC101\".\"PV\"'",
    ),
    (
        R101,
        "at       = 'plc1: nsu=s7;s=\"R101\".\"FIC101\".\"PV\"'",
        "at       = 'plc1: ns=3;s=\"R101\".\"FIC101\".\"PV\"'",
    ),
    (R101, "\"FIC101\".\"PV\"", "\"TIC101\".\"PV\""),
    (R101, "gc: 40101 float32", "gc: 40000 float32"),
    (R101, "gc: 40101 float32", "gc: 400101 float32"),
    (R101, "gc: 40101 float32", "gc: holding 100 float32"),
    (R101, "gc: 40101 float32", "gc: input 40101 float32"),
    (R101, "gc: 40101 float32", "gc: 40101"),
    (R101, "gc: 40101 float32", "gc: 40101 flaot32"),
    (R101, "gc: 40101 float32", "gc: 40102 float32"),
    (R101, "gc: 40103 uint32 unix-seconds", "gc: 40102 uint32 unix-seconds"),
    (R101, "gc: 40103 uint32 unix-seconds", "gc: 40103 uint32"),
    (R101, "gc: 40110 bit 3 = 1", "gc: 40110 bit 3"),
    (R101, "gc: 40110 bit 3 = 1", "gc: 40110 bit 3 = 2"),
    (R101, "gc: 40110 bit 3 = 1", "gc: 40110 bit 16 = 1"),
    (R101, "gc: 40110 bit 3 = 1", "plc1: i=7 = 1"),
    (MODBUS, "wire: holding 100 float64 unit 7", "wire: 40101 float64"),
    (MODBUS, "wire: holding 100 float64 unit 7", "wire: holding 65534 float64"),
    (MODBUS, "line: 400201 uint16 unit 2", "line: 40201 uint16 unit 2"),
    (MODBUS, "manual: 40103 float32 DCBA", "manual: 40102 float32 DCBA"),
    (MODBUS, "manual: 40110 bit 3", "manual: 40105 bit 3"),
    (OPCUA, "path=/Objects/di:DeviceSet/s7:Boiler/s7:TI3", "path=/Root/di:DeviceSet"),
    (OPCUA, "09087e75-8e5e-499b-954f-f2a9603db28a", "09087e75"),
    // Tags.
    (R101, "unit     = \"l/h\"", "unit     = \"lh\""),
    (R101, "ok       = [5, 240]", "ok       = [5, 300]"),
    (R101, "ok       = [5, 240]\n", ""),
    (R101, "max_rate = \"60 l/h per s\"", "max_rate = \"60 l/h\""),
    (R101, "max_rate = \"60 l/h per s\"", "max_rate = \"60 degC per s\""),
    (R101, "band = \"0.05 l/h\"", "band = \"250 l/h\""),
    (R101, "band = \"0.05 l/h\", ", ""),
    (R101, "on_bad   = \"use 116 degC\"", "on_bad   = \"use 116 K\""),
    (R101, "on_bad   = \"use 116 degC\"", "on_bad   = \"use 200 degC\""),
    (R101, "on_bad   = \"use 116 degC\"", "on_bad   = \"nominal\""),
    (R101, "access      = \"read\"", "access      = \"write\""),
    (R101, "stale_after = \"25 min\"", "stale_after = \"2 s\""),
    (R101, "[tag_defaults]\nstale_after = \"5 s\"", "[tag_defaults]\nstale_after = \"100 ms\""),
    (MODBUS, "scale = { raw = [0, 27648], eu = [0, 150] }", "scale = { raw = [0, 27648], factor = 2 }"),
    (MODBUS, "scale = { raw = [0, 27648], eu = [0, 150] }", "scale = { offset = 2 }"),
    (MODBUS, "invalid = [32767, -32768]", "invalid = [\"x\"]"),
    // Models.
    (R101, "r101_cb.onnx", "r101_cd.onnx"),
    (R101, "39b8a0cb559b180355b0d49b24fec10a9bef864d9611d9936254495713b8914e", "12"),
    (
        R101,
        "39b8a0cb559b180355b0d49b24fec10a9bef864d9611d9936254495713b8914e",
        "09b8a0cb559b180355b0d49b24fec10a9bef864d9611d9936254495713b8914e",
    ),
    (TURBINE, "sha256 = \"48901050de9e425747368e001d0e9d0379eb2175c19c642ba4f87c791171b8a2\"\n", ""),
    (R101, "every   = \"5 s\"", "every   = \"2500 ms\""),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ tag = \"TI-1O1\", filter = \"mean 15 s\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ tag = \"TI-101\", filter = \"median 15 s\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ tag = \"TI-101\", delay = \"3 h\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ filter = \"mean 15 s\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "\"model:cB\""),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ age = \"AI-101\", filter = \"mean 15 s\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ age = \"AI-101\", tag = \"AI-101\" }"),
    (R101, "{ tag = \"TI-101\", filter = \"mean 15 s\" }", "{ age = \"AI-10l\" }"),
    (R101, "cA0 = \"tag:AI-100\"", "cA0 = { age = \"AI-100\" }"),
    (TURBINE, "AT   = \"tag:AT\"", "AT   = { age = \"AT\" }"),
    (TURBINE, "turbine_ridge.onnx", "turbine_rigde.onnx"),
    (TURBINE, "[model.turbine.shadow]", "[model.turbine.shadow]\nevery  = \"1 s\""),
    (
        R101,
        "[model.ss.inputs]",
        "[model.ss.shadow]\nfile = \"../../models/examples/r101_ss.onnx\"\n\n[model.ss.inputs]",
    ),
    (R101, "F   = \"mv:feed\"", "F = \"mv:fed\""),
    (R101, "F   = \"mv:feed\"", "F = \"tag:FI-101\""),
    (R101, "reject_outside = [0.3, 1.6]", "reject_outside = [0.9, 1.6]"),
    (R101, "with     = \"AI-101\"", "with     = \"TI-101\""),
    (R101, "take     = \"30 %\"", "take     = \"130 %\""),
    (R101, "one_step = \"0.02 mol/l\"", "one_step = \"0.2 mol/l\""),
    (R101, "sampled_at  = \"gc: 40103 uint32 unix-seconds\"", ""),
    (R101, "match_plant = { cB = \"model:cB\"", "match_plant = { cX = \"model:cB\""),
    (R101, "match_plant = { cB = \"model:cB\"", "match_plant = { cB = \"tag:TI-101\""),
    (R101, "match_plant = { cB = \"model:cB\"", "match_plant = { cB = \"model:ss\""),
    (TURBINE, "[model.turbine.bias.CO]", "[model.turbine.bias.COO]"),
    (R101, "oldest   = \"30 min\"\n", "oldest   = \"7 d\"\n"),
    (R101, "oldest   = \"30 min\"\n", "oldest   = \"30 min\"\nyoungest = \"30 min\"\n"),
    (R101, "confirm  = \"4 sigma\"", "confirm  = \"4 sigmas\""),
    (R101, "confirm  = \"4 sigma\"", "confirm  = \"0 sigma\""),
    (R101, "confirm  = \"4 sigma\"", "confirm  = \"0.1 degC\""),
    (R101, "confirm  = \"4 sigma\"", "confirm  = 4"),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = \"TI-101 steady\""),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = \"TI-110 within 1 degC for 5 min\""),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = \"TI-101 within 1 K for 5 min\""),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = \"TI-101 within 0 degC for 5 min\""),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = \"TI-101 within 1 degC for 1 s\""),
    (R101, "only_when = \"TI-101 within 1 degC for 5 min\"", "only_when = []"),
    // Trust.
    (R101, "domain       = \"T2 and SPE\"", "domain       = \"T2\""),
    (R101, "uncertain_at = \"99 %\"", "uncertain_at = \"98 %\""),
    (R101, "uncertain_at = \"99 %\"", "uncertain_at = \"99.9 %\""),
    (R101, "uncertain_at = \"99 %\"", "uncertain_at = \"never\""),
    (R101, "bad_at       = \"99.9 %\"", "bad_at       = 99.9"),
    (R101, "kind = \"conformal\"", "kind = \"normal\""),
    (R101, "coverage = \"90 %\"", "coverage = \"100 %\""),
    (R101, "coverage = \"90 %\"", "coverage = \"90 %\", adapt = \"20 %\""),
    (R101, "too_wide = \"0.06 mol/l\"", "too_wide = \"6 %\""),
    (R101, "too_wide = \"0.06 mol/l\"", "to_wide = \"0.06 mol/l\""),
    (TURBINE, "too_wide = { CO = \"8 mg/m3\", NOX = \"40 mg/m3\" }", "too_wide = \"8 mg/m3\""),
    (TURBINE, "too_wide = { CO = \"8 mg/m3\", NOX = \"40 mg/m3\" }", "too_wide = { COX = \"8 mg/m3\" }"),
    (R101, "[model.ss.inputs]", "[model.ss.trust]\ndomain = \"T2 and SPE\"\n[model.ss.inputs]"),
    // Optimiser.
    (R101, "every          = \"30 s\"", "every          = \"1500 ms\""),
    (R101, "model          = \"ss\"", "model          = \"sss\""),
    (R101, "price_B*F*cB", "price_b*F*cB"),
    (R101, "maximise       =", "minimise = \"Q\"\nmaximise       ="),
    (R101, "starts         = 8", "starts         = 800"),
    (R101, "stop_after     = \"80 ms\"", "stop_after     = \"6 s\""),
    (R101, "price_B = \"0.60 EUR/mol\"", "price_B = \"cheap\""),
    (R101, "accept_if_gain = \"0.20 EUR/h\"", "accept_if_gain = \"0.20 EUR/h\"\nobjective_unit = \"EUR/d\""),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 50, blocks = [1] }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 10, blocks = [1, 2, 9] }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 10, blocks = [1, 0] }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 10, blocks = [1, 2], step = \"20 s\" }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 10, blocks = [1, 2], step = \"15 s\" }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { steps = 10, blocks = [1, 2], terminal = \"1 EUR/d\" }"),
    (R101, "starts         = 8", "starts = 2\nhorizon = { blocks = [1, 2], length = 3 }"),
    // MVs and CVs.
    (R101, "limits          = [80, 200]", "limits          = [200, 80]"),
    (R101, "up = \"0.2 degC\", down = \"0.5 degC\"", "up = \"20 degC\", down = \"0.5 degC\""),
    (R101, "deadband        = \"0.05 degC\"", "deadband        = \"0.3 degC\""),
    (R101, "within = \"0.1 l/h\", by = \"8 s\"", "within = \"0.1 l/h\", by = \"300 ms\""),
    (R101, "within = \"0.1 l/h\", by = \"8 s\"", "within = \"0.1 l/min\", by = \"3 s\""),
    (R101, "on_shed         = \"hold\"", "on_shed         = \"ramp\""),
    (R101, "\"R101\".\"APC\".\"FeedSp\"'", "\"R101\".\"APC\".\"TempSp\"'"),
    (R101, "\"R101\".\"APC\".\"FeedSp\"'", "\"R101\".\"FIC101\".\"PV\"'"),
    (R101, "write           = 'plc1: nsu=s7;s=\"R101\".\"APC\".\"FeedSp\"'", "write = 'gc: 30200 float32'"),
    (R101, "write           = 'plc1: nsu=s7;s=\"R101\".\"APC\".\"FeedSp\"'", "write = 'gc: 40200 bit 1'"),
    (R101, "operator_limits = [", "operator_limits = ['plc1: i=1', "),
    (R101, "low      = \"1.06 mol/l\"\n", ""),
    (R101, "low      = \"1.06 mol/l\"", "low      = \"1.06 mol/l\"\nhigh = \"1.07 mol/l\""),
    (R101, "value    = \"tag:QY-101\"", "value    = \"tag:TI-101\""),
    (R101, "value    = \"tag:QY-101\"", "value    = \"QY-101\""),
    (R101, "high     = \"6000 kJ/h\"", "high     = \"6000 kW\""),
    // What the optimiser may be told of costs, concern and gains.
    (R101, "domain_cost    = \"2 EUR/h\"", "domain_cost    = \"2 USD/h\""),
    (R101, "domain_cost    = \"2 EUR/h\"", "reach          = \"20 l/h\""),
    (R101, "on_shed         = \"hold\"\n\n[mv.temp]", "move_cost = \"-1 EUR/h\"\n\n[mv.temp]"),
    (R101, "back_off = \"70 kJ/h\"", "back_off = \"half interval\""),
    (R101, "back_off = \"70 kJ/h\"", "concern  = \"0 kJ/h\""),
    (R101, "gains    = { temp = \"-\" }", "gains    = { tmep = \"-\" }"),
    (R101, "gains    = { temp = \"-\" }", "gains    = { temp = \"down\" }"),
    // Handshake and server.
    (R101, "lost_after        = \"10 s\"", "lost_after        = \"2 s\""),
    (R101, "return_after_shed = \"operator\"", "return_after_shed = \"auto\""),
    (R101, "\"FromApp\".\"uiHb\"'", "\"ToApp\".\"uiHb\"'"),
    (R101, "[\"SignAndEncrypt / Basic256Sha256\", \"SignAndEncrypt / Aes256_Sha256_RsaPss\"]", "[]"),
    (R101, "[\"SignAndEncrypt / Basic256Sha256\", \"SignAndEncrypt / Aes256_Sha256_RsaPss\"]", "[\"None\"]"),
    (R101, "role     = \"Engineer\"", "role     = \"Ingenieur\""),
    (R101, "password = \"env:R101_HMI_PASSWORD\"", "password = \"1234\""),
    (TURBINE, "anonymous = \"none\"", "trust_any_client = true"),
    (R101, "[handshake]", "[handshake]\nowner_write = 'plc1: nsu=s7;s=\"R101\".\"APC\".\"FromApp\".\"udiOwnerReq\"'"),
    (R101, "[handshake]", "[handshake_off]"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// One line per diagnostic, without those of the good file (passwords that are not set here) and without this machine's paths.
fn lines(loaded: &Loaded, folder: &Path) -> String {
    let told = loaded.diagnostics.lines().replace(&format!("{}/", folder.display()), "");
    told.lines().filter(|l| !l.contains(" is not set: ")).map(|l| format!("{l}\n")).collect()
}

fn compare(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (i, (a, b)) in expected.lines().zip(now.lines()).enumerate() {
        assert_eq!(a, b, "{name}, line {}", i + 1);
    }
    assert_eq!(expected.lines().count(), now.lines().count(), "{name}");
}

#[test]
fn every_mistake_is_told_in_one_line() {
    let mut now = String::new();
    for (name, find, replace) in CASES {
        let file = folder().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(find), "{name} has no {find}");
        let loaded = load_text(&file, &text.replacen(find, replace, 1));
        let told = lines(&loaded, &folder());
        assert!(!told.is_empty(), "{name}: {find} -> {replace} is not noticed");
        let (find, replace) = (find.escape_debug(), replace.escape_debug());
        now += &format!("# {find} -> {replace}\n{told}\n");
    }
    compare("bad_files.txt", &now);
}

#[test]
fn a_wrong_sheet_is_told_with_its_own_lines() {
    let folder = folder();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tag_sheet.toml");
    std::fs::copy(folder.join("tag_sheet.toml"), &file).unwrap();
    let sheet = std::fs::read_to_string(folder.join("tag_sheet.csv")).unwrap();
    let cases = [
        ("name,text", "name,txt"),
        ("name,text", "name,name"),
        ("name,text,connection", "name,text,conection"),
        (",degC,0,150,60", ",dgC,0,150,60"),
        (",l/h,0,250,", ",l/h,0,\"2,5\","),
        (",l/h,0,250,", ",l/h,0,,"),
        (",l/h,0,250,", ",l/h,0,"),
        ("TI-101,Reactor", "fi-101,Reactor"),
        ("TI-101,Reactor", ",Reactor"),
        ("TI-101,Reactor", "TI 101,Reactor"),
        ("gc,40101,float32", "gc,40101,"),
        ("gc,40101,float32", "gc,40101,flaot32"),
        ("gc,40101,float32", "gd,40101,float32"),
        ("gc,40101,float32", "gc,40102,float32"),
        ("5 s,500 ms,read", "5 s,100 ms,read"),
        ("5 s,500 ms,read", "5 s,500 ms,write"),
        ("hold 10 s then use 116 degC", "hold 10 s then pray"),
        (",0.05,5 min", ",,5 min"),
    ];
    let mut now = String::new();
    for (find, replace) in cases {
        assert!(sheet.contains(find), "the sheet has no {find}");
        std::fs::write(dir.path().join("tag_sheet.csv"), sheet.replacen(find, replace, 1)).unwrap();
        let loaded = load(&file);
        assert!(loaded.config.is_none(), "{find} -> {replace} is not noticed");
        now += &format!("# {find} -> {replace}\n{}\n", lines(&loaded, dir.path()));
    }
    // Spreadsheets of other countries separate by semicolons: the same tags, no complaint.
    let quoted = sheet.replace("GC, every", "GC every").replace(',', ";");
    std::fs::write(dir.path().join("tag_sheet.csv"), format!("\u{feff}{quoted}")).unwrap();
    assert_eq!(lines(&load(&file), dir.path()), "");
    std::fs::remove_file(dir.path().join("tag_sheet.csv")).unwrap();
    now += &format!("# no sheet\n{}\n", lines(&load(&file), dir.path()));
    std::fs::write(dir.path().join("tag_sheet.csv"), "").unwrap();
    now += &format!("# empty sheet\n{}\n", lines(&load(&file), dir.path()));
    compare("bad_sheets.txt", &now);
}

#[test]
fn all_mistakes_are_told_in_one_run_in_three_forms() {
    let file = folder().join(R101);
    let text = std::fs::read_to_string(&file).unwrap();
    let bad = text
        .replacen("start_mode   = \"advisory\"", "start_mode   = \"closed_loop\"", 1)
        .replacen("unit     = \"l/h\"", "unit     = \"lh\"", 1)
        .replacen("deadband        = \"0.05 degC\"", "deadband        = \"0.3 degC\"", 1)
        .replacen("role     = \"Engineer\"", "role     = \"Enginer\"", 1);
    let loaded = load_text(&file, &bad);
    assert_eq!((loaded.diagnostics.errors(), loaded.diagnostics.exit_code()), (4, 2));
    assert!(loaded.config.is_none());
    let rendered = loaded.diagnostics.render(false);
    assert!(rendered.contains("error: tag FI-101, unit: unknown unit 'lh'"), "{rendered}");
    assert!(rendered.contains("^^^^ allowed: a unit of"), "{rendered}");
    assert!(rendered.contains("help: Did you mean 'l/h'?"), "{rendered}");
    assert!(loaded.diagnostics.render(true).contains("\u{1b}["));
    let json: serde_json::Value = serde_json::from_str(&loaded.diagnostics.to_json()).unwrap();
    let errors: Vec<_> = json.as_array().unwrap().iter().filter(|d| d["severity"] == "error").collect();
    assert_eq!(errors.len(), 4);
    assert_eq!(errors[0]["subject"], "app, start_mode");
    assert!(errors[0]["line"].as_u64().unwrap() > 1 && errors[0]["file"].as_str().unwrap().ends_with("r101.toml"));

    assert_eq!(
        load_text(&folder().join("minimal.toml"), &std::fs::read_to_string(folder().join("minimal.toml")).unwrap())
            .diagnostics
            .exit_code(),
        0
    );
    assert_eq!(load_text(&file, &text).diagnostics.exit_code(), 1, "passwords are not set in a test");
    let missing = load(Path::new("no/such/file.toml"));
    assert!(
        missing.diagnostics.lines().contains("no/such/file.toml cannot be read"),
        "{}",
        missing.diagnostics.lines()
    );
}

#[test]
fn a_password_in_clear_text_is_never_repeated() {
    let file = folder().join(R101);
    let text = std::fs::read_to_string(&file).unwrap().replacen("env:R101_PLC_PASSWORD", "geheim4711", 1);
    let diagnostics = load_text(&file, &text).diagnostics;
    let told = format!("{}{}", diagnostics.lines(), diagnostics.to_json());
    assert!(told.contains("clear text") && !told.contains("geheim4711"), "{told}");
    assert!(!diagnostics.render(false).contains("geheim4711"));
}

#[cfg(unix)]
#[test]
fn secrets_come_from_files_and_the_environment() {
    use flyball_config::Secret;
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "s3cret\nsecond line\n").unwrap();
    assert_eq!(Secret::File(path.clone()).resolve(), Ok("s3cret".to_owned()));
    assert_eq!(Secret::Env("PATH".to_owned()).resolve(), Ok(std::env::var("PATH").unwrap()));
    assert!(Secret::Env("FLYBALL_NO_SUCH".to_owned()).resolve().unwrap_err().contains("not set"));
    assert!(Secret::File(dir.path().join("nothing")).resolve().unwrap_err().contains("cannot be read"));

    let text = std::fs::read_to_string(folder().join(OPCUA)).unwrap().replacen("env:PLC1_PASSWORD", "file:secret", 1);
    let told = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        load_text(&dir.path().join("x.toml"), &text).diagnostics.lines()
    };
    assert_eq!(told(0o600), "");
    assert!(told(0o644).contains("can be read by others"));
}
