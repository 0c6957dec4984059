//! Protobuf by hand: the wire format is four rules, and the description of a message is itself a message of it.
//!
//! Field numbers of the descriptor are those of `google/protobuf/descriptor.proto`.

use std::collections::BTreeSet;

/// A message under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// A whole number; zero is left out, as proto3 does.
    pub fn whole(&mut self, field: u32, value: u64) -> &mut Self {
        if value != 0 {
            self.key(field, 0);
            varint(&mut self.0, value);
        }
        self
    }

    /// A number of 64 bits. Zero is written too: a plot needs it.
    pub fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.key(field, 1);
        self.0.extend(value.to_bits().to_le_bytes());
        self
    }

    /// A text.
    pub fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// A message inside this one.
    pub fn nested(&mut self, field: u32, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0)
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.key(field, 2);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn key(&mut self, field: u32, wire: u32) {
        varint(&mut self.0, u64::from(field << 3 | wire));
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// 64-bit number.
    Double,
    /// Whole number of 64 bits.
    U64,
    /// Whole number of 32 bits.
    U32,
    /// Yes or no.
    Bool,
    /// An enumeration, by its full name with a leading dot.
    Enum(&'a str),
    /// A message, by its full name with a leading dot.
    Message(&'a str),
}

/// Number of the `at`th field (from 0) of a message with one field per tag. 19000 to 19999 belong to protobuf itself.
pub fn number(at: usize) -> u32 {
    let number = at as u32 + 1;
    if number < 19_000 { number } else { number + 1_000 }
}

/// Describes a message: name and fields.
pub fn describe(name: &str, fields: &[(u32, &str, Kind<'_>)]) -> Message {
    let mut message = Message::default();
    message.text(1, name);
    for (number, name, kind) in fields {
        message.nested(2, |f| {
            let (code, of) = match kind {
                Kind::Double => (1, None),
                Kind::U64 => (4, None),
                Kind::Bool => (8, None),
                Kind::Message(of) => (11, Some(of)),
                Kind::U32 => (13, None),
                Kind::Enum(of) => (14, Some(of)),
            };
            // Label 1 is "optional": one value. The JSON name is the name itself, or TI_101 would become TI101.
            f.text(1, name).whole(3, u64::from(*number)).whole(4, 1).whole(5, code);
            if let Some(of) = of {
                f.text(6, of);
            }
            f.text(10, name);
        });
    }
    message
}

/// Describes an enumeration.
pub fn describe_enum(name: &str, values: &[(u32, &str)]) -> Message {
    let mut message = Message::default();
    message.text(1, name);
    for (number, name) in values {
        // Zero must be said in a descriptor, where the default would be "no number".
        message.nested(2, |v| {
            v.text(1, name).key(2, 0);
            varint(&mut v.0, u64::from(*number));
        });
    }
    message
}

/// A set of one file that holds these messages and enumerations.
pub fn file_set(file: &str, package: &str, messages: &[Message], enums: &[Message]) -> Vec<u8> {
    let mut set = Message::default();
    set.nested(1, |f| {
        f.text(1, file).text(2, package);
        for message in messages {
            f.bytes(4, &message.0);
        }
        for one in enums {
            f.bytes(5, &one.0);
        }
        f.text(12, "proto3");
    });
    set.0
}

/// Names as protobuf allows them: letters, digits and underscores, not beginning with a digit. A name that is taken, capitals aside, gets a number.
#[must_use]
pub fn identifiers(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names.map(|name| identifier(&name, &mut taken)).collect()
}

fn identifier(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut text: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    let mut unique = text.clone();
    let mut n = 2;
    while !taken.insert(unique.to_ascii_lowercase()) {
        unique = format!("{text}_{n}");
        n += 1;
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_bytes_are_those_of_the_specification() {
        // protobuf.dev, "Encoding": field 1 = 150 is 08 96 01; field 2 = "testing" is 12 07 ...
        let mut m = Message::default();
        m.whole(1, 150).text(2, "testing").whole(3, 0);
        assert_eq!(m.0, [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing"].concat());
        let mut m = Message::default();
        m.nested(3, |inner| {
            inner.whole(1, 150);
        });
        assert_eq!(m.0, [0x1A, 0x03, 0x08, 0x96, 0x01]);
        let mut m = Message::default();
        m.double(1, 1.0);
        assert_eq!(m.0, [0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]);
    }

    #[test]
    fn names_become_identifiers_and_stay_different() {
        let names = ["TI-101", "20FI.3/b", "TI_101", "ti_101_2", "ti-101"].map(String::from);
        let got = identifiers(names.into_iter());
        assert_eq!(got, ["TI_101", "_20FI_3_b", "TI_101_2", "ti_101_2_2", "ti_101_3"]);
    }

    #[test]
    fn reserved_field_numbers_are_left_out() {
        assert_eq!((number(0), number(18_998), number(18_999), number(19_999)), (1, 18_999, 20_000, 21_000));
    }
}
