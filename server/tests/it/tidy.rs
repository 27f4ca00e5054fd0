//! The house rules that a compiler does not check: ARCHITECTURE.md's invariants, read off the source.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file below `folder` with one of `endings`, as (path from the root, text).
fn sources(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_dir() {
                if !matches!(
                    name.as_str(),
                    "target" | "node_modules" | ".git" | "salvor-demo" | "salvor-data"
                ) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending))
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

fn dependencies(manifest: &str) -> Vec<String> {
    let table: toml::Table = fs::read_to_string(root().join(manifest)).unwrap().parse().unwrap();
    table["dependencies"].as_table().unwrap().keys().cloned().collect()
}

/// The code without its tests: those may reach further.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn crates_depend_downwards_only() {
    for (manifest, forbidden) in [
        (
            "app/domain/Cargo.toml",
            &["tokio", "sqlx", "axum", "leptos", "salvor-app", "salvor-engine", "getrandom"][..],
        ),
        ("server/engine/Cargo.toml", &["tokio", "sqlx", "axum", "leptos", "salvor-app"]),
        (
            "server/probes/Cargo.toml",
            &["tokio", "sqlx", "axum", "leptos", "salvor-app", "salvor-engine", "salvor"],
        ),
        ("server/copies/Cargo.toml", &["sqlx", "axum", "leptos", "salvor-app", "salvor"]),
        ("app/Cargo.toml", &["tokio", "sqlx", "axum", "salvor-engine", "salvor"]),
        ("app/hydrate/Cargo.toml", &["tokio", "sqlx", "axum", "salvor-engine", "salvor"]),
    ] {
        let dependencies = dependencies(manifest);
        for crate_name in forbidden {
            assert!(
                !dependencies.iter().any(|d| d == crate_name),
                "{manifest} must not depend on {crate_name}"
            );
        }
    }
}

#[test]
fn the_domain_has_no_cfg_and_no_clock() {
    for (path, text) in sources("app/domain/src", &[".rs"]) {
        let code = without_tests(&text);
        for word in ["#[cfg(", "Utc::now", "std::fs", "std::env", "async fn"] {
            assert!(!code.contains(word), "{path} has {word}: the domain is pure");
        }
    }
}

#[test]
fn sql_stands_in_stores_only() {
    // Beside the slices' stores: what all of them stand on.
    let allowed = ["store", "catalogue", "findings", "database.rs", "events.rs", "idempotency"];
    for (path, text) in sources("server/src", &[".rs"]) {
        let has_sql =
            ["execute!(", "fetch_all!(", "fetch_one!(", "fetch_optional!(", "scalar!(", "QueryBuilder"]
                .iter()
                .any(|call| without_tests(&text).contains(call));
        assert!(!has_sql || allowed.iter().any(|part| path.contains(part)), "{path} has SQL outside a store");
    }
}

#[test]
fn slices_do_not_reach_into_each_others_tables() {
    let tables = [
        ("accounts", &["users", "sessions", "sign_in_links", "api_tokens"][..]),
        (
            "volumes",
            &[
                "volumes",
                "copies",
                "files",
                "catalogue_figures",
                "findings",
                "finding_figures",
                "copy_faults",
                "copy_rates",
                "drill_results",
            ],
        ),
        (
            "restore",
            &[
                "jobs",
                "segments",
                "items",
                "orphans",
                "job_sources",
                "job_findings",
                "job_failures",
                "job_samples",
                "job_source_samples",
                "drill_parts",
                "disk_checks",
                "disk_check_lines",
            ],
        ),
        ("incidents", &["components", "incidents", "incident_components", "incident_updates"]),
        ("tickets", &["tickets", "ticket_lines", "ticket_messages"]),
        ("health", &["hosts", "signals", "signal_changes", "signal_points"]),
        ("webhooks", &["deliveries"]),
    ];
    for (slice, _) in tables {
        for (path, text) in sources(&format!("server/src/{slice}"), &[".rs"]) {
            for (_, others) in tables.iter().filter(|(other, _)| *other != slice) {
                for table in *others {
                    for verb in ["FROM", "INTO", "UPDATE", "JOIN"] {
                        let named = format!("{verb} {table}");
                        let reaches = without_tests(&text).match_indices(&named).any(|(at, _)| {
                            !text[at + named.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                        });
                        assert!(!reaches, "{path} names {table}, which is not of the slice {slice}");
                    }
                }
            }
        }
    }
}

#[test]
fn both_engines_have_the_same_columns() {
    let columns = |engine: &str| -> Vec<String> {
        let mut migrations = sources(&format!("migrations/{engine}"), &[".sql"]);
        migrations.sort();
        let mut table = String::new();
        let mut columns = Vec::new();
        for line in migrations.iter().flat_map(|(_, text)| text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["CREATE", "TABLE", name, ..] => table = (*name).to_owned(),
                [name, ..]
                    if line.starts_with("    ") && name.chars().all(|c| c.is_lowercase() || c == '_') =>
                {
                    columns.push(format!("{table}.{name}"));
                }
                _ => {}
            }
        }
        columns
    };
    assert_eq!(columns("sqlite"), columns("postgres"));
}

#[test]
fn features_are_asked_for_where_contributing_says() {
    for (path, text) in sources("app/src", &[".rs"]) {
        let allowed = path.ends_with("/api.rs") || path.ends_with("live.rs") || path.contains("/islands");
        assert!(allowed || !text.contains("cfg(feature"), "{path} has cfg(feature …): see CONTRIBUTING.md");
    }
}

#[test]
fn no_test_is_ignored_or_skipped() {
    for (path, text) in sources("server/tests", &[".rs"]).into_iter().chain(sources("end2end", &[".ts"])) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for word in ["#[ignore", "test.skip(", "test.only(", "waitForTimeout"] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn the_top_level_is_as_the_design_has_it() {
    let folders =
        ["app", "server", "style", "migrations", "public", "end2end", "target", "salvor-demo", "salvor-data"];
    for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() && !name.starts_with('.') {
            assert!(folders.contains(&name.as_str()), "{name}/ is not in the design");
        }
    }
}
