//! Which requests read a list of values. Why this file: few requests are fast, but a value split over two of them is a wrong value.
//!
//! Words: a *span* is the registers (or bits) of one value; a *run* is a chain of spans in one table of one unit with holes of at most
//! `gap_limit`; a *block* is one read request. A value lies wholly inside one block, always. A tag and its `sampled_at` and `good_when`
//! lie in one block when they are in one run and fit one request, so that value, time and quality belong together.
//!
//! Done once at start; work is n log n in the number of tags.

use flyball_config::{Address, ModbusAddress, ModbusConnection, ModbusTable, Tag};

/// Bits per read request at most (Modbus Application Protocol V1.1b3, 6.1).
pub const READ_BITS_MAX: u16 = 2000;
/// Registers per read request at most (V1.1b3, 6.3).
pub const READ_REGISTERS_MAX: u16 = 125;

/// One read request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Unit id.
    pub unit: u8,
    /// Table.
    pub table: ModbusTable,
    /// First register or bit, zero-based.
    pub start: u16,
    /// Registers or bits.
    pub count: u16,
}

/// Where the raw data of one value are after a poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Index in `ReadPlan::blocks`.
    pub block: usize,
    /// First register or bit inside the block.
    pub offset: usize,
    /// How to read them.
    pub address: ModbusAddress,
}

/// Places of one tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// The value.
    pub value: Place,
    /// When it was sampled.
    pub sampled_at: Option<Place>,
    /// Whether it is valid, and the value that says so.
    pub good_when: Option<(Place, f64)>,
}

/// All requests of one poll.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadPlan {
    /// Requests, ordered by unit, table and address.
    pub blocks: Vec<Block>,
    /// One per tag, in the order given. None for a tag whose address is not Modbus (a mistake of the caller; it stays Bad).
    pub items: Vec<Option<Item>>,
}

/// Registers or bits that an address fills.
#[must_use]
pub fn width(address: &ModbusAddress) -> u32 {
    match address.table {
        ModbusTable::Coil | ModbusTable::DiscreteInput => 1,
        ModbusTable::HoldingRegister | ModbusTable::InputRegister if address.bit.is_some() => 1,
        ModbusTable::HoldingRegister | ModbusTable::InputRegister => u32::from(address.data.registers()),
    }
}

const fn is_bits(table: ModbusTable) -> bool {
    matches!(table, ModbusTable::Coil | ModbusTable::DiscreteInput)
}

/// Registers from `start` to before `end`, never wider than 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    unit: u8,
    table: ModbusTable,
    start: u32,
    end: u32,
}

impl Span {
    fn of(address: &ModbusAddress) -> Self {
        let start = u32::from(address.start);
        Self { unit: address.unit, table: address.table, start, end: start + width(address) }
    }

    fn same_table(&self, other: &Self) -> bool {
        (self.unit, self.table) == (other.unit, other.table)
    }

    fn holds(&self, other: &Self) -> bool {
        self.same_table(other) && self.start <= other.start && other.end <= self.end
    }

    fn joined(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end), ..*self }
    }
}

/// Limits of one table: holes that may be read over, and size of a request.
#[derive(Debug, Clone, Copy)]
struct Limits {
    gap: u32,
    size: u32,
}

impl Limits {
    /// For bits both count sixteenfold (a register's worth), up to what the protocol allows.
    ///
    /// A `max_read` below 4 still lets a value of four registers through: it is never split.
    fn of(connection: &ModbusConnection, table: ModbusTable) -> Self {
        let (gap, size) =
            (u32::from(connection.gap_limit), u32::from(connection.max_read.clamp(1, READ_REGISTERS_MAX)));
        if is_bits(table) {
            Self { gap: gap * 16, size: (size * 16).min(u32::from(READ_BITS_MAX)) }
        } else {
            Self { gap, size }
        }
    }
}

fn modbus(address: &Address) -> Option<ModbusAddress> {
    match address {
        Address::Modbus(a) => Some(*a),
        Address::OpcUa(_) => None,
    }
}

/// A tag's addresses: value, time, validity.
fn addresses(tag: &Tag) -> [Option<ModbusAddress>; 3] {
    [
        modbus(&tag.address),
        tag.sampled_at.as_ref().and_then(modbus),
        tag.good_when.as_ref().and_then(|g| modbus(&g.address)),
    ]
}

/// Chains of spans with small holes.
fn runs(mut spans: Vec<Span>, connection: &ModbusConnection) -> Vec<Span> {
    spans.sort_unstable();
    let mut runs: Vec<Span> = Vec::new();
    for span in spans {
        match runs.last_mut() {
            Some(run) if run.same_table(&span) && span.start <= run.end + Limits::of(connection, span.table).gap => {
                *run = run.joined(&span);
            }
            _ => runs.push(span),
        }
    }
    runs
}

