//! A disk check: one segment of work, in which the tool that the configuration names runs on the volume's device.

mod shown;

use chrono::{DateTime, Utc};

use super::Planned;
use crate::database::Tx;
use crate::restore::store::Job;
use crate::restore::work::{Halt, Work};

pub use shown::shown;

pub async fn plan(_: &Work) -> Result<Planned, Halt> {
    Err(Halt::Fail("this version does not run disk checks".into()))
}

pub async fn work(_: &Work) -> Result<(), Halt> {
    Ok(())
}

pub async fn finish(_: &mut Tx, _: &Job, _: DateTime<Utc>) -> sqlx::Result<()> {
    Ok(())
}
