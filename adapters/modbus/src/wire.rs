//! The byte stream under tokio-modbus, watched. Why this file: that crate checks answers by `debug_assert` only and clears its own buffer
//! but not the kernel's, so a stale or short answer would pass in release. Here every byte is counted, the first ones are kept, and
//! bytes that wait before a request is sent end the connection.
//!
//! Words: the *tap* is the record of one request and its answer. SYNC POINT: one mutex between the client and the stream it gave away;
//! both live on one thread, so it is never contended.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{Field, LinkLoss};

/// Bytes that name a frame: MBAP header and function code.
const HEAD: usize = 8;

/// Frame around the PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// MBAP header: transaction id, protocol id, length, unit id.
    Tcp,
    /// Unit id in front, CRC-16 behind.
    Rtu,
}

impl Framing {
    /// Bytes of a frame with this PDU.
    pub(crate) const fn frame_len(self, pdu: usize) -> usize {
        match self {
            Self::Tcp => 7 + pdu,
            Self::Rtu => 1 + pdu + 2,
        }
    }
}

#[derive(Debug, Default)]
struct Record {
    /// True until the first write of a request: look for stale bytes.
    armed: bool,
    stale: bool,
    closed: bool,
    sent: [u8; HEAD],
    sent_len: usize,
    received: [u8; HEAD],
    received_len: usize,
}

/// Adds bytes to a head; counts those that no longer fit.
fn note(head: &mut [u8; HEAD], len: &mut usize, bytes: &[u8]) {
    for (slot, byte) in head.iter_mut().skip(*len).zip(bytes) {
        *slot = *byte;
    }
    *len += bytes.len();
}

/// The client's side of the record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Record>>);

impl Tap {
    fn record(&self) -> MutexGuard<'_, Record> {
        // Plain data: a panic between two field writes leaves nothing that the next `arm` does not reset.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Before a request.
    pub(crate) fn arm(&self) {
        *self.record() = Record { armed: true, ..Record::default() };
    }

    /// What the stream itself saw, when the request failed below the protocol.
    pub(crate) fn fault(&self) -> Option<LinkLoss> {
        let record = self.record();
        match (record.stale, record.closed) {
            (true, _) => Some(LinkLoss::Unsolicited),
            (_, true) => Some(LinkLoss::Closed),
            _ => None,
        }
    }

    /// Compares the head of the answer with the head of the request.
    ///
    /// # Errors
    /// The first field that differs. An answer shorter than its head passes: its length is checked elsewhere.
    pub(crate) fn check_head(&self, framing: Framing) -> Result<(), LinkLoss> {
        let record = self.record();
        let (s, r) = (&record.sent, &record.received);
        let pair = |head: &[u8; HEAD], at: usize| u32::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let same = |field, expected: u32, received: u32| {
            if expected == received { Ok(()) } else { Err(LinkLoss::Mismatch { field, expected, received }) }
        };
        let unit = match framing {
            Framing::Tcp => 6,
            Framing::Rtu => 0,
        };
        if record.received_len < unit + 2 {
            return Ok(());
        }
        if framing == Framing::Tcp {
            same(Field::Transaction, pair(s, 0), pair(r, 0))?;
        }
        same(Field::Unit, u32::from(s[unit]), u32::from(r[unit]))?;
        // The top bit of the function code marks an exception.
        same(Field::Function, u32::from(s[unit + 1]), u32::from(r[unit + 1] & 0x7F))
    }

    /// Every byte that came since the request must belong to the one answer.
    ///
    /// # Errors
    /// `Mismatch` of the frame length.
    pub(crate) fn check_len(&self, expected: usize) -> Result<(), LinkLoss> {
        let received = self.record().received_len;
        if received == expected {
            return Ok(());
        }
        Err(LinkLoss::Mismatch { field: Field::Length, expected: expected as u32, received: received as u32 })
    }
}

/// A stream with a tap.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    tap: Tap,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, tap: Tap) -> Self {
        Self { stream, tap }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            let fresh = &buf.filled()[before..];
            let mut record = self.tap.record();
            let Record { received, received_len, closed, .. } = &mut *record;
            note(received, received_len, fresh);
            *closed |= fresh.is_empty();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.tap.record().armed) {
            let mut room = [0u8; HEAD];
            let mut stale = ReadBuf::new(&mut room);
            if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut stale) {
                read?;
                let mut record = self.tap.record();
                if stale.filled().is_empty() {
                    record.closed = true;
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                record.stale = true;
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = polled {
            let mut record = self.tap.record();
            let Record { sent, sent_len, .. } = &mut *record;
            note(sent, sent_len, &bytes[..n]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
