//! Modbus addresses as vendors print them, and as they go over the wire.
//!
//! On the wire every table counts from 0. Documents count from 1 and put the table in front: 40101 is holding register 101,
//! wire address 100. Both habits look alike, so a connection must say which one its addresses use (`numbering`), and every
//! address can say what it means: "40101 -> FC3, start 100, 2 registers".

use std::fmt;

use crate::address::Numbering;
use crate::model::{DataType, ModbusAddress, ModbusTable, WordOrder};
use crate::quantity::Problem;
use crate::suggest::did_you_mean;
use crate::tree::shorten;

/// Data types by the words of a configuration.
pub(crate) const TYPES: [(&str, DataType); 11] = [
    ("bool", DataType::Bool),
    ("int16", DataType::Int16),
    ("uint16", DataType::UInt16),
    ("int32", DataType::Int32),
    ("uint32", DataType::UInt32),
    ("int64", DataType::Int64),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("bcd16", DataType::Bcd16),
    ("bcd32", DataType::Bcd32),
];

/// Word orders, A = most significant byte.
pub(crate) const ORDERS: [(&str, WordOrder); 4] =
    [("ABCD", WordOrder::Abcd), ("CDAB", WordOrder::Cdab), ("BADC", WordOrder::Badc), ("DCBA", WordOrder::Dcba)];

const TABLES: [(&str, ModbusTable); 4] = [
    ("coil", ModbusTable::Coil),
    ("discrete", ModbusTable::DiscreteInput),
    ("input", ModbusTable::InputRegister),
    ("holding", ModbusTable::HoldingRegister),
];

impl ModbusTable {
    /// First digit in the 4xxxx notation.
    const fn digit(self) -> u32 {
        match self {
            Self::Coil => 0,
            Self::DiscreteInput => 1,
            Self::InputRegister => 3,
            Self::HoldingRegister => 4,
        }
    }

    /// Function code that reads it.
    #[must_use]
    pub const fn read_function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::DiscreteInput => 2,
            Self::HoldingRegister => 3,
            Self::InputRegister => 4,
        }
    }

    /// True for tables of bits.
    #[must_use]
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::DiscreteInput)
    }

    /// True when the table can be written.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Coil | Self::HoldingRegister)
    }

    fn word(self) -> &'static str {
        TABLES.iter().find(|(_, t)| *t == self).map_or("", |(word, _)| word)
    }
}

impl ModbusAddress {
    /// Registers (or bits, in a table of bits) that it fills.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.data.registers()
    }

    /// The number as documents print it: 40101, or 465536 when five digits are not enough.
    #[must_use]
    pub fn notation(&self) -> String {
        let number = u32::from(self.start) + 1;
        let digit = self.table.digit();
        if number <= 9_999 { format!("{digit}{number:04}") } else { format!("{digit}{number:05}") }
    }

    /// What goes over the wire: "40101 -> FC3, start 100, 2 registers, unit 1, CDAB".
    #[must_use]
    pub fn explain(&self) -> String {
        let what = if self.table.is_bits() { "bit" } else { "register" };
        let plural = if self.width() == 1 { "" } else { "s" };
        let order = ORDERS.iter().find(|(_, o)| *o == self.order).map_or("", |(word, _)| word);
        let order = if self.width() == 1 { String::new() } else { format!(", {order}") };
        let bit = self.bit.map_or_else(String::new, |b| format!(", bit {b}"));
        let (function, start, width) = (self.table.read_function(), self.start, self.width());
        format!(
            "{} -> FC{function}, start {start}, {width} {what}{plural}{bit}, unit {}{order}",
            self.notation(),
            self.unit
        )
    }
}

/// "40101 float32", without connection, unit and order.
impl fmt::Display for ModbusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = TYPES.iter().find(|(_, t)| *t == self.data).map_or("", |(word, _)| word);
        match self.bit {
            Some(bit) => write!(f, "{} bit {bit}", self.notation()),
            None => write!(f, "{} {word}", self.notation()),
        }
    }
}

