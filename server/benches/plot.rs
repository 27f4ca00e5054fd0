//! The figures beside their targets as a picture: one bar each, 1 is the target.

use std::fmt::Write;

use crate::table::{Figure, Goal};

const WIDTH: f64 = 820.0;
const LABELS: f64 = 330.0;
const VALUES: f64 = 250.0;
const ROW: f64 = 26.0;
const TOP: f64 = 34.0;
/// Bars end here; a longer one says so by its value.
const MOST: f64 = 2.5;

/// A picture that fits light and dark pages alike.
pub fn svg(figures: &[&Figure]) -> String {
    let height = TOP + ROW * figures.len() as f64 + 12.0;
    let scale = (WIDTH - LABELS - VALUES) / MOST;
    let target = LABELS + scale;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Measured figures beside their targets\">\n<style>\n\
         text {{ font: 13px system-ui, sans-serif; fill: #57606a }}\n\
         .met {{ fill: #2f8f6b }} .missed {{ fill: #c2662d }} .target {{ stroke: #57606a; stroke-dasharray: 3 3 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #b1bac4 }} .target {{ stroke: #b1bac4 }} }}\n</style>\n"
    );
    let mut draw = |line: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = svg.write_fmt(line);
        svg.push('\n');
    };
    draw(format_args!("<text x=\"{target}\" y=\"18\" text-anchor=\"middle\">target</text>"));
    draw(format_args!(
        "<line class=\"target\" x1=\"{target}\" x2=\"{target}\" y1=\"24\" y2=\"{}\"/>",
        height - 8.0
    ));
    for (row, figure) in figures.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let score = figure.score();
        let length = scale * if score.is_finite() { score.clamp(0.0, MOST) } else { 0.0 };
        let class = if score >= 1.0 { "met" } else { "missed" };
        let bound = if figure.goal == Goal::AtLeast { "≥" } else { "≤" };
        draw(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            y + 13.0,
            escaped(&figure.what)
        ));
        draw(format_args!(
            "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"17\" rx=\"2\"/>"
        ));
        draw(format_args!(
            "<text x=\"{:.1}\" y=\"{}\">{} ({bound} {})</text>",
            LABELS + length.max(scale) + 8.0,
            y + 13.0,
            figure.shown(figure.value),
            figure.shown(figure.target)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
