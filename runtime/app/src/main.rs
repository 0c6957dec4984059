//! The program `flyball`: parses its arguments and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use flyball::cli::{Cli, Command, DemoKind};
use flyball::signals::Stop;

fn main() -> ExitCode {
    ExitCode::from(match Cli::parse().command {
        Command::Check(arguments) => flyball::check::run(&arguments),
        Command::Service => flyball::service::process::main(),
        Command::Demo(demo) if demo.which == DemoKind::Turbine => match Stop::on_signals() {
            Ok(stop) => flyball::demo::turbine::run(&demo, stop),
            Err(e) => {
                eprintln!("flyball: the operating system refuses signal handlers ({e})");
                2
            }
        },
        Command::Run(_) | Command::Demo(_) | Command::Bench(_) => {
            eprintln!("This build has no scan yet: only `flyball check` works.");
            2
        }
    })
}
