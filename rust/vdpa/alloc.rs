// SPDX-License-Identifier: GPL-2.0

//! Creating and registering vDPA devices.

use crate::{
    bindings,
    gone::GONE,
    kept::Kept,
    ops::Table,
    root_device::as_raw,
    virtio_map::Token,
    ConfigOps,
    Device,
    DmaMap,
    FileDmaMap,
    FileSetMap,
    SetMap,
    SoftDma,
    SoftIommu,
    VqIndex, //
};
use core::{
    marker::PhantomData,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::{
        from_ref,
        null,
        NonNull, //
    },
};
use kernel::{
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            AtomicFlag,
            Release, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// A `struct vdpa_device`, and what the crate has of it, which is there for as long.
#[repr(C)]
pub(crate) struct Head {
    // First, as `__vdpa_alloc_device()` demands.
    vdev: Opaque<bindings::vdpa_device>,
    /// Whether the data of the parent was dropped. Begins as 0, like all of the memory.
    gone: AtomicFlag,
    // Initialised with the data of the parent.
    kept: MaybeUninit<Kept>,
}

impl Head {
    /// Drops what the crate has of the device.
    ///
    /// # Safety
    ///
    /// `vdev` must be part of a `Head` that is initialised, and nobody uses it from now on.
    #[inline]
    pub(crate) unsafe fn drop_kept(vdev: *mut bindings::vdpa_device) {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vdev.cast::<Self>()).kept.assume_init_drop() };
    }

    /// Whether the device was [unregistered](Allocation::unregister).
    ///
    /// # Safety
    ///
    /// `vdev` must be part of a `Head`.
    #[inline]
    pub(crate) unsafe fn is_gone(vdev: *mut bindings::vdpa_device) -> bool {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vdev.cast::<Self>()).gone.load(Acquire) }
    }
}

/// A `struct vdpa_device` with the data of its parent behind it.
#[repr(C)]
pub(crate) struct Allocation<T> {
    // First, so that a pointer to the device is one to this.
    head: Head,
    // There until the device is unregistered.
    data: MaybeUninit<T>,
}

impl<T> Allocation<T> {
    /// The data.
    ///
    /// # Safety
    ///
    /// `vdev` must be part of an `Allocation<T>` whose data is initialised, for `'a`.
    #[inline]
    pub(crate) unsafe fn data<'a>(vdev: *mut bindings::vdpa_device) -> &'a T {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vdev.cast::<Self>()).data.assume_init_ref() }
    }

    /// What the crate has of the device.
    ///
    /// # Safety
    ///
    /// As for [`data`](Self::data).
    #[inline]
    pub(crate) unsafe fn kept<'a>(vdev: *mut bindings::vdpa_device) -> &'a Kept {
        // SAFETY: By the safety requirements of this function; it is initialised with the data.
        unsafe { (*vdev.cast::<Self>()).head.kept.assume_init_ref() }
    }

    /// Drops the data.
    ///
    /// # Safety
    ///
    /// As for [`data`](Self::data), and nobody uses it from now on.
    #[inline]
    pub(crate) unsafe fn drop_data(vdev: *mut bindings::vdpa_device) {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vdev.cast::<Self>()).data.assume_init_drop() };
    }

    /// Takes a device from the bus with `unregister`, and drops its data.
    ///
    /// # Safety
    ///
    /// As for [`data`](Self::data). The device must be registered, and `unregister` be the function
    /// of the bus that undoes it, called with the locks that it demands. The caller must not use
    /// `vdev` any more.
    #[inline]
    pub(crate) unsafe fn unregister(
        vdev: *mut bindings::vdpa_device,
        unregister: impl FnOnce(*mut bindings::vdpa_device),
    ) {
        // SAFETY: By the safety requirements of this function. When it is unregistered, its consumer
        // is unbound, and the bus does not find it any more, so nobody uses the data. Others may
        // have references to the device, and one is held here meanwhile.
        unsafe {
            bindings::get_device(&raw mut (*vdev).dev);
            unregister(vdev);
            (*vdev).config = const { &GONE };
            (*vdev.cast::<Head>()).gone.store(true, Release);
            Self::drop_data(vdev);
            bindings::put_device(&raw mut (*vdev).dev);
        }
    }
}

