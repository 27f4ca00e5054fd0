//! Addresses of the console's own pages, always escaped, with their query.

use std::fmt;

use crate::problem::Problem;

/// The parameter that carries a problem back to the page its form was on: first the message, then a point a line.
pub const PROBLEM: &str = "problem";
/// The parameter that carries back what was typed.
pub const DRAFT: &str = "draft";
/// Longer drafts would not fit into an address; the browser's "back" still has them.
const LONGEST_DRAFT_BYTES: usize = 2_000;

/// A path on this server with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// A page by the segments after `/console`.
    pub fn console(segments: &[&str]) -> Self {
        let mut path = String::from("/console");
        for segment in segments {
            path.push('/');
            path.push_str(&escaped(segment));
        }
        Self(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a parameter; an empty value adds nothing.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&escaped(value));
        }
        self
    }

    pub fn with_problem(self, problem: &Problem) -> Self {
        let mut text = problem.to_string();
        if let Problem::Conflict { points, .. } = problem {
            for point in points {
                text.push('\n');
                text.push_str(point);
            }
        }
        self.with(PROBLEM, &text)
    }

    pub fn with_draft(self, typed: &str) -> Self {
        if typed.len() <= LONGEST_DRAFT_BYTES { self.with(DRAFT, typed) } else { self }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

/// All but unreserved characters (RFC 3986 §2.3) as `%XX`; the same on the server and in the browser, or what an island
/// draws would differ from what the page came with.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_travels_with_its_points() {
        let problem = Problem::Conflict {
            message: "the gate is closed".into(),
            points: vec!["1 file is missing".into()],
        };
        let address = Address::console(&["volumes", "a b"]).with_problem(&problem).with("kind", "");
        assert_eq!(
            address.as_str(),
            "/console/volumes/a%20b?problem=the%20gate%20is%20closed%0A1%20file%20is%20missing"
        );
    }
}
