//! From a directory (paths, kinds, methods) to an OPC UA address space that SCADA systems understand, and from changes to values.
//!
//! NodeIds are `s=<application>/<path>`: they survive restarts. Browse names are in our namespace; EURange, EngineeringUnits,
//! EnumStrings and the argument properties belong to namespace 0. Everything is read-only.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use flyball_core::outside::{Change, Directory, MethodSpec, NodeKind, NodeSpec, NodeValue, UnitSpec};
use flyball_core::status::Status;
use opcua::server::address_space::{AddressSpace, MethodBuilder, ObjectBuilder, VariableBuilder};
use opcua::types::{
    Argument, DataTypeId, DataValue, DateTime, EUInformation, ExtensionObject, LocalizedText, NodeId, ObjectId,
    QualifiedName, Range, StatusCode, UAString, VariableTypeId, Variant,
};

use super::content::insert;
use crate::wire::{data_value, to_date_time, to_unix_nanos};

/// Node, relative to the root, that repeats the answer to the last method call: clients that hide the output arguments of a
/// refused call still show the sentence here.
pub const LAST_ANSWER: &str = "Status/LastAnswer";

/// UNECE units by their common code (OPC 10000-8, 5.6.3.3).
const UNECE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";

/// Namespace of an application's nodes.
#[must_use]
pub fn namespace(application: &str) -> String {
    format!("urn:flyball:{application}")
}

/// An address space made from a directory.
pub(crate) struct Model {
    pub directory: Directory,
    built: OnceLock<Built>,
}

struct Built {
    nodes: Vec<NodeId>,
    methods: HashMap<NodeId, usize>,
    writable: HashMap<NodeId, usize>,
    last_answer: NodeId,
}

impl Model {
    pub fn new(directory: Directory) -> Self {
        Self { directory, built: OnceLock::new() }
    }

    /// Index of a method by its NodeId.
    pub fn method(&self, id: &NodeId) -> Option<usize> {
        self.built.get()?.methods.get(id).copied()
    }

    /// A variable that can be written, by its NodeId.
    pub fn variable(&self, id: &NodeId) -> Option<&NodeSpec> {
        self.directory.nodes.get(*self.built.get()?.writable.get(id)?)
    }

    /// The node that repeats the last answer.
    pub fn last_answer(&self) -> Option<&NodeId> {
        self.built.get().map(|b| &b.last_answer)
    }

    /// NodeId and data value of each change. A change of an unknown node is left out; a value that does not fit its node's kind
    /// becomes a Bad value, never a value of another type.
    pub fn values<'a>(&'a self, changes: &'a [Change]) -> impl Iterator<Item = (&'a NodeId, DataValue)> {
        let nodes = self.built.get().map_or(&[] as &[NodeId], |b| &b.nodes);
        changes.iter().filter_map(move |change| {
            let at = change.node as usize;
            let (id, spec) = (nodes.get(at)?, self.directory.nodes.get(at)?);
            let status = Status(change.status);
            let (value, status) = match change.value.as_ref().map(|v| to_variant(v, &spec.kind)) {
                _ if status.is_bad() => (None, status),
                Some(Ok(variant)) => (Some(variant), status),
                Some(Err(why)) => (None, why),
                None => (None, Status::BadWaitingForInitialData),
            };
            Some((id, data_value(value, status, to_date_time(change.source_time))))
        })
    }

    /// Builds every node.
    pub fn fill(&self, space: &mut AddressSpace, index: u16) {
        let mut builder = Builder { space, index, root: &self.directory.application, made: HashSet::new() };
        builder.root(&self.directory);
        let variables: HashSet<&str> = self.directory.nodes.iter().map(|n| n.path.as_str()).collect();
        let mut nodes = Vec::new();
        for spec in &self.directory.nodes {
            nodes.push(builder.variable(spec, &variables));
        }
        if !variables.contains(LAST_ANSWER) {
            let text = "Answer to the last method call: who called what, and the sentence.".to_owned();
            let spec = NodeSpec { path: LAST_ANSWER.into(), text, kind: NodeKind::Text, written_by: None };
            builder.variable(&spec, &variables);
        }
        let mut methods = HashMap::new();
        for (at, spec) in self.directory.methods.iter().enumerate() {
            methods.insert(builder.method(spec, &variables), at);
        }
        let last_answer = builder.id(LAST_ANSWER);
        let specs = self.directory.nodes.iter().enumerate().filter(|(_, spec)| spec.written_by.is_some());
        let writable = specs.map(|(at, _)| (nodes[at].clone(), at)).collect();
        let _ = self.built.set(Built { nodes, methods, writable, last_answer });
    }
}

struct Builder<'a> {
    space: &'a mut AddressSpace,
    index: u16,
    root: &'a str,
    made: HashSet<String>,
}

