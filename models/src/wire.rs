//! Counts the records of a protobuf before anything is decoded from it.
//!
//! An empty node takes two bytes in a file and some two hundred in memory: 64 MiB of them would become gigabytes before the first check
//! could look at one. So the messages are walked without keeping anything, along the fields that lead to other messages (onnx.proto),
//! and their fields of variable length are counted.
//!
//! Words: a *record* is one field of variable length: a message, a text, or a packed list.

use crate::limits;

/// Messages that hold other messages, or lists of texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Value,
    Type,
    TypeTensor,
    Shape,
    Training,
    Function,
    Annotation,
    Pairs,
}

use Message::*;

/// Which field of a message holds which message.
const HOLDS: &[(Message, u64, Message)] = &[
    (Model, 7, Graph),
    (Model, 8, Pairs),
    (Model, 14, Pairs),
    (Model, 20, Training),
    (Model, 25, Function),
    (Graph, 1, Node),
    (Graph, 5, Tensor),
    (Graph, 11, Value),
    (Graph, 12, Value),
    (Graph, 13, Value),
    (Graph, 14, Annotation),
    (Graph, 15, SparseTensor),
    (Node, 5, Attribute),
    (Attribute, 5, Tensor),
    (Attribute, 6, Graph),
    (Attribute, 10, Tensor),
    (Attribute, 11, Graph),
    (Attribute, 15, Type),
    (Attribute, 22, SparseTensor),
    (Attribute, 23, SparseTensor),
    (Tensor, 13, Pairs),
    (SparseTensor, 1, Tensor),
    (SparseTensor, 2, Tensor),
    (Value, 2, Type),
    (Type, 1, TypeTensor),
    (TypeTensor, 2, Shape),
    (Shape, 1, Pairs),
    (Training, 1, Graph),
    (Training, 2, Graph),
    (Function, 7, Node),
    (Function, 9, Pairs),
    (Annotation, 2, Pairs),
];

/// True when a file has at most [`limits::RECORDS_MAX`] records. What is damaged ends the count: decoding will end there, too.
pub(crate) fn has_few_records(bytes: &[u8]) -> bool {
    let mut left = limits::RECORDS_MAX;
    walk(bytes, Model, 0, &mut left).is_some()
}

/// `None` when the records are used up or nested too deep.
fn walk(mut bytes: &[u8], message: Message, depth: usize, left: &mut usize) -> Option<()> {
    if depth > limits::RECORD_DEPTH_MAX {
        return None;
    }
    while let Some(tag) = varint(&mut bytes) {
        let length = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut bytes).and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        let Some(field) = length.and_then(|n| bytes.split_at_checked(n)) else { break };
        bytes = field.1;
        if tag & 7 == 2 {
            *left = left.checked_sub(1)?;
            let holds = HOLDS.iter().find(|(outer, number, _)| *outer == message && *number == tag >> 3);
            if let Some((_, _, inner)) = holds {
                walk(field.0, *inner, depth + 1, left)?;
            }
        }
    }
    Some(())
}

/// One number of at most ten bytes; `None` at the end or if it is damaged.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of variable length.
    fn record(field: u8, inside: &[u8]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2];
        let mut length = inside.len();
        while length > 0x7f {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(inside);
        bytes
    }

    #[test]
    fn records_are_counted_where_messages_nest() {
        let empty_nodes = |n: usize| record(7, &record(1, &[]).repeat(n));
        assert!(has_few_records(&empty_nodes(limits::RECORDS_MAX - 1)));
        assert!(!has_few_records(&empty_nodes(limits::RECORDS_MAX)));
        let strings_of_a_node = record(7, &record(1, &record(1, &[]).repeat(limits::RECORDS_MAX)));
        assert!(!has_few_records(&strings_of_a_node));
        // Weights are one record, whatever stands in them.
        assert!(has_few_records(&record(7, &record(5, &record(9, &vec![10; 4 * limits::RECORDS_MAX])))));
    }

    #[test]
    fn depth_is_bounded_and_damage_ends_the_count() {
        let mut nested = Vec::new();
        for _ in 0..limits::RECORD_DEPTH_MAX {
            nested = record(1, &record(5, &record(6, &nested)));
        }
        assert!(!has_few_records(&record(7, &nested)));
        assert!(has_few_records(&[0x3a, 0xff]) && has_few_records(&[0xff; 11]) && has_few_records(&[]));
    }
}
