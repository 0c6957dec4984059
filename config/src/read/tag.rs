//! `[tag_defaults]` and `[tag.*]`: process variables, where they are, what a healthy instrument shows.

use std::time::Duration;

use crate::model::{Address, EuRange, Frozen, GoodWhen, OnBad, Scaling, Tag, TagRole};
use crate::quantity::{self, Problem, words};
use crate::read::{Cx, Use};
use crate::reader::{Field, Reader};
use crate::tree::shorten;
use crate::units::Unit;

/// How far a healthy instrument may read beyond its EU range, as a share of the span. The same 5 % at which a value becomes
/// Uncertain: an `ok` range beyond it could never be Good.
const OVER_RANGE: f64 = 0.05;

/// What a tag takes when it says nothing itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagDefaults {
    pub stale_after: Duration,
    pub hold: Duration,
}

impl Default for TagDefaults {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(5), hold: Duration::from_secs(10) }
    }
}

/// Reads `[tag_defaults]`.
pub(crate) fn read_defaults(field: Option<Field<'_>>) -> TagDefaults {
    let mut defaults = TagDefaults::default();
    let Some(mut r) = field.and_then(|f| f.table("tag_defaults")) else { return defaults };
    if let Some(time) = r.get("stale_after").and_then(|f| f.duration()) {
        defaults.stale_after = time;
    }
    if let Some(time) = r.get("hold").and_then(|f| f.duration_or_zero()) {
        defaults.hold = time;
    }
    access(&mut r);
    defaults
}

/// Tags are only read; the key exists so that a sheet which says "write" is not silently misread.
fn access(r: &mut Reader<'_>) {
    if let Some(field) = r.get("access")
        && field.text().is_some_and(|t| t != "read")
    {
        let found = Problem::new(format!("found {}", field.node.value.kind()));
        field.error(found.allowed("\"read\"").help("What is written is listed under [mv.*] and [handshake]."));
    }
}

/// Reads one `[tag.*]`.
pub(crate) fn read(name: &str, mut r: Reader<'_>, cx: &Cx, defaults: TagDefaults) -> Option<Tag> {
    let text = r.need("text", "\"what it measures\"").and_then(|f| f.text());
    let what = format!("tag {name}");
    let at_field = r.need("at", "\"connection: address\"");
    let at = at_field.as_ref().and_then(|f| cx.address(f, f.text()?, &what, Use::Value));
    let unit_field = r.need("unit", "\"degC\"");
    let unit = unit_field.and_then(|f| unit(&f));
    let range = r.need("range", "[0, 100]").and_then(|f| f.range());
    let scaling =
        r.get("scale").and_then(|f| f.table("tag.*.scale")).map_or(Some(Scaling::None), |t| scaling(t, range));

    let plausible = r.get("ok").and_then(|f| plausible(&f, range));
    let max_rate_per_s = r.get("max_rate").zip(unit).and_then(|(f, unit)| f.rate(unit));
    let frozen =
        r.get("frozen").and_then(|f| f.table("tag.*.frozen")).zip(unit).and_then(|(t, unit)| frozen(t, unit, range));
    let stale = r.get("stale_after");
    let stale_after = stale.as_ref().map_or(Some(defaults.stale_after), |f| f.duration());
    let mut hold = r.get("hold").map_or(Some(defaults.hold), |f| f.duration_or_zero());
    let on_bad = r.get("on_bad").zip(unit).map_or(Some(OnBad::Bad), |(f, unit)| on_bad(&f, unit, range, &mut hold));
    access(&mut r);
    let invalid_marks = r.get("invalid").and_then(|f| f.list()).unwrap_or_default();
    let invalid_marks = invalid_marks.iter().filter_map(|f| f.number()).collect();
    let sampled_at = r.get("sampled_at").and_then(|f| sampled_at(&f, cx, &what, at.as_ref()));
    let good_when = r.get("good_when").and_then(|f| good_when(&f, cx, &what, at.as_ref()));

    let (connection, address) = at?;
    let interval = cx.connections[connection.index()].interval;
    if let Some((interval, stale_after)) = interval.zip(stale_after).filter(|(i, s)| s < i) {
        let problem = Problem::new(format!("stale after {}", words(stale_after)))
            .allowed(format!("at least {}, how often the connection brings values", words(interval)))
            .help("It would be stale before the next value comes: raise stale_after of the tag or of [tag_defaults].");
        stale.as_ref().map_or_else(|| r.error(problem.clone()), |f| f.error(problem.clone()));
    }
    Some(Tag {
        name: name.to_owned(),
        text: text?.to_owned(),
        connection,
        address,
        role: TagRole::Process,
        unit: unit?,
        scaling: scaling?,
        range: range?,
        plausible,
        max_rate_per_s,
        frozen,
        stale_after: stale_after?,
        hold: hold?,
        on_bad: on_bad?,
        invalid_marks,
        sampled_at,
        good_when,
    })
}

