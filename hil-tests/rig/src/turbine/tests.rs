//! The data file is the stated one, registers show what the map says, and the analysers are late.

use super::*;
use flyball_config::{DataType, ModbusAddress, WordOrder};

fn data() -> Turbine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gas_turbine/gt_2013.csv");
    Turbine::read(&path).expect("the file is part of the project")
}

fn float(words: &[u16; WORDS], start: usize) -> f32 {
    f32::from_bits((u32::from(words[start]) << 16) | u32::from(words[start + 1]))
}

#[test]
fn the_file_of_2013() {
    let t = data();
    assert_eq!(t.rows(), 7152);
    assert_eq!(t.row(0).map(|r| (r[0], r[7], r[10])), Some((9.3779, 110.16, 98.741)));
}

#[test]
fn live_and_late_registers() {
    let t = data();
    let words = t.registers(30, 10, 1234.0);
    assert_eq!(float(&words, 0), t.rows[30][0] as f32);
    assert_eq!(float(&words, 14), t.rows[30][8] as f32, "CDP comes before TEY");
    assert!(float(&words, 18).is_nan(), "row 6 was never shown");
    assert_eq!(words[22..24], [0, 0]);
    assert_eq!(words[32..36], [0; 4]);
    let words = t.registers(34, 10, 65_538.25);
    assert_eq!(float(&words, 18), t.rows[10][9] as f32);
    assert_eq!(float(&words, 20), t.rows[10][10] as f32);
    assert_eq!(float(&words, 24), t.rows[10][7] as f32);
    assert_eq!(words[22..24], [1, 2]);
    assert_eq!(float(&words, 26), t.rows[34][9] as f32);
    assert_eq!(words[31], 34);
    let exactly = flyball_modbus::codec::decode(&words[32..36], DataType::Float64, WordOrder::Abcd);
    assert_eq!(exactly.expect("a double"), 65_538.25);
}

#[test]
fn the_map_is_contiguous_and_documented() {
    for (i, (start, _, _)) in REGISTERS.iter().enumerate() {
        assert_eq!(usize::from(*start), 2 * i);
    }
    assert_eq!(REGISTERS.len() * 2 + 2, WORDS, "the last one is a float64");
    assert!(register_map().contains("| 40019-40020 | float32 | CO analyser, late, mg/m3 |"));
    assert!(register_map().contains("| 40033-40036 | float64 | when the late"));
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let bad = |text: &str| Turbine::parse(text).expect_err("bad");
    let header = COLUMNS.join(",");
    assert!(bad("A,B\n1,2\n").contains("columns are A,B"));
    assert!(bad(&format!("{header}\n")).contains("no rows"));
    assert!(bad(&format!("{header}\n1,2,3,4,5,6,7,8,9,10,x\n")).contains("line 2, NOX"));
    assert!(bad(&format!("{header}\n1,2,3,4,5,6,7,8,9,10,nan\n")).contains("line 2, NOX"));
}

#[test]
fn rows_pass_on_a_real_socket() {
    let options = TurbineOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        first: 100,
        rows: 40,
        period: Duration::from_millis(2),
    };
    let t = data();
    let server = TurbineServer::start(t.clone(), options).expect("starts");
    while server.row() < 139 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let words = crate::wire_test::read_holding(server.address(), UNIT, 0, WORDS as u8);
    let words: [u16; WORDS] = words.try_into().expect("the whole map");
    assert_eq!(float(&words, 0), t.rows[139][0] as f32, "the last row stays");
    assert_eq!(float(&words, 18), t.rows[115][9] as f32);
    let address = ModbusAddress {
        unit: UNIT,
        table: ModbusTable::HoldingRegister,
        start: 18,
        data: DataType::Float32,
        bit: None,
        order: WordOrder::Abcd,
    };
    let decoded = flyball_modbus::codec::decode(&words[18..20], address.data, address.order).expect("a float");
    assert_eq!(decoded, f64::from(t.rows[115][9] as f32));
}

#[test]
fn held_rows_wait_for_play_and_a_row_is_stamped_at_its_end() {
    let options = TurbineOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        first: 0,
        rows: LATE_ROWS + 1,
        period: Duration::from_millis(5),
    };
    assert_eq!(Turbine::year_2013(), data());
    let server = TurbineServer::hold(Turbine::year_2013(), options).expect("starts");
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(server.row(), 0, "held");
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    server.play();
    while server.row() < LATE_ROWS {
        std::thread::sleep(Duration::from_millis(2));
    }
    let words = crate::wire_test::read_holding(server.address(), UNIT, 32, 4);
    let sampled = flyball_modbus::codec::decode(&words, DataType::Float64, WordOrder::Abcd).expect("a double");
    assert!(sampled >= before + 0.005, "row 0 ended one period after play: {sampled} {before}");
}
