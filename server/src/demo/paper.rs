//! Documents: one-page PDFs written by hand, style sheets and notes.

use super::dice::Dice;
use std::fmt::Write;

const DISHES: [&str; 5] =
    ["Soup of the day", "Rhubarb crumble", "Smoked trout", "Mushroom pie", "Garden salad"];
const DATES: [&str; 5] =
    ["first Monday", "second Tuesday", "third Thursday", "last Friday", "every Saturday"];
const COLOURS: [&str; 5] = ["#8a1c3b", "#12344d", "#2f6f4f", "#b5651d", "#4b3f72"];
const FONTS: [&str; 5] = ["Georgia", "Verdana", "Palatino", "Trebuchet MS", "Garamond"];

/// A page with a title and a list, in the fonts that every reader has.
pub fn pdf(title: &str, dice: &mut Dice) -> Vec<u8> {
    let mut text = format!("BT /F1 26 Tf 72 740 Td ({}) Tj /F2 12 Tf 0 -30 Td 18 TL\n", escaped(title));
    for line in 1..=dice.range(14, 30) {
        let (dish, date) = (dice.pick(&DISHES), dice.pick(&DATES));
        let (pounds, pence) = (dice.range(3, 19), dice.range(0, 10) * 10);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "({line}.  {dish}, {date}: {pounds}.{pence:02}) Tj T*");
    }
    text.push_str("ET");

    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R \
         /Resources << /Font << /F1 4 0 R /F2 5 0 R >> >> >>"
            .to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Times-Bold /Encoding /WinAnsiEncoding >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
    ];
    let mut out = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (at, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", out.len());
        let _ = writeln!(out, "{} 0 obj\n{object}\nendobj", at + 1);
    }
    let start = out.len();
    let _ =
        writeln!(table, "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF", objects.len() + 1);
    (out + &table).into_bytes()
}

pub fn css(dice: &mut Dice) -> Vec<u8> {
    let (colour, font) = (dice.pick(&COLOURS), dice.pick(&FONTS));
    let (width, gap) = (dice.range(40, 80), dice.range(8, 32));
    let mut out = format!(
        "body {{ font-family: \"{font}\", serif; color: {colour}; max-width: {width}rem; margin: {gap}px auto; }}\n"
    );
    for column in 1..=dice.range(20, 40) {
        let _ = writeln!(
            out,
            ".column-{column} {{ width: {}%; padding: {}px; }}",
            dice.range(5, 100),
            dice.range(0, 24)
        );
    }
    out.into_bytes()
}

pub fn note(title: &str, dice: &mut Dice) -> Vec<u8> {
    let mut out = format!("{title}\n{}\n\n", "=".repeat(title.chars().count()));
    for _ in 0..dice.range(20, 60) {
        let _ = writeln!(out, "* {} on the {} of the month", dice.pick(&DISHES), dice.pick(&DATES));
    }
    out.into_bytes()
}

/// Within a PDF string; what is not ASCII is left out, since the fonts' encoding is not UTF-8.
fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .filter(|c| !matches!(c, '(' | ')' | '\\'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_of_a_pdf_points_at_its_object() {
        let pdf = String::from_utf8(pdf("Spring (menu)", &mut Dice::new(1))).unwrap();
        assert!(pdf.starts_with("%PDF-1.4") && pdf.ends_with("%%EOF\n"));
        let table = pdf.rfind("\nxref\n").unwrap() + 1;
        assert!(pdf.contains(&format!("startxref\n{table}\n")));
        let rows = pdf[table..].lines().filter(|line| line.ends_with(" n "));
        for (at, row) in rows.enumerate() {
            let offset: usize = row[..10].parse().unwrap();
            assert!(pdf[offset..].starts_with(&format!("{} 0 obj", at + 1)), "{row}");
        }
        assert!(pdf.contains("(Spring menu)"));
    }
}
