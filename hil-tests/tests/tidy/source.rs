//! Rules about a Rust file as a whole: header, length, characters, `unsafe`, switched-off lints.

use crate::tree::{Complaint, File, Tree, is_word};

/// A file longer than this has two subjects.
const LINES_MAX: usize = 500;
/// Files that are longer today, with their lines: they may shrink, never grow. New files never enter here.
const LONG_FILES: &[(&str, usize)] = &[];
/// Where `unsafe` may stand, and why nothing else does it.
const UNSAFE_FILES: &[(&str, &str)] = &[];
/// A SAFETY comment stands at most this many lines above its block.
const SAFETY_WITHIN: usize = 6;

/// All complaints about one Rust file.
pub fn check(file: &File) -> Vec<Complaint> {
    [header(file), length(file), characters(file), unsafe_blocks(file), allowances(file)]
        .into_iter()
        .flatten()
        .collect()
}

fn header(file: &File) -> Vec<Complaint> {
    if file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Complaint::new(&file.path, 1, "begin with `//! ` and say why this file exists and which words it uses")]
}

fn length(file: &File) -> Vec<Complaint> {
    let lines = file.text.lines().count();
    let max = LONG_FILES.iter().find(|(path, _)| *path == file.path).map_or(LINES_MAX, |(_, lines)| *lines);
    if lines <= max {
        return Vec::new();
    }
    vec![Complaint::new(&file.path, 0, format!("{lines} lines, at most {max}: split it by subject"))]
}

/// Entries of `LONG_FILES` that are short enough now, or gone.
pub fn stale_long_files(tree: &Tree) -> Vec<Complaint> {
    let is_long = |path: &str| tree.text(path).is_some_and(|text| text.lines().count() > LINES_MAX);
    let stale = LONG_FILES.iter().filter(|(path, _)| !is_long(path));
    stale
        .map(|(path, _)| Complaint::new(path, 0, "is short enough now: remove it from LONG_FILES in source.rs"))
        .collect()
}

fn characters(file: &File) -> Vec<Complaint> {
    let lines = (1..).zip(file.text.lines()).filter(|(_, line)| !line.is_ascii());
    lines
        .map(|(number, _)| {
            Complaint::new(
                &file.path,
                number,
                "ASCII only, so that every console shows it: write degC, ->, +/-; or an escape such as \\u{b0}",
            )
        })
        .collect()
}

fn unsafe_blocks(file: &File) -> Vec<Complaint> {
    let listed = UNSAFE_FILES.iter().any(|(path, _)| *path == file.path);
    let text: Vec<&str> = file.text.lines().collect();
    let mut complaints = Vec::new();
    for (number, _) in (1..).zip(file.code.lines()).filter(|(_, line)| has_word(line, "unsafe")) {
        let above = &text[usize::saturating_sub(number, 1 + SAFETY_WITHIN)..number];
        if !listed {
            complaints.push(Complaint::new(
                &file.path,
                number,
                "`unsafe` stands only in UNSAFE_FILES of source.rs: use a safe crate, or list the file with the reason",
            ));
        } else if !above.iter().any(|line| line.contains("SAFETY:")) {
            complaints.push(Complaint::new(
                &file.path,
                number,
                "say in a `// SAFETY:` comment above why this is sound",
            ));
        }
    }
    complaints
}

/// `#[allow(...)]` and `#![allow(...)]` need a reason.
fn allowances(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (at, start) in file.code.match_indices("[allow(").chain(file.code.match_indices("[expect(")) {
        let rest = &file.code[at + start.len()..];
        let inside = &rest[..rest.find(")]").unwrap_or(rest.len())];
        if !has_word(inside, "reason") {
            let line = file.code[..at].lines().count().max(1);
            complaints.push(Complaint::new(
                &file.path,
                line,
                "a lint is switched off: add `reason = \"...\"`, or do what the lint asks",
            ));
        }
    }
    complaints
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> usize {
        check(&File::new("models/src/x.rs", text)).len()
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(complaints("//! Why.\n#[allow(dead_code, reason = \"the table is complete\")]\nfn f() {}\n"), 0);
        assert_eq!(complaints("//! Why. No unsafe here.\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\";\n"), 0);
    }

    #[test]
    fn each_rule_can_fail() {
        assert_eq!(complaints("fn f() {}\n"), 1, "header");
        assert_eq!(complaints(&format!("//! Why.\n{}", "\n".repeat(LINES_MAX))), 1, "length");
        assert_eq!(complaints("//! Why.\nconst DEGREE: char = '\u{b0}';\n"), 1, "characters");
        assert_eq!(complaints("//! Why.\nfn f() { unsafe { g() } }\n"), 1, "unsafe");
        assert_eq!(complaints("//! Why.\n#[allow(dead_code)]\nfn f() {}\n"), 1, "allow without a reason");
    }

    #[test]
    fn a_long_file_that_was_split_leaves_the_list() {
        assert_eq!(stale_long_files(&Tree { files: Vec::new() }).len(), LONG_FILES.len());
    }
}
