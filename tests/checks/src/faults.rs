// SPDX-License-Identifier: GPL-2.0

//! Allocations that fail when they are told to: the kernel's fault injection, which only a
//! debugging kernel has.
//!
//! A step is repeated with the first, second, third … of what can fail in the kernel failing
//! (memory from slabs and by pages, copies from and to this process), until it has no more of it.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};

/// Where the kernel is told what may fail.
const DEBUGFS: &str = "/sys/kernel/debug";

/// Settings: also what may wait for memory fails, also small pages, and nothing is said of it.
const SETTINGS: [(&str, &str); 8] = [
    ("failslab/ignore-gfp-wait", "N"),
    ("failslab/verbose", "0"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-highmem", "N"),
    ("fail_page_alloc/min-order", "0"),
    ("fail_page_alloc/verbose", "0"),
    ("fail_usercopy/verbose", "0"),
    ("fail_usercopy/probability", "0"),
];

/// The file of a thread in which the number of what shall fail stands. It counts down to 0.
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

/// More than any step needs.
const MOST: u32 = 5000;

/// What may be said of memory that was not to be had, or of a copy that was not made.
pub const ERRORS: [i32; 4] = [ENOMEM, EFAULT, EAGAIN, ENOBUFS];

const ENOMEM: i32 = 12;
const EFAULT: i32 = 14;
const EAGAIN: i32 = 11;
const ENOBUFS: i32 = 105;

/// Makes allocations of one thread fail.
pub struct Injector {
    file: File,
    /// Of as many things that can fail only the first does, at least one.
    every: usize,
    /// How many have failed.
    injected: Cell<u32>,
}

/// How often a step was repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// Repetitions in which something failed.
    pub injected: u32,
    /// Those of them that failed for it.
    pub refused: u32,
}

/// Whether a step did what it is for.
pub trait Outcome {
    /// If not, the number of the error, if it has one.
    fn error(&self) -> Option<Option<i32>>;
}

impl<T> Outcome for io::Result<T> {
    fn error(&self) -> Option<Option<i32>> {
        self.as_ref().err().map(io::Error::raw_os_error)
    }
}

impl Injector {
    /// Gets ready to make allocations of this thread fail: each, or where there are too many the
    /// first of `every`.
    pub fn new(every: usize) -> Result<Self> {
        for (name, value) in SETTINGS {
            let path = Path::new(DEBUGFS).join(name);
            fs::write(&path, value)
                .with_context(|| format!("{}: is this a debugging kernel?", path.display()))?;
        }
        let file = File::options().read(true).write(true).open(FAIL_NTH);
        Ok(Self {
            file: file.context(FAIL_NTH)?,
            every,
            injected: Cell::new(0),
        })
    }

    /// Lets the `nth` thing from now on fail; none if that is 0.
    fn arm(&self, nth: u32) -> io::Result<()> {
        self.file.write_at(nth.to_string().as_bytes(), 0).map(drop)
    }

    /// Lets nothing more fail, and tells whether something has.
    fn disarm(&self) -> Result<bool> {
        let mut digits = [0; 16];
        // Reading and writing are copies, which may be what fails in the end. Then something was
        // left.
        let left = match self.file.read_at(&mut digits, 0) {
            Err(error) if error.raw_os_error() == Some(EFAULT) => None,
            read => Some(read?),
        };

        self.arm(0).or_else(|_| self.arm(0))?;
        let Some(len) = left else { return Ok(false) };
        let left = String::from_utf8_lossy(&digits[..len]).trim().to_owned();
        Ok(left.parse::<u32>().with_context(|| left)? == 0)
    }

    /// Repeats a step until nothing in it fails any more. Each time `prepare` makes what it works
    /// on, and `restore` looks at what came of it and puts everything back; both undisturbed.
    ///
    /// An error must be one of [`ERRORS`] or of `more`, and the last time there must be none.
    pub fn each<P, T: Outcome>(
        &self,
        more: &[i32],
        mut prepare: impl FnMut() -> Result<P>,
        mut step: impl FnMut(&mut P) -> T,
        mut restore: impl FnMut(P, T) -> Result<()>,
    ) -> Result<Repeated> {
        let mut repeated = Repeated::default();

        for nth in (1..=MOST).step_by(self.every) {
            let which = || format!("when number {nth} of what can fail does");
            let mut subject = prepare().with_context(which)?;

            self.arm(nth)?;
            let result = step(&mut subject);
            let injected = self.disarm()?;

            if let Some(error) = result.error() {
                ensure!(injected, "it fails by itself: error {error:?}");
                let clean =
                    error.is_some_and(|error| ERRORS.contains(&error) || more.contains(&error));
                ensure!(clean, "{}: error {error:?}", which());
                repeated.refused += 1;
            }
            restore(subject, result).with_context(which)?;
            if !injected {
                return Ok(repeated);
            }
            repeated.injected += 1;
            self.injected.set(self.injected.get() + 1);
        }
        bail!("it needs more than {MOST} things that can fail")
    }

    /// Fails if nothing has failed so far.
    pub fn check(&self) -> Result<()> {
        ensure!(self.injected.get() > 0, "nothing was made to fail");
        Ok(())
    }
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} times something failed, {} of them with an error",
            self.injected, self.refused
        )
    }
}