impl Builder<'_> {
    fn id(&self, path: &str) -> NodeId {
        NodeId::new(self.index, format!("{}/{path}", self.root))
    }

    fn name(&self, path: &str) -> (QualifiedName, LocalizedText) {
        let last = path.rsplit('/').next().unwrap_or(path);
        (QualifiedName::new(self.index, last), LocalizedText::new("en", last))
    }

    fn root_id(&self) -> NodeId {
        NodeId::new(self.index, self.root)
    }

    fn root(&mut self, directory: &Directory) {
        let id = self.root_id();
        let (browse, display) = self.name(&directory.application);
        ObjectBuilder::new(&id, browse, display)
            .description(LocalizedText::new("en", &directory.text))
            .has_type_definition(opcua::types::ObjectTypeId::FolderType)
            .organized_by(NodeId::from(ObjectId::ObjectsFolder))
            .insert(self.space);
    }

    /// The node above a path: the root, a variable, or a folder that is made when it is not there yet. True for variables.
    fn parent(&mut self, path: &str, variables: &HashSet<&str>) -> (NodeId, bool) {
        let Some((above, _)) = path.rsplit_once('/') else { return (self.root_id(), false) };
        let id = self.id(above);
        if variables.contains(above) {
            return (id, true);
        }
        if self.made.insert(above.to_owned()) {
            let (parent, of_variable) = self.parent(above, variables);
            let (browse, display) = self.name(above);
            let folder = ObjectBuilder::new(&id, browse, display).is_folder();
            let folder = if of_variable { folder.component_of(parent) } else { folder.organized_by(parent) };
            folder.insert(self.space);
        }
        (id, false)
    }

    fn variable(&mut self, spec: &NodeSpec, variables: &HashSet<&str>) -> NodeId {
        let (parent, of_variable) = self.parent(&spec.path, variables);
        let id = self.id(&spec.path);
        let (browse, display) = self.name(&spec.path);
        let (data_type, rank, type_definition) = shape(&spec.kind);
        let builder = VariableBuilder::new(&id, browse, display)
            .description(LocalizedText::new("en", &spec.text))
            .data_type(data_type)
            .value_rank(rank)
            .has_type_definition(type_definition);
        let builder = if spec.written_by.is_some() { builder.writable() } else { builder };
        let builder = if of_variable { builder.component_of(parent) } else { builder.organized_by(parent) };
        insert(self.space, builder, data_value(None, Status::BadWaitingForInitialData, DateTime::now()));
        match &spec.kind {
            NodeKind::Analog { unit, low, high } => {
                let range = ExtensionObject::from_message(Range { low: *low, high: *high });
                self.property(&id, &spec.path, "EURange", DataTypeId::Range, -1, range.into());
                let unit = ExtensionObject::from_message(eu_information(unit));
                self.property(&id, &spec.path, "EngineeringUnits", DataTypeId::EUInformation, -1, unit.into());
            }
            NodeKind::Enumeration(names) => {
                let names: Vec<LocalizedText> = names.iter().map(|n| LocalizedText::new("en", n)).collect();
                self.property(&id, &spec.path, "EnumStrings", DataTypeId::LocalizedText, 1, names.into());
            }
            _ => {}
        }
        id
    }

    fn property(&mut self, of: &NodeId, path: &str, name: &str, data_type: DataTypeId, rank: i32, value: Variant) {
        // A dot, so that no path of a directory can collide with it.
        let id = self.id(&format!("{path}.{name}"));
        let builder = VariableBuilder::new(&id, QualifiedName::new(0, name), name)
            .data_type(data_type)
            .value_rank(rank)
            .has_type_definition(VariableTypeId::PropertyType)
            .property_of(of.clone());
        insert(self.space, builder, data_value(Some(value), Status::Good, DateTime::now()));
    }

    fn method(&mut self, spec: &MethodSpec, variables: &HashSet<&str>) -> NodeId {
        let (parent, _) = self.parent(&spec.path, variables);
        let id = self.id(&spec.path);
        let (browse, display) = self.name(&spec.path);
        MethodBuilder::new(&id, browse, display)
            .description(LocalizedText::new("en", &spec.text))
            .component_of(parent)
            .executable(true)
            .user_executable(true)
            .insert(self.space);
        let inputs = spec.inputs.iter().map(|(name, text, kind)| argument(name, text, kind));
        let inputs: Vec<ExtensionObject> = inputs.map(ExtensionObject::from_message).collect();
        let rank_of_list = 1;
        if !inputs.is_empty() {
            self.property(&id, &spec.path, "InputArguments", DataTypeId::Argument, rank_of_list, inputs.into());
        }
        let outcome = argument("Outcome", "What was done or why not, in words.", &NodeKind::Text);
        let outputs = vec![ExtensionObject::from_message(outcome)];
        self.property(&id, &spec.path, "OutputArguments", DataTypeId::Argument, rank_of_list, outputs.into());
        id
    }
}

fn argument(name: &str, text: &str, kind: &NodeKind) -> Argument {
    let (data_type, rank, _) = argument_shape(kind);
    Argument {
        name: name.into(),
        data_type: data_type.into(),
        value_rank: rank,
        array_dimensions: None,
        description: LocalizedText::new("en", text),
    }
}

