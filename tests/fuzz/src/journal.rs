// SPDX-License-Identifier: GPL-2.0

//! What a thread has done last, for whoever wants to know why something is wrong.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::tally::Outcome;

/// How many steps are kept.
const KEPT: usize = 12;

/// How much of a step is printed.
const LONGEST: usize = 300;

/// Something that a thread does.
pub type Step = Arc<dyn Debug + Send + Sync>;

/// The last steps of a thread.
pub struct Journal {
    name: String,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    done: VecDeque<(u64, Step, Outcome)>,
    doing: Option<(Step, Instant)>,
    count: u64,
}

impl Journal {
    /// Begins with nothing done.
    pub fn new(name: String) -> Self {
        Self {
            name,
            entries: Mutex::default(),
        }
    }

    /// The name of the thread.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is about to be done.
    pub fn begin(&self, step: Step) {
        self.entries().doing = Some((step, Instant::now()));
    }

    /// Notes what came of it.
    pub fn end(&self, outcome: Outcome) {
        let mut entries = self.entries();

        if let Some((step, _)) = entries.doing.take() {
            let number = entries.count;

            entries.count += 1;
            entries.done.push_back((number, step, outcome));
            if entries.done.len() > KEPT {
                entries.done.pop_front();
            }
        }
    }

    /// For how long the thread has been doing the same.
    pub fn busy(&self) -> Duration {
        self.entries()
            .doing
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    /// The last steps, one line each.
    pub fn lines(&self) -> Vec<String> {
        let entries = self.entries();
        let mut lines: Vec<_> = entries
            .done
            .iter()
            .map(|(number, step, outcome)| {
                format!("{} {number}: {}: {outcome}", self.name, short(step))
            })
            .collect();

        if let Some((step, since)) = &entries.doing {
            lines.push(format!(
                "{} {}: {}: for {:?} now",
                self.name,
                entries.count,
                short(step),
                since.elapsed()
            ));
        }
        lines
    }
}

fn short(step: &Step) -> String {
    format!("{step:?}").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_steps_are_kept() {
        let journal = Journal::new("t".into());

        for number in 0..100 {
            journal.begin(Arc::new(number));
            journal.end(Outcome::DONE);
        }
        assert_eq!(journal.busy(), Duration::ZERO);
        journal.begin(Arc::new("now"));
        let lines = journal.lines();
        assert_eq!(lines.len(), KEPT + 1);
        assert_eq!(lines[KEPT - 1], "t 99: 99: done");
        assert!(lines[KEPT].starts_with("t 100: \"now\": for "));
    }
}
