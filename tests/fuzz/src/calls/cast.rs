// SPDX-License-Identifier: GPL-2.0

//! Which devices there are, and who makes them.

/// The devices that threads use. What has another name is removed from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Those of the simulators.
    Simulators,
    /// The first is of the worst of parents (`tests/modules/worst`), which does its work with
    /// [`INNER`].
    Worst,
}

/// What must stay as long as the worst of parents has it.
pub const INNER: &str = "inner0";

/// Its module.
const WORST: &str = "vdpa_worst";

impl Cast {
    /// Names of devices.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Simulators => &["net0", "net1", "blk0"],
            Self::Worst => &["worst0", "net1"],
        }
    }

    /// Whether a device is among them, or has a name that they might have been given.
    pub fn has(self, name: &[u8]) -> bool {
        let mut names = self.names().iter().chain([&INNER]);

        names.any(|own| name.starts_with(own.as_bytes()))
    }

    /// Management devices.
    pub fn parents(self) -> &'static [&'static str] {
        match self {
            Self::Simulators => &["vdpasim_net", "vdpasim_blk"],
            Self::Worst => &["vdpasim_net", WORST],
        }
    }

    /// The management device that makes a device of a name.
    pub fn parent_of(self, name: &str) -> &'static str {
        match name {
            _ if name.starts_with("blk") => "vdpasim_blk",
            _ if name.starts_with("worst") => WORST,
            _ => "vdpasim_net",
        }
    }

    /// The modules of which it is told how much was reached.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Simulators => &[
                "vdpa",
                "vhost_vdpa",
                "virtio_vdpa",
                "vdpa_sim_net",
                "vdpa_sim_blk",
            ],
            Self::Worst => &["vdpa", "vhost_vdpa", "virtio_vdpa"],
        }
    }

    /// What may be missing in the end, as it could not be loaded with what it was given.
    pub fn reloaded(self) -> &'static [&'static str] {
        match self {
            Self::Simulators => &["vdpa_sim_net", "vdpa_sim_blk"],
            Self::Worst => &[WORST],
        }
    }
}
