//! A Modbus TCP server over a `RegisterBank`, for simulated PLCs and for PLCs that poll us.
//!
//! Why not tokio-modbus's server: one 14-byte FC15 frame panics it, one accept error ends it and all its connections, and a malformed
//! request closes the connection instead of answering exception 3 (protocols.md 3.1). The part that is needed is small: the pure function
//! `answer` from request PDU to response PDU, and a loop per connection.
//!
//! Functions 1 to 6, 15, 16 and 22; others get exception 1. Bounded: connections, frame length, idle time. One thread; requests of
//! all connections are served one after another, so the write hook sees them in the order in which they took effect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flyball_config::ModbusTable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::bank::RegisterBank;
use crate::error::Exception;
use crate::plan::{READ_BITS_MAX, READ_REGISTERS_MAX};
use crate::writes::{WRITE_BITS_MAX, WRITE_REGISTERS_MAX};

/// Largest PDU (Modbus Application Protocol V1.1b3, 4.1).
const PDU_MAX: usize = 253;
/// Wait after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A write that a client has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Unit id of the request.
    pub unit: u8,
    /// Coils or holding registers.
    pub table: ModbusTable,
    /// First address.
    pub start: u16,
    /// Registers, or bits as 0 and 1. For a mask write: the register's new content.
    pub words: Vec<u16>,
}

/// Sees each write just before it enters the bank, and may refuse it. Must not block.
pub type WriteHook = Box<dyn Fn(&Written) -> Result<(), Exception> + Send + Sync>;

/// Limits and hook of a server.
pub struct ServerOptions {
    /// Units that are served; None serves every unit. Others get exception 0B, as a gateway says it.
    pub units: Option<Vec<u8>>,
    /// Connections at a time; more are closed at once.
    pub connections_max: usize,
    /// A connection that says nothing, or does not read its answer, for this long is closed.
    pub idle_max: Duration,
    /// Sees the writes.
    pub on_write: Option<WriteHook>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { units: None, connections_max: 32, idle_max: Duration::from_secs(60), on_write: None }
    }
}

struct Shared {
    bank: Arc<RegisterBank>,
    options: ServerOptions,
    open: AtomicUsize,
    accepted: AtomicUsize,
}

/// A running server; dropping it closes all connections and ends its thread.
pub struct ModbusServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl ModbusServer {
    /// Listens (port 0: any free port, see `address`) and serves on a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread can be started.
    pub fn start(address: SocketAddr, bank: Arc<RegisterBank>, options: ServerOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { bank, options, open: AtomicUsize::new(0), accepted: AtomicUsize::new(0) });
        let stop = Arc::new(Notify::new());
        let (served, stopped) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("modbus-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, served) => {}
                    () = stopped.notified() => {}
                }
            });
        })?;
        Ok(Self { address, shared, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted since the start, those over the limit included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }
}

impl Drop for ModbusServer {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // It catches the panics of its connections; its own end is all we wait for.
            let _ = thread.join();
        }
    }
}

/// Counts an open connection for as long as it lives, however it ends.
struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("accept: {e}; going on");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.open.load(Ordering::Relaxed) >= shared.options.connections_max {
            continue;
        }
        shared.open.fetch_add(1, Ordering::Relaxed);
        let connection = OpenConnection(Arc::clone(&shared));
        // A task of its own: a panic (of the hook, say) ends this connection only.
        tokio::spawn(async move {
            if let Err(e) = converse(stream, &connection.0).await {
                tracing::debug!("connection ended: {e}");
            }
        });
    }
}

