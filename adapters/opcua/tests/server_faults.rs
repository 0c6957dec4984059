//! The servers against real clients and rude peers: each test is named after the fault that it contains.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use common::rude::{Peer, answer, error_code};
use common::*;
use flyball_core::config::{Role, Security};
use flyball_core::outside::{Change, Directory, MethodSpec, NodeKind, NodeSpec, NodeValue, Reply, UnitSpec, WrittenBy};
use flyball_core::status::Status;
use flyball_opcua::Scalar;
use flyball_opcua::pki::Pki;
use flyball_opcua::server::{OutsideServer, ServerHost, ServerSettings, ServerUser, VariableSpec};
use opcua::client::{ClientBuilder, IdentityToken, Session};
use opcua::types::{
    AttributeId, CallMethodRequest, DataValue, EndpointDescription, MessageSecurityMode, NodeId, ReadValueId,
    StatusCode, TimestampsToReturn, UserTokenType, Variant, WriteValue,
};

fn client(dir: &Path) -> opcua::client::Client {
    let folder = dir.join("client");
    Pki::open(&folder, "judge", "urn:test:judge", &[]).expect("pki");
    let builder = ClientBuilder::new().application_name("judge").application_uri("urn:test:judge").pki_dir(folder);
    let builder = builder.certificate_path(Pki::CERTIFICATE).private_key_path(Pki::PRIVATE_KEY).session_retry_limit(0);
    builder.trust_server_certs(true).verify_server_certs(false).client().expect("client")
}

/// A session of async-opcua's own client, as any other client would have it.
async fn session(dir: &Path, url: &str, secure: bool, user: Option<(&str, &str)>) -> Arc<Session> {
    let mut client = client(dir);
    let (policy, mode) = if secure {
        ("http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256", MessageSecurityMode::SignAndEncrypt)
    } else {
        ("http://opcfoundation.org/UA/SecurityPolicy#None", MessageSecurityMode::None)
    };
    let endpoint: EndpointDescription = (url, policy, mode, opcua::types::UserTokenPolicy::anonymous()).into();
    let token = user.map_or(IdentityToken::Anonymous, |(u, p)| IdentityToken::new_user_name(u, p.to_owned()));
    let (session, events) = client.connect_to_matching_endpoint(endpoint, token).await.expect("endpoint");
    let ended = events.spawn();
    tokio::select! {
        _ = session.wait_for_connection() => {}
        code = ended => panic!("no session: {code:?}"),
    }
    session
}

async fn read(session: &Session, id: &NodeId) -> DataValue {
    let asked = [ReadValueId::from(id.clone())];
    session.read(&asked, TimestampsToReturn::Both, 0.0).await.expect("read").remove(0)
}

async fn write(session: &Session, id: &NodeId, value: Variant) -> StatusCode {
    let value = DataValue { value: Some(value), ..DataValue::null() };
    let asked =
        [WriteValue { node_id: id.clone(), attribute_id: AttributeId::Value as u32, value, ..Default::default() }];
    session.write(&asked).await.expect("write").remove(0)
}

async fn index(session: &Session, uri: &str) -> u16 {
    session.get_namespace_index(uri).await.expect("namespace")
}

