//! Drill.

use crate::database::Tx;
use crate::restore::drivers::Planned;
use crate::restore::store::Job;
use crate::restore::work::{Halt, Work};

pub async fn plan(_work: &Work) -> Result<Planned, Halt> {
    Err(Halt::Fail("this kind of job is being built".into()))
}

pub async fn work(_work: &Work) -> Result<(), Halt> {
    Err(Halt::Fail("this kind of job is being built".into()))
}

pub async fn finish(_tx: &mut Tx, _job: &Job) -> sqlx::Result<()> {
    Ok(())
}