/// Requests and answers until the peer ends, idles, or sends what is no Modbus TCP.
async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let idle = shared.options.idle_max;
    let mut frame = [0u8; 7 + PDU_MAX];
    loop {
        timeout(idle, stream.read_exact(&mut frame[..7])).await??;
        let length = usize::from(u16::from_be_bytes([frame[4], frame[5]]));
        if frame[2..4] != [0, 0] || !(2..=1 + PDU_MAX).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let end = 6 + length;
        timeout(idle, stream.read_exact(&mut frame[7..end])).await??;
        let pdu = answer(&frame[7..end], frame[6], shared);
        let mut response = Vec::with_capacity(7 + pdu.len());
        response.extend_from_slice(&frame[..4]);
        response.extend_from_slice(&(1 + pdu.len() as u16).to_be_bytes());
        response.push(frame[6]);
        response.extend_from_slice(&pdu);
        timeout(idle, stream.write_all(&response)).await??;
    }
}

fn answer(pdu: &[u8], unit: u8, shared: &Shared) -> Vec<u8> {
    let served = shared.options.units.as_ref().is_none_or(|units| units.contains(&unit));
    let done = if served { request(pdu, unit, shared) } else { Err(Exception::GATEWAY_TARGET) };
    done.unwrap_or_else(|exception| vec![pdu[0] | 0x80, exception.0])
}

/// Two bytes of a PDU; absent ones are an illegal value, as the length of the PDU is then wrong.
fn word(pdu: &[u8], at: usize) -> Result<u16, Exception> {
    match pdu.get(at..at + 2) {
        Some(bytes) => Ok(u16::from_be_bytes([bytes[0], bytes[1]])),
        None => Err(Exception::ILLEGAL_VALUE),
    }
}

/// Exception 3 unless it holds.
fn valid(condition: bool) -> Result<(), Exception> {
    if condition { Ok(()) } else { Err(Exception::ILLEGAL_VALUE) }
}

