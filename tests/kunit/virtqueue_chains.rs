// SPDX-License-Identifier: GPL-2.0

//! The virtqueue engine: the vectors that the host has, over memory of a guest.

use crate::{
    pages::Guest,
    vectors::{
        BASE,
        LEN,
        VECTORS, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use vdpa::Asid;

#[kunit_tests(vdpa_virtqueue_chains)]
mod tests {
    use super::*;

    #[test]
    fn every_vector() -> Result {
        let guest = Guest::new(BASE, LEN / PAGE_SIZE)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut failed = 0;

        for vector in VECTORS {
            if let Err(why) = vector.run(&memory) {
                pr_err!("{}: {}\n", vector.name, why);
                failed += 1;
            }
        }
        check_eq!(failed, 0);
        Ok(())
    }

    #[test]
    fn no_vector_passes_without_memory() -> Result {
        let guest = Guest::new(BASE, 1)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(1));

        for vector in VECTORS {
            check_eq!(vector.run(&memory), Err("the memory is not there"));
        }
        Ok(())
    }
}
