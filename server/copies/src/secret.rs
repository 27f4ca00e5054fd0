//! A secret that the configuration names and does not hold: a variable of the environment, or a file.

use std::fmt;
use std::path::PathBuf;

/// Where a secret is to be had. Printing it never shows the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// `value` is what the variable held when the configuration was read; `None` when it was not set.
    Variable { name: String, value: Option<String> },
    /// Read anew each time, so that a changed one needs no restart.
    File(PathBuf),
}

/// More than any password or key has.
const MOST_BYTES: u64 = 64 << 10;

impl Secret {
    /// The secret, or why it is not to be had. A line feed at the end of a file is not part of it.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Self::Variable { value: Some(value), .. } if !value.is_empty() => Ok(value.clone()),
            Self::Variable { name, .. } => Err(format!("the variable {name} is not set")),
            Self::File(path) => {
                let shown = path.display();
                let unreadable = |why: std::io::Error| format!("the file {shown} cannot be read: {why}");
                let length = std::fs::metadata(path).map_err(unreadable)?.len();
                if length > MOST_BYTES {
                    return Err(format!("the file {shown} is too large for a secret ({length} bytes)"));
                }
                let text = std::fs::read_to_string(path).map_err(unreadable)?;
                match text.trim_end_matches(['\n', '\r']) {
                    "" => Err(format!("the file {shown} is empty")),
                    secret => Ok(secret.to_owned()),
                }
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, .. } => write!(f, "Secret(${name})"),
            Self::File(path) => write!(f, "Secret({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_where_it_is_and_never_printed() {
        let set = Secret::Variable { name: "KEY".into(), value: Some("hush".into()) };
        assert_eq!(set.read().unwrap(), "hush");
        assert!(!format!("{set:?}").contains("hush"));
        let unset = Secret::Variable { name: "KEY".into(), value: None };
        assert_eq!(unset.read().unwrap_err(), "the variable KEY is not set");
        let folder = tempfile::tempdir().unwrap();
        let file = Secret::File(folder.path().join("key"));
        assert!(file.read().unwrap_err().contains("cannot be read"));
        std::fs::write(folder.path().join("key"), "hush hush\n").unwrap();
        assert_eq!(file.read().unwrap(), "hush hush");
        std::fs::write(folder.path().join("key"), "\n").unwrap();
        assert!(file.read().unwrap_err().contains("is empty"));
    }
}