/// What must not be cut: a tag's spans of one run joined when they fit a request, each value alone otherwise.
fn atoms<'a>(tags: impl Iterator<Item = &'a Tag>, runs: &[Span], connection: &ModbusConnection) -> Vec<Span> {
    let mut atoms = Vec::new();
    for tag in tags {
        let spans: Vec<Span> = addresses(tag).iter().flatten().map(Span::of).collect();
        for span in &spans {
            let run = runs.iter().find(|r| r.holds(span)).unwrap_or(span);
            let cluster = spans.iter().filter(|s| run.holds(s)).fold(*span, |joined, s| joined.joined(s));
            let fits = cluster.end - cluster.start <= Limits::of(connection, span.table).size;
            atoms.push(if fits { cluster } else { *span });
        }
    }
    atoms.sort_unstable();
    atoms.dedup();
    atoms
}

/// Plans the requests of one poll.
#[must_use]
pub fn read_plan<'a>(tags: impl Iterator<Item = &'a Tag> + Clone, connection: &ModbusConnection) -> ReadPlan {
    let spans = tags.clone().flat_map(|t| addresses(t).into_iter().flatten()).map(|a| Span::of(&a)).collect();
    let runs = runs(spans, connection);
    let mut requests: Vec<Span> = Vec::new();
    for atom in atoms(tags.clone(), &runs, connection) {
        let limits = Limits::of(connection, atom.table);
        match requests.last_mut() {
            // Inside one run every hole is at most `gap`, so joining up to the size is all there is to decide.
            Some(r)
                if r.same_table(&atom)
                    && atom.start <= r.end + limits.gap
                    && r.joined(&atom).end - r.start <= limits.size =>
            {
                *r = r.joined(&atom);
            }
            _ => requests.push(atom),
        }
    }
    let place = |address: Option<ModbusAddress>, near: Option<usize>| -> Option<Place> {
        let address = address?;
        let span = Span::of(&address);
        // Overlapping blocks may both hold a value: take the one of the tag's value.
        let near = near.filter(|b| requests[*b].holds(&span));
        let block = near.or_else(|| requests.iter().position(|r| r.holds(&span)))?;
        Some(Place { block, offset: (span.start - requests[block].start) as usize, address })
    };
    let items = tags
        .map(|tag| {
            let [value, sampled_at, good_when] = addresses(tag);
            // A value may lie in two overlapping blocks; prefer the one that holds the whole tag.
            let all: Vec<Span> = addresses(tag).iter().flatten().map(Span::of).collect();
            let whole = requests.iter().position(|r| all.iter().all(|s| r.holds(s)));
            let value = place(value, whole)?;
            let good_when = place(good_when, Some(value.block)).zip(tag.good_when.as_ref().map(|g| g.equals));
            Some(Item { value, sampled_at: place(sampled_at, Some(value.block)), good_when })
        })
        .collect();
    let blocks = requests
        .iter()
        .map(|r| Block { unit: r.unit, table: r.table, start: r.start as u16, count: (r.end - r.start) as u16 })
        .collect();
    ReadPlan { blocks, items }
}

#[cfg(test)]
mod tests {
    use flyball_config::{DataType, GoodWhen, WordOrder};

    use super::*;
    use crate::jitter::Jitter;
    use crate::testing::{holding, modbus_settings, tag};

    fn connection(gap_limit: u16, max_read: u16) -> ModbusConnection {
        ModbusConnection { gap_limit, max_read, ..modbus_settings(502) }
    }

    #[test]
    fn neighbours_join_up_to_the_gap_limit() {
        let tags: Vec<Tag> = [100, 102, 111, 120].iter().map(|s| tag("t", holding(*s, DataType::Float32))).collect();
        // Holes: 0, 7, 7 registers.
        let plan = read_plan(tags.iter(), &connection(7, 125));
        assert_eq!(plan.blocks.iter().map(|b| (b.start, b.count)).collect::<Vec<_>>(), [(100, 22)]);
        let plan = read_plan(tags.iter(), &connection(6, 125));
        assert_eq!(plan.blocks.iter().map(|b| (b.start, b.count)).collect::<Vec<_>>(), [(100, 4), (111, 2), (120, 2)]);
    }

