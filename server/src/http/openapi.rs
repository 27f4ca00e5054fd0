//! The API's own description, OpenAPI 3.1. Written by hand; tests compare it with the permission table.

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;
    use serde_json::Value;

    use super::DOCUMENT;
    use crate::http::permissions::{Access, TABLE};

    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        let of = |(path, item): (&String, &'_ Value)| {
            (path.clone(), item.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        };
        paths
            .iter()
            .map(of)
            .flat_map(|(path, methods)| methods.into_iter().map(move |method| (path.clone(), method)))
            .map(|(path, method)| {
                let operation = &document["paths"][&path][&method];
                (method.to_uppercase(), path, operation)
            })
            .collect()
    }

    #[test]
    fn it_describes_what_the_table_names() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let described: BTreeSet<_> =
            operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        let named: BTreeSet<_> = TABLE
            .iter()
            .filter(|(_, path, _)| path.starts_with("/api/v1/"))
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        assert_eq!(described, named);
    }

    #[test]
    fn it_says_who_may_call_and_what_repeats() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for (method, path, operation) in operations(&document) {
            let method: Method = method.parse().unwrap();
            let access = crate::http::permissions::access(&method, &path).unwrap();
            let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(is_public, access == Access::Public, "{method} {path}");
            if let Access::Session(permission) = access {
                let says = operation["description"].as_str().unwrap();
                assert!(says.contains(permission.least_role().as_str()), "{method} {path}: {says}");
            }
            let text = operation["parameters"].to_string();
            assert_eq!(text.contains("IdempotencyKey"), method == Method::POST, "{method} {path}");
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                assert!(text.contains(&format!("\"name\":\"{part}\"")), "{path} does not describe {part}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut waiting = vec![&document];
        while let Some(value) = waiting.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        let target = document.pointer(reference.strip_prefix('#').unwrap());
                        assert!(target.is_some(), "{reference}");
                    }
                    waiting.extend(fields.values());
                }
                Value::Array(items) => waiting.extend(items),
                _ => {}
            }
        }
    }
}
