//! Texts for people: which characters theirs may hold, and how a sentence of ours begins.

/// A control character other than the ends of lines and the tab: nobody types one, and PostgreSQL stores no U+0000.
pub fn is_stray(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// The text's first stray character, in words: `U+0000`.
pub fn stray(text: &str) -> Option<String> {
    text.chars().find(|&c| is_stray(c)).map(|c| format!("U+{:04X}", u32::from(c)))
}

/// With a capital letter, unless it begins with a name that has none: `ext4`, `md0`, `/srv`, `uploads_2`.
pub fn sentence(text: &str) -> String {
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    let is_word =
        !first.is_empty() && first.trim_end_matches([',', ':', ';', '.']).chars().all(char::is_alphabetic);
    if !is_word {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_with_a_capital_letter_or_a_name() {
        for (text, told) in [
            ("the disk is full", "The disk is full"),
            ("ätzend, it is", "Ätzend, it is"),
            ("ext4 counts 1 error", "ext4 counts 1 error"),
            ("/srv is full", "/srv is full"),
            ("12 files are missing", "12 files are missing"),
            ("", ""),
        ] {
            assert_eq!(sentence(text), told);
        }
    }

    #[test]
    fn lines_and_tabs_are_text_and_other_controls_are_not() {
        assert_eq!(stray("Zeile\r\n\tä 🌹"), None);
        assert_eq!(stray("a\0b").as_deref(), Some("U+0000"));
        assert_eq!(stray("a\u{7f}").as_deref(), Some("U+007F"));
    }
}
