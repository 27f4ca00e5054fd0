//! How S3 and WebDAV copies are opened.

use std::time::Duration;

use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::services::{S3, Webdav};
use opendal::{Builder, Operator};
use salvor_engine::SourceFault;

use crate::object::{Dialect, Limits, ObjectCopy, Operators};
use crate::place::{CopyPlace, S3Credentials, S3Place, WebdavPlace};
use crate::secret::Secret;

impl ObjectCopy {
    pub fn s3(name: &str, place: &S3Place, limits: Limits) -> Result<Self, SourceFault> {
        let builder = || -> Result<S3, SourceFault> {
            let mut builder = S3::default()
                .bucket(&place.bucket)
                .endpoint(&place.endpoint)
                .region(&place.region)
                .root(&place.root);
            if place.virtual_host_style {
                builder = builder.enable_virtual_host_style();
            }
            Ok(match &place.credentials {
                S3Credentials::Keys { access_key_id, secret_access_key, session_token } => {
                    builder = builder
                        .disable_config_load()
                        .disable_ec2_metadata()
                        .access_key_id(&read("access_key_id", access_key_id)?)
                        .secret_access_key(&read("secret_access_key", secret_access_key)?);
                    match session_token {
                        Some(token) => builder.session_token(&read("session_token", token)?),
                        None => builder,
                    }
                }
                S3Credentials::Machine => builder,
                S3Credentials::Anonymous => {
                    builder.skip_signature().disable_config_load().disable_ec2_metadata()
                }
            })
        };
        let shown = CopyPlace::S3(place.clone()).to_string();
        install_client();
        let operators = Operators {
            ask: patient(builder()?, limits.step, &limits)?,
            put: patient(builder()?.checksum_algorithm("md5"), limits.step, &limits)?,
            send: patient(builder()?.checksum_algorithm("md5"), limits.part, &limits)?,
            parts: patient(builder()?, limits.part, &limits)?,
            look: hasty(builder()?, &limits)?,
            folder: String::new(),
        };
        Self::new(name, shown, Dialect::S3, operators, limits)
    }

    pub fn webdav(name: &str, place: &WebdavPlace, limits: Limits) -> Result<Self, SourceFault> {
        let builder = || -> Result<Webdav, SourceFault> {
            let builder = Webdav::default().endpoint(&place.endpoint);
            Ok(match &place.login {
                Some(login) => builder.username(&login.user).password(&read("password", &login.password)?),
                None => builder,
            })
        };
        let shown = CopyPlace::Webdav(place.clone()).to_string();
        install_client();
        let operators = Operators {
            ask: patient(builder()?.root(&place.root), limits.step, &limits)?,
            put: patient(builder()?.root(&place.root), limits.step, &limits)?,
            send: patient(builder()?.root(&place.root), limits.part, &limits)?,
            parts: patient(builder()?.root(&place.root), limits.part, &limits)?,
            look: hasty(builder()?, &limits)?,
            folder: if place.root.is_empty() { String::new() } else { format!("{}/", place.root) },
        };
        Self::new(name, shown, Dialect::Webdav, operators, limits)
    }
}

/// opendal's client takes the program's own choice of cryptography; refused when that was made already, and then it stands.
/// Without a provider of its own, opendal does not install that client by itself.
fn install_client() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    opendal_http_transport_reqwest::install_default();
}

fn read(key: &str, secret: &Secret) -> Result<String, SourceFault> {
    secret.read().map_err(|why| SourceFault::Gone(format!("{key}: {why}")))
}

/// The time limit is for each try, so its layer lies beneath the one that tries again.
fn patient(builder: impl Builder, step: Duration, limits: &Limits) -> Result<Operator, SourceFault> {
    let timeout = TimeoutLayer::new().with_timeout(step).with_io_timeout(step);
    let retry = RetryLayer::new()
        .with_jitter()
        .with_factor(2.0)
        .with_min_delay(limits.first_pause)
        .with_max_delay(limits.longest_pause)
        .with_max_times(limits.retries)
        .with_notify(|event: opendal::layers::RetryEvent<'_>| {
            tracing::debug!(attempt = event.attempt, error = %event.err, "a copy is asked again");
        });
    Ok(Operator::new(builder).map_err(unusable)?.layer(timeout).layer(retry))
}

fn hasty(builder: impl Builder, limits: &Limits) -> Result<Operator, SourceFault> {
    let timeout = TimeoutLayer::new().with_timeout(limits.look).with_io_timeout(limits.look);
    Ok(Operator::new(builder).map_err(unusable)?.layer(timeout))
}

fn unusable(error: opendal::Error) -> SourceFault {
    SourceFault::Gone(format!("its configuration cannot be used: {}", error.message()))
}
