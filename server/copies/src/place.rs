//! Where a copy is: what the configuration says of each kind, ready to be opened.

use std::fmt;
use std::path::{Path, PathBuf};

use salvor_domain::volume::CopyKind;

use crate::secret::Secret;

/// Shown as an address that an operator knows it by, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyPlace {
    Folder { path: PathBuf },
    S3(S3Place),
    Webdav(WebdavPlace),
    Sftp(SftpPlace),
    Restic(ResticPlace),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    pub bucket: String,
    /// `https://s3.example.com`, without the bucket and without a `/` at its end.
    pub endpoint: String,
    pub region: String,
    /// The folder in the bucket, without `/` around it; empty: the whole bucket.
    pub root: String,
    /// The bucket's name belongs in front of the endpoint's host rather than in the path.
    pub virtual_host_style: bool,
    pub credentials: S3Credentials,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Credentials {
    Keys {
        access_key_id: Secret,
        secret_access_key: Secret,
        /// Where the keys are temporary ones.
        session_token: Option<Secret>,
    },
    /// The profile or the role that this machine has.
    Machine,
    /// A bucket that everybody may read.
    Anonymous,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebdavPlace {
    /// `https://dav.example.com/files`, without a `/` at its end.
    pub endpoint: String,
    /// The folder below the endpoint, without `/` around it; may be empty.
    pub root: String,
    pub login: Option<WebdavLogin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebdavLogin {
    pub user: String,
    pub password: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpPlace {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// The folder on that host: absolute, or beneath the folder that the server puts the user in.
    pub root: String,
    pub login: SftpLogin,
    pub trust: SftpTrust,
}

/// Which host is believed to be the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SftpTrust {
    /// A file in OpenSSH's format: one whose key is in it.
    KnownHosts(PathBuf),
    /// The one with this key: a fingerprint (`SHA256:…`), or the line of a public key file.
    Pinned(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SftpLogin {
    Key {
        file: PathBuf,
        /// Where the key file is encrypted.
        password: Option<Secret>,
    },
    Password(Secret),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResticPlace {
    /// A folder of this machine, however it is mounted.
    pub repository: PathBuf,
    pub password: Secret,
    /// `latest`, or the id of one.
    pub snapshot: String,
    /// The volume's folder as the snapshot names it, such as `/srv/uploads`; empty: the snapshot's own root.
    pub root: String,
    /// Only snapshots of this host count.
    pub host: Option<String>,
    /// Only snapshots of all of these paths count; empty: of any.
    pub paths: Vec<String>,
    /// Only snapshots with all of these tags count.
    pub tags: Vec<String>,
}

impl CopyPlace {
    pub fn kind(&self) -> CopyKind {
        match self {
            Self::Folder { .. } => CopyKind::Fs,
            Self::S3(_) => CopyKind::S3,
            Self::Webdav(_) => CopyKind::Webdav,
            Self::Sftp(_) => CopyKind::Sftp,
            Self::Restic(_) => CopyKind::Restic,
        }
    }

    /// The folder on this machine, where the copy is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder { path } => Some(path),
            _ => None,
        }
    }

    /// Whether protect writes to it. The others are filled by what made them, and only read here.
    pub fn takes_files(&self) -> bool {
        matches!(self, Self::Folder { .. } | Self::S3(_) | Self::Webdav(_))
    }

    /// What it needs to be opened, and where that is to be had: the key in the configuration and the secret.
    pub fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        match self {
            Self::Folder { .. } => Vec::new(),
            Self::S3(place) => match &place.credentials {
                S3Credentials::Keys { access_key_id, secret_access_key, session_token } => {
                    let keys = [("access_key_id", access_key_id), ("secret_access_key", secret_access_key)];
                    keys.into_iter()
                        .chain(session_token.iter().map(|token| ("session_token", token)))
                        .collect()
                }
                S3Credentials::Machine | S3Credentials::Anonymous => Vec::new(),
            },
            Self::Webdav(place) => place.login.iter().map(|login| ("password", &login.password)).collect(),
            Self::Sftp(place) => match &place.login {
                SftpLogin::Key { password, .. } => {
                    password.iter().map(|password| ("key_password", password)).collect()
                }
                SftpLogin::Password(password) => vec![("password", password)],
            },
            Self::Restic(place) => vec![("password", &place.password)],
        }
    }
}

impl fmt::Display for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashed = |root: &str| if root.is_empty() { String::new() } else { format!("/{root}") };
        match self {
            Self::Folder { path } => write!(f, "{}", path.display()),
            Self::S3(place) => {
                write!(f, "s3://{}{} at {}", place.bucket, slashed(&place.root), place.endpoint)
            }
            Self::Webdav(place) => write!(f, "{}{}", place.endpoint, slashed(&place.root)),
            Self::Sftp(place) => {
                let port = if place.port == 22 { String::new() } else { format!(":{}", place.port) };
                let root =
                    place.root.strip_prefix('/').map_or_else(|| format!("~/{}", place.root), str::to_owned);
                write!(f, "sftp://{}@{}{port}/{root}", place.user, place.host)
            }
            Self::Restic(place) => {
                write!(
                    f,
                    "restic {}, {} of {}",
                    place.repository.display(),
                    slashed_or_all(&place.root),
                    place.snapshot
                )
            }
        }
    }
}

fn slashed_or_all(root: &str) -> &str {
    if root.is_empty() { "/" } else { root }
}