/// Response PDU of one request. `pdu` holds at least one byte.
fn request(pdu: &[u8], unit: u8, shared: &Shared) -> Result<Vec<u8>, Exception> {
    let function = pdu[0];
    let write = |table, start, words: Vec<u16>| -> Result<(), Exception> {
        // The address is judged before the hook: it sees only what can be done.
        shared.bank.read(table, start, words.len() as u16)?;
        let written = Written { unit, table, start, words };
        if let Some(hook) = &shared.options.on_write {
            hook(&written)?;
        }
        shared.bank.write(table, start, &written.words)
    };
    match function {
        1..=4 => {
            let (start, count) = (word(pdu, 1)?, word(pdu, 3)?);
            let table = [
                ModbusTable::Coil,
                ModbusTable::DiscreteInput,
                ModbusTable::HoldingRegister,
                ModbusTable::InputRegister,
            ][usize::from(function) - 1];
            let bits = function <= 2;
            let max = if bits { READ_BITS_MAX } else { READ_REGISTERS_MAX };
            valid(pdu.len() == 5 && (1..=max).contains(&count))?;
            let words = shared.bank.read(table, start, count)?;
            let data = if bits { packed(&words) } else { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
            let mut response = vec![function, data.len() as u8];
            response.extend(data);
            Ok(response)
        }
        5 => {
            let (address, value) = (word(pdu, 1)?, word(pdu, 3)?);
            valid(pdu.len() == 5 && matches!(value, 0 | 0xFF00))?;
            write(ModbusTable::Coil, address, vec![u16::from(value != 0)])?;
            Ok(pdu.to_vec())
        }
        6 => {
            let (address, value) = (word(pdu, 1)?, word(pdu, 3)?);
            valid(pdu.len() == 5)?;
            write(ModbusTable::HoldingRegister, address, vec![value])?;
            Ok(pdu.to_vec())
        }
        15 => {
            let (start, count) = (word(pdu, 1)?, usize::from(word(pdu, 3)?));
            let bytes = count.div_ceil(8);
            // The frame that panics tokio-modbus (issue #298) claims more coils than it brings bytes.
            valid((1..=WRITE_BITS_MAX).contains(&count) && pdu.len() == 6 + bytes && usize::from(pdu[5]) == bytes)?;
            let bit = |i: usize| u16::from(pdu[6 + i / 8] >> (i % 8) & 1);
            write(ModbusTable::Coil, start, (0..count).map(bit).collect())?;
            Ok(pdu[..5].to_vec())
        }
        16 => {
            let (start, count) = (word(pdu, 1)?, word(pdu, 3)?);
            let bytes = usize::from(count) * 2;
            valid(
                (1..=WRITE_REGISTERS_MAX).contains(&count) && pdu.len() == 6 + bytes && usize::from(pdu[5]) == bytes,
            )?;
            let words = pdu[6..].chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
            write(ModbusTable::HoldingRegister, start, words)?;
            Ok(pdu[..5].to_vec())
        }
        22 => {
            let (address, and, or) = (word(pdu, 1)?, word(pdu, 3)?, word(pdu, 5)?);
            valid(pdu.len() == 7)?;
            let old = shared.bank.read(ModbusTable::HoldingRegister, address, 1)?[0];
            write(ModbusTable::HoldingRegister, address, vec![old & and | or & !and])?;
            Ok(pdu.to_vec())
        }
        _ => Err(Exception::ILLEGAL_FUNCTION),
    }
}

/// Bits, first in the least significant place of the first byte.
fn packed(bits: &[u16]) -> Vec<u8> {
    bits.chunks(8).map(|byte| (0u8..).zip(byte).fold(0, |acc, (i, bit)| acc | (u8::from(*bit != 0) << i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::BankSize;
    use crate::jitter::Jitter;

    fn shared() -> Shared {
        Shared {
            bank: Arc::new(RegisterBank::new(BankSize::all(100))),
            options: ServerOptions { units: Some(vec![1]), ..ServerOptions::default() },
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        }
    }

    #[test]
    fn bad_addresses_quantities_functions_and_units_get_their_exception() {
        let s = shared();
        for (pdu, unit, expected) in [
            (&[3, 0, 99, 0, 2][..], 1, 2),
            (&[3, 0, 0, 0, 0], 1, 3),
            (&[3, 0, 0, 0, 126], 1, 3),
            (&[1, 0, 0, 0x07, 0xD1], 1, 3),
            (&[3, 0, 0, 0], 1, 3),
            (&[3, 0, 0, 0, 1, 9], 1, 3),
            (&[5, 0, 0, 0x12, 0x34], 1, 3),
            (&[15, 0, 0, 0, 9, 1, 0xFF], 1, 3),
            (&[16, 0, 0, 0, 2, 4, 0, 1], 1, 3),
            (&[16, 0, 0, 0, 1, 4, 0, 1], 1, 3),
            (&[7], 1, 1),
            (&[0x83], 1, 1),
            (&[3, 0, 0, 0, 1], 2, 0x0B),
        ] {
            assert_eq!(answer(pdu, unit, &s), [pdu[0] | 0x80, expected], "{pdu:?}");
        }
        assert_eq!(answer(&[22, 0, 1, 0x00, 0xF2, 0x00, 0x25], 1, &s), [22, 0, 1, 0, 0xF2, 0, 0x25]);
        // The example of the specification (6.16) with an old content of 0x12 would give 0x17; from zero it gives 0x05.
        assert_eq!(answer(&[3, 0, 1, 0, 1], 1, &s), [3, 2, 0, 0x05]);
    }

    #[test]
    fn random_requests_never_panic_and_always_get_a_short_answer() {
        let s = shared();
        let mut random = Jitter::new(298);
        for _ in 0..100_000 {
            let mut pdu: Vec<u8> = (0..1 + random.next_u64() % 20).map(|_| random.next_u64() as u8).collect();
            pdu[0] = [1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 43, pdu[0]][(random.next_u64() % 12) as usize];
            for high in [1, 3] {
                if let Some(byte) = pdu.get_mut(high) {
                    *byte = 0;
                }
            }
            let response = answer(&pdu, 1, &s);
            assert!((2..=PDU_MAX).contains(&response.len()) && response[0] & 0x7F == pdu[0] & 0x7F);
        }
    }
}
