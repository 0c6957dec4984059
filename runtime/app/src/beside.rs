//! Why: the demonstration, the certificate and the scenarios all play a configuration against the built-in rig: its addresses stay, its
//! connections lead to loopback, its secrets are made up for the run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flyball_config::{Config, ModbusTransport, Protocol, Secret, UserIdentity};
use flyball_rig::plc::{PlcOptions, SimPlc};
use flyball_rig::servers::RigPlc;
use flyball_rig::virtual_rig::{VirtualOptions, VirtualRig};

use crate::demo::folder::{PrivateFolder, random_text};

/// The password of the rig and that of its users, and where they lie for the time of the run.
pub struct Secrets {
    /// What the rig's PLC wants to hear.
    pub plc: String,
    /// What the application's own server wants to hear.
    pub hmi: String,
    plc_file: Secret,
    hmi_file: Secret,
}

impl Secrets {
    /// New ones.
    ///
    /// # Errors
    /// A sentence: no random numbers, or the folder is full.
    pub fn new(folder: &PrivateFolder) -> Result<Self, String> {
        let (plc, hmi) = (random_text()?, random_text()?);
        let plc_file = Secret::File(folder.write("plc-password", plc.as_bytes())?);
        let hmi_file = Secret::File(folder.write("hmi-password", hmi.as_bytes())?);
        Ok(Self { plc, hmi, plc_file, hmi_file })
    }
}

/// Whether the built-in rig R-101 has every address of this configuration.
///
/// # Errors
/// One sentence: the first addresses that it does not have, and what to do.
pub fn playable(config: &Config) -> Result<(), String> {
    let options = VirtualOptions::default();
    match VirtualRig::new(config, SimPlc::new(PlcOptions::default()), options) {
        Ok(_) => Ok(()),
        Err(unknown) => Err(format!(
            "the built-in rig plays R-101 only, and {} of {} addresses do not exist there, the first: {}. Use the endpoints of the file instead",
            unknown.len(),
            config.tags.len() + config.outputs.len(),
            unknown.first().map_or("?", String::as_str)
        )),
    }
}

/// Points every connection at the rig, and the server at a free loopback port. Time limits are not touched.
pub fn point_at(config: &mut Config, rig: &RigPlc, folder: &Path, secrets: &Secrets) {
    let analyser = VirtualOptions::default().analyser;
    for connection in &mut config.connections {
        match &mut connection.protocol {
            Protocol::OpcUa(settings) => {
                settings.endpoint = rig.opcua_url().into();
                settings.pki = folder.join("pki-client");
                if let UserIdentity::Password { password, .. } = &mut settings.user {
                    *password = secrets.plc_file.clone();
                }
            }
            Protocol::Modbus(settings) => {
                let at: SocketAddr = if connection.name == analyser { rig.analyser() } else { rig.modbus() };
                settings.transport = ModbusTransport::Tcp { host: at.ip().to_string(), port: at.port() };
            }
        }
    }
    if let Some(server) = &mut config.server {
        server.endpoint = "opc.tcp://127.0.0.1:0/r101-opt".into();
        server.pki = folder.join("pki-server");
        // Loopback, and gone in minutes: who tries it out shall not have to exchange certificates first.
        server.trust_any_client = true;
        for user in &mut server.users {
            user.password = secrets.hmi_file.clone();
        }
    }
}

/// For a plant that runs `scale` times as fast as the clock. Network and machine do not run faster because the plant does: what is patience
/// stays real, as far as the cycle allows.
pub fn be_patient(config: &mut Config, scale: u32) {
    config.timing.deadline = config.timing.cycle * 95 / 100;
    config.timing.shed_after = 10;
    config.timing.stage_budget.predict = config.timing.cycle * 30 / 100;
    config.timing.stage_budget.optimise = config.timing.cycle * 30 / 100;
    if let Some(handshake) = &mut config.handshake {
        handshake.lost_after = Duration::from_secs(scale.into());
    }
    for connection in &mut config.connections {
        connection.timeout = Duration::from_millis(500) * scale;
    }
    for tag in &mut config.tags {
        tag.stale_after = tag.stale_after.max(Duration::from_secs(scale.into()));
        tag.hold = tag.hold.max(Duration::from_secs(scale.into()));
    }
}

/// For a plant that runs `pace` times as fast, where every time limit of the program is to take as long as the file says: one second of the
/// file is one real second.
pub fn keep_real_time(config: &mut Config, pace: u32) {
    let t = &mut config.timing;
    let b = &mut t.stage_budget;
    for time in
        [&mut t.deadline, &mut b.read, &mut b.condition, &mut b.predict, &mut b.optimise, &mut b.guard, &mut b.write]
    {
        *time *= pace;
    }
    if let Some(optimiser) = &mut config.optimiser {
        optimiser.stop_after *= pace;
    }
    if let Some(handshake) = &mut config.handshake {
        handshake.lost_after *= pace;
    }
    for connection in &mut config.connections {
        connection.timeout *= pace;
    }
    for tag in &mut config.tags {
        tag.stale_after *= pace;
    }
}
