/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Copies a file, with eight blocks in flight: each is written where it was read as soon as that is
 * complete, and the next is read into its memory.
 *
 *	$ c++ -std=c++17 copy.cpp $(pkg-config --cflags --libs flexsc) -o copy
 *	$ head -c 1000000 /dev/urandom >from
 *
 * Expect:
 *
 *	$ ./copy from to && cmp from to
 *	1000000 bytes by threads
 *
 * (or by another backend, which FLEXSC_BACKEND=module, io_uring, threads or direct forces; nothing from cmp). On a failure it says which, and
 * its exit status is 1.
 */
#include <fcntl.h>
#include <flexsc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Unregister {
	void operator()(flexsc *context) const { flexsc_unregister(context); }
};
using Context = std::unique_ptr<flexsc, Unregister>;

Context register_context()
{
	flexsc *context;
	if (flexsc_register(&context, nullptr) < 0)
		throw std::runtime_error(flexsc_register_error());
	return Context(context);
}

/* What a call returned, or an exception. */
std::int64_t good(std::int64_t res, const std::string &what)
{
	if (res < 0)
		throw std::runtime_error(what + ": " + flexsc_strerror(static_cast<int>(res)));
	return res;
}

/* Makes one call, and waits for it. */
template <typename Prepare> std::int64_t run(flexsc *context, const std::string &what, Prepare prepare)
{
	prepare(flexsc_get_call(context));
	flexsc_completion done;
	flexsc_wait(context, 1, -1);
	if (flexsc_reap(context, &done, 1) != 1)
		throw std::runtime_error(what + ": no completion");
	return good(done.res, what);
}

struct File {
	int fd = -1;

	File() = default;
	File(const File &) = delete;
	File &operator=(const File &) = delete;
	~File()
	{
		if (fd >= 0)
			close(fd);
	}
};

/* A part of the file on its way: what was read is written before more of it is read. */
struct Block {
	std::vector<char> bytes = std::vector<char>(128 * 1024);
	off_t offset = 0, end = 0;
	std::size_t length = 0, written = 0;
};

class Copy {
public:
	Copy(flexsc *context, const char *from, const char *to) : context(context)
	{
		source.fd = static_cast<int>(run(context, from, [=](flexsc_call *call) {
			flexsc_prep_openat(call, AT_FDCWD, from, O_RDONLY | O_CLOEXEC, 0);
		}));
		struct stat stat;
		run(context, from, [&](flexsc_call *call) { flexsc_prep_fstat(call, source.fd, &stat); });
		size = stat.st_size;
		target.fd = static_cast<int>(run(context, to, [=](flexsc_call *call) {
			flexsc_prep_openat(call, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		}));
	}

	Copy(const Copy &) = delete;
	Copy &operator=(const Copy &) = delete;

	~Copy()
	{
		/* After an exception calls are in flight, and use what goes away here. */
		flexsc_completion done;
		flexsc_cancel_all(context);
		while (flexsc_wait(context, 1, -1) > 0)
			flexsc_reap(context, &done, 1);
	}

	off_t copy()
	{
		std::array<flexsc_completion, 8> done;
		for (std::size_t i = 0; i < blocks.size(); i++)
			next(i);
		while (flexsc_wait(context, 1, -1) > 0) {
			int count = flexsc_reap(context, done.data(), done.size());
			for (int i = 0; i < count; i++)
				go_on(done[i]);
		}
		run(context, "fsync", [this](flexsc_call *call) { flexsc_prep_fsync(call, target.fd); });
		return copied;
	}

private:
	/* Begins with the next part of the file, if there is one. */
	void next(std::size_t number)
	{
		Block &block = blocks[number];
		block.offset = position;
		block.end = std::min(size, position + static_cast<off_t>(block.bytes.size()));
		position = block.end;
		if (block.offset < block.end)
			read(number);
	}

	void read(std::size_t number)
	{
		Block &block = blocks[number];
		flexsc_call *call = flexsc_get_call(context);
		call->user_data = number;
		block.length = block.written = 0;
		flexsc_prep_pread(call, source.fd, block.bytes.data(), static_cast<std::size_t>(block.end - block.offset),
				  block.offset);
	}

	void write(std::size_t number)
	{
		Block &block = blocks[number];
		flexsc_call *call = flexsc_get_call(context);
		call->user_data = number;
		flexsc_prep_pwrite(call, target.fd, block.bytes.data() + block.written, block.length - block.written,
				   block.offset);
	}

	void go_on(const flexsc_completion &done)
	{
		Block &block = blocks[done.user_data];
		bool was_read = block.length == 0;
		auto count = static_cast<std::size_t>(good(done.res, was_read ? "read" : "write"));
		if (was_read) {
			block.length = count;
			/* Nothing is there any more of a file that has become shorter. */
			if (count > 0)
				write(done.user_data);
			return;
		}
		block.written += count;
		block.offset += static_cast<off_t>(count);
		copied += static_cast<off_t>(count);
		if (block.written < block.length)
			write(done.user_data);
		else if (block.offset < block.end)
			read(done.user_data);
		else
			next(done.user_data);
	}

	flexsc *context;
	File source, target;
	off_t size = 0, position = 0, copied = 0;
	std::array<Block, 8> blocks;
};

} // namespace

int main(int argc, char **argv)
try {
	if (argc != 3) {
		std::fputs("usage: copy FROM TO\n", stderr);
		return 2;
	}
	Context context = register_context();
	off_t copied = Copy(context.get(), argv[1], argv[2]).copy();
	std::printf("%lld bytes by %s\n", static_cast<long long>(copied), flexsc_backend(context.get()));
	return 0;
} catch (const std::exception &error) {
	std::fprintf(stderr, "copy: %s\n", error.what());
	return 1;
}
