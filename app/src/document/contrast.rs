//! The colours of `style/tokens.css`, by the formula of WCAG 2.

use std::collections::BTreeMap;

const TOKENS: &str = include_str!("../../../style/tokens.css");

#[test]
fn every_colour_can_be_read_on_its_grounds() {
    let (light, dark) = TOKENS.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let light = colours(light);
    let mut both = light.clone();
    both.extend(colours(dark));
    for (scheme, colours) in [("light", &light), ("dark", &both)] {
        let contrast = |front: &str, back: &str| {
            let (a, b) = (luminance(&colours[front]), luminance(&colours[back]));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        let needs = |front: &str, back: &str, least: f64| {
            let found = contrast(front, back);
            assert!(found >= least, "{scheme}: {front} on {back} is {found:.2}:1, needs {least}:1");
        };
        for ground in ["bg", "surface", "raised"] {
            for text in ["text", "muted", "accent", "accent-strong", "ok", "warn", "serious", "bad", "info"] {
                needs(text, ground, 4.5);
            }
            needs("edge", ground, 3.0);
        }
        needs("accent-text", "accent", 4.5);
        needs("accent-text", "accent-strong", 4.5);
        for tone in ["ok", "warn", "serious", "bad", "info"] {
            let soft = format!("{tone}-soft");
            for text in [tone, "text", "muted", "accent"] {
                needs(text, &soft, 4.5);
            }
        }
        // The bar of a progress on its trough, and the edges that mark its end.
        needs("info", "line", 3.0);
        needs("accent", "line", 3.0);
    }
}

fn colours(css: &str) -> BTreeMap<String, [f64; 3]> {
    css.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
            let hex = u32::from_str_radix(value.strip_suffix(';')?, 16).ok()?;
            let channel = |shift: u32| f64::from(hex >> shift & 0xff) / 255.0;
            Some((name.to_owned(), [channel(16), channel(8), channel(0)]))
        })
        .collect()
}

fn luminance(colour: &[f64; 3]) -> f64 {
    let linear = colour.map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}
