//! State of the scan as bytes: one function per struct says what it remembers, and serves both ways, so that saving and loading cannot disagree.
//!
//! Only what changes from scan to scan is kept. What follows from configuration and models is made anew by whoever loads, and must be the same:
//! a keyframe fits the configuration and models it was taken with, and nothing else. Numbers keep all their bits.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes per byte of memory: postcard's variable-length integers take five bytes for four, ten for eight, three for two; everything
/// else takes no more than in memory.
const SPREAD: usize = 2;

/// Bytes that do not belong to this configuration and these models, or are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateError {
    /// They end too early, or hold what cannot be, from this byte on.
    Damaged(usize),
    /// A list has another length than the configuration asks for: found, wanted.
    Length(usize, usize),
    /// So many bytes are left over.
    LeftOver(usize),
    /// The state needs more room than was reserved.
    NoRoom,
}

impl core::fmt::Display for StateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Damaged(at) => write!(f, "the keyframe is damaged at byte {at}"),
            Self::Length(found, wanted) => {
                write!(f, "the keyframe has {found} entries where this configuration and its models need {wanted}")
            }
            Self::LeftOver(bytes) => {
                write!(f, "the keyframe has {bytes} bytes more than this configuration and its models need")
            }
            Self::NoRoom => write!(f, "the state needs more room than was reserved for it"),
        }
    }
}

impl core::error::Error for StateError {}

/// Bytes of state, being written or being read.
pub struct Archive<'a> {
    side: Side<'a>,
    fault: Option<StateError>,
}

enum Side<'a> {
    /// Appended within the capacity; nothing is allocated.
    Save(&'a mut Vec<u8>),
    /// All bytes, and how many are read.
    Load(&'a [u8], usize),
    /// Counts what a save would take.
    Measure(usize),
}

impl<'a> Archive<'a> {
    /// Saves into the free capacity of `out`, which is emptied first.
    #[must_use]
    pub fn save(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self { side: Side::Save(out), fault: None }
    }

    /// Loads from `bytes`.
    #[must_use]
    pub fn load(bytes: &'a [u8]) -> Self {
        Self { side: Side::Load(bytes, 0), fault: None }
    }

    /// Finds out how much room is needed, see [`Archive::room`].
    #[must_use]
    pub fn measure() -> Self {
        Self { side: Side::Measure(0), fault: None }
    }

    /// Bytes that the measured state needs at most, whatever it will hold.
    #[must_use]
    pub fn room(self) -> usize {
        match self.side {
            Side::Measure(bytes) => bytes,
            Side::Save(_) | Side::Load(..) => 0,
        }
    }

    /// Keeps a value that owns no memory elsewhere: writes it, or replaces it. After a fault it does nothing.
    pub fn keep<T: Serialize + DeserializeOwned>(&mut self, value: &mut T) {
        if self.fault.is_some() {
            return;
        }
        match &mut self.side {
            Side::Save(out) => {
                if postcard::serialize_with_flavor(value, Room(out)).is_err() {
                    self.fault = Some(StateError::NoRoom);
                }
            }
            Side::Load(bytes, at) => match postcard::take_from_bytes(&bytes[*at..]) {
                Ok((kept, rest)) => {
                    *value = kept;
                    *at = bytes.len() - rest.len();
                }
                Err(_) => self.fault = Some(StateError::Damaged(*at)),
            },
            Side::Measure(sum) => *sum = sum.saturating_add(SPREAD * size_of::<T>()),
        }
    }

    /// Keeps a list whose length the configuration fixes. Bounded by it, whatever the bytes say.
    pub fn keep_all<T: Serialize + DeserializeOwned>(&mut self, values: &mut [T]) {
        self.length(values.len());
        for value in values {
            self.keep(value);
        }
    }

    /// Keeps a place in a list, or a count of its entries: `most` at most.
    pub fn keep_index(&mut self, value: &mut usize, most: usize) {
        let before = *value;
        self.keep(value);
        if *value > most {
            self.fault.get_or_insert(StateError::Length(*value, most));
            *value = before;
        }
    }

    /// States a length that must be the same when the bytes are loaded.
    pub fn length(&mut self, wanted: usize) {
        let mut found = wanted;
        self.keep(&mut found);
        if found != wanted && self.fault.is_none() {
            self.fault = Some(StateError::Length(found, wanted));
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// The first thing that went wrong. What was loaded is then half old and half new, and must not be used.
    pub fn finish(self) -> Result<(), StateError> {
        match (self.fault, self.side) {
            (Some(fault), _) => Err(fault),
            (None, Side::Load(bytes, at)) if at < bytes.len() => Err(StateError::LeftOver(bytes.len() - at)),
            _ => Ok(()),
        }
    }
}

/// Postcard's way out: a Vec that does not grow.
struct Room<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Room<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that remembers.
    #[derive(Debug, Clone, PartialEq, Default)]
    struct Thing {
        count: u64,
        last: Option<f64>,
        ring: Vec<i32>,
    }

    impl Thing {
        fn keep(&mut self, a: &mut Archive<'_>) {
            a.keep(&mut self.count);
            a.keep(&mut self.last);
            a.keep_all(&mut self.ring);
        }
    }

    fn saved(thing: &Thing) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(100);
        let mut archive = Archive::save(&mut bytes);
        thing.clone().keep(&mut archive);
        archive.finish().expect("there is room");
        bytes
    }

    fn loaded(bytes: &[u8], length: usize) -> Result<Thing, StateError> {
        let mut thing = Thing { ring: vec![0; length], ..Thing::default() };
        let mut archive = Archive::load(bytes);
        thing.keep(&mut archive);
        archive.finish().map(|()| thing)
    }

    #[test]
    fn what_was_saved_is_loaded_with_all_its_bits() {
        let thing = Thing { count: u64::MAX, last: Some(-0.0), ring: vec![1, -2, i32::MIN] };
        let back = loaded(&saved(&thing), 3).expect("its own bytes");
        assert_eq!(back, thing);
        assert!(back.last.is_some_and(|x| x.is_sign_negative()), "-0 is not 0");
    }

    #[test]
    fn another_length_bytes_cut_off_and_bytes_left_over_are_refused() {
        let bytes = saved(&Thing { count: 7, last: None, ring: vec![1, 2, 3] });
        assert_eq!(loaded(&bytes, 4), Err(StateError::Length(3, 4)));
        for end in 0..bytes.len() {
            assert!(matches!(loaded(&bytes[..end], 3), Err(StateError::Damaged(_))), "cut off at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(loaded(&longer, 3), Err(StateError::LeftOver(1)));
    }

    #[test]
    fn the_room_that_is_measured_when_fresh_is_enough_for_ever_and_less_is_refused_without_growing() {
        let mut fresh = Thing { ring: vec![0; 3], ..Thing::default() };
        let mut measure = Archive::measure();
        fresh.keep(&mut measure);
        let room = measure.room();
        let mut full = Thing { count: u64::MAX, last: Some(1.5), ring: vec![i32::MIN; 3] };
        assert!(saved(&full).len() <= room, "{} of {room}", saved(&full).len());
        let mut small = Vec::with_capacity(10);
        let capacity = small.capacity();
        let mut archive = Archive::save(&mut small);
        full.keep(&mut archive);
        assert_eq!(archive.finish(), Err(StateError::NoRoom));
        assert_eq!(small.capacity(), capacity);
    }
}
