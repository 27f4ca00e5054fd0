//! One copy of a volume as it is written: the keys of its kind, and no others.

use std::path::{Path, PathBuf};

use salvor_copies::place::{
    CopyPlace, ResticPlace, S3Credentials, S3Place, SftpLogin, SftpPlace, SftpTrust, WebdavLogin, WebdavPlace,
};
use salvor_copies::secret::Secret;
use salvor_domain::timetable::Timetable;
use salvor_domain::volume::CopyKind;
use strsim::damerau_levenshtein;

use super::raw::{checked_name, wrong};
use super::{ConfigError, CopyConfig, Variables};

/// For `known_hosts`, where the user that Salvor runs as has no home.
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// `place` names the copy in errors: `volume "uploads", copy`.
pub fn parse(
    table: toml::Table,
    place: &str,
    base: &Path,
    variables: &Variables,
) -> Result<CopyConfig, ConfigError> {
    let mut keys = Keys { table, place: place.to_owned(), base, variables, asked: Vec::new() };
    let name = keys.text("name", "what you call it, for example \"offsite\"")?;
    checked_name(&keys.key("name"), &name)?;
    keys.place = format!("{place} \"{name}\"");
    let kind = keys.text("kind", "one of fs, s3, sftp, webdav and restic")?;
    let kind: CopyKind = kind.parse().map_err(|why| wrong(keys.key("kind"), why))?;
    let placement = keys.text("placement", "\"onsite\" or \"offsite\"")?;
    let placement = placement.parse().map_err(|why| wrong(keys.key("placement"), why))?;
    let bandwidth = match keys.optional("bandwidth")? {
        Some(text) => Some(text.parse().map_err(|why| wrong(keys.key("bandwidth"), why))?),
        None => None,
    };
    let files_per_second = keys.files_per_second()?;
    let timetable = keys.list("timetable")?;
    let timetable = Timetable::parse(&timetable).map_err(|why| wrong(keys.key("timetable"), why))?;
    let place = match kind {
        CopyKind::Fs => CopyPlace::Folder { path: base.join(keys.text("path", "the folder of this copy")?) },
        CopyKind::S3 => CopyPlace::S3(s3(&mut keys)?),
        CopyKind::Webdav => CopyPlace::Webdav(webdav(&mut keys)?),
        CopyKind::Sftp => CopyPlace::Sftp(sftp(&mut keys)?),
        CopyKind::Restic => CopyPlace::Restic(restic(&mut keys)?),
    };
    keys.finish(kind)?;
    Ok(CopyConfig { name, placement, place, bandwidth, files_per_second, timetable })
}

fn s3(keys: &mut Keys<'_>) -> Result<S3Place, ConfigError> {
    let bucket = keys.text("bucket", "the bucket's name")?;
    if bucket.contains(['/', ' ']) {
        return Err(wrong(
            keys.key("bucket"),
            format!("\"{bucket}\" is no bucket's name; a folder in it is root"),
        ));
    }
    let endpoint = keys.address("endpoint")?;
    let region = keys.optional("region")?;
    let (endpoint, region) = match (endpoint, region) {
        (Some(endpoint), region) => (endpoint, region.unwrap_or_else(|| "us-east-1".to_owned())),
        (None, Some(region)) => (format!("https://s3.{region}.amazonaws.com"), region),
        (None, None) => {
            let right =
                "is missing: the server's address, such as \"https://s3.example.com\"; or a region of AWS";
            return Err(wrong(keys.key("endpoint"), right));
        }
    };
    let credentials = match keys.optional("credentials")?.as_deref() {
        None | Some("keys") => {
            let access_key_id = keys.secret_or("access_key_id", "AWS_ACCESS_KEY_ID")?;
            // The environment's token belongs to the environment's key, not to one of the copy's own.
            let own = !matches!(&access_key_id, Secret::Variable { name, .. } if name == "AWS_ACCESS_KEY_ID");
            let has_token = keys.variables.get("AWS_SESSION_TOKEN").is_some_and(|token| !token.is_empty());
            S3Credentials::Keys {
                access_key_id,
                secret_access_key: keys.secret_or("secret_access_key", "AWS_SECRET_ACCESS_KEY")?,
                session_token: match keys.secret("session_token")? {
                    None if has_token && !own => Some(keys.variable("AWS_SESSION_TOKEN".to_owned())),
                    token => token,
                },
            }
        }
        Some("machine") => S3Credentials::Machine,
        Some("none") => S3Credentials::Anonymous,
        Some(other) => {
            let right =
                "write \"keys\" (from variables or files), \"machine\" (its profile or role) or \"none\"";
            return Err(wrong(keys.key("credentials"), format!("\"{other}\" is not known; {right}")));
        }
    };
    Ok(S3Place {
        bucket,
        endpoint,
        region,
        root: keys.root()?,
        virtual_host_style: keys.flag("virtual_host_style")?,
        credentials,
    })
}