/// The sizes of a device, and its place.
pub struct DeviceInfo<'a> {
    /// The name of the device; [`None`] for `vdpa<number>`.
    pub name: Option<&'a CStr>,
    /// The parent in the device tree. It has to stay registered until this device is.
    pub parent: Option<&'a device::Device>,
    /// The device that does DMA, which is kept for as long as the vDPA device. [`None`] for a
    /// device that translates addresses itself.
    pub dma_device: Option<&'a device::Device>,
    /// The number of virtqueues.
    pub virtqueues: u32,
    /// The number of virtqueue groups.
    pub groups: u32,
    /// The number of address spaces.
    pub address_spaces: u32,
}

/// How a device in software is given mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftMapping {
    /// Whole address spaces at a time, not single mappings.
    pub batch: bool,
    /// Mappings of a process hold its virtual addresses. Other devices are never given these, which
    /// look like physical ones.
    pub use_va: bool,
}

/// What a device is for its consumers, apart from its data.
pub(crate) struct Model {
    pub(crate) table: &'static bindings::vdpa_config_ops,
    /// Mappings hold addresses of a process.
    pub(crate) use_va: bool,
    /// How the memory of kernel drivers is mapped; [`None`] for the DMA API.
    pub(crate) map_ops: Option<&'static bindings::virtio_map_ops>,
}

impl Model {
    #[inline]
    fn new(table: &'static bindings::vdpa_config_ops, use_va: bool) -> Self {
        Self {
            table,
            use_va,
            map_ops: None,
        }
    }
}

/// A device that is complete, but not yet known to the vDPA bus.
///
/// # Invariants
///
/// The device was allocated with `__vdpa_alloc_device()`, its data is initialised, its operations
/// are those of `T`, and the only reference to it is held here. `parent` is its parent.
#[doc(alias = "vdpa_alloc_device")]
#[doc(alias = "__vdpa_alloc_device")]
pub struct UnregisteredDevice<T: ConfigOps> {
    vdev: NonNull<bindings::vdpa_device>,
    virtqueues: u32,
    // Of its own the device has no reference to it before it is registered.
    parent: Option<ARef<device::Device>>,
    _data: PhantomData<T>,
}

// SAFETY: The reference is exclusive, and `T` is `Send`.
unsafe impl<T: ConfigOps> Send for UnregisteredDevice<T> {}

impl<T: ConfigOps> UnregisteredDevice<T> {
    /// Creates a device behind a platform IOMMU, or without any translation.
    ///
    /// # Errors
    ///
    /// Those of `data`, `EINVAL` where `info` contradicts itself, `ENOMEM`.
    #[inline]
    pub fn new(info: &DeviceInfo<'_>, data: impl PinInit<T, Error>) -> Result<Self> {
        Self::with_table(info, const { &Table::<T>::PLATFORM }, data)
    }

    /// Creates a device that takes a whole address space at a time.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_set_map(info: &DeviceInfo<'_>, data: impl PinInit<T, Error>) -> Result<Self>
    where
        T: SetMap,
    {
        Self::with_table(info, const { &Table::<T>::SET_MAP }, data)
    }

    /// Creates a device that takes one mapping at a time.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_dma_map(info: &DeviceInfo<'_>, data: impl PinInit<T, Error>) -> Result<Self>
    where
        T: DmaMap,
    {
        Self::with_table(info, const { &Table::<T>::DMA_MAP }, data)
    }

    /// Creates a device that has another process map the memory, and takes a whole address space at
    /// a time.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_file_set_map(info: &DeviceInfo<'_>, data: impl PinInit<T, Error>) -> Result<Self>
    where
        T: FileSetMap,
    {
        let table = const { &Table::<T>::FILE_SET_MAP };

        Self::with_model(info, Model::new(table, true), |_| None, data)
    }

