//! The program `flyball`: parses its arguments and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use flyball::cli::{Cli, Command};

fn main() -> ExitCode {
    ExitCode::from(match Cli::parse().command {
        Command::Check(arguments) => flyball::check::run(&arguments),
        Command::Service => flyball::service::process::main(),
        Command::Run(_) | Command::Demo(_) | Command::Bench(_) => {
            eprintln!("This build has no scan yet: only `flyball check` works.");
            2
        }
    })
}
