# SPDX-License-Identifier: GPL-2.0
#
# What the C driver of character devices answers, turned into what ours does, wherever they differ on
# purpose. A line of `vhost-client script` is a number, a call with its argument, and the result.

# An ioctl that does not exist is unknown to everybody, whatever its argument points to.
s/^([0-9]+ (RESET_OWNER|NEW_WORKER|FREE_WORKER|ATTACH_VRING_WORKER|GET_VRING_WORKER|NET_SET_BACKEND|[GS]ET_FEATURES_ARRAY|[GS]ET_VRING_ENDIAN) [^:]*): (EPERM|ENOBUFS|EFAULT) /\1: ENOTTY /

# A group is not a virtqueue: how many there are of those does not matter.
s/^([0-9]+ (VDPA_)?SET_GROUP_ASID [^:]*): ENOBUFS /\1: EINVAL /

# The size of a ring does not change while the device works, whatever the new one is.
/^[0-9]+ running:/,/^[0-9]+ status:/ s/^([0-9]+ SET_VRING_NUM 0{8}[^:]*): EINVAL /\1: EBUSY /

# A message that is refused says why; there was one errno for all.
s/^([0-9]+ message [^:]*): (EFAULT|EINVAL|EEXIST|EPERM|ENOMEM|ENOSPC) -$/\1: refused/

# A range that wraps around is none, also if it shall be unmapped.
s/^([0-9]+ message 3 [^:]* 0xf{16}\+0x2 0): 72 -$/\1: refused/
s/^([0-9]+ message 3 [^:]* 0xf{13}000\+0x1001 0): 72 -$/\1: refused/

# A message that is not all there is none: more was taken than there was.
s/^([0-9]+ write (4[0-9]|5[0-9]|6[0-9]|7[01])): 72 -$/\1: EINVAL -/
