/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * behaviour BACKEND NAME: one behaviour of the library, on one backend. Says what is wrong, and
 * exits with 1 then. Without arguments it lists their names.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <flexsc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nanoseconds that only a hang reaches. */
#define LONG_TIME 60000000000LL

#define CHECK(what) \
	do { \
		if (!(what)) { \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			exit(1); \
		} \
	} while (0)

static const char *backend;
static struct flexsc *context;

static void begin_with(struct flexsc_attr attr)
{
	attr.backend = backend;
	attr.entries = 64;
	if (flexsc_register(&context, &attr) < 0) {
		printf("%s\n", flexsc_register_error());
		exit(1);
	}
}

static void begin(void)
{
	struct flexsc_attr attr = { 0 };

	begin_with(attr);
}

static int is_direct(void)
{
	return !strcmp(flexsc_backend(context), "direct");
}

static struct flexsc_call *get(uint64_t user_data, uint32_t flags)
{
	struct flexsc_call *call = flexsc_get_call(context);

	call->user_data = user_data;
	call->flags = flags;
	return call;
}

/* Waits for the next completion, which has to be of this call. */
static struct flexsc_completion next(uint64_t user_data)
{
	struct flexsc_completion done;

	CHECK(flexsc_wait(context, 1, LONG_TIME) >= 1);
	CHECK(flexsc_reap(context, &done, 1) == 1);
	CHECK(done.user_data == user_data && done.reserved == 0);
	return done;
}

static void every_call_completes_with_its_data(void)
{
	struct flexsc_completion done[200];
	int seen[200] = { 0 };

	begin();
	/* More than there are entries, and all got before the first is prepared. */
	for (uint64_t i = 0; i < 200; i++)
		get(i, 0);
	CHECK(flexsc_wait(context, 200, LONG_TIME) == 200);
	CHECK(flexsc_outstanding(context) == 0);
	CHECK(flexsc_reap(context, done, 150) == 150);
	CHECK(flexsc_reap(context, done + 150, 150) == 50);
	CHECK(flexsc_reap(context, done, 1) == 0);
	for (int i = 0; i < 200; i++) {
		CHECK(done[i].res == 0 && done[i].flags == 0 && done[i].user_data < 200);
		CHECK(!seen[done[i].user_data]++);
	}
	/* There is nothing to wait for. */
	CHECK(flexsc_wait(context, 1, -1) == 0);
	CHECK(flexsc_unregister(context) == 0);
}

static void addresses_hold_until_calls_are_submitted(void)
{
	struct flexsc_call *calls[200];

	begin();
	for (uint64_t i = 0; i < 200; i++)
		calls[i] = get(i, 0);
	for (int i = 0; i < 200; i++) {
		CHECK(calls[i]->user_data == (uint64_t)i);
		flexsc_prep_getppid(calls[i]);
	}
	CHECK(flexsc_submit(context) == 200);
	CHECK(flexsc_submit(context) == 0);
	CHECK(flexsc_wait(context, 200, LONG_TIME) == 200);
	for (int i = 0; i < 200; i++) {
		struct flexsc_completion done;

		CHECK(flexsc_reap(context, &done, 1) == 1 && done.res == getppid());
	}
	CHECK(flexsc_unregister(context) == 0);
}

/* Sleeps as flexsc_arm() says; it must be told of something. Returns how many completions can be taken. */
static int turn(void)
{
	struct pollfd file = { flexsc_event_fd(context), POLLIN, 0 };
	int timeout, count = flexsc_arm(context, &timeout);

	CHECK(file.fd >= 0);
	CHECK(count == 0 || timeout == 0);
	if (count == 0 && timeout != 0)
		CHECK(poll(&file, 1, timeout < 0 ? 60000 : timeout) == 1 || timeout >= 0);
	return count;
}

