/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Each flexsc_prep_*() puts number and arguments where the kernel takes them from: int is sign
 * extended, unsigned int is not, 64-bit types keep all of their bits. Prints what is wrong.
 */
#define _GNU_SOURCE
#include <flexsc.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

static int failed;

static void expect(const char *name, const struct flexsc_call *call, long nr, const uint64_t *args, size_t count)
{
	if (call->nr != (uint64_t)nr) {
		printf("%s: nr is %" PRIu32 ", not %ld\n", name, call->nr, nr);
		failed = 1;
	}
	for (size_t i = 0; i < 6; i++) {
		uint64_t want = i < count ? args[i] : 0;

		if (call->args[i] != want) {
			printf("%s: argument %zu is %#" PRIx64 ", not %#" PRIx64 "\n", name, i, call->args[i], want);
			failed = 1;
		}
	}
	if (call->user_data != 7 || call->flags != FLEXSC_LINK || call->timeout_ns != 8) {
		printf("%s: touches a field of the caller's\n", name);
		failed = 1;
	}
}

#define POINTER(n) ((void *)(uintptr_t)(n))

/* PREP(name, number, (&call, arguments...), registers...) */
#define PREP(name, nr, given, ...) \
	do { \
		static const uint64_t args[] = { 0, __VA_ARGS__ }; \
		reset(&call); \
		flexsc_prep_##name given; \
		expect(#name, &call, nr, args + 1, sizeof(args) / sizeof(args[0]) - 1); \
	} while (0)

static void reset(struct flexsc_call *call)
{
	memset(call, 0xff, sizeof(*call));
	call->user_data = 7;
	call->flags = FLEXSC_LINK;
	call->timeout_ns = 8;
}

int main(void)
{
	static const uint64_t raw[6] = { 1, 2, 3, 4, 5, 6 };
	struct flexsc_call call;

	PREP(nop, 0xffff, (&call), 0, 0, 0, 0, 0, 0);
	PREP(poll, 0xfffe, (&call, -1, 0xffffU), (uint64_t)-1, 0xffff);
	PREP(syscall, 39, (&call, 39, raw), 1, 2, 3, 4, 5, 6);
	PREP(read, SYS_read, (&call, -1, POINTER(0x1002), 0x3000000003UL),
	     (uint64_t)-1, 0x1002, 0x3000000003);
	PREP(write, SYS_write, (&call, -1, POINTER(0x1002), 0x3000000003UL),
	     (uint64_t)-1, 0x1002, 0x3000000003);
	PREP(pread, SYS_pread64, (&call, -1, POINTER(0x1002), 0x3000000003UL, -400000000000LL),
	     (uint64_t)-1, 0x1002, 0x3000000003, (uint64_t)-400000000000LL);
	PREP(pwrite, SYS_pwrite64, (&call, -1, POINTER(0x1002), 0x3000000003UL, -400000000000LL),
	     (uint64_t)-1, 0x1002, 0x3000000003, (uint64_t)-400000000000LL);
	PREP(readv, SYS_readv, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(writev, SYS_writev, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(preadv, SYS_preadv, (&call, -1, POINTER(0x1002), -3, -400000000000LL),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, (uint64_t)-400000000000LL);
	PREP(pwritev, SYS_pwritev, (&call, -1, POINTER(0x1002), -3, -400000000000LL),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, (uint64_t)-400000000000LL);
	PREP(sendfile, SYS_sendfile, (&call, -1, -2, POINTER(0x1003), 0x4000000004UL),
	     (uint64_t)-1, (uint64_t)-2, 0x1003, 0x4000000004);
	PREP(splice, SYS_splice, (&call, -1, POINTER(0x1002), -3, POINTER(0x1004), 0x5000000005UL, 0xfffffff6U),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0x1004, 0x5000000005, 0xfffffff6);
	PREP(copy_file_range, SYS_copy_file_range, (&call, -1, POINTER(0x1002), -3, POINTER(0x1004), 0x5000000005UL, 0xfffffff6U),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0x1004, 0x5000000005, 0xfffffff6);
	PREP(lseek, SYS_lseek, (&call, -1, -200000000000LL, -3),
	     (uint64_t)-1, (uint64_t)-200000000000LL, (uint64_t)-3);
	PREP(fsync, SYS_fsync, (&call, -1), (uint64_t)-1);
	PREP(fdatasync, SYS_fdatasync, (&call, -1), (uint64_t)-1);
	PREP(syncfs, SYS_syncfs, (&call, -1), (uint64_t)-1);
	PREP(sync_file_range, SYS_sync_file_range, (&call, -1, -200000000000LL, -300000000000LL, 0xfffffff4U),
	     (uint64_t)-1, (uint64_t)-200000000000LL, (uint64_t)-300000000000LL, 0xfffffff4);
	PREP(ftruncate, SYS_ftruncate, (&call, -1, -200000000000LL), (uint64_t)-1, (uint64_t)-200000000000LL);
	PREP(fallocate, SYS_fallocate, (&call, -1, -2, -300000000000LL, -400000000000LL),
	     (uint64_t)-1, (uint64_t)-2, (uint64_t)-300000000000LL, (uint64_t)-400000000000LL);
	PREP(fadvise, SYS_fadvise64, (&call, -1, -200000000000LL, -300000000000LL, -4),
	     (uint64_t)-1, (uint64_t)-200000000000LL, (uint64_t)-300000000000LL, (uint64_t)-4);
	PREP(flock, SYS_flock, (&call, -1, -2), (uint64_t)-1, (uint64_t)-2);
	PREP(fcntl, SYS_fcntl, (&call, -1, -2, 0x3000000003UL), (uint64_t)-1, (uint64_t)-2, 0x3000000003);
	PREP(ioctl, SYS_ioctl, (&call, -1, 0x2000000002UL, POINTER(0x1003)),
	     (uint64_t)-1, 0x2000000002, 0x1003);
	PREP(getdents64, SYS_getdents64, (&call, -1, POINTER(0x1002), 0x3000000003UL),
	     (uint64_t)-1, 0x1002, 0x3000000003);
	PREP(close, SYS_close, (&call, -1), (uint64_t)-1);
	PREP(openat, SYS_openat, (&call, -1, POINTER(0x1002), -3, 0xfffffff4U),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0xfffffff4);
	PREP(openat2, SYS_openat2, (&call, -1, POINTER(0x1002), POINTER(0x1003), 0x4000000004UL),
	     (uint64_t)-1, 0x1002, 0x1003, 0x4000000004);
	PREP(fstat, SYS_fstat, (&call, -1, POINTER(0x1002)), (uint64_t)-1, 0x1002);
	PREP(fstatat, SYS_newfstatat, (&call, -1, POINTER(0x1002), POINTER(0x1003), -4),
	     (uint64_t)-1, 0x1002, 0x1003, (uint64_t)-4);
	PREP(statx, SYS_statx, (&call, -1, POINTER(0x1002), -3, 0xfffffff4U, POINTER(0x1005)),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0xfffffff4, 0x1005);
	PREP(statfs, SYS_statfs, (&call, POINTER(0x1001), POINTER(0x1002)), 0x1001, 0x1002);
	PREP(fstatfs, SYS_fstatfs, (&call, -1, POINTER(0x1002)), (uint64_t)-1, 0x1002);
	PREP(fchmod, SYS_fchmod, (&call, -1, 0xfffffff2U), (uint64_t)-1, 0xfffffff2);
	PREP(fchmodat, SYS_fchmodat, (&call, -1, POINTER(0x1002), 0xfffffff3U),
	     (uint64_t)-1, 0x1002, 0xfffffff3);
	PREP(fchmodat2, 452, (&call, -1, POINTER(0x1002), 0xfffffff3U, -4),
	     (uint64_t)-1, 0x1002, 0xfffffff3, (uint64_t)-4);
	PREP(fchown, SYS_fchown, (&call, -1, 0xfffffff2U, 0xfffffff3U), (uint64_t)-1, 0xfffffff2, 0xfffffff3);
	PREP(fchownat, SYS_fchownat, (&call, -1, POINTER(0x1002), 0xfffffff3U, 0xfffffff4U, -5),
	     (uint64_t)-1, 0x1002, 0xfffffff3, 0xfffffff4, (uint64_t)-5);
	PREP(utimensat, SYS_utimensat, (&call, -1, POINTER(0x1002), POINTER(0x1003), -4),
	     (uint64_t)-1, 0x1002, 0x1003, (uint64_t)-4);
	PREP(faccessat, SYS_faccessat, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(truncate, SYS_truncate, (&call, POINTER(0x1001), -200000000000LL),
	     0x1001, (uint64_t)-200000000000LL);
	PREP(mkdirat, SYS_mkdirat, (&call, -1, POINTER(0x1002), 0xfffffff3U),
	     (uint64_t)-1, 0x1002, 0xfffffff3);
	PREP(mknodat, SYS_mknodat, (&call, -1, POINTER(0x1002), 0xfffffff3U, 0x4000000004UL),
	     (uint64_t)-1, 0x1002, 0xfffffff3, 0x4000000004);
	PREP(unlinkat, SYS_unlinkat, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(renameat2, SYS_renameat2, (&call, -1, POINTER(0x1002), -3, POINTER(0x1004), 0xfffffff5U),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0x1004, 0xfffffff5);
	PREP(linkat, SYS_linkat, (&call, -1, POINTER(0x1002), -3, POINTER(0x1004), -5),
	     (uint64_t)-1, 0x1002, (uint64_t)-3, 0x1004, (uint64_t)-5);
	PREP(symlinkat, SYS_symlinkat, (&call, POINTER(0x1001), -2, POINTER(0x1003)),
	     0x1001, (uint64_t)-2, 0x1003);
	PREP(readlinkat, SYS_readlinkat, (&call, -1, POINTER(0x1002), POINTER(0x1003), 0x4000000004UL),
	     (uint64_t)-1, 0x1002, 0x1003, 0x4000000004);
	PREP(setxattr, SYS_setxattr, (&call, POINTER(0x1001), POINTER(0x1002), POINTER(0x1003), 0x4000000004UL, -5),
	     0x1001, 0x1002, 0x1003, 0x4000000004, (uint64_t)-5);
	PREP(lsetxattr, SYS_lsetxattr, (&call, POINTER(0x1001), POINTER(0x1002), POINTER(0x1003), 0x4000000004UL, -5),
	     0x1001, 0x1002, 0x1003, 0x4000000004, (uint64_t)-5);
	PREP(fsetxattr, SYS_fsetxattr, (&call, -1, POINTER(0x1002), POINTER(0x1003), 0x4000000004UL, -5),
	     (uint64_t)-1, 0x1002, 0x1003, 0x4000000004, (uint64_t)-5);
	PREP(getxattr, SYS_getxattr, (&call, POINTER(0x1001), POINTER(0x1002), POINTER(0x1003), 0x4000000004UL),
	     0x1001, 0x1002, 0x1003, 0x4000000004);
	PREP(lgetxattr, SYS_lgetxattr, (&call, POINTER(0x1001), POINTER(0x1002), POINTER(0x1003), 0x4000000004UL),
	     0x1001, 0x1002, 0x1003, 0x4000000004);
	PREP(fgetxattr, SYS_fgetxattr, (&call, -1, POINTER(0x1002), POINTER(0x1003), 0x4000000004UL),
	     (uint64_t)-1, 0x1002, 0x1003, 0x4000000004);
	PREP(listxattr, SYS_listxattr, (&call, POINTER(0x1001), POINTER(0x1002), 0x3000000003UL),
	     0x1001, 0x1002, 0x3000000003);
	PREP(llistxattr, SYS_llistxattr, (&call, POINTER(0x1001), POINTER(0x1002), 0x3000000003UL),
	     0x1001, 0x1002, 0x3000000003);
	PREP(flistxattr, SYS_flistxattr, (&call, -1, POINTER(0x1002), 0x3000000003UL),
	     (uint64_t)-1, 0x1002, 0x3000000003);
	PREP(removexattr, SYS_removexattr, (&call, POINTER(0x1001), POINTER(0x1002)), 0x1001, 0x1002);
	PREP(lremovexattr, SYS_lremovexattr, (&call, POINTER(0x1001), POINTER(0x1002)), 0x1001, 0x1002);
	PREP(fremovexattr, SYS_fremovexattr, (&call, -1, POINTER(0x1002)), (uint64_t)-1, 0x1002);
	PREP(socket, SYS_socket, (&call, -1, -2, -3), (uint64_t)-1, (uint64_t)-2, (uint64_t)-3);
	PREP(socketpair, SYS_socketpair, (&call, -1, -2, -3, POINTER(0x1004)),
	     (uint64_t)-1, (uint64_t)-2, (uint64_t)-3, 0x1004);
	PREP(bind, SYS_bind, (&call, -1, POINTER(0x1002), 0xfffffff3U), (uint64_t)-1, 0x1002, 0xfffffff3);
	PREP(listen, SYS_listen, (&call, -1, -2), (uint64_t)-1, (uint64_t)-2);
	PREP(connect, SYS_connect, (&call, -1, POINTER(0x1002), 0xfffffff3U),
	     (uint64_t)-1, 0x1002, 0xfffffff3);
	PREP(accept4, SYS_accept4, (&call, -1, POINTER(0x1002), POINTER(0x1003), -4),
	     (uint64_t)-1, 0x1002, 0x1003, (uint64_t)-4);
	PREP(sendto, SYS_sendto, (&call, -1, POINTER(0x1002), 0x3000000003UL, -4, POINTER(0x1005), 0xfffffff6U),
	     (uint64_t)-1, 0x1002, 0x3000000003, (uint64_t)-4, 0x1005, 0xfffffff6);
	PREP(recvfrom, SYS_recvfrom, (&call, -1, POINTER(0x1002), 0x3000000003UL, -4, POINTER(0x1005), POINTER(0x1006)),
	     (uint64_t)-1, 0x1002, 0x3000000003, (uint64_t)-4, 0x1005, 0x1006);
	PREP(sendmsg, SYS_sendmsg, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(recvmsg, SYS_recvmsg, (&call, -1, POINTER(0x1002), -3), (uint64_t)-1, 0x1002, (uint64_t)-3);
	PREP(shutdown, SYS_shutdown, (&call, -1, -2), (uint64_t)-1, (uint64_t)-2);
	PREP(setsockopt, SYS_setsockopt, (&call, -1, -2, -3, POINTER(0x1004), 0xfffffff5U),
	     (uint64_t)-1, (uint64_t)-2, (uint64_t)-3, 0x1004, 0xfffffff5);
	PREP(getsockopt, SYS_getsockopt, (&call, -1, -2, -3, POINTER(0x1004), POINTER(0x1005)),
	     (uint64_t)-1, (uint64_t)-2, (uint64_t)-3, 0x1004, 0x1005);
	PREP(clock_nanosleep, SYS_clock_nanosleep, (&call, -1, -2, POINTER(0x1003), POINTER(0x1004)),
	     (uint64_t)-1, (uint64_t)-2, 0x1003, 0x1004);
	PREP(getrandom, SYS_getrandom, (&call, POINTER(0x1001), 0x2000000002UL, 0xfffffff3U),
	     0x1001, 0x2000000002, 0xfffffff3);
	PREP(getppid, SYS_getppid, (&call), 0);
	return failed;
}
