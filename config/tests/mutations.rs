//! Random damage to a good file: never a panic, always a configuration or a reason why there is none.

use std::path::Path;

use flyball_config::load_text;

/// Xorshift64: the same damage at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn damaged_files_never_panic_and_never_fail_silently() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut random = Random(0x5eed_f1b8_0001);
    let mut refused = 0;
    let pieces = [
        "[", "]", "=", "\"", "'", "\n", "{", "}", ",", ":", ";", "-", "1e999", "nan", "0", "\u{b0}", "s", " ",
        "path=/", "\0",
    ];
    for name in ["r101.toml", "modbus.toml", "turbine.toml", "opcua_security.toml", "tag_sheet.toml"] {
        let good = std::fs::read_to_string(folder.join(name)).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for _ in 0..400 {
            let mut text: String = good.clone();
            for _ in 0..=random.below(3) {
                match random.below(4) {
                    // A line lost, a line twice, a piece put in, a stretch cut out.
                    0 => text = text.replacen(lines[random.below(lines.len())], "", 1),
                    1 => text = format!("{text}\n{}", lines[random.below(lines.len())]),
                    2 => {
                        let at = boundary(&text, random.below(text.len() + 1));
                        text.insert_str(at, pieces[random.below(pieces.len())]);
                    }
                    _ => {
                        let from = boundary(&text, random.below(text.len() + 1));
                        let to = boundary(&text, (from + random.below(12)).min(text.len()));
                        text.replace_range(from..to.max(from), "");
                    }
                }
            }
            let loaded = load_text(&folder.join(name), &text);
            let errors = loaded.diagnostics.errors();
            assert_eq!(loaded.config.is_none(), errors > 0, "{name}\n{}\n{text}", loaded.diagnostics.lines());
            refused += usize::from(errors > 0);
            for d in loaded.diagnostics.iter() {
                assert!(!d.subject.is_empty() && !d.found.is_empty());
            }
            assert_eq!(loaded.diagnostics.render(true).is_empty(), loaded.diagnostics.is_empty());
            assert_eq!(loaded.at("model.cB.inputs.T").file.text, text);
        }
    }
    assert!((400..2000).contains(&refused), "{refused} of 2000 were refused");
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}
