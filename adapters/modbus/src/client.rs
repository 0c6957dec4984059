//! A strict Modbus client over tokio-modbus. Why this file: in release that crate trusts the peer; a late, short or foreign answer must
//! never become a value (domain guide: "late answers otherwise shift all later ones").
//!
//! The one rule: a request takes the connection out of the client and puts it back only after an answer that fits the request in every
//! field. A timeout, a mismatch, an I/O error or a cancelled future therefore drops the connection, whatever path it takes.
//!
//! RTU frames carry no transaction id. After a loss on a serial line or RTU over TCP the next connection stays silent for the late window
//! (`Timing::silence`) and throws away what arrives in it. A device that answers later than that cannot be told from a healthy one.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::time::Duration;

use flyball_config::{ModbusConnection, ModbusTable, ModbusTransport, Parity};
use tokio::net::TcpStream;
use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::prelude::{Request, Response, Slave, SlaveContext as _, rtu, tcp};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialStream};

use crate::error::{Exception, Field, LinkLoss, RequestError};
use crate::plan::Block;
use crate::wire::{Framing, Tap, Wire};
use crate::writes::{Payload, WriteRequest};

/// Times of one connection, in real (not process) time.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For connecting, and for each request.
    pub timeout: Duration,
    /// Before each request.
    pub pause: Duration,
    /// Late window: how long a connection that follows a loss stays silent. Zero after a clean start. Unused by Modbus TCP.
    pub silence: Duration,
}

/// A connection to one or more units.
pub struct Client {
    /// None after a loss; the client is then of no more use.
    context: Option<Context>,
    tap: Tap,
    framing: Framing,
    timeout: Duration,
    pause: Duration,
}

/// Opens a TCP connection with Nagle's algorithm off (protocols.md 5.2), which ends with a reset: what the peer has not taken yet is thrown
/// away. Otherwise TCP would deliver a write from before an outage after it (docs/adr/0020).
///
/// # Errors
/// `Connect` with the reason; a name that resolves slowly counts against the timeout.
pub async fn open_tcp(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, LinkLoss> {
    let connect = async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        stream.set_zero_linger()?;
        Ok::<_, io::Error>(stream)
    };
    match tokio::time::timeout(timeout, connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(LinkLoss::Connect(e.kind())),
        Err(_) => Err(LinkLoss::Connect(ErrorKind::TimedOut)),
    }
}

/// Throws away what a transparent gateway still had to say. Bounded: a peer that never stops talking is refused.
fn drain(stream: &TcpStream) -> Result<(), LinkLoss> {
    let mut room = [0u8; 1024];
    for _ in 0..64 {
        match stream.try_read(&mut room) {
            Ok(0) => return Err(LinkLoss::Closed),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(LinkLoss::Io(e.kind())),
        }
    }
    Err(LinkLoss::Unsolicited)
}