fn webdav(keys: &mut Keys<'_>) -> Result<WebdavPlace, ConfigError> {
    let endpoint = keys.address("endpoint")?.ok_or_else(|| {
        wrong(
            keys.key("endpoint"),
            "is missing: the server's address, such as \"https://dav.example.com/files\"",
        )
    })?;
    let login = match (keys.optional("user")?, keys.secret("password")?) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(WebdavLogin { user, password }),
        (Some(_), None) => return Err(keys.no_secret("password")),
        (None, Some(_)) => return Err(wrong(keys.key("user"), "is missing: whose password it is")),
    };
    Ok(WebdavPlace { endpoint, root: keys.root()?, login })
}

fn sftp(keys: &mut Keys<'_>) -> Result<SftpPlace, ConfigError> {
    let login = match (keys.file("key_file")?, keys.secret("password")?) {
        (Some(file), None) => SftpLogin::Key { file, password: keys.secret("key_password")? },
        (None, Some(password)) => SftpLogin::Password(password),
        (Some(_), Some(_)) => {
            let right = "only one of them: key_file, or password_env or password_file";
            return Err(wrong(keys.key("key_file"), right));
        }
        (None, None) => {
            let right = "is missing: the private key's file; or password_env or password_file";
            return Err(wrong(keys.key("key_file"), right));
        }
    };
    let trust = match (keys.optional("host_key")?, keys.file("known_hosts")?) {
        (Some(_), Some(_)) => {
            return Err(wrong(keys.key("host_key"), "only one of them: host_key or known_hosts"));
        }
        (Some(key), None) if key.starts_with("SHA256:") || key.contains(' ') => SftpTrust::Pinned(key),
        (Some(key), None) => {
            let right = "write the fingerprint that `ssh-keygen -lf` prints (SHA256:…), or the line of the public key";
            return Err(wrong(keys.key("host_key"), format!("\"{key}\" is no host key; {right}")));
        }
        (None, Some(file)) => SftpTrust::KnownHosts(file),
        (None, None) => {
            let home = keys.variables.get("HOME").filter(|home| !home.is_empty());
            SftpTrust::KnownHosts(
                home.map_or_else(
                    || PathBuf::from(KNOWN_HOSTS),
                    |home| Path::new(home).join(".ssh/known_hosts"),
                ),
            )
        }
    };
    Ok(SftpPlace {
        host: keys.text("host", "the server's name or address")?,
        port: keys.port("port", 22)?,
        user: keys.text("user", "whom to sign in as")?,
        root: keys.optional("root")?.unwrap_or_default().trim_end_matches('/').to_owned(),
        login,
        trust,
    })
}

fn restic(keys: &mut Keys<'_>) -> Result<ResticPlace, ConfigError> {
    let repository = keys.text("repository", "the folder of the repository")?;
    let repository =
        keys.base.join(local_folder(&repository).map_err(|why| wrong(keys.key("repository"), why))?);
    Ok(ResticPlace {
        repository,
        password: keys.secret_or("password", "RESTIC_PASSWORD")?,
        snapshot: keys.optional("snapshot")?.unwrap_or_else(|| "latest".to_owned()),
        root: keys.optional("root")?.unwrap_or_default().trim_end_matches('/').to_owned(),
        host: keys.optional("host")?,
        paths: keys.list("paths")?,
        tags: keys.list("tags")?,
    })
}

/// The folder that `restic -r` means by it. The address of a server is not repeated: it may hold a password.
fn local_folder(repository: &str) -> Result<&str, String> {
    match repository.split_once(':') {
        Some(("local", folder)) => Ok(folder),
        Some((scheme, _)) if !scheme.contains('/') => Err(format!(
            "Salvor reads restic repositories in a folder of this machine, and {scheme}:… is not one. For a server's, mount it \
             (for example with sshfs or rclone mount) and name that folder; for a folder with such a name, write local: before it"
        )),
        _ => Ok(repository),
    }
}

