//! Which characters people's texts may hold.

/// A control character other than the ends of lines and the tab: nobody types one, and PostgreSQL stores no U+0000.
pub fn is_stray(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// The text's first stray character, in words: `U+0000`.
pub fn stray(text: &str) -> Option<String> {
    text.chars().find(|&c| is_stray(c)).map(|c| format!("U+{:04X}", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_tabs_are_text_and_other_controls_are_not() {
        assert_eq!(stray("Zeile\r\n\tä 🌹"), None);
        assert_eq!(stray("a\0b").as_deref(), Some("U+0000"));
        assert_eq!(stray("a\u{7f}").as_deref(), Some("U+007F"));
    }
}
