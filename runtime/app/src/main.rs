//! The program `flyball`: parses its arguments and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use flyball::cli::{Cli, Command, DemoKind, ModelCommand};
use flyball::signals::Stop;

fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Check(arguments) => flyball::check::run(&arguments),
        Command::PlcKit(arguments) => flyball::plckit::run(&arguments),
        Command::Service => flyball::service::process::main(),
        Command::Run(arguments) => flyball::run::run(&arguments),
        Command::Demo(arguments) if arguments.record.is_some() && arguments.which != DemoKind::R101 => {
            eprintln!("flyball demo: only r101 records; leave --record out");
            2
        }
        Command::Demo(arguments) => with_stop(|stop| match arguments.which {
            DemoKind::R101 => flyball::demo::r101::run(&arguments, &stop),
            DemoKind::Te4 => flyball::demo::te4::run(&arguments, &stop),
            DemoKind::Turbine => flyball::demo::turbine::run(&arguments, stop),
        }),
        Command::Model(ModelCommand::Show(arguments)) => flyball::model::show(&arguments),
        Command::Replay(arguments) => flyball::replay::run(&arguments),
        Command::Why(arguments) => flyball::why::run(&arguments),
        Command::Rig(arguments) => with_stop(|stop| flyball::demo::rig::run(&arguments, &stop)),
        Command::Certify(arguments) => with_stop(|stop| flyball::certify::run(&arguments, &stop)),
        Command::Hil(arguments) => with_stop(|stop| flyball::hil::run(&arguments, &stop)),
        Command::Export(arguments) => flyball::export::run(&arguments),
        Command::Bench(arguments) => flyball::bench::run(arguments.which),
    };
    flyball::logging::finish();
    ExitCode::from(code)
}

/// Runs a command that ends when a signal asks for it.
fn with_stop(command: impl FnOnce(Stop) -> u8) -> u8 {
    match Stop::on_signals() {
        Ok(stop) => command(stop),
        Err(e) => {
            eprintln!("flyball: signals cannot be received ({e})");
            2
        }
    }
}
