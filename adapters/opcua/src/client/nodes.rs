//! From addresses to NodeIds and wire types, anew for every session: namespace indices and programs change when a server restarts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flyball_core::config::{Address, NodeIdentifier, OpcUaAddress};
use flyball_core::status::Status;
use opcua::client::Session;
use opcua::types::{
    AttributeId, BrowsePath, ByteString, DataTypeId, DataValue, Guid, Identifier, NodeId, ObjectId, QualifiedName,
    ReadValueId, ReferenceTypeId, RelativePath, RelativePathElement, TimestampsToReturn, VariableId, Variant,
};
use tokio::time::timeout;

use crate::wire::{Scalar, ScalarType, to_status};

/// How many nodes one request may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallLimits {
    pub read: usize,
    pub write: usize,
    pub monitored_items: usize,
}

/// Nodes per request when the server states no limit: 1 000 fit the defaults of every stack that was tried.
const NODES_PER_CALL: usize = 1_000;

/// A node of this session.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub id: NodeId,
    /// Wire type; None when it is no scalar that we know.
    pub scalar: Option<ScalarType>,
}

/// A session with the limits that every call here respects.
pub(super) struct Reader {
    pub session: Arc<Session>,
    pub limits: CallLimits,
    /// Limit of one call, real time.
    pub limit: Duration,
}

/// A call that was not answered in time or failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallFailed(pub String);

impl Reader {
    pub async fn new(session: Arc<Session>, limit: Duration) -> Result<Self, CallFailed> {
        let limits = CallLimits { read: NODES_PER_CALL, write: NODES_PER_CALL, monitored_items: NODES_PER_CALL };
        let mut reader = Self { session, limits, limit };
        let asked = [
            VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
            VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
            VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        ];
        let mut stated = [0; 3];
        for (node, stated) in asked.into_iter().zip(&mut stated) {
            // One at a time: a server may allow one node per Read.
            let values = reader.read(&[ReadValueId::from(NodeId::from(node))]).await?;
            *stated = match values.first().and_then(|v| v.value.as_ref()) {
                Some(Variant::UInt32(n)) if *n > 0 => (*n as usize).min(NODES_PER_CALL),
                _ => NODES_PER_CALL,
            };
        }
        reader.limits = CallLimits { read: stated[0], write: stated[1], monitored_items: stated[2] };
        Ok(reader)
    }

    /// Reads any number of attributes, split at the server's limit. The answer has the length of the question.
    pub async fn read(&self, nodes: &[ReadValueId]) -> Result<Vec<DataValue>, CallFailed> {
        let mut values = Vec::with_capacity(nodes.len());
        for chunk in nodes.chunks(self.limits.read.max(1)) {
            let answer = timeout(self.limit, self.session.read(chunk, TimestampsToReturn::Both, 0.0)).await;
            let answer = match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(e)) => return Err(CallFailed(format!("Read of {} nodes: {e}", chunk.len()))),
                Err(_) => {
                    return Err(CallFailed(format!(
                        "Read of {} nodes: no answer within {:?}",
                        chunk.len(),
                        self.limit
                    )));
                }
            };
            if answer.len() != chunk.len() {
                return Err(CallFailed(format!("Read of {} nodes returned {} values", chunk.len(), answer.len())));
            }
            values.extend(answer);
        }
        Ok(values)
    }

    /// Resolves addresses; an unknown one gets its reason in words.
    pub async fn resolve(&self, addresses: &[&Address]) -> Result<Vec<Result<Node, (Status, String)>>, CallFailed> {
        let namespaces = self.namespaces().await?;
        let mut ids = Vec::with_capacity(addresses.len());
        for address in addresses {
            ids.push(match address {
                Address::OpcUa(OpcUaAddress::Node { namespace, identifier }) => {
                    node_id(&namespaces, namespace, identifier)
                }
                Address::OpcUa(OpcUaAddress::Path(path)) => self.walk(&namespaces, path).await?,
                Address::Modbus(_) => {
                    Err((Status::BadConfigurationError, "a Modbus address on an OPC UA connection".into()))
                }
            });
        }
        let known: Vec<NodeId> = ids.iter().flatten().cloned().collect();
        let mut nodes = self.types(&known).await?.into_iter();
        Ok(ids.into_iter().map(|id| id.and_then(|id| nodes.next().unwrap_or_else(|| unknown(&id)))).collect())
    }

    async fn namespaces(&self) -> Result<HashMap<String, u16>, CallFailed> {
        match timeout(self.limit, self.session.read_namespace_array()).await {
            Ok(Ok(map)) => Ok(map.known_namespaces().iter().map(|(uri, index)| (uri.clone(), *index)).collect()),
            Ok(Err(e)) => Err(CallFailed(format!("reading the namespace array: {e}"))),
            Err(_) => Err(CallFailed("reading the namespace array: no answer".into())),
        }
    }

    /// Follows a browse path from the Objects folder.
    async fn walk(
        &self,
        namespaces: &HashMap<String, u16>,
        path: &[(String, String)],
    ) -> Result<Result<NodeId, (Status, String)>, CallFailed> {
        let mut elements = Vec::new();
        for (namespace, name) in path {
            let Some(&index) = namespaces.get(namespace) else { return Ok(Err(no_namespace(namespace, namespaces))) };
            elements.push(RelativePathElement {
                reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
                is_inverse: false,
                include_subtypes: true,
                target_name: QualifiedName::new(index, name.clone()),
            });
        }
        let browse = BrowsePath {
            starting_node: ObjectId::ObjectsFolder.into(),
            relative_path: RelativePath { elements: Some(elements) },
        };
        let answer = timeout(self.limit, self.session.translate_browse_paths_to_node_ids(&[browse])).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(CallFailed(format!("TranslateBrowsePaths: {e}"))),
            Err(_) => return Err(CallFailed("TranslateBrowsePaths: no answer".into())),
        };
        let target = answer.into_iter().next().and_then(|r| r.targets).and_then(|t| t.into_iter().next());
        let text = || path.iter().map(|(_, n)| n.as_str()).collect::<Vec<_>>().join("/");
        Ok(target
            .map(|t| t.target_id.node_id)
            .ok_or_else(|| (Status::BadNodeIdUnknown, format!("no node at path {}", text()))))
    }

    /// Data types, and where they are not built in, the type of the present value.
    async fn types(&self, ids: &[NodeId]) -> Result<Vec<Result<Node, (Status, String)>>, CallFailed> {
        let attribute = |id: &NodeId, attribute: AttributeId| ReadValueId {
            node_id: id.clone(),
            attribute_id: attribute as u32,
            ..Default::default()
        };
        let declared: Vec<_> = ids.iter().map(|id| attribute(id, AttributeId::DataType)).collect();
        let declared = self.read(&declared).await?;
        let mut nodes = Vec::with_capacity(ids.len());
        let mut unclear = Vec::new();
        for (at, (id, answer)) in ids.iter().zip(&declared).enumerate() {
            let status = answer.status.map_or(Status::Good, to_status);
            if status.is_bad() {
                nodes.push(Err((status, format!("node {id}: the server says {status}"))));
                continue;
            }
            let scalar = match &answer.value {
                Some(Variant::NodeId(data_type)) => built_in(data_type),
                _ => None,
            };
            if scalar.is_none() {
                unclear.push(at);
            }
            nodes.push(Ok(Node { id: id.clone(), scalar }));
        }
        let present: Vec<_> = unclear.iter().map(|&at| attribute(&ids[at], AttributeId::Value)).collect();
        for (at, value) in unclear.into_iter().zip(self.read(&present).await?) {
            if let Ok(node) = &mut nodes[at] {
                node.scalar = value.value.as_ref().and_then(Scalar::from_variant).map(|s| s.scalar_type());
            }
        }
        Ok(nodes)
    }
}

