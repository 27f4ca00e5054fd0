//! What can be asked of volumes: one server function each, one typed request, one call of the port.

use leptos::prelude::*;
use salvor_domain::volume::Mode;

use crate::problem::Problem;

#[cfg(feature = "ssr")]
use {
    crate::ui::Address,
    crate::ui::api::{actor_who_may, ports, settle},
    crate::volumes::port::{CopyLimits, VolumeView},
    salvor_domain::account::Permission,
    salvor_domain::limits::LimitsChange,
};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModeRequest {
    pub volume: String,
    pub to: Mode,
    pub reason: String,
    /// The volume's name, typed by an admin who wants it normal although its gate is not open; blank otherwise.
    #[serde(default)]
    pub override_by_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeletedRequest {
    pub volume: String,
    pub path_hex: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CopyLimitRequest {
    pub volume: String,
    pub copy: String,
    /// Blank keeps it, `none` lifts it.
    #[serde(default)]
    pub bandwidth: String,
    #[serde(default)]
    pub files_per_second: String,
    /// Back to the configuration and its timetable.
    #[serde(default)]
    pub clear: bool,
}

impl ModeRequest {
    /// Whether the gate is to be overridden; a name that is not the volume's is a mistake and does nothing.
    pub fn overrides(&self) -> Result<bool, Problem> {
        match self.override_by_name.trim() {
            "" => Ok(false),
            typed if typed == self.volume => Ok(true),
            typed => Err(Problem::Invalid(format!(
                "To override the gate, type the volume's name, \"{}\"; you typed \"{typed}\".",
                self.volume
            ))),
        }
    }
}

/// Changes the mode, through the gate or over it.
#[server(prefix = "/console/do", endpoint = "set_mode")]
pub async fn set_mode(request: ModeRequest) -> Result<(), Problem> {
    let page = Address::console(&["volumes", &request.volume]);
    let back = page.clone().with_draft(&request.reason);
    settle(change_mode(request).await, back, |_| page)
}

/// Its owner deleted this file: it is never brought back.
#[server(prefix = "/console/do", endpoint = "mark_deleted")]
pub async fn mark_deleted(request: DeletedRequest) -> Result<(), Problem> {
    let page = Address::console(&["volumes", &request.volume]);
    settle(bury(request).await, page.clone(), |()| page)
}

/// Sets what a copy is read within, over its configuration, or takes that back.
#[server(prefix = "/console/do", endpoint = "limit_copy")]
pub async fn limit_copy(request: CopyLimitRequest) -> Result<(), Problem> {
    let page = Address::console(&["volumes", &request.volume]);
    settle(limit(request).await, page.clone(), |_| page)
}

#[cfg(feature = "ssr")]
async fn limit(request: CopyLimitRequest) -> Result<CopyLimits, Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    let typed = LimitsChange::typed(&request.bandwidth, &request.files_per_second);
    let said = match request.clear {
        true => None,
        false => Some(typed.map_err(|why| Problem::Invalid(why.to_string()))?),
    };
    ports()?.volumes.set_copy_limits(&actor, &request.volume, &request.copy, said).await
}

#[cfg(feature = "ssr")]
async fn change_mode(request: ModeRequest) -> Result<VolumeView, Problem> {
    let overrides = request.overrides()?;
    let needed = if overrides { Permission::OverrideGate } else { Permission::SetMode };
    let actor = actor_who_may(needed)?;
    ports()?.volumes.set_mode(&actor, &request.volume, request.to, request.reason.trim(), overrides).await
}

#[cfg(feature = "ssr")]
async fn bury(request: DeletedRequest) -> Result<(), Problem> {
    let actor = actor_who_may(Permission::MarkDeleted)?;
    ports()?.volumes.mark_deleted(&actor, &request.volume, &request.path_hex).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_typed_not_clicked() {
        let request = |typed: &str| ModeRequest {
            volume: "uploads".into(),
            to: Mode::Normal,
            reason: "known good".into(),
            override_by_name: typed.into(),
        };
        assert_eq!(request("").overrides(), Ok(false));
        assert_eq!(request(" uploads ").overrides(), Ok(true));
        let Err(Problem::Invalid(why)) = request("yes").overrides() else { panic!() };
        assert!(why.contains("\"uploads\"") && why.contains("\"yes\""));
    }
}