/// A unit by its symbol.
pub(crate) fn unit(field: &Field<'_>) -> Option<Unit> {
    let text = field.text()?;
    let unit = Unit::named(text);
    if unit.is_none() {
        let help = Unit::nearest(text).map_or_else(String::new, |u| format!("Did you mean '{u}'?"));
        let problem = Problem::new(format!("unknown unit '{}'", shorten(text)));
        field.error(problem.allowed("a unit of docs/CONFIGURATION.md, \"1\" for a number without unit").help(help));
    }
    unit
}

fn plausible(field: &Field<'_>, range: Option<EuRange>) -> Option<EuRange> {
    let ok = field.range()?;
    let Some(range) = range else { return Some(ok) };
    let over = OVER_RANGE * range.span();
    if ok.low < range.low - over || ok.high > range.high + over {
        let (low, high) = (range.low - over, range.high + over);
        field.error(
            Problem::new(format!("[{}, {}] reaches beyond the range [{}, {}]", ok.low, ok.high, range.low, range.high))
                .allowed(format!("within [{low}, {high}], the range and 5 % more"))
                .help("Beyond that a value is Uncertain anyway: widen the range, or narrow ok."),
        );
    }
    Some(ok)
}

fn frozen(mut r: Reader<'_>, unit: Unit, range: Option<EuRange>) -> Option<Frozen> {
    let band = r.need("band", &format!("\"0.1 {unit}\"")).and_then(|f| f.amount_above_zero(unit));
    let after = r.need("after", "\"5 min\"").and_then(|f| f.duration());
    if let Some((band, range)) = band.zip(range).filter(|(band, range)| *band >= range.span()) {
        let allowed = format!("less than the span of the range, {} {unit}", range.span());
        r.error(Problem::new(format!("band is {band} {unit}")).allowed(allowed).help("It would always be frozen."));
    }
    Some(Frozen { band: band?, after: after? })
}

/// "bad", "use 116 degC", "hold 10 s", "hold 10 s then use 116 degC".
fn on_bad(field: &Field<'_>, unit: Unit, range: Option<EuRange>, hold: &mut Option<Duration>) -> Option<OnBad> {
    let text = field.text()?;
    let (first, second) = text.split_once(" then ").map_or((text, None), |(a, b)| (a, Some(b)));
    let mut last = second.unwrap_or("bad");
    match first.strip_prefix("hold ") {
        Some(time) => *hold = Some(field.check(quantity::duration(time))?),
        None if second.is_none() => last = first,
        None => last = "",
    }
    if last == "bad" {
        return Some(OnBad::Bad);
    }
    let Some(value) = last.strip_prefix("use ") else {
        let allowed = format!("\"bad\", \"use 1.5 {unit}\", \"hold 10 s\" or \"hold 10 s then use 1.5 {unit}\"");
        field.error(Problem::new(format!("found \"{}\"", shorten(text))).allowed(allowed));
        return None;
    };
    let value = field.check(quantity::amount(value, unit))?;
    if let Some(range) = range.filter(|r| !r.contains(value)) {
        let allowed = format!("within the range [{}, {}]", range.low, range.high);
        field.error(Problem::new(format!("would use {value} {unit}")).allowed(allowed));
    }
    Some(OnBad::Use(value))
}