fn unknown(id: &NodeId) -> Result<Node, (Status, String)> {
    Err((Status::BadNodeIdUnknown, format!("node {id}")))
}

fn no_namespace(namespace: &str, known: &HashMap<String, u16>) -> (Status, String) {
    let mut list: Vec<&str> = known.keys().map(String::as_str).collect();
    list.sort_unstable();
    (Status::BadNodeIdUnknown, format!("the server has no namespace {namespace:?}; it has: {}", list.join(", ")))
}

fn node_id(
    namespaces: &HashMap<String, u16>,
    namespace: &str,
    identifier: &NodeIdentifier,
) -> Result<NodeId, (Status, String)> {
    let Some(&index) = namespaces.get(namespace) else { return Err(no_namespace(namespace, namespaces)) };
    let identifier = match identifier {
        NodeIdentifier::Numeric(n) => Identifier::from(*n),
        NodeIdentifier::Text(s) => Identifier::from(s.clone()),
        NodeIdentifier::Guid(g) => match g.parse::<Guid>() {
            Ok(guid) => Identifier::from(guid),
            Err(_) => return Err((Status::BadConfigurationError, format!("{g:?} is no GUID"))),
        },
        NodeIdentifier::Opaque(bytes) => Identifier::from(ByteString::from(bytes.clone())),
    };
    Ok(NodeId { namespace: index, identifier })
}

/// Wire type of a data type of the standard namespace.
fn built_in(data_type: &NodeId) -> Option<ScalarType> {
    const ALL: [ScalarType; 12] = [
        ScalarType::Bool,
        ScalarType::Int8,
        ScalarType::UInt8,
        ScalarType::Int16,
        ScalarType::UInt16,
        ScalarType::Int32,
        ScalarType::UInt32,
        ScalarType::Int64,
        ScalarType::UInt64,
        ScalarType::Float,
        ScalarType::Double,
        ScalarType::Text,
    ];
    if *data_type == DataTypeId::Duration {
        return Some(ScalarType::Double);
    }
    ALL.into_iter().find(|t| t.data_type() == *data_type)
}

/// An address as people write it, for messages.
pub(super) fn in_words(address: &Address) -> String {
    match address {
        Address::OpcUa(OpcUaAddress::Node { namespace, identifier }) => match identifier {
            NodeIdentifier::Numeric(n) => format!("nsu={namespace};i={n}"),
            NodeIdentifier::Text(s) => format!("nsu={namespace};s={s}"),
            NodeIdentifier::Guid(g) => format!("nsu={namespace};g={g}"),
            NodeIdentifier::Opaque(b) => format!("nsu={namespace};b=({} bytes)", b.len()),
        },
        Address::OpcUa(OpcUaAddress::Path(path)) => path.iter().map(|(_, name)| format!("/{name}")).collect(),
        Address::Modbus(m) => format!("{m:?}"),
    }
}
