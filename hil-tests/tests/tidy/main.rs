//! The house rules as a test. Each complaint says what to do instead.
//!
//! `words` bans words by place (clocks, waits, async, what the scan may not know), `source` looks at whole Rust files, `manifest` keeps the
//! direction of dependency, `documents` keeps links, decisions and examples. `tree` reads the files once. Every rule is a function from text to
//! complaints, so that each has a unit test with text that breaks it: a rule that cannot fail is no rule.

mod documents;
mod manifest;
mod source;
mod tree;
mod words;

use tree::{Complaint, Tree};

/// Fails with one line per complaint.
fn expect_none(complaints: &[Complaint]) {
    let text: String = complaints.iter().map(|c| format!("\n{c}")).collect();
    assert!(complaints.is_empty(), "{} house rule(s) broken:{text}\n", complaints.len());
}

#[test]
fn words_stand_only_where_they_may() {
    let tree = Tree::read();
    expect_none(&tree.files.iter().flat_map(words::check).collect::<Vec<_>>());
}

#[test]
fn every_exception_still_points_to_a_file() {
    let tree = Tree::read();
    expect_none(&words::stale_places(&tree));
    expect_none(&source::stale_long_files(&tree));
}

#[test]
fn rust_files_are_short_explained_and_safe() {
    let tree = Tree::read();
    expect_none(&tree.rust().flat_map(source::check).collect::<Vec<_>>());
}

#[test]
fn dependencies_point_in_one_direction() {
    let tree = Tree::read();
    expect_none(&manifest::check(&tree));
}

#[test]
fn the_root_holds_only_known_entries() {
    expect_none(&documents::check_root(&tree::root_entries()));
}

#[test]
fn the_readme_names_both_commands() {
    let tree = Tree::read();
    expect_none(&documents::check_readme(tree.text("README.md")));
}

#[test]
fn links_in_documents_resolve() {
    let tree = Tree::read();
    expect_none(&tree.files.iter().flat_map(|f| documents::check_links(f, &tree)).collect::<Vec<_>>());
}

#[test]
fn decisions_have_their_own_number_and_a_status() {
    let tree = Tree::read();
    expect_none(&documents::check_decisions(&tree));
}

#[test]
fn every_example_is_named_in_a_document() {
    let tree = Tree::read();
    expect_none(&documents::check_examples(&tree));
}