    #[test]
    fn a_tag_and_its_time_and_validity_stay_in_one_request() {
        // 62 floats fill 124 registers; the last tag's flag lies at 125: cutting at 125 would tear it off.
        let mut tags: Vec<Tag> = (0..62).map(|i| tag("t", holding(2 * i, DataType::Float32))).collect();
        tags[61].sampled_at = Some(Address::Modbus(holding(126, DataType::UInt32)));
        tags[61].good_when = Some(GoodWhen {
            address: Address::Modbus(ModbusAddress { bit: Some(3), ..holding(125, DataType::Bool) }),
            equals: 1.0,
        });
        let plan = read_plan(tags.iter(), &connection(8, 125));
        assert_eq!(plan.blocks.len(), 2);
        let item = plan.items[61].expect("planned");
        let (flag, time) = (item.good_when.expect("flag").0.block, item.sampled_at.expect("time").block);
        assert_eq!((flag, time), (item.value.block, item.value.block));
    }

    #[test]
    fn units_and_tables_are_never_joined() {
        let a = holding(0, DataType::UInt16);
        let list = [
            a,
            ModbusAddress { unit: 2, ..a },
            ModbusAddress { table: ModbusTable::InputRegister, ..a },
            ModbusAddress { table: ModbusTable::Coil, ..a },
            ModbusAddress { table: ModbusTable::DiscreteInput, ..a },
        ];
        let tags: Vec<Tag> = list.iter().map(|a| tag("t", *a)).collect();
        assert_eq!(read_plan(tags.iter(), &connection(100, 125)).blocks.len(), 5);
    }

    #[test]
    fn random_lists_are_read_whole_and_within_limits() {
        let mut random = Jitter::new(42);
        let types = [DataType::Bool, DataType::UInt16, DataType::Float32, DataType::Float64, DataType::Bcd32];
        let tables =
            [ModbusTable::Coil, ModbusTable::DiscreteInput, ModbusTable::InputRegister, ModbusTable::HoldingRegister];
        for _ in 0..100 {
            let mut pick = |n: u64| random.next_u64() % n;
            let mut address = |spread: u64| ModbusAddress {
                unit: 1 + pick(2) as u8,
                table: tables[pick(4) as usize],
                start: pick(spread) as u16,
                data: types[pick(5) as usize],
                bit: (pick(5) == 0).then_some(7),
                order: WordOrder::Abcd,
            };
            let spread = [40, 600, 65_500][(address(3).start) as usize];
            let mut tags: Vec<Tag> = (0..60).map(|_| tag("t", address(spread))).collect();
            for t in &mut tags {
                let near = address(spread);
                if near.start % 3 == 0 {
                    t.sampled_at = Some(Address::Modbus(near));
                }
            }
            let c = connection((random.next_u64() % 20) as u16, 4 + (random.next_u64() % 122) as u16);
            let plan = read_plan(tags.iter(), &c);
            for block in &plan.blocks {
                let limits = Limits::of(&c, block.table);
                assert!(u32::from(block.count) <= limits.size, "{block:?} over {limits:?}");
                assert!(u32::from(block.start) + u32::from(block.count) <= 65_536);
                holes_are_small(block, &tags, limits.gap);
            }
            for (tag, item) in tags.iter().zip(&plan.items) {
                let item = item.expect("all are Modbus");
                whole(&plan, &item.value, &tag.address);
                if let (Some(place), Some(address)) = (&item.sampled_at, &tag.sampled_at) {
                    whole(&plan, place, address);
                }
                assert_eq!(item.sampled_at.is_some(), tag.sampled_at.is_some());
            }
        }
    }

    /// The place is the address, wholly inside its block.
    fn whole(plan: &ReadPlan, place: &Place, address: &Address) {
        let Address::Modbus(a) = address else { panic!("not Modbus") };
        let block = &plan.blocks[place.block];
        assert_eq!((block.unit, block.table), (a.unit, a.table));
        assert_eq!(usize::from(block.start) + place.offset, usize::from(a.start));
        assert!(place.offset + width(a) as usize <= usize::from(block.count), "{a:?} is split by {block:?}");
    }

    /// No block reads over more than `gap` registers in a row that nobody asked for.
    fn holes_are_small(block: &Block, tags: &[Tag], gap: u32) {
        let wanted = |register: u32| {
            tags.iter().flat_map(|t| addresses(t).into_iter().flatten()).any(|a| {
                (a.unit, a.table) == (block.unit, block.table)
                    && (u32::from(a.start)..u32::from(a.start) + width(&a)).contains(&register)
            })
        };
        let mut hole = 0;
        for register in u32::from(block.start)..u32::from(block.start) + u32::from(block.count) {
            hole = if wanted(register) { 0 } else { hole + 1 };
            assert!(hole <= gap, "hole over {gap} at {register} in {block:?}");
        }
    }
}
