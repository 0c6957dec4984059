//! The fault campaign's table: each fault test lays its row beside the one in docs/FAULTS.md, so that the document says what the tests saw.
//!
//! Run with UPDATE_SNAPSHOTS=1 to write the rows anew, then read every changed line before committing it. A row holds only what is the same on
//! every machine: times of the virtual clock, bounds of real sockets.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::repository;

/// One fault of the campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id in the fault list: N1, P1, D1, T1, M1, S1, R1.
    pub id: &'static str,
    /// What happens.
    pub fault: &'static str,
    /// What must follow, and within what.
    pub expected: &'static str,
    /// What followed.
    pub observed: String,
}

impl Row {
    fn line(&self) -> String {
        format!("| {} | {} | {} | {} |", self.id, self.fault, self.expected, self.observed)
    }

    /// Compares with the line of the same id in docs/FAULTS.md, or writes it when UPDATE_SNAPSHOTS is set.
    ///
    /// # Panics
    /// When the document has no such line, or another one.
    pub fn lay(&self) {
        let path = repository().join("docs/FAULTS.md");
        let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
        let mut file = OpenOptions::new().read(true).write(update).open(&path).expect("docs/FAULTS.md can be opened");
        if update {
            // Tests run side by side; each changes its own line.
            file.lock().expect("a lock on docs/FAULTS.md");
        }
        let mut text = String::new();
        file.read_to_string(&mut text).expect("docs/FAULTS.md is text");
        let start = format!("| {} |", self.id);
        let wanted = self.line();
        if update {
            let lines: Vec<&str> =
                text.lines().map(|l| if l.starts_with(&start) { wanted.as_str() } else { l }).collect();
            assert!(lines.contains(&wanted.as_str()), "give docs/FAULTS.md a line that begins with {start}");
            let text = lines.join("\n") + "\n";
            file.seek(SeekFrom::Start(0)).and_then(|_| file.set_len(0)).expect("docs/FAULTS.md can be emptied");
            file.write_all(text.as_bytes()).expect("docs/FAULTS.md can be written");
            return;
        }
        let found = text.lines().find(|l| l.starts_with(&start));
        assert_eq!(
            found,
            Some(wanted.as_str()),
            "docs/FAULTS.md says something else (UPDATE_SNAPSHOTS=1 writes the row)"
        );
    }
}