static void event_loop_is_told_of_completions(void)
{
	struct flexsc_completion done;
	int ends[2], direct;
	char byte = 'x';

	begin();
	direct = !strcmp(flexsc_backend(context), "direct");
	CHECK(pipe(ends) == 0);
	for (uint64_t round = 0; round < 100; round++) {
		if (direct)
			CHECK(write(ends[1], "y", 1) == 1);
		flexsc_prep_read(get(round, 0), ends[0], &byte, 1);
		flexsc_prep_faccessat(get(1000, 0), AT_FDCWD, "/none", F_OK);
		while (flexsc_reap(context, &done, 1) == 0)
			turn();
		CHECK(direct || done.user_data == 1000);
		if (!direct)
			CHECK(write(ends[1], "y", 1) == 1);
		while (flexsc_reap(context, &done, 1) == 0)
			turn();
		CHECK(direct || done.user_data == round);
		CHECK(byte == 'y');
		byte = 'x';
	}
	CHECK(flexsc_outstanding(context) == 0);
	CHECK(flexsc_unregister(context) == 0);
	close(ends[0]);
	close(ends[1]);
}

static void chain_shares_its_file(void)
{
	char text[64] = "";

	begin();
	flexsc_prep_openat(get(1, FLEXSC_LINK | FLEXSC_FILE), AT_FDCWD, "/proc/self/comm", O_RDONLY, 0);
	flexsc_prep_read(get(2, FLEXSC_LINK | FLEXSC_FILE), -1, text, sizeof(text));
	flexsc_prep_close(get(3, FLEXSC_FILE), -1);
	CHECK(next(1).res == 0);
	CHECK(next(2).res == (int64_t)strlen(text));
	CHECK(next(3).res == 0);
	CHECK(!strcmp(text, "behaviour\n"));
	CHECK(flexsc_unregister(context) == 0);
}

static void failure_cancels_the_rest_of_its_chain(void)
{
	begin();
	flexsc_prep_openat(get(1, FLEXSC_LINK | FLEXSC_FILE), AT_FDCWD, "/does/not/exist", O_RDONLY, 0);
	flexsc_prep_nop(get(2, FLEXSC_LINK));
	flexsc_prep_nop(get(3, 0));
	flexsc_prep_nop(get(4, 0));
	CHECK(flexsc_wait(context, 4, LONG_TIME) == 4);
	for (int i = 0; i < 4; i++) {
		struct flexsc_completion done;

		CHECK(flexsc_reap(context, &done, 1) == 1);
		CHECK(done.res == (done.user_data == 1 ? -ENOENT : done.user_data == 4 ? 0 : -ECANCELED));
	}
	CHECK(flexsc_unregister(context) == 0);
}

static void chain_ends_with_its_submission(void)
{
	begin();
	flexsc_prep_close(get(1, FLEXSC_LINK), -1);
	CHECK(flexsc_submit(context) == 1);
	CHECK(next(1).res == -EBADF);
	flexsc_prep_nop(get(2, 0));
	CHECK(next(2).res == 0);
	CHECK(flexsc_unregister(context) == 0);
}

static void what_makes_no_sense_is_invalid(void)
{
	begin();
	get(1, 1U << 31);
	CHECK(next(1).res == -EINVAL);
	get(1, 0)->reserved[2] = 1;
	CHECK(next(1).res == -EINVAL);
	get(1, FLEXSC_FILE);
	CHECK(next(1).res == -EINVAL);
	flexsc_prep_getppid(get(1, FLEXSC_MULTI));
	CHECK(next(1).res == -EINVAL);
	flexsc_prep_poll(get(1, FLEXSC_MULTI | FLEXSC_FILE), 0, POLLIN);
	CHECK(next(1).res == -EINVAL);
	flexsc_prep_syscall(get(1, 0), -1, (uint64_t[6]){ 0 });
	CHECK(next(1).res == -ENOSYS);
	flexsc_prep_syscall(get(1, 0), 1L << 40, (uint64_t[6]){ 0 });
	CHECK(next(1).res == -ENOSYS);
	flexsc_prep_fsync(get(1, FLEXSC_FILE), 0);
	CHECK(next(1).res == -EBADF);
	CHECK(flexsc_unregister(context) == 0);
}

