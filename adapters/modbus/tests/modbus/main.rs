//! Faults of real sockets, one test per fault. Peers that misbehave are threads of `peer`; those that behave are our own server.

mod client_faults;
mod link_faults;
mod link_writes;
mod peer;
mod seat;
mod serial;
mod server_faults;
mod testing;
