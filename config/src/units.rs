//! Engineering units with their UNECE codes (OPC UA Part 8, EUInformation).
//!
//! A unit is known by its symbol or by an accepted alias; nothing is ever converted silently.
//! `unitId` is the UNECE Recommendation 20 code packed 8 bits per character, as OPC UA Part 8 lays down.

use std::fmt;

use crate::suggest::nearest;

/// An engineering unit: a row of the unit table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit(pub &'static UnitRow);

/// One row of the unit table.
#[derive(Debug, PartialEq, Eq)]
pub struct UnitRow {
    /// How it is written in configurations and shown ("degC").
    pub symbol: &'static str,
    /// EUInformation.unitId, or -1 where UNECE has no code.
    pub unit_id: i32,
    /// EUInformation.displayName ("\u{b0}C").
    pub display: &'static str,
    /// EUInformation.description ("degree Celsius").
    pub description: &'static str,
}

impl Unit {
    /// The unit of a number without a unit.
    pub const ONE: Self = Self(&UNITS[0]);
    /// Percent.
    pub const PERCENT: Self = Self(&UNITS[1]);

    /// Finds a unit by its symbol or an accepted alias; capitals matter (`MW` is not `mW`).
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let symbol = ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, symbol)| symbol);
        UNITS.iter().find(|row| row.symbol == symbol).map(Unit)
    }

    /// The symbol that looks most like `text`, for messages.
    #[must_use]
    pub fn nearest(text: &str) -> Option<&'static str> {
        let names = UNITS.iter().map(|row| row.symbol).chain(ALIASES.iter().map(|(alias, _)| *alias));
        nearest(text, names)
    }

    /// All units, for the configuration reference.
    pub fn all() -> impl Iterator<Item = Self> {
        UNITS.iter().map(Unit)
    }

    /// The symbol ("degC").
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        self.0.symbol
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.symbol)
    }
}

/// A UNECE code packed 8 bits per character; -1 for an empty code.
const fn pack(code: &str) -> i32 {
    let bytes = code.as_bytes();
    if bytes.is_empty() {
        return -1;
    }
    let mut id = 0;
    let mut i = 0;
    while i < bytes.len() {
        id = (id << 8) | bytes[i] as i32;
        i += 1;
    }
    id
}

const fn row(symbol: &'static str, code: &str, display: &'static str, description: &'static str) -> UnitRow {
    UnitRow { symbol, unit_id: pack(code), display, description }
}

/// The table. Codes: OPC Foundation's UNECE mapping file; `P1` (percent) and `59` (ppm) are missing there and added by hand.
static UNITS: &[UnitRow] = &[
    row("1", "C62", "", "one"),
    row("%", "P1", "%", "percent"),
    row("ppm", "59", "ppm", "part per million"),
    row("degC", "CEL", "\u{b0}C", "degree Celsius"),
    row("K", "KEL", "K", "kelvin"),
    row("degF", "FAH", "\u{b0}F", "degree Fahrenheit"),
    row("bar", "BAR", "bar", "bar"),
    row("mbar", "MBR", "mbar", "millibar"),
    row("kPa", "KPA", "kPa", "kilopascal"),
    row("Pa", "PAL", "Pa", "pascal"),
    row("m3/h", "MQH", "m\u{b3}/h", "cubic metre per hour"),
    row("l/h", "E92", "l/h", "cubic decimetre per hour"),
    row("l/min", "L2", "l/min", "litre per minute"),
    row("kg/h", "E93", "kg/h", "kilogram per hour"),
    row("t/h", "E18", "t/h", "tonne per hour"),
    row("kg/s", "KGS", "kg/s", "kilogram per second"),
    row("mol/l", "C38", "mol/l", "mole per litre"),
    row("kmol/m3", "B46", "kmol/m\u{b3}", "kilomole per cubic metre"),
    row("kmol/h", "K58", "kmol/h", "kilomole per hour"),
    row("kJ/h", "P20", "kJ/h", "kilojoule per hour"),
    row("kW", "KWT", "kW", "kilowatt"),
    row("MW", "MAW", "MW", "megawatt"),
    row("MWh", "MWH", "MWh", "megawatt hour"),
    row("r/min", "RPM", "r/min", "revolution per minute"),
    row("Hz", "HTZ", "Hz", "hertz"),
    row("ms", "C26", "ms", "millisecond"),
    row("s", "SEC", "s", "second"),
    row("min", "MIN", "min", "minute"),
    row("h", "HUR", "h", "hour"),
    row("d", "DAY", "d", "day"),
    row("pH", "Q30", "pH", "pH (potential of hydrogen)"),
    row("mPa.s", "C24", "mPa\u{b7}s", "millipascal second"),
    row("mm", "MMT", "mm", "millimetre"),
    row("m", "MTR", "m", "metre"),
    row("l", "LTR", "l", "litre"),
    row("m3", "MTQ", "m\u{b3}", "cubic metre"),
    row("kg", "KGM", "kg", "kilogram"),
    row("t", "TNE", "t", "tonne"),
    row("kg/m3", "KMQ", "kg/m\u{b3}", "kilogram per cubic metre"),
    row("mg/m3", "GP", "mg/m\u{b3}", "milligram per cubic metre"),
    row("V", "VLT", "V", "volt"),
    row("A", "AMP", "A", "ampere"),
    row("EUR/h", "", "EUR/h", "euro per hour"),
    row("$/kmol", "", "$/kmol", "US dollar per kilomole"),
];

