//! Names and comments that every IEC 61131-3 tool takes: letters, digits and single underscores, unique whatever the capitals.

/// Reserved words that a tag may be called; a name with a suffix cannot meet the others.
const RESERVED: [&str; 30] = [
    "AND", "AT", "BOOL", "BY", "BYTE", "CASE", "DO", "ELSE", "EXIT", "FOR", "IF", "INT", "MOD", "NOT", "OF", "ON",
    "OR", "REAL", "REPEAT", "RETURN", "STEP", "STRING", "TASK", "THEN", "TIME", "TO", "VAR", "WHILE", "WITH", "XOR",
];

/// An identifier that resembles `name`.
pub fn identifier(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c);
        } else if !id.is_empty() && !id.ends_with('_') {
            id.push('_');
        }
    }
    while id.ends_with('_') {
        id.pop();
    }
    let reserved = RESERVED.contains(&id.to_ascii_uppercase().as_str());
    if reserved || id.is_empty() || id.starts_with(|c: char| c.is_ascii_digit()) {
        id.insert_str(0, "T_");
    }
    id
}

/// `feed` -> `Feed`: the first part of the names of an MV's cells.
pub fn capitalised(name: &str) -> String {
    let id = identifier(name);
    let (first, rest) = id.split_at(1);
    first.to_ascii_uppercase() + rest
}

/// Names that are given once.
#[derive(Debug, Default)]
pub struct Names {
    taken: Vec<String>,
}

impl Names {
    /// `wanted`, or with `_2`, `_3`, ... behind it when it is taken.
    pub fn give(&mut self, wanted: &str) -> String {
        let numbered = |n: usize| if n == 1 { wanted.to_owned() } else { format!("{wanted}_{n}") };
        let is_free = |name: &String| !self.taken.iter().any(|t| t.eq_ignore_ascii_case(name));
        // One more candidate than there are names: one of them is free.
        let name = (1..=self.taken.len() + 1).map(numbered).find(is_free).unwrap_or_else(|| wanted.to_owned());
        self.taken.push(name.clone());
        name
    }
}

/// Text inside `(* *)`: ASCII, and nothing that would end or nest the comment.
pub fn comment(text: &str) -> String {
    let mut ascii = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' => ascii.push(c),
            '\u{e4}' => ascii.push_str("ae"),
            '\u{f6}' => ascii.push_str("oe"),
            '\u{fc}' => ascii.push_str("ue"),
            '\u{c4}' => ascii.push_str("Ae"),
            '\u{d6}' => ascii.push_str("Oe"),
            '\u{dc}' => ascii.push_str("Ue"),
            '\u{df}' => ascii.push_str("ss"),
            '\u{b0}' => ascii.push_str("deg "),
            '\u{b5}' | '\u{3bc}' => ascii.push('u'),
            c if c.is_whitespace() || c.is_control() => ascii.push(' '),
            _ => ascii.push('?'),
        }
    }
    ascii.replace("*)", "* )").replace("(*", "( *").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_plain() {
        let ids = ["R101-OPT", "FI-101", "1a", "a--b", "-", "at", "x.y/z-"].map(identifier);
        assert_eq!(ids, ["R101_OPT", "FI_101", "T_1a", "a_b", "T_", "T_at", "x_y_z"].map(str::to_owned));
        assert_eq!(capitalised("feed"), "Feed");
    }

    #[test]
    fn names_differ_in_more_than_capitals() {
        let mut names = Names::default();
        assert_eq!(["A_b", "a_B", "A_b"].map(|n| names.give(n)), ["A_b", "a_B_2", "A_b_3"]);
    }

    #[test]
    fn a_comment_cannot_end_early() {
        assert_eq!(comment("up *) (* to\n90 \u{b0}C \u{4e00}"), "up * ) ( * to 90 deg C ?");
    }
}