/// Reads `[table] number [type] [bit n] [unit n] [order]`. The flag says that an order was needed and nobody named one.
pub(crate) fn parse(
    text: &str,
    default_unit: u8,
    numbering: Option<Numbering>,
    default_order: Option<WordOrder>,
) -> Result<(ModbusAddress, bool), Problem> {
    let mut words = text.split_whitespace().peekable();
    let wrong = |found: String| {
        Problem::new(found).allowed("[table] number [type] [bit n] [unit n] [order], as \"40101 float32\"")
    };
    let table = words.peek().and_then(|w| TABLES.iter().find(|(name, _)| name == w)).map(|(_, t)| *t);
    if table.is_some() {
        words.next();
    }
    let number = words.next().ok_or_else(|| wrong(format!("found \"{}\"", shorten(text))))?;
    let (table, start) = locate(number, table, numbering)?;

    let (mut data, mut bit, mut unit, mut order) = (None, None, None, None);
    while let Some(word) = words.next() {
        let twice =
            |seen: bool| if seen { Err(wrong(format!("found \"{}\", a word twice", shorten(text)))) } else { Ok(()) };
        let mut value = |low: u8, high: u8| {
            let n = words.next().and_then(|n| n.parse::<u8>().ok()).filter(|n| (low..=high).contains(n));
            n.ok_or_else(|| {
                wrong(format!("found \"{}\"", shorten(text))).allowed(format!("{word} from {low} to {high}"))
            })
        };
        if let Some((_, t)) = TYPES.iter().find(|(name, _)| *name == word) {
            twice(data.is_some())?;
            data = Some(*t);
        } else if let Some((_, o)) = ORDERS.iter().find(|(name, _)| *name == word) {
            twice(order.is_some())?;
            order = Some(*o);
        } else if word == "bit" {
            twice(bit.is_some())?;
            bit = Some(value(0, 15)?);
        } else if word == "unit" {
            twice(unit.is_some())?;
            unit = Some(value(1, 247)?);
        } else if !(word == "(zero-based)" && numbering == Some(Numbering::ZeroBased)) {
            let known = TYPES.iter().map(|(n, _)| *n).chain(ORDERS.iter().map(|(n, _)| *n)).chain(["bit", "unit"]);
            let allowed: Vec<&str> = known.clone().collect();
            return Err(Problem::new(format!("found \"{}\", where '{}' is not known", shorten(text), shorten(word)))
                .allowed(allowed.join(", "))
                .help(did_you_mean(word, known)));
        }
    }

    let data = match (table.is_bits(), bit, data) {
        (true, None, None | Some(DataType::Bool)) | (false, Some(_), None | Some(DataType::Bool)) => DataType::Bool,
        (true, ..) => {
            return Err(wrong(format!("found \"{}\"", shorten(text))).allowed("no type or bit: it is one bit"));
        }
        (false, Some(_), Some(_)) => {
            return Err(wrong(format!("found \"{}\"", shorten(text))).allowed("either a type or 'bit n'"));
        }
        (false, None, Some(DataType::Bool)) => {
            return Err(wrong(format!("found \"{}\"", shorten(text))).allowed("'bit n' to name one bit of a register"));
        }
        (false, None, Some(data)) => data,
        (false, None, None) => {
            let allowed: Vec<&str> = TYPES.iter().skip(1).map(|(name, _)| *name).collect();
            return Err(Problem::new(format!("found \"{}\" without a type", shorten(text))).allowed(allowed.join(", ")));
        }
    };
    if u32::from(start) + u32::from(data.registers()) > 65_536 {
        return Err(wrong(format!("\"{}\" reaches beyond the last register", shorten(text)))
            .allowed("wire addresses up to 65535"));
    }
    let guess = order.or(default_order).is_none() && data.registers() > 1;
    let order = order.or(default_order).unwrap_or(WordOrder::Abcd);
    Ok((ModbusAddress { unit: unit.unwrap_or(default_unit), table, start, data, bit, order }, guess))
}

/// Table and wire address of a number.
fn locate(
    number: &str,
    table: Option<ModbusTable>,
    numbering: Option<Numbering>,
) -> Result<(ModbusTable, u16), Problem> {
    let value: Option<u32> =
        number.parse().ok().filter(|_| number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit()));
    let Some(value) = value else {
        return Err(Problem::new(format!("'{}' is not a register number", shorten(number))).allowed("digits only"));
    };
    // Without a (readable) numbering, which is reported at the connection, guess from the look.
    let looks_five = number.len() == 5 || number.len() == 6;
    match numbering.unwrap_or(if looks_five { Numbering::FiveDigit } else { Numbering::ZeroBased }) {
        Numbering::ZeroBased => {
            let Some(table) = table else {
                return Err(Problem::new(format!("found {number} without a table in a zero-based connection"))
                    .allowed("holding, input, coil or discrete before the number")
                    .help("If this is a number of the form 40101, the connection's numbering must say so."));
            };
            let start = u16::try_from(value)
                .map_err(|_| Problem::new(format!("found {number}")).allowed("a wire address from 0 to 65535"))?;
            Ok((table, start))
        }
        Numbering::FiveDigit => prefixed(number, value, 5, table),
        Numbering::SixDigit => prefixed(number, value, 6, table),
    }
}

