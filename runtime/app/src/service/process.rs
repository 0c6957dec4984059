//! Why: the service's side: a server for strangers in a process of its own, poor on purpose.
//!
//! It has an address space and descriptor limit, nice +5, an empty environment and no PLC credential. It reads messages from stdin
//! and ends when stdin closes, so it never outlives control. stdout is the channel; log lines go to stderr.

use std::io::{self, BufReader, Read, Write};
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};
use flyball_core::outside::{Call, Change, Reply};
use nix::sys::resource::{Resource, setrlimit};

use super::channel::{
    ChannelError, FROM_SERVICE_BYTES_MAX, FromService, Hello, TO_SERVICE_BYTES_MAX, ToService, receive, send,
};

/// Address space, bytes. Resident memory is watched by control and is much less; this is the hard stop.
const ADDRESS_SPACE_MAX: u64 = 2 << 30;
/// File descriptors: the server's connection limit and some for files.
const FILES_MAX: u64 = 512;
/// Calls on their way to control; more are refused by the server.
const CALLS_MAX: usize = 64;

/// A running server, as this process needs it.
pub trait Server {
    /// Where it listens, with the real port.
    fn address(&self) -> String;
    /// New values.
    fn apply(&mut self, changes: Vec<Change>);
    /// Answer to a call.
    fn reply(&mut self, reply: Reply);
    /// OPC UA ServiceLevel.
    fn service_level(&mut self, level: u8);
    /// Ends all sessions in order.
    fn shutdown(self);
}

/// `flyball service`: serves what control says over stdin until it closes. Returns the exit code.
#[must_use]
pub fn main() -> u8 {
    if let Err(e) = crate::logging::to_control() {
        eprintln!("{e}");
    }
    if let Err(e) = crate::realtime::be_nice() {
        tracing::warn!("{e}");
    }
    for (resource, limit) in [(Resource::RLIMIT_AS, ADDRESS_SPACE_MAX), (Resource::RLIMIT_NOFILE, FILES_MAX)] {
        if let Err(e) = setrlimit(resource, limit, limit) {
            tracing::warn!("{resource:?} stays as it is: {e}");
        }
    }
    serve(io::stdin().lock(), io::stdout(), super::opcua::start)
}

/// The life of the service over any pair of pipes.
pub fn serve<S: Server>(
    from: impl Read,
    to: impl Write + Send + 'static,
    start: impl FnOnce(Hello, Sender<Call>) -> Result<S, String>,
) -> u8 {
    let mut from = BufReader::new(from);
    let (say, to_say) = bounded(CALLS_MAX);
    let (calls, to_call) = bounded(CALLS_MAX);
    let writer = thread::spawn(move || write_all(to, &to_say, &to_call));
    let code = match receive(&mut from, TO_SERVICE_BYTES_MAX) {
        Ok(ToService::Hello(hello)) => match start(*hello, calls) {
            Ok(server) => listen(&mut from, &say, server),
            Err(why) => {
                let _ = say.send(FromService::Failed(why));
                1
            }
        },
        Ok(_) => {
            let _ = say.send(FromService::Failed("the first message was not Hello; this is a bug".into()));
            1
        }
        // `flyball service` typed by hand in a terminal ends here too.
        Err(e) => {
            tracing::error!("the service is started by `flyball run`, not by hand: {e}");
            2
        }
    };
    drop(say);
    // A panic there has been printed by the hook; the exit code says that this run went wrong.
    if writer.join().is_err() { 1 } else { code }
}

/// Carries out what control says until it closes the channel or says Shutdown.
fn listen<S: Server>(from: &mut impl Read, say: &Sender<FromService>, mut server: S) -> u8 {
    if say.send(FromService::Ready { address: server.address() }).is_err() {
        server.shutdown();
        return 1;
    }
    let mut served: Vec<bool> = Vec::new();
    let mut nodes_served = 0;
    let code = loop {
        match receive(from, TO_SERVICE_BYTES_MAX) {
            Ok(ToService::Changes(changes)) => {
                for change in &changes {
                    let at = change.node as usize;
                    if at >= served.len() {
                        served.resize(at + 1, false);
                    }
                    nodes_served += u32::from(!std::mem::replace(&mut served[at], true));
                }
                server.apply(changes);
            }
            Ok(ToService::Reply(reply)) => server.reply(reply),
            Ok(ToService::ServiceLevel(level)) => server.service_level(level),
            Ok(ToService::Ping(number)) => {
                if say.send(FromService::Pong { number, nodes_served }).is_err() {
                    break 1;
                }
            }
            Ok(ToService::Hello(_)) => tracing::warn!("a second Hello was ignored"),
            Ok(ToService::Shutdown) | Err(ChannelError::Closed) => break 0,
            Err(e) => {
                tracing::error!("{e}");
                break 1;
            }
        }
    };
    server.shutdown();
    code
}

