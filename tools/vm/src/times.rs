// SPDX-License-Identifier: GPL-2.0

//! What a virtual machine took: in all, to boot, and for each scenario.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{json, Value};

/// Hundredths of a second, in which `/proc` counts.
const TICKS: f64 = 100.0;

/// What something took, in seconds.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Times {
    /// From its beginning to its end.
    pub wall: f64,
    /// Of processors of this machine.
    pub processor: f64,
    /// In which no processor of the guest had anything to do.
    pub waiting: Option<f64>,
}

impl Times {
    /// As it is kept; what is not known is left out.
    pub fn to_json(self) -> Value {
        let mut value = json!({ "wall": round(self.wall), "processor": round(self.processor) });
        if let Some(waiting) = self.waiting {
            value["waiting"] = round(waiting).into();
        }
        value
    }

    /// From what was kept.
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            wall: value["wall"].as_f64()?,
            processor: value["processor"].as_f64()?,
            waiting: value["waiting"].as_f64(),
        })
    }
}

/// To hundredths, which is as good as it is measured.
fn round(seconds: f64) -> f64 {
    (seconds * TICKS).round() / TICKS
}

/// A scenario, or what is done beside scenarios.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// What it took.
    pub times: Times,
}

impl Part {
    /// As it is kept.
    pub fn to_json(&self) -> Value {
        let mut value = self.times.to_json();
        value["name"] = self.name.as_str().into();
        value
    }

    /// From what was kept.
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            times: Times::from_json(value)?,
        })
    }
}

/// A moment in the life of a machine.
#[derive(Clone, Copy, Default)]
struct Moment {
    /// Since it was started.
    wall: f64,
    processor: f64,
    waited: f64,
}

impl Moment {
    fn since(self, earlier: Self) -> Times {
        Times {
            wall: self.wall - earlier.wall,
            processor: self.processor - earlier.processor,
            waiting: Some(self.waited - earlier.waited),
        }
    }
}

/// Takes the times of a machine from what it prints: `# waited HUNDREDTHS` when it has booted and after
/// each part, and before a part `# scenario NAME`.
pub struct Watch {
    begin: Instant,
    process: u32,
    last: Moment,
    boot: Option<Times>,
    part: Option<String>,
    parts: Vec<Part>,
    share: f64,
}

impl Watch {
    /// Begins now, for that process.
    pub fn start(process: u32) -> Self {
        Self {
            begin: Instant::now(),
            process,
            last: Moment::default(),
            boot: None,
            part: None,
            parts: Vec::new(),
            share: 1.0,
        }
    }

    /// How long that is ago.
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Sees a line that the machine printed.
    pub fn line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("# scenario ") {
            self.part = Some(name.to_owned());
            return;
        }
        let waited = line.strip_prefix("# waited ");
        if let Some(waited) = waited.and_then(|text| text.parse::<f64>().ok()) {
            let now = Moment {
                wall: self.elapsed().as_secs_f64(),
                processor: processor_time(&self.process.to_string(), OWN),
                waited: waited / TICKS,
            };
            self.take(now);
        }
    }

    /// What it has got of the time of processors that it could have used, from 0 to 1. To be asked while it is there;
    /// after that it is what was known last.
    pub fn share(&mut self) -> f64 {
        let (had, waited) = scheduled(self.process);
        if had > 0.0 {
            self.share = had / (had + waited);
        }
        self.share
    }

    fn take(&mut self, now: Moment) {
        self.share();
        let times = now.since(self.last);
        self.last = now;
        match self.part.take() {
            Some(name) => self.parts.push(Part { name, times }),
            None => self.boot = Some(times),
        }
    }

    /// What it took to boot, if it has, and what each part took.
    pub fn finish(self) -> (Option<Times>, Vec<Part>) {
        (self.boot, self.parts)
    }
}

/// Where `/proc/PID/stat` has the time of a process itself, counted from its state on, and of the children
/// that it has waited for.
const OWN: usize = 11;
const CHILDREN: usize = 13;

/// For how long the threads of a process have run, and for how long each was ready and had to wait for a
/// processor, both together. Kernels without these statistics say nothing.
fn scheduled(process: u32) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return sums;
    };
    for thread in threads.flatten() {
        // A thread may end meanwhile.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut numbers = text
            .split(' ')
            .map_while(|number| number.parse::<f64>().ok());
        sums.0 += numbers.next().unwrap_or(0.0);
        sums.1 += numbers.next().unwrap_or(0.0);
    }
    sums
}

/// Seconds of processors that were taken by programs which this one has run and waited for.
pub fn of_children() -> f64 {
    processor_time("self", CHILDREN)
}

/// The times for user and system that begin there, or nothing if the process is gone.
fn processor_time(process: &str, at: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before may have spaces in it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let times = fields.split(' ').skip(at).take(2);
    times
        .filter_map(|time| time.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_and_parts() {
        let mut watch = Watch::start(std::process::id());
        for line in [
            "# waited 100",
            "# scenario a",
            "ok one",
            "# waited 150",
            "# scenario tidy",
            "# waited 150",
        ] {
            watch.line(line);
        }
        let (boot, parts) = watch.finish();
        assert_eq!(boot.unwrap().waiting, Some(1.0));
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part.name.as_str(), part.times.waiting))
            .collect();
        assert_eq!(found, [("a", Some(0.5)), ("tidy", Some(0.0))]);
    }

    #[test]
    fn time_of_processors() {
        let begin = processor_time("self", OWN);
        while processor_time("self", OWN) < begin + 0.05 {}
        assert_eq!(processor_time("0", OWN), 0.0);
        let share = Watch::start(std::process::id()).share();
        assert!(share > 0.0 && share <= 1.0, "{share}");
        assert_eq!(Watch::start(0).share(), 1.0);
    }
}
