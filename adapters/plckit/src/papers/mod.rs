//! What people read: the README of a kit and the checklist. Markdown; tables are padded, so that they read well as plain text too.

pub mod checklist;
pub mod readme;

use std::fmt::Write as _;

use flyball_config::{ConnectionId, Protocol, UserIdentity};

use crate::plan::Plan;

/// A Markdown table with columns of equal width.
pub fn table(out: &mut String, header: &[&str], rows: &[Vec<String>]) {
    let cells = |row: &[String]| row.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.iter().map(|r| cells(r)).collect();
    let width = |column: usize| {
        let long = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
        long.max(header[column].chars().count()).max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut write = |row: Vec<&str>| {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:<width$} ");
        }
        *out += "|\n";
    };
    write(header.to_vec());
    let lines: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    write(lines.iter().map(String::as_str).collect());
    rows.iter().for_each(|row| write(row.iter().map(String::as_str).collect()));
}

/// What a document says first: which application, which change, which signature.
pub fn identity(out: &mut String, plan: &Plan<'_>) {
    let app = &plan.config.app;
    let file = plan.config.file.file_name().map_or_else(String::new, |f| f.to_string_lossy().into_owned());
    let rows = [
        ("Application", app.name.clone()),
        ("Purpose", app.description.clone()),
        ("Area", app.area.clone()),
        ("Owner", app.owner.clone()),
        ("Change", app.change_ref.clone()),
        ("Configuration", file),
        ("Signature", format!("16#{0:08X} ({0:#010x})", plan.config.signature)),
    ];
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| vec![k.to_owned(), v]).collect();
    table(out, &["", ""], &rows);
}

/// "plc1 (OPC UA opc.tcp://127.0.0.1:48401, user apc_r101)".
pub fn connection(plan: &Plan<'_>, id: ConnectionId) -> String {
    let connection = &plan.config.connections[id.index()];
    match &connection.protocol {
        Protocol::OpcUa(server) => {
            let user = match &server.user {
                UserIdentity::Anonymous => "anonymous".to_owned(),
                UserIdentity::Password { user, .. } => format!("user {user}"),
            };
            format!("{} (OPC UA {}, {user})", connection.name, server.endpoint)
        }
        Protocol::Modbus(_) => format!("{} (Modbus)", connection.name),
    }
}

/// Connections that carry a cell which flyball writes.
pub fn written_connections(plan: &Plan<'_>) -> Vec<ConnectionId> {
    let mut ids: Vec<ConnectionId> = plan.config.outputs.iter().map(|o| o.connection).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_padded_and_bars_do_not_break_them() {
        let mut out = String::new();
        table(&mut out, &["a", "long head"], &[vec!["x|y".into(), "1".into()]]);
        assert_eq!(out, "| a    | long head |\n| ---- | --------- |\n| x\\|y | 1         |\n");
    }
}