/// Other accepted spellings.
static ALIASES: &[(&str, &str)] = &[
    ("\u{b0}C", "degC"),
    ("C", "degC"),
    ("\u{b0}F", "degF"),
    ("percent", "%"),
    ("m\u{b3}/h", "m3/h"),
    ("dm3/h", "l/h"),
    ("L/h", "l/h"),
    ("L/min", "l/min"),
    ("mol/L", "mol/l"),
    ("kmol/m\u{b3}", "kmol/m3"),
    ("rpm", "r/min"),
    ("mPa\u{b7}s", "mPa.s"),
    ("kg/m\u{b3}", "kg/m3"),
    ("mg/m\u{b3}", "mg/m3"),
    ("m\u{b3}", "m3"),
    ("sec", "s"),
    ("-", "1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs from the OPC Foundation's UNECE mapping file.
    #[test]
    fn unit_ids_are_those_of_the_mapping_file() {
        let expected = [
            ("degC", 4_408_652),
            ("K", 4_932_940),
            ("bar", 4_342_098),
            ("kPa", 4_935_745),
            ("Pa", 5_259_596),
            ("m3/h", 5_067_080),
            ("l/h", 4_536_626),
            ("l/min", 19_506),
            ("kg/h", 4_536_627),
            ("t/h", 4_534_584),
            ("kg/s", 4_933_459),
            ("mol/l", 4_404_024),
            ("kmol/m3", 4_338_742),
            ("kmol/h", 4_928_824),
            ("kJ/h", 5_255_728),
            ("kW", 4_937_556),
            ("MW", 5_062_999),
            ("r/min", 5_394_509),
            ("Hz", 4_740_186),
            ("s", 5_457_219),
            ("min", 5_065_038),
            ("ms", 4_403_766),
            ("pH", 5_321_520),
            ("mPa.s", 4_403_764),
            ("mm", 5_066_068),
            ("kg/m3", 4_934_993),
            ("1", 4_404_786),
            ("%", 20_529),
            ("EUR/h", -1),
            ("$/kmol", -1),
        ];
        for (symbol, id) in expected {
            assert_eq!(Unit::named(symbol).map(|u| u.0.unit_id), Some(id), "{symbol}");
        }
    }

    #[test]
    fn every_symbol_is_unique_and_every_alias_leads_to_one() {
        for unit in Unit::all() {
            assert_eq!(Unit::all().filter(|u| u.symbol() == unit.symbol()).count(), 1, "{unit}");
        }
        for (alias, symbol) in ALIASES {
            assert_eq!(Unit::named(alias).map(Unit::symbol), Some(*symbol), "{alias}");
        }
        assert_eq!((Unit::ONE.symbol(), Unit::PERCENT.symbol()), ("1", "%"));
    }

    #[test]
    fn a_wrong_spelling_finds_its_neighbour() {
        assert_eq!(Unit::named("DegC"), None);
        assert_eq!(Unit::nearest("DegC"), Some("degC"));
    }
}
