//! What can be asked of health: one server function each, one typed request, one call of the port.

use leptos::prelude::*;
use salvor_domain::health::Probe;

use crate::health::port::SignalKey;
use crate::problem::Problem;

#[cfg(feature = "ssr")]
use {
    crate::health::page_of,
    crate::health::port::SignalView,
    crate::ui::api::{actor_who_may, ports, settle},
    crate::ui::time::RenderedAt,
    chrono::{DateTime, TimeDelta, Utc},
    salvor_domain::account::Permission,
};

/// For how long a signal can be kept quiet from the console, in hours; and the words for it.
pub const MUTES: [(u32, &str); 4] = [(1, "1 hour"), (8, "8 hours"), (24, "1 day"), (168, "1 week")];

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MuteRequest {
    pub host: String,
    pub probe: Probe,
    pub subject: String,
    pub reason: String,
    pub hours: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnmuteRequest {
    pub host: String,
    pub probe: Probe,
    pub subject: String,
}

impl MuteRequest {
    pub fn key(&self) -> SignalKey {
        SignalKey { host: self.host.clone(), probe: self.probe, subject: self.subject.clone() }
    }

    /// The hours that were chosen, if they are one of [`MUTES`]: nothing is muted for good.
    pub fn span_hours(&self) -> Result<i64, Problem> {
        match MUTES.iter().find(|(hours, _)| *hours == self.hours) {
            Some((hours, _)) => Ok(i64::from(*hours)),
            None => Err(Problem::Invalid(format!(
                "A signal can be muted for 1, 8, 24 or 168 hours, not for {}.",
                self.hours
            ))),
        }
    }
}

/// Keeps a signal quiet for a while.
#[server(prefix = "/console/do", endpoint = "mute_signal")]
pub async fn mute_signal(request: MuteRequest) -> Result<(), Problem> {
    let page = page_of(&request.key());
    let back = page.clone().with_draft(&request.reason);
    settle(mute(request).await, back, |_| page)
}

/// Lets a signal call again.
#[server(prefix = "/console/do", endpoint = "unmute_signal")]
pub async fn unmute_signal(request: UnmuteRequest) -> Result<(), Problem> {
    let UnmuteRequest { host, probe, subject } = request;
    let key = SignalKey { host, probe, subject };
    let page = page_of(&key);
    settle(unmute(key).await, page.clone(), |_| page)
}

#[cfg(feature = "ssr")]
async fn mute(request: MuteRequest) -> Result<SignalView, Problem> {
    let actor = actor_who_may(Permission::MuteSignals)?;
    let now: DateTime<Utc> = use_context::<RenderedAt>().ok_or(Problem::Unavailable)?.0;
    let until = now + TimeDelta::hours(request.span_hours()?);
    ports()?.health.mute(&actor, request.key(), until, request.reason.trim()).await
}

#[cfg(feature = "ssr")]
async fn unmute(key: SignalKey) -> Result<SignalView, Problem> {
    let actor = actor_who_may(Permission::MuteSignals)?;
    ports()?.health.unmute(&actor, key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_muted_for_good() {
        let request = |hours| MuteRequest {
            host: "store1".into(),
            probe: Probe::Smart,
            subject: "sda".into(),
            reason: "the new disk comes on Monday".into(),
            hours,
        };
        assert_eq!(request(8).span_hours(), Ok(8));
        let Err(Problem::Invalid(why)) = request(100_000).span_hours() else { panic!() };
        assert!(why.contains("168") && why.contains("100000"), "{why}");
    }
}
