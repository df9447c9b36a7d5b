/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An external engine of fio(1), on libflexsc's C API:
 *
 *	fio --ioengine=external:/path/of/fio-flexsc.so --iodepth=64 --rw=randread ...
 *
 * Who executes the calls its option flexsc_backend says, or FLEXSC_BACKEND in the environment, as of every
 * program of the library. Reads, writes and syncs are posted; a trim is made by fio itself.
 *
 * It is compiled for one build of fio: struct thread_data has the shape that fio's configure gave it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "fio.h"
#include "optgroup.h"

#include "flexsc.h"

/* What a job's engine has. */
struct engine {
	struct flexsc *context;
	/* Prepared and not submitted, and taken and not asked for: iodepth of each. */
	struct io_u **queued;
	unsigned int nr_queued;
	struct flexsc_completion *taken;
};

struct engine_options {
	void *pad;		/* fio takes an offset of 0 for none */
	const char *backend;
};

static struct fio_option options[] = {
	{
		.name = "flexsc_backend",
		.lname = "backend of libflexsc",
		.type = FIO_OPT_STR_STORE,
		.off1 = offsetof(struct engine_options, backend),
		.help = "module, io_uring, threads or direct [the best there is]",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{ .name = NULL },
};

static void cleanup(struct thread_data *td)
{
	struct engine *engine = td->io_ops_data;

	if (!engine)
		return;
	td->io_ops_data = NULL;
	/* fio frees its buffers next, and there is no way to have it leave them. */
	if (engine->context && flexsc_unregister(engine->context) > 0) {
		log_err("fio: flexsc: calls do not end, whose buffers would be freed\n");
		_exit(1);
	}
	free(engine->queued);
	free(engine->taken);
	free(engine);
}

/* Called in the job's own process or thread, which a context belongs to. */
static int init(struct thread_data *td)
{
	const struct engine_options *chosen = td->eo;
	const struct flexsc_attr attr = {
		.backend = chosen->backend,
		.entries = td->o.iodepth,
	};
	struct engine *engine = calloc(1, sizeof(*engine));
	int ret;

	if (!engine) {
		td_verror(td, ENOMEM, "flexsc");
		return 1;
	}
	td->io_ops_data = engine;
	engine->queued = calloc(td->o.iodepth, sizeof(*engine->queued));
	engine->taken = calloc(td->o.iodepth, sizeof(*engine->taken));
	if (!engine->queued || !engine->taken) {
		td_verror(td, ENOMEM, "flexsc");
		return 1;
	}
	ret = flexsc_register(&engine->context, &attr);
	if (ret < 0) {
		log_err("fio: flexsc: %s\n", flexsc_register_error());
		td_verror(td, -ret, "flexsc_register");
		return 1;
	}
	return 0;
}

static enum fio_q_status queue(struct thread_data *td, struct io_u *io_u)
{
	struct engine *engine = td->io_ops_data;
	struct fio_file *file = io_u->file;
	struct flexsc_call *call;

	fio_ro_check(td, io_u);
	if (engine->nr_queued == td->o.iodepth)
		return FIO_Q_BUSY;
	if (io_u->ddir == DDIR_TRIM) {
		/* Behind what was queued before it. */
		if (engine->nr_queued)
			return FIO_Q_BUSY;
		do_io_u_trim(td, io_u);
		io_u_mark_submit(td, 1);
		io_u_mark_complete(td, 1);
		return FIO_Q_COMPLETED;
	}
	if (io_u->ddir == DDIR_SYNC_FILE_RANGE && file->last_write <= file->first_write) {
		/* Nothing was written, and a length of 0 would mean all that is behind. */
		io_u->error = 0;
		return FIO_Q_COMPLETED;
	}
	call = flexsc_get_call(engine->context);
	switch (io_u->ddir) {
	case DDIR_READ:
		flexsc_prep_pread(call, file->fd, io_u->xfer_buf, io_u->xfer_buflen, io_u->offset);
		break;
	case DDIR_WRITE:
		flexsc_prep_pwrite(call, file->fd, io_u->xfer_buf, io_u->xfer_buflen, io_u->offset);
		break;
	case DDIR_DATASYNC:
		flexsc_prep_fdatasync(call, file->fd);
		break;
	case DDIR_SYNC_FILE_RANGE:
		flexsc_prep_sync_file_range(call, file->fd, file->first_write,
				file->last_write - file->first_write, td->o.sync_file_range);
		break;
	default:
		flexsc_prep_fsync(call, file->fd);
		break;
	}
	call->user_data = (uintptr_t)io_u;
	engine->queued[engine->nr_queued++] = io_u;
	return FIO_Q_QUEUED;
}

static int commit(struct thread_data *td)
{
	struct engine *engine = td->io_ops_data;
	struct timespec now;

	if (!engine->nr_queued)
		return 0;
	if (fio_fill_issue_time(td)) {
		fio_gettime(&now, NULL);
		for (unsigned int i = 0; i < engine->nr_queued; i++) {
			engine->queued[i]->issue_time = now;
			io_u_queued(td, engine->queued[i]);
		}
		/* By which a log that is replayed keeps its time. */
		if (td->o.read_iolog_file)
			td->last_issue = now;
	}
	io_u_mark_submit(td, engine->nr_queued);
	engine->nr_queued = 0;
	flexsc_submit(engine->context);
	return 0;
}

static int getevents(struct thread_data *td, unsigned int min, unsigned int max,
		const struct timespec *limit)
{
	struct engine *engine = td->io_ops_data;
	int64_t ns = min ? -1 : 0;

	if (min && limit)
		ns = limit->tv_sec * INT64_C(1000000000) + limit->tv_nsec;
	flexsc_wait(engine->context, min, ns);
	return flexsc_reap(engine->context, engine->taken, max < td->o.iodepth ? max : td->o.iodepth);
}

static struct io_u *event(struct thread_data *td, int number)
{
	const struct engine *engine = td->io_ops_data;
	const struct flexsc_completion *done = &engine->taken[number];
	struct io_u *io_u = (struct io_u *)(uintptr_t)done->user_data;

	io_u->error = 0;
	io_u->resid = 0;
	if (done->res < 0)
		io_u->error = -done->res;
	else if (ddir_rw(io_u->ddir))
		io_u->resid = io_u->xfer_buflen - done->res;
	return io_u;
}

/* fio looks for a symbol of this name. */
struct ioengine_ops ioengine = {
	.name = "flexsc",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_ASYNCIO_SYNC_TRIM | FIO_ASYNCIO_SETS_ISSUE_TIME | FIO_NO_OFFLOAD,
	.init = init,
	.queue = queue,
	.commit = commit,
	.getevents = getevents,
	.event = event,
	.cleanup = cleanup,
	.open_file = generic_open_file,
	.close_file = generic_close_file,
	.get_file_size = generic_get_file_size,
	.option_struct_size = sizeof(struct engine_options),
	.options = options,
};