    /// Creates a device that has another process map the memory, and takes one mapping at a time.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_file_dma_map(info: &DeviceInfo<'_>, data: impl PinInit<T, Error>) -> Result<Self>
    where
        T: FileDmaMap,
    {
        let table = const { &Table::<T>::FILE_DMA_MAP };

        Self::with_model(info, Model::new(table, true), |_| None, data)
    }

    /// Creates a device in software.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn in_software(
        info: &DeviceInfo<'_>,
        mapping: SoftMapping,
        data: impl PinInit<T, Error>,
    ) -> Result<Self>
    where
        T: SoftDma,
    {
        let table = if mapping.batch {
            const { &Table::<T>::SOFT_SET_MAP }
        } else {
            const { &Table::<T>::SOFT_DMA_MAP }
        };

        let iommu = |data: &T| {
            let iommu = data.iommu();

            iommu.set_virtual(mapping.use_va);
            Some(iommu)
        };

        Self::with_model(info, Model::new(table, mapping.use_va), iommu, data)
    }

    fn with_table(
        info: &DeviceInfo<'_>,
        table: &'static bindings::vdpa_config_ops,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        Self::with_model(info, Model::new(table, false), |_| None, data)
    }

    pub(crate) fn with_model(
        info: &DeviceInfo<'_>,
        model: Model,
        iommu: impl FnOnce(&T) -> Option<Arc<SoftIommu>>,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        const {
            // What `kzalloc()` promises.
            assert!(align_of::<Allocation<T>>() <= align_of::<u64>());
        }

        // SAFETY: The table is static, the name is copied, and the size is that of an allocation
        // that begins with a `struct vdpa_device`.
        let vdev = from_err_ptr(unsafe {
            bindings::__vdpa_alloc_device(
                as_raw(info.parent),
                model.table,
                model.map_ops.map_or(null(), from_ref),
                info.groups,
                info.address_spaces,
                size_of::<Allocation<T>>(),
                info.name.map_or(null(), |name| name.as_char_ptr()),
                model.use_va,
            )
        })?;
        let vdev = NonNull::new(vdev).ok_or(ENOMEM)?;

        // SAFETY: Nobody else knows the device. Until its data is there, releasing the device must
        // not drop it: that takes a table without `free`, which nothing else is looked up in.
        unsafe {
            (*vdev.as_ptr()).config = const { &Table::<T>::EMPTY };
            (*vdev.as_ptr()).nvqs = info.virtqueues;
            (*vdev.as_ptr()).vmap.dma_dev = match info.dma_device {
                Some(dev) => as_raw(Some(dev)),
                None => &raw mut (*vdev.as_ptr()).dev,
            };
        }

        // INVARIANT: So far this is a device without data, and without `free` in its table.
        let device = Self {
            vdev,
            virtqueues: info.virtqueues,
            parent: info.parent.map(Into::into),
            _data: PhantomData,
        };

        let mut tokens = KVVec::new();
        if model.map_ops.is_some() {
            // SAFETY: They become part of it just below.
            tokens = unsafe { Self::tokens(vdev, info.virtqueues) }?;

            let first = tokens.first().map(|token| token.to_raw());
            // What maps nothing, where there are no virtqueues.
            // SAFETY: Nobody else knows the device.
            unsafe { (*vdev.as_ptr()).vmap = first.unwrap_or(pin_init::zeroed()) };
        }

        let this = vdev.as_ptr().cast::<Allocation<T>>();
        let data = data.pin_chain(move |data| {
            let kept = Kept::new(info, &*data, iommu(&data), tokens)?;

            // SAFETY: Nobody else knows the device.
            unsafe { (*this).head.kept = MaybeUninit::new(kept) };
            Ok(())
        });

        // SAFETY: As above; the data stays where it is until it is dropped with the device, which
        // takes the table that is set after both are initialised.
        unsafe {
            pin_init::raw_try_init((&raw mut (*this).data).cast::<T>(), data)?;
            (*vdev.as_ptr()).config = model.table;
        }
        // INVARIANT: Now it is complete.
        Ok(device)
    }

    /// Makes what the memory of each virtqueue is mapped with.
    ///
    /// # Safety
    ///
    /// They must become part of the device.
    unsafe fn tokens(
        vdev: NonNull<bindings::vdpa_device>,
        nvqs: u32,
    ) -> Result<KVVec<Pin<KBox<Token>>>> {
        let mut tokens = KVVec::with_capacity(nvqs as usize, GFP_KERNEL)?;

        for vq in (0..nvqs).filter_map(|index| VqIndex::new(index, nvqs)) {
            // SAFETY: By the safety requirements of this function.
            let token = KBox::pin_init(unsafe { Token::new(vdev, vq) }, GFP_KERNEL)?;

            tokens.push(token, GFP_KERNEL)?;
        }
        Ok(tokens)
    }

    /// Hands the device to the vDPA bus, as one that was made by hand, not by a management device.
    ///
    /// # Errors
    ///
    /// `EEXIST` where the name is taken; `ENOENT` where the parent is not registered; `ENOMEM`.
    #[doc(alias = "vdpa_register_device")]
    #[inline]
    pub fn register(self) -> Result<Registration<T>>
    where
        T: 'static,
    {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::vdpa_register_device(self.vdev.as_ptr(), self.virtqueues) })?;

        // INVARIANT: Registered just above; the reference goes over to the bus.
        Ok(Registration {
            vdev: self.into_raw(),
            _data: PhantomData,
        })
    }

    /// Hands the device to the vDPA bus, as one that `mdev` has made.
    ///
    /// # Safety
    ///
    /// Called from the `dev_add` operation of `mdev` only.
    #[inline]
    pub(crate) unsafe fn register_managed(self, mdev: *mut bindings::vdpa_mgmt_dev) -> Result {
        // SAFETY: By the type invariant, nobody else uses the device yet.
        unsafe { (*self.vdev.as_ptr()).mdev = mdev };

        // SAFETY: By the type invariant and the safety requirements of this function: the lock
        // that the operation is called with is held.
        to_result(unsafe { bindings::_vdpa_register_device(self.vdev.as_ptr(), self.virtqueues) })?;

        // The reference goes over to the bus; `dev_del` gives it up.
        let _ = self.into_raw();
        Ok(())
    }

    /// Gives away the reference to a device that was registered.
    #[inline]
    fn into_raw(self) -> NonNull<bindings::vdpa_device> {
        let mut this = ManuallyDrop::new(self);

        this.parent = None;
        this.vdev
    }
}

