//! Tests across crates: one file per promise in `tests`, on real sockets or on the virtual clock. The house rules are `tests/tidy`.
