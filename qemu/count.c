// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A plugin of QEMU's translator that counts what the guest executes: instructions in user and in
 * kernel mode, and "syscall" instructions, on each virtual processor.
 *
 *	-plugin file=count.so,out=FILE
 *
 * A program of the guest speaks to it by executing a mark, a no-op whose displacement is MARK plus
 * a number below 256:
 *
 *	nopl (MARK + number)(%rax)
 *
 * Number 0 lets the counting begin, soon afterwards: up to there, while the guest boots, all runs at
 * full speed. From then on each mark with another number adds a line to FILE, of what was executed
 * before it:
 *
 *	mark NUMBER cpu CPU | USER KERNEL SYSCALLS u LENGTH*TIMES ... k LENGTH*TIMES ... | ...
 *
 * with a part for each virtual processor. The first three are counted from the beginning on. "u" and "k" say, for user and kernel mode, how often since the last mark LENGTH instructions,
 * less than LONGEST, lay between one "pause" and the next without a change of the mode: a loop that
 * polls consists of the same few lengths over and over, so that who knows these can tell polling
 * from work.
 *
 * Kernel mode is what lies in the upper half of the address space. A string instruction with a
 * rep prefix may count once or more than once. Interrupts count as what they are, instructions.
 *
 * Debian's packages have no qemu-plugin.h, so that what is used of version 4 of the interface
 * (QEMU 9.2 and 10.0, docs/devel/tcg-plugins) is declared here.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define VERSION	4
#define MARK	0x464c5800u
#define LONGEST	512

/* --- the interface of QEMU -------------------------------------------------------------------- */

struct insn;
struct block;
struct board;

/* A 64-bit word of each virtual processor's element of a board. */
struct word {
	struct board *board;
	size_t offset;
};

struct machine {
	const char *target;
	struct {
		int min, current;
	} version;
	bool is_system;
	int cpus, most_cpus;
};

enum { WITHOUT_REGISTERS };
enum { ADD };

typedef void (*on_translation)(uint64_t id, struct block *block);
typedef void (*on_execution)(unsigned int cpu, void *data);

/* Forgets all that was translated, and calls back. */
extern void qemu_plugin_reset(uint64_t id, void (*callback)(uint64_t id));
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_translation callback);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, on_execution callback, int registers, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct insn *insn, int operation, struct word word,
								uint64_t operand);
extern size_t qemu_plugin_tb_n_insns(const struct block *block);
extern struct insn *qemu_plugin_tb_get_insn(const struct block *block, size_t place);
extern size_t qemu_plugin_insn_data(const struct insn *insn, void *bytes, size_t length);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);
extern int qemu_plugin_num_vcpus(void);
extern struct board *qemu_plugin_scoreboard_new(size_t size);
extern void *qemu_plugin_scoreboard_find(struct board *board, unsigned int cpu);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const struct machine *machine, int count,
							       char **arguments);

int qemu_plugin_version = VERSION;

/* --- counting --------------------------------------------------------------------------------- */

enum mode { USER, KERNEL };

struct counts {
	/* By what is translated, without a call. */
	uint64_t executed[2];
	uint64_t syscalls;
	/* At the last pause: what was executed, in which mode. */
	uint64_t paused[2];
	enum mode paused_in;
	/* By length, and how many of them were told at the last mark. */
	uint64_t polls[2][LONGEST];
	uint64_t told[2][LONGEST];
};

static uint64_t plugin;
static struct board *board;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void at_pause(unsigned int cpu, void *data)
{
	struct counts *counts = qemu_plugin_scoreboard_find(board, cpu);
	enum mode mode = (enum mode)(uintptr_t)data;
	uint64_t length = counts->executed[mode] - counts->paused[mode];
	bool same = counts->paused_in == mode && counts->executed[!mode] == counts->paused[!mode];

	if (same && length < LONGEST)
		counts->polls[mode][length]++;
	counts->paused[USER] = counts->executed[USER];
	counts->paused[KERNEL] = counts->executed[KERNEL];
	counts->paused_in = mode;
}

static void tell_polls(char name, const uint64_t *polls, uint64_t *told)
{
	fprintf(out, " %c", name);
	for (size_t length = 0; length < LONGEST; length++) {
		/* Its processor goes on counting. */
		uint64_t times = polls[length];

		if (times != told[length])
			fprintf(out, " %zu*%llu", length, (unsigned long long)(times - told[length]));
		told[length] = times;
	}
}

