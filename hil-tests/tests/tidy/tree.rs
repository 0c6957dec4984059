//! The project's text files, read once, and a view of Rust code without comments and strings.
//!
//! Words: *code* is a file's text in which comments and the contents of strings are blanked, line numbers kept; its *production part* ends
//! where an inline `#[cfg(test)] mod` begins, and is empty in test files (`tests`, `benches`, `examples` folders, `*_tests.rs`).

use std::fmt;
use std::path::{Path, PathBuf};

/// Folders that are not the project's: build output, and whatever begins with a dot (but `.ci`).
const SKIPPED_FOLDERS: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// Text by the end of its name; everything else is data.
const TEXT_ENDS: [&str; 13] =
    ["rs", "toml", "md", "py", "sh", "txt", "st", "csv", "json", "yml", "html", "css", "service"];
/// Text files without an end.
const TEXT_NAMES: [&str; 3] = ["run", ".gitattributes", ".gitignore"];

/// One broken rule, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    path: String,
    line: usize,
    text: String,
}

impl Complaint {
    /// At a line, counted from 1; 0 means the whole file.
    pub fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// One text file.
#[derive(Debug)]
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// As it stands on disk.
    pub text: String,
    /// Rust only: the text without comments and the contents of strings. Empty for other files.
    pub code: String,
}

impl File {
    /// A file with this text.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { blank_comments_and_strings(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Code that is part of a program: no test module, no test folder.
    pub fn production_code(&self) -> &str {
        let in_test_folder = ["tests/", "benches/", "examples/"].iter().any(|folder| in_folder(&self.path, folder));
        if in_test_folder || self.path.ends_with("_tests.rs") || self.path.ends_with("/tests.rs") {
            return "";
        }
        let modules = self.code.match_indices("#[cfg(test)]\nmod ");
        // `mod name;` declares a file of tests and ends nothing.
        let mut inline = modules.filter(|(at, start)| {
            let rest = &self.code[at + start.len()..];
            rest.lines().next().is_some_and(|line| line.contains('{'))
        });
        &self.code[..inline.next().map_or(self.code.len(), |(at, _)| at)]
    }
}

fn in_folder(path: &str, folder: &str) -> bool {
    path.starts_with(folder) || path.contains(&format!("/{folder}"))
}

/// All text files of the project in the order of their paths.
#[derive(Debug)]
pub struct Tree {
    /// The files.
    pub files: Vec<File>,
}

impl Tree {
    /// Reads the project this test belongs to.
    pub fn read() -> Self {
        let mut paths = Vec::new();
        collect(&root(), &mut paths);
        paths.sort();
        let files = paths.iter().map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            File::new(&relative(path), &text)
        });
        Self { files: files.collect() }
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.path.ends_with(".rs"))
    }

    /// Text of one file, if it exists.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|f| f.path == path).map(|f| f.text.as_str())
    }
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("hil-tests lies in the workspace").to_path_buf()
}

/// Names of what lies in the root, build output and `.git` left out.
pub fn root_entries() -> Vec<String> {
    let entries = std::fs::read_dir(root()).expect("the workspace can be listed");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|n| n != ".git" && n != "target");
    names.sort();
    names
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace can be listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci";
            if !hidden && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                collect(&path, paths);
            }
        } else {
            let end = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            if TEXT_ENDS.contains(&end.as_str()) || TEXT_NAMES.contains(&name.as_str()) || name.starts_with("LICENSE") {
                paths.push(path);
            }
        }
    }
}

fn relative(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("collected below the root");
    inside.to_string_lossy().replace('\\', "/")
}

/// Blanks line comments, block comments and the contents of strings and characters; line breaks stay.
///
/// One pass over the characters; knows raw strings and nested block comments, and tells a lifetime from a character.
pub fn blank_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (chars[i], chars.get(i + 1)) {
            ('/', Some('/')) => line_end(&chars, i),
            ('/', Some('*')) => block_comment_end(&chars, i),
            ('r', Some('"' | '#')) if !joins_word(&chars, i) => raw_string_end(&chars, i),
            ('"', _) => string_end(&chars, i),
            ('\'', _) => character_end(&chars, i),
            _ => i,
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

fn joins_word(chars: &[char], at: usize) -> bool {
    // `br"..."` is a raw string too; any other letter before the `r` makes it the end of a name.
    at > 0 && is_word(chars[at - 1]) && !(chars[at - 1] == 'b' && (at < 2 || !is_word(chars[at - 2])))
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| from + n)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from; // A raw identifier such as r#type.
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = from + 2 + hashes;
    (body..chars.len()).find(|&i| chars[i..].starts_with(&close)).map_or(chars.len(), |i| i + close.len())
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn character_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => {
            let close = chars.iter().skip(from + 3).position(|&c| c == '\'');
            close.map_or(chars.len(), |n| from + 4 + n)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from, // A lifetime.
    }
}

/// Part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_and_strings_are_blanked_and_lines_kept() {
    let text = "let a = \"HashMap\\\" x\"; // HashMap\n/* HashMap /* y */\n */ let b = r#\"Hash\"Map\"#;\nfn f<'a>(c: &'a u8) { '\"'; '\\''; z }";
    let code = blank_comments_and_strings(text);
    assert!(!code.contains("Hash") && !code.contains("Map") && !code.contains('y'), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.contains("let b =") && code.contains("fn f<'a>(c: &'a u8) {") && code.contains("z }"), "{code}");
}

#[test]
fn the_production_part_ends_at_the_test_module() {
    let text = "fn f() {}\n#[cfg(test)]\nmod tests { fn g() {} }\n";
    assert_eq!(File::new("a/src/x.rs", text).production_code().trim(), "fn f() {}");
    let declared = "#[cfg(test)]\nmod tests;\nfn f() {}";
    assert_eq!(File::new("a/src/x.rs", declared).production_code(), declared);
    assert_eq!(File::new("a/src/x_tests.rs", "fn f() {}").production_code(), "");
    assert_eq!(File::new("a/tests/x.rs", text).production_code(), "");
    assert_eq!(File::new("hil-tests/rig/src/x.rs", "fn f() {}").production_code(), "fn f() {}");
}
