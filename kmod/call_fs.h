/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a path means to the process: its root, working directory and umask, and the
 * names themselves.
 */
#ifndef FLEXSC_CALL_FS_H
#define FLEXSC_CALL_FS_H

#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/path.h>

#include "call.h"

struct delegated_inode;

/* The root, working directory and umask of one call. */
struct flexsc_fs {
	struct fs_struct priv;
	struct fs_struct *saved;	/* NULL: current->fs is right as it is */
};

int flexsc_fs_enter(struct flexsc_fs *fs, struct flexsc_frame *frame);
int flexsc_fs_enter_at(struct flexsc_fs *fs, struct flexsc_frame *frame, int dfd,
		       const char *name);
int flexsc_fs_enter_path(struct flexsc_fs *fs, struct flexsc_frame *frame,
			 const struct path *pwd);
void flexsc_fs_leave(struct flexsc_fs *fs);

/* A path name, copied once from the user. What flexsc_name_get() does not fill in nobody reads. */
struct flexsc_name {
	struct filename own;	/* for those who want one: flexsc_filename_get() */
	unsigned int len;
};

int flexsc_name_get(struct flexsc_name *name, const char __user *uname, bool may_be_empty);
void flexsc_name_put(struct flexsc_name *name);
struct filename *flexsc_filename_get(struct flexsc_name *name);
void flexsc_filename_put(struct flexsc_name *name, struct filename *filename);
bool flexsc_last_is_special(const struct flexsc_name *name);

int flexsc_path_begin(struct flexsc_fs *fs, struct flexsc_frame *frame, int *dfd);

bool flexsc_leased(const struct flexsc_frame *frame, const struct inode *inode);
bool flexsc_undelegated(const struct flexsc_frame *frame, struct delegated_inode *delegated,
			int *rc);

/* What a call does with what its path leads to: returns the result. */
typedef s64 (*flexsc_path_fn)(const struct path *path, void *data);

int flexsc_on_path(struct flexsc_frame *frame, int dfd, const char __user *uname,
		   unsigned int lookup, flexsc_path_fn fn, void *data);

#endif /* FLEXSC_CALL_FS_H */