/// `{ raw = [0, 27648], eu = [0, 250] }`, the same with `kind = "square-root"`, or `{ factor = 0.1, offset = -40 }`.
fn scaling(mut r: Reader<'_>, range: Option<EuRange>) -> Option<Scaling> {
    let root = r.get("kind").map_or(Some(false), |f| f.choice(&[("linear", false), ("square-root", true)]));
    let raw = r.get("raw");
    let eu = r.get("eu");
    let factor = r.get("factor");
    let offset = r.get("offset");
    let root = root?;
    if let Some(raw) = raw {
        if factor.is_some() || offset.is_some() {
            r.error(Problem::new("both raw and factor are given").allowed("raw and eu, or factor and offset"));
            return None;
        }
        let (raw, eu) = (raw.range()?, eu.map_or(range, |f| f.range())?);
        if root {
            return Some(Scaling::SquareRoot { raw, eu });
        }
        let factor = eu.span() / raw.span();
        return Some(Scaling::Linear { factor, offset: eu.low - raw.low * factor });
    }
    let Some(factor) = factor.filter(|_| eu.is_none() && !root) else {
        r.error(Problem::new("the scale is not complete").allowed("raw (and eu), or factor (and offset)"));
        return None;
    };
    let value = factor.number()?;
    if value == 0.0 {
        factor.error(Problem::new("found 0").allowed("a factor other than 0").help("Every value would be the offset."));
        return None;
    }
    Some(Scaling::Linear { factor: value, offset: offset.map_or(Some(0.0), |f| f.number())? })
}

/// Companions of a tag come with the same read: they must live on its connection.
fn same_connection(field: &Field<'_>, cx: &Cx, found: u32, tag: Option<&(crate::ConnectionId, Address)>) -> Option<()> {
    let (home, _) = tag?;
    if home.0 == found {
        return Some(());
    }
    let (home, found) = (&cx.connections[home.index()].name, &cx.connections[found as usize].name);
    field.error(
        Problem::new(format!("is on connection '{found}'")).allowed(format!("the tag's own connection, '{home}'")),
    );
    None
}

fn sampled_at(field: &Field<'_>, cx: &Cx, what: &str, tag: Option<&(crate::ConnectionId, Address)>) -> Option<Address> {
    let text = field.text()?;
    let Some(address) = text.strip_suffix("unix-seconds") else {
        let help = "The word says how the number counts: seconds since 1970-01-01 UTC.";
        let problem = Problem::new(format!("found \"{}\"", shorten(text)));
        field.error(
            problem.allowed("an address and the word unix-seconds, as \"gc: 40103 uint32 unix-seconds\"").help(help),
        );
        return None;
    };
    let (connection, address) = cx.address(field, address.trim(), &format!("{what}, sampled_at"), Use::Companion)?;
    same_connection(field, cx, connection.0, tag)?;
    Some(address)
}

fn good_when(field: &Field<'_>, cx: &Cx, what: &str, tag: Option<&(crate::ConnectionId, Address)>) -> Option<GoodWhen> {
    let text = field.text()?;
    let parts = text
        .rsplit_once('=')
        .and_then(|(a, v)| Some((a.trim(), v.trim().parse::<f64>().ok().filter(|v| v.is_finite())?)));
    let Some((address, equals)) = parts else {
        let problem = Problem::new(format!("found \"{}\"", shorten(text)));
        field.error(problem.allowed("an address, =, and the value that means good, as \"gc: 40110 bit 3 = 1\""));
        return None;
    };
    let (connection, address) = cx.address(field, address, &format!("{what}, good_when"), Use::Companion)?;
    same_connection(field, cx, connection.0, tag)?;
    if let Address::Modbus(a) = &address
        && a.data == crate::DataType::Bool
        && equals != 0.0
        && equals != 1.0
    {
        field.error(Problem::new(format!("a bit is never {equals}")).allowed("= 0 or = 1"));
    }
    Some(GoodWhen { address, equals })
}
