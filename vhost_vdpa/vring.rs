// SPDX-License-Identifier: GPL-2.0

//! Setting up virtqueues.

use crate::{
    ioctl::Argument,
    session::Session, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};
use vdpa::{
    bindings::VHOST_VRING_F_LOG,
    Asid,
    Device,
    GroupId,
    Status,
    Vq,
    VqAddress,
    VqState, //
};

/// Where a virtqueue is: `struct vhost_vring_addr`.
pub(crate) struct Addresses {
    index: u32,
    flags: u32,
    address: VqAddress,
    log: u64,
}

impl Addresses {
    /// Reads them.
    pub(crate) fn read(arg: Argument) -> Result<Self> {
        let mut reader = arg.reader(40);
        let [index, flags] = reader.read::<[u32; 2]>()?;
        let [desc, used, avail, log] = reader.read::<[u64; 4]>()?;

        Ok(Self {
            index,
            flags,
            address: VqAddress {
                desc,
                driver: avail,
                device: used,
            },
            log,
        })
    }

    /// Checks flags and alignment (virtio 1.3, section 2.7).
    fn check(&self) -> Result {
        // Logging can be asked for, but is never switched on: see `SET_LOG_BASE`.
        if self.flags & !(1 << VHOST_VRING_F_LOG) != 0 {
            return Err(EOPNOTSUPP);
        }
        if self.address.driver % 2 != 0 || self.address.device % 4 != 0 || self.log % 4 != 0 {
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// Splits a number of SET_VRING_BASE for a packed virtqueue: 15 bits of index and the wrap counter
/// for the driver's side, and the same for the device's side.
fn packed_state(num: u32) -> VqState {
    let [avail_low, avail_high, used_low, used_high] = num.to_le_bytes();
    let avail = u16::from_le_bytes([avail_low, avail_high]);
    let used = u16::from_le_bytes([used_low, used_high]);

    VqState::Packed {
        last_avail_counter: avail >> 15 != 0,
        last_avail_idx: avail & 0x7fff,
        last_used_counter: used >> 15 != 0,
        last_used_idx: used & 0x7fff,
    }
}

/// The other way round, for a virtqueue of either format.
fn state_number(state: VqState) -> u32 {
    match state {
        VqState::Split { avail_index } => avail_index.into(),
        VqState::Packed {
            last_avail_counter,
            last_avail_idx,
            last_used_counter,
            last_used_idx,
        } => {
            let avail = u32::from(last_avail_idx) | u32::from(last_avail_counter) << 15;
            let used = u32::from(last_used_idx) | u32::from(last_used_counter) << 15;

            avail | used << 16
        }
    }
}

impl Session {
    /// Returns a virtqueue, to the owner.
    ///
    /// # Errors
    ///
    /// `EPERM` where the current process is not the owner, `ENOBUFS` for a virtqueue that the
    /// device does not have. All of the functions below have these errors too.
    pub(crate) fn vq<'a>(&self, dev: &'a Device<Bound>, index: u32) -> Result<Vq<'a>> {
        self.check_owner()?;
        dev.vq(index).ok_or(ENOBUFS)
    }

    /// Sets the number of descriptors.
    ///
    /// # Errors
    ///
    /// `EBUSY` for a running device, `EINVAL` for what is not a power of two up to the device's
    /// limit.
    pub(crate) fn set_vring_num(&mut self, dev: &Device<Bound>, index: u32, num: u32) -> Result {
        let vq = self.vq(dev, index)?;

        if self.is_running(dev, vq) {
            return Err(EBUSY);
        }
        if !num.is_power_of_two() || num > self.vq_num_max.into() {
            return Err(EINVAL);
        }
        vq.set_num(num);
        Ok(())
    }

    /// Sets the addresses of the virtqueue's three areas, as the device sees them.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for unknown flags, `EINVAL` where an address is not aligned, the device is
    /// running, or refuses them.
    pub(crate) fn set_vring_addr(&mut self, dev: &Device<Bound>, addresses: &Addresses) -> Result {
        let vq = self.vq(dev, addresses.index)?;

        addresses.check()?;
        if self.is_running(dev, vq) {
            return Err(EINVAL);
        }
        vq.set_address(addresses.address).map_err(|_| EINVAL)
    }

    /// Sets where the virtqueue goes on.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a running device, and for more than 16 bits for a split virtqueue; what the
    /// device refuses it with.
    pub(crate) fn set_vring_base(&mut self, dev: &Device<Bound>, index: u32, num: u32) -> Result {
        let vq = self.vq(dev, index)?;
        let state = if self.packed {
            packed_state(num)
        } else {
            VqState::Split {
                avail_index: u16::try_from(num).map_err(|_| EINVAL)?,
            }
        };

        if self.is_running(dev, vq) {
            return Err(EINVAL);
        }
        vq.set_state(state)
    }

    /// Returns where the virtqueue stands, which is only certain while it is stopped.
    pub(crate) fn vring_base(&self, dev: &Device<Bound>, index: u32) -> Result<u32> {
        self.vq(dev, index)?.state(self.packed).map(state_number)
    }

    /// Starts or stops the virtqueue.
    pub(crate) fn set_vring_enable(
        &mut self,
        dev: &Device<Bound>,
        index: u32,
        enable: u32,
    ) -> Result {
        self.vq(dev, index)?.set_ready(enable != 0);
        Ok(())
    }

    /// Returns the virtqueue's size. `EOPNOTSUPP` where the device does not say.
    pub(crate) fn vring_size(&self, dev: &Device<Bound>, index: u32) -> Result<u32> {
        let size = self.vq(dev, index)?.size();

        Ok(size.ok_or(EOPNOTSUPP)?.into())
    }

    /// Returns the virtqueue's group. `EOPNOTSUPP` where the device has no groups, `EIO` where it
    /// names one that is not there.
    pub(crate) fn vring_group(&self, dev: &Device<Bound>, index: u32) -> Result<u32> {
        check_group(dev, self.vq(dev, index)?.group())
    }

    /// Returns the group of the virtqueue's descriptor area. Errors as for
    /// [`vring_group`](Self::vring_group).
    pub(crate) fn vring_desc_group(&self, dev: &Device<Bound>, index: u32) -> Result<u32> {
        check_group(dev, self.vq(dev, index)?.desc_group())
    }

    /// Binds a group of virtqueues to an address space.
    ///
    /// # Errors
    ///
    /// `EPERM` where the current process is not the owner, `EINVAL` for a group or an address space
    /// that is not there, `EBUSY` once the device has DRIVER_OK, `EOPNOTSUPP` where it cannot.
    pub(crate) fn set_group_asid(
        &mut self,
        dev: &Device<Bound>,
        group: GroupId,
        asid: Asid,
    ) -> Result {
        self.check_owner()?;
        if group.0 >= dev.ngroups() || asid.0 >= dev.nas() {
            return Err(EINVAL);
        }
        if dev.status().has(Status::DRIVER_OK) {
            return Err(EBUSY);
        }
        dev.set_group_asid(group, asid)
    }
}

/// Does not believe a device that names a group it does not have.
fn check_group(dev: &Device<Bound>, group: Option<GroupId>) -> Result<u32> {
    let GroupId(group) = group.ok_or(EOPNOTSUPP)?;

    if group >= dev.ngroups() {
        return Err(EIO);
    }
    Ok(group)
}
