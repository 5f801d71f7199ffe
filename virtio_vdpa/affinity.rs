// SPDX-License-Identifier: GPL-2.0

//! Spreading virtqueues over processors.

use kernel::{
    cpumask::{
        Cpumask,
        CpumaskVar, //
    },
    prelude::*, //
};
use vdpa::virtio::{
    CpuGroups,
    IrqAffinity, //
};

/// Which processors should handle each of the virtqueues ("vectors") that a driver asks for.
///
/// The driver exempts some at the beginning and some at the end, for which any processor will do,
/// and divides the others into sets. Each set covers all processors, so that, for example, there
/// is a virtqueue for reading and one for writing near each of them.
pub(crate) struct Spread {
    /// For vectors that no group is meant for.
    all: CpumaskVar,
    /// The number of vectors that come before the first set.
    first: usize,
    sets: KVec<Set>,
}

/// A number of successive vectors.
struct Set {
    vectors: usize,
    /// As many groups as there are vectors, or processors. [`None`] where there are no vectors.
    groups: Option<CpuGroups>,
}

impl Spread {
    /// Spreads `vectors` virtqueues as the driver says. [`None`] where that leaves nothing to be
    /// spread.
    pub(crate) fn new(vectors: usize, affinity: &mut IrqAffinity) -> Result<Option<Self>> {
        let first = usize::try_from(affinity.pre_vectors())?;
        let last = usize::try_from(affinity.post_vectors())?;
        let mut left = vectors.saturating_sub(first).saturating_sub(last);

        if left == 0 {
            return Ok(None);
        }

        let mut all = CpumaskVar::new_zero(GFP_KERNEL)?;
        let mut sets = KVec::new();

        all.setall();
        for &size in affinity.divide(u32::try_from(left)?)? {
            // Sets that have more vectors than there are would reach into the exempted ones.
            let size = usize::try_from(size)?.min(left);

            sets.push(Set::new(size)?, GFP_KERNEL)?;
            left = left.saturating_sub(size);
        }

        Ok(Some(Self { all, first, sets }))
    }

    /// Returns the processors for a vector.
    pub(crate) fn get(&self, vector: usize) -> &Cpumask {
        self.group(vector).unwrap_or(&self.all)
    }

    /// Returns the group of processors for a vector, if there is one meant for it.
    fn group(&self, vector: usize) -> Option<&Cpumask> {
        let mut vector = vector.checked_sub(self.first)?;

        for set in &self.sets {
            match vector.checked_sub(set.vectors) {
                Some(rest) => vector = rest,
                None => return set.groups.as_ref()?.get(vector),
            }
        }
        None
    }
}

impl Set {
    fn new(vectors: usize) -> Result<Self> {
        let groups = match u32::try_from(vectors)? {
            0 => None,
            groups => Some(CpuGroups::new(groups)?),
        };

        Ok(Self { vectors, groups })
    }
}
