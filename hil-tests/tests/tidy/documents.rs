//! Rules about what a reader meets: the root folder, the README, links, decisions, examples.

use std::path::Path;

use crate::tree::{Complaint, File, Tree, root};

/// All that may lie in the root. A new entry needs a good reason: the root is the first page a reader sees.
const ROOT: &[&str] = &[
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "adapters",
    "clippy.toml",
    "config",
    "deny.toml",
    "docs",
    "hil-tests",
    "models",
    "runtime",
    "rustfmt.toml",
];

/// The two commands that a newcomer types.
const README_COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo test --release --workspace"];

/// States of a decision. There is no "proposed": what is not decided is an issue.
const DECISION_STATES: [&str; 3] = ["Accepted", "Superseded by", "Withdrawn"];

/// Entries of the root that nobody has listed.
pub fn check_root(entries: &[String]) -> Vec<Complaint> {
    let unknown = entries.iter().filter(|e| !ROOT.contains(&e.as_str()));
    unknown
        .map(|e| {
            Complaint::new(
                e,
                0,
                "does not belong in the root: put it in the folder of its subject, or list it in ROOT of documents.rs",
            )
        })
        .collect()
}

/// Commands that the README does not name.
pub fn check_readme(text: Option<&str>) -> Vec<Complaint> {
    let text = text.unwrap_or_default();
    let missing = README_COMMANDS.iter().filter(|command| !text.contains(*command));
    missing.map(|command| Complaint::new("README.md", 0, format!("must name the command `{command}`"))).collect()
}

/// Links of a Markdown file, and backticked paths into `docs/` of any file, that lead nowhere.
pub fn check_links(file: &File, tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if file.path.ends_with(".md") {
            for target in targets(line) {
                let path = target.split('#').next().unwrap_or_default();
                let outside = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
                if !outside && !exists(&beside(&file.path, path)) {
                    complaints.push(Complaint::new(
                        &file.path,
                        number,
                        format!("link to {target} leads nowhere: mend or remove it"),
                    ));
                }
            }
        }
        // The rules themselves name documents that are not there.
        for path in documents_named(line).into_iter().filter(|_| !file.path.starts_with("hil-tests/tests/tidy/")) {
            if tree.text(&path).is_none() {
                complaints.push(Complaint::new(
                    &file.path,
                    number,
                    format!("names {path}, which does not exist: write it, or name another"),
                ));
            }
        }
    }
    complaints
}

/// Targets of `[text](target)` in a line, code in backticks left out.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, piece) in line.split('`').enumerate() {
        if index % 2 == 0 {
            let links = piece.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            found.extend(links.map(|(target, _)| target.split(' ').next().unwrap_or(target)));
        }
    }
    // `[`code`](target)` is split at the backticks: its target begins the piece after them.
    found.retain(|t| !t.is_empty());
    found
}

/// Paths of the form `docs/NAME.md` or `docs/adr/NAME.md` in a line.
fn documents_named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("docs/") {
        let joined = line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "/.-_".contains(c));
        let path: String = line[at..].chars().take_while(|c| c.is_alphanumeric() || "/._-".contains(*c)).collect();
        let path = path.trim_end_matches('.');
        if !joined && path.ends_with(".md") {
            found.push(path.to_owned());
        }
    }
    found
}

/// `target` seen from the folder of `path`, from the root, without `.` and `..`.
fn beside(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn exists(path: &str) -> bool {
    Path::new(&root()).join(path).exists()
}

/// Decisions with the number of another, a wrong name, or no state.
pub fn check_decisions(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for file in tree.files.iter().filter(|f| f.path.starts_with("docs/adr/")) {
        let name = file.path.trim_start_matches("docs/adr/");
        if name == "README.md" {
            continue;
        }
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.chars().all(|c| c.is_ascii_digit()) {
            complaints.push(Complaint::new(
                &file.path,
                0,
                "name it NNNN-what-was-decided.md with the next free number",
            ));
        } else if seen.contains(&number) {
            complaints.push(Complaint::new(&file.path, 0, format!("number {number} is taken: use the next free one")));
        }
        seen.push(number);
        let stated = file.text.lines().filter_map(|line| line.strip_prefix("Status: "));
        if !stated.into_iter().any(|s| DECISION_STATES.iter().any(|known| s.starts_with(known))) {
            complaints.push(Complaint::new(
                &file.path,
                0,
                format!("needs a line `Status: ` with one of {DECISION_STATES:?}"),
            ));
        }
    }
    complaints
}

/// Examples that no document names: nobody would find them.
pub fn check_examples(tree: &Tree) -> Vec<Complaint> {
    let documents: Vec<&File> = tree
        .files
        .iter()
        .filter(|f| f.path == "README.md" || (f.path.starts_with("docs/") && f.path.ends_with(".md")))
        .collect();
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|f| f.path.starts_with("config/examples/")) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if !documents.iter().any(|d| d.text.contains(name)) {
            complaints.push(Complaint::new(&file.path, 0, "is named in no document: say in docs/ what it shows"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| File::new(path, text)).collect() }
    }

    #[test]
    fn root_and_readme_rules_can_fail() {
        assert_eq!(check_root(&["config".to_owned(), "notes.txt".to_owned()]).len(), 1);
        assert_eq!(check_readme(None).len(), 2);
        assert_eq!(check_readme(Some("`cargo run --release -- demo`")).len(), 1);
    }

    #[test]
    fn dead_links_are_told() {
        let t = tree(&[("docs/A.md", "")]);
        let check = |path: &str, text: &str| check_links(&File::new(path, text), &t).len();
        assert_eq!(check("docs/A.md", "[x](../Cargo.toml) [y](https://example.org) [z](#part)"), 0);
        assert_eq!(check("docs/A.md", "[x](NOTHING.md) and [y](../nothing/)"), 2);
        assert_eq!(check("docs/A.md", "[`x`](NOTHING.md)"), 1);
        assert_eq!(check("models/src/x.rs", "//! See docs/A.md."), 0);
        assert_eq!(check("models/src/x.rs", "//! See docs/B.md."), 1);
    }

    #[test]
    fn decisions_need_a_number_of_their_own_and_a_state() {
        let one = ("docs/adr/0001-a.md", "# A\n\nStatus: Accepted\n");
        assert_eq!(check_decisions(&tree(&[one])).len(), 0);
        assert_eq!(check_decisions(&tree(&[one, ("docs/adr/0001-b.md", "Status: Accepted")])).len(), 1);
        assert_eq!(check_decisions(&tree(&[("docs/adr/0002-b.md", "Status: Proposed")])).len(), 1);
        assert_eq!(check_decisions(&tree(&[("docs/adr/b.md", "Status: Accepted")])).len(), 1);
    }

    #[test]
    fn an_example_that_nobody_explains_is_told() {
        let example = ("config/examples/one.toml", "");
        assert_eq!(check_examples(&tree(&[example])).len(), 1);
        assert_eq!(check_examples(&tree(&[example, ("docs/A.md", "see one.toml")])).len(), 0);
    }
}