#[tokio::test]
async fn a_write_of_the_wrong_type_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let specs =
        vec![spec("sp", Scalar::Float(1.5)), VariableSpec { writable: false, ..spec("pv", Scalar::Float(1.0)) }];
    let (host, _bank, seen) = serve(lab(dir.path(), 0), specs);
    let session = session(dir.path(), host.url(), false, None).await;
    let ns = index(&session, PLC).await;
    let write = async |node: &str, attribute: AttributeId, value: DataValue| {
        let id = NodeId::new(ns, node);
        let write = WriteValue { node_id: id, attribute_id: attribute as u32, value, ..Default::default() };
        session.write(&[write]).await.expect("write")[0]
    };
    let wrong =
        [Variant::Double(2.0), Variant::from("2"), Variant::Int32(2), Variant::from(vec![1.0f32, 2.0]), Variant::Empty];
    for value in wrong {
        let status = write("sp", AttributeId::Value, DataValue::value_only(value.clone())).await;
        assert_eq!(status, StatusCode::BadTypeMismatch, "{value:?}");
    }
    let nan = DataValue::value_only(Variant::Float(f32::NAN));
    assert_eq!(write("sp", AttributeId::Value, nan).await, StatusCode::BadOutOfRange);
    let stamped = DataValue::new_now(2.0f32);
    assert_eq!(write("sp", AttributeId::Value, stamped).await, StatusCode::BadWriteNotSupported);
    let float = || DataValue::value_only(Variant::Float(2.5));
    assert_eq!(write("pv", AttributeId::Value, float()).await, StatusCode::BadNotWritable);
    assert_eq!(write("sp", AttributeId::DisplayName, float()).await, StatusCode::BadNotWritable);
    assert_eq!(write("none", AttributeId::Value, float()).await, StatusCode::BadNodeIdUnknown);
    assert_eq!(read(&session, &NodeId::new(ns, "sp")).await.value, Some(Variant::Float(1.5)));
    assert_eq!(write("sp", AttributeId::Value, float()).await, StatusCode::Good);
    let stored = read(&session, &NodeId::new(ns, "sp")).await;
    assert_eq!(stored.value, Some(Variant::Float(2.5)));
    assert_eq!((stored.source_picoseconds, stored.server_picoseconds), (None, None), "asyncua misreads picoseconds");
    assert_eq!(*seen.lock().expect("seen"), vec![(0, Scalar::Float(2.5))]);
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_announced_giant_message_is_refused_before_it_is_read() {
    const BAD_TCP_MESSAGE_TOO_LARGE: u32 = 0x8080_0000;
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, _) = serve(lab(dir.path(), 0), vec![spec("x", Scalar::Float(0.0))]);
    let mut before = TcpStream::connect(host.address()).expect("connect");
    before.write_all(b"HELF\0\0\0\x80").expect("header of 2 GiB");
    let (kind, body) = answer(&mut before).expect("error");
    assert_eq!((kind.as_slice(), error_code(&body)), (b"ERR".as_slice(), BAD_TCP_MESSAGE_TOO_LARGE));
    let mut after = Peer::open(host.address());
    after.stream.write_all(b"MSGF\0\0\0\x10").expect("header of 256 MiB");
    let (kind, body) = answer(&mut after.stream).expect("error");
    assert_eq!((kind.as_slice(), error_code(&body)), (b"ERR".as_slice(), BAD_TCP_MESSAGE_TOO_LARGE));
    let mut web = TcpStream::connect(host.address()).expect("connect");
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
    assert_eq!(answer(&mut web).expect("error").0, b"ERR");
    wait("three counted", || host.counters().expelled.load(Ordering::Relaxed) == 3);
}

#[test]
fn connections_are_capped_and_come_back() {
    let dir = tempfile::tempdir().expect("folder");
    let mut settings = lab(dir.path(), 0);
    settings.gate.per_address = 3;
    let (host, _bank, _) = serve(settings, vec![spec("x", Scalar::Float(0.0))]);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::open(host.address())).collect();
    let mut fourth = TcpStream::connect(host.address()).expect("connect");
    assert_eq!(answer(&mut fourth).expect("error").0, b"ERR");
    assert_eq!(host.counters().refused.load(Ordering::Relaxed), 1);
    drop(peers.pop());
    wait("a place", || host.counters().open.load(Ordering::Relaxed) == 2);
    Peer::open(host.address());
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).expect("pages") * 4096
}

