//! temporary
use super::channel::Hello;
use super::process::Server;
use crossbeam::channel::Sender;
use flyball_core::outside::{Call, Change, Reply};
pub struct Real;
impl Server for Real {
    fn address(&self) -> String {
        "opc.tcp://temporary/".into()
    }
    fn apply(&mut self, _: Vec<Change>) {}
    fn reply(&mut self, _: Reply) {}
    fn service_level(&mut self, _: u8) {}
    fn shutdown(self) {}
}
pub fn start(_: Hello, _calls: Sender<Call>) -> Result<Real, String> {
    std::mem::forget(_calls);
    Ok(Real)
}
