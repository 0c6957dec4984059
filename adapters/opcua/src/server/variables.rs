//! A bank of plain variables: what a simulated PLC serves. Strict about types, like a PLC.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_core::status::Status;
use opcua::server::address_space::{AddressSpace, VariableBuilder};
use opcua::types::{DataValue, DateTime, NodeId, ObjectId, QualifiedName, StatusCode, VariableTypeId, Variant};

use super::content::{Content, insert};
use super::host::ServerHost;
use crate::wire::{Scalar, data_value, to_code, to_date_time};

/// One variable. Its data type is that of `initial` and never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableSpec {
    /// Namespace URI of its NodeId and browse name.
    pub namespace: String,
    /// Identifier of its string NodeId, `"R101"."FIC101"."PV"`.
    pub node: String,
    /// Browse name.
    pub browse_name: String,
    /// Value at start, which fixes the data type.
    pub initial: Scalar,
    /// Clients may write it.
    pub writable: bool,
}

/// Judges a client's write: index in the specs and a value that already has the right type, rank and is finite.
///
/// Called in the order in which the writes arrive. It must neither block nor call [`VariableBank::set`] (the address space is
/// locked); a Good answer stores the value.
pub type WriteHook = Arc<dyn Fn(usize, &Scalar) -> Status + Send + Sync>;

/// New value of one variable.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableChange {
    /// Index in the specs.
    pub index: usize,
    /// Value; its type must be that of the variable.
    pub value: Scalar,
    /// Quality.
    pub status: Status,
    /// Source time, unix nanoseconds UTC.
    pub source_time: i64,
}

/// The variables of one server.
pub struct VariableBank {
    folder: String,
    specs: Vec<VariableSpec>,
    namespaces: Vec<String>,
    nodes: std::sync::OnceLock<(Vec<NodeId>, HashMap<NodeId, usize>)>,
    on_write: WriteHook,
}

impl VariableBank {
    /// A bank whose variables are found under `Objects/<folder>`. Namespaces are registered in the order of `namespaces`; URIs
    /// that only specs name follow in the order of the specs. At least one spec.
    #[must_use]
    pub fn new(folder: &str, namespaces: &[&str], specs: Vec<VariableSpec>, on_write: WriteHook) -> Arc<Self> {
        let mut uris: Vec<String> = namespaces.iter().map(|&n| n.to_owned()).collect();
        for spec in &specs {
            if !uris.contains(&spec.namespace) {
                uris.push(spec.namespace.clone());
            }
        }
        let nodes = std::sync::OnceLock::new();
        Arc::new(Self { folder: folder.to_owned(), specs, namespaces: uris, nodes, on_write })
    }

    /// Pushes new values in one batch and notifies subscribers.
    ///
    /// # Errors
    /// `BadTypeMismatch` (nothing is set) when a value has not its variable's type, `BadNodeIdUnknown` for an unknown index,
    /// `BadServerNotConnected` before the host has started with this bank.
    pub fn set(&self, host: &ServerHost, changes: &[VariableChange]) -> Result<(), Status> {
        let Some((ids, _)) = self.nodes.get() else { return Err(Status::BadServerNotConnected) };
        for change in changes {
            let spec = self.specs.get(change.index).ok_or(Status::BadNodeIdUnknown)?;
            if spec.initial.scalar_type() != change.value.scalar_type() {
                return Err(Status::BadTypeMismatch);
            }
        }
        let values = changes.iter().map(|c| {
            let value = (!c.status.is_bad()).then(|| c.value.to_variant());
            (&ids[c.index], data_value(value, c.status, to_date_time(c.source_time)))
        });
        host.set_values(values)
    }
}

impl Content for VariableBank {
    fn namespaces(&self) -> Vec<String> {
        self.namespaces.clone()
    }

    fn fill(&self, space: &mut AddressSpace, indices: &[u16]) {
        let Some(&first) = indices.first() else { return };
        let folder = NodeId::new(first, self.folder.clone());
        let name = QualifiedName::new(first, self.folder.clone());
        space.add_folder(&folder, name, self.folder.as_str(), &ObjectId::ObjectsFolder.into());
        let mut ids = Vec::new();
        for spec in &self.specs {
            let at = self.namespaces.iter().position(|uri| *uri == spec.namespace);
            let index = at.map_or(first, |i| indices[i]);
            let id = NodeId::new(index, spec.node.clone());
            let browse_name = QualifiedName::new(index, spec.browse_name.clone());
            let mut builder = VariableBuilder::new(&id, browse_name, spec.browse_name.as_str())
                .data_type(spec.initial.scalar_type().data_type())
                .has_type_definition(VariableTypeId::BaseDataVariableType)
                .organized_by(folder.clone());
            if spec.writable {
                builder = builder.writable();
            }
            insert(space, builder, data_value(Some(spec.initial.to_variant()), Status::Good, DateTime::now()));
            ids.push(id);
        }
        let by_id = ids.iter().cloned().enumerate().map(|(i, id)| (id, i)).collect();
        // A bank serves one host; a second start keeps the first ids, which are equal for equal namespaces.
        let _ = self.nodes.set((ids, by_id));
    }

    fn write(&self, node: &NodeId, value: &DataValue) -> Result<Variant, StatusCode> {
        let index = self.nodes.get().and_then(|(_, by_id)| by_id.get(node)).copied();
        let index = index.ok_or(StatusCode::BadNodeIdUnknown)?;
        let asked = value.value.as_ref().and_then(Scalar::from_variant).ok_or(StatusCode::BadTypeMismatch)?;
        if asked.scalar_type() != self.specs[index].initial.scalar_type() {
            return Err(StatusCode::BadTypeMismatch);
        }
        if !asked.is_finite() {
            return Err(StatusCode::BadOutOfRange);
        }
        let judged = (self.on_write)(index, &asked);
        if judged.is_good() { Ok(asked.to_variant()) } else { Err(to_code(judged)) }
    }
}
