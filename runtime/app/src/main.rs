//! The program `flyball`: parses its arguments and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use flyball::cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Service => ExitCode::from(flyball::service::process::main()),
        _ => ExitCode::from(2),
    }
}