impl<T: ConfigOps> Drop for UnregisteredDevice<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is the last reference.
        unsafe { bindings::put_device(&raw mut (*self.vdev.as_ptr()).dev) };
    }
}

/// A device on the vDPA bus that was made by hand. Dropping it takes it from the bus, and drops its
/// data.
///
/// # Invariants
///
/// The device is registered, its data is a `T`.
#[doc(alias = "vdpa_unregister_device")]
pub struct Registration<T: ConfigOps> {
    vdev: NonNull<bindings::vdpa_device>,
    _data: PhantomData<T>,
}

// SAFETY: Registering and unregistering can be done by any thread, and `T` is `Send` and `Sync`.
unsafe impl<T: ConfigOps> Send for Registration<T> {}

// SAFETY: As above.
unsafe impl<T: ConfigOps> Sync for Registration<T> {}

impl<T: ConfigOps> Registration<T> {
    /// The device, as everybody sees it.
    #[inline]
    pub fn device(&self) -> &Device {
        // SAFETY: By the type invariant the device is valid for as long as `self`.
        unsafe { Device::from_raw(self.vdev.as_ptr()) }
    }

    /// The parent's data.
    #[inline]
    pub fn data(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { Allocation::data(self.vdev.as_ptr()) }
    }
}

impl<T: ConfigOps> Drop for Registration<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            Allocation::<T>::unregister(self.vdev.as_ptr(), |vdev| {
                bindings::vdpa_unregister_device(vdev)
            })
        };
    }
}
