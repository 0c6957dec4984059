//! Writing Parquet: flat tables of numbers, flags and short texts, one page per column and row group, Snappy.
//!
//! Why not the crate `parquet`: half a minute of compile time and thirty crates for what is here two hundred lines. The format is thrift's compact
//! protocol round plain arrays (parquet-format 2.x, parquet.thrift); pyarrow and DuckDB judge the files in CI.

use std::io::{self, Write};

/// First and last four bytes.
const MAGIC: &[u8] = b"PAR1";
/// Encodings of parquet.thrift.
const PLAIN: i64 = 0;
const RLE: i64 = 3;
/// Compression codec of parquet.thrift.
const SNAPPY: i64 = 1;

/// Values of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// UTC, microseconds since 1970.
    Time(Vec<i64>),
    /// Whole numbers.
    Whole(Vec<i64>),
    /// Numbers that may be missing.
    Number(Vec<Option<f64>>),
    /// Yes or no.
    Flag(Vec<bool>),
    /// Short texts.
    Text(Vec<&'static str>),
    /// Short texts of a configuration.
    Name(Vec<String>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Time(v) | Self::Whole(v) => v.len(),
            Self::Number(v) => v.len(),
            Self::Flag(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Name(v) => v.len(),
        }
    }

    /// Physical type and converted type of parquet.thrift.
    const fn types(&self) -> (i64, Option<i64>) {
        match self {
            Self::Time(_) => (2, Some(10)),
            Self::Whole(_) => (2, None),
            Self::Number(_) => (5, None),
            Self::Flag(_) => (0, None),
            Self::Text(_) | Self::Name(_) => (6, Some(0)),
        }
    }

    /// Which values are there (for numbers only), then the values that are.
    fn page(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        };
        match self {
            Self::Time(v) | Self::Whole(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::Flag(v) => out.extend(bits(v)),
            Self::Text(v) => v.iter().for_each(|x| text(&mut out, x)),
            Self::Name(v) => v.iter().for_each(|x| text(&mut out, x)),
            Self::Number(v) => {
                // One bit-packed run of levels of one bit: its header counts groups of eight.
                let there: Vec<bool> = v.iter().map(Option::is_some).collect();
                let mut levels = Vec::new();
                varint(&mut levels, (v.len().div_ceil(8) as u64) << 1 | 1);
                levels.extend(bits(&there));
                out.extend((levels.len() as u32).to_le_bytes());
                out.extend(levels);
                v.iter().flatten().for_each(|x| out.extend(x.to_le_bytes()));
            }
        }
        out
    }
}

/// Bits, least significant first.
fn bits(flags: &[bool]) -> Vec<u8> {
    flags.chunks(8).map(|eight| eight.iter().enumerate().fold(0, |byte, (at, &b)| byte | u8::from(b) << at)).collect()
}

/// Writes one file.
pub struct Writer<W: Write> {
    out: W,
    at: u64,
    names: Vec<String>,
    types: Vec<(i64, Option<i64>, bool)>,
    groups: Vec<Group>,
}

struct Group {
    rows: i64,
    columns: Vec<Chunk>,
}

struct Chunk {
    begin: u64,
    unpacked: i64,
    packed: i64,
}

