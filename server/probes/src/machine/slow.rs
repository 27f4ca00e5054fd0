//! What is asked seldom and may take long: each question in a thread of its own, its last answer told until there is a newer one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::health::Reading;

use super::ask::{Answer, Asked};

/// Questions that are asked at the same time.
const MOST_AT_ONCE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Slow {
    known: BTreeMap<String, Known>,
    /// Asked for in this round.
    wanted: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Known {
    asked: Option<(DateTime<Utc>, Asked<Vec<Reading>>)>,
    told: Option<(DateTime<Utc>, Vec<Reading>)>,
}

impl Slow {
    /// What is known, as of `now`; `question` gets what was told before. An answer that is older than `every` is asked for again.
    pub fn keep<Q>(
        &mut self,
        key: &str,
        every: TimeDelta,
        now: DateTime<Utc>,
        question: impl FnOnce(&[Reading]) -> Q,
    ) -> Vec<Reading>
    where
        Q: FnOnce() -> Vec<Reading> + Send + 'static,
    {
        self.wanted.insert(key.to_owned());
        let running = self.known.values().filter(|known| known.asked.is_some()).count();
        let known = self.known.entry(key.to_owned()).or_default();
        // A clock that was set back must not keep it waiting.
        let is_fresh = |at: DateTime<Utc>| now >= at && now - at < every;
        let is_due = known.told.as_ref().is_none_or(|(at, _)| !is_fresh(*at));
        if known.asked.is_none() && is_due && running < MOST_AT_ONCE {
            let before = known.told.as_ref().map_or(&[][..], |(_, readings)| readings);
            known.asked = Asked::new("salvor-probe", question(before)).ok().map(|asked| (now, asked));
        }
        known.collect();
        known.told.as_ref().map_or_else(Vec::new, |(at, readings)| {
            let stamped = readings.iter().cloned();
            stamped
                .map(|reading| {
                    reading.with("asked_at", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
                })
                .collect()
        })
    }

    /// Lets go of what nobody asked for since the last time, as a disk that was pulled.
    pub fn forget(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        self.known.retain(|key, known| wanted.contains(key) || known.asked.is_some());
        self.known.values_mut().for_each(Known::collect);
    }
}

impl Known {
    fn collect(&mut self) {
        let Some((at, asked)) = &self.asked else { return };
        match asked.poll() {
            Answer::Given(readings) => self.told = Some((*at, readings)),
            Answer::Late(_) => return,
            Answer::None => {}
        }
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use salvor_domain::health::{Level, Probe};

    use super::*;

    const EVERY: TimeDelta = TimeDelta::seconds(60);

    fn told(text: &str) -> Vec<Reading> {
        vec![Reading::new(Probe::Smart, "sda", Level::Ok, text)]
    }

    fn ask(slow: &mut Slow, now: i64, answer: &Receiver<&'static str>) -> Option<String> {
        // The thread hangs until the test gives the answer.
        let (give, take) = channel();
        if let Ok(text) = answer.try_recv() {
            give.send(text).unwrap();
        }
        let now = DateTime::from_timestamp(now, 0).unwrap();
        let readings = slow.keep("sda", EVERY, now, |_| move || take.recv().map(told).unwrap_or_default());
        readings.first().map(|reading| reading.reason.clone())
    }

    #[test]
    fn the_last_answer_is_told_until_it_is_old() {
        let mut slow = Slow::default();
        let (give, answer) = channel();
        give.send("first").unwrap();
        while ask(&mut slow, 0, &answer).is_none() {}
        assert_eq!(ask(&mut slow, 59, &answer).as_deref(), Some("first"));
        give.send("second").unwrap();
        while ask(&mut slow, 60, &answer).as_deref() != Some("second") {}
        assert_eq!(ask(&mut slow, 61, &answer).as_deref(), Some("second"));
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten() {
        let mut slow = Slow::default();
        let (give, answer) = channel();
        give.send("first").unwrap();
        while ask(&mut slow, 0, &answer).is_none() {}
        slow.forget();
        assert_eq!(slow.known.len(), 1, "it was asked for in this round");
        slow.forget();
        assert_eq!(slow.known.len(), 0);
    }
}
