//! RTU on a serial line: the other end of a pseudo-terminal is the device. A pty has no baud rate; framing, silence and late answers are real.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flyball_config::{DataType, ModbusConnection, ModbusTransport, Parity};
use flyball_core::image::LinkState;
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::peer::{next_rtu, rtu_frame, send};
use crate::seat::{Running, number};
use crate::testing::{connection, holding, modbus_settings, tag};

/// A pseudo-terminal: the device's end and the file name of the other.
fn line() -> (PtyMaster, String) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).expect("pty");
    grantpt(&master).expect("own pty");
    unlockpt(&master).expect("own pty");
    let name = ptsname_r(&master).expect("own pty");
    (master, name)
}

#[test]
fn late_answers_never_shift_values_on_a_serial_line() {
    let (mut master, device) = line();
    // Held open, so that the device's end does not see a hang-up while the link has its end closed.
    let keep = std::fs::OpenOptions::new().read(true).write(true).open(&device).expect("pty");
    let settings = nix::sys::termios::tcgetattr(&keep).map(|mut t| {
        nix::sys::termios::cfmakeraw(&mut t);
        nix::sys::termios::tcsetattr(&keep, nix::sys::termios::SetArg::TCSANOW, &t)
    });
    settings.expect("pty").expect("raw mode");
    static LATE: AtomicUsize = AtomicUsize::new(0);
    std::thread::spawn(move || {
        let mut asked = 0;
        while let Some(a) = next_rtu(&mut master) {
            asked += 1;
            if asked % 7 == 5 {
                LATE.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(150));
            }
            send(&mut master, &rtu_frame(a.unit, &a.answer()));
        }
    });
    let transport = ModbusTransport::Rtu { device: device.into(), baud: 38_400, parity: Parity::None, stop_bits: 1 };
    let settings = ModbusConnection { transport, ..modbus_settings(0) };
    let starts = [100u16, 200, 300];
    let tags = starts.iter().map(|s| tag("t", holding(*s, DataType::UInt16))).collect();
    let mut link = Running::start(connection(settings), tags, vec![]);
    let mut good = 0;
    let (state, _) = link.image(|state, samples| {
        for (sample, start) in samples.iter().zip(starts) {
            if let Some(value) = number(sample) {
                assert!((value - f64::from(start)).abs() < 0.5, "register {start} shows {value}");
                good += 1;
            }
        }
        state == LinkState::Up && good > 60 && LATE.load(Ordering::SeqCst) >= 3
    });
    assert_eq!(state, LinkState::Up);
    drop(link);
    drop(keep);
}
