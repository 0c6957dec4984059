//! What cannot run one step at a time is refused, in these words.
