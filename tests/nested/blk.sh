# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: a file system whose files have the same contents after it was mounted
# again, from which nothing remains in memory.

mke2fs /dev/vda 16384
mount -t ext2 /dev/vda /mnt
echo "ok inner: a file system is made and mounted"
for size in 1 7 64 300 1024; do
	dd if=/dev/urandom of=/mnt/file$size bs=1024 count=$size 2>/dev/null
done
(cd /mnt && sha256sum file* >SUMS)
umount /mnt
mount -t ext2 /dev/vda /mnt
(cd /mnt && sha256sum -c SUMS)
umount /mnt
echo "ok inner: the files have the same contents"
