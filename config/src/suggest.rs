//! "Did you mean": the known word nearest to a wrong one.

/// The candidate nearest to `word` by edit distance, ignoring case; None when nothing is near enough to be a slip.
///
/// Near enough: at most one edit per three letters, at least one (two for words of five letters or more).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let letters = lower.chars().count();
    let allowed = (letters / 3).max(if letters >= 5 { 2 } else { 1 });
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, c)| {
            *distance <= allowed && *distance < c.chars().count().max(1) + usize::from(*distance == 0)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// "Did you mean `x`?" or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |c| format!("Did you mean '{c}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("TI-1O1", ["TI-101", "TI-102", "FI-101"]), Some("TI-101"));
        assert_eq!(nearest("ti-101", ["TI-102", "TI-101"]), Some("TI-101"));
        assert_eq!(nearest("deadlin", ["cycle", "deadline"]), Some("deadline"));
        assert_eq!(nearest("banana", ["cycle", "deadline"]), None);
        assert_eq!(nearest("x", ["s"]), None);
    }
}