/// Data type, value rank and type definition of a variable.
fn shape(kind: &NodeKind) -> (DataTypeId, i32, VariableTypeId) {
    let plain = VariableTypeId::BaseDataVariableType;
    match kind {
        NodeKind::Analog { .. } => (DataTypeId::Double, -1, VariableTypeId::AnalogItemType),
        NodeKind::Number => (DataTypeId::Double, -1, plain),
        NodeKind::Enumeration(_) => (DataTypeId::UInt32, -1, VariableTypeId::MultiStateDiscreteType),
        NodeKind::Flag => (DataTypeId::Boolean, -1, plain),
        NodeKind::Count => (DataTypeId::UInt32, -1, plain),
        NodeKind::BigCount => (DataTypeId::UInt64, -1, plain),
        NodeKind::Text => (DataTypeId::String, -1, plain),
        NodeKind::Texts => (DataTypeId::String, 1, plain),
        NodeKind::Time => (DataTypeId::UtcTime, -1, plain),
    }
}

/// The same for an argument: enumerations are Int32 there, as the data type Enumeration is encoded.
fn argument_shape(kind: &NodeKind) -> (DataTypeId, i32, VariableTypeId) {
    match kind {
        NodeKind::Enumeration(_) => (DataTypeId::Int32, -1, VariableTypeId::BaseDataVariableType),
        other => shape(other),
    }
}

fn eu_information(unit: &UnitSpec) -> EUInformation {
    EUInformation {
        namespace_uri: UNECE.into(),
        unit_id: unit.id,
        display_name: LocalizedText::new("en", &unit.display),
        description: LocalizedText::new("en", &unit.text),
    }
}

fn to_variant(value: &NodeValue, kind: &NodeKind) -> Result<Variant, Status> {
    Ok(match (kind, value) {
        (NodeKind::Analog { .. } | NodeKind::Number, NodeValue::Number(x)) if x.is_finite() => Variant::Double(*x),
        (NodeKind::Analog { .. } | NodeKind::Number, NodeValue::Number(_)) => return Err(Status::BadOutOfRange),
        (NodeKind::Enumeration(names), NodeValue::Whole(n)) if (*n as usize) < names.len() => {
            Variant::UInt32(*n as u32)
        }
        (NodeKind::Count, NodeValue::Whole(n)) => {
            Variant::UInt32(u32::try_from(*n).map_err(|_| Status::BadOutOfRange)?)
        }
        (NodeKind::BigCount, NodeValue::Whole(n)) => Variant::UInt64(*n),
        (NodeKind::Enumeration(_), NodeValue::Whole(_)) => return Err(Status::BadOutOfRange),
        (NodeKind::Flag, NodeValue::Flag(b)) => Variant::Boolean(*b),
        (NodeKind::Text, NodeValue::Text(s)) => Variant::String(s.as_str().into()),
        (NodeKind::Texts, NodeValue::Texts(list)) => {
            Variant::from(list.iter().map(|s| UAString::from(s.as_str())).collect::<Vec<_>>())
        }
        (NodeKind::Time, NodeValue::Time(unix_nanos)) => Variant::from(to_date_time(*unix_nanos)),
        _ => return Err(Status::BadTypeMismatch),
    })
}

/// An argument of a call, strictly of its declared kind.
pub(crate) fn from_argument(value: &Variant, kind: &NodeKind) -> Result<NodeValue, StatusCode> {
    Ok(match (kind, value) {
        (NodeKind::Analog { .. } | NodeKind::Number, Variant::Double(x)) if x.is_finite() => NodeValue::Number(*x),
        (NodeKind::Analog { .. } | NodeKind::Number, Variant::Double(_)) => return Err(StatusCode::BadOutOfRange),
        (NodeKind::Enumeration(names), Variant::Int32(n)) => match usize::try_from(*n) {
            Ok(at) if at < names.len() => NodeValue::Whole(at as u64),
            _ => return Err(StatusCode::BadOutOfRange),
        },
        (NodeKind::Count, Variant::UInt32(n)) => NodeValue::Whole(u64::from(*n)),
        (NodeKind::BigCount, Variant::UInt64(n)) => NodeValue::Whole(*n),
        (NodeKind::Flag, Variant::Boolean(b)) => NodeValue::Flag(*b),
        (NodeKind::Text, Variant::String(s)) => NodeValue::Text(s.as_ref().to_owned()),
        (NodeKind::Time, Variant::DateTime(time)) => NodeValue::Time(to_unix_nanos(time)),
        (NodeKind::Texts, Variant::Array(array)) => {
            let texts = array.values.iter().map(|v| match v {
                Variant::String(s) => Some(s.as_ref().to_owned()),
                _ => None,
            });
            NodeValue::Texts(texts.collect::<Option<_>>().ok_or(StatusCode::BadTypeMismatch)?)
        }
        _ => return Err(StatusCode::BadTypeMismatch),
    })
}
