//! A list of hostile files and what must become of each.

use prost::Message;
use tract_onnx::pb;

use crate::onnx::{Onnx, dims};
use crate::{PEAK_MAX, judge};

pub const HUGE: i64 = 1 << 40;
/// Any sentence will do.
pub const ANY: &[&str] = &[""];
pub const TOO_LARGE: &[&str] = &["numbers on", "is too large", "multiplications", "bytes together", "32 bits"];

/// A file with input x [1, 4] whose graph is made by `body`, which returns the output.
pub fn with(body: impl FnOnce(&mut Onnx, &str) -> String) -> Vec<u8> {
    let mut file = Onnx::new(17);
    let x = file.input("x", &dims(&[1, 4]));
    let y = body(&mut file, &x);
    file.output(&y);
    file.bytes()
}

/// The same, then edited as a message.
pub fn edited(body: impl FnOnce(&mut Onnx, &str) -> String, edit: impl FnOnce(&mut pb::GraphProto)) -> Vec<u8> {
    let mut file = pb::ModelProto::decode(with(body).as_slice()).expect("it was just encoded");
    edit(file.graph.as_mut().expect("it has a graph"));
    file.encode_to_vec()
}

/// What must become of a file.
#[derive(Clone, Copy)]
pub enum Must {
    /// Refused, and one of these words is in the sentence.
    Say(&'static [&'static str]),
    /// It is odd and yet allowed.
    Run,
}

/// Files with what must become of each; all problems are told at once.
#[derive(Default)]
pub struct Sheet(Vec<(String, Vec<u8>, Must)>);

impl Sheet {
    pub fn refused(&mut self, name: impl Into<String>, bytes: Vec<u8>, words: &'static [&'static str]) {
        self.0.push((name.into(), bytes, Must::Say(words)));
    }

    pub fn runs(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.push((name.into(), bytes, Must::Run));
    }

    pub fn check(self) {
        let mut problems = Vec::new();
        for (name, bytes, must) in self.0 {
            let verdict = judge(&bytes);
            let text = verdict.end.as_ref().err().map(ToString::to_string);
            let said = text.as_deref().unwrap_or("runs");
            println!("{name}: {said} ({} KiB, {:?})", verdict.peak >> 10, verdict.time);
            let good = match (must, &text) {
                (Must::Run, None) => true,
                (Must::Say(words), Some(text)) => words.iter().any(|w| text.contains(w)) && !text.contains("panicked"),
                _ => false,
            };
            if !good || verdict.peak > PEAK_MAX {
                problems.push(format!("{name}: {said} ({} KiB)", verdict.peak >> 10));
            }
        }
        assert!(problems.is_empty(), "{} of these files:\n{}", problems.len(), problems.join("\n"));
    }
}
