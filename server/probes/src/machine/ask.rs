//! A question that may never be answered: its thread is left behind, and the same question is not asked again before it comes back.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Asked<T> {
    since: Instant,
    answer: Receiver<T>,
}

/// What came of a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer<T> {
    Given(T),
    /// It has been asked for so long.
    Late(Duration),
    /// The thread broke down.
    None,
}

impl<T: Send + 'static> Asked<T> {
    pub fn new(name: &str, question: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Self> {
        let (give, answer) = sync_channel(1);
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            // Nobody may be waiting any more.
            let _ = give.send(question());
        })?;
        Ok(Self { since: Instant::now(), answer })
    }

    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// What is there now.
    pub fn poll(&self) -> Answer<T> {
        self.wait(Duration::ZERO)
    }

    /// Waits until the question is as old as `patience`.
    pub fn wait(&self, patience: Duration) -> Answer<T> {
        match self.answer.recv_timeout(patience.saturating_sub(self.waited())) {
            Ok(answer) => Answer::Given(answer),
            Err(RecvTimeoutError::Timeout) => Answer::Late(self.waited()),
            Err(RecvTimeoutError::Disconnected) => Answer::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_question_that_hangs_is_late_until_it_is_answered() {
        let (wake, asleep) = channel();
        let asked = Asked::new("test", move || asleep.recv()).unwrap();
        assert!(
            matches!(asked.wait(Duration::from_millis(5)), Answer::Late(waited) if waited.as_millis() >= 5)
        );
        assert!(matches!(asked.poll(), Answer::Late(_)));
        wake.send(7).unwrap();
        assert_eq!(asked.wait(Duration::from_secs(60)), Answer::Given(Ok(7)));
    }

    #[test]
    fn one_that_breaks_down_has_no_answer() {
        let asked: Asked<()> = Asked::new("test", || panic!("on purpose")).unwrap();
        assert_eq!(asked.wait(Duration::from_secs(60)), Answer::None);
    }
}
