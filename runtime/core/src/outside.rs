//! What the outside sees and asks: a directory of nodes, changes of their values, calls and replies.
//!
//! Plain data with serde, so that it crosses the channel between the control and the service process. The service knows nothing
//! about plants: it serves whatever directory it is given.

use flyball_config::Role;
use serde::{Deserialize, Serialize};

/// Everything a server needs to build its address space.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    /// Root folder under Objects, also the start of every NodeId.
    pub application: String,
    /// Description of the root folder.
    pub text: String,
    /// Nodes, folders implied by their paths. The index is the node's id in `Change`.
    pub nodes: Vec<NodeSpec>,
    /// Methods.
    pub methods: Vec<MethodSpec>,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Path below the root, `/` between folders: `Inputs/TI-101/Raw`. Its NodeId is `s=<application>/<path>`.
    /// A variable may have variables below it (they become its components).
    pub path: String,
    /// Description.
    pub text: String,
    /// Data type, and for analog values unit and range.
    pub kind: NodeKind,
    /// What a write to it means; none: it cannot be written.
    pub written_by: Option<WrittenBy>,
}

/// A write to a variable is a call of a method, with the same roles and checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenBy {
    /// Index in `Directory::methods`.
    pub method: u32,
    /// Arguments before the written value.
    pub before: Vec<NodeValue>,
    /// Arguments behind it.
    pub after: Vec<NodeValue>,
}

/// Data type of a variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeKind {
    /// Double with EURange and EngineeringUnits (AnalogItemType).
    Analog {
        /// EUInformation.
        unit: UnitSpec,
        /// EURange.
        low: f64,
        /// EURange.
        high: f64,
    },
    /// Double without unit.
    Number,
    /// UInt32 with these names (MultiStateDiscreteType with EnumStrings); as a method argument Int32.
    Enumeration(Vec<String>),
    /// Boolean.
    Flag,
    /// UInt32.
    Count,
    /// UInt64.
    BigCount,
    /// String.
    Text,
    /// String array.
    Texts,
    /// DateTime.
    Time,
}

/// EUInformation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitSpec {
    /// unitId.
    pub id: i32,
    /// displayName.
    pub display: String,
    /// description.
    pub text: String,
}

/// A value of a variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeValue {
    /// For Analog and Number. Finite.
    Number(f64),
    /// For Enumeration, Count, BigCount.
    Whole(u64),
    /// For Flag.
    Flag(bool),
    /// For Text.
    Text(String),
    /// For Texts.
    Texts(Vec<String>),
    /// For Time: unix nanoseconds UTC.
    Time(i64),
}

/// New value of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Index in `Directory::nodes`.
    pub node: u32,
    /// None is a null value (Bad).
    pub value: Option<NodeValue>,
    /// StatusCode.
    pub status: u32,
    /// Source time, unix nanoseconds UTC.
    pub source_time: i64,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSpec {
    /// Path below the root, `SetMode` or `Models/cB/ResetBias`.
    pub path: String,
    /// Description.
    pub text: String,
    /// Input arguments: name, description, kind (Text, Number, Flag, Enumeration as Int32, Time).
    pub inputs: Vec<(String, String, NodeKind)>,
    /// Lowest role that may call it.
    pub role: Role,
}

/// A call from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Answered with the same id.
    pub id: u32,
    /// Index in `Directory::methods`.
    pub method: u32,
    /// Arguments, as many and of the kinds that the method states (checked by the server, and again by control).
    pub arguments: Vec<NodeValue>,
    /// User name, for the audit log.
    pub user: String,
    /// Role of that user.
    pub role: Role,
}

/// Answer to a call: status and one sentence. The method's only output argument is the sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Of which call.
    pub id: u32,
    /// StatusCode of the call.
    pub status: u32,
    /// In words.
    pub text: String,
}