/// The keys of one copy: each is taken out by who asks for it, and what is left over was asked for by nobody.
struct Keys<'a> {
    table: toml::Table,
    place: String,
    base: &'a Path,
    variables: &'a Variables,
    asked: Vec<String>,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}, {key}", self.place)
    }

    fn take(&mut self, key: &str) -> Option<toml::Value> {
        self.asked.push(key.to_owned());
        self.table.remove(key)
    }

    fn optional(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) if text.trim().is_empty() => {
                Err(wrong(self.key(key), "is empty; leave it out or give it a value"))
            }
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(wrong(self.key(key), format!("must be text in quotes, not {}", other.type_str())))
            }
        }
    }

    fn text(&mut self, key: &str, what: &str) -> Result<String, ConfigError> {
        self.optional(key)?.ok_or_else(|| {
            let misspelt = self.table.keys().find(|other| damerau_levenshtein(key, other) <= 2);
            let instead = misspelt.map(|other| format!("; \"{other}\" is there: was {key} meant?"));
            wrong(self.key(key), format!("is missing: {what}{}", instead.unwrap_or_default()))
        })
    }

    fn file(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.optional(key)?.map(|path| self.base.join(path)))
    }

    fn flag(&mut self, key: &str) -> Result<bool, ConfigError> {
        match self.take(key) {
            None => Ok(false),
            Some(toml::Value::Boolean(flag)) => Ok(flag),
            Some(_) => Err(wrong(self.key(key), "must be true or false")),
        }
    }

    fn port(&mut self, key: &str, default: u16) -> Result<u16, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(toml::Value::Integer(port)) if (1..=65535).contains(&port) => Ok(port as u16),
            Some(_) => Err(wrong(self.key(key), "must be a number from 1 to 65535")),
        }
    }

    fn files_per_second(&mut self) -> Result<Option<u64>, ConfigError> {
        let key = "files_per_second";
        match self.take(key) {
            None => Ok(None),
            Some(toml::Value::Integer(files)) if files > 0 => Ok(Some(files as u64)),
            Some(_) => Err(wrong(self.key(key), "must be a number from 1; leave it out for no limit")),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(value) => value.try_into().map_err(|_| {
                wrong(self.key(key), "is a list of texts; write for example [\"/srv/uploads\"]")
            }),
        }
    }

    /// A folder of a store, without `/` around it.
    fn root(&mut self) -> Result<String, ConfigError> {
        let root = self.optional("root")?.unwrap_or_default();
        let root = root.trim_matches('/');
        if root.split('/').any(|part| matches!(part, "." | "..")) || root.contains("//") {
            return Err(wrong(self.key("root"), format!("\"{root}\" must not contain ., .. or //")));
        }
        Ok(root.to_owned())
    }

    fn address(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(address) = self.optional(key)? else { return Ok(None) };
        if !address.starts_with("https://") && !address.starts_with("http://") {
            let message = format!("\"{address}\" must start with https:// or http://");
            return Err(wrong(self.key(key), message));
        }
        let host = address.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        if host.is_some_and(|host| host.contains('@')) {
            // The address itself is not repeated: it holds a password.
            let right = "must not hold a login: this file is no place for a password; use the keys for it";
            return Err(wrong(self.key(key), right));
        }
        Ok(Some(address.trim_end_matches('/').to_owned()))
    }

    /// `KEY_env` names a variable, `KEY_file` a file.
    fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        if self.take(key).is_some() {
            let right = format!("must not stand in this file; write {key}_env (a variable) or {key}_file");
            return Err(wrong(self.key(key), right));
        }
        self.asked.pop();
        let (env, file) = (format!("{key}_env"), format!("{key}_file"));
        match (self.optional(&env)?, self.file(&file)?) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(wrong(self.key(&env), format!("only one of them: {env} or {file}"))),
            (None, Some(path)) => Ok(Some(Secret::File(path))),
            (Some(name), None) if name.starts_with("SALVOR_") => {
                let right = "variables that begin with SALVOR_ are Salvor's own settings; name it otherwise";
                Err(wrong(self.key(&env), right))
            }
            (Some(name), None) => Ok(Some(self.variable(name))),
        }
    }

    fn secret_or(&mut self, key: &str, variable: &str) -> Result<Secret, ConfigError> {
        Ok(self.secret(key)?.unwrap_or_else(|| self.variable(variable.to_owned())))
    }

    fn variable(&self, name: String) -> Secret {
        Secret::Variable { value: self.variables.get(&name).cloned(), name }
    }

    fn no_secret(&self, key: &str) -> ConfigError {
        let right = format!("is missing: {key}_env (a variable) or {key}_file");
        wrong(self.key(&format!("{key}_env")), right)
    }

    fn finish(self, kind: CopyKind) -> Result<(), ConfigError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let message =
                    format!("a copy of kind {kind} has no such key; it has {}", self.asked.join(", "));
                Err(wrong(self.key(unknown), message))
            }
        }
    }
}

#[cfg(test)]
mod tests;
