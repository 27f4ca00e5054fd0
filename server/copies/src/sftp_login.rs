//! Who is on the other side of a connection, and who we are: host keys, and signing in.
//!
//! Invariant: nothing is sent to a host whose key is not the one that the configuration names, or that is in its list of
//! known hosts; a host that is not known is refused, with the words that say how to make it known.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate,
    known_hosts, load_secret_key,
};

use crate::place::{SftpLogin, SftpPlace, SftpTrust};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Trying again changes nothing.
    Final(String),
    /// It may work in a while.
    Passing(String),
}

impl Refusal {
    pub(crate) fn into_words(self) -> String {
        match self {
            Self::Final(why) | Self::Passing(why) => why,
        }
    }
}

/// The kinds of host keys that can be verified, best first. RSA is not among them.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// The kinds of host keys to ask the server for, by attempt: those that can be recognised come first.
pub(crate) fn algorithms(place: &SftpPlace) -> Vec<Vec<Algorithm>> {
    match &place.trust {
        // A fingerprint does not tell of which kind its key is: if the server's best key is another one, ask for its next.
        SftpTrust::Pinned(_) => vec![ALGORITHMS.to_vec(), ALGORITHMS[1..].to_vec()],
        SftpTrust::KnownHosts(file) => {
            let known = recorded(place, file).unwrap_or_default();
            let mut sorted = ALGORITHMS.to_vec();
            sorted.sort_by_key(|algorithm| !known.iter().any(|key| key.algorithm() == *algorithm));
            vec![sorted]
        }
    }
}

fn recorded(place: &SftpPlace, file: &Path) -> Result<Vec<PublicKey>, String> {
    std::fs::metadata(file)
        .map_err(|why| format!("the list of known hosts {} cannot be read: {why}", file.display()))?;
    known_hosts::known_host_keys_path(&place.host, place.port, file)
        .map(|keys| keys.into_iter().map(|(_, key)| key).collect())
        .map_err(|why| format!("the list of known hosts {} cannot be understood: {why}", file.display()))
}

/// Judges the server's key; what it had against it waits in `verdict`.
pub(crate) struct Doorkeeper {
    pub(crate) place: Arc<SftpPlace>,
    pub(crate) verdict: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Doorkeeper {
    type Error = russh::Error;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let judged = match offered {
            PublicKeyOrCertificate::PublicKey { key, .. } => judge(&self.place, key),
            PublicKeyOrCertificate::Certificate(_) => {
                Err("the server shows a certificate, which is not supported".to_owned())
            }
        };
        let fine = judged.is_ok();
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = judged.err();
        Ok(fine)
    }
}

fn judge(place: &SftpPlace, key: &PublicKey) -> Result<(), String> {
    let print = key.fingerprint(HashAlg::Sha256).to_string();
    let shown = format!("{} {print}", key.algorithm());
    match &place.trust {
        SftpTrust::Pinned(pinned) if is_pinned(pinned, key, &print) => Ok(()),
        SftpTrust::Pinned(pinned) => Err(format!(
            "the server's key is not the one in host_key ({pinned}) but {shown}: it was set up anew, or somebody stands \
             between"
        )),
        SftpTrust::KnownHosts(file) => {
            let known = recorded(place, file)?;
            if known.contains(key) {
                return Ok(());
            }
            let file = file.display();
            Err(match known.iter().any(|other| other.algorithm() == key.algorithm()) {
                true => format!(
                    "the server's key is not the one in {file} but {shown}: it was set up anew, or somebody stands between"
                ),
                false => format!(
                    "the server's key is not known: {shown}. Compare it with `ssh-keygen -lf` on that host; if it is the \
                     same, write host_key = \"{print}\" into the copy's configuration, or add the host to {file}"
                ),
            })
        }
    }
}

/// As a fingerprint (`SHA256:…`) or as the line of a public key file.
fn is_pinned(pinned: &str, key: &PublicKey, print: &str) -> bool {
    pinned.trim() == print
        || PublicKey::from_openssh(pinned.trim()).is_ok_and(|whole| whole.key_data() == key.key_data())
}

pub(crate) async fn sign_in(place: &SftpPlace, ssh: &mut Handle<Doorkeeper>) -> Result<(), Refusal> {
    let user = &place.user;
    let done = match &place.login {
        SftpLogin::Key { file, password } => {
            let secret =
                password.as_ref().map(|password| password.read()).transpose().map_err(Refusal::Final)?;
            let key = load_key(file, secret.as_deref()).map_err(Refusal::Final)?;
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
            ssh.authenticate_publickey(user, key).await
        }
        SftpLogin::Password(password) => {
            let password = password.read().map_err(Refusal::Final)?;
            by_password(user, &password, ssh).await
        }
    };
    match done {
        Ok(AuthResult::Success) => Ok(()),
        Ok(AuthResult::Failure { .. }) if ssh.is_closed() => {
            Err(Refusal::Passing("the connection broke while signing in".to_owned()))
        }
        Ok(AuthResult::Failure { partial_success: true, .. }) => Err(Refusal::Final(format!(
            "the server wants more than one proof of who {user} is, which is not supported"
        ))),
        Ok(AuthResult::Failure { .. }) => Err(Refusal::Final(match &place.login {
            SftpLogin::Key { file, .. } => format!(
                "the server does not let {user} in with the key {}: is its public half in authorized_keys there?",
                file.display()
            ),
            SftpLogin::Password(_) => format!("the server does not let {user} in with this password"),
        })),
        Err(why) => Err(Refusal::Passing(format!("signing in failed: {why}"))),
    }
}

async fn by_password(
    user: &str,
    password: &str,
    ssh: &mut Handle<Doorkeeper>,
) -> Result<AuthResult, russh::Error> {
    /// Questions that are answered before giving up.
    const ROUNDS: usize = 4;
    let plain = ssh.authenticate_password(user, password).await?;
    let AuthResult::Failure { remaining_methods, partial_success: false } = &plain else { return Ok(plain) };
    if !remaining_methods.contains(&russh::MethodKind::KeyboardInteractive) {
        return Ok(plain);
    }
    // Some servers ask for the password instead of taking it.
    let mut asked = ssh.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..ROUNDS {
        match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => break,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answers = prompts.iter().map(|prompt| match prompt.echo {
                    true => String::new(),
                    false => password.to_owned(),
                });
                asked = ssh.authenticate_keyboard_interactive_respond(answers.collect()).await?;
            }
        }
    }
    Ok(plain)
}

fn load_key(file: &Path, password: Option<&str>) -> Result<PrivateKey, String> {
    const REMEDY: &str = "make one with `ssh-keygen -t ed25519`";
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|why| format!("the key {shown} cannot be read: {why}"))?;
    if text.contains("BEGIN RSA PRIVATE KEY") {
        return Err(format!("the key {shown} is an RSA key, which this version cannot use; {REMEDY}"));
    }
    let key = load_secret_key(file, password).map_err(|why| match why {
        russh::keys::Error::KeyIsEncrypted => {
            format!("the key {shown} is encrypted: give its password (key_password_env or key_password_file)")
        }
        why if password.is_some() => format!("the key {shown} cannot be opened with this password: {why}"),
        why => format!("the key {shown} cannot be understood: {why}; {REMEDY}"),
    })?;
    if key.algorithm().is_rsa() {
        return Err(format!("the key {shown} is an RSA key, which this version cannot use; {REMEDY}"));
    }
    Ok(key)
}