#[test]
fn a_client_that_sends_and_never_reads_does_not_grow_the_server() {
    let dir = tempfile::tempdir().expect("folder");
    let mut settings = lab(dir.path(), 0);
    settings.gate.stalled = Duration::from_secs(2);
    let (host, _bank, _) = serve(settings, vec![spec("x", Scalar::Float(0.0))]);
    let mut peer = Peer::open(host.address());
    peer.stream.set_nonblocking(true).expect("nonblocking");
    let (before, mut sent) = (resident_bytes(), 0usize);
    const WANTED: usize = 512 << 20;
    let start = Instant::now();
    'rude: while sent < WANTED {
        let batch: Vec<u8> = (0..200).flat_map(|_| peer.get_endpoints()).collect();
        let mut left = batch.as_slice();
        while !left.is_empty() {
            match peer.stream.write(left) {
                Ok(n) => (sent, left) = (sent + n, &left[n..]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    assert!(start.elapsed() < HANG, "the peer is neither served nor closed");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => break 'rude,
            }
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    println!("sent {sent} bytes without reading; process grew by {grown} bytes");
    assert!(sent < WANTED, "the gate must close a peer that does not read");
    // The limit leaves room for the other tests of this process; unbounded, the answers alone would be hundreds of MB.
    assert!(grown < 100 << 20, "grew by {grown} bytes");
    wait("expelled", || host.counters().expelled.load(Ordering::Relaxed) == 1);
    let _ = peer.stream.shutdown(Shutdown::Both);
    Peer::open(host.address());
}

#[tokio::test]
async fn a_create_session_flood_does_not_lock_out_others() {
    let dir = tempfile::tempdir().expect("folder");
    // Only secure endpoints: a session in clear text is not even asked for.
    let mut settings = lab(dir.path(), 0);
    settings.security = vec![SECURE];
    settings.trust_any_client = true;
    let (host, _bank, _) = serve(settings, vec![spec("x", Scalar::Float(0.0))]);
    for _ in 0..25 {
        let mut peer = Peer::open(host.address());
        let create = peer.create_session();
        peer.stream.write_all(&create).expect("write");
        let (kind, body) = answer(&mut peer.stream).expect("error");
        assert_eq!((kind.as_slice(), error_code(&body)), (b"ERR".as_slice(), 0x8055_0000), "BadSecurityPolicyRejected");
    }
    session(&dir.path().join("a"), host.url(), true, None).await;
    // None offered in a lab: the flood comes from another address, and meets its own limit.
    let (host, _bank, _) = serve(lab(&dir.path().join("b"), 0), vec![spec("x", Scalar::Float(0.0))]);
    let flooder = tokio::net::TcpSocket::new_v4().expect("socket");
    flooder.bind("127.0.0.2:0".parse().expect("address")).expect("bind");
    let stream = flooder.connect(host.address()).await.expect("connect").into_std().expect("std");
    stream.set_nonblocking(false).expect("blocking");
    let mut peer = Peer::over(stream);
    let mut created = 0;
    loop {
        let create = peer.create_session();
        if peer.stream.write_all(&create).is_err() {
            break;
        }
        match answer(&mut peer.stream) {
            Ok((kind, _)) if kind == b"MSG" => created += 1,
            _ => break,
        }
        assert!(created < 200, "no limit of clear sessions");
    }
    assert!(created >= 20, "{created}");
    session(&dir.path().join("c"), host.url(), false, None).await;
}

#[tokio::test]
async fn no_password_is_asked_for_over_policy_none() {
    let dir = tempfile::tempdir().expect("folder");
    let mut settings = lab(dir.path(), 0);
    settings.security = vec![Security::NONE, SECURE];
    settings.users = vec![ServerUser { name: "op".into(), password: "secret".into(), role: Role::Operator }];
    let (host, _bank, _) = serve(settings, vec![spec("x", Scalar::Float(0.0))]);
    let endpoints = client(dir.path()).get_server_endpoints_from_url(host.url()).await.expect("endpoints");
    assert_eq!(endpoints.len(), 2);
    for endpoint in endpoints {
        assert!(
            endpoint.endpoint_url.as_ref().contains(&format!(":{}/", host.address().port())),
            "{}",
            endpoint.endpoint_url
        );
        let policies = endpoint.user_identity_tokens.unwrap_or_default();
        let by_name = policies.iter().any(|p| p.token_type == UserTokenType::UserName);
        assert_eq!(by_name, endpoint.security_mode != MessageSecurityMode::None);
    }
}

// ---- the outside server ---------------------------------------------------------------------------------------------------

const APP: &str = "R101-OPT";

fn directory() -> Directory {
    let unit = UnitSpec { id: 4_408_652, display: "degC".into(), text: "degree Celsius".into() };
    let node = |path: &str, kind| NodeSpec { path: path.into(), text: format!("about {path}"), kind, written_by: None };
    let modes = || NodeKind::Enumeration(vec!["OFF".into(), "ADVISORY".into(), "CLOSED LOOP".into()]);
    let method = |path: &str, role, inputs| MethodSpec { path: path.into(), text: String::new(), inputs, role };
    let mode_and_comment = vec![
        ("mode".to_owned(), String::new(), modes()),
        ("comment".to_owned(), String::new(), NodeKind::Text),
        ("weight".to_owned(), String::new(), NodeKind::Number),
    ];
    let price = WrittenBy { method: 2, before: vec![NodeValue::Text("steam".into())], after: vec![] };
    let name_and_value =
        vec![("name".to_owned(), String::new(), NodeKind::Text), ("value".to_owned(), String::new(), NodeKind::Number)];
    Directory {
        application: APP.into(),
        text: "test".into(),
        nodes: vec![
            node("Status/Mode", modes()),
            node("Inputs/TI-101", NodeKind::Analog { unit, low: 100.0, high: 130.0 }),
            node("Inputs/TI-101/Reason", NodeKind::Text),
            node("Status/Active", NodeKind::Texts),
            node("Status/Since", NodeKind::Time),
            NodeSpec { written_by: Some(price), ..node("Optimiser/Prices/steam", NodeKind::Number) },
        ],
        methods: vec![
            method("SetMode", Role::Operator, mode_and_comment),
            method("Timing/Reset", Role::Engineer, vec![]),
            method("Optimiser/SetPrice", Role::Operator, name_and_value),
        ],
    }
}

fn outside(dir: &Path) -> (OutsideServer, std::sync::mpsc::Receiver<flyball_core::outside::Call>) {
    logs();
    let mut settings = ServerSettings::new(APP, "127.0.0.1", 0, dir.join("server"));
    settings.trust_any_client = true;
    settings.anonymous = true;
    settings.users = vec![ServerUser { name: "op".into(), password: "secret".into(), role: Role::Operator }];
    let (calls, receiver) = sync_channel(8);
    (OutsideServer::start(settings, directory(), calls).expect("server"), receiver)
}

#[tokio::test]
async fn a_write_to_a_price_is_a_call_with_its_role_and_its_checks() {
    let dir = tempfile::tempdir().expect("folder");
    let (server, calls) = outside(dir.path());
    let operator = Some(("op", "secret"));
    let (nobody, session) =
        (session(dir.path(), server.url(), true, None).await, session(dir.path(), server.url(), true, operator).await);
    let ns = index(&session, "urn:flyball:R101-OPT").await;
    let id = |path: &str| NodeId::new(ns, format!("{APP}/{path}"));
    let price = id("Optimiser/Prices/steam");
    assert_eq!(write(&nobody, &price, Variant::Double(2.0)).await, StatusCode::BadUserAccessDenied);
    assert_eq!(write(&session, &price, Variant::String("two".into())).await, StatusCode::BadTypeMismatch);
    assert_eq!(write(&session, &price, Variant::Double(f64::NAN)).await, StatusCode::BadTypeMismatch);
    assert_eq!(write(&session, &id("Inputs/TI-101"), Variant::Double(2.0)).await, StatusCode::BadNotWritable);
    assert!(calls.try_recv().is_err(), "nothing of this may reach the controller");
    let (answered, ()) = tokio::join!(write(&session, &price, Variant::Double(0.003)), async {
        let call = loop {
            match calls.try_recv() {
                Ok(call) => break call,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!((call.method, call.role, call.user.as_str()), (2, Role::Operator, "op"));
        assert_eq!(call.arguments, [NodeValue::Text("steam".into()), NodeValue::Number(0.003)]);
        server.reply(Reply { id: call.id, status: Status::Good.0, text: "done".into() });
    });
    assert_eq!(answered, StatusCode::Good);
    let shown = read(&session, &price).await;
    assert_eq!(
        shown.status,
        Some(StatusCode::BadWaitingForInitialData),
        "the value changes when the controller says so"
    );
}

fn change(node: u32, value: Option<NodeValue>, status: Status) -> Change {
    Change { node, value, status: status.0, source_time: 1_795_459_200_000_000_000 }
}

#[tokio::test]
async fn a_directory_becomes_an_address_space_that_is_read_only() {
    let dir = tempfile::tempdir().expect("folder");
    let (server, _calls) = outside(dir.path());
    let session = session(dir.path(), server.url(), true, None).await;
    let ns = index(&session, "urn:flyball:R101-OPT").await;
    let id = |path: &str| NodeId::new(ns, format!("{APP}/{path}"));
    let waiting = read(&session, &id("Inputs/TI-101")).await;
    assert_eq!(waiting.status, Some(StatusCode::BadWaitingForInitialData), "Bad and absent stays Bad");
    let limited = Status::Good.with_limit(Status::LIMIT_HIGH);
    server.apply(&[
        change(0, Some(NodeValue::Whole(2)), Status::Good),
        change(1, Some(NodeValue::Number(114.5)), limited),
        change(2, Some(NodeValue::Number(1.0)), Status::Good),
        change(3, Some(NodeValue::Texts(vec!["a".into(), "b".into()])), Status::Good),
        change(99, None, Status::Good),
    ]);
    let value = read(&session, &id("Inputs/TI-101")).await;
    assert_eq!((value.value, value.status.map(|s| s.bits())), (Some(Variant::Double(114.5)), Some(limited.0)));
    assert_eq!((value.source_picoseconds, value.server_picoseconds), (None, None));
    assert_eq!(read(&session, &id("Status/Mode")).await.value, Some(Variant::UInt32(2)));
    let wrong = read(&session, &id("Inputs/TI-101/Reason")).await;
    assert_eq!(wrong.status, Some(StatusCode::BadTypeMismatch), "a number never becomes the value of a text node");
    for property in
        ["Inputs/TI-101.EURange", "Inputs/TI-101.EngineeringUnits", "Status/Mode.EnumStrings", "SetMode.InputArguments"]
    {
        let property = read(&session, &id(property)).await;
        assert!(
            property.value.is_some_and(|v| !matches!(v, Variant::Empty)),
            "{property:?}",
            property = property.status
        );
        assert_eq!(property.source_picoseconds, None);
    }
    // Browse names: ours in our namespace, the standard ones in namespace 0.
    use opcua::types::{BrowsePath, ObjectId, QualifiedName, ReferenceTypeId, RelativePath, RelativePathElement};
    let element = |ns: u16, name: &str| RelativePathElement {
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        is_inverse: false,
        include_subtypes: true,
        target_name: QualifiedName::new(ns, name),
    };
    let path = vec![element(ns, APP), element(ns, "Inputs"), element(ns, "TI-101"), element(0, "EURange")];
    let path = BrowsePath {
        starting_node: ObjectId::ObjectsFolder.into(),
        relative_path: RelativePath { elements: Some(path) },
    };
    let found = session.translate_browse_paths_to_node_ids(&[path]).await.expect("translate").remove(0);
    assert_eq!(found.targets.expect("targets")[0].target_id.node_id, id("Inputs/TI-101.EURange"));
    for path in ["Inputs/TI-101", "Status/Mode", "Inputs/TI-101.EURange"] {
        let write =
            WriteValue { node_id: id(path), attribute_id: 13, value: DataValue::value_only(1.0), ..Default::default() };
        assert_eq!(session.write(&[write]).await.expect("write")[0], StatusCode::BadNotWritable, "{path}");
    }
    server.set_service_level(120);
    let level = NodeId::from(opcua::types::VariableId::Server_ServiceLevel);
    assert_eq!(read(&session, &level).await.value, Some(Variant::Byte(120)));
}

#[tokio::test]
async fn methods_answer_in_words_and_roles_are_kept() {
    let dir = tempfile::tempdir().expect("folder");
    let (server, calls) = outside(dir.path());
    let server = Arc::new(server);
    let control = Arc::clone(&server);
    std::thread::spawn(move || {
        while let Ok(call) = calls.recv() {
            let (status, text) = match call.arguments.first() {
                Some(NodeValue::Whole(2)) => (Status::BadInvalidState, "TI-101 frozen since 11:58"),
                Some(NodeValue::Whole(0)) => continue,
                _ => (Status::Good, "ADVISORY from the next scan on"),
            };
            assert_eq!((call.user.as_str(), call.role), ("op", Role::Operator));
            control.reply(Reply { id: call.id, status: status.0, text: text.into() });
        }
    });
    let operator = session(&dir.path().join("op"), server.url(), true, Some(("op", "secret"))).await;
    let ns = index(&operator, "urn:flyball:R101-OPT").await;
    let call = async |session: &Session, object: &str, method: &str, arguments: Vec<Variant>| {
        let request = CallMethodRequest {
            object_id: NodeId::new(ns, object),
            method_id: NodeId::new(ns, format!("{APP}/{method}")),
            input_arguments: Some(arguments),
        };
        let result = session.call_one(request).await.expect("call");
        let words = match result.output_arguments.unwrap_or_default().into_iter().next() {
            Some(Variant::String(s)) => s.as_ref().to_owned(),
            _ => String::new(),
        };
        (result.status_code, words)
    };
    let set_mode = |mode: i32| vec![Variant::Int32(mode), Variant::from("night shift"), Variant::Double(1.0)];
    let (status, words) = call(&operator, APP, "SetMode", set_mode(1)).await;
    assert_eq!((status, words.as_str()), (StatusCode::Good, "ADVISORY from the next scan on"));
    let (status, words) = call(&operator, APP, "SetMode", set_mode(2)).await;
    assert_eq!((status, words.as_str()), (StatusCode::BadInvalidState, "TI-101 frozen since 11:58"));
    let last = read(&operator, &NodeId::new(ns, format!("{APP}/Status/LastAnswer"))).await.value;
    assert_eq!(last, Some(Variant::from("op, SetMode: TI-101 frozen since 11:58")));
    let wrong = [
        (set_mode(7), "an Int32: 0 = OFF"),
        (vec![Variant::Int32(1), Variant::Int32(1), Variant::Double(1.0)], "comment of SetMode must be a String"),
        (
            vec![Variant::Int32(1), Variant::from("x"), Variant::Double(f64::NAN)],
            "weight of SetMode must be a finite Double",
        ),
    ];
    for (arguments, said) in wrong {
        let (status, words) = call(&operator, APP, "SetMode", arguments).await;
        assert_eq!(status, StatusCode::BadInvalidArgument, "{words}");
        assert!(words.contains(said), "{words:?} does not say {said:?}");
    }
    let (status, _) = call(&operator, APP, "SetMode", vec![Variant::Int32(1)]).await;
    assert_eq!(status, StatusCode::BadArgumentsMissing);
    let (status, words) = call(&operator, "R101-OPT/Timing", "Timing/Reset", vec![]).await;
    assert_eq!(status, StatusCode::BadUserAccessDenied);
    assert!(words.contains("needs the role Engineer"), "{words}");
    let anonymous = session(&dir.path().join("anonymous"), server.url(), true, None).await;
    let (status, words) = call(&anonymous, APP, "SetMode", set_mode(1)).await;
    assert_eq!(status, StatusCode::BadUserAccessDenied);
    assert!(words.contains("Observer"), "{words}");
    let (status, words) = call(&operator, APP, "SetMode", set_mode(0)).await;
    assert_eq!(status, StatusCode::BadTimeout);
    assert!(words.contains("did not answer"), "{words}");
}

#[test]
fn a_port_in_use_is_said_with_the_next_step() {
    let dir = tempfile::tempdir().expect("folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = taken.local_addr().expect("address").port();
    let (_, hook) = recording();
    let bank = flyball_opcua::server::VariableBank::new("PLC", &[], vec![spec("x", Scalar::Bool(true))], hook);
    let why = ServerHost::start(lab(dir.path(), port), bank).err().expect("the port is taken");
    assert!(why.contains(&port.to_string()) && why.contains("Change the port"), "{why}");
}
