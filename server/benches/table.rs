//! Tables in Markdown, and how far each figure is from its target.

use crate::harness::{Contest, median};

/// What one benchmark has to say.
pub struct Report {
    title: String,
    /// Paragraphs and tables, in Markdown.
    parts: Vec<String>,
    pub figures: Vec<Figure>,
}

/// A figure that has a target.
pub struct Figure {
    pub what: String,
    pub value: f64,
    /// Written after the value.
    pub unit: &'static str,
    pub target: f64,
    pub goal: Goal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    AtLeast,
    AtMost,
}

impl Figure {
    pub fn at_least(what: impl Into<String>, value: f64, unit: &'static str, target: f64) -> Self {
        Self { what: what.into(), value, unit, target, goal: Goal::AtLeast }
    }

    pub fn at_most(what: impl Into<String>, value: f64, unit: &'static str, target: f64) -> Self {
        Self { what: what.into(), value, unit, target, goal: Goal::AtMost }
    }

    /// 1 where the target is just met, more where it is met with room.
    pub fn score(&self) -> f64 {
        match self.goal {
            Goal::AtLeast => self.value / self.target,
            Goal::AtMost => self.target / self.value,
        }
    }

    /// `3.41 ×`
    pub fn shown(&self, value: f64) -> String {
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.digits$} {}", self.unit)
    }
}

impl Report {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new(), figures: Vec::new() }
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.parts.push(text.into());
    }

    pub fn add_table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        // The first column is words, the others are numbers.
        let rule = head.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { "---:" });
        let mut lines = vec![line(head.iter().copied()), line(rule)];
        lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str))));
        self.parts.push(lines.join("\n"));
    }

    /// The programs of a contest, ours first, and how much faster ours is; those with a target become figures.
    pub fn add_contest(&mut self, contest: &Contest) {
        let ours = contest.contestants.first().map_or(f64::NAN, |ours| median(ours.seconds()));
        let mut rows = Vec::new();
        for (place, contestant) in contest.contestants.iter().enumerate() {
            let seconds = median(contestant.seconds());
            let ratio = seconds / ours;
            rows.push(vec![
                contestant.name.to_owned(),
                format!("{seconds:.3}"),
                format!("{:.0}", contest.files as f64 / seconds),
                format!("{:.0}", contestant.peak_mib()),
                if place == 0 { String::new() } else { format!("{ratio:.2} ×") },
            ]);
            if let Some(target) = contestant.target {
                let what = format!("{}: speed to {}", contest.title, contestant.name);
                self.figures.push(Figure::at_least(what, ratio, "×", target));
            }
        }
        let head = [contest.title, "seconds", "files/s", "peak MiB", "Salvor's speed to its"];
        self.add_table(&head, &rows);
    }

    pub fn markdown(&self) -> String {
        format!("### {}\n\n{}\n\n", self.title, self.parts.join("\n\n"))
    }
}

/// All figures that have a target.
pub fn of_targets(figures: &[&Figure]) -> String {
    let mut report = Report::new("Targets");
    let rows: Vec<_> = figures
        .iter()
        .map(|figure| {
            let bound = if figure.goal == Goal::AtLeast { "≥" } else { "≤" };
            let met = if figure.score() >= 1.0 { "yes" } else { "**no**" };
            vec![
                figure.what.clone(),
                figure.shown(figure.value),
                format!("{bound} {}", figure.shown(figure.target)),
                met.to_owned(),
            ]
        })
        .collect();
    report.add_table(&["what", "measured", "target", "met"], &rows);
    report.markdown()
}

fn line<'t>(cells: impl Iterator<Item = &'t str>) -> String {
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}
