// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What programs do that must not notice that their calls are made by somebody else. Without an
 * argument it prints the names; with one it does that, in a directory of its own, and says nothing,
 * or what is wrong. Every behaviour is right without the library, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) ((what) ? (void)0 : wrong(__LINE__, #what))

extern char **environ;

static void wrong(int line, const char *what)
{
	fprintf(stderr, "line %d: not so: %s (%s)\n", line, what, strerror(errno));
	_exit(1);
}

static int file_of(const char *name, size_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	size_t i;

	CHECK(fd >= 0);
	for (i = 0; i < size; i++) {
		char byte = (char)('a' + i % 26);

		CHECK(pwrite(fd, &byte, 1, (off_t)i) == 1);
	}
	return fd;
}

static int is_letter(int fd, size_t at)
{
	char byte = 0;

	return pread(fd, &byte, 1, (off_t)at) == 1 && byte == (char)('a' + at % 26);
}

static void ends_well(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int handled_file;
static volatile sig_atomic_t handled;

static void note(int signal)
{
	int before = errno;

	(void)signal;
	if (write(handled_file, "x", 1) == 1)
		handled++;
	errno = before;
}

static void timer(long us)
{
	struct itimerval every = { { 0, us }, { 0, us } };

	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void on(int number, void (*handler)(int), int flags)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	action.sa_flags = flags;
	CHECK(sigaction(number, &action, NULL) == 0);
}

/* Each write of the handler and each read beside it is made, once. */
static void handler_writes_during_reads(void)
{
	struct itimerval once = { { 0, 0 }, { 0, 500 } };
	int fd = file_of("data", 26), armed = 0, n;
	struct stat status;

	handled_file = file_of("notes", 0);
	on(SIGALRM, note, SA_RESTART);
	for (n = 0; handled < 50 || n < 300; n++) {
		/* One at a time: where calls are slow, nothing else would be done. */
		if (handled == armed) {
			CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
			armed++;
		}
		errno = 77;
		CHECK(is_letter(fd, (size_t)n % 26));
		CHECK(errno == 77);
	}
	while (handled < armed)
		usleep(1000);
	CHECK(fstat(handled_file, &status) == 0);
	CHECK(status.st_size == handled);
}

static sigjmp_buf back;

static void leave(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

/* What was read into stays what it becomes after the handler has left. */
static void handler_leaves_by_longjmp(void)
{
	int fd = file_of("data", 4096);
	volatile int jumps = 0, reads = 0;

	on(SIGALRM, leave, 0);
	if (sigsetjmp(back, 1))
		jumps++;
	/* The time grows: where calls are slow, it is too short for any at first. */
	while (jumps < 40 || reads == 0) {
		struct itimerval once = { { 0, 0 }, { 0, 200 + 37 * jumps } };
		char buffer[4096], other[4096];
		int i;

		CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
		for (i = 0; i < 1000000; i++) {
			memset(other, 0, sizeof(other));
			CHECK(pread(fd, buffer, sizeof(buffer), 0) == 4096);
			CHECK(buffer[4095] == (char)('a' + 4095 % 26));
			CHECK(other[0] == 0 && other[4095] == 0);
			reads++;
		}
	}
	CHECK(reads > 0);
	CHECK(is_letter(fd, 100));
}

/* A file that a forked child closes is open in the parent, and the child's own calls are made. */
static void forked_child(void)
{
	int fd = file_of("data", 26), n;

	for (n = 0; n < 10; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			CHECK(is_letter(fd, 3));
			CHECK(close(fd) == 0);
			CHECK(file_of("child", 5) == fd);
			_exit(0);
		}
		CHECK(is_letter(fd, 7));
		ends_well(pid);
		CHECK(is_letter(fd, 9));
	}
}

/* A child that shares the memory closes and opens files of its own table. */
static void vforked_child(void)
{
	int fd = file_of("data", 26), n;

	for (n = 0; n < 10; n++) {
		volatile int told = 0;
		pid_t pid = vfork();

		if (pid == 0) {
			char byte;

			if (pread(fd, &byte, 1, 4) == 1 && close(fd) == 0 && fcntl(fd, F_GETFD) < 0)
				told = 1;
			_exit(0);
		}
		ends_well(pid);
		CHECK(told == 1);
		CHECK(is_letter(fd, 5));
	}
}

static void spawned_program(void)
{
	int fd = file_of("data", 26), status;
	char *arguments[] = { "sh", "-c", "cat <data >copy && cmp data copy", NULL };
	char *missing[] = { "missing", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addclose(&actions, fd) == 0);
	CHECK(posix_spawn(&pid, "/bin/sh", &actions, NULL, arguments, environ) == 0);
	ends_well(pid);
	CHECK(posix_spawn(&pid, "/nowhere/missing", NULL, NULL, missing, environ) == ENOENT);
	CHECK(is_letter(fd, 8));
	status = system("exit 3");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	CHECK(is_letter(fd, 9));
}

static void *reader(void *fd)
{
	int n;

	for (n = 0; n < 60; n++)
		CHECK(is_letter(*(int *)fd, (size_t)n % 26));
	return fd;
}

/* More than there are contexts for, in turns. */
static void threads_come_and_go(void)
{
	int fd = file_of("data", 26), round, n;
	pthread_attr_t small;

	CHECK(pthread_attr_init(&small) == 0);
	CHECK(pthread_attr_setstacksize(&small, 32768) == 0);
	for (round = 0; round < 4; round++) {
		pthread_t threads[12];
		void *result;

		for (n = 0; n < 12; n++)
			CHECK(pthread_create(&threads[n], n == 11 ? &small : NULL, reader, &fd) == 0);
		for (n = 0; n < 12; n++) {
			CHECK(pthread_join(threads[n], &result) == 0);
			CHECK(result == &fd);
		}
	}
	CHECK(is_letter(fd, 25));
}

static int cleaned;
static volatile int begun;

static void clean(void *argument)
{
	(void)argument;
	cleaned++;
}

static int pipe_ends[2];

static void *blocked_reader(void *fd)
{
	char byte;

	pthread_cleanup_push(clean, NULL);
	begun = 1;
	CHECK(is_letter(*(int *)fd, 1));
	CHECK(read(pipe_ends[0], &byte, 1) == 1);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *endless_reader(void *fd)
{
	char byte;

	pthread_cleanup_push(clean, NULL);
	begun = 1;
	for (;;)
		CHECK(pread(*(int *)fd, &byte, 1, 0) == 1);
	pthread_cleanup_pop(0);
	return NULL;
}

/* In a read that waits, and in reads that do not. */
static void cancelled_thread(void)
{
	int fd = file_of("data", 26), n;
	void *(*const bodies[])(void *) = { blocked_reader, endless_reader };

	CHECK(pipe(pipe_ends) == 0);
	for (n = 0; n < 6; n++) {
		pthread_t thread;
		void *result;

		begun = 0;
		CHECK(pthread_create(&thread, NULL, bodies[n % 2], &fd) == 0);
		while (!begun)
			usleep(1000);
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
		CHECK(cleaned == n + 1);
	}
	CHECK(is_letter(fd, 2));
}

/* Perhaps before its first function. */
static void thread_cancelled_at_once(void)
{
	int fd = file_of("data", 26), n;

	CHECK(pipe(pipe_ends) == 0);
	for (n = 0; n < 20; n++) {
		pthread_t thread;
		void *result;

		CHECK(pthread_create(&thread, NULL, blocked_reader, &fd) == 0);
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	CHECK(is_letter(fd, 2));
}

/* As a daemon does it. None of its own files is left, and the library goes on, or is plain. */
static void closes_all_by_a_loop(void)
{
	int fd = file_of("data", 26), n;

	for (n = 3; n < 1024; n++)
		if (n != fd)
			CHECK(close(n) == 0 || errno == EBADF);
	for (n = 0; n < 30; n++)
		CHECK(is_letter(fd, (size_t)n % 26));
	CHECK(close(fd) == 0);
	CHECK(open("data", O_RDONLY) == 3);
}

static void closes_all_by_close_range(void)
{
	int fd = file_of("data", 26), far = fcntl(fd, F_DUPFD, 900);

	CHECK(far >= 900);
	CHECK(close_range(3, ~0U, 0) == 0);
	CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
	CHECK(fcntl(far, F_GETFD) < 0 && errno == EBADF);
	fd = open("data", O_RDONLY);
	CHECK(fd == 3);
	CHECK(is_letter(fd, 12));
	far = fcntl(fd, F_DUPFD, 900);
	closefrom(4);
	CHECK(fcntl(far, F_GETFD) < 0 && errno == EBADF);
	CHECK(is_letter(fd, 13));
}

/* All numbers of the program's become another file. */
static void dup2_over_all(void)
{
	int fd = file_of("data", 26), n;

	for (n = 3; n < 1024; n++)
		CHECK(dup2(fd, n) == n);
	for (n = 3; n < 1024; n++)
		CHECK(is_letter(n, (size_t)n % 26));
	for (n = 1023; n > 3; n--)
		CHECK(close(n) == 0);
	CHECK(is_letter(3, 11));
	CHECK(open("data", O_RDONLY) == 4);
}

/* Past the C library. */
static void closes_all_by_instructions(void)
{
	int fd = file_of("data", 26), n;

	for (n = fd + 1; n < 1024; n++)
		syscall(SYS_close, n);
	for (n = 0; n < 30; n++)
		CHECK(is_letter(fd, (size_t)n % 26));
	for (n = fd + 1; n < 1000; n++)
		CHECK(syscall(SYS_dup2, fd, n) == n);
	for (n = fd; n < 1000; n++)
		CHECK(is_letter(n, (size_t)n % 26));
	for (n = fd + 1; n < 1000; n++)
		CHECK(close(n) == 0);
	CHECK(is_letter(fd, 1));
}

/* Waits until the handler has been called so many times. */
static void until_handled(const char *notes, off_t times)
{
	struct stat status;

	do {
		usleep(1000);
		CHECK(stat(notes, &status) == 0);
	} while (status.st_size < times);
}

/* Without SA_RESTART a read of a pipe ends by the signal; with it it goes on. */
static void signal_ends_a_read_of_a_pipe(void)
{
	int fd = file_of("data", 26);
	char byte;
	pid_t pid;

	handled_file = file_of("notes", 0);
	CHECK(pipe(pipe_ends) == 0);
	CHECK(is_letter(fd, 1));
	on(SIGALRM, note, 0);
	/* Again and again: the first may come before the read. */
	timer(50000);
	errno = 0;
	CHECK(read(pipe_ends[0], &byte, 1) == -1);
	CHECK(errno == EINTR && handled >= 1);
	on(SIGALRM, note, SA_RESTART);
	pid = fork();
	if (pid == 0) {
		until_handled("notes", handled + 3);
		CHECK(write(pipe_ends[1], "y", 1) == 1);
		_exit(0);
	}
	CHECK(read(pipe_ends[0], &byte, 1) == 1);
	CHECK(byte == 'y' && handled >= 4);
	timer(0);
	ends_well(pid);
	CHECK(is_letter(fd, 2));
}

static void broken_pipe_raises_its_signal(void)
{
	int fd = file_of("data", 26);

	handled_file = file_of("notes", 0);
	CHECK(is_letter(fd, 1));
	CHECK(pipe(pipe_ends) == 0 && close(pipe_ends[0]) == 0);
	on(SIGPIPE, note, 0);
	CHECK(write(pipe_ends[1], "x", 1) == -1);
	CHECK(errno == EPIPE && handled == 1);
}

static void limit_of_size_raises_its_signal(void)
{
	struct rlimit limit = { 10, RLIM_INFINITY };
	int fd = file_of("data", 10);

	handled_file = open("/dev/null", O_WRONLY);
	CHECK(handled_file >= 0);
	on(SIGXFSZ, note, 0);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK(pwrite(fd, "xy", 2, 9) == 1);
	CHECK(pwrite(fd, "x", 1, 10) == -1);
	CHECK(errno == EFBIG && handled == 1);
	limit.rlim_cur = RLIM_INFINITY;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void errors_are_those_of_the_calls(void)
{
	int fd = file_of("data", 26), directory = open(".", O_RDONLY);
	int reading = open("data", O_RDONLY);
	struct stat status;
	struct iovec none = { NULL, 0 };
	/* What a compiler would complain of. */
	char *volatile nowhere = (char *)1;
	volatile int negative = -1;
	char byte;

	CHECK(directory >= 0 && reading >= 0);
	CHECK(read(directory, &byte, 1) == -1 && errno == EISDIR);
	CHECK(write(reading, "x", 1) == -1 && errno == EBADF);
	CHECK(pread(fd, &byte, 1, -1) == -1 && errno == EINVAL);
	CHECK(pread(fd, nowhere, 1, 0) == -1 && errno == EFAULT);
	CHECK(read(-1, &byte, 1) == -1 && errno == EBADF);
	CHECK(close(-1) == -1 && errno == EBADF);
	CHECK(readv(fd, &none, negative) == -1 && errno == EINVAL);
	CHECK(open("data", O_RDWR | O_CREAT | O_EXCL, 0600) == -1 && errno == EEXIST);
	CHECK(open("data", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
	CHECK(open("missing", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(open(nowhere, O_RDONLY) == -1 && errno == EFAULT);
	CHECK(stat("data/x", &status) == -1 && errno == ENOTDIR);
	CHECK(fstatat(directory, "data", &status, 0x40000000) == -1 && errno == EINVAL);
	CHECK(fstatat(directory, "data", &status, 0) == 0 && status.st_size == 26);
	CHECK(symlink("data", "link") == 0);
	CHECK(lstat("link", &status) == 0 && S_ISLNK(status.st_mode));
	CHECK(stat("link", &status) == 0 && S_ISREG(status.st_mode));
	CHECK(open("link", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
}

static void relative_names_follow_the_directory(void)
{
	int fd = file_of("data", 26);
	struct stat status;

	CHECK(mkdir("below", 0755) == 0);
	CHECK(stat("data", &status) == 0);
	CHECK(chdir("below") == 0);
	CHECK(stat("data", &status) == -1 && errno == ENOENT);
	close(file_of("data", 3));
	CHECK(stat("data", &status) == 0 && status.st_size == 3);
	CHECK(fstat(fd, &status) == 0 && status.st_size == 26);
	CHECK(stat("../data", &status) == 0 && status.st_size == 26);
}

/* The descriptors that a program executes another one with are its own. */
static void executed_program_inherits_nothing(void)
{
	int fd = file_of("data", 26);

	CHECK(is_letter(fd, 5) && close(fd) == 0);
	/* Else it would have one of its own. */
	CHECK(unsetenv("LD_PRELOAD") == 0);
	execl("/bin/sh", "sh", "-c", "for n in /proc/$$/fd/*; do test ${n##*/} -lt 400 || exit 1; done", (char *)NULL);
	CHECK(0);
}

/* A filter that is put on forbids the calls that are made beside each one. */
static void strict_computing(void)
{
	int fd = file_of("data", 26);
	char byte;
	pid_t pid;

	CHECK(is_letter(fd, 5));
	pid = fork();
	if (pid == 0) {
		CHECK(prctl(PR_SET_SECCOMP, 1, 0, 0, 0) == 0);
		if (read(fd, &byte, 1) != 1 || byte != 'a')
			syscall(SYS_exit, 1);
		syscall(SYS_exit, 0);
	}
	ends_well(pid);
	/* In this thread itself, which has a context. */
	CHECK(prctl(PR_SET_SECCOMP, 1, 0, 0, 0) == 0);
	if (read(fd, &byte, 1) != 1 || write(fd, "x", 1) != 1)
		syscall(SYS_exit, 1);
	syscall(SYS_exit, 0);
}

static const struct {
	const char *name;
	void (*body)(void);
} hazards[] = {
#define HAZARD(name) { #name, name }
	HAZARD(handler_writes_during_reads),
	HAZARD(handler_leaves_by_longjmp),
	HAZARD(forked_child),
	HAZARD(vforked_child),
	HAZARD(spawned_program),
	HAZARD(threads_come_and_go),
	HAZARD(cancelled_thread),
	HAZARD(thread_cancelled_at_once),
	HAZARD(closes_all_by_a_loop),
	HAZARD(closes_all_by_close_range),
	HAZARD(dup2_over_all),
	HAZARD(closes_all_by_instructions),
	HAZARD(signal_ends_a_read_of_a_pipe),
	HAZARD(broken_pipe_raises_its_signal),
	HAZARD(limit_of_size_raises_its_signal),
	HAZARD(errors_are_those_of_the_calls),
	HAZARD(relative_names_follow_the_directory),
	HAZARD(executed_program_inherits_nothing),
	HAZARD(strict_computing),
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(hazards) / sizeof(*hazards); i++) {
		if (argc < 2)
			puts(hazards[i].name);
		else if (strcmp(argv[1], hazards[i].name) == 0) {
			hazards[i].body();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