static void at_mark(unsigned int cpu, void *data)
{
	pthread_mutex_lock(&lock);
	fprintf(out, "mark %u cpu %u", (unsigned int)(uintptr_t)data, cpu);
	for (int i = 0; i < qemu_plugin_num_vcpus(); i++) {
		struct counts *counts = qemu_plugin_scoreboard_find(board, (unsigned int)i);

		fprintf(out, " | %llu %llu %llu", (unsigned long long)counts->executed[USER],
			(unsigned long long)counts->executed[KERNEL], (unsigned long long)counts->syscalls);
		tell_polls('u', counts->polls[USER], counts->told[USER]);
		tell_polls('k', counts->polls[KERNEL], counts->told[KERNEL]);
	}
	fputc('\n', out);
	fflush(out);
	pthread_mutex_unlock(&lock);
}

/* The number of a mark; -1 for any other instruction. */
static int mark_number(const uint8_t *bytes, size_t length)
{
	static const uint8_t nopl[] = { 0x0f, 0x1f, 0x80 };
	uint32_t displacement;

	if (length != sizeof(nopl) + sizeof(displacement) || memcmp(bytes, nopl, sizeof(nopl)))
		return -1;
	memcpy(&displacement, bytes + sizeof(nopl), sizeof(displacement));
	return (displacement & ~0xffu) == MARK ? (int)(displacement & 0xff) : -1;
}

static bool is(const uint8_t *bytes, size_t length, uint8_t first, uint8_t second)
{
	return length == 2 && bytes[0] == first && bytes[1] == second;
}

static void add_one(struct insn *insn, size_t offset)
{
	struct word word = { board, offset };

	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, word, 1);
}

static void count_block(uint64_t id, struct block *block)
{
	size_t count = qemu_plugin_tb_n_insns(block);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct insn *insn = qemu_plugin_tb_get_insn(block, i);
		uint8_t bytes[16];
		size_t length = qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
		enum mode mode = qemu_plugin_insn_vaddr(insn) >> 63 ? KERNEL : USER;
		int number = mode == USER ? mark_number(bytes, length) : -1;

		/* A callback comes before what is added for the same instruction. */
		if (number > 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, WITHOUT_REGISTERS, (void *)(uintptr_t)number);
		if (is(bytes, length, 0xf3, 0x90))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_pause, WITHOUT_REGISTERS, (void *)(uintptr_t)mode);
		if (mode == USER && is(bytes, length, 0x0f, 0x05))
			add_one(insn, offsetof(struct counts, syscalls));
		add_one(insn, offsetof(struct counts, executed) + mode * sizeof(uint64_t));
	}
}

/* --- up to the beginning ---------------------------------------------------------------------- */

static void begin(uint64_t id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
}

static void at_first_mark(unsigned int cpu, void *data)
{
	static bool has_begun;
	bool first;

	(void)cpu;
	(void)data;
	pthread_mutex_lock(&lock);
	first = !has_begun;
	has_begun = true;
	pthread_mutex_unlock(&lock);
	if (first)
		qemu_plugin_reset(plugin, begin);
}

static void look_for_mark(uint64_t id, struct block *block)
{
	size_t count = qemu_plugin_tb_n_insns(block);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct insn *insn = qemu_plugin_tb_get_insn(block, i);
		uint8_t bytes[16];

		if (mark_number(bytes, qemu_plugin_insn_data(insn, bytes, sizeof(bytes))) == 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_first_mark, WITHOUT_REGISTERS, NULL);
	}
}

int qemu_plugin_install(uint64_t id, const struct machine *machine, int count, char **arguments)
{
	const char *path = NULL;

	for (int i = 0; i < count; i++)
		if (!strncmp(arguments[i], "out=", 4))
			path = arguments[i] + 4;
	if (!path || count != 1) {
		fprintf(stderr, "count: takes one argument, out=FILE\n");
		return -1;
	}
	if (!machine->is_system || strcmp(machine->target, "x86_64")) {
		fprintf(stderr, "count: knows the instructions of an x86_64 machine only\n");
		return -1;
	}
	out = fopen(path, "w");
	if (!out) {
		fprintf(stderr, "count: cannot write to %s: %m\n", path);
		return -1;
	}
	plugin = id;
	board = qemu_plugin_scoreboard_new(sizeof(struct counts));
	qemu_plugin_register_vcpu_tb_trans_cb(id, look_for_mark);
	return 0;
}
