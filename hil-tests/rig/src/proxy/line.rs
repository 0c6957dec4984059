//! What a line does to bytes, as plain data, and what was counted on it.

use std::time::Duration;

/// What happens to who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Served.
    Open,
    /// Accepted and reset at once, so that every attempt is counted.
    Resets,
    /// The port is closed: connection refused. Attempts cannot be counted.
    Closed,
}

/// The line between client and server, both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// For new connections.
    pub door: Door,
    /// The cable is pulled: nothing passes and no end is told. What was sent arrives when the cable is back, as TCP sends again, unless
    /// its sender has reset the connection. Connections that begin meanwhile never reach the server and are reset when it is back.
    pub cut: bool,
    /// Each piece arrives this much later.
    pub delay: Duration,
    /// And up to this much later again, evenly spread. Order is kept.
    pub jitter: Duration,
    /// Share of pieces, 0 to 1, that are lost once: they arrive after `resend`, and so does all behind them.
    pub loss: f64,
    /// After this time a lost piece is sent again.
    pub resend: Duration,
    /// Pieces are written in parts of at most so many bytes, each a segment of its own. At least 1.
    pub segment: usize,
    /// Bytes per second in each direction; None is as fast as it goes.
    pub rate: Option<u32>,
}

impl Line {
    /// Passes everything on at once.
    pub const GOOD: Self = Self {
        door: Door::Open,
        cut: false,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        resend: RESEND,
        segment: usize::MAX,
        rate: None,
    };
    /// The cable is pulled.
    pub const CUT: Self = Self { cut: true, ..Self::GOOD };
    /// Who connects is reset.
    pub const RESETS: Self = Self { door: Door::Resets, ..Self::GOOD };
    /// Nobody listens.
    pub const CLOSED: Self = Self { door: Door::Closed, ..Self::GOOD };
}

/// After this time TCP sends a lost segment again at the earliest (Linux, TCP_RTO_MIN).
pub const RESEND: Duration = Duration::from_millis(200);

/// Counted since the start of the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections tried, also those that were reset at the door.
    pub attempts: u64,
    /// Connections that reached the server.
    pub opened: u64,
    /// Bytes that reached the server.
    pub to_server: u64,
    /// Bytes that reached the client.
    pub to_client: u64,
    /// Of these, bytes that had waited for the cable: old requests that arrived after an outage.
    pub old_to_server: u64,
    /// Parts that all of them were written in.
    pub segments: u64,
    /// Pieces that were lost once.
    pub lost: u64,
    /// Answers that were spoilt.
    pub spoilt: u64,
}
