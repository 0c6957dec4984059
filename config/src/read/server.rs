//! `[server]`: what SCADA, HMI and historian can read over OPC UA, and who they are.

use crate::bounds::USERS_MAX;
use crate::model::{Role, Security, Server, User};
use crate::quantity::Problem;
use crate::read::connection::{endpoint, lab_switch, pki, security};
use crate::read::{Cx, check_count, named_tables};
use crate::reader::{Field, Reader};
use crate::secret;

const ROLES: [(&str, Role); 3] =
    [("Observer", Role::Observer), ("Operator", Role::Operator), ("Engineer", Role::Engineer)];

/// Reads `[server]`.
pub(crate) fn read(field: Option<Field<'_>>, cx: &Cx) -> Option<Server> {
    let mut r = field?.table("server")?;
    let endpoint = r.need("endpoint", "\"opc.tcp://0.0.0.0:4841/name\"").and_then(|f| endpoint(&f));
    let lab = r.get("lab_switch_no_security").and_then(|f| f.boolean()).unwrap_or(false);
    let security =
        r.need("security", "[\"SignAndEncrypt / Basic256Sha256\"]").map(|f| offered(&f, lab)).unwrap_or_default();
    let anonymous_read = r.get("anonymous").map_or(Some(false), |f| f.choice(&[("none", false), ("read", true)]));
    let mut users = Vec::new();
    let user_field = r.get("user");
    named_tables(user_field, "user", "server.user.*", "-_.@", |name, table| users.extend(user(name, table, cx)));
    check_count(r.place, &r.span, "server, user", users.len(), USERS_MAX);
    let trust = r.get("trust_any_client");
    let trust_any_client = trust.as_ref().map_or(Some(false), |f| f.boolean());
    if let (Some(field), Some(true)) = (&trust, trust_any_client) {
        field.warning(
            Problem::new("any client certificate is accepted")
                .help("A lab switch: on a plant, put the clients' certificates into the trusted folder."),
        );
    }
    let pki = pki(&mut r, cx, "pki/server");
    if users.is_empty() && anonymous_read == Some(false) {
        let problem = Problem::new("nobody can connect: no user, and no anonymous reader");
        r.warning(problem.help("Add [server.user.hmi], or anonymous = \"read\"."));
    }
    Some(Server {
        endpoint: endpoint?,
        security,
        anonymous_read: anonymous_read?,
        users,
        pki,
        trust_any_client: trust_any_client?,
    })
}

/// One security or a list.
fn offered(field: &Field<'_>, lab: bool) -> Vec<Security> {
    let fields = match field.node.value {
        crate::tree::Value::List(_) => field.list().unwrap_or_default(),
        _ => vec![field.clone()],
    };
    if fields.is_empty() {
        field.error(Problem::new("the list is empty").allowed("at least one security"));
    }
    let mut list = Vec::new();
    for f in &fields {
        let Some(one) = security(f) else { continue };
        lab_switch(f, one, lab);
        if list.contains(&one) {
            f.error(Problem::new("the same security twice").allowed("each once"));
        }
        list.push(one);
    }
    list
}

fn user(name: &str, mut r: Reader<'_>, cx: &Cx) -> Option<User> {
    let role = r.need("role", "\"Operator\"").and_then(|f| f.choice(&ROLES));
    let password = r.need("password", "\"env:NAME\"").and_then(|f| secret::read(&f, cx));
    Some(User { name: name.to_owned(), password: password?, role: role? })
}
