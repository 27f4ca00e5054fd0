//! Two style sheets out of the `style/` folder, without their comments and needless white space.
//!
//! The squeezing is conservative: it never touches a string or an unquoted `url(…)`, never joins two tokens and never
//! rewrites a value. Compression does the rest.

use crate::Failure;
use std::path::Path;

/// What each sheet is made of, in order.
const CONSOLE: [&str; 3] = ["tokens.css", "base.css", "console.css"];
const PUBLIC: [&str; 3] = ["tokens.css", "base.css", "public.css"];

/// Lets tools that start from one file find the others; it adds nothing of its own.
const INDEX: &str = "main.css";

pub struct Sheets {
    pub console: String,
    pub public: String,
}

/// Reads the sheets. A file that belongs to neither is an error, or its rules would be lost in silence.
pub fn sheets(styles: &Path) -> Result<Sheets, Failure> {
    let entries = std::fs::read_dir(styles).map_err(|e| format!("{}: {e}", styles.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let known = name == INDEX || CONSOLE.contains(&&*name) || PUBLIC.contains(&&*name);
        if name.ends_with(".css") && !known {
            return Err(format!(
                "{}/{name} is part of no style sheet; name it in app/bundle/src/css.rs",
                styles.display()
            )
            .into());
        }
    }
    Ok(Sheets { console: sheet(styles, &CONSOLE)?, public: sheet(styles, &PUBLIC)? })
}

fn sheet(styles: &Path, names: &[&str]) -> Result<String, Failure> {
    let mut whole = String::new();
    for name in names {
        let file = styles.join(name);
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        whole.push_str(&squeeze(&text));
        whole.push('\n');
    }
    Ok(whole)
}

/// Drops comments, runs of white space, and the white space around braces and after semicolons and commas.
pub fn squeeze(css: &str) -> String {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    let mut gap = false;
    while let Some(next) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
            gap = true;
            continue;
        }
        if next.is_ascii_whitespace() {
            rest = &rest[1..];
            gap = true;
            continue;
        }
        if gap
            && !matches!(out.chars().next_back(), None | Some('{' | '}' | ';' | ','))
            && !matches!(next, '{' | '}')
        {
            out.push(' ');
        }
        gap = false;
        let taken = verbatim(rest).unwrap_or(next.len_utf8());
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The length of what must stay as it is at the start of the text: a string or an unquoted address.
fn verbatim(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first == '"' || first == '\'' {
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == first => return Some(at + 1),
                _ => {}
            }
        }
        return Some(text.len());
    }
    let address = text.get(..4).filter(|start| start.eq_ignore_ascii_case("url("))?;
    let inner = &text[address.len()..];
    if inner.trim_ascii_start().starts_with(['"', '\'']) {
        return Some(address.len());
    }
    Some(inner.find(')').map_or(text.len(), |end| address.len() + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_comments_and_white_space() {
        let css = "/* top */\n.a,\n.b {\n  color: red; /* why */\n  margin: 0 auto;\n}\n\n@media (width > 40rem) { .a:hover { x: y } }\n";
        assert_eq!(squeeze(css), ".a,.b{color: red;margin: 0 auto;}@media (width > 40rem){.a:hover{x: y}}");
    }

    #[test]
    fn keeps_what_separates_tokens() {
        assert_eq!(squeeze("a/**/b :is(i) > c"), "a b :is(i) > c");
        assert_eq!(squeeze("x: calc(1px + 2px)"), "x: calc(1px + 2px)");
        assert_eq!(squeeze("--empty: ;"), "--empty: ;");
    }

    #[test]
    fn leaves_strings_and_addresses_alone() {
        assert_eq!(squeeze(r#"content: "/* {  } \" */";"#), r#"content: "/* {  } \" */";"#);
        assert_eq!(
            squeeze("background: url(data:image/svg+xml;a  b/*c)"),
            "background: url(data:image/svg+xml;a  b/*c)"
        );
        assert_eq!(squeeze("background: url( 'a  b' )  x"), "background: url( 'a  b' ) x");
        assert_eq!(squeeze("content: 'ü — ✓'"), "content: 'ü — ✓'");
    }

    #[test]
    fn an_open_end_is_not_a_panic() {
        for css in ["/* open", "\"open", "url(open", "a{", "\\", "\"\\"] {
            squeeze(css);
        }
    }

    #[test]
    fn each_sheet_has_its_parts_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tokens", "base", "public", "console"] {
            std::fs::write(folder.path().join(format!("{name}.css")), format!(".{name} {{}}")).unwrap();
        }
        let sheets = sheets(folder.path()).unwrap();
        assert_eq!(sheets.console, ".tokens{}\n.base{}\n.console{}\n");
        assert_eq!(sheets.public, ".tokens{}\n.base{}\n.public{}\n");
    }

    #[test]
    fn a_stray_sheet_and_a_missing_one_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let why = sheets(folder.path()).err().unwrap().to_string();
        assert!(why.contains("tokens.css"), "{why}");
        std::fs::write(folder.path().join("stray.css"), "").unwrap();
        let why = sheets(folder.path()).err().unwrap().to_string();
        assert!(why.contains("stray.css"), "{why}");
    }
}
