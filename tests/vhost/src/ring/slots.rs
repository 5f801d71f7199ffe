// SPDX-License-Identifier: GPL-2.0

//! Numbers that name what the device has.

use anyhow::{bail, Result};

/// Names from 0 on, each free or with what belongs to it.
pub struct Slots<T> {
    taken: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Slots<T> {
    /// All free.
    pub fn new(count: u16) -> Self {
        Self {
            taken: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
        }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many are not.
    pub fn taken(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    /// Gives a name to something.
    pub fn put(&mut self, what: T) -> Option<u16> {
        let name = self.free.pop()?;

        self.taken[usize::from(name)] = Some(what);
        Some(name)
    }

    /// Takes what has a name, which a device gave.
    pub fn take(&mut self, name: u32) -> Result<T> {
        let Some(slot) = self.taken.get_mut(name as usize) else {
            bail!("the device gave back chain {name}, more than the ring has");
        };
        let Some(what) = slot.take() else {
            bail!("the device gave back chain {name}, which it does not have");
        };

        self.free.push(name as u16);
        Ok(what)
    }
}
