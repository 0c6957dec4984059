//! What a server serves: the seam between the host and its two contents (`variables`, `model`), as one node manager.
//!
//! async-opcua's own managers accept writes of any type and change the node's type by them; here nothing is writable unless the
//! content says how, and the content gets every write in order.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::server::address_space::{AddressSpace, NodeType, VariableBuilder};
use opcua::server::authenticator::UserToken;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl};
use opcua::server::node_manager::{MethodCall, NodeManagerBuilder, RequestContext, ServerContext, WriteNode};
use opcua::sync::RwLock;
use opcua::types::{AttributeId, DataValue, DateTime, NodeId, StatusCode, Variant};

use crate::wire::data_value;
use flyball_core::status::Status;

/// What a server serves.
#[async_trait]
pub trait Content: Send + Sync + 'static {
    /// Namespace URIs, in the order in which they are registered.
    fn namespaces(&self) -> Vec<String>;

    /// Builds the nodes; `indices` are those of `namespaces()`.
    fn fill(&self, space: &mut AddressSpace, indices: &[u16]);

    /// Judges a write to the Value of a node and returns the value to store. Called in the order of the request, one at a time,
    /// with the address space locked: it must neither block nor set values.
    ///
    /// # Errors
    /// The status of the refused write.
    fn write(&self, _node: &NodeId, _value: &DataValue) -> Result<Variant, StatusCode> {
        Err(StatusCode::BadNotWritable)
    }

    /// Answers a write that means a method call, None for any other write. The value of the node changes when what was called changes it.
    async fn write_as_call(&self, _user: &UserToken, _node: &NodeId, _value: &DataValue) -> Option<StatusCode> {
        None
    }

    /// Carries out a method call.
    async fn call(&self, _user: &UserToken, call: &mut MethodCall) {
        call.set_status(StatusCode::BadMethodInvalid);
    }
}

/// Inserts a variable with a value that carries no picoseconds (the builder's own values do).
pub(crate) fn insert(space: &mut AddressSpace, builder: VariableBuilder, value: DataValue) {
    let id = builder.get_node_id().clone();
    builder.insert(space);
    if let Some(NodeType::Variable(variable)) = space.find_mut(&id) {
        variable.set_data_value(value);
    }
}

/// Node manager of one content.
pub type ContentManager = InMemoryNodeManager<Served>;

/// A content inside the server.
pub struct Served {
    content: Arc<dyn Content>,
    namespaces: Vec<NamespaceMetadata>,
}

/// The builder that the host hands to async-opcua.
pub(crate) fn manager(content: Arc<dyn Content>) -> impl NodeManagerBuilder + 'static {
    InMemoryNodeManagerBuilder::new(move |context: ServerContext, space: &mut AddressSpace| {
        let mut indices = Vec::new();
        let mut namespaces = Vec::new();
        for uri in content.namespaces() {
            let index = context.type_tree.write().namespaces_mut().add_namespace(&uri);
            space.add_namespace(&uri, index);
            indices.push(index);
            namespaces.push(NamespaceMetadata { namespace_uri: uri, namespace_index: index, ..Default::default() });
        }
        content.fill(space, &indices);
        Served { content, namespaces }
    })
}

#[async_trait]
impl InMemoryNodeManagerImpl for Served {
    async fn init(&self, _space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "flyball"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }

    async fn write(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        writes: &mut [&mut WriteNode],
    ) -> Result<(), StatusCode> {
        for write in writes {
            if write.value().attribute_id == AttributeId::Value {
                let (id, value) = (write.value().node_id.clone(), write.value().value.clone());
                if let Some(status) = self.content.write_as_call(&context.token, &id, &value).await {
                    write.set_status(status);
                    continue;
                }
            }
            let status = match self.write_one(&mut space.write(), write) {
                Ok(stored) => {
                    let id = &write.value().node_id;
                    let change = (stored, id, AttributeId::Value);
                    context.subscriptions.notify_data_change([change].into_iter());
                    StatusCode::Good
                }
                Err(status) => status,
            };
            write.set_status(status);
        }
        Ok(())
    }

    async fn call(
        &self,
        context: &RequestContext,
        _space: &RwLock<AddressSpace>,
        calls: &mut [&mut &mut MethodCall],
    ) -> Result<(), StatusCode> {
        for call in calls {
            self.content.call(&context.token, call).await;
        }
        Ok(())
    }
}

impl Served {
    fn write_one(&self, space: &mut AddressSpace, write: &WriteNode) -> Result<DataValue, StatusCode> {
        let asked = write.value();
        let Some(node) = space.find_mut(&asked.node_id) else { return Err(StatusCode::BadNodeIdUnknown) };
        let NodeType::Variable(variable) = node else { return Err(StatusCode::BadNotWritable) };
        if asked.attribute_id != AttributeId::Value || !variable.is_writable() {
            return Err(StatusCode::BadNotWritable);
        }
        if asked.index_range.has_range() {
            return Err(StatusCode::BadIndexRangeNoData);
        }
        let v = &asked.value;
        // Part 4, 5.11.4: a server that does not take status or times with a value says so instead of dropping them.
        if v.status.is_some_and(|s| s != StatusCode::Good)
            || v.source_timestamp.is_some()
            || v.server_timestamp.is_some()
        {
            return Err(StatusCode::BadWriteNotSupported);
        }
        let value = self.content.write(&asked.node_id, v)?;
        let stored = data_value(Some(value), Status::Good, DateTime::now());
        variable.set_data_value(stored.clone());
        Ok(stored)
    }
}
