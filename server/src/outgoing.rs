//! Calls to other servers: a webhook's receiver, an agent's server. One client for all of them, and words for why one did not come through.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, redirect};

const TIME_TO_CONNECT: Duration = Duration::from_secs(5);

/// `patience` is for a whole call. It follows no redirects: what is sent, with its secrets, goes where the configuration says.
pub fn client(patience: Duration) -> reqwest::Result<Client> {
    // Another part of the program may have chosen it before; it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("salvor/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(TIME_TO_CONNECT)
        .timeout(patience)
        .redirect(redirect::Policy::none())
        .build()
}

/// With what lies beneath it, since "error sending request" tells nobody anything; without the address, which may hold a secret.
pub fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        text.push_str(&format!(": {why}"));
        cause = why.source();
    }
    text
}