fn prefixed(
    number: &str,
    value: u32,
    digits: usize,
    table: Option<ModbusTable>,
) -> Result<(ModbusTable, u16), Problem> {
    let example = if digits == 5 { "40101" } else { "400101" };
    let wrong = |found: String| {
        Problem::new(found).allowed(format!("{digits} digits as the connection's numbering says, as {example}"))
    };
    if number.len() != digits {
        let help = "One connection uses one style: change the number, or the connection's numbering.";
        return Err(wrong(format!("found {number}, another style of numbering")).help(help));
    }
    let power = 10u32.pow(digits as u32 - 1);
    let (digit, register) = (value / power, value % power);
    let Some(from_digit) = TABLES.iter().map(|(_, t)| *t).find(|t| t.digit() == digit) else {
        return Err(
            wrong(format!("found {number}")).help("The first digit is 0 coil, 1 discrete, 3 input or 4 holding.")
        );
    };
    if register == 0 {
        let first = format!("{digit}{:0width$}", 1, width = digits - 1);
        let help =
            format!("The first register is {first}; write numbering = \"zero-based\" if the document counts from 0.");
        return Err(Problem::new(format!("found {number}")).allowed(format!("{first} or more")).help(help));
    }
    if let Some(table) = table.filter(|t| *t != from_digit) {
        let (said, is) = (table.word(), from_digit.word());
        return Err(wrong(format!("found {said} {number}, but {number} is a {is} number")));
    }
    let start = u16::try_from(register - 1).map_err(|_| wrong(format!("found {number}, beyond register 65536")))?;
    Ok((from_digit, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, numbering: Numbering) -> Result<ModbusAddress, String> {
        parse(text, 1, Some(numbering), Some(WordOrder::Abcd))
            .map(|(a, _)| a)
            .map_err(|p| format!("{} {}", p.found, p.help))
    }

    #[test]
    fn the_wire_address_is_said() {
        let explain = |text, n| read(text, n).unwrap().explain();
        assert_eq!(
            explain("40101 float32 CDAB", Numbering::FiveDigit),
            "40101 -> FC3, start 100, 2 registers, unit 1, CDAB"
        );
        assert_eq!(explain("400101 uint16 unit 5", Numbering::SixDigit), "40101 -> FC3, start 100, 1 register, unit 5");
        assert_eq!(explain("465536 int16", Numbering::SixDigit), "465536 -> FC3, start 65535, 1 register, unit 1");
        assert_eq!(explain("input 30010 int16", Numbering::FiveDigit), "30010 -> FC4, start 9, 1 register, unit 1");
        assert_eq!(explain("coil 00017", Numbering::FiveDigit), "00017 -> FC1, start 16, 1 bit, unit 1");
        assert_eq!(explain("10001", Numbering::FiveDigit), "10001 -> FC2, start 0, 1 bit, unit 1");
        assert_eq!(explain("40110 bit 3", Numbering::FiveDigit), "40110 -> FC3, start 109, 1 register, bit 3, unit 1");
        assert_eq!(
            explain("holding 100 float64", Numbering::ZeroBased),
            "40101 -> FC3, start 100, 4 registers, unit 1, ABCD"
        );
    }

    #[test]
    fn wrong_and_mixed_styles_are_refused() {
        let five = [
            "40000 int16",
            "400101 int16",
            "100 int16",
            "holding 100 int16",
            "20001 int16",
            "input 40001 int16",
            "4x101 int16",
        ];
        for bad in five {
            assert!(read(bad, Numbering::FiveDigit).is_err(), "{bad}");
        }
        let more = [
            "40101",
            "40101 float",
            "40101 bool",
            "40101 int16 bit 3",
            "40101 bit 16",
            "40101 bit",
            "40101 unit 0 int16",
        ];
        for bad in more.into_iter().chain([
            "40101 int16 int16",
            "00017 int16",
            "",
            "holding",
            "40101 int16 unit 248",
            "-40101 int16",
        ]) {
            assert!(read(bad, Numbering::FiveDigit).is_err(), "{bad}");
        }
        for bad in ["40101 int16", "holding 65536 int16", "holding 65535 float32", "holding 65535 int16 CDBA"] {
            assert!(read(bad, Numbering::ZeroBased).is_err(), "{bad}");
        }
        assert!(read("465537 int16", Numbering::SixDigit).is_err());
        assert!(read("40101 int16", Numbering::SixDigit).is_err());
        assert!(read("40000 int16", Numbering::FiveDigit).unwrap_err().contains("40001"));
        assert!(read("40001 flaot32", Numbering::FiveDigit).unwrap_err().contains("float32"));
    }

    #[test]
    fn a_missing_order_is_noticed_only_where_it_matters() {
        let guess = |text| parse(text, 1, Some(Numbering::FiveDigit), None).unwrap().1;
        assert!(guess("40001 float32") && !guess("40001 float32 CDAB") && !guess("40001 int16"));
    }
}
