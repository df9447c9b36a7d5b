/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Prints the first line of each file, all of which are read at the same time.
 *
 * For each file a chain of three calls is submitted: open, read, close. The chain's file needs no
 * descriptor, so no answer has to be waited for in between, and a file that cannot be opened
 * cancels the rest of its chain.
 *
 *	$ cc head.c $(pkg-config --cflags --libs flexsc) -o head
 *
 * Expect:
 *
 *	$ ./head /proc/sys/kernel/ostype /does/not/exist
 *	/proc/sys/kernel/ostype: Linux
 *	/does/not/exist: ENOENT: No such file or directory
 *
 * and on standard error who has executed the calls, and why; with the module loaded:
 *
 *	module: /dev/flexsc serves this process
 *	6 calls: 0 by page workers, 4 by threads, 0 here; 1 wake-ups, 0 waits
 *
 * (the figures depend; two calls were cancelled). FLEXSC_BACKEND=module, io_uring, threads
 * or direct forces a backend. Exit status 1 if a file could not be read.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <flexsc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	const char *path;
	char text[256];
	int64_t count;	/* what was read */
	int64_t error;	/* -errno of the step that has failed */
};

/* Which step of the chain a completion belongs to: the low bits of its user_data. */
enum step { OPEN, READ, CLOSE };

static struct flexsc_call *step(struct flexsc *context, size_t file, enum step step)
{
	struct flexsc_call *call = flexsc_get_call(context);

	call->user_data = (uint64_t)file << 2 | step;
	call->flags = FLEXSC_FILE | (step == CLOSE ? 0 : FLEXSC_LINK);
	return call;
}

static void read_first(struct flexsc *context, struct file *files, size_t number)
{
	struct file *file = &files[number];

	/* Path and buffer stay where they are until the completions were taken. */
	flexsc_prep_openat(step(context, number, OPEN), AT_FDCWD, file->path, O_RDONLY, 0);
	flexsc_prep_read(step(context, number, READ), -1, file->text, sizeof(file->text) - 1);
	flexsc_prep_close(step(context, number, CLOSE), -1);
}

static void complete(struct file *files, const struct flexsc_completion *done)
{
	struct file *file = &files[done->user_data >> 2];

	/* What comes after a failure is cancelled, which is not the reason. */
	if (done->res < 0 && !file->error)
		file->error = done->res;
	if ((done->user_data & 3) == READ && done->res >= 0)
		file->count = done->res;
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? (size_t)argc - 1 : 0;
	struct flexsc_completion done[64];
	struct flexsc_stats stats;
	struct flexsc *context;
	struct file *files;
	int status = 0;

	if (flexsc_register(&context, NULL) < 0) {
		fprintf(stderr, "head: %s\n", flexsc_register_error());
		return 2;
	}
	files = calloc(count + 1, sizeof(*files));
	if (!files)
		return 2;
	for (size_t i = 0; i < count; i++) {
		files[i].path = argv[i + 1];
		read_first(context, files, i);
	}
	/* Submits all of it, and waits; nothing is in progress any more when it returns 0. */
	while (flexsc_wait(context, 1, -1) > 0) {
		int taken = flexsc_reap(context, done, sizeof(done) / sizeof(done[0]));

		for (int i = 0; i < taken; i++)
			complete(files, &done[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (files[i].error) {
			printf("%s: %s\n", files[i].path, flexsc_strerror((int)files[i].error));
			status = 1;
			continue;
		}
		files[i].text[files[i].count] = '\0';
		printf("%s: %.*s\n", files[i].path, (int)strcspn(files[i].text, "\n"), files[i].text);
	}
	flexsc_get_stats(context, &stats, sizeof(stats));
	fprintf(stderr, "%s: %s\n", flexsc_backend(context), flexsc_reason(context));
	fprintf(stderr,
		"%" PRIu64 " calls: %" PRIu64 " by page workers, %" PRIu64 " by threads, %" PRIu64
		" here; %" PRIu64 " wake-ups, %" PRIu64 " waits\n",
		stats.submitted, stats.entries_w, stats.entries_t, stats.entries_c, stats.kicks, stats.waits);
	flexsc_unregister(context);
	free(files);
	return status;
}