/// The only writer of the channel. Ends when everything is said and nobody can say more, or when control no longer reads.
fn write_all(mut to: impl Write, to_say: &Receiver<FromService>, to_call: &Receiver<Call>) {
    let mut put = |message: FromService| match send(&mut to, &message, FROM_SERVICE_BYTES_MAX) {
        // One oversized call is the caller's problem, not the end of the channel.
        Ok(()) | Err(ChannelError::Oversized { .. }) => true,
        Err(_) => false,
    };
    loop {
        let goes_on = crossbeam::channel::select! {
            recv(to_say) -> message => match message {
                Ok(message) => put(message),
                Err(_) => return,
            },
            // When the server is gone its end of this channel is; what is left to say comes the other way.
            recv(to_call) -> call => match call {
                Ok(call) => put(FromService::Call(call)),
                Err(_) => return to_say.iter().for_each(|message| { put(message); }),
            },
        };
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::channel::ServerSettings;
    use flyball_config::Role;
    use flyball_core::outside::Directory;
    use std::sync::{Arc, Mutex};

    #[derive(Default, Clone)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Seen {
        fn note(&self, text: impl Into<String>) {
            self.0.lock().expect("no panic while held").push(text.into());
        }
    }

    impl Server for Seen {
        fn address(&self) -> String {
            "opc.tcp://here:1/".into()
        }
        fn apply(&mut self, changes: Vec<Change>) {
            self.note(format!("{} changes", changes.len()));
        }
        fn reply(&mut self, reply: Reply) {
            self.note(reply.text);
        }
        fn service_level(&mut self, level: u8) {
            self.note(format!("level {level}"));
        }
        fn shutdown(self) {
            self.note("shutdown");
        }
    }

    fn hello() -> ToService {
        let server = ServerSettings {
            endpoint: "opc.tcp://127.0.0.1:0/".into(),
            security: Vec::new(),
            anonymous_read: true,
            users: Vec::new(),
            pki: "pki".into(),
            trust_any_client: false,
        };
        ToService::Hello(Box::new(Hello { directory: Directory::default(), server }))
    }

    /// Runs the service over memory; returns exit code, what the server saw and what it said.
    fn run(messages: &[ToService]) -> (u8, Vec<String>, Vec<FromService>) {
        let mut input = Vec::new();
        for message in messages {
            send(&mut input, message, TO_SERVICE_BYTES_MAX).expect("fits");
        }
        let (mut read, write) = io::pipe().expect("pipe");
        let seen = Seen::default();
        let server = seen.clone();
        let code = serve(input.as_slice(), write, |_, calls| {
            let call = Call { id: 5, method: 0, arguments: vec![], user: "op".into(), role: Role::Operator };
            calls.send(call).expect("room");
            Ok(server)
        });
        let mut said = Vec::new();
        while let Ok(message) = receive(&mut read, FROM_SERVICE_BYTES_MAX) {
            said.push(message);
        }
        let seen = seen.0.lock().expect("done").clone();
        (code, seen, said)
    }

    #[test]
    fn everything_reaches_the_server_and_the_end_of_stdin_is_an_orderly_end() {
        let change = |node| Change { node, value: None, status: 0, source_time: 0 };
        let (code, seen, said) = run(&[
            hello(),
            ToService::Changes(vec![change(0), change(1), change(0)]),
            ToService::Reply(Reply { id: 5, status: 0, text: "done".into() }),
            ToService::ServiceLevel(200),
            ToService::Ping(9),
        ]);
        assert_eq!(code, 0);
        assert_eq!(seen, ["3 changes", "done", "level 200", "shutdown"]);
        assert!(said.contains(&FromService::Ready { address: "opc.tcp://here:1/".into() }), "{said:?}");
        assert!(said.contains(&FromService::Pong { number: 9, nodes_served: 2 }), "{said:?}");
    }

    #[test]
    fn without_hello_nothing_is_started() {
        let (code, seen, said) = run(&[ToService::Ping(1)]);
        assert_eq!((code, seen.len()), (1, 0));
        assert!(matches!(said.as_slice(), [FromService::Failed(_)]), "{said:?}");
        assert_eq!(run(&[]).0, 2);
    }
}
