//! The agent's part in jobs: asks the server for work again and again, carries the calls out, and tells what came of them.
//!
//! Invariants: a connection that has been silent for too long is given up with all calls that came over it, since the server gives
//! them up as well; what the server wants no more is stopped at the next answer; calls are bounded in number, and what they tell is
//! handed over part by part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use salvor_engine::Stop;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::{Link, Pause, Sent};
use crate::agents::wire::{AtWork, Call, Going, Orders, Own, Part, Poll, SILENT, TOLD, Taken, Told, WORK};
use crate::agents::{Duty, hand, new_connection};
use crate::config::Config;

/// More than a server's workers ask for at a time.
const MOST_CALLS: usize = 256;
/// Before a part, or a question, is sent again.
const AGAIN: Duration = Duration::from_millis(500);

/// Works until the server refuses the token; gives why.
pub async fn run(link: Link, config: Arc<Config>, host: String, known: Arc<Notify>) -> String {
    known.notified().await;
    let mut pause = None;
    loop {
        let mut connection = Connection {
            link: link.clone(),
            config: config.clone(),
            host: host.clone(),
            id: new_connection(),
            heard: 0,
            is_told: pause.is_some(),
            at_work: Arc::default(),
            calls: JoinSet::new(),
        };
        match connection.work().await {
            End::Refused(why) => return why,
            End::Silent { after_answers: true } => pause = None,
            End::Silent { after_answers: false } => {}
        }
        let next = Pause::after(pause);
        pause = Some(next);
        tokio::time::sleep(next.length()).await;
    }
}

/// Calls that are carried out just now.
type AtHand = Arc<Mutex<HashMap<u64, Duty>>>;

struct Connection {
    link: Link,
    config: Arc<Config>,
    host: String,
    id: String,
    /// The number of the last call that came.
    heard: u64,
    /// That the server gives no work was said.
    is_told: bool,
    at_work: AtHand,
    /// They end with the connection.
    calls: JoinSet<()>,
}

enum End {
    Silent { after_answers: bool },
    Refused(String),
}

impl Connection {
    async fn work(&mut self) -> End {
        let mut answered_at: Option<Instant> = None;
        loop {
            let poll = self.poll();
            match self.link.post(WORK, &poll).await {
                Sent::Taken(answer) => match serde_json::from_slice::<Orders>(&answer) {
                    Ok(orders) => {
                        if answered_at.is_none() {
                            eprintln!("salvor agent: {} works for the jobs of {}", self.host, self.link.url);
                        }
                        answered_at = Some(Instant::now());
                        self.take(orders);
                        continue;
                    }
                    Err(why) => self
                        .is_refused(&format!("its answer is not understood ({why}); have both one version?")),
                },
                Sent::NotNow(why) | Sent::Useless(why) => self.is_refused(&why),
                Sent::Refused(why) => return End::Refused(why),
            }
            // A server that answered a moment ago may only be restarting its proxy.
            if answered_at.is_none_or(|at| at.elapsed() > SILENT) {
                return End::Silent { after_answers: answered_at.is_some() };
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn is_refused(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            eprintln!("salvor agent: no work for jobs from {} just now ({why})", self.link.url);
        }
    }

    fn poll(&mut self) -> Poll {
        while self.calls.try_join_next().is_some() {}
        let at_work = locked(&self.at_work);
        let at_work = at_work.iter().map(|(call, Duty { progress, .. })| AtWork {
            call: *call,
            files: progress.files(),
            bytes: progress.bytes(),
        });
        let own = self.config.volumes.iter().filter(|volume| volume.host.is_none());
        let own = own.map(|volume| Own {
            name: volume.name.clone(),
            disk_tool: volume.disk_check.as_ref().map(|check| check.tool),
        });
        Poll {
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            connection: self.id.clone(),
            volumes: own.collect(),
            heard: self.heard,
            at_work: at_work.collect(),
        }
    }

    fn take(&mut self, orders: Orders) {
        for Going { call, stop, rates } in orders.courses {
            let Some(duty) = locked(&self.at_work).get(&call).cloned() else { continue };
            duty.limit.set(rates);
            match stop {
                None => {}
                Some(Stop::Pause) => duty.control.pause(),
                Some(Stop::Cancel) => duty.control.cancel(),
            }
        }
        for call in orders.calls {
            // An answer that came twice.
            if call.id > self.heard {
                self.heard = call.id;
                self.begin(call);
            }
        }
    }

    fn begin(&mut self, call: Call) {
        let (id, duty) = (call.id, Duty::default());
        duty.limit.set(call.rates);
        let mut teller = Teller {
            link: self.link.clone(),
            host: self.host.clone(),
            connection: self.id.clone(),
            call: id,
            next: 0,
            duty: duty.clone(),
        };
        let config = self.config.clone();
        let at_work = AtHand::clone(&self.at_work);
        let is_too_many = locked(&at_work).len() >= MOST_CALLS;
        locked(&at_work).insert(id, duty.clone());
        self.calls.spawn(async move {
            if is_too_many {
                hand::Telling::tell(&mut teller, Part::Failed("it has too much to do".into()), true).await;
            } else {
                hand::carry_out(&config, call, duty, &mut teller).await;
            }
            locked(&at_work).remove(&id);
        });
    }
}

/// Threads that are at it find out by themselves.
impl Drop for Connection {
    fn drop(&mut self) {
        locked(&self.at_work).values().for_each(|duty| duty.control.cancel());
        // A tool at a disk is ended and waited for.
        self.calls.detach_all();
    }
}

fn locked(at_work: &AtHand) -> MutexGuard<'_, HashMap<u64, Duty>> {
    at_work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells what comes of one call.
struct Teller {
    link: Link,
    host: String,
    connection: String,
    call: u64,
    next: u64,
    duty: Duty,
}

impl hand::Telling for Teller {
    /// Again and again until the server has it; the connection itself knows when to give up.
    async fn tell(&mut self, part: Part, is_last: bool) -> bool {
        let (host, connection) = (self.host.clone(), self.connection.clone());
        let told = Told { host, connection, call: self.call, number: self.next, part, is_last };
        loop {
            match self.link.post(TOLD, &told).await {
                Sent::Taken(answer) => match serde_json::from_slice::<Taken>(&answer) {
                    Ok(Taken { next: Some(next) }) if next > self.next => {
                        self.next = next;
                        return true;
                    }
                    // There was no room for it.
                    Ok(Taken { next: Some(_) }) => continue,
                    Ok(Taken { next: None }) | Err(_) => break,
                },
                Sent::NotNow(_) => tokio::time::sleep(AGAIN).await,
                Sent::Useless(why) => {
                    eprintln!("salvor agent: the server does not take what came of a job's call: {why}");
                    break;
                }
                Sent::Refused(_) => break,
            }
        }
        self.duty.control.cancel();
        false
    }
}
