// SPDX-License-Identifier: GPL-2.0

//! A PCI function that is enabled while its driver is bound.

use super::as_raw;
use crate::bindings;
use kernel::{
    device::Core,
    devres::Devres,
    dma::DmaMask,
    pci,
    prelude::*,
    sync::aref::ARef, //
};

/// A PCI function that decodes accesses to its memory.
///
/// # Invariants
///
/// The function was enabled for this value.
struct Enabled(ARef<pci::Device>);

impl Drop for Enabled {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant this undoes `pci_enable_device_mem()`. The function does
        // not master the bus any more after it either.
        unsafe { bindings::pci_disable_device(as_raw(&self.0)) };
    }
}

/// A PCI function that is enabled, with addresses of 64 bits for DMA, until its driver is unbound.
///
/// It does no DMA and raises no message signalled interrupts until
/// [`allow_dma`](Self::allow_dma).
#[doc(alias = "pci_disable_device")]
pub struct Function(Devres<Enabled>);

impl Function {
    /// Enables a function.
    ///
    /// # Errors
    ///
    /// `EIO` where the platform cannot serve a device with such addresses, those of
    /// `pci_enable_device_mem()`.
    #[inline]
    pub fn enable(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        use kernel::dma::Device as _;

        pdev.enable_device_mem()?;
        // INVARIANT: Enabled just above.
        let enabled = Enabled((&**pdev).into());

        // SAFETY: The pointer is valid.
        unsafe { bindings::pci_clear_master(as_raw(pdev)) };
        // SAFETY: The function cannot do DMA, so nobody prepares memory for it: a driver gets at it
        // only by what its callbacks do with `pdev`, of which this is one.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>()) }?;

        Ok(Self(Devres::new(pdev.as_ref(), enabled)?))
    }

    /// Lets the function do DMA.
    ///
    /// # Context
    ///
    /// Any thread.
    #[doc(alias = "pci_set_master")]
    #[inline]
    pub fn allow_dma(&self) {
        self.0.try_access_with(|function| {
            // SAFETY: The pointer is valid, and the function belongs to the driver.
            unsafe { bindings::pci_set_master(as_raw(&function.0)) }
        });
    }

    /// Keeps the function from DMA, whatever its registers say.
    ///
    /// This is the last resort for one that does not stop by itself. Memory that it was given can
    /// be freed then.
    ///
    /// # Context
    ///
    /// Any thread.
    #[doc(alias = "pci_clear_master")]
    #[inline]
    pub fn forbid_dma(&self) {
        self.0.try_access_with(|function| {
            // SAFETY: As above.
            unsafe { bindings::pci_clear_master(as_raw(&function.0)) }
        });
    }
}

/// Returns the size in bytes of a BAR that is memory. 0 for one that is missing, or has I/O ports.
#[inline]
pub fn memory_bar_len(pdev: &pci::Device, bar: u8) -> u64 {
    if usize::from(bar) >= super::BARS {
        return 0;
    }
    // SAFETY: The pointer is valid, and a function has more resources than the BARs.
    let flags = unsafe { (*as_raw(pdev)).resource[usize::from(bar)].flags };
    if flags & bindings::IORESOURCE_MEM as usize == 0 {
        return 0;
    }
    pdev.resource_len(bar.into()).unwrap_or(0)
}

/// Makes an entry for a table of ids that looks at the subsystem too.
///
/// C: `PCI_DEVICE_SUB()`.
///
/// # Examples
///
/// ```ignore
/// kernel::pci_device_table!(
///     IDS,
///     (),
///     [(vdpa::pci::subsystem_id(0x1af4, 0x1041, 0x8086, 0x001a), ())]
/// );
/// ```
#[inline]
pub const fn subsystem_id(
    vendor: u16,
    device: u16,
    subvendor: u16,
    subdevice: u16,
) -> pci::DeviceId {
    let raw = bindings::pci_device_id {
        vendor: vendor as u32,
        device: device as u32,
        subvendor: subvendor as u32,
        subdevice: subdevice as u32,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };

    // SAFETY: `pci::DeviceId` is a transparent wrapper, and all its values are valid.
    unsafe { core::mem::transmute::<bindings::pci_device_id, pci::DeviceId>(raw) }
}
