/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: an entry is taken (submit), begun (start) and done (complete);
 * everybody who looked at a context's ring goes to sleep; the application kicks.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM flexsc

#if !defined(FLEXSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define FLEXSC_TRACE_H

#include <linux/tracepoint.h>

#include "observe.h"
#include "uapi/flexsc.h"

#define flexsc_show_lane(lane)			\
	__print_symbolic(lane,			\
		{ FLEXSC_LANE_W, "W" },		\
		{ FLEXSC_LANE_T, "T" },		\
		{ FLEXSC_LANE_C, "C" })

TRACE_EVENT_FN(flexsc_submit,
	TP_PROTO(u32 context, u32 index, u32 nr),
	TP_ARGS(context, index, nr),
	TP_STRUCT__entry(
		__field(u32, context)
		__field(u32, index)
		__field(u32, nr)
	),
	TP_fast_assign(
		__entry->context = context;
		__entry->index = index;
		__entry->nr = nr;
	),
	TP_printk("context=%u entry=%u nr=%u",
		  __entry->context, __entry->index, __entry->nr),
	flexsc_observe_reg, flexsc_observe_unreg
);

TRACE_EVENT_FN(flexsc_start,
	TP_PROTO(u32 context, u32 index, u32 nr, u32 lane),
	TP_ARGS(context, index, nr, lane),
	TP_STRUCT__entry(
		__field(u32, context)
		__field(u32, index)
		__field(u32, nr)
		__field(u32, lane)
	),
	TP_fast_assign(
		__entry->context = context;
		__entry->index = index;
		__entry->nr = nr;
		__entry->lane = lane;
	),
	TP_printk("context=%u entry=%u nr=%u lane=%s",
		  __entry->context, __entry->index, __entry->nr,
		  flexsc_show_lane(__entry->lane)),
	flexsc_observe_reg, flexsc_observe_unreg
);

TRACE_EVENT_FN(flexsc_complete,
	TP_PROTO(u32 context, u32 index, u32 nr, u32 lane, bool handed_back,
		 s64 ret, u64 queued, u64 ran),
	TP_ARGS(context, index, nr, lane, handed_back, ret, queued, ran),
	TP_STRUCT__entry(
		__field(u32, context)
		__field(u32, index)
		__field(u32, nr)
		__field(u32, lane)
		__field(bool, handed_back)
		__field(s64, ret)
		__field(u64, queued)
		__field(u64, ran)
	),
	TP_fast_assign(
		__entry->context = context;
		__entry->index = index;
		__entry->nr = nr;
		__entry->lane = lane;
		__entry->handed_back = handed_back;
		__entry->ret = ret;
		__entry->queued = queued;
		__entry->ran = ran;
	),
	TP_printk("context=%u entry=%u nr=%u lane=%s handed_back=%d ret=%lld queued_ns=%llu ran_ns=%llu",
		  __entry->context, __entry->index, __entry->nr,
		  flexsc_show_lane(__entry->lane), __entry->handed_back,
		  __entry->ret, __entry->queued, __entry->ran),
	flexsc_observe_reg, flexsc_observe_unreg
);

TRACE_EVENT_FN(flexsc_sleep,
	TP_PROTO(u32 context),
	TP_ARGS(context),
	TP_STRUCT__entry(
		__field(u32, context)
	),
	TP_fast_assign(
		__entry->context = context;
	),
	TP_printk("context=%u", __entry->context),
	flexsc_observe_reg, flexsc_observe_unreg
);

TRACE_EVENT_FN(flexsc_kick,
	TP_PROTO(u32 context),
	TP_ARGS(context),
	TP_STRUCT__entry(
		__field(u32, context)
	),
	TP_fast_assign(
		__entry->context = context;
	),
	TP_printk("context=%u", __entry->context),
	flexsc_observe_reg, flexsc_observe_unreg
);

#endif /* FLEXSC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
