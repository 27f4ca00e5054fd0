//! Every row of `fixtures/EXPECT.tsv`: a fact is read exactly, word for word; a row of prose has a matcher beside its words.

#![allow(clippy::unwrap_used)]

mod prose;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use salvor_probes::inspect::inspect;
use serde_json::{Map, Value};

/// Facts of one subject, with its `verdict` and `reason`.
pub struct Told<'a>(&'a Map<String, Value>);

impl Told<'_> {
    /// As EXPECT.tsv writes values: like Python's `str()` of the JSON.
    fn text(&self, fact: &str) -> String {
        match self.0.get(fact) {
            None => "(absent)".into(),
            Some(Value::Null) => "None".into(),
            Some(Value::Bool(true)) => "True".into(),
            Some(Value::Bool(false)) => "False".into(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    pub fn is(&self, fact: &str, value: &str) -> bool {
        self.text(fact) == value
    }

    pub fn level(&self, level: &str) -> bool {
        self.is("verdict", level)
    }

    pub fn says(&self, fact: &str, words: &[&str]) -> bool {
        let text = self.text(fact);
        words.iter().all(|word| text.contains(word))
    }

    pub fn because(&self, words: &[&str]) -> bool {
        self.says("reason", words)
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(file: &str) -> Value {
    let bytes = fs::read(fixtures().join(file)).unwrap();
    let (kind, _) = file.split_once('/').unwrap();
    inspect(kind, Path::new(file), &String::from_utf8_lossy(&bytes)).unwrap().to_json()
}

fn rows() -> Vec<[String; 5]> {
    let text = fs::read_to_string(fixtures().join("EXPECT.tsv")).unwrap();
    let row = |line: &str| -> [String; 5] {
        line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn every_row_is_read() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for [file, subject, fact, expected, _] in rows() {
        let answer = read(&file);
        let Some(told) = answer["subjects"][&subject].as_object().map(Told) else {
            wrong.push(format!("{file}: nothing is said of {subject}"));
            continue;
        };
        let matcher =
            prose::MATCHERS.iter().position(|(words, _)| *words == expected && !told.is(&fact, &expected));
        let fits = match matcher.and_then(|at| Some((at, prose::MATCHERS.get(at)?.1))) {
            Some((at, fits)) => used.insert(at) | true && fits(&told),
            None => told.is(&fact, &expected),
        };
        if !fits {
            let (got, reason) = (told.text(&fact), told.text("reason"));
            wrong.push(format!("{file} {subject} {fact}: expected \"{expected}\", got \"{got}\" ({reason})"));
        }
    }
    for (at, (words, _)) in prose::MATCHERS.iter().enumerate() {
        if !used.contains(&at) {
            wrong.push(format!("no row is matched as \"{words}\""));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_fixture_has_its_rows_and_its_origin() {
    let rows: BTreeSet<String> = rows().into_iter().map(|[file, ..]| file).collect();
    let manifest = fs::read_to_string(fixtures().join("MANIFEST.tsv")).unwrap();
    let known: BTreeSet<&str> = manifest.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    for folder in
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(fixtures()).unwrap().to_str().unwrap().to_owned();
            assert!(rows.contains(&name) && known.contains(name.as_str()), "{name}");
        }
    }
}

#[test]
fn a_wrong_kind_is_told_the_right_ones() {
    let wrong = inspect("raid", Path::new("x"), "").unwrap_err().to_string();
    assert!(wrong.contains("\"raid\"") && wrong.contains("alertmanager, btrfs, "), "{wrong}");
}
