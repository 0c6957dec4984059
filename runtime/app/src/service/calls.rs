//! Why: a call from the service process is hostile until checked: method, role, number and kind of arguments, finite, short.
//!
//! The child's own ids are never used inside: each open call gets an id that is unique over all children, so an answer can reach
//! neither a wrong call nor a wrong child.

use std::collections::VecDeque;

use flyball_core::outside::{Call, Directory, NodeKind, NodeValue};

/// Calls open at once.
const OPEN_MAX: usize = 256;
/// Longest text argument and user name, bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// OPC UA BadMethodInvalid.
const BAD_METHOD_INVALID: u32 = 0x8075_0000;
/// OPC UA BadUserAccessDenied.
const BAD_USER_ACCESS_DENIED: u32 = 0x801F_0000;
/// OPC UA BadInvalidArgument.
const BAD_INVALID_ARGUMENT: u32 = 0x80AB_0000;

/// Checks a call against the directory.
///
/// # Errors
/// StatusCode and sentence for the caller.
pub(super) fn check(directory: &Directory, call: &Call) -> Result<(), (u32, String)> {
    let Some(method) = directory.methods.get(call.method as usize) else {
        return Err((BAD_METHOD_INVALID, format!("There is no method {}.", call.method)));
    };
    if call.user.len() > TEXT_BYTES_MAX {
        return Err((BAD_INVALID_ARGUMENT, "The user name is too long.".into()));
    }
    if call.role < method.role {
        let text = format!("{} needs the role {:?}; you have {:?}.", method.path, method.role, call.role);
        return Err((BAD_USER_ACCESS_DENIED, text));
    }
    if call.arguments.len() != method.inputs.len() {
        let text = format!("{} takes {} arguments, not {}.", method.path, method.inputs.len(), call.arguments.len());
        return Err((BAD_INVALID_ARGUMENT, text));
    }
    for (argument, (name, _, kind)) in call.arguments.iter().zip(&method.inputs) {
        if !fits(argument, kind) {
            return Err((
                BAD_INVALID_ARGUMENT,
                format!("{}: argument {name} must be {}.", method.path, in_words(kind)),
            ));
        }
    }
    Ok(())
}

fn fits(value: &NodeValue, kind: &NodeKind) -> bool {
    match (value, kind) {
        (NodeValue::Number(x), NodeKind::Analog { .. } | NodeKind::Number) => x.is_finite(),
        (NodeValue::Whole(n), NodeKind::Enumeration(names)) => usize::try_from(*n).is_ok_and(|n| n < names.len()),
        (NodeValue::Whole(n), NodeKind::Count) => u32::try_from(*n).is_ok(),
        (NodeValue::Text(text), NodeKind::Text) => text.len() <= TEXT_BYTES_MAX,
        (NodeValue::Whole(_), NodeKind::BigCount)
        | (NodeValue::Flag(_), NodeKind::Flag)
        | (NodeValue::Time(_), NodeKind::Time) => true,
        _ => false,
    }
}

fn in_words(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Analog { .. } | NodeKind::Number => "a finite number".into(),
        NodeKind::Enumeration(names) => {
            let list: Vec<String> = names.iter().enumerate().map(|(i, n)| format!("{i} ({n})")).collect();
            format!("one of {}", list.join(", "))
        }
        NodeKind::Flag => "true or false".into(),
        NodeKind::Count | NodeKind::BigCount => "a whole number".into(),
        NodeKind::Text => format!("a text of at most {TEXT_BYTES_MAX} bytes"),
        NodeKind::Texts => "nothing: text lists are not taken".into(),
        NodeKind::Time => "a time".into(),
    }
}

/// Calls that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    next: u32,
    /// (our id, the child's id), oldest first.
    open: VecDeque<(u32, u32)>,
}

impl OpenCalls {
    /// Opens a call of the present child and returns its id inside control. None: too many are open.
    pub(super) fn open(&mut self, childs: u32) -> Option<u32> {
        if self.open.len() == OPEN_MAX {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        self.open.push_back((self.next, childs));
        Some(self.next)
    }

    /// Closes a call and returns the child's id. None: unknown, answered already, or of an earlier child.
    pub(super) fn close(&mut self, ours: u32) -> Option<u32> {
        let at = self.open.iter().position(|(id, _)| *id == ours)?;
        self.open.remove(at).map(|(_, childs)| childs)
    }

    /// A new child: the calls of the old one have nobody left to answer.
    pub(super) fn start_anew(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_config::Role;
    use flyball_core::outside::MethodSpec;

    fn directory() -> Directory {
        let names = vec!["OFF".to_owned(), "ADVISORY".to_owned()];
        let inputs = vec![
            ("mode".to_owned(), String::new(), NodeKind::Enumeration(names)),
            ("price".to_owned(), String::new(), NodeKind::Number),
        ];
        let method = MethodSpec { path: "SetMode".into(), text: String::new(), inputs, role: Role::Operator };
        Directory { methods: vec![method], ..Directory::default() }
    }

    fn call(arguments: Vec<NodeValue>) -> Call {
        Call { id: 1, method: 0, arguments, user: "op".into(), role: Role::Operator }
    }

    #[test]
    fn only_a_whole_and_permitted_call_passes() {
        let d = directory();
        let good = call(vec![NodeValue::Whole(1), NodeValue::Number(0.6)]);
        assert_eq!(check(&d, &good), Ok(()));
        let refused = |c: &Call| check(&d, c).expect_err("must be refused").0;
        assert_eq!(refused(&Call { method: 1, ..good.clone() }), BAD_METHOD_INVALID);
        assert_eq!(refused(&Call { role: Role::Observer, ..good.clone() }), BAD_USER_ACCESS_DENIED);
        assert_eq!(refused(&Call { user: "x".repeat(2000), ..good }), BAD_INVALID_ARGUMENT);
        for arguments in [
            vec![],
            vec![NodeValue::Whole(2), NodeValue::Number(0.6)],
            vec![NodeValue::Whole(1), NodeValue::Number(f64::NAN)],
            vec![NodeValue::Whole(1), NodeValue::Text("0.6".into())],
        ] {
            assert_eq!(refused(&call(arguments)), BAD_INVALID_ARGUMENT);
        }
        let (_, text) = check(&d, &call(vec![NodeValue::Whole(7), NodeValue::Number(0.6)])).expect_err("7");
        assert_eq!(text, "SetMode: argument mode must be one of 0 (OFF), 1 (ADVISORY).");
    }

    #[test]
    fn an_answer_reaches_one_call_of_the_present_child_only() {
        let mut calls = OpenCalls::default();
        let (a, b) = (calls.open(7).expect("room"), calls.open(7).expect("room"));
        assert_ne!(a, b, "a child may repeat its ids");
        assert_eq!((calls.close(a), calls.close(a)), (Some(7), None));
        calls.start_anew();
        assert_eq!(calls.close(b), None);
        assert_eq!((0..OPEN_MAX as u32).filter_map(|i| calls.open(i)).count(), OPEN_MAX);
        assert_eq!(calls.open(0), None);
    }
}
