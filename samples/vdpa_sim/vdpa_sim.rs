// SPDX-License-Identifier: GPL-2.0

//! What is set for all simulators at once.
//!
//! Scripts load a module of this name, look for it, and set its options. In C it holds the common
//! part of the simulators. Here that is part of each of them, and of this module they only use what
//! its parameters say, where they were not given their own.
//!
//! Their reference to it is weak. With the module in C in its place, which exports nothing of the
//! kind, they go by their own defaults.

#![deny(unsafe_code)]

use kernel::prelude::*;

vdpa::module_param!(
    vdpa_sim.batch_mapping: int = 1,
    "Batched mapping: 1 - enable, 0 - disable",
    export vdpasim_batch_mapping
);
vdpa::module_param!(
    vdpa_sim.max_iotlb_entries: int = 1 << 20,
    "Maximum number of mappings of an address space (2 or more)",
    export vdpasim_max_iotlb_entries
);
vdpa::module_param!(
    vdpa_sim.use_va: bool = true,
    "Map virtual addresses of processes",
    export vdpasim_use_va
);

struct VdpaSim;

impl kernel::Module for VdpaSim {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let max = max_iotlb_entries.value();

        // As the simulators do. Here it is said which module has the parameter.
        if max < 2 {
            pr_err!("max_iotlb_entries={max}: must be 2 or more\n");
            return Err(EINVAL);
        }
        Ok(Self)
    }
}

module! {
    type: VdpaSim,
    name: "vdpa_sim",
    authors: ["rust-vdpa developers"],
    description: "Defaults of the vDPA device simulators",
    license: "GPL",
}