static void time_limit_ends_a_call_that_waits(void)
{
	struct flexsc_call *call;
	char byte;
	int ends[2];

	begin();
	CHECK(pipe(ends) == 0);
	call = get(1, FLEXSC_TIMEOUT);
	flexsc_prep_read(call, ends[0], &byte, 1);
	call->timeout_ns = 2000000;
	CHECK(next(1).res == -ETIME);
	call = get(2, FLEXSC_TIMEOUT);
	flexsc_prep_write(call, ends[1], "x", 1);
	call->timeout_ns = -1;
	CHECK(next(2).res == -ETIME);
	flexsc_prep_write(get(3, 0), ends[1], "y", 1);
	CHECK(next(3).res == 1);
	CHECK(read(ends[0], &byte, 1) == 1 && byte == 'y');
	CHECK(flexsc_unregister(context) == 0);
}

static void poll_that_goes_on_tells_until_it_is_cancelled(void)
{
	struct flexsc_completion done;
	char byte;
	int ends[2];

	begin();
	CHECK(pipe(ends) == 0);
	flexsc_prep_poll(get(1, FLEXSC_MULTI), ends[0], POLLIN);
	CHECK(flexsc_wait(context, 1, 0) == 0);
	for (int i = 0; i < 10; i++) {
		struct pollfd file = { .fd = ends[0], .events = POLLIN };

		CHECK(write(ends[1], "x", 1) == 1);
		do {
			done = next(1);
			CHECK(done.res == POLLIN && done.flags == FLEXSC_MORE);
			/* It may tell of what was read already. */
		} while (poll(&file, 1, 0) == 0);
		CHECK(read(ends[0], &byte, 1) == 1);
	}
	CHECK(flexsc_cancel(context, 1) == 0);
	do
		done = next(1);
	while (done.flags & FLEXSC_MORE);
	CHECK(done.res == -ECANCELED);
	CHECK(flexsc_cancel(context, 1) == -ENOENT);
	CHECK(flexsc_outstanding(context) == 0);
	CHECK(flexsc_unregister(context) == 0);
}

static void cancelled_read_has_no_effect(void)
{
	char bytes[3];
	int ends[2], ret;

	begin();
	if (is_direct())
		return;
	CHECK(pipe(ends) == 0);
	for (uint64_t i = 0; i < 3; i++)
		flexsc_prep_read(get(i, 0), ends[0], &bytes[i], 1);
	CHECK(flexsc_cancel(context, 7) == -ENOENT);
	ret = flexsc_cancel(context, 1);
	/* The latter while somebody tries whether there is something to read. */
	CHECK(ret == 0 || ret == -EALREADY);
	CHECK(next(1).res == -ECANCELED);
	CHECK(flexsc_outstanding(context) == 2);
	CHECK(flexsc_cancel_all(context) == 2);
	CHECK(flexsc_wait(context, 2, LONG_TIME) == 2);
	CHECK(write(ends[1], "x", 1) == 1);
	CHECK(read(ends[0], bytes, 1) == 1);
	CHECK(flexsc_unregister(context) == 0);
}

static void unregister_tells_what_is_still_in_progress(void)
{
	static char byte;
	struct flexsc_attr attr = { .close_timeout_ms = 10 };
	int ends[2];

	begin_with(attr);
	if (is_direct())
		return;
	CHECK(pipe(ends) == 0);
	flexsc_prep_read(get(1, 0), ends[0], &byte, 1);
	flexsc_submit(context);
	CHECK(flexsc_unregister(context) == 1);
}

