
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _NGX_PPROF_MODULE_H_INCLUDED_
#define _NGX_PPROF_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <pprofrt.h>


/* not behind a table of symbols */

#pragma GCC visibility push(hidden)


/*
 * True when the runtime runs in this process; else *reason, where it is not
 * NULL, is a sentence for the user.
 */
ngx_uint_t ngx_pprof_running(const char **reason);


/*
 * Observes the event loop of this process.  "begin" is called before each
 * event's handler, when the one before is over, and sets the labels; "end" when
 * the last of a turn is over.  "now" is the time, as prt_loop_event() and
 * prt_loop_wait() tell it.
 */
void ngx_pprof_loop_init(void (*begin)(ngx_event_t *ev, uint64_t now),
    void (*end)(uint64_t now));


extern ngx_module_t  ngx_pprof_module;


#pragma GCC visibility pop


#endif /* _NGX_PPROF_MODULE_H_INCLUDED_ */
