// SPDX-License-Identifier: GPL-2.0

//! Notes of what a parent was asked to do.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::SpinLockIrq, //
};

/// How many calls are kept.
const MAX: usize = 64;

/// An operation of a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    None,
    SetVqAddress,
    SetVqNum,
    Kick,
    KickWithData,
    SetVqReady,
    SetVqState,
    SetVqAffinity,
    SetFeatures,
    SetStatus,
    Reset,
    CompatReset,
    Suspend,
    Resume,
    GetConfig,
    SetConfig,
    SetGroupAsid,
    SetMap,
    DmaMap,
    DmaUnmap,
    ResetMap,
    MapPage,
    UnmapPage,
    SyncDevice,
    SyncCpu,
    Alloc,
    Free,
}

/// A call: what was asked for, and with which numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call(pub(crate) Op, pub(crate) [u64; 4]);

/// Calls, in their order. Those that are too many are counted only.
pub(crate) struct Notes {
    calls: [Call; MAX],
    len: usize,
}

impl Notes {
    const EMPTY: Self = Self {
        calls: [Call(Op::None, [0; 4]); MAX],
        len: 0,
    };

    /// The calls.
    pub(crate) fn calls(&self) -> &[Call] {
        self.calls.get(..self.len).unwrap_or(&self.calls)
    }

    /// How many calls there were.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

struct Inner {
    notes: Notes,
    fail: Option<Op>,
}

/// What a parent notes, and what it shall refuse. Can be used in any context.
#[pin_data]
pub(crate) struct Calls {
    #[pin]
    inner: SpinLockIrq<Inner>,
}

impl Calls {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- new_spinlock_irq!(
                Inner {
                    notes: Notes::EMPTY,
                    fail: None,
                },
                "vdpa_kunit_calls"
            ),
        })
    }

    /// Notes a call. Returns `EIO` if it shall be refused.
    pub(crate) fn note(&self, op: Op, numbers: [u64; 4]) -> Result {
        let mut inner = self.inner.lock();
        let len = inner.notes.len;

        if let Some(slot) = inner.notes.calls.get_mut(len) {
            *slot = Call(op, numbers);
        }
        inner.notes.len += 1;
        if inner.fail == Some(op) {
            return Err(EIO);
        }
        Ok(())
    }

    /// Has one operation refused from now on, or none.
    pub(crate) fn fail(&self, op: Option<Op>) {
        self.inner.lock().fail = op;
    }

    /// Takes what was noted since the last time.
    pub(crate) fn take(&self) -> Notes {
        core::mem::replace(&mut self.inner.lock().notes, Notes::EMPTY)
    }
}