impl<W: Write> Writer<W> {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, names: Vec<String>) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, at: MAGIC.len() as u64, names, types: Vec::new(), groups: Vec::new() })
    }

    /// Writes rows: one column per name, all of one length, of the same kinds as those before.
    ///
    /// # Errors
    /// What `out` says.
    pub fn rows(&mut self, columns: &[Column]) -> io::Result<()> {
        assert_eq!(columns.len(), self.names.len(), "a column per name");
        let rows = columns.first().map_or(0, Column::len);
        assert!(columns.iter().all(|c| c.len() == rows), "columns of one length");
        if rows == 0 {
            return Ok(());
        }
        self.types = columns.iter().map(|c| (c.types().0, c.types().1, matches!(c, Column::Number(_)))).collect();
        let mut group = Group { rows: rows as i64, columns: Vec::new() };
        for column in columns {
            let page = column.page();
            let packed = snap::raw::Encoder::new().compress_vec(&page).map_err(io::Error::other)?;
            let mut header = Thrift::default();
            header.whole(1, 5, 0).whole(2, 5, page.len() as i64).whole(3, 5, packed.len() as i64);
            header.nested(5, |h| {
                h.whole(1, 5, rows as i64).whole(2, 5, PLAIN).whole(3, 5, RLE).whole(4, 5, RLE);
            });
            header.stop();
            let head = header.bytes.len() as i64;
            group.columns.push(Chunk {
                begin: self.at,
                unpacked: head + page.len() as i64,
                packed: head + packed.len() as i64,
            });
            self.out.write_all(&header.bytes)?;
            self.out.write_all(&packed)?;
            self.at += header.bytes.len() as u64 + packed.len() as u64;
        }
        self.groups.push(group);
        Ok(())
    }

    /// Writes the footer with names and values for whoever looks.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self, about: &[(String, String)]) -> io::Result<W> {
        let mut t = Thrift::default();
        t.whole(1, 5, 1);
        t.list(2, 12, self.names.len() + 1);
        t.element(|t| {
            t.text(4, "scan").whole(5, 5, self.names.len() as i64);
        });
        for (name, (physical, converted, optional)) in self.names.iter().zip(&self.types) {
            t.element(|t| {
                t.whole(1, 5, *physical).whole(3, 5, i64::from(*optional)).text(4, name);
                if let Some(converted) = converted {
                    t.whole(6, 5, *converted);
                }
            });
        }
        t.whole(3, 6, self.groups.iter().map(|g| g.rows).sum());
        t.list(4, 12, self.groups.len());
        for group in &self.groups {
            t.element(|t| {
                t.list(1, 12, group.columns.len());
                for ((chunk, name), (physical, ..)) in group.columns.iter().zip(&self.names).zip(&self.types) {
                    t.element(|t| {
                        t.whole(2, 6, chunk.begin as i64);
                        t.nested(3, |t| {
                            t.whole(1, 5, *physical);
                            t.list(2, 5, 2).item(PLAIN).item(RLE);
                            t.list(3, 8, 1).word(name);
                            t.whole(4, 5, SNAPPY).whole(5, 6, group.rows);
                            t.whole(6, 6, chunk.unpacked).whole(7, 6, chunk.packed).whole(9, 6, chunk.begin as i64);
                        });
                    });
                }
                t.whole(2, 6, group.columns.iter().map(|c| c.unpacked).sum()).whole(3, 6, group.rows);
            });
        }
        t.list(5, 12, about.len());
        for (key, value) in about {
            t.element(|t| {
                t.text(1, key).text(2, value);
            });
        }
        t.text(6, concat!("flyball ", env!("CARGO_PKG_VERSION")));
        t.stop();
        self.out.write_all(&t.bytes)?;
        self.out.write_all(&(t.bytes.len() as u32).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A struct in thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    /// Number of the field before: fields are written as differences.
    last: i64,
}

impl Thrift {
    /// A field's kind (5: i32, 6: i64, 8: text, 9: list, 12: struct) and number.
    fn field(&mut self, number: i64, kind: u8) {
        // All structs here number their fields upwards with steps below 16.
        self.bytes.push(((number - self.last) as u8) << 4 | kind);
        self.last = number;
    }

    fn whole(&mut self, number: i64, kind: u8, value: i64) -> &mut Self {
        self.field(number, kind);
        self.item(value)
    }

    fn text(&mut self, number: i64, text: &str) -> &mut Self {
        self.field(number, 8);
        self.word(text)
    }

    fn list(&mut self, number: i64, kind: u8, length: usize) -> &mut Self {
        self.field(number, 9);
        self.bytes.push(0xF0 | kind);
        varint(&mut self.bytes, length as u64);
        self
    }

    /// An element of a list of numbers.
    fn item(&mut self, value: i64) -> &mut Self {
        varint(&mut self.bytes, (value << 1 ^ value >> 63) as u64);
        self
    }

    /// An element of a list of texts.
    fn word(&mut self, text: &str) -> &mut Self {
        varint(&mut self.bytes, text.len() as u64);
        self.bytes.extend(text.as_bytes());
        self
    }

    /// An element of a list of structs.
    fn element(&mut self, fill: impl FnOnce(&mut Self)) {
        let last = std::mem::take(&mut self.last);
        fill(self);
        self.stop();
        self.last = last;
    }

    fn nested(&mut self, number: i64, fill: impl FnOnce(&mut Self)) {
        self.field(number, 12);
        self.element(fill);
    }

    fn stop(&mut self) {
        self.bytes.push(0);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specifications() {
        assert_eq!(bits(&[true, false, true, true, false, false, false, false, true]), [0b1101, 1]);
        let mut t = Thrift::default();
        // thrift-compact-protocol.md: field 1, i32, value 1 (zigzag 2); field 4, i64, value -1 (zigzag 1); stop.
        t.whole(1, 5, 1).whole(4, 6, -1).stop();
        assert_eq!(t.bytes, [0x15, 2, 0x36, 1, 0]);
        // encodings.md: levels of one bit, a bit-packed run of one group has the header 3.
        let page = Column::Number(vec![Some(1.0), None]).page();
        assert_eq!(page[..6], [2, 0, 0, 0, 3, 1]);
        assert_eq!(page[6..], 1.0_f64.to_le_bytes());
    }

    #[test]
    fn a_file_has_its_marks_and_its_footer_where_it_says() {
        let mut w = Writer::new(Vec::new(), vec!["a".into(), "b".into()]).expect("memory");
        w.rows(&[Column::Whole(vec![1, 2]), Column::Text(vec!["x", "yz"])]).expect("memory");
        let file = w.finish(&[("k".into(), "v".into())]).expect("memory");
        let end = file.len() - 8;
        let length = u32::from_le_bytes(file[end..end + 4].try_into().expect("four")) as usize;
        assert!(file.starts_with(MAGIC) && file.ends_with(MAGIC));
        assert_eq!(file[end - length..end - length + 2], [0x15, 2], "version 1 opens the footer");
    }
}
