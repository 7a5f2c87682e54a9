
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "collect/prt_comments.h"
#include "platform/prt_clock.h"
#include "platform/prt_ticks.h"
#include "sources/prt_block.h"
#include "sources/prt_custom.h"
#include "sources/prt_heap.h"
#include "sources/prt_stall.h"
#include "sources/prt_wait.h"


#define PRT_COMMENTS_MAX   256             /* lines */
#define PRT_NAMED_WORKERS  64              /* in one line */


static void prt_comment(prt_merge_t *merge, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void prt_comment_workers(prt_merge_t *merge,
    const prt_snapshot_t *start, const prt_snapshot_t *end);
static const char *prt_comment_unusual(const prt_snapshot_t *start,
    const prt_snapshot_slot_t *slot);
static void prt_comment_cpu(prt_merge_t *merge,
    const prt_snapshot_t *start, const prt_snapshot_t *end, unsigned rate);
static void prt_comment_dumps(prt_merge_t *merge, const prt_snapshot_t *end);
static void prt_comment_loop(prt_merge_t *merge,
    const prt_snapshot_slot_t *slot);
static void prt_comment_memory(prt_merge_t *merge, const prt_snapshot_t *end);
static void prt_comment_stalls(prt_merge_t *merge, const prt_snapshot_t *start,
    const prt_snapshot_t *end);
static void prt_comment_block(prt_merge_t *merge);
static void prt_comment_custom(prt_merge_t *merge,
    const prt_snapshot_t *start, const prt_snapshot_t *end);
static void prt_comment_stacks(prt_merge_t *merge, unsigned profile,
    const prt_snapshot_t *start, const prt_snapshot_t *end);
static uint64_t prt_comment_sum(const prt_snapshot_t *start,
    const prt_snapshot_t *end, prt_count_t count);


int
prt_comments(prt_merge_t *merge, unsigned profile,
    const prt_target_t *target, const prt_snapshot_t *start,
    const prt_snapshot_t *end, unsigned rate)
{
    prt_report_t  *report;

    report = &merge->report;

    report->comments = prt_arena_alloc(merge->arena,
                                       PRT_COMMENTS_MAX * sizeof(char *));
    if (report->comments == NULL) {
        return -1;
    }

    prt_comment(merge, "pprofrt " PRT_VERSION);

    if (start) {
        prt_comment(merge, "window: %.3f s",
                    (double) report->duration / (double) PRT_SEC);
    }

    if (target->worker != PRT_ANY) {
        prt_comment(merge, "only worker %d", target->worker);
    }

    if (target->pid != PRT_ANY) {
        prt_comment(merge, "only pid %d", (int) target->pid);
    }

    prt_comment_workers(merge, start, end);

    if (prt_profiles[profile].info.flags & PRT_PROFILE_NOW) {
        prt_comment_dumps(merge, end);

    } else if (prt_profiles[profile].info.flags & PRT_PROFILE_MEMORY) {
        prt_comment_memory(merge, end);

    } else if (prt_profiles[profile].source == &prt_stall_source) {
        prt_comment_stalls(merge, start, end);

    } else if (prt_profiles[profile].source == &prt_wait_source) {
        prt_comment(merge, "waits: all that have ended are counted; "
                    "\"goroutine\" has those under way");

    } else if (prt_profiles[profile].source == &prt_custom_source) {
        prt_comment_custom(merge, start, end);

    } else if (prt_profiles[profile].info.flags & PRT_PROFILE_BLOCK) {
        prt_comment_block(merge);

    } else if (prt_profiles[profile].period == 0) {
        prt_comment_cpu(merge, start, end, rate);
    }

    if (!(prt_profiles[profile].info.flags & PRT_PROFILE_NOW)) {
        prt_comment_stacks(merge, profile, start, end);
    }

    return 0;
}


static void
prt_comment(prt_merge_t *merge, const char *fmt, ...)
{
    char           text[1024];
    va_list        args;
    prt_report_t  *report;

    report = &merge->report;

    if (report->ncomments == PRT_COMMENTS_MAX) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    report->comments[report->ncomments] =
                              prt_arena_printf(merge->arena, "%s", text);

    if (report->comments[report->ncomments]) {
        report->ncomments++;
    }
}


static void
prt_comment_workers(prt_merge_t *merge, const prt_snapshot_t *start,
    const prt_snapshot_t *end)
{
    unsigned                    i, ordinary, named;
    const char                 *what;
    const prt_snapshot_slot_t  *slot;

    prt_comment(merge, "processes: %u", end->n);

    for (i = 0; start && i < start->n; i++) {
        slot = &start->slots[i];

        if (prt_snapshot_find(end, slot) == NULL) {
            prt_comment(merge, "worker %d pid %d: missing: it ended and its "
                        "memory was needed for another", slot->worker,
                        (int) slot->pid);
        }
    }

    /* what is out of the ordinary comes first: the list may be cut */

    ordinary = 0;
    named = 0;

    for (i = 0; i < end->n; i++) {
        what = prt_comment_unusual(start, &end->slots[i]);

        if (what) {
            prt_comment(merge, "worker %d pid %d: %s", end->slots[i].worker,
                        (int) end->slots[i].pid, what);
        }

        ordinary += what == NULL;
    }

    for (i = 0; i < end->n && named < PRT_NAMED_WORKERS; i++) {

        if (prt_comment_unusual(start, &end->slots[i]) == NULL) {
            prt_comment(merge, "worker %d pid %d: included",
                        end->slots[i].worker, (int) end->slots[i].pid);
            named++;
        }
    }

    if (named < ordinary) {
        prt_comment(merge, "and %u more: included", ordinary - named);
    }
}


static const char *
prt_comment_unusual(const prt_snapshot_t *start,
    const prt_snapshot_slot_t *slot)
{
    const prt_snapshot_slot_t  *before;

    before = prt_snapshot_find(start, slot);

    if (slot->silent) {
        return "included as far as it recorded: it did not answer";
    }

    if (!slot->live) {
        return "included until it ended";
    }

    if (start && before == NULL) {
        return "included since it started";
    }

    if (before && before->silent) {
        return "included since it answered, which was after the beginning";
    }

    return NULL;
}


static void
prt_comment_cpu(prt_merge_t *merge,
    const prt_snapshot_t *start, const prt_snapshot_t *end, unsigned rate)
{
    char                    name[PRT_STRING_MAX];
    unsigned                i, sampled;
    uint32_t                n;
    uint64_t                signals, samples, cpu, period;
    const prt_slot_head_t  *head;

    signals = prt_comment_sum(start, end, PRT_COUNT_SIGNALS);
    samples = prt_comment_sum(start, end, PRT_COUNT_SAMPLES);
    cpu = prt_comment_sum(start, end, PRT_COUNT_CPU);

    /* what one sample stands for: another window may have wanted a higher rate */

    sampled = rate;

    for (i = 0; i < end->n; i++) {
        n = atomic_load(&end->slots[i].memory.head->rate);

        if (n > sampled && n <= PRT_CPU_RATE_MAX) {
            sampled = n;
        }
    }

    period = samples ? cpu / samples : PRT_SEC / sampled;
    period = period ? period : 1;

    merge->report.period = (int64_t) period;

    sampled = (unsigned) ((PRT_SEC + period / 2) / period);

    if (sampled != rate) {
        prt_comment(merge, "rate: asked %u Hz, sampled at %u Hz because "
                    "another profile wanted it", rate, sampled);
    } else {
        prt_comment(merge, "rate: asked %u Hz", rate);
    }

    prt_comment(merge, "achieved: %.1f signals per CPU second; %" PRIu64
                " samples in %" PRIu64 " signals (the kernel merges ticks; "
                "weights keep the totals)",
                cpu ? (double) signals * (double) PRT_SEC / (double) cpu : 0.0,
                samples, signals);

    n = (uint32_t) prt_comment_sum(start, end, PRT_COUNT_FOREIGN);

    if (n) {
        prt_comment(merge, "foreign: %u SIGPROF signals were not ours", n);
    }

    for (i = 0; i < end->n; i++) {
        head = end->slots[i].memory.head;

        n = atomic_load(&head->taken);

        if (n) {
            prt_comment(merge, "worker %d pid %d: not sampled: SIGPROF is "
                        "handled by %s", end->slots[i].worker,
                        (int) end->slots[i].pid,
                        prt_slot_text(&end->slots[i].memory, n, name));
        }

        n = atomic_load(&head->deaf);

        if (n) {
            prt_comment(merge, "worker %d pid %d: %u threads block SIGPROF "
                        "and are missing", end->slots[i].worker,
                        (int) end->slots[i].pid, n);
        }

        n = atomic_load(&head->untimed);

        if (n) {
            prt_comment(merge, "worker %d pid %d: %u threads are missing, no "
                        "timer: %s", end->slots[i].worker,
                        (int) end->slots[i].pid, n,
                        strerror((int) atomic_load(&head->untimed_errno)));
        }
    }
}


/* What the dumps lack comes first: there may be many workers. */

static void
prt_comment_dumps(prt_merge_t *merge, const prt_snapshot_t *end)
{
    unsigned                    i;
    uint64_t                    lost;
    const prt_snapshot_slot_t  *slot;

    for (i = 0; i < end->n; i++) {
        slot = &end->slots[i];

        if (!slot->live) {
            continue;
        }

        if (slot->threads == NULL) {
            prt_comment(merge, PRT_REPORT_MISSING "worker %d pid %d: its "
                        "threads, which do not answer (it is stopped, or has "
                        "just started)", slot->worker, (int) slot->pid);
        }

        if (slot->work == NULL) {
            prt_comment_loop(merge, slot);
        }

        lost = (slot->threads ? slot->threads->lost : 0)
               + (slot->work ? slot->work->lost : 0);

        if (lost) {
            prt_comment(merge, PRT_REPORT_MISSING "worker %d pid %d: %" PRIu64
                        " goroutines or their stacks had no room: "
                        "pprof_memory is too small", slot->worker,
                        (int) slot->pid, lost);
        }
    }

    for (i = 0; i < end->n; i++) {
        slot = &end->slots[i];

        if (slot->threads && slot->work) {
            prt_comment(merge, "worker %d pid %d: %u threads; %u of its loop, "
                        "listed in %u parts, which held it for %.3f ms, %.3f "
                        "at once", slot->worker, (int) slot->pid,
                        slot->threads->count, slot->work->count,
                        slot->work->parts, (double) slot->work->took / 1e6,
                        (double) slot->work->longest / 1e6);
        }
    }
}


/* The loop has not come to its list: what it does is in its slot. */

static void
prt_comment_loop(prt_merge_t *merge, const prt_snapshot_slot_t *slot)
{
    char                    text[PRT_STALL_TEXT];
    uint64_t                begin, now;
    const prt_slot_head_t  *head;

    head = slot->memory.head;
    begin = atomic_load(&head->loop_begin);
    now = prt_ticks();
    text[0] = '\0';

    (void) prt_slot_stall_text(&slot->memory, begin, text);

    prt_comment(merge, PRT_REPORT_MISSING "worker %d pid %d: its requests and "
                "connections: its event loop does not answer, held for %.3f s"
                "%s%s", slot->worker, (int) slot->pid,
                begin && now > begin ? (double) prt_ticks_ns(now - begin) / 1e9
                                     : 0.0,
                text[0] ? ", " : "", text);
}


static void
prt_comment_memory(prt_merge_t *merge, const prt_snapshot_t *end)
{
    uint64_t  missed, lost;

    if (merge->report.period == 0) {
        prt_comment(merge, "memory: off, by pprof_heap_rate");
        return;
    }

    prt_comment(merge, "memory: sampled once in %lld bytes on average; values "
                "are estimates of all", (long long) merge->report.period);

    if (prt_heap_mappings()) {
        prt_comment(merge, "memory: anonymous mappings are counted, each of "
                    "them");
    }

    missed = prt_comment_sum(NULL, end, PRT_COUNT_HEAP_MISSED);
    lost = prt_comment_sum(NULL, end, PRT_COUNT_HEAP_LOST);

    if (missed) {
        prt_comment(merge, "sampled blocks whose end was not seen until their "
                    "address came again: %" PRIu64, missed);
    }

    if (lost) {
        prt_comment(merge, "pprof_memory is too small: %" PRIu64 " sampled "
                    "blocks are not counted as in use", lost);
    }
}


static void
prt_comment_stalls(prt_merge_t *merge, const prt_snapshot_t *start,
    const prt_snapshot_t *end)
{
    uint64_t  lost;

    if (prt_stall_threshold() == 0) {
        prt_comment(merge, "stalls: off, by pprof_stall_threshold");
        return;
    }

    prt_comment(merge, "stalls: event handlers of %" PRIu64 " ms and more",
                (uint64_t) (prt_stall_threshold() / PRT_MSEC));

    lost = prt_comment_sum(start, end, PRT_COUNT_STALLS_LOST);

    if (lost) {
        prt_comment(merge, "stalls that came too fast to be booked: %" PRIu64,
                    lost);
    }
}


static void
prt_comment_block(prt_merge_t *merge)
{
    uint64_t  rate;

    rate = prt_block_rate();

    if (rate == 0) {
        prt_comment(merge, "blocking: off, by pprof_block_rate");
        return;
    }

    prt_comment(merge, "blocking: delays of %" PRIu64 " ns and more are all "
                "counted, shorter ones are estimated from samples", rate);
}


static void
prt_comment_custom(prt_merge_t *merge, const prt_snapshot_t *start,
    const prt_snapshot_t *end)
{
    uint64_t  lost;

    lost = prt_comment_sum(start, end, PRT_COUNT_CUSTOM_LOST);

    if (lost) {
        prt_comment(merge, "custom profiles: %" PRIu64 " keys found no room",
                    lost);
    }
}


static void
prt_comment_stacks(prt_merge_t *merge, unsigned profile,
    const prt_snapshot_t *start, const prt_snapshot_t *end)
{
    unsigned  i, objects;
    uint64_t  stacks, truncated, outside, row, broken, labels, lost;

    stacks = prt_comment_sum(start, end, PRT_COUNT_STACKS);
    truncated = prt_comment_sum(start, end, PRT_COUNT_TRUNCATED);
    outside = prt_comment_sum(start, end, PRT_COUNT_NO_OBJECT);
    row = prt_comment_sum(start, end, PRT_COUNT_NO_ROW);
    broken = prt_comment_sum(start, end, PRT_COUNT_BROKEN);

    prt_comment(merge, "stacks, of all profiles: %" PRIu64 " taken, %" PRIu64 " longer than "
                "%d frames, %" PRIu64 " not complete (%" PRIu64 " outside of "
                "all objects, %" PRIu64 " without unwind information, %" PRIu64
                " in memory that is no stack)", stacks, truncated,
                PRT_STACK_MAX, outside + row + broken, outside, row, broken);

    labels = prt_comment_sum(NULL, end, PRT_COUNT_LABELS_LOST);

    if (labels) {
        prt_comment(merge, "pprof_memory is too small: %" PRIu64 " sets of "
                    "labels had no room, and are without phase and method, or "
                    "missing", labels);
    }

    labels = 0;
    lost = 0;
    objects = 0;

    for (i = 0; i < end->n; i++) {
        objects += atomic_load(&end->slots[i].memory.head->objects_lost);
        labels += atomic_load(&end->slots[i].memory.tables[profile].head
                              ->lost_labels);
        lost += atomic_load(&end->slots[i].memory.tables[profile].head
                            ->lost_stacks);
    }

    if (labels || lost) {
        prt_comment(merge, "lost since start, pprof_memory is too small: "
                    "the labels of %" PRIu64 " samples, the stacks of %" PRIu64,
                    labels, lost);
    }

    if (objects) {
        prt_comment(merge, "objects: %u found no room in the list of %d; "
                    "their code has no names", objects, PRT_OBJECTS_MAX);
    }
}


static uint64_t
prt_comment_sum(const prt_snapshot_t *start, const prt_snapshot_t *end,
    prt_count_t count)
{
    unsigned                    i;
    uint64_t                    sum;
    const prt_snapshot_slot_t  *before;

    sum = 0;

    for (i = 0; i < end->n; i++) {
        before = prt_snapshot_find(start, &end->slots[i]);

        sum += end->slots[i].counts[count]
               - (before ? before->counts[count] : 0);
    }

    return sum;
}
