// SPDX-License-Identifier: GPL-2.0
/*
 * Reading and writing files, for devices that are given them.
 */
#include <linux/fs.h>

int rust_vdpa_file_read(struct file *file, loff_t pos, void *buf, size_t len);
int rust_vdpa_file_write(struct file *file, loff_t pos, const void *buf,
			 size_t len);

/* All of it, or -EFAULT. Whether it may be read is asked here: not to is a mistake there. */
int rust_vdpa_file_read(struct file *file, loff_t pos, void *buf, size_t len)
{
	ssize_t done;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	for (; len; buf += done, len -= done) {
		done = kernel_read(file, buf, len, &pos);
		if (done <= 0)
			return done ?: -EFAULT;
	}
	return 0;
}

int rust_vdpa_file_write(struct file *file, loff_t pos, const void *buf,
			 size_t len)
{
	ssize_t done;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	for (; len; buf += done, len -= done) {
		done = kernel_write(file, buf, len, &pos);
		if (done <= 0)
			return done ?: -EFAULT;
	}
	return 0;
}
