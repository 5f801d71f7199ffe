// SPDX-License-Identifier: GPL-2.0

//! A PCI function that is enabled while its driver is bound.

use super::as_raw;
use crate::bindings;
use kernel::{
    device::{
        Bound,
        Core, //
    },
    dma::DmaMask,
    pci,
    prelude::*, //
};

/// A PCI function that is enabled, with addresses of 64 bits for DMA, until this is dropped.
///
/// It does no DMA and raises no message signalled interrupts until
/// [`allow_dma`](Self::allow_dma).
///
/// # Invariants
///
/// The function was enabled for this value.
#[doc(alias = "pci_disable_device")]
pub struct Function<'bound>(&'bound pci::Device<Bound>);

impl Drop for Function<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant this undoes `pci_enable_device_mem()`. The function does
        // not master the bus any more after it either.
        unsafe { bindings::pci_disable_device(as_raw(self.0)) };
    }
}

impl<'bound> Function<'bound> {
    /// Enables a function.
    ///
    /// # Errors
    ///
    /// `EIO` where the platform cannot serve a device with such addresses, those of
    /// `pci_enable_device_mem()`.
    #[inline]
    pub fn enable(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        use kernel::dma::Device as _;

        pdev.enable_device_mem()?;
        // INVARIANT: Enabled just above.
        let enabled = Self(pdev);

        // SAFETY: The pointer is valid.
        unsafe { bindings::pci_clear_master(as_raw(pdev)) };
        // SAFETY: The function cannot do DMA, so nobody prepares memory for it: a driver gets at it
        // only by what its callbacks do with `pdev`, of which this is one.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>()) }?;

        Ok(enabled)
    }

    /// Lets the function do DMA.
    ///
    /// # Context
    ///
    /// Any thread.
    #[doc(alias = "pci_set_master")]
    #[inline]
    pub fn allow_dma(&self) {
        // SAFETY: The pointer is valid, and the function belongs to the driver.
        unsafe { bindings::pci_set_master(as_raw(self.0)) }
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
        // SAFETY: As above.
        unsafe { bindings::pci_clear_master(as_raw(self.0)) }
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
