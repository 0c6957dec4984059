//! Why: `flyball demo turbine` is a promise of the README: the real program, two processes, real sockets, and a client that reads along.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flyball::clock::SystemClock;
use flyball_core::image::Sample;
use flyball_core::link::{LinkPlan, link_pair};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running demonstration; killed when a test fails.
struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Demo {
    fn start(seconds: u32) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flyball"))
            .args(["demo", "turbine", "--plain", "--seconds", &seconds.to_string()])
            // Where it is started does not matter.
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Endpoint, user and password from the line that tells a person.
    fn client(&mut self) -> [String; 3] {
        let line = self.lines.find_map(|l| l.ok().filter(|l| l.starts_with("OPC UA server: "))).expect("is told");
        let after = |word: &str| line.split_once(word).expect("told").1.split(',').next().expect("a word").to_owned();
        [after("server: "), after("user "), after("password ")]
    }

    /// The rest of stdout and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let rest: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        (rest.join("\n"), self.child.wait().expect("ends").code())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Ended already when the test passed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads nodes below `Models/` with a user and password over an encrypted session, until all are Good.
fn read_over_opcua(folder: &tempfile::TempDir, [endpoint, user, password]: &[String; 3], nodes: &[&str]) -> Vec<f64> {
    std::fs::write(folder.path().join("password"), password).expect("written");
    let mut text = format!(
        "schema = 1\n[app]\nname = \"READER\"\n[timing]\ncycle = \"1 s\"\ndeadline = \"500 ms\"\n\
         [connection.out]\nprotocol = \"opcua\"\nendpoint = \"{endpoint}\"\nsecurity = \"SignAndEncrypt / Basic256Sha256\"\n\
         user = \"{user}\"\npassword = \"file:password\"\nread_by = \"subscription\"\npublishing = \"100 ms\"\n\
         timeout = \"5 s\"\npki = \"reader\"\n"
    );
    for (i, node) in nodes.iter().enumerate() {
        text += &format!(
            "[tag.T{i}]\ntext = \"node\"\nat = \"out: nsu=urn:flyball:TURBINE-PEMS;s=TURBINE-PEMS/Models/{node}\"\n\
             unit = \"1\"\nrange = [0, 200]\n"
        );
    }
    let loaded = flyball_config::load_text(&folder.path().join("reader.toml"), &text);
    let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.lines()));
    let clock = SystemClock::start(1);
    let (utc, stop) = (clock.utc(), Arc::new(AtomicBool::new(false)));
    let (bell, button) = flyball_opcua::doorbell();
    let plan = LinkPlan::all(&config).remove(0);
    let (seat, mut door) = link_pair(plan, button.clone(), Arc::clone(&stop), Arc::new(clock), utc, 1);
    let identity = flyball_opcua::ClientIdentity {
        application: "READER".into(),
        application_uri: "urn:test:reader".into(),
        password: Some(password.clone()),
        trust_server: true,
    };
    let link = thread::spawn(move || flyball_opcua::run(seat, bell, identity));
    // The limit only ends a broken test.
    let values = (0..300).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        let image = door.images.newest()?;
        let value = |s: &Sample| s.value.map(|v| v.get());
        image.samples.iter().map(value).collect::<Option<Vec<f64>>>()
    });
    stop.store(true, Ordering::Relaxed);
    button();
    link.join().expect("link");
    values.expect("every node has a value")
}

#[test]
fn it_predicts_publishes_and_keeps_score() {
    let mut demo = Demo::start(15);
    let client = demo.client();
    assert!(client[0].starts_with("opc.tcp://127.0.0.1:"), "{client:?}");
    let folder = tempfile::tempdir().expect("folder");
    let nodes = ["turbine/Outputs/TEY", "turbine/Outputs/CO", "turbine/Outputs/NOX/Unbiased", "ridge/Outputs/NOX"];
    let values = read_over_opcua(&folder, &client, &nodes);
    // The ranges of the four outputs in 2013, widely.
    let ranges = [(95.0, 180.0), (0.0, 50.0), (30.0, 130.0), (20.0, 120.0)];
    for ((value, (low, high)), node) in values.iter().zip(ranges).zip(nodes) {
        assert!((low..=high).contains(value), "{node} {value}");
    }
    let (rest, code) = demo.end();
    assert_eq!(code, Some(0), "{rest}");
    for wanted in ["TEY, MWh", "NOX, mg/m3", "\nnetwork  ", "\nridge  ", "\npersistence (24 rows late)", "ADVISORY"] {
        assert!(rest.contains(wanted), "{wanted}: {rest}");
    }
    assert_eq!(rest.matches("met     ").count(), 3, "{rest}");
}

#[test]
fn a_signal_ends_it_in_order_and_what_is_missing_is_said() {
    let mut demo = Demo::start(60);
    demo.client();
    let pid = Pid::from_raw(i32::try_from(demo.child.id()).expect("pid"));
    kill(pid, Signal::SIGTERM).expect("our own child");
    let (rest, code) = demo.end();
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("NOT MET at least 90 % of the rows scored"), "{rest}");
}