static void child_gets_its_calls_back(void)
{
	pid_t child;
	int status, ends[2];

	begin();
	CHECK(pipe(ends) == 0);
	if (!is_direct())
		flexsc_prep_poll(get(1, 0), ends[0], POLLIN);
	flexsc_submit(context);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (!is_direct())
			CHECK(next(1).res == -EOWNERDEAD);
		flexsc_prep_getppid(get(2, 0));
		CHECK(next(2).res == (is_direct() ? getppid() : -EOWNERDEAD));
		CHECK(flexsc_unregister(context) == 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(write(ends[1], "x", 1) == 1);
	if (!is_direct())
		CHECK(next(1).res == POLLIN);
	CHECK(flexsc_unregister(context) == 0);
}

static void counts_tell_what_was_done(void)
{
	struct flexsc_stats stats, part;

	begin();
	for (uint64_t i = 0; i < 10; i++)
		flexsc_prep_getppid(get(i, 0));
	CHECK(flexsc_wait(context, 10, LONG_TIME) == 10);
	memset(&stats, 0xff, sizeof(stats));
	flexsc_get_stats(context, &stats, sizeof(stats));
	CHECK(stats.submitted == 10);
	CHECK(stats.entries_w + stats.entries_t + stats.entries_c + stats.handed_back == 10);
	/* A program of an older header. */
	memset(&part, 0xff, sizeof(part));
	flexsc_get_stats(context, &part, offsetof(struct flexsc_stats, queued));
	CHECK(part.submitted == 10 && part.queued == UINT64_MAX);
	CHECK(flexsc_unregister(context) == 0);
}

static void refused_registration_says_why(void)
{
	struct flexsc_attr attr = { .backend = "nothing" };
	struct flexsc *refused = (struct flexsc *)&attr;

	CHECK(!strcmp(flexsc_register_error(), ""));
	CHECK(flexsc_register(&refused, &attr) == -EINVAL && !refused);
	CHECK(strstr(flexsc_register_error(), "\"nothing\""));
	attr = (struct flexsc_attr){ .backend = backend, .flags = 1U << 31 };
	CHECK(flexsc_register(&refused, &attr) == -EINVAL && !refused);
	CHECK(strstr(flexsc_register_error(), "flags"));
	attr = (struct flexsc_attr){ .backend = backend, .reserved = { 0, 1, 0 } };
	CHECK(flexsc_register(&refused, &attr) == -EINVAL && !refused);
	CHECK(flexsc_unregister(NULL) == 0);
	begin();
	CHECK(!strcmp(flexsc_backend(context), backend));
	CHECK(!strcmp(flexsc_reason(context), "asked for"));
	CHECK(flexsc_unregister(context) == 0);
}

static void errors_have_a_name_and_a_text(void)
{
	CHECK(!strcmp(flexsc_strerror(-ENOENT), "ENOENT: No such file or directory"));
	CHECK(!strcmp(flexsc_strerror(EPERM), "EPERM: Operation not permitted"));
	CHECK(!strcmp(flexsc_strerror(0), "no error"));
	CHECK(strlen(flexsc_strerror(-99999)) > 0);
	CHECK(!strcmp(flexsc_version(), FLEXSC_VERSION));
}

static void *use_what_was_registered_elsewhere(void *unused)
{
	flexsc_prep_getppid(get(1, 0));
	CHECK(next(1).res == getppid());
	/* Sentences are each thread's own. */
	CHECK(!strcmp(flexsc_register_error(), ""));
	return unused;
}

static void context_is_used_by_one_thread_then_by_another(void)
{
	struct flexsc_attr attr = { .backend = "nothing" };
	pthread_t thread;

	CHECK(flexsc_register(&context, &attr) == -EINVAL);
	begin();
	CHECK(pthread_create(&thread, NULL, use_what_was_registered_elsewhere, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	flexsc_prep_getppid(get(2, 0));
	CHECK(next(2).res == getppid());
	CHECK(strlen(flexsc_register_error()) > 0);
	CHECK(flexsc_unregister(context) == 0);
}

static void *use_one_of_its_own(void *count)
{
	struct flexsc_attr attr = { .backend = backend };
	struct flexsc_completion done;
	struct flexsc *own;

	CHECK(flexsc_register(&own, &attr) == 0);
	for (int i = 0; i < 100; i++)
		flexsc_prep_getppid(flexsc_get_call(own));
	CHECK(flexsc_wait(own, 100, LONG_TIME) == 100);
	while (flexsc_reap(own, &done, 1) == 1)
		++*(int *)count;
	CHECK(flexsc_unregister(own) == 0);
	return NULL;
}

static void threads_have_contexts_beside_each_other(void)
{
	pthread_t threads[4];
	int counts[4] = { 0 };

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, use_one_of_its_own, &counts[i]) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0 && counts[i] == 100);
}

/* Makes a call of the library with an errno of its own, which has to be there afterwards. */
#define KEEPS_ERRNO(call) \
	do { \
		errno = 4711; \
		(void)(call); \
		CHECK(errno == 4711); \
	} while (0)

static void errno_is_left_alone(void)
{
	struct flexsc_attr wrong = { .backend = "nothing" };
	struct flexsc_attr attr = { .backend = backend };
	struct flexsc_completion done;
	struct flexsc_stats stats;
	struct flexsc_call *call = NULL;
	int timeout;

	KEEPS_ERRNO(flexsc_register(&context, &wrong));
	KEEPS_ERRNO(flexsc_register_error());
	KEEPS_ERRNO(flexsc_register(&context, &attr));
	KEEPS_ERRNO(flexsc_backend(context));
	KEEPS_ERRNO(flexsc_reason(context));
	KEEPS_ERRNO(flexsc_version());
	KEEPS_ERRNO(flexsc_strerror(-99999));
	KEEPS_ERRNO(call = flexsc_get_call(context));
	KEEPS_ERRNO((flexsc_prep_openat(call, AT_FDCWD, "/does/not/exist", O_RDONLY, 0), 0));
	KEEPS_ERRNO(flexsc_submit(context));
	KEEPS_ERRNO(flexsc_wait(context, 1, LONG_TIME));
	KEEPS_ERRNO(flexsc_reap(context, &done, 1));
	CHECK(done.res == -ENOENT);
	KEEPS_ERRNO(flexsc_event_fd(context));
	KEEPS_ERRNO(flexsc_arm(context, &timeout));
	KEEPS_ERRNO(flexsc_wait(context, 1, 1));
	KEEPS_ERRNO(flexsc_cancel(context, 1));
	KEEPS_ERRNO(flexsc_cancel_all(context));
	KEEPS_ERRNO(flexsc_outstanding(context));
	KEEPS_ERRNO(flexsc_capacity(context));
	KEEPS_ERRNO((flexsc_get_stats(context, &stats, sizeof(stats)), 0));
	KEEPS_ERRNO(flexsc_unregister(context));
}

#define BEHAVIOUR(name) { #name, name }

static const struct {
	const char *name;
	void (*run)(void);
} behaviours[] = {
	BEHAVIOUR(every_call_completes_with_its_data),
	BEHAVIOUR(addresses_hold_until_calls_are_submitted),
	BEHAVIOUR(chain_shares_its_file),
	BEHAVIOUR(failure_cancels_the_rest_of_its_chain),
	BEHAVIOUR(chain_ends_with_its_submission),
	BEHAVIOUR(what_makes_no_sense_is_invalid),
	BEHAVIOUR(time_limit_ends_a_call_that_waits),
	BEHAVIOUR(event_loop_is_told_of_completions),
	BEHAVIOUR(poll_that_goes_on_tells_until_it_is_cancelled),
	BEHAVIOUR(cancelled_read_has_no_effect),
	BEHAVIOUR(unregister_tells_what_is_still_in_progress),
	BEHAVIOUR(child_gets_its_calls_back),
	BEHAVIOUR(counts_tell_what_was_done),
	BEHAVIOUR(refused_registration_says_why),
	BEHAVIOUR(errors_have_a_name_and_a_text),
	BEHAVIOUR(context_is_used_by_one_thread_then_by_another),
	BEHAVIOUR(threads_have_contexts_beside_each_other),
	BEHAVIOUR(errno_is_left_alone),
};

int main(int argc, char **argv)
{
	CHECK(argc == 1 || argc == 3);
	backend = argc == 3 ? argv[1] : NULL;
	for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		if (argc == 1) {
			puts(behaviours[i].name);
		} else if (!strcmp(behaviours[i].name, argv[2])) {
			behaviours[i].run();
			return 0;
		}
	}
	if (argc == 1)
		return 0;
	printf("there is no behaviour %s\n", argv[2]);
	return 2;
}