/// Opens a serial line: 8 data bits, as RTU demands.
fn open_serial(device: &str, baud: u32, parity: Parity, stop_bits: u8) -> Result<SerialStream, LinkLoss> {
    let parity = match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if stop_bits == 2 { tokio_serial::StopBits::Two } else { tokio_serial::StopBits::One };
    let line = tokio_serial::new(device, baud)
        .data_bits(tokio_serial::DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(tokio_serial::FlowControl::None);
    SerialStream::open(&line).map_err(|e| LinkLoss::Connect(io::Error::from(e).kind()))
}

/// Silence between two RTU frames: 3.5 characters of 11 bits, fixed 1.75 ms above 19200 baud (Serial Line V1.02, 2.5.1.1).
fn frame_gap(baud: u32) -> Duration {
    if baud > 19_200 {
        Duration::from_micros(1_750)
    } else {
        Duration::from_secs_f64(3.5 * 11.0 / f64::from(baud.max(1)))
    }
}

impl Client {
    /// Connects. Takes at most `timing.timeout + timing.silence`.
    ///
    /// # Errors
    /// `Connect`, or what the peer did during the silence.
    pub async fn connect(settings: &ModbusConnection, timing: Timing) -> Result<Self, LinkLoss> {
        let tap = Tap::default();
        let mut pause = timing.pause;
        let (framing, context) = match &settings.transport {
            ModbusTransport::Tcp { host, port } => {
                let stream = open_tcp(host, *port, timing.timeout).await?;
                (Framing::Tcp, tcp::attach(Wire::new(stream, tap.clone())))
            }
            ModbusTransport::RtuOverTcp { host, port } => {
                let stream = open_tcp(host, *port, timing.timeout).await?;
                if timing.silence > Duration::ZERO {
                    tokio::time::sleep(timing.silence).await;
                    drain(&stream)?;
                }
                (Framing::Rtu, rtu::attach(Wire::new(stream, tap.clone())))
            }
            ModbusTransport::Rtu { device, baud, parity, stop_bits } => {
                let line = open_serial(&device.to_string_lossy(), *baud, *parity, *stop_bits)?;
                tokio::time::sleep(timing.silence).await;
                line.clear(ClearBuffer::All).map_err(|e| LinkLoss::Io(io::Error::from(e).kind()))?;
                pause = pause.max(frame_gap(*baud));
                (Framing::Rtu, rtu::attach(Wire::new(line, tap.clone())))
            }
        };
        Ok(Self { context: Some(context), tap, framing, timeout: timing.timeout, pause })
    }

    /// False after a loss.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.context.is_some()
    }

    /// Reads one block into `data`: one word per register, or one word (0 or 1) per bit. `data` is untouched on error.
    ///
    /// # Errors
    /// A refusal (the connection stays) or a loss (it is dropped).
    pub async fn read(&mut self, block: &Block, data: &mut Vec<u16>) -> Result<(), RequestError> {
        let (start, count) = (block.start, block.count);
        let n = usize::from(count);
        let (request, pdu) = match block.table {
            ModbusTable::Coil => (Request::ReadCoils(start, count), 2 + n.div_ceil(8)),
            ModbusTable::DiscreteInput => (Request::ReadDiscreteInputs(start, count), 2 + n.div_ceil(8)),
            ModbusTable::InputRegister => (Request::ReadInputRegisters(start, count), 2 + 2 * n),
            ModbusTable::HoldingRegister => (Request::ReadHoldingRegisters(start, count), 2 + 2 * n),
        };
        let words = self
            .call(block.unit, request, pdu, |response| match response {
                Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) if bits.len() >= n => {
                    Ok(bits[..n].iter().map(|b| u16::from(*b)).collect())
                }
                Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words) if words.len() == n => {
                    Ok(words)
                }
                _ => Err(LinkLoss::Malformed),
            })
            .await?;
        *data = words;
        Ok(())
    }

    /// Sends one write and checks its echo.
    ///
    /// # Errors
    /// A refusal (the connection stays) or a loss (it is dropped; whether the device has written is then unknown).
    pub async fn write(&mut self, write: &WriteRequest) -> Result<(), RequestError> {
        let start = write.start;
        let same = |field, expected: u16, received: u16| {
            let (expected, received) = (u32::from(expected), u32::from(received));
            if expected == received { Ok(()) } else { Err(LinkLoss::Mismatch { field, expected, received }) }
        };
        let (request, pdu) = match &write.payload {
            Payload::Registers(words) => (Request::WriteMultipleRegisters(start, Cow::Borrowed(words)), 5),
            Payload::Coils(bits) if bits.len() == 1 => (Request::WriteSingleCoil(start, bits[0]), 5),
            Payload::Coils(bits) => (Request::WriteMultipleCoils(start, Cow::Borrowed(bits)), 5),
            Payload::Mask { and, or } => (Request::MaskWriteRegister(start, *and, *or), 7),
        };
        self.call(write.unit, request, pdu, |response| match (&write.payload, response) {
            (Payload::Registers(words), Response::WriteMultipleRegisters(address, quantity)) => {
                same(Field::Address, start, address)?;
                same(Field::Quantity, words.len() as u16, quantity)
            }
            (Payload::Coils(bits), Response::WriteSingleCoil(address, bit)) => {
                same(Field::Address, start, address)?;
                same(Field::Value, u16::from(bits[0]), u16::from(bit))
            }
            (Payload::Coils(bits), Response::WriteMultipleCoils(address, quantity)) => {
                same(Field::Address, start, address)?;
                same(Field::Quantity, bits.len() as u16, quantity)
            }
            (Payload::Mask { and, or }, Response::MaskWriteRegister(address, echo_and, echo_or)) => {
                same(Field::Address, start, address)?;
                same(Field::Value, *and, echo_and)?;
                same(Field::Value, *or, echo_or)
            }
            _ => Err(LinkLoss::Malformed),
        })
        .await
    }

    /// One request: `pdu` is the length of its good answer, `judge` looks at the content.
    async fn call<T>(
        &mut self,
        unit: u8,
        request: Request<'_>,
        pdu: usize,
        judge: impl FnOnce(Response) -> Result<T, LinkLoss>,
    ) -> Result<T, RequestError> {
        // Taken out: whoever leaves this function early, or drops its future, drops the connection.
        let mut context = self.context.take().ok_or(RequestError::Lost(LinkLoss::NotConnected))?;
        if self.pause > Duration::ZERO {
            tokio::time::sleep(self.pause).await;
        } else {
            // Lets the reactor see bytes that are already here, so that the wire can refuse them.
            tokio::task::yield_now().await;
        }
        context.set_slave(Slave(unit));
        self.tap.arm();
        let Ok(called) = tokio::time::timeout(self.timeout, context.call(request)).await else {
            return Err(RequestError::Lost(LinkLoss::Timeout { after: self.timeout }));
        };
        let answer = match called {
            Ok(answer) => answer,
            Err(tokio_modbus::Error::Protocol(_)) => {
                self.tap.check_head(self.framing).map_err(RequestError::Lost)?;
                return Err(RequestError::Lost(LinkLoss::Malformed));
            }
            Err(tokio_modbus::Error::Transport(e)) => {
                let kind = match e.kind() {
                    ErrorKind::InvalidData | ErrorKind::InvalidInput => LinkLoss::Malformed,
                    kind => LinkLoss::Io(kind),
                };
                return Err(RequestError::Lost(self.tap.fault().unwrap_or(kind)));
            }
        };
        self.tap.check_head(self.framing).map_err(RequestError::Lost)?;
        // An exception's PDU is its function code and one byte.
        let pdu = if answer.is_ok() { pdu } else { 2 };
        self.tap.check_len(self.framing.frame_len(pdu)).map_err(RequestError::Lost)?;
        let judged = match answer {
            Ok(response) => Ok(judge(response).map_err(RequestError::Lost)?),
            Err(code) => Err(RequestError::Refused(Exception(code.into()))),
        };
        self.context = Some(context);
        judged
    }
}
